#include "send/hosts.hpp"

#include "async/at_once.hpp"
#include "base/strings.hpp"
#include "dns/idna.hpp"

#include <algorithm>

namespace posthorn::send {

namespace {

constexpr std::size_t set_octets = 255;
/// A zone may name a hundred hosts of which none answers: one after the other they would hold the message, and its place, for most of an hour.
constexpr std::size_t asked_at_once = 16;
/// When so much time has gone, and there are addresses, the hosts that were not asked yet are done without.
constexpr std::chrono::seconds patience{30};

std::string set_of(const std::vector<Host>& list)
{
    std::vector<std::string> names;
    for (const Host& host : list)
        names.push_back(to_lower(host.name));
    std::ranges::sort(names);
    const auto rest = std::ranges::unique(names);
    names.erase(rest.begin(), rest.end());
    std::string set;
    for (const std::string& name : names)
        set += (set.empty() ? "" : ",") + name;
    if (set.size() > set_octets) {
        const std::size_t hash = std::hash<std::string>{}(set);
        set.resize(set_octets - 20);
        set += fmt::format("...{:016x}", hash);
    }
    return set;
}

dns::Families families(const Options& options)
{
    return options.ipv4 && options.ipv6 ? dns::Families::both : options.ipv6 ? dns::Families::v6 : dns::Families::v4;
}

Reason reason_of(const Error& error) { return {error.status().starts_with('5'), error.status(), error.text()}; }

Error address_error(const std::string& host, const dns::Addresses& found, const Options& options)
{
    dns::Answer answer;
    answer.status = found.status;
    answer.reason = found.reason;
    return dns::lookup_error(host, options.ipv4 ? dns::Type::a : dns::Type::aaaa, answer);
}

/// Adds the addresses of one host. None: they are there; else why not.
std::optional<Error> add_addresses(const std::string& host, std::uint32_t preference, std::uint16_t port, const Options& options,
                                   const dns::Addresses& found, std::vector<Host>& list)
{
    if (!found.found() || found.list.empty())
        return address_error(host, found, options);
    for (const net::IpAddress& address : found.list)
        if (address.is_v6() ? options.ipv6 : options.ipv4) {
            Host& one = list.emplace_back();
            one.name = options.cname_renames && !found.canonical_name.empty() ? found.canonical_name : host;
            one.endpoint = net::Endpoint(address, port);
            one.preference = preference;
            one.secure = found.secure && !found.native;
            one.canonical = found.canonical_name;
        }
    return std::nullopt;
}

/// The addresses of the hosts of MX or SRV records, asked in their order, several at a time.
class SetAddresses {
public:
    SetAddresses(const std::vector<dns::Record>& hosts, const Options& options, const Surroundings& around)
        : hosts_(hosts), families_(families(options)), around_(around), until_(around.clock.steady() + patience), answers_(hosts.size())
    {
    }
    awaitable<void> ask()
    {
        co_await at_once(hosts_.size(), asked_at_once, [this](std::size_t at) { return ask_one(at); });
    }
    /// In the order of the hosts; a temporary failure for those that were done without.
    const std::vector<dns::Addresses>& answers() const { return answers_; }

private:
    awaitable<void> ask_one(std::size_t at)
    {
        if (some_found_ && around_.clock.steady() >= until_)
            co_return;                                              // its answer stays the temporary failure that it begins as
        answers_[at] = co_await around_.names.addresses(hosts_[at].host, families_);
        some_found_ = some_found_ || answers_[at].found();
    }

    const std::vector<dns::Record>& hosts_;
    dns::Families families_;
    const Surroundings& around_;
    SteadyTime until_;
    std::vector<dns::Addresses> answers_;
    bool some_found_ = false;
};

/// Adds the addresses of the hosts of MX or SRV records, those of MX at `port`. None: there are some; else why not. `of`: for that, "host of example.com".
awaitable<std::optional<Reason>> add_set(const std::vector<dns::Record>* records, std::uint16_t port, std::string of, const Options* options,
                                         const Surroundings* around, std::vector<Host>* list)
{
    SetAddresses set(*records, *options, *around);
    co_await set.ask();
    std::optional<Error> failure;
    bool passing = false;
    for (std::size_t at = 0; at < records->size(); ++at) {
        const dns::Record& record = (*records)[at];
        const std::uint16_t its_port = record.type == dns::Type::srv ? record.port : port;
        if (auto missing = add_addresses(record.host, record.preference, its_port, *options, set.answers()[at], *list)) {
            passing = passing || missing->status().starts_with('4');
            failure = std::move(missing);
        }
    }
    if (!list->empty())
        co_return std::nullopt;
    Reason why = failure ? reason_of(*failure) : Reason(false, "4.4.4", fmt::format("no {} has an address", of));
    if (why.permanent && (options->defer_if_no_mx_address || passing)) {
        why.permanent = false;
        why.status = "4.4.4";
    }
    co_return why;
}

/// Leaves the hosts that are nearer to the destination than we are. None: there are some; else why not. `best`: the preference of the first host that the
/// name service names, whether it has an address or not.
std::optional<Reason> keep_nearer(std::vector<Host>& list, std::uint32_t best, std::string_view destination, const Surroundings& around)
{
    const std::uint32_t best_found = std::ranges::min(list, {}, &Host::preference).preference;
    if (cut_at_self(list, around.own_addresses))
        return std::nullopt;
    // We are of the set, and whom we would give it to has no address now: that is not our being the last.
    if (best != best_found)
        return Reason(false, "4.4.4", fmt::format("unable to find primary relay for {}", destination));
    Reason why(true, "5.4.6", fmt::format("mail for {} loops back to myself", destination));
    why.loops = true;
    return why;
}

const std::string& service_of(const Destination& destination, const Options& options)
{
    return destination.service.empty() ? options.port_name : destination.service;
}

}  // namespace

bool by_srv(const Destination& destination, const Options& options)
{
    const std::string service = to_lower(service_of(destination, options));
    return destination.mx && options.mx_lookups && std::ranges::find(options.srv_services, service) != options.srv_services.end();
}

namespace {

/// The hosts of a destination by its SRV records. False: it is to be looked up as if there were no such records.
awaitable<bool> find_services(std::string name, Destination destination, const Options* options, const Surroundings* around, std::mt19937_64* random,
                              Hosts* hosts)
{
    const std::string asked = fmt::format("_{}._tcp.{}", to_lower(service_of(destination, *options)), name);
    dns::Answer answer = co_await around->names.query(asked, dns::Type::srv);
    std::optional<Reason> why;
    std::uint32_t best = 0;  // priority
    if (answer.found()) {
        std::erase_if(answer.records, [](const dns::Record& record) { return record.host.empty(); });
        if (answer.records.empty()) {
            hosts->reason = {true, "5.4.4", fmt::format("{} says that there is no such service (SRV record of the root)", asked)};
            co_return true;
        }
        order_by_weight(answer.records, *random);
        best = answer.records.front().preference;
        why = co_await add_set(&answer.records, destination.port, "host of " + asked, options, around, &hosts->list);
    } else
        why = reason_of(dns::lookup_error(asked, dns::Type::srv, answer));
    if (why && (options->allow_srv_fallback || (options->ignore_srv_error && answer.transient()))) {
        around->log.info("skipping SRV lookup for {}: {}", asked, why->text);
        co_return false;
    }
    if (!why)
        why = keep_nearer(hosts->list, best, asked, *around);
    if (why) {
        hosts->reason = *std::move(why);
        co_return true;
    }
    // What the weights decided stays decided: each record is a preference of its own.
    std::uint32_t rank = 0;
    for (std::size_t at = 0; at < hosts->list.size(); ++at) {
        Host& host = hosts->list[at];
        rank += at != 0 && (host.name != hosts->list[at - 1].name || host.endpoint.port != hosts->list[at - 1].endpoint.port);
        host.preference = rank;
        host.mx = answer.secure ? Host::Mx::secure : Host::Mx::insecure;
    }
    hosts->set = set_of(hosts->list);
    put_in_order(hosts->list, *options, *random);
    co_return true;
}

awaitable<Hosts> find_destination(Destination destination, const Options* options, const Surroundings* around, std::mt19937_64* random)
{
    Hosts hosts;
    if (!destination.unix_path.empty()) {
        hosts.list.push_back({options->my_name, net::Endpoint::unix(destination.unix_path), 0});
        hosts.set = "unix:" + destination.unix_path.substr(0, set_octets);
        co_return hosts;
    }
    if (destination.literal) {
        if (destination.literal->is_v6() ? options->ipv6 : options->ipv4) {
            hosts.list.push_back({destination.name, net::Endpoint(*destination.literal, destination.port), 0});
            hosts.set = destination.name;
        } else
            hosts.reason = {false, "4.4.4", fmt::format("address {} is not of an address family of inet_protocols", destination.name)};
        co_return hosts;
    }
    // The name service knows names beyond ASCII by their A-labels only (RFC 6531 3.2). What is no domain name finds nothing.
    const std::string name = dns::to_a_labels(destination.name).value_or(destination.name);
    if (by_srv(destination, *options) && co_await find_services(name, destination, options, around, random, &hosts))
        co_return hosts;
    std::optional<Error> failure;
    std::uint32_t best = 0;  // preference, of those that the name service names
    bool by_address = !destination.mx || !options->mx_lookups;
    if (!by_address) {
        const dns::Answer answer = co_await around->names.mx(name);
        if (dns::is_null_mx(answer)) {
            hosts.reason = {true, "5.1.10", fmt::format("Domain {} does not accept mail (nullMX)", destination.name)};
            co_return hosts;
        }
        if (answer.found()) {
            best = answer.records.empty() ? 0 : std::ranges::min(answer.records, {}, &dns::Record::preference).preference;
            if (auto why = co_await add_set(&answer.records, destination.port, "MX host for " + destination.name, options, around, &hosts.list)) {
                hosts.reason = *std::move(why);
                co_return hosts;
            }
            for (Host& host : hosts.list) {
                host.mx = answer.secure ? Host::Mx::secure : Host::Mx::insecure;
                host.mx_owner = answer.canonical_name;
            }
        } else if (answer.status == dns::Status::nodata || (options->ignore_mx_error && answer.transient()))
            by_address = true;  // RFC 5321 5.1: no MX record, the host itself
        else
            failure = dns::lookup_error(name, dns::Type::mx, answer);
    }
    if (by_address)
        failure = add_addresses(name, 0, destination.port, *options, co_await around->names.addresses(name, families(*options)), hosts.list);
    if (hosts.list.empty()) {
        hosts.reason = failure ? reason_of(*failure)
                               : Reason(false, "4.4.4", fmt::format("no address of {} is of a family of inet_protocols", destination.name));
        co_return hosts;
    }
    // Only the host list of MX lookups for the usual port says anything about loops; [host]:port is the administrator's word.
    if (auto why = destination.mx ? keep_nearer(hosts.list, best, destination.name, *around) : std::nullopt) {
        hosts.reason = *std::move(why);
        co_return hosts;
    }
    hosts.set = set_of(hosts.list);
    put_in_order(hosts.list, *options, *random);
    co_return hosts;
}

awaitable<void> add_all(std::string text, bool fallback, const Options* options, const Surroundings* around, std::mt19937_64* random, Hosts* hosts)
{
    auto destinations = parse_nexthop(text, options->port, options->lmtp);
    if (!destinations) {
        hosts->reason = {false, "4.3.5", destinations.error().what()};
        co_return;
    }
    for (const Destination& destination : *destinations) {
        Hosts found = co_await find_destination(destination, options, around, random);
        for (Host& host : found.list) {
            host.next_hop = destination.text;
            host.domain = dns::to_a_labels(destination.name).value_or(destination.name);
        }
        if (found.list.empty())
            hosts->reason = std::move(found.reason);
        if (hosts->set.empty() && !fallback)
            hosts->set = std::move(found.set);
        hosts->list.insert(hosts->list.end(), std::make_move_iterator(found.list.begin()), std::make_move_iterator(found.list.end()));
    }
}

/// What an administrator wrote names no host: that says nothing of the mail, which waits until it is mended.
void blame(std::string_view parameter, Reason& reason, const Surroundings& around)
{
    around.log.warning("{} configuration problem", parameter);
    reason.permanent = reason.loops = false;
    reason.status = "4.3.5";
}

}  // namespace

awaitable<Hosts> find_hosts(std::string next_hop, const Options* options, const Surroundings* around, std::mt19937_64* random)
{
    Hosts hosts;
    const bool by_relayhost = !options->relayhost.empty() && next_hop == options->relayhost;
    co_await add_all(std::move(next_hop), false, options, around, random, &hosts);
    // A domain that says it takes no mail, or whose mail is ours, is not a host that could not be reached.
    const bool decided = hosts.list.empty() && (hosts.reason.status == "5.1.10" || hosts.reason.status == "5.4.6");
    const bool by_fallback = !decided && !options->fallback_relays.empty();
    if (by_fallback)
        for (const std::string& relay : options->fallback_relays)
            co_await add_all(relay, true, options, around, random, &hosts);
    if (hosts.list.empty() && hosts.reason.permanent && (by_fallback || by_relayhost))
        blame(by_fallback ? options->lmtp ? "lmtp_fallback_relay" : "smtp_fallback_relay" : "relayhost", hosts.reason, *around);
    co_return hosts;
}

}  // namespace posthorn::send
