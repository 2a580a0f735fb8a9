// Where mail leaves from, and whose leaves from where: sources, pools, queues, tenants.
#include "base/strings.hpp"
#include "kumomta/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace posthorn::kumomta {

namespace {

constexpr OptionFact source_facts[] = {
    {"name", nothing_needed, "the name of its line"},
    {"ttl", nothing_needed, "`postfix reload` takes what was changed"},
    {"remote_port", left_out, "the port stands in transport_maps: NAME:[host]:port"},
    {"socks5_proxy_server", left_out, "no proxy is served for outgoing mail: such a source needs its address on this machine"},
    {"socks5_proxy_source_address", left_out, "no proxy is served for outgoing mail"},
    {"socks5_proxy_username", left_out, "no proxy is served for outgoing mail"},
    {"socks5_proxy_password", left_out, "no proxy is served for outgoing mail"},
    {"ha_proxy_server", left_out, "no proxy is served for outgoing mail: such a source needs its address on this machine"},
    {"ha_proxy_source_address", left_out, "no proxy is served for outgoing mail"},
};
constexpr OptionFact queue_facts[] = {
    {"max_message_rate", left_out, "rates are by destination: rate= in smtp_peer_rules"},
    {"overall_max_message_rate", left_out,
     "rates are by destination: rate= in smtp_peer_rules; what a client hands in: smtpd_client_message_rate_limit"},
    {"reap_interval", nothing_needed, "idle queues take no memory"},
    {"refresh_interval", nothing_needed, "`postfix reload` takes what was changed"},
    {"refresh_strategy", nothing_needed, "`postfix reload` takes what was changed"},
    {"strategy", nothing_needed, "a message is tried when its time has come"},
    {"timerwheel_tick_interval", nothing_needed, "a message is tried when its time has come"},
    {"shrink_policy", nothing_needed, "idle queues take no memory"},
    {"provider_name", nothing_needed, "a site is the MX set, or what `site=` in smtp_peer_rules calls so"},
    {"require_authz", left_out, "smtpd_sender_login_maps says who may use which sender; the tenant's field is not bound to a login"},
    {"ttl", nothing_needed, "`postfix reload` takes what was changed"},
};
constexpr OptionFact queue_file_facts[] = {
    {"campaign_header", left_out, "queues by campaign: there are none; its pool can be chosen as a tenant's is, by header_checks with FILTER"},
    {"remove_campaign_header", left_out, "smtp_header_checks with IGNORE"},
};

/// A text within a Perl expression that stands for itself.
std::string perl_literal(std::string_view text)
{
    std::string made;
    for (const char c : text) {
        if (!is_alnum(c) && static_cast<unsigned char>(c) < 0x80)
            made += '\\';
        made += c;
    }
    return made;
}

bool is_domain(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; });
}

/// Within a queue, tables but `protocol` are queues of a tenant or a campaign.
constexpr std::string_view lifetime = "maximal_queue_lifetime";
struct QueueTime {
    std::string_view option, parameter;
};
constexpr QueueTime all_queue_times[] = {
    {"max_age", lifetime}, {"retry_interval", "minimal_backoff_time"}, {"max_retry_interval", "maximal_backoff_time"}};

bool is_queue_block(std::string_view name, const Value& value) { return name != "protocol" && value.is_table(); }

Value options_of(const Value& queue)
{
    Value options = queue;
    std::erase_if(options.entries, [](const Entry& entry) { return is_queue_block(entry.name, entry.value); });
    return options;
}

/// ":587" of a domain's shaping. Empty: it says none.
std::string port_of(const Value& shaping, std::string_view domain)
{
    const Value* const options = shaping.find(domain);
    const auto port = options && is_domain(domain) ? parse_number(options->word_of("smtp_port")) : std::nullopt;
    return port && *port > 0 && *port < 65536 ? fmt::format(":{}", *port) : std::string();
}

/// The hosts that a queue goes to, as a next hop. Empty: by the domain's own MX.
std::string next_hop_of(const Value& queue, const Value& shaping)
{
    if (const std::string routing = queue.word_of("routing_domain"); !routing.empty())
        return routing.find_first_of(" \t\n,") == routing.npos ? routing + port_of(shaping, routing) : "";
    const Value* const protocol = queue.find("protocol");
    const Value* const smtp = protocol ? protocol->find("smtp") : nullptr;
    const Value* const hosts = smtp ? smtp->find("mx_list") : nullptr;
    std::vector<std::string> hops;
    for (const std::string& host : hosts ? hosts->words() : std::vector<std::string>())
        if (host.find_first_of(" \t\n,[]") == host.npos) {
            const std::size_t colon = host.rfind(':');
            const bool has_port = colon != host.npos && host.find(':') == colon;
            hops.push_back(has_port ? fmt::format("[{}]{}", host.substr(0, colon), host.substr(colon)) : fmt::format("[{}]", host));
        }
    return fmt::format("{}", fmt::join(hops, ", "));
}

}  // namespace

std::string PolicyTranslator::unique_service(std::string_view name, std::string_view suffix)
{
    std::string made;
    for (const char c : name)
        made += is_alnum(c) || c == '_' || c == '-' ? c : '-';
    if (made.empty() || !is_alnum(made.front()))
        made = "source" + made;
    made = made.substr(0, 60);
    std::string candidate = made;
    if (services_.contains(candidate))
        candidate = made + std::string(suffix);
    for (int number = 2; services_.contains(candidate); ++number)
        candidate = fmt::format("{}{}-{}", made, suffix, number);
    services_.insert(candidate);
    return candidate;
}

void PolicyTranslator::source_line(const Entry& source)
{
    const Block block{source.value, "source " + source.name};
    const std::string service = unique_service(source.name, "-out");
    lines_[source.name] = service;
    places_[service] = source.value.place;
    std::vector<std::string>& options = options_[service];
    const std::string address = source.value.word_of("source_address"), host = source.value.word_of("ehlo_domain");
    if (address == "0.0.0.0" || address == "::") {
        judge(block, "source_address", Kind::nothing_needed, "any address of this machine");
    } else if (!address.empty() && address.find_first_of(" \t\n$,") == address.npos) {
        const bool six = address.find(':') != address.npos;
        options.push_back(fmt::format("smtp_bind_address{}={}", six ? "6" : "", address));
        options.emplace_back("smtp_bind_address_enforce=yes");
        options.emplace_back(six ? "inet_protocols=ipv6" : "inet_protocols=ipv4");
        judge(block, "source_address", Kind::becomes, fmt::format("-o smtp_bind_address{}={} of the line {}", six ? "6" : "", address, service));
    }
    if (!host.empty() && host.find_first_of(" \t\n$") == host.npos) {
        options.push_back("smtp_helo_name=" + host);
        judge(block, "ehlo_domain", Kind::becomes, fmt::format("-o smtp_helo_name={} of the line {}", host, service));
    }
    rest(block, source_facts);
    judge(source.value.place, block.where, "source", Kind::becomes, fmt::format("a line {} in master.cf", service));
}

void PolicyTranslator::pool(const Entry& entry, std::vector<std::string>& pools)
{
    const std::string where = "pool " + entry.name;
    std::vector<std::pair<std::string, long>> members;
    for (const Entry& member : entry.value.entries) {
        if (const auto line = lines_.find(member.name); line != lines_.end()) {
            const Value* const weight = member.value.find("weight");
            const double number = weight && weight->kind == Value::Kind::number ? weight->number : 1;
            if (number >= 1)
                members.emplace_back(line->second, static_cast<long>(std::min(number, 1e6)));
            else
                judge(member.value.place, where, member.name, Kind::left_out, "its weight is 0: it is not used");
        } else if (member.name != "unspecified") {
            judge(member.value.place, where, member.name, Kind::left_out, "there is no source of this name");
        } else {
            members.emplace_back("smtp", 1);
        }
    }
    if (members.empty()) {
        judge(entry.value.place, where, "pool", Kind::left_out, "it has no source");
        return;
    }
    if (members.size() == 1) {
        transports_[entry.name] = members.front().first;
        judge(entry.value.place, where, "pool", Kind::becomes, fmt::format("the transport {}: it has one source", members.front().first));
        return;
    }
    const std::string name = unique_service(entry.name, "-pool");
    // Ours go to a thousand.
    const long most = std::ranges::max(members, {}, &std::pair<std::string, long>::second).second;
    std::string text = name;
    for (const auto& [service, weight] : members)
        text += fmt::format(", {}={}", service, most > 1000 ? std::max(1L, weight * 1000 / most) : weight);
    pools.push_back("{ " + text + " }");
    transports_[entry.name] = name;
    judge(entry.value.place, where, "pool", Kind::becomes, "pooled_transports: " + text);
}

void PolicyTranslator::senders()
{
    for (const Entry& source : policy_.sources.entries)
        source_line(source);
    std::vector<std::string> pools;
    for (const Entry& entry : policy_.pools.entries)
        pool(entry, pools);
    if (!pools.empty())
        set("pooled_transports", fmt::format("{}", fmt::join(pools, ", ")), policy_.pools.place, "pools");
}

std::string PolicyTranslator::transport_of(const std::string& pool) const
{
    if (pool == "unspecified")
        return "smtp";
    const auto found = transports_.find(pool);
    return found == transports_.end() ? std::string() : found->second;
}

void PolicyTranslator::queues()
{
    queue_times();
    queue_routes();
    tenants();
    scheduling();
    if (!schedules_.empty())
        set("retry_schedule_maps", add_table("retry_schedule", "texthash", schedules_), policy_.queues.place, "times by domain and tenant");
    if (policy_.discards) {
        for (const char* parameter : {"default_transport", "relay_transport"})
            set(parameter, "discard:", {policy_.path, 0}, "every message goes to the queue \"null\"");
        judge({policy_.path, 0}, "policy", "queue = 'null'", Kind::becomes, "default_transport = discard: every message is taken, and thrown away");
    }
    static constexpr std::string_view said[] = {"queue", "tenant", "tenant_header", "remove_tenant_header", "default_tenant", "scheduling_header"};
    Value others = policy_.queues;
    std::erase_if(others.entries, [](const Entry& entry) { return std::ranges::find(said, entry.name) != std::end(said); });
    rest({others, "queues"}, queue_file_facts);
}

/// The default's are main.cf's.
void PolicyTranslator::queue_times()
{
    const Value* const queue = policy_.queues.find("queue");
    const Value* const by_default = queue ? queue->find("default") : nullptr;
    const Place none;
    static const Value empty;
    const Block block{by_default ? *by_default : empty, "queue default"};
    if (!becomes_time(block, "max_age", "maximal_queue_lifetime"))
        set("maximal_queue_lifetime", "7d", none, "KumoMTA's default");
    set("bounce_queue_lifetime", "$maximal_queue_lifetime", none, "");
    if (!becomes_time(block, "retry_interval", "minimal_backoff_time"))
        set("minimal_backoff_time", "20m", none, "KumoMTA's default");
    if (!becomes_time(block, "max_retry_interval", "maximal_backoff_time"))
        set("maximal_backoff_time", "1d", none, "KumoMTA has no limit by default");
    const Value least = Value::of(out_.find("minimal_backoff_time")->value, none), most = Value::of(out_.find("maximal_backoff_time")->value, none);
    if (seconds_of(most).value_or(0) < seconds_of(least).value_or(0))
        set("maximal_backoff_time", "$minimal_backoff_time", none, "no shorter than the first");
}

/// Times that are not the default's, as an entry of retry_schedule_maps.
void PolicyTranslator::own_times(const Block& block, const std::string& key)
{
    std::string words;
    for (const QueueTime& time : all_queue_times) {
        const Value* const value = block.table.find(time.option);
        if (!value)
            continue;
        const auto seconds = seconds_of(*value);
        if (!seconds || *seconds == 0) {
            judge(block, time.option, Kind::left_out, fmt::format("no time for {}", time.parameter));
            continue;
        }
        const Setting* const general = out_.find(std::string(time.parameter));
        if (general && general->value == time_text(*seconds)) {
            judge(block, time.option, Kind::nothing_needed, "the default's");
            continue;
        }
        const std::string word = fmt::format("{}={}", time.parameter, time_text(*seconds));
        words +=
            (words.empty() ? "" : ", ") + word + (time.parameter == lifetime ? fmt::format(", bounce_queue_lifetime={}", time_text(*seconds)) : "");
        judge(block, time.option, Kind::becomes, fmt::format("retry_schedule_maps: {} {}", key, word));
    }
    if (!words.empty())
        schedules_ += fmt::format("{} {}\n", key, words);
}

void PolicyTranslator::inner_queues(const Block& domain)
{
    for (const Entry& entry : domain.table.entries)
        if (is_queue_block(entry.name, entry.value)) {
            const Block inner{entry.value, domain.where + " " + entry.name};
            judge(inner, "egress_pool", Kind::left_out, "a pool by domain and tenant together: the tenant's is taken");
            for (const QueueTime& time : all_queue_times)
                judge(inner, time.option, Kind::left_out, "times by domain and tenant together: the domain's, else the tenant's are taken");
            inner_queues(inner);
            const Value options = options_of(entry.value);
            rest({options, inner.where}, queue_facts);
        }
}

void PolicyTranslator::queue_routes()
{
    const Value* const queue = policy_.queues.find("queue");
    const Value* const by_default = queue ? queue->find("default") : nullptr;
    // A tenant's pool counts before a domain's, and this before the default's; without a field it is the default tenant's.
    const Value* const tenants = policy_.queues.find("tenant");
    const Value* const tenant = tenants ? tenants->find(policy_.queues.word_of("default_tenant")) : nullptr;
    const std::string by_tenant = tenant ? transport_of(tenant->word_of("egress_pool")) : "";
    std::string transport = by_tenant;
    if (transport.empty() && by_default)
        transport = transport_of(by_default->word_of("egress_pool"));
    if (transport.empty())
        transport = "smtp";
    if (by_tenant.empty())
        ++pool_users_[transport];
    std::string table;
    const std::string general = by_default ? next_hop_of(*by_default, policy_.shaping) : "";
    std::set<std::string> routed;
    for (const Entry& entry : queue ? queue->entries : std::vector<Entry>()) {
        const bool is_default = entry.name == "default";
        const Block block{entry.value, "queue " + entry.name};
        const std::string pool = entry.value.word_of("egress_pool"), hop = next_hop_of(entry.value, policy_.shaping),
                          of_pool = pool.empty() || !by_tenant.empty() ? transport : transport_of(pool);
        const bool maildir = entry.value.find("protocol") && !entry.value.find("protocol")->find("smtp");
        if (!by_tenant.empty())
            judge(block, "egress_pool", Kind::nothing_needed, "the default tenant's pool counts before it");
        judge(block, "egress_pool", of_pool.empty() ? Kind::left_out : Kind::becomes,
              of_pool.empty() ? fmt::format("there is no pool {}", pool)
                              : fmt::format("{} {}", is_default ? "default_transport =" : "transport_maps:", of_pool));
        if (maildir)
            judge(block, "protocol", Kind::left_out, "a mailbox: virtual_mailbox_domains; a program of the site's: a pipe line");
        if (!hop.empty())
            for (const char* option : {"routing_domain", "protocol"})
                judge(block, option, Kind::becomes,
                      fmt::format("{} {}", is_default ? "default_transport, and FILTER of tenants:" : "transport_maps", hop));
        if (!hop.empty() && !is_default && policy_.queues.find("tenant_header"))
            judge(entry.value.place, block.where, "mail with the tenant's field", Kind::left_out,
                  fmt::format("FILTER leads to the domain's own MX, not to {}: name the host behind the transport in the table tenants", hop));
        const bool below = entry.name.starts_with("*.");
        const bool named = is_domain(below ? std::string_view(entry.name).substr(2) : std::string_view(entry.name));
        const std::string key = to_lower(below ? entry.name.substr(1) : entry.name);
        if (!is_default && named)
            own_times(block, key);
        inner_queues(block);
        const Value options = options_of(entry.value);
        rest({options, block.where}, queue_facts);
        if (is_default) {
            set("default_transport", transport + (hop.empty() ? "" : ":" + hop), entry.value.place, "queue default");
            continue;
        }
        if (!named) {
            judge(entry.value.place, block.where, "queue", Kind::left_out, "no name of a domain");
            continue;
        }
        if (!pool.empty())
            ++pool_users_[of_pool];
        // The default's hop is a domain's, too, but for one that has its own.
        const std::string to = !hop.empty()                            ? hop
                               : !general.empty() || below             ? general
                               : port_of(policy_.shaping, key).empty() ? ""
                                                                       : key + port_of(policy_.shaping, key);
        if (!maildir && !of_pool.empty() && (!pool.empty() || !hop.empty())) {
            table += fmt::format("{} {}:{}\n", key, of_pool, to);
            routed.insert(key);
        }
    }
    shaped_ports(transport, general, routed, table);
    if (!table.empty()) {
        const std::string spec = add_table("transport", "texthash", table);
        set("transport_maps", spec, queue ? queue->place : policy_.shaping.place, "queues by domain");
    }
}

/// Ports that shaping names: of the smart host's in its hop, of domains in lines of their own where their mail goes to their MX.
void PolicyTranslator::shaped_ports(const std::string& transport, const std::string& general, const std::set<std::string>& routed, std::string& table)
{
    for (const Entry& entry : policy_.shaping.entries) {
        const Block block{entry.value, "shaping " + entry.name};
        const std::string domain = to_lower(entry.name), port = port_of(policy_.shaping, entry.name);
        if (port.empty() || entry.name == "default" || entry.name == "provider")
            continue;
        if (general == entry.name + port) {
            judge(block, "smtp_port", Kind::becomes, "default_transport: " + general);
        } else if (general.empty() && !policy_.queues.find("tenant_header")) {
            if (!routed.contains(domain))
                table += fmt::format("{} {}:{}{}\n", domain, transport, domain, port);
            judge(block, "smtp_port", Kind::becomes, fmt::format("transport_maps: {} {}:{}{}", domain, transport, domain, port));
        } else {
            continue;
        }
        ported_[entry.name] = port;
    }
    const Value* const all = policy_.shaping.find("default");
    if (const auto port = all ? parse_number(all->word_of("smtp_port")) : std::nullopt; port && *port > 0 && *port < 65536)
        becomes_setting({*all, "shaping default"}, "smtp_port", "smtp_tcp_port");
}

bool is_name_of_field(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
}

void PolicyTranslator::scheduling()
{
    const Block block{policy_.queues, "queues"};
    const std::string header = policy_.queues.word_of("scheduling_header");
    if (!is_name_of_field(header)) {
        judge(block, "scheduling_header", Kind::left_out, "no name of a field");
        return;
    }
    set("scheduling_header", header, policy_.queues.find("scheduling_header")->place, "scheduling_header");
    judge(block, "scheduling_header", Kind::becomes, "scheduling_header: of those in mynetworks, who has authenticated, and what is injected");
}

/// Whose field names which transport: header_checks. A later line that matches is not looked at.
void PolicyTranslator::tenants()
{
    const Value& file = policy_.queues;
    const Block block{file, "queues"};
    const Value* const tenants = file.find("tenant");
    const std::string header = file.word_of("tenant_header"), by_default = file.word_of("default_tenant");
    const Value* const queue = file.find("queue");
    const Value* const all = queue ? queue->find("default") : nullptr;
    const std::string hop = all ? next_hop_of(*all, policy_.shaping) : "";          // where all mail goes; empty: by the domain's own MX
    std::map<std::string, std::string> pools;                      // tenant to transport
    if (policy_.tenants_are_pools)
        pools = transports_;
    for (const Entry& tenant : tenants ? tenants->entries : std::vector<Entry>()) {
        const Block one{tenant.value, "tenant " + tenant.name};
        const std::string pool = tenant.value.word_of("egress_pool"), transport = transport_of(pool);
        if (!transport.empty())
            pools[tenant.name] = transport;
        else if (pool.empty())
            pools.try_emplace(tenant.name);
        judge(one, "egress_pool", transport.empty() ? Kind::left_out : Kind::becomes,
              transport.empty() ? fmt::format("there is no pool {}", pool)
              : header.empty()  ? fmt::format("nothing says whose mail it is: sender_dependent_default_transport_maps with {}:", transport)
                                : fmt::format("header_checks: FILTER {}:", transport));
        ++pool_users_[transport];
    }
    for (const Entry& tenant : tenants ? tenants->entries : std::vector<Entry>()) {
        const Block one{tenant.value, "tenant " + tenant.name};
        const std::string transport = transport_of(tenant.value.word_of("egress_pool"));
        if (transport.empty() || pool_users_[transport] > 1)
            for (const QueueTime& time : all_queue_times)
                judge(one, time.option, Kind::left_out,
                      transport.empty() ? "it has no pool that an entry of retry_schedule_maps could name"
                                        : "others send by its pool: they would have these times, too");
        else
            own_times(one, "transport:" + transport);
        rest(one, queue_facts);
    }
    if (!by_default.empty()) {
        const auto found = pools.find(by_default);
        const bool known = found != pools.end() && !found->second.empty();
        if (known)
            set("default_transport", found->second + (hop.empty() ? "" : ":" + hop), file.find("default_tenant")->place, "default_tenant");
        judge(block, "default_tenant", known ? Kind::becomes : Kind::left_out, known ? "default_transport = " + found->second : "it has no pool");
    }
    if (!is_name_of_field(header)) {
        judge(block, "tenant_header", Kind::left_out, "no name of a field");
        return;
    }
    std::string checks;
    for (const auto& [tenant, transport] : pools)
        if (printable(tenant, true) == tenant)
            checks += fmt::format("/^{}:\\s*(?-i:{})\\s*$/ {}\n", header, perl_literal(tenant),
                                  transport.empty() ? "DUNNO" : fmt::format("FILTER {}:{}", transport, hop));
    if (policy_.tenants_are_checked)
        checks += fmt::format("/^{}:/ REJECT 5.7.1 There is no such tenant\n", header);
    const Place place = file.find("tenant_header")->place;
    set("header_checks", add_table("tenants", "pcre", checks), place, "tenant_header");
    set("mime_header_checks", "", place, "the tenant's field is one of the message's own");
    set("nested_header_checks", "", place, "");
    judge(block, "tenant_header", Kind::becomes, "header_checks with FILTER: it decides for all recipients of the message, before transport_maps");
    if (file.yes("remove_tenant_header")) {
        set("smtp_header_checks", add_table("tenants_out", "pcre", fmt::format("/^{}:/ IGNORE\n", header)), place, "remove_tenant_header");
        judge(block, "remove_tenant_header", Kind::becomes, "smtp_header_checks");
    } else {
        judge(block, "remove_tenant_header", Kind::nothing_needed, "the field stays");
    }
}

}  // namespace posthorn::kumomta
