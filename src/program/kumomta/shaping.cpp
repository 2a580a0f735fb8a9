// What a destination is spared: paths, providers, and what is done when a reply asks for less.        KumoMTA's reference: make_egress_path, shaping.load
#include "base/strings.hpp"
#include "kumomta/translator.hpp"
#include "peers/rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::kumomta {

namespace {

constexpr std::string_view time_options[][2] = {
    {"connect_timeout", "smtp_connect_timeout"},          {"banner_timeout", "smtp_helo_timeout"},  {"ehlo_timeout", "smtp_helo_timeout"},
    {"mail_from_timeout", "smtp_mail_timeout"},           {"rcpt_to_timeout", "smtp_rcpt_timeout"}, {"data_timeout", "smtp_data_init_timeout"},
    {"data_dot_timeout", "smtp_data_done_timeout"},       {"rset_timeout", "smtp_rset_timeout"},    {"starttls_timeout", "smtp_starttls_timeout"},
    {"idle_timeout", "smtp_connection_cache_time_limit"},
};
constexpr OptionFact path_facts[] = {
    {"mx_rollup", nothing_needed, "a site is the MX set: what is said of a domain holds for all that share its servers"},
    {"replace_base", nothing_needed, "what earlier files say of it is not taken"},
    {"match", nothing_needed, "the pattern of its line"},
    {"consecutive_connection_failures_before_delay", left_out,
     "default_destination_concurrency_failed_cohort_limit: how many windows of failures make a site dead"},
    {"max_ready", nothing_needed, "qmgr_message_active_limit, for all together"},
    {"max_connection_rate", left_out, "connects= in smtp_peer_rules: no rate was read"},
    {"enable_mta_sts", left_out, "smtp_mta_sts = yes asks domains for their policies"},
    {"enable_dane", left_out, "smtp_tls_security_level = dane with smtp_dns_support_level = dnssec; for one domain smtp_tls_policy_maps"},
    {"enable_pipelining", left_out, "smtp_discard_ehlo_keyword_address_maps with pipelining; one-command-per-flight in smtp_peer_rules"},
    {"enable_rset", left_out, "no-rset in smtp_peer_rules"},
    {"ehlo_domain", left_out, "smtp_helo_name, for each source"},
    {"smtp_port", left_out, "the port stands in transport_maps: TRANSPORT:host:port"},
    {"smtp_auth_plain_username", left_out, "smtp_sasl_auth_enable = yes with smtp_sasl_password_maps"},
    {"smtp_auth_plain_password", left_out, "smtp_sasl_auth_enable = yes with smtp_sasl_password_maps"},
    {"allow_smtp_auth_plain_without_tls", left_out, "smtp_sasl_security_options, smtp_sasl_tls_security_options"},
    {"prohibited_hosts", left_out, "check_recipient_mx_access with a cidr table refuses such domains at RCPT"},
    {"skip_hosts", left_out, "smtp_dns_reply_filter takes records out of answers"},
    {"additional_connection_limits", left_out, "sessions= of one rule holds for a site"},
    {"additional_message_rate_throttles", left_out, "rate= of one rule holds for a site"},
    {"additional_source_selection_rates", left_out, "weights of pooled_transports, and rate= by site"},
    {"source_selection_rate", left_out, "weights of pooled_transports"},
    {"tls_prefer_openssl", nothing_needed, "TLS is OpenSSL's"},
    {"openssl_cipher_list", left_out, "smtp_tls_mandatory_ciphers, tls_high_cipherlist"},
    {"refresh_interval", nothing_needed, "`postfix reload` takes what was changed"},
    {"refresh_strategy", nothing_needed, "`postfix reload` takes what was changed"},
    {"provider_name", nothing_needed, "site= of its line"},
    {"opportunistic_tls_reconnect_on_failed_handshake", nothing_needed, "where TLS fails, the next attempt goes without (security level may)"},
    {"remember_broken_tls", nothing_needed, "where TLS fails, the next attempt goes without (security level may)"},
};

/// Sections of a block that are blocks themselves.
bool is_section(std::string_view name) { return name == "sources" || name == "automation"; }

Value options_alone(const Value& block)
{
    Value options = block;
    std::erase_if(options.entries, [](const Entry& entry) { return is_section(entry.name); });
    return options;
}

const Value* source_of(const Value* block, std::string_view source)
{
    const Value* const sources = block && !source.empty() ? block->find("sources") : nullptr;
    return sources ? sources->find(source) : nullptr;
}

/// What counts for a destination: the default's, its own, and what both say of the source.
Value resolved(const Value* by_default, const Value& block, std::string_view source)
{
    Value all = Value::table(block.place);
    for (const Value* layer : {by_default, &block, source_of(by_default, source), source_of(&block, source)})
        if (layer && layer->is_table())
            merge(all, options_alone(*layer));
    return all;
}

/// A literal as a part of a rule's pattern.
std::string pattern_of(std::string_view literal)
{
    std::string made;
    for (const char c : literal) {
        if (!is_alnum(c) && c != '-' && c != '_')
            made += '\\';
        made += ascii_lower(c);
    }
    return made;
}

bool is_name(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; });
}

/// What a rule calls the servers of a domain or a provider.
std::string site_name(std::string_view name)
{
    std::string site;
    for (const char c : name)
        site += is_alnum(c) ? ascii_lower(c) : '-';
    return site;
}

std::string count_word(const Value& options, std::string_view option, std::string_view word)
{
    const Value* const value = options.find(option);
    const auto number = value ? parse_number(value->word().value_or("")) : std::nullopt;
    return number && *number > 0 && *number <= 100'000 ? fmt::format(" {}={}", word, *number) : "";
}

std::string rate_word(const Value& options, std::string_view option, std::string_view word)
{
    const Value* const value = options.find(option);
    const auto rate = value ? rate_of(*value) : std::nullopt;
    return rate ? fmt::format(" {}={}", word, *rate) : "";
}

/// The words of a rule for an action; empty: there are none for it, and `why`.
std::string words_for(const Value& action, bool at_once, const std::string& duration, std::string& why)
{
    const std::string name = action.word().value_or("");
    if (name == "Suspend")
        return at_once ? "suspend=" + duration : "slower";
    const Value* change = action.find("SetConfig");
    if (!change)
        change = action.find("SetDomainConfig");
    const std::string option = change ? change->word_of("name") : "";
    if (option == "max_message_rate" || option == "max_connection_rate" || option == "provider_max_message_rate")
        return "slower";
    if (option == "connection_limit" || option == "provider_connection_limit")
        return "fewer-sessions";
    if (option == "enable_tls")
        why = "where TLS fails, the next attempt goes without by itself (security level may)";
    else if (name.starts_with("SuspendTenant") || name.starts_with("SuspendCampaign"))
        why = "a site is suspended for all who send there: suspend= would hold up the other tenants";
    else if (name.starts_with("Bounce"))
        why = "mail that waits is not returned because of one reply: postsuper -e, or default_delivery_status_filter";
    else
        why = "no word of smtp_peer_rules does the same";
    return {};
}

}  // namespace

std::string within_slashes(std::string_view regex)
{
    std::string made;
    for (std::size_t i = 0; i < regex.size(); ++i) {
        if (regex[i] == '\\' && i + 1 < regex.size())
            made += regex[i++];
        else if (regex[i] == '/')
            made += '\\';
        made += regex[i];
    }
    return made;
}

std::string PolicyTranslator::words_of(const Value& options, const std::string& site, bool provider)
{
    std::string words;
    const std::string all_sessions = count_word(options, "provider_connection_limit", "sessions"),
                      all_rate = rate_word(options, "provider_max_message_rate", "rate");
    // One site: what is limited for a provider, and whose replies have a meaning of their own.
    if (!site.empty())
        words += " site=" + site;
    words += all_sessions.empty() ? count_word(options, "connection_limit", "sessions") : all_sessions;
    words += all_rate.empty() ? rate_word(options, "max_message_rate", "rate") : all_rate;
    words += rate_word(options, "max_connection_rate", "connects");
    words += count_word(options, "max_deliveries_per_connection", "mails-per-session");
    words += count_word(options, "max_recipients_per_batch", "recipients-per-mail");
    if (provider && options.word_of("enable_tls") == "Disabled")
        words += " no-tls";
    return words;
}

std::string PolicyTranslator::domain_lines(const std::string& source)
{
    std::string lines;
    const Value* const by_default = policy_.shaping.find("default");
    for (const Entry& entry : policy_.shaping.entries) {
        if (entry.name == "default" || entry.name == "provider" || !is_name(entry.name))
            continue;
        const std::string words =
            words_of(resolved(by_default, entry.value, source), sites_.contains(site_name(entry.name)) ? site_name(entry.name) : "", false);
        if (!words.empty())
            lines += fmt::format("domain /^{}$/ {}\n", pattern_of(entry.name), words.substr(1));
    }
    return lines;
}

std::string PolicyTranslator::provider_lines(const std::string& source)
{
    std::string lines;
    const Value* const by_default = policy_.shaping.find("default");
    const Value* const providers = policy_.shaping.find("provider");
    for (const Entry& entry : providers ? providers->entries : std::vector<Entry>()) {
        const Value options = resolved(by_default, entry.value, source);
        const bool one_site =
            sites_.contains(site_name(entry.name)) || options.find("provider_connection_limit") || options.find("provider_max_message_rate");
        const std::string words = words_of(options, one_site ? site_name(entry.name) : "", true);
        std::string hosts;
        const Value* const match = entry.value.find("match");
        for (const Value& one : match ? match->items : std::vector<Value>()) {
            const std::string suffix = one.word_of("MXSuffix"), host = one.word_of("HostName"), domain = one.word_of("DomainSuffix");
            if (!suffix.empty())
                hosts += fmt::format("{}{}$", hosts.empty() ? "" : "|", pattern_of(suffix));
            if (!host.empty())
                hosts += fmt::format("{}^{}$", hosts.empty() ? "" : "|", pattern_of(host));
            if (!domain.empty() && !words.empty())
                lines += fmt::format("domain /{}$/ {}\n", pattern_of(domain), words.substr(1));
        }
        if (!hosts.empty() && !words.empty())
            lines += fmt::format("host /{}/ {}\n", hosts, words.substr(1));
    }
    return lines;
}

void PolicyTranslator::path_verdicts(const Block& block, bool of_default)
{
    const bool provider = block.where.find(" provider ") != block.where.npos;
    static constexpr std::string_view words[][2] = {{"connection_limit", "sessions="},
                                                    {"max_message_rate", "rate="},
                                                    {"max_connection_rate", "connects="},
                                                    {"max_deliveries_per_connection", "mails-per-session="},
                                                    {"max_recipients_per_batch", "recipients-per-mail="},
                                                    {"provider_connection_limit", "site= and sessions="},
                                                    {"provider_max_message_rate", "site= and rate="}};
    for (const auto& [option, word] : words) {
        const bool said = !count_word(block.table, option, "x").empty() || !rate_word(block.table, option, "x").empty();
        const std::string_view total = option == "connection_limit"   ? "provider_connection_limit"
                                       : option == "max_message_rate" ? "provider_max_message_rate"
                                                                      : "";
        if (!said)
            judge(block, option, Kind::left_out, fmt::format("{} in smtp_peer_rules wants a number, or a number in a time", word));
        else if (provider && !total.empty() && block.table.find(total))
            judge(block, option, Kind::left_out, fmt::format("one limit holds for all servers of a provider: that of {}", total));
        else
            judge(block, option, Kind::becomes, fmt::format("{} in peer_rules; it counts for each source", word));
    }
    if (const std::string level = tls_level(block.table); !level.empty())
        judge(block, "enable_tls", provider && level != "none" ? Kind::left_out : Kind::becomes,
              provider && level != "none" ? "of a provider by the domains that it serves: smtp_tls_policy_maps"
              : of_default                ? "smtp_tls_security_level = " + level
              : provider                  ? "no-tls in peer_rules"
                                          : fmt::format("{} in smtp_tls_policy_maps", level));
    if (!of_default)
        for (const auto& [option, parameter] : time_options)
            judge(block, option, Kind::left_out, fmt::format("{} is one for all: the default's", parameter));
    rest(block, path_facts, {"sources", "automation"});
    const Value* const sources = block.table.find("sources");
    for (const Entry& source : sources ? sources->entries : std::vector<Entry>()) {
        if (lines_.contains(source.name))
            path_verdicts({source.value, fmt::format("{} source {}", block.where, source.name)}, false);
        else
            judge(source.value.place, block.where, "source " + source.name, Kind::left_out, "there is no source of this name");
    }
}

std::string PolicyTranslator::tls_level(const Value& options) const
{
    const std::string level = options.word_of("enable_tls");
    return level == "Disabled"                                            ? "none"
           : level == "Required" || level == "RequiredInsecure"           ? "encrypt"
           : level == "Opportunistic" || level == "OpportunisticInsecure" ? "may"
                                                                          : "";
}

void PolicyTranslator::default_path()
{
    const Value* const options = policy_.shaping.find("default");
    static const Value none;
    const Block block{options ? *options : none, "shaping default"};
    for (const auto& [option, parameter] : time_options)
        becomes_time(block, option, std::string(parameter));
    becomes_setting(block, "connection_limit", "default_destination_concurrency_limit");
    becomes_setting(block, "max_deliveries_per_connection", "smtp_connection_reuse_count_limit");
    const std::string level = tls_level(block.table);
    set("smtp_tls_security_level", level.empty() ? "may" : level, block.table.place, "enable_tls");
    if (block.table.yes("enable_mta_sts")) {
        set("smtp_mta_sts", "yes", block.table.find("enable_mta_sts")->place, "enable_mta_sts");
        judge(block, "enable_mta_sts", Kind::becomes, "smtp_mta_sts = yes");
    }
    path_verdicts(block, true);
}

void PolicyTranslator::tls_policies()
{
    std::string table;
    for (const Entry& entry : policy_.shaping.entries)
        if (const std::string level = tls_level(entry.value);
            entry.name != "default" && entry.name != "provider" && is_name(entry.name) && !level.empty())
            table += fmt::format("{0} {1}\n{2}", to_lower(entry.name), level,
                                 ported_.contains(entry.name) ? fmt::format("{}{} {}\n", to_lower(entry.name), ported_[entry.name], level) : "");
    if (!table.empty())
        set("smtp_tls_policy_maps", add_table("tls_policies", "texthash", table), policy_.shaping.place, "enable_tls by domain");
}

std::string PolicyTranslator::automation_line(const Value& rule, const std::string& where, const std::string& site)
{
    const Value* const regex = rule.find("regex");
    const std::vector<std::string> patterns = regex ? regex->words() : std::vector<std::string>();
    const Value* const action = rule.find("action");
    const Value* const time = rule.find("duration");
    const auto seconds = time ? seconds_of(*time) : std::nullopt;
    const Value* const trigger = rule.find("trigger");
    const bool at_once = !trigger || !trigger->is_table();
    const std::string statement = fmt::format("automation {}", regex ? regex->shown() : "");
    std::vector<Value> actions = action && action->kind == Value::Kind::list ? action->items : std::vector<Value>();
    if (action && action->kind != Value::Kind::list)
        actions.push_back(*action);
    std::string words, why = "it has no action";
    for (const Value& one : actions)
        if (const std::string word = words_for(one, at_once, time_text(std::clamp(seconds.value_or(300), 1LL, 86'400LL)), why);
            !word.empty() && (" " + words + " ").find(" " + word + " ") == std::string::npos)
            words += (words.empty() ? "" : " ") + word;
    if (words.empty()) {
        judge(rule.place, where, statement, Kind::left_out, why);
        return {};
    }
    std::string lines;
    for (const std::string& pattern : patterns) {
        const std::string line = fmt::format("reply{}{} /^(?=4).*(?:{})/i {}\n", site.empty() ? "" : "@", site, within_slashes(pattern), words);
        if (pattern.find("KumoMTA internal") != pattern.npos || pattern.starts_with("2") || pattern.starts_with("^2")) {
            judge(rule.place, where, "automation '" + printable(pattern, true) + "'", Kind::left_out,
                  "rules look at replies of 400 and above, from the server itself");
        } else if (peers::Rules rules; pattern.find_first_of("\r\n") != pattern.npos || !rules.add(line, "rule")) {
            judge(rule.place, where, "automation '" + printable(pattern, true) + "'", Kind::left_out,
                  "no expression of Perl's: write it anew in peer_rules");
        } else {
            lines += line;
        }
    }
    if (!lines.empty() && !site.empty())
        sites_.insert(site);
    if (!lines.empty())
        judge(rule.place, where, statement, Kind::becomes,
              fmt::format("reply{}{} ... {} in peer_rules: of replies 4yz{}{}", site.empty() ? "" : "@", site, words,
                          at_once ? "" : ", and the first such reply counts",
                          words.find("suspend") == words.npos ? "; what is learned fades by itself" : ""));
    return lines;
}

std::string PolicyTranslator::automation()
{
    std::string lines;
    const auto add = [&](const Value& block, const std::string& where, const std::string& site) {
        const Value* const rules = block.find("automation");
        for (const Value& rule : rules ? rules->items : std::vector<Value>())
            lines += automation_line(rule, where, site);
    };
    // What is said of one destination before what is said of all: the first line that matches counts.
    if (const Value* const providers = policy_.shaping.find("provider"))
        for (const Entry& entry : providers->entries)
            add(entry.value, "shaping provider " + entry.name, site_name(entry.name));
    for (const Entry& entry : policy_.shaping.entries)
        if (entry.name != "default" && entry.name != "provider" && is_name(entry.name))
            add(entry.value, "shaping " + entry.name, site_name(entry.name));
    if (const Value* const by_default = policy_.shaping.find("default"))
        add(*by_default, "shaping default", "");
    return lines;
}

void PolicyTranslator::shaping()
{
    default_path();
    for (const Entry& entry : policy_.shaping.entries) {
        if (entry.name == "default" || entry.name == "provider")
            continue;
        if (is_name(entry.name))
            path_verdicts({entry.value, "shaping " + entry.name}, false);
        else
            judge(entry.value.place, "shaping " + entry.name, "block", Kind::left_out, "no name of a domain");
    }
    const Value* const providers = policy_.shaping.find("provider");
    for (const Entry& entry : providers ? providers->entries : std::vector<Entry>())
        path_verdicts({entry.value, "shaping provider " + entry.name}, false);
    tls_policies();
    const std::string replies = automation();
    const Value* const by_default = policy_.shaping.find("default");
    // The default's for whom no line names. Where KumoMTA's own file is not there, the shipped rules know the large receivers in its place.
    const auto rest_line = [&](const std::string& source) {
        const Value all = by_default ? resolved(nullptr, *by_default, source) : Value();
        // main.cf says the rest of the default.
        const std::string words = source.empty() ? rate_word(all, "max_message_rate", "rate") + rate_word(all, "max_connection_rate", "connects")
                                                 : words_of(all, "", false);
        return words.empty() ? std::string() : fmt::format("host /./ {}\n", words.substr(1));
    };
    const bool shipped_first =
        std::ranges::any_of(policy_.missing, [](const std::string& path) { return path.ends_with("/share/policy-extras/shaping.toml"); });
    const auto file = [&](const std::string& source) {
        return domain_lines(source) + provider_lines(source) + (shipped_first ? "" : rest_line(source)) + replies;
    };
    const auto files = [&](const std::string& name, const std::string& source) {
        std::string value = fmt::format("$config_directory/{}, shipped", name);
        if (const std::string line = rest_line(source); shipped_first && !line.empty()) {
            add_table(name + "_rest", "", line);
            value += fmt::format(", $config_directory/{}_rest", name);
        }
        return value;
    };
    const std::string all = file("");
    if (all.empty() && rest_line("").empty())
        return;
    if (peers::Rules rules; all.size() > peers::rule_file_octets || !rules.add(all, "peer_rules")) {
        judge(policy_.shaping.place, "shaping", "peer_rules", Kind::left_out,
              "too many rules, or one that is none: choose from the file peer_rules, and name it in smtp_peer_rules");
        add_table("peer_rules", "", all);
        return;
    }
    add_table("peer_rules", "", all);
    set("smtp_peer_rules", files("peer_rules", ""), policy_.shaping.place, "shaping");
    const auto named = [&](const Value& blocks, const std::string& source) {
        return std::ranges::any_of(blocks.entries, [&](const Entry& entry) { return source_of(&entry.value, source) != nullptr; });
    };
    for (const auto& [source, service] : lines_)
        if (named(policy_.shaping, source) || (providers && named(*providers, source))) {
            const std::string name = "peer_rules_" + service;
            add_table(name, "", file(source));
            options_[service].push_back(fmt::format("{{ smtp_peer_rules = {} }}", files(name, source)));
        }
}

}  // namespace posthorn::kumomta
