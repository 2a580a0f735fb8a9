#include "receive/screen/options.hpp"

#include "base/strings.hpp"
#include "receive/params.hpp"

#include <fmt/format.h>

namespace posthorn::receive::screen {

namespace {

using config::BadValue;

Options::Pace read_pace(const config::Snapshot& snapshot)
{
    Options::Pace pace;
    pace.wait = snapshot.get(postscreen_greet_wait);
    pace.command = snapshot.get(postscreen_command_time_limit);
    return pace;
}

std::vector<Options::Access> read_access(const std::string& text)
{
    std::vector<Options::Access> access;
    for (const std::string_view word : config::split_grouped(text)) {
        auto one = Options::access_word(word);
        if (!one && word.find(':') != std::string_view::npos)
            one = Options::Access{.kind = Options::Access::Kind::table, .table = std::string(word)};
        if (!one)
            throw BadValue(
                fmt::format("bad configuration: postscreen_access_list: \"{}\": expected permit, reject, dunno, permit_mynetworks or a table", word));
        access.push_back(*std::move(one));
    }
    return access;
}

}  // namespace

std::optional<Options::Access> Options::access_word(std::string_view word)
{
    using enum Access::Kind;
    for (const auto& [name, kind] : {std::pair{"permit", permit}, {"reject", reject}, {"dunno", dunno}, {"permit_mynetworks", permit_mynetworks}})
        if (iequals(word, name))
            return Access{.kind = kind, .table = {}};
    return std::nullopt;
}

Options Options::from(const config::Snapshot& snapshot)
{
    Options options;
    options.enabled = snapshot.get(smtpd_screen_clients);
    if (!options.enabled)
        return options;
    options.access = read_access(snapshot.get(postscreen_access_list));
    options.denied = snapshot.get(postscreen_denylist_action);
    options.early = snapshot.get(postscreen_greet_action);
    options.listed = snapshot.get(postscreen_dnsbl_action);
    options.interfaces = snapshot.get(postscreen_allowlist_interfaces);
    options.respectful = snapshot.get(respectful_logging);
    options.calm = read_pace(snapshot);
    const config::Assignment under_stress[] = {{.name = "stress", .value = "yes"}};
    options.stressed = read_pace(snapshot.with(under_stress, "stress"));
    options.teaser = snapshot.get(postscreen_greet_banner);
    auto sites = parse_sites(snapshot.get(postscreen_dnsbl_sites));
    if (!sites)
        throw BadValue(fmt::format("bad configuration: postscreen_dnsbl_sites: {}", sites.error().text()));
    options.sites = *std::move(sites);
    options.threshold = snapshot.get(postscreen_dnsbl_threshold);
    options.good_threshold = snapshot.get(postscreen_dnsbl_allowlist_threshold);
    options.reply_map = snapshot.get(postscreen_dnsbl_reply_map);
    options.dns_timeout = snapshot.get(postscreen_dnsbl_timeout);
    options.dns_least = snapshot.get(postscreen_dnsbl_min_ttl);
    options.dns_most = snapshot.get(postscreen_dnsbl_max_ttl);
    options.greet_life = snapshot.get(postscreen_greet_ttl);
    options.retention = snapshot.get(postscreen_cache_retention_time);
    options.cleanup = snapshot.get(postscreen_cache_cleanup_interval);
    options.memory_limit = static_cast<std::size_t>(snapshot.get(smtpd_screen_memory_limit));
    options.command_limit = snapshot.get(postscreen_command_count_limit);
    options.helo_required = snapshot.get(postscreen_helo_required);
    options.disable_vrfy = snapshot.get(postscreen_disable_vrfy_command);
    options.discarded = smtp::parse_discard_list(snapshot.get(postscreen_discard_ehlo_keywords));
    options.discard_maps = snapshot.get(postscreen_discard_ehlo_keyword_address_maps);
    options.command_filter = snapshot.get(postscreen_command_filter);
    options.footer = snapshot.get(postscreen_reject_footer).text;
    if (options.footer == "$smtpd_reject_footer" || options.footer == "${smtpd_reject_footer}")       // a name is not a part of its text
        options.footer = snapshot.get(smtpd_reject_footer).text;
    options.footer_maps = snapshot.get(postscreen_reject_footer_maps);
    options.forbidden = snapshot.get(postscreen_forbidden_commands);
    const auto deep = [&](const auto& enable, const auto& action, const auto& ttl) {
        return DeepTest{.enabled = snapshot.get(enable), .act = snapshot.get(action), .life = snapshot.get(ttl)};
    };
    options.deep = {deep(postscreen_pipelining_enable, postscreen_pipelining_action, postscreen_pipelining_ttl),
                    deep(postscreen_non_smtp_command_enable, postscreen_non_smtp_command_action, postscreen_non_smtp_command_ttl),
                    deep(postscreen_bare_newline_enable, postscreen_bare_newline_action, postscreen_bare_newline_ttl)};
    options.per_client = static_cast<std::size_t>(std::max(0, snapshot.get(postscreen_client_connection_count_limit)));
    options.most = static_cast<std::size_t>(snapshot.get(postscreen_pre_queue_limit));
    const std::string proxy = snapshot.get(postscreen_upstream_proxy_protocol);
    if (!proxy.empty() && !iequals(proxy, "haproxy"))
        throw BadValue("parameter postscreen_upstream_proxy_protocol: unknown protocol: " + proxy);
    options.proxied = !proxy.empty();
    options.proxy_timeout = snapshot.get(postscreen_upstream_proxy_timeout);
    return options;
}

}  // namespace posthorn::receive::screen
