// Lists in the DNS: reject_rbl_client, reject_rhsbl_*, permit_dnswl_client, permit_rhswl_client.             postconf(5)
#include "base/strings.hpp"
#include "config/expand.hpp"
#include "observe/asked.hpp"
#include "receive/policy/judge.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

// "$sender" and the like: the whole, the part before and the part behind the "@".
std::optional<std::string> part_of(std::string_view name, std::string_view prefix, const std::optional<std::string>& address)
{
    if (!name.starts_with(prefix))
        return std::nullopt;
    const std::string_view which = name.substr(prefix.size());
    const std::string text = address.value_or("");
    const auto at = text.rfind('@');
    if (which.empty())
        return address && text.empty() ? "<>" : text;
    if (which == "_name")
        return text.empty() && address ? "<>" : text.substr(0, at);
    if (which == "_domain")
        return at == std::string::npos ? "" : text.substr(at + 1);
    return std::nullopt;
}

}  // namespace

awaitable<Result<bool>> Judge::listed(const DnsList& list, std::string query)
{
    co_await court_.before_wait();
    observe::Question question(observe::Helper::dns_list, list.domain());
    const dns::Answer answer = co_await law_.names.records(query, dns::Type::a);
    question.ended(!answer.transient());
    if (answer.transient()) {
        const Error why = dns::lookup_error(query, dns::Type::a, answer);
        cannot_ask();
        court_.log_warning(fmt::format("{}: RBL lookup error: {}", query, why.text()));
        co_return why;
    }
    co_return std::ranges::any_of(answer.records,
                                  [&](const dns::Record& record) { return record.type == dns::Type::a && list.counts(record.address); });
}

awaitable<Judge::Step> Judge::refuse_listed(const DnsList& list, std::string query, std::string what, std::string_view title)
{
    const Settings& settings = law_.settings;
    const dns::Answer texts = co_await law_.names.records(query, dns::Type::txt);
    if (texts.transient())
        court_.log_warning(fmt::format("{}: TXT lookup error: {}", query, dns::lookup_error(query, dns::Type::txt, texts).text()));
    const std::string reason = texts.found() && !texts.records.empty() ? printable(texts.records.front().text, true) : "";
    const std::string code = std::to_string(settings.listed);

    std::map<std::string, std::string, std::less<>> values;          // the expansion hands out views
    const config::NameLookup lookup = [&](std::string_view name) -> std::optional<std::string_view> {
        std::optional<std::string> value;
        if (name == "rbl_code")
            value = code;
        else if (name == "rbl_class")
            value = title;
        else if (name == "rbl_domain")
            value = list.domain();
        else if (name == "rbl_reason" || name == "rbl_txt")
            value = reason;
        else if (name == "rbl_what")
            value = what;
        else if (name == "client")
            value = facts_.client;
        else if (name == "client_address")
            value = facts_.client_address;
        else if (name == "client_name")
            value = facts_.client_name;
        else if (name == "reverse_client_name")
            value = facts_.client_reverse_name;
        else if (name == "helo_name")
            value = facts_.helo.value_or("");
        else if (name == "server_name")
            value = settings.myhostname;
        else if (!(value = part_of(name, "sender", facts_.sender)))
            value = part_of(name, "recipient", facts_.recipient);
        if (!value)
            return std::nullopt;
        // One level: a "$" in a value is a "$".
        return values[std::string(name)] = config::literal(settings.expansion_filter(*value));
    };
    std::string format = settings.list_reply;
    if (!law_.list_replies.empty()) {
        const auto own = co_await law_.list_replies.lookup(list.domain());
        if (!own)
            court_.log_warning(own.error().text());
        else if (const auto& text = *own; text)
            format = *text;
    }
    auto reply = config::expand(format, lookup);
    if (!reply) {
        court_.log_warning(fmt::format("{}: bad rbl reply template for domain {}: {}", query, list.domain(), format));
        reply = config::expand("$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}", lookup);
    }
    // "554 5.7.1 text"; without an own code at its beginning the parameter's counts.
    std::string_view text = reply ? std::string_view(*reply) : std::string_view{};
    int number = settings.listed;
    if (text.size() >= 4 && is_digit(text[0]) && is_digit(text[1]) && is_digit(text[2]) && text[3] == ' ' && (text[0] == '4' || text[0] == '5')) {
        number = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
        text = trim(text.substr(4));
    }
    const std::string status(smtp::enhanced_code(text));
    text = trim(text.substr(status.size()));
    co_return refuse(number, status.empty() ? "5.7.1" : status, std::string(text));
}

// A list of good hosts must not open the relay.
awaitable<bool> Judge::may_be_permitted()
{
    if (!facts_.recipient)
        co_return true;
    const auto found = co_await standing(*facts_.recipient);
    co_return found && found->address_class != handoff::AddressClass::other && !found->routed;
}

/// Results of access tables may name lists that no parameter names.
std::optional<DnsList> Judge::list_named(std::string_view spec) const
{
    if (const DnsList* const known = law_.dns_list(spec))
        return *known;
    auto parsed = DnsList::parse(spec);
    return parsed ? std::optional(*std::move(parsed)) : std::nullopt;
}

awaitable<Judge::Step> Judge::address_list(std::string spec, bool permits)
{
    const auto list = list_named(spec);
    const auto address = net::IpAddress::parse(facts_.client_address);
    if (!list || !address)
        co_return Step::dunno;
    if (permits && !co_await may_be_permitted())
        co_return Step::dunno;
    const std::string query = list->query_for(*address);
    const auto found = co_await listed(*list, query);
    if (!found) {
        if (permits)
            defer_if(if_reject_, 450, "4.7.1", fmt::format("<{}>: Client host rejected: Service unavailable", facts_.client_address));
        co_return Step::dunno;
    }
    if (!*found)
        co_return Step::dunno;
    if (permits)
        co_return Step::permit;
    co_return co_await refuse_listed(*list, query, facts_.client_address, "Client host");
}

awaitable<Judge::Step> Judge::domain_list(const Restriction& restriction, const Subject& subject)
{
    const bool permits = restriction.kind == Kind::permit_rhswl_client;
    const auto about = party(permits ? Party::client : restriction.party, subject.stage);
    const auto list = list_named(restriction.argument);
    if (!about || !list)
        co_return Step::dunno;
    // A client's subject is "name[address]", its lists know the name.
    const Party whose = permits ? Party::client : restriction.party;
    const std::string name = whose == Party::client ? facts_.client_name : whose == Party::reverse_client ? facts_.client_reverse_name : about->name;
    const auto query = list->query_for(name);
    if (!query || (permits && !co_await may_be_permitted()))
        co_return Step::dunno;
    const auto found = co_await listed(*list, *query);
    if (!found) {
        if (permits)
            defer_if(if_reject_, 450, "4.7.1", fmt::format("<{}>: Client host rejected: Service unavailable", name));
        co_return Step::dunno;
    }
    if (!*found)
        co_return Step::dunno;
    if (permits)
        co_return Step::permit;
    co_return co_await refuse_listed(*list, *query, name, about->title);
}

// reject_maps_rbl: what reject_rbl_client was before it took its domain with it.
awaitable<Judge::Step> Judge::old_address_lists()
{
    court_.log_warning("support for restriction \"reject_maps_rbl\" will be removed; use \"reject_rbl_client domain-name\" instead");
    for (const std::string& domain : law_.settings.old_lists)
        if (const Step step = co_await address_list(domain, false); step != Step::dunno)
            co_return step;
    co_return Step::dunno;
}

}  // namespace posthorn::receive::policy
