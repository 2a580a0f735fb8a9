#include "dns/params.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::dns {

Result<Support> support_level(const config::Snapshot& config, std::string_view as)
{
    const std::string text = config.get(smtp_dns_support_level, as);
    if (text.empty())
        return config.get(disable_dns_lookups) ? Support::disabled : Support::enabled;
    if (iequals(text, "disabled"))
        return Support::disabled;
    if (iequals(text, "enabled"))
        return Support::enabled;
    if (iequals(text, "dnssec"))
        return Support::dnssec;
    return Error{fmt::format("invalid {} value: \"{}\"", config::name_as(smtp_dns_support_level.name, as), text)};
}

Result<Options> options_from(const config::Snapshot& config, std::string_view as)
{
    Options options;
    const std::string servers = config.get(dns_servers);
    for (const std::string_view word : split(servers, " ,\t\r\n")) {
        auto server = parse_server(word);
        if (!server)
            return Error{fmt::format("parameter dns_servers: {}", server.error().what())};
        options.servers.push_back(*std::move(server));
    }
    const std::string anchors = config.get(dns_trust_anchors);
    for (const std::string_view one : split(anchors, ","))
        if (const auto anchor = trim(one); !anchor.empty())
            options.trust_anchors.emplace_back(anchor);
    options.limit = config.get(dns_time_limit);
    options.cache.entries = static_cast<std::size_t>(config.get(dns_cache_limit));
    TRY(const Support support, support_level(config, as));
    options.dnssec = support == Support::dnssec;
    const std::string name = config::name_as("smtp_host_lookup", as);
    options.host_lookup.clear();
    const std::string ways = config.text(name);
    for (const std::string_view word : split(ways, " ,\t\r\n")) {
        if (!iequals(word, "dns") && !iequals(word, "native"))
            return Error{fmt::format("bad \"{}\" configuration: {}", name, word)};
        if (iequals(word, "native"))
            options.host_lookup.push_back(Lookup::native);
        else if (support != Support::disabled)
            options.host_lookup.push_back(Lookup::dns);
    }
    if (options.host_lookup.empty())
        options.host_lookup.push_back(support == Support::disabled ? Lookup::native : Lookup::dns);
    return options;
}

}  // namespace posthorn::dns
