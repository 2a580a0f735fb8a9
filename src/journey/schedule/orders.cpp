#include "schedule/orders.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

namespace posthorn::schedule {

using handoff::Order;

namespace {

constexpr std::size_t longest_word = 512, longest_name = 64;

Error wrong(std::string_view what, std::string_view word, std::string_view why)
{
    return Error{fmt::format("{} \"{}\": {}", what, printable(word, true), why), "5.5.4"};
}

std::int64_t order_micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime end_of(const Order& order) { return order.until() == 0 ? WallTime::max() : WallTime{std::chrono::microseconds{order.until()}}; }

bool is_transport(std::string_view word)
{
    return !word.empty() && word.size() <= longest_name && std::ranges::all_of(word, [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
}

/// In quotes where a shell would make something else of it.
std::string as_shell_word(std::string_view word)
{
    if (std::ranges::all_of(word, [](char c) { return is_alnum(c) || std::string_view("@%_-+=:,./").find(c) != std::string_view::npos; }))
        return std::string(word);
    std::string quoted = "'";
    for (const char c : word)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

bool is_plain(std::string_view word)
{
    return std::ranges::none_of(word, [](char c) { return is_space(c) || static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

/// None: it is no domain.
std::optional<std::string> domain_form(std::string_view word)
{
    if (word.starts_with('[') && word.ends_with(']') && word.size() > 2 && word.find_first_of("[]", 1) == word.size() - 1)
        return to_lower(word);
    if (word.ends_with('.'))
        word.remove_suffix(1);
    const auto ascii = dns::to_a_labels(word);
    if (!ascii || ascii->empty() || ascii->size() > 253)
        return {};
    for (const std::string_view label : split_exact(*ascii, '.'))
        if (label.empty() || label.size() > 63 || !std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-' || c == '_'; }))
            return {};
#ifdef POSTHORN_PLANT_BUG_orders  // as somebody wrote it (scripts/fuzz-planted)
    return *ascii;
#else
    return to_lower(*ascii);
#endif
}

/// "example.com", or ".example.com" with those below it. Below a literal address there is nothing.
std::optional<std::string> domains_form(std::string_view word)
{
    const bool below = word.starts_with('.');
    const auto domain = word.starts_with(".[") ? std::nullopt : domain_form(word.substr(below ? 1 : 0));
    return domain ? std::optional((below ? "." : "") + *domain) : std::nullopt;
}

/// Of an address in a queue, which need not be one: only for comparison.
std::string address_form(std::string_view address)
{
    const auto at = address.rfind('@');
    if (at == address.npos || is_ascii(address.substr(at)))
        return to_lower(address);
    return to_lower(
        fmt::format("{}@{}", address.substr(0, at), dns::to_a_labels(address.substr(at + 1)).value_or(std::string(address.substr(at + 1)))));
}

std::string_view domain_part(std::string_view address)
{
    const auto at = address.rfind('@');
    return at == address.npos ? std::string_view() : address.substr(at + 1);
}

/// `named`: "example.com", or ".example.com" with those below.
bool in_domain(std::string_view domain, std::string_view named)
{
    return named.starts_with('.') ? domain == named.substr(1) || domain.ends_with(named) : domain == named;
}

/// user@example.com, @example.com, @.example.com.
Result<std::string> address_or_domain(std::string_view what, std::string_view word)
{
    const auto at = word.rfind('@');
    if (word.find('@') != at && !word.starts_with('"'))
        return wrong(what, word, "it has more than one @");
    const std::string_view domain = word.substr(at + 1);
    const auto form = at == 0 ? domains_form(domain) : domain_form(domain);
    if (!form)
        return wrong(what, word, "what is behind the @ is no domain");
    return fmt::format("{}@{}", to_lower(word.substr(0, at)), *form);
}

/// The narrowest first.
enum class Width : std::uint8_t { address, domain, domains_below, nexthop, transport, all };

Width width_of(std::string_view destination)
{
    if (destination == "*")
        return Width::all;
    const auto colon = destination.find(':');
    if (colon != destination.npos && is_transport(destination.substr(0, colon)))
        return colon + 1 == destination.size() ? Width::transport : Width::nexthop;
    if (destination.find('@') != destination.npos)
        return Width::address;
    return destination.starts_with('.') ? Width::domains_below : Width::domain;
}

auto place_of(const Order& order)
{
    const Width width = width_of(order.destination());
    // A longer domain is nearer; a sender's address is narrower than its domain.
    const std::string& sender = order.sender();
    const int of_sender = sender.empty() ? 2 : sender.starts_with('@') ? 1 : 0;
    return std::tuple(width, width == Width::domains_below ? -static_cast<std::ptrdiff_t>(order.destination().size()) : 0, of_sender,
                      -static_cast<std::ptrdiff_t>(sender.size()), std::string_view(order.destination()), std::string_view(sender));
}

/// Who sends, both in their form.
bool from_whom_named(const Order& order, std::string_view sender)
{
    const std::string& named = order.sender();
    if (named.empty())
        return order.kind() == Order::SUSPEND || !sender.empty();
    if (named == "<>")
        return sender.empty();
    return named.starts_with('@') ? !sender.empty() && in_domain(domain_part(sender), std::string_view(named).substr(1)) : sender == named;
}

bool by_way(const Order& order, std::string_view transport, std::string_view pool, std::string_view site)
{
    const std::string& named = order.destination();
    if (width_of(named) == Width::transport) {
        const auto name = std::string_view(named).substr(0, named.size() - 1);
        return iequals(transport, name) || iequals(pool, name);
    }
    if (named == site)
        return true;
    const auto colon = site.find(':');                         // of a pool's next hop, by whichever member
    return !pool.empty() && colon != site.npos && iequals(pool, std::string_view(named).substr(0, named.find(':'))) &&
           std::string_view(named).substr(named.find(':')) == site.substr(colon);
}

bool to_whom_named(const Order& order, std::string_view recipient, const handoff::Route* route)
{
    const std::string& named = order.destination();
    switch (width_of(named)) {
    case Width::all: return true;
    case Width::address: return recipient == named;
    case Width::domain:
    case Width::domains_below: return in_domain(domain_part(recipient), named);
    default: return !route || by_way(order, route->transport(), route->pool(), route->site());
    }
}

}  // namespace

Result<std::string> order_destination(std::string_view word)
{
    constexpr std::string_view what = "destination";
    if (word.empty() || word.size() > longest_word || !is_plain(word))
        return wrong(what, word, "a domain, an address, a transport with a colon behind it (smtp:) or * is wanted");
    if (word == "*")
        return std::string(word);
    if (word.starts_with("*@") || word.starts_with("*."))
        return wrong(what, word,
                     fmt::format("a domain is named by itself, with those below it as .example.com: {}", word.substr(word[1] == '.' ? 1 : 2)));
    const auto at = word.find('@'), colon = word.find(':');
    if (colon < at && !word.starts_with('[') && !word.starts_with('"')) {
        const std::string_view transport = word.substr(0, colon);
        if (transport.find('.') != transport.npos)
            return wrong(what, word, "no transport has a name like this; a next hop is named with its transport: smtp:" + std::string(word));
        if (!is_transport(transport))
            return wrong(what, word, "what is before the colon is no name of a transport");
        return to_lower(word);
    }
    if (at != word.npos) {
        TRY(auto address, address_or_domain(what, word));
        return address.starts_with('@') ? address.substr(1) : address;
    }
    if (word.starts_with('[') && word.find("]:") != word.npos)
        return wrong(what, word, "a next hop is named with its transport: smtp:" + std::string(word));
    auto domains = domains_form(word);
    if (!domains)
        return wrong(what, word, "it is no domain, no address, and no transport with a colon behind it");
    return *std::move(domains);
}

Result<std::string> order_sender(std::string_view word)
{
    constexpr std::string_view what = "sender";
    if (word == "<>")
        return std::string(word);
    if (word.size() > longest_word || !is_plain(word) || word.find('@') == word.npos)
        return wrong(what, word, "an address, @domain or <> is wanted");
    return address_or_domain(what, word);
}

Result<Order> order_in_form(Order wanted)
{
    TRY(*wanted.mutable_destination(), order_destination(wanted.destination()));
    if (!wanted.sender().empty()) {
        TRY(*wanted.mutable_sender(), order_sender(wanted.sender()));
    }
    if (wanted.kind() != Order::SUSPEND && wanted.kind() != Order::BOUNCE)
        return Error{"it is neither suspend nor bounce", "5.5.4"};
    if (wanted.reason().size() > longest_reason)
        return Error{fmt::format("the reason is longer than {} octets", longest_reason), "5.5.4"};
    if (!is_valid_utf8(wanted.reason()) ||
        std::ranges::any_of(wanted.reason(), [](char c) { return (static_cast<unsigned char>(c) < ' ') || c == '\x7f'; }))
        return Error{"the reason is not one line of text", "5.5.4"};
    *wanted.mutable_reason() = std::string(trim(wanted.reason()));
    if (wanted.lasts() < 0 || wanted.lasts() > std::chrono::microseconds(longest_order).count())
        return Error{fmt::format("its time is not within {} days", longest_order.count()), "5.5.4"};
    if (wanted.kind() == Order::BOUNCE && wanted.lasts() == 0)
        return Error{"what returns mail needs an end", "5.5.4"};
    return wanted;
}

std::string order_text(const Order& order)
{
    const std::string& to = order.destination();
    std::string which;
    switch (width_of(to)) {
    case Width::all: break;
    case Width::transport: which = " by " + to.substr(0, to.size() - 1); break;
    case Width::nexthop: which = fmt::format(" by {} to {}", to.substr(0, to.find(':')), to.substr(to.find(':') + 1)); break;
    case Width::domains_below: which = " to " + to.substr(1); break;
    default: which = " to " + to; break;
    }
    if (!order.sender().empty())
        which += " from " + order.sender();
    // What a sender reads says nothing of how mail is routed here.
    const std::string says = order.kind() == Order::SUSPEND ? fmt::format("deliveries{} suspended by an operator", which)
                             : width_of(to) <= Width::domains_below
                                 ? fmt::format("mail{} is returned by order of an operator of this mail system", which)
                                 : std::string("returned by order of an operator of this mail system");
    return order.reason().empty() ? says : says + ": " + order.reason();
}

std::string order_words(const Order& order)
{
    return order.sender().empty() ? as_shell_word(order.destination())
                                  : fmt::format("{} --from {}", as_shell_word(order.destination()), as_shell_word(order.sender()));
}

bool may_be_for(const Order& order, std::string_view recipient, std::string_view sender)
{
    return from_whom_named(order, address_form(sender)) && to_whom_named(order, address_form(recipient), nullptr);
}

bool is_about(const Order& order, std::string_view word, std::span<const handoff::Route> ways)
{
    const std::string address = address_form(word.find('@') == word.npos ? "@" + std::string(word) : std::string(word));
    if (address.starts_with('@') && width_of(order.destination()) == Width::address)
        return order.destination().ends_with(address);
    const handoff::Route nowhere;
    return to_whom_named(order, address, &nowhere) ||
           std::ranges::any_of(ways, [&](const handoff::Route& way) { return to_whom_named(order, address, &way); });
}

const Order* Orders::numbered(std::uint64_t number) const
{
    const auto found = std::ranges::find(all_, number, &Order::number);
    return found == all_.end() ? nullptr : &*found;
}

Result<Order> Orders::give(Order order, WallTime now)
{
    const auto same =
        std::ranges::find_if(all_, [&](const Order& one) { return one.destination() == order.destination() && one.sender() == order.sender(); });
    if (same == all_.end() && all_.size() >= most_orders)
        return Error{fmt::format("{} orders are in force, more are not taken: end some (posthorn orders, posthorn resume)", all_.size()), "4.3.2"};
    order.set_number(same == all_.end() ? ++last_number_ : same->number());
    order.set_since(order_micros(now));
    order.set_until(order.lasts() == 0 ? 0 : order_micros(now) + order.lasts());
    if (same != all_.end())
        all_.erase(same);
    const auto place = std::ranges::upper_bound(all_, place_of(order), {}, place_of);
    return *all_.insert(place, std::move(order));
}

std::vector<Order> Orders::end(std::string_view destination, std::string_view sender)
{
    std::vector<Order> ended;
    std::erase_if(all_, [&](Order& order) {
        if (!destination.empty() && (order.destination() != destination || (!sender.empty() && order.sender() != sender)))
            return false;
        ended.push_back(std::move(order));
        return true;
    });
    return ended;
}

std::vector<Order> Orders::end_of_time(WallTime now)
{
    std::vector<Order> ended;
    std::erase_if(all_, [&](Order& order) {
        if (end_of(order) > now)
            return false;
        ended.push_back(std::move(order));
        return true;
    });
    return ended;
}

std::optional<WallTime> Orders::next_end() const
{
    std::optional<WallTime> next;
    for (const Order& order : all_)
        if (order.until() != 0)
            next = std::min(next.value_or(WallTime::max()), end_of(order));
    return next;
}

void Orders::earlier(WallTime::duration back)
{
    const std::int64_t micros = std::chrono::duration_cast<std::chrono::microseconds>(back).count();
    for (Order& order : all_) {
        order.set_since(order.since() - micros);
        if (order.until() != 0)
            order.set_until(std::max<std::int64_t>(1, order.until() - micros));
    }
}

const Order* Orders::for_mail(std::string_view recipient, const handoff::Route& route, std::string_view sender, WallTime now) const
{
    if (all_.empty())
        return nullptr;
    const std::string to_whom = address_form(recipient), from_whom = address_form(sender);
    const auto found = std::ranges::find_if(
        all_, [&](const Order& order) { return end_of(order) > now && from_whom_named(order, from_whom) && to_whom_named(order, to_whom, &route); });
    return found == all_.end() ? nullptr : &*found;
}

bool Orders::closes(std::string_view transport, std::string_view site, std::string_view sender, WallTime now) const
{
    if (all_.empty())
        return false;
    const std::string from_whom = address_form(sender);
    return std::ranges::any_of(all_, [&](const Order& order) {
        const Width width = width_of(order.destination());
        return (width == Width::transport || width == Width::nexthop) && order.kind() == Order::SUSPEND && end_of(order) > now &&
               from_whom_named(order, from_whom) && by_way(order, transport, {}, site);
    });
}

handoff::StoredOrders Orders::stored() const
{
    handoff::StoredOrders made;
    made.set_last_number(last_number_);
    for (const Order& order : all_)
        *made.add_orders() = order;
    return made;
}

Orders Orders::restored(const handoff::StoredOrders& stored)
{
    Orders made;
    made.last_number_ = stored.last_number();
    for (const Order& one : stored.orders()) {
        auto order = order_in_form(one);
        if (!order || made.all_.size() >= most_orders || one.number() == 0 || made.numbered(one.number()))
            continue;
        made.last_number_ = std::max(made.last_number_, one.number());
        if (std::ranges::none_of(
                made.all_, [&](const Order& other) { return other.destination() == order->destination() && other.sender() == order->sender(); }))
            made.all_.push_back(*std::move(order));
    }
    std::ranges::sort(made.all_, {}, place_of);
    return made;
}

}  // namespace posthorn::schedule
