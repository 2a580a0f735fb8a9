#include "route/resolve.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::route {

namespace {

using tables::KeyKind;
using tables::ListKind;
using tables::Maps;
using tables::MatchList;

constexpr std::size_t max_domain = 255, max_label = 63;

/// A host name that can be looked up (RFC 1123 2.1, with '_' as seen in the wild; UTF-8 for RFC 6531).
bool is_host_name(std::string_view domain)
{
    if (domain.empty() || domain.size() > max_domain)
        return false;
    for (const std::string_view label : split_exact(domain, '.')) {
        const bool fits = !label.empty() && label.size() <= max_label && label.front() != '-' && label.back() != '-';
        if (!fits || !std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-' || c == '_' || static_cast<unsigned char>(c) >= 0x80; }))
            return false;
    }
    return true;
}

bool is_literal(std::string_view domain)
{
    if (domain.size() < 3 || domain.front() != '[' || domain.back() != ']')
        return false;
    domain = domain.substr(1, domain.size() - 2);
    if (istarts_with(domain, "IPv6:"))
        domain.remove_prefix(5);
    return tables::parse_address(domain).has_value();
}

/// Where a local part names another domain: the last '@', '%' or the first '!'.
struct Operator {
    std::size_t at;
    char what;
};
std::optional<Operator> routing_operator(std::string_view local, bool percent, bool bang)
{
    if (const std::size_t at = local.rfind('@'); at != local.npos)
        return Operator{at, '@'};
    if (const std::size_t mark = bang ? local.find('!') : local.npos; mark != local.npos)
        return Operator{mark, '!'};
    if (const std::size_t sign = percent ? local.rfind('%') : local.npos; sign != local.npos)
        return Operator{sign, '%'};
    return std::nullopt;
}

}  // namespace

std::string site_key(std::string_view transport, std::string_view nexthop) { return to_lower(fmt::format("{}:{}", transport, nexthop)); }

handoff::Route to_filter(std::string_view filter, std::string_view address, const Options& options)
{
    const TransportNexthop way = split_transport(filter);
    std::string_view nexthop = way.nexthop.empty() ? std::string_view(options.filter_nexthop) : way.nexthop;
    if (nexthop.empty())
        nexthop = tables::split_address(address).has_domain ? tables::split_address(address).domain : std::string_view(options.hostname);
    handoff::Route route;
    route.set_transport(std::string(way.transport));
    route.set_nexthop(std::string(nexthop));
    route.set_address(std::string(address));
    route.set_site(site_key(way.transport, nexthop));
    return route;
}

handoff::Route passed_on(const handoff::Route& route, std::string_view text)
{
    const TransportNexthop way = split_transport(text);
    handoff::Route made = route;
    made.set_transport(std::string(way.transport));
    made.clear_pool();
    if (!way.nexthop.empty())
        made.set_nexthop(std::string(way.nexthop));
    made.set_site(site_key(made.transport(), made.nexthop()));
    return made;
}

TransportNexthop split_transport(std::string_view text)
{
    text = trim(text);
    const std::size_t colon = text.find(':');
    if (colon == text.npos)
        return {text, {}, false};
    return {trim(text.substr(0, colon)), trim(text.substr(colon + 1)), true};
}

Resolver::Resolver(const Options& options, Purpose purpose, tables::Tables& tables)
    : options_(options), way_(purpose == Purpose::probe ? options.probe : options.mail), own_(options.own, tables), tables_(tables)
{
    const auto list = [&](ListKind kind, std::string name, const std::string& text) {
        MatchList made(kind, name, text, tables::parent_style(options.parent_domain_matches_subdomains, name), tables);
        in_memory_ &= made.in_memory();
        return made;
    };
    in_memory_ = own_.in_memory();
    virtual_alias_domains_ = list(ListKind::domains, "virtual_alias_domains", options.virtual_alias_domains);
    virtual_mailbox_domains_ = list(ListKind::domains, "virtual_mailbox_domains", options.virtual_mailbox_domains);
    relay_domains_ = list(ListKind::domains, "relay_domains", options.relay_domains);
    mynetworks_ = list(ListKind::hosts, "mynetworks", options.mynetworks);
    transport_parent_style_ = tables::parent_style(options.parent_domain_matches_subdomains, "transport_maps");
    schedule_parent_style_ = tables::parent_style(options.parent_domain_matches_subdomains, "retry_schedule_maps");
    const auto maps = [&](std::string name, const std::string& text, bool substitute = true) {
        tables::Flags flags = options.own.flags;
        flags.substitute = flags.substitute && substitute;
        Maps made(name, text, flags, tables);
        in_memory_ &= made.in_memory();
        return made;
    };
    virtual_alias_maps_ = maps("virtual_alias_maps", options.virtual_alias_maps);
    // Its default names the alias file, which a host without local mail need not have: that this is missing is no news there.
    if (!trim(options.own.mydestination).empty())
        in_memory_ &= local_recipients().in_memory();
    relay_recipient_maps_ = maps("relay_recipient_maps", options.relay_recipient_maps);
    virtual_mailbox_maps_ = maps("virtual_mailbox_maps", options.virtual_mailbox_maps);
    canonical_maps_ = maps("canonical_maps", options.canonical_maps);
    recipient_canonical_maps_ = maps("recipient_canonical_maps", options.recipient_canonical_maps);
    relocated_maps_ = maps("relocated_maps", options.relocated_maps);
    // What they give is a program and a host: nothing of a client's address may become part of it.
    transport_maps_ = maps("transport_maps", way_.transport_maps, false);
    if (purpose == Purpose::mail)
        retry_schedule_maps_ = maps("retry_schedule_maps", options.retry_schedule_maps);
    relayhost_maps_ = maps("sender_dependent_relayhost_maps", way_.sender_dependent_relayhost_maps, false);
    default_transport_maps_ = maps("sender_dependent_default_transport_maps", way_.sender_dependent_default_transport_maps, false);
}

const Maps& Resolver::local_recipients() const
{
    if (!local_recipient_maps_)
        local_recipient_maps_.emplace("local_recipient_maps", options_.local_recipient_maps, options_.own.flags, tables_);
    return *local_recipient_maps_;
}

void Resolver::fail(Target& target, std::string text) const
{
    target.transport = options_.error_service;
    target.nexthop = std::move(text);
    target.is_error = true;
}

/// Takes our own domains off the end until one that is not ours, or the user alone, is left: user%site@ours is user@site.
Result<Resolver::Mailbox> Resolver::mailbox(Lookups& lookups, std::string_view address) const
{
    Mailbox box;
    const auto parts = tables::split_address(address);
    box.local = parts.local;
    box.domain = parts.domain;
    if (address.empty())
        box.local = options_.empty_recipient;
    // One without a domain has what its operators name, as cleanup completes it; without such it has that of myorigin.
    for (bool bare = !parts.has_domain;; bare = false) {
        // resolve_dequoted_address = no: what would need quotes is not looked into; % and ! need none.
        const bool readable = options_.dequoted || tables::quote_local(box.local) == box.local;
        const auto found = readable ? routing_operator(box.local, options_.percent_hack, options_.swap_bangpath) : std::nullopt;
        if (!bare || !found) {
            if (bare)
                box.domain = options_.own.myorigin;
            if (box.domain.ends_with('.'))
                box.domain.pop_back();
            if (box.domain.empty()) {
                box.local_domain = options_.null_domain;
                box.bad = !options_.null_domain;
            } else {
                TRY(box.local_domain, own_.destination(lookups, box.domain));
            }
            if (!box.local_domain || !found)
                break;
        }
        std::string local = box.local.substr(0, found->at), rest = box.local.substr(found->at + 1);
        if (found->what == '!')
            std::swap(local, rest);
        box.local = std::move(local);
        box.domain = std::move(rest);
    }
    // Whichever of them we know: the host that the mail is for may know others, and relay for whom we would not.
    box.routed = box.local.find_first_of("@%!") != box.local.npos;
    if (!box.local_domain && !box.bad && !is_literal(box.domain)) {
        if (tables::parse_address(box.domain)) {
            if (options_.numeric_domain)
                box.domain = "[" + box.domain + "]";
            else
                box.bad = true;
        } else {
            box.bad = !is_host_name(box.domain);
        }
    }
    if (box.local_domain && box.local.empty())
        box.local = options_.empty_recipient;
    return box;
}

Result<std::optional<std::string>> Resolver::by_sender(Lookups& lookups, const Maps& maps, std::string_view sender, std::string_view empty_key) const
{
    if (maps.empty())
        return std::nullopt;
    std::optional<std::string> value;
    if (sender.empty()) {
        TRY(value, maps.find(lookups, empty_key));
    } else {
        TRY(auto found, maps.find_address(lookups, sender, options_.own.delimiter, nullptr));
        if (found)
            value = std::move(found->value);
    }
    if (value && iequals(*value, "DUNNO"))
        value.reset();
    return value;
}

Result<void> Resolver::relay_by_host(Lookups& lookups, std::string_view sender, const Mailbox& box, std::string_view wanted, Target& target) const
{
    const auto parts = split_transport(wanted);
    target.transport = parts.transport;
    if (!parts.nexthop.empty()) {
        target.nexthop = parts.nexthop;
        return {};
    }
    TRY(auto relayhost, by_sender(lookups, relayhost_maps_, sender, options_.empty_relayhost_key));
    target.nexthop = relayhost ? *relayhost : !way_.relayhost.empty() ? way_.relayhost : box.domain;
    return {};
}

Result<void> Resolver::by_class(Lookups& lookups, std::string_view sender, const Mailbox& box, Target& target) const
{
    const auto final_class = [&](AddressClass which, std::string_view transport) {
        const auto parts = split_transport(transport);
        target.address_class = which;
        target.transport = parts.transport;
        target.nexthop = parts.nexthop.empty() ? std::string_view{box.domain} : parts.nexthop;
    };
    if (box.local_domain) {
        final_class(AddressClass::local, way_.local_transport);
        return {};
    }
    TRY(const bool alias, virtual_alias_domains_.matches(lookups, box.domain));
    if (alias) {
        target.address_class = AddressClass::virtual_alias;
        fail(target, options_.show_table_name ? "5.1.1 User unknown in virtual alias table" : "5.1.1 User unknown");
        return {};
    }
    TRY(const bool mailbox, virtual_mailbox_domains_.matches(lookups, box.domain));
    if (mailbox) {
        final_class(AddressClass::virtual_mailbox, way_.virtual_transport);
        return {};
    }
    TRY(const bool relay, relay_domains_.matches(lookups, box.domain));
    target.address_class = relay ? AddressClass::relay : AddressClass::other;
    if (relay)
        return relay_by_host(lookups, sender, box, way_.relay_transport, target);
    TRY(const auto by_sender_transport, by_sender(lookups, default_transport_maps_, sender, options_.empty_transport_key));
    return relay_by_host(lookups, sender, box, by_sender_transport ? *by_sender_transport : way_.default_transport, target);
}

/// transport(5): user+ext@domain, user@domain, domain, its parents.
Result<std::optional<std::string>> Resolver::by_recipient(Lookups& lookups, const tables::Maps& maps, std::string_view local, std::string_view domain,
                                                          bool parent_style) const
{
    TRY(std::optional<std::string> value, maps.find(lookups, fmt::format("{}@{}", tables::quote_local(local), domain)));
    if (const std::size_t at = tables::extension_at(local, options_.own.delimiter); !value && at != std::string::npos) {
        TRY(value, maps.find(lookups, fmt::format("{}@{}", tables::quote_local(local.substr(0, at)), domain), KeyKind::piece));
    }
    if (value)
        return value;
    for (const std::string_view key : is_literal(domain) ? std::vector<std::string_view>{domain} : tables::domain_keys(domain, parent_style)) {
        TRY(value, maps.find(lookups, key, KeyKind::piece));
        if (value)
            return value;
    }
    return value;
}

/// As of a recipient alone, or "*".
Result<void> Resolver::by_transport_maps(Lookups& lookups, const Mailbox& box, Target& target) const
{
    if (transport_maps_.empty() || target.address_class == AddressClass::virtual_alias)
        return {};
    TRY(auto value, by_recipient(lookups, transport_maps_, box.local, box.domain, transport_parent_style_));
    if (!value) {
        TRY(value, transport_maps_.find(lookups, "*", KeyKind::piece));
    }
    if (!value)
        return {};
    const auto parts = split_transport(*value);
    if (!parts.transport.empty()) {
        target.transport = parts.transport;
        target.nexthop = parts.nexthop.empty() ? std::string_view{box.domain} : parts.nexthop;
    } else if (!parts.nexthop.empty()) {
        target.nexthop = parts.nexthop;
    }
    return {};
}

bool Resolver::takes_reports(const Mailbox& box) const
{
    const auto listed = [&](std::string_view local) {
        const std::string address = to_lower(fmt::format("{}@{}", local, box.domain));
        return std::ranges::find(options_.report_addresses, address) != options_.report_addresses.end();
    };
    if (options_.report_addresses.empty())
        return false;
    const std::size_t extension = tables::extension_at(box.local, options_.own.delimiter);
    return listed(box.local) || (extension != std::string::npos && listed(std::string_view(box.local).substr(0, extension)));
}

Result<Target> Resolver::resolve(Lookups& lookups, std::string_view sender, std::string_view address) const
{
    Target target;
    TRY(const Mailbox box, mailbox(lookups, address));
    target.address = box.local + "@" + box.domain;
    target.routed = box.routed;
    target.malformed = box.bad;
    if (box.bad) {
        fail(target, "5.1.3 bad address syntax");
        return target;
    }
    TRY_VOID(by_class(lookups, sender, box, target));
    if (takes_reports(box)) {
        target.reports = true;
        target.is_error = false;
        target.transport = handoff::reports_transport;
        target.nexthop = box.domain;
        return target;
    }
    TRY_VOID(by_transport_maps(lookups, box, target));
    if (!relocated_maps_.empty()) {
        TRY(const auto moved, relocated_maps_.find_address(lookups, target.address, options_.own.delimiter, &own_));
        if (moved)
            fail(target, options_.relocated_prefix ? "5.1.6 User has moved to " + moved->value : moved->value);
    }
    target.is_error = target.transport == options_.error_service;
    return target;
}

Result<std::string> Resolver::retry_schedule(Lookups& lookups, std::string_view recipient, std::string_view transport) const
{
    if (retry_schedule_maps_.empty())
        return std::string();
    const auto parts = tables::split_address(recipient);
    TRY(auto value,
        by_recipient(lookups, retry_schedule_maps_, parts.local, parts.has_domain ? parts.domain : options_.own.myorigin, schedule_parent_style_));
    if (!value) {
        TRY(value, retry_schedule_maps_.find(lookups, fmt::format("transport:{}", transport), KeyKind::piece));
    }
    return value.value_or(std::string());
}

Result<handoff::AddressStanding> Resolver::standing(Lookups& lookups, std::string_view address) const
{
    TRY(const Target target, resolve(lookups, {}, address));
    handoff::AddressStanding standing(target.address_class);
    standing.malformed = target.malformed;
    standing.routed = target.routed;
    if (target.address != address)
        standing.resolved = target.address;
    if (target.reports)
        return standing;
    if (target.is_error && target.address_class != AddressClass::virtual_alias) {
        // Undeliverable by configuration: what the error transport would say, in its form "5.1.6 text".
        const std::string_view text = target.nexthop;
        const std::size_t space = text.find(' ');
        const bool has_status = space != text.npos && space > 2 && is_digit(text[0]) && text[1] == '.';
        standing.known = false;
        standing.unknown_status = has_status ? std::string(text.substr(0, space)) : "";     // whoever refuses knows whether it is a sender
        standing.unknown_text = has_status ? text.substr(space + 1) : text;
        return standing;
    }
    const auto has = [&](const Maps& maps) -> Result<bool> {
        TRY(const auto found, maps.find_address(lookups, target.address, options_.own.delimiter, &own_));
        return found.has_value();
    };
    for (const Maps* maps : {&recipient_canonical_maps_, &canonical_maps_, &virtual_alias_maps_}) {
        TRY(const bool found, has(*maps));
        if (found)
            return standing;
    }
    switch (target.address_class) {
    case AddressClass::virtual_alias: standing.known = false; break;
    case AddressClass::local:
        if (const Maps& maps = local_recipients(); !maps.empty()) {
            TRY(standing.known, has(maps));
        }
        break;
    case AddressClass::relay:
        if (!relay_recipient_maps_.empty()) {
            TRY(standing.known, has(relay_recipient_maps_));
        }
        break;
    case AddressClass::virtual_mailbox:
        if (!virtual_mailbox_maps_.empty()) {
            TRY(standing.known, has(virtual_mailbox_maps_));
        }
        break;
    case AddressClass::other: break;
    }
    return standing;
}

Result<bool> Resolver::in_mynetworks(Lookups& lookups, std::string_view name, std::string_view address) const
{
    return mynetworks_.matches_host(lookups, name, address);
}

}  // namespace posthorn::route
