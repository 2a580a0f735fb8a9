// check_*_mx_access, check_*_ns_access, check_*_a_access: the hosts behind a domain, looked up in an access table. permit_mx_backup.
#include "base/strings.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

namespace {

// A domain whose name servers or mail hosts go on without end must not hold the session.
constexpr std::size_t host_limit = 100;

std::string_view name_of(Servers servers) { return servers == Servers::mx ? "MX" : servers == Servers::ns ? "NS" : "A"; }

dns::Record host_record(std::string name)
{
    dns::Record record;
    record.type = dns::Type::mx;
    record.host = std::move(name);
    return record;
}

}  // namespace

/// None: nobody of that kind is known, or it has no name.
std::optional<Judge::Subject> Judge::party(Party party, Stage stage) const
{
    switch (party) {
    case Party::client:
        if (facts_.client_name == "unknown")
            return std::nullopt;
        return Subject{stage, facts_.client, "Client host"};
    case Party::reverse_client:
        if (facts_.client_reverse_name == "unknown")
            return std::nullopt;
        return Subject{stage, facts_.client_reverse_name, "Unverified Client host"};
    case Party::helo:
        if (!facts_.helo)
            return std::nullopt;
        return Subject{stage, *facts_.helo, "Helo command"};
    case Party::sender:
        if (!facts_.sender || facts_.sender->empty())
            return std::nullopt;
        return Subject{stage, *facts_.sender, "Sender address"};
    case Party::recipient:
        if (!facts_.recipient || facts_.recipient->empty())
            return std::nullopt;
        return Subject{stage, *facts_.recipient, "Recipient address"};
    }
    return std::nullopt;
}

awaitable<Judge::Step> Judge::server_access(const Restriction& restriction, int depth)
{
    const auto about = party(restriction.party, Stage::recipient);
    if (!about)
        co_return Step::dunno;
    const std::string name = restriction.party == Party::client ? facts_.client_name : about->name;
    const auto at = name.rfind('@');
    std::string domain = at == std::string::npos ? name : name.substr(at + 1);
    if (domain.empty() || domain.starts_with('['))
        co_return Step::dunno;

    co_await court_.before_wait();
    std::vector<dns::Record> hosts;
    if (restriction.servers == Servers::a) {
        hosts.push_back(host_record(domain));
    } else {
        const dns::Type type = restriction.servers == Servers::mx ? dns::Type::mx : dns::Type::ns;
        dns::Answer answer = co_await law_.names.records(domain, type);
        if (type == dns::Type::mx && dns::is_null_mx(answer))
            co_return Step::dunno;
        const bool absent = answer.status == dns::Status::nxdomain || answer.status == dns::Status::nodata;
        if (absent && type == dns::Type::mx) {
            hosts.push_back(host_record(domain));                     // mail would go to the domain itself
        } else if (absent) {
            // The name servers of the zone that the name is in.
            std::string parent = std::exchange(domain, name);
            for (auto dot = parent.find('.'); dot != std::string::npos && dot + 1 < parent.size(); dot = parent.find('.')) {
                parent.erase(0, dot + 1);
                answer = co_await law_.names.records(parent, type);
                if (answer.status != dns::Status::nxdomain && answer.status != dns::Status::nodata) {
                    domain = parent;
                    break;
                }
            }
        }
        if (hosts.empty() && !answer.found()) {
            if (answer.transient())
                cannot_ask();
            court_.log_warning(
                fmt::format("Unable to look up {} host for {}: {}", name_of(restriction.servers), domain, dns::status_text(answer.status)));
            co_return Step::dunno;
        }
        if (hosts.empty())
            hosts = answer.records;
    }
    if (hosts.size() > host_limit)
        hosts.resize(host_limit);
    // Names first, then their addresses, host by host.
    for (const dns::Record& host : hosts) {
        AccessKeys keys;
        std::optional<Step> decided;
        if (net::IpAddress::parse(host.host)) {
            add_address_keys(keys, host.host);
            decided = co_await first_of(keys, restriction.argument, *about, depth);
        } else {
            if (restriction.servers != Servers::a) {
                add_domain_keys(keys, host.host, law_.settings.parent_domains);
                decided = co_await first_of(keys, restriction.argument, *about, depth);
            }
            if (!decided) {
                co_await court_.before_wait();
                const auto addresses = co_await law_.names.addresses_of(host.host);
                if (!addresses || addresses->empty()) {
                    if (!addresses)
                        cannot_ask();
                    if (restriction.servers != Servers::a)
                        court_.log_warning(fmt::format("Unable to look up {} host {} for {} {}: {}", name_of(restriction.servers), host.host,
                                                       about->title, about->name,
                                                       addresses ? "Name or service not known" : "Temporary failure in name resolution"));
                    continue;
                }
                for (const std::string& address : *addresses) {
                    keys.clear();
                    add_address_keys(keys, address);
                    decided = co_await first_of(keys, restriction.argument, *about, depth);
                    if (decided)
                        break;
                }
            }
        }
        if (decided)
            co_return never_permit(*decided, restriction, name);
    }
    co_return Step::dunno;
}

/// Does one of the hosts have an address of ours, or of permit_mx_backup_networks? None: it could not be found out. What that means has
/// been noted: who is not permitted for want of an answer is not refused for good.
awaitable<std::optional<bool>> Judge::is_ours(const std::vector<dns::Record>& hosts, bool networks)
{
    bool doubtful = false;
    for (const dns::Record& host : hosts) {
        if (!networks && iequals(host.host, law_.settings.myhostname))
            co_return true;
        const auto addresses = co_await law_.names.addresses_of(host.host);
        if (!addresses || addresses->empty()) {
            doubtful = true;
            defer_if(if_reject_, 450, "4.4.4",
                     fmt::format("<{}>: Recipient address rejected: Unable to look up mail exchanger host {}: {}", facts_.recipient.value_or(""),
                                 host.host, addresses ? "Name or service not known" : "Temporary failure in name resolution"));
            continue;
        }
        for (const std::string& address : *addresses) {
            if (!networks) {
                if (law_.classes.own_address(address))
                    co_return true;
                continue;
            }
            const auto matched = co_await law_.mx_backup_networks.ask(host.host, address);
            if (!matched) {
                court_.log_warning(matched.error().text());
                doubtful = true;
            } else if (*matched) {
                co_return true;
            }
        }
    }
    if (doubtful && networks)
        co_return std::nullopt;
    co_return false;
}

awaitable<Judge::Step> Judge::mx_backup()
{
    if (!facts_.recipient)
        co_return Step::dunno;
    const std::string recipient = *facts_.recipient;
    const auto found = co_await standing(recipient);
    if (!found)
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", recipient), true);
    if (found->routed && !law_.settings.untrusted_routing)
        co_return Step::dunno;
    if (found->address_class != handoff::AddressClass::other)
        co_return Step::permit;
    // One without a domain gets that of myorigin, which need not be ours.
    const auto parts = tables::split_address(found->way_of(recipient));
    const std::string domain(parts.has_domain ? parts.domain : std::string_view());
    if (domain.empty() || domain.starts_with('['))
        co_return Step::dunno;
    co_await court_.before_wait();
    dns::Answer answer = co_await law_.names.records(domain, dns::Type::mx);
    if (answer.records.size() > host_limit)
        answer.records.resize(host_limit);
    if (answer.transient()) {
        defer_if(if_reject_, 450, "4.4.4",
                 fmt::format("<{}>: Recipient address rejected: Unable to look up mail exchanger information: {}", recipient,
                             dns::status_text(answer.status)));
        co_return Step::dunno;
    }
    if (!answer.found() || dns::is_null_mx(answer))
        co_return Step::dunno;
    // We are one of them, but not the best: a primary needs no permission for what is its own.
    std::vector<dns::Record> best;
    for (const dns::Record& record : answer.records)
        if (record.preference == answer.records.front().preference)
            best.push_back(record);
    const auto any = co_await is_ours(answer.records, false);
    if (!any || !*any)
        co_return Step::dunno;
    const auto primary = co_await is_ours(best, false);
    if (!primary || *primary)
        co_return Step::dunno;
    if (!law_.settings.mx_backup_networks.empty()) {
        const auto allowed = co_await is_ours(best, true);
        if (!allowed || !*allowed)
            co_return Step::dunno;
    }
    co_return Step::permit;
}

}  // namespace posthorn::receive::policy
