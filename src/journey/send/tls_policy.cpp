#include "send/tls_policy.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "dns/idna.hpp"
#include "dns/record.hpp"
#include "send/hosts.hpp"
#include "send/nexthop.hpp"
#include "send/options.hpp"
#include "send/surroundings.hpp"
#include "tls/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::send {

namespace {

constexpr std::string_view separators = ", \t\r\n";

struct LevelWord {
    std::string_view word;
    TlsLevel level;
};
constexpr auto levels = std::to_array<LevelWord>({{"none", TlsLevel::none},
                                                  {"may", TlsLevel::may},
                                                  {"encrypt", TlsLevel::encrypt},
                                                  {"fingerprint", TlsLevel::fingerprint},
                                                  {"dane", TlsLevel::dane},
                                                  {"dane-only", TlsLevel::dane_only},
                                                  {"verify", TlsLevel::verify},
                                                  {"secure", TlsLevel::secure}});

/// Why a policy cannot be met.                                    RFC 8460 4.3.2, 4.3.3
constexpr auto policy_failures =
    std::to_array<std::string_view>({"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "validation-failure"});

void add_all(std::vector<std::string>& list, std::string_view value, std::string_view between)
{
    for (const std::string_view one : split(value, between))
        list.emplace_back(one);
}

Error once(std::string_view name) { return Error{fmt::format("attribute \"{}\" is specified multiple times", name)}; }

Result<bool> yes_or_no(std::string_view name, std::string_view value)
{
    if (iequals(value, "yes") || iequals(value, "no"))
        return iequals(value, "yes");
    return Error{fmt::format("attribute \"{}\" has bad value: \"{}\"", name, printable(value))};
}

Result<void> take_match(TlsPolicy& policy, std::string_view name, std::string_view value)
{
    const bool names = policy.level == TlsLevel::verify || policy.level == TlsLevel::secure;
    if (!names && policy.level != TlsLevel::fingerprint)
        return Error{fmt::format("attribute \"{}\" invalid at security level \"{}\"", name, level_name(policy.level))};
    const std::size_t before = policy.match.size();
    add_all(policy.match, value, names ? ":" : "|");
    if (policy.match.size() == before)
        return Error{fmt::format("attribute \"{}\" has empty value", name)};
    return {};
}

/// What stands in a value beside the policy: of a domain's policy of MTA-STS, where there is one.
struct StsWords {
    std::optional<std::string> type, domain, failure;
    std::vector<std::string> patterns, strings;
    std::string_view only_of_sts;               // the first such attribute; none: empty

    /// False: it is another attribute.
    Result<bool> take(std::string_view name, std::string_view value);
    Result<std::optional<StsRules>> rules() const;
};

Result<bool> StsWords::take(std::string_view name, std::string_view value)
{
    const auto is = [&](std::string_view what) { return iequals(name, what); };
    const auto is_value = [&](std::string_view what) { return iequals(value, what); };
    if (!is("policy_type") && !is("policy_domain") && !is("policy_ttl") && !is("policy_string") && !is("mx_host_pattern") && !is("policy_failure"))
        return false;
    if (value.empty())
        return Error{fmt::format("attribute \"{}\" has empty value", name)};
    const Error bad{fmt::format("attribute \"{}\" has bad value: \"{}\"", name, printable(value))};
    if (is("policy_ttl"))                                             // tables are asked for each mail: nothing is kept
        return std::ranges::all_of(value, is_digit) ? Result<bool>(true) : bad;
    std::optional<std::string>* const once_only = is("policy_type")      ? &type
                                                  : is("policy_domain")  ? &domain
                                                  : is("policy_failure") ? &failure
                                                                         : nullptr;
    if (once_only && *once_only)
        return once(name);
    if (is("policy_type") && !is_value("sts") && !is_value("no-policy-found"))
        return bad;
    if (is("policy_domain") && !dns::is_hostname(dns::to_a_labels(value).value_or("")))
        return bad;
    if (is("policy_failure") && std::ranges::none_of(policy_failures, is_value))
        return bad;
    if (once_only)
        *once_only = value;
    if (is("mx_host_pattern"))
        patterns.emplace_back(value);
    if (is("policy_string"))
        strings.emplace_back(value);
    if (only_of_sts.empty() && (is("mx_host_pattern") || is("policy_string") || is("policy_failure")))
        only_of_sts = name;
    return true;
}

Result<std::optional<StsRules>> StsWords::rules() const
{
    if (type && iequals(*type, "sts"))
        return std::optional(
            StsRules{.domain = domain.value_or(""), .patterns = patterns, .failure = to_lower(failure.value_or("")), .strings = strings});
    if (!only_of_sts.empty())
        return Error{fmt::format("attribute \"{}\" needs \"policy_type=sts\"", only_of_sts)};
    return std::optional<StsRules>{};
}

Result<void> take(TlsPolicy& policy, StsWords& sts, std::string_view name, std::string_view value)
{
    TRY(const bool taken, sts.take(name, value));
    if (taken)
        return {};
    const auto is = [&](std::string_view what) { return iequals(name, what); };
    if (is("match"))
        return take_match(policy, name, value);
    if (is("exclude")) {                                              // an empty one excludes nothing
        if (policy.exclude)
            return once(name);
        tls::Options words;
        words.exclude_ciphers = {std::string(value)};
        TRY_VOID(tls::cipher_list(words));
        policy.exclude = value;
        return {};
    }
    if (is("connection_reuse")) {
        TRY(policy.reuse, yes_or_no(name, value));
        return {};
    }
    if (is("enable_rpk")) {                                           // raw public keys may be used, and never are
        TRY_VOID(yes_or_no(name, value));
        return {};
    }
    if (!is("protocols") && !is("ciphers") && !is("servername") && !is("tafile"))
        return Error{fmt::format("invalid attribute name: \"{}\"", printable(name))};
    if (is("protocols")) {                                            // the last one counts; an empty one allows all
        TRY_VOID(tls::parse_protocols(value));
        policy.protocols = value;
        return {};
    }
    if (value.empty())
        return Error{fmt::format("attribute \"{}\" has empty value", name)};
    if (is("tafile")) {
#ifdef POSTHORN_PLANT_BUG_tls_policy  // trust anchors at levels that hold nobody against them (scripts/fuzz-planted)
        const bool allowed = required(policy.level);
#else
        const bool allowed = policy.level == TlsLevel::verify || policy.level == TlsLevel::secure;
#endif
        if (!allowed)
            return Error{fmt::format("attribute \"{}\" invalid at security level \"{}\"", name, level_name(policy.level))};
        policy.anchor_files.emplace_back(value);
        return {};
    }
    std::optional<std::string>& once_only = is("ciphers") ? policy.ciphers : policy.server_name;
    if (once_only)
        return once(name);
    if (is("ciphers")) {
        tls::Options words;
        words.ciphers = value;
        TRY_VOID(tls::cipher_list(words));
    } else if (!iequals(value, "hostname") && !iequals(value, "nexthop") && !dns::is_hostname(value)) {
        return Error{fmt::format("attribute \"{}\" has bad value: \"{}\"", name, printable(value))};
    }
    once_only = value;
    return {};
}

}  // namespace

std::string_view level_name(TlsLevel level)
{
    const auto at = std::ranges::find(levels, level, &LevelWord::level);
    return at != levels.end() ? at->word : "unknown";
}

std::optional<TlsLevel> level_of(std::string_view word)
{
    const auto at = std::ranges::find_if(levels, [&](const LevelWord& one) { return iequals(one.word, word); });
    return at != levels.end() ? std::optional(at->level) : std::nullopt;
}

Result<TlsPolicy> parse_tls_policy(std::string_view value, std::vector<std::string>& remarks)
{
    const auto words = config::split_grouped(value, separators);
    if (words.empty())
        return Error{"invalid empty policy"};
    const auto level = level_of(words.front());
    if (!level)
        return Error{fmt::format("invalid security level \"{}\"", printable(words.front()))};
    TlsPolicy policy;
    policy.level = *level;
    StsWords sts;
    for (std::size_t at = 1; at < words.size(); ++at) {
        std::string_view word = words[at];
        if (policy.level == TlsLevel::none) {
            remarks.push_back(fmt::format("ignoring attribute \"{}\" with TLS disabled", printable(word)));
            continue;
        }
        const bool grouped = word.starts_with('{');
        if (grouped && (word.size() < 2 || !word.ends_with('}')))
            return Error{fmt::format("missing '}}' in \"{}\"", printable(word))};
        if (grouped)
            word = trim(word.substr(1, word.size() - 2));
        const auto equals = word.find('=');
        if (equals == word.npos || equals == 0)
            return Error{fmt::format("malformed attribute/value pair \"{}\": {}", printable(word),
                                     equals == 0 ? "missing attribute name" : "missing '=' after attribute name")};
        const std::string_view name = word.substr(0, equals), rest = word.substr(equals + 1);
        TRY_VOID(take(policy, sts, grouped ? trim(name) : name, grouped ? trim(rest) : rest));
    }
    TRY(policy.sts, sts.rules());
    return policy;
}

std::vector<std::string> policy_keys(std::string_view next_hop)
{
    std::vector<std::string> keys;
    const auto add = [&](std::string_view key) {
        if (!key.empty() && std::ranges::find(keys, key) == keys.end())
            keys.emplace_back(key);
    };
    const auto parent = [](std::string_view name) {
        const auto dot = name.find('.', 1);
        return dot != name.npos ? name.substr(dot) : std::string_view{};
    };
    keys.emplace_back(next_hop);
    const std::string in_a_labels = dns::to_a_labels(next_hop).value_or("");
    if (!dns::is_hostname(in_a_labels))
        return keys;
    std::string other = in_a_labels != next_hop ? in_a_labels : dns::to_u_labels(next_hop);
    if (iequals(other, next_hop))
        other.clear();
    for (std::string_view written = next_hop, spelt = other; !written.empty() || !spelt.empty(); written = parent(written), spelt = parent(spelt)) {
        add(written);
        add(spelt);
    }
    return keys;
}

awaitable<FoundTlsPolicy> find_tls_policy(std::string next_hop, const Options* options, const Surroundings* around)
{
    FoundTlsPolicy found;
    const std::string_view table = options->lmtp ? "lmtp_tls_policy_maps" : "smtp_tls_policy_maps";
    if (around->tls_policy)
        for (const std::string& key : policy_keys(next_hop)) {
            const auto warn = [&](std::string_view what) {
                around->log.warning("{}, next-hop destination \"{}\": {}", table, printable(key, true), what);
            };
            const auto value = co_await around->tls_policy->find(key);
            if (!value) {
                warn("policy table lookup error");
                found.tells_apart = "?";
                co_return found;
            }
            const std::optional<std::string>& text = *value;
            if (!text)
                continue;
            std::vector<std::string> remarks;
            auto policy = parse_tls_policy(*text, remarks);
            for (const std::string& remark : remarks)
                warn(remark);
            if (policy)
                found.policy = *std::move(policy);
            else
                warn(policy.error().what());
            found.tells_apart = fmt::format("{}={}", key, *text);
            co_return found;
        }
    found.policy.emplace().level = options->tls_level;
    co_return found;
}

awaitable<FoundTlsPolicy> find_tls_policy(Destination destination, const Options* options, const Surroundings* around)
{
    FoundTlsPolicy found = co_await find_tls_policy(destination.text, options, around);
    const bool open = options->tls_level == TlsLevel::may || options->tls_level == TlsLevel::encrypt || options->tls_level == TlsLevel::dane;
    if (!around->sts || options->sts == sts::Use::no || !open || !found.policy || !found.tells_apart.empty())
        co_return found;
    const std::string domain = to_lower(dns::to_a_labels(destination.name).value_or(""));
    if (!destination.mx || destination.literal || !options->mx_lookups || by_srv(destination, *options) || !dns::is_hostname(domain))
        co_return found;
    auto finding = co_await around->sts->find(domain);
    StsRules rules{.domain = domain, .use = options->sts == sts::Use::testing ? StsRules::Use::testing : StsRules::Use::enforce};
    if (!finding) {
        rules.failure = fmt::format("nobody can tell whether it has one: {}", finding.error().text());
        found.policy->sts = std::move(rules);
        found.tells_apart = fmt::format("sts {} ?", domain);
        co_return found;
    }
    const std::optional<sts::Known>& known = finding->known;
    if (!known || known->policy.mode == sts::Mode::none) {
        found.policy->sts_fault = std::move(finding->fault);
        co_return found;
    }
    const sts::Known& said = *known;
    rules.patterns = said.policy.hosts;
    const std::string lines = sts::to_text(said.policy);
    for (const std::string_view line : split(lines, "\n"))
        rules.strings.emplace_back(line);
    if (said.policy.mode == sts::Mode::testing)
        rules.use = StsRules::Use::testing;
    found.policy->sts = std::move(rules);
    // Sessions are of one domain: its hosts may be another's, which asks less of them.
    found.tells_apart = fmt::format("sts {} {}", domain, sts::octets_of(said));
    co_return found;
}

}  // namespace posthorn::send
