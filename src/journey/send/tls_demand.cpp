#include "send/tls_demand.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "send/nexthop.hpp"
#include "send/surroundings.hpp"
#include "send/tls_report.hpp"
#include "tls/options.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::send {

namespace {

Error configuration_problem() { return Error{"client TLS configuration problem", "4.7.5"}; }

std::vector<std::string> names_for(const Host& host, const std::vector<std::string>& patterns)
{
    std::vector<std::string> names;
    for (const std::string& pattern : patterns) {
        if (iequals(pattern, "hostname"))
            names.push_back(host.name);
        else if (iequals(pattern, "nexthop"))
            names.push_back(host.domain);
        else if (iequals(pattern, "dot-nexthop"))
            names.push_back("." + host.domain);
        else if (pattern.starts_with('.'))
            names.push_back("." + dns::to_a_labels(pattern.substr(1)).value_or(pattern.substr(1)));
        else
            names.push_back(dns::to_a_labels(pattern).value_or(pattern));
    }
    return names;
}

/// RFC 8461 4.1.
bool is_named(const Host& host, const std::vector<std::string>& patterns)
{
    return std::ranges::any_of(patterns, [&](const std::string& pattern) {
        const std::string_view wild = pattern.starts_with("*.") ? "*." : "";
        const std::string rest = pattern.substr(wild.size());
        return tls::name_matches(fmt::format("{}{}", wild, dns::to_a_labels(rest).value_or(rest)), host.name);
    });
}

/// Why a policy of MTA-STS leaves this host out, whoever it shows to be.
std::optional<Error> left_out(const Host& host, const StsRules& sts, bool by_patterns)
{
    const std::string& domain = sts.domain.empty() ? host.domain : sts.domain;
    if (!sts.failure.empty())
        return Error{fmt::format("the MTA-STS policy of {} cannot be met: {}", domain, sts.failure), "4.7.5"}.after(sts.failure);
    if (by_patterns && !sts.patterns.empty() && !is_named(host, sts.patterns))
        return Error{fmt::format("the MTA-STS policy of {} names no host {}", domain, host.name), "4.7.5"}.after("validation-failure");
    return std::nullopt;
}

std::string server_name_for(const Host& host, const std::string& wanted)
{
    return iequals(wanted, "hostname") ? host.name : iequals(wanted, "nexthop") ? host.domain : wanted;
}

/// Signed, and so for DANE.
bool is_signed(const dns::Answer& answer) { return answer.secure && !answer.transient(); }

struct Tlsa {
    bool failed = false;
    std::string base;                           // the name that they stand for
    std::vector<tls::TlsaRecord> records;       // none: there are none
};

/// RFC 7672 2.2.2, 2.2.3.
awaitable<Tlsa> look_up_tlsa(Host host, bool insecure_hosts_too, const Surroundings* around)
{
    Tlsa found;
    std::vector<std::string> bases;
    const bool alias = !host.canonical.empty() && !iequals(host.canonical, host.name);
    if (host.secure || insecure_hosts_too) {
        if (alias)
            bases.push_back(host.canonical);
        bases.push_back(host.name);
    } else if (alias) {
        // The chain leaves signed zones somewhere; its first link may still be signed, and then the host's own name has its say.
        const dns::Answer link = co_await around->names.query(host.name, dns::Type::cname);
        found.failed = link.transient();
        if (is_signed(link) && link.found())
            bases.push_back(host.name);
    }
    for (const std::string& base : bases) {
        if (found.failed || !found.records.empty())
            break;
        const dns::Answer answer = co_await around->names.query(fmt::format("_{}._tcp.{}", host.endpoint.port, base), dns::Type::tlsa);
        found.failed = answer.transient();
        found.base = base;
        if (is_signed(answer) && answer.found())
            for (const dns::Record& record : answer.records)
                found.records.emplace_back(record.usage, record.selector, record.matching, record.text);
    }
    co_return found;
}

/// Where DANE does not apply: level dane gives way to `instead`, dane-only to nothing. `fault`: what a report of TLS calls that (RFC 8460 4.3.2.1);
/// none: it is our own affair.
Result<TlsDemand> without_dane(TlsDemand demand, TlsLevel instead, std::string why, std::optional<TlsFault> fault)
{
    if (demand.level == TlsLevel::dane_only)
        return Error{std::move(why), "4.7.5"}.after(fault ? fault_name(*fault) : "");
    demand.level = instead;
    return demand;
}

awaitable<Result<TlsDemand>> with_dane(TlsDemand demand, Host host, const TlsRules* rules, const Surroundings* around)
{
    const std::string why_not = host.endpoint.is_unix() ? std::string("is invalid for delivery via unix-domain sockets") : rules->no_dane;
    if (!why_not.empty()) {
        around->log.warning("{}: {} {}", host.next_hop, level_name(demand.level), why_not);
        co_return without_dane(std::move(demand), TlsLevel::may, configuration_problem().what(), std::nullopt);
    }
    const bool insecure_mx = host.mx == Host::Mx::insecure;
    if (insecure_mx && (demand.level == TlsLevel::dane_only || rules->insecure_mx == TlsLevel::may))
        co_return without_dane(std::move(demand), TlsLevel::may, "non DNSSEC destination", TlsFault::dane_required);
    Tlsa found = co_await look_up_tlsa(host, rules->insecure_host_tlsa, around);
    if (found.failed)
        co_return Error{fmt::format("TLSA lookup error for {}:{}", host.name, host.endpoint.port), "4.7.5"}.after(
            fault_name(TlsFault::dnssec_invalid));
    if (found.records.empty())
        co_return without_dane(std::move(demand), TlsLevel::may, "no TLSA records found", TlsFault::dane_required);
    // Without a TLS engine nothing is sent, whatever the records are.
    demand.anchors = around->tls ? around->tls->usable(std::move(found.records)) : std::move(found.records);
    if (demand.anchors.empty()) {
        around->log.warning("{}: TLSA records unusable", host.name);
        co_return without_dane(std::move(demand), TlsLevel::encrypt, "TLSA records unusable", TlsFault::tlsa_invalid);
    }
    if (insecure_mx && rules->insecure_mx == TlsLevel::encrypt) {
        demand.anchors.clear();
        co_return without_dane(std::move(demand), TlsLevel::encrypt, "Verification not possible, MX Lookup was not secure", TlsFault::dane_required);
    }
    demand.level = TlsLevel::dane;
    demand.half_dane = insecure_mx;
    demand.server_name = found.base;
    demand.names = {found.base};                // RFC 7672 3.2.2
    if (host.mx != Host::Mx::none)
        demand.names.push_back(host.domain);
    if (host.mx == Host::Mx::secure && !host.mx_owner.empty())
        demand.names.push_back(host.mx_owner);
    co_return demand;
}

/// What a domain told us, behind what main.cf asks for.
awaitable<Result<TlsDemand>> with_sts(Host host, TlsPolicy policy, StsRules sts, const Options* options, const Surroundings* around)
{
    CO_TRY(TlsDemand demand, co_await tls_demand(host, policy, options, around));
    if (demand.level == TlsLevel::dane)                               // RFC 8461 2
        co_return demand;
    auto why = left_out(host, sts, true);
    if (sts.use == StsRules::Use::enforce) {
        if (why)
            co_return *std::move(why);
        policy.level = TlsLevel::secure;
        policy.match = {"hostname"};
        policy.server_name = "hostname";
        CO_TRY(TlsDemand strict, co_await tls_demand(std::move(host), std::move(policy), options, around));
        strict.sts = std::move(sts);
        co_return strict;
    }
    demand.sts = sts;
    demand.tested_domain = std::move(sts.domain);
    demand.tested_unmet = why ? why->what() : "";
    demand.names = {host.name};
    if (demand.server_name.empty())
        demand.server_name = host.name;
    co_return demand;
}

}  // namespace

bool is_met_by(const StsRules& sts, const Host& host) { return sts.failure.empty() && is_named(host, sts.patterns); }

awaitable<Result<TlsDemand>> tls_demand(Host host, TlsPolicy policy, const Options* options, const Surroundings* around)
{
    if (policy.sts && policy.sts->use != StsRules::Use::by_level) {
        StsRules sts = *std::exchange(policy.sts, std::nullopt);
        co_return co_await with_sts(std::move(host), std::move(policy), std::move(sts), options, around);
    }
    const TlsRules& rules = options->tls;
    TlsDemand demand;
    demand.level = demand.asked = policy.level;
    demand.sts_fault = std::move(policy.sts_fault);
    demand.protocols = std::move(policy.protocols);
    demand.ciphers = std::move(policy.ciphers);
    demand.exclude = std::move(policy.exclude);
    demand.server_name = server_name_for(host, policy.server_name.value_or(rules.server_name));
    switch (demand.level) {
    case TlsLevel::none:
    case TlsLevel::may:
    case TlsLevel::encrypt: break;
    case TlsLevel::dane:
    case TlsLevel::dane_only: co_return co_await with_dane(std::move(demand), std::move(host), &rules, around);
    case TlsLevel::fingerprint:
        demand.fingerprints = policy.match.empty() ? rules.fingerprints : policy.match;
        if (demand.fingerprints.empty()) {
            around->log.warning("nexthop domain {}: configured at fingerprint security level, but with no fingerprints to match.", host.next_hop);
            co_return configuration_problem();
        }
        break;
    case TlsLevel::verify:
    case TlsLevel::secure:
        if (policy.sts)
            if (auto why = left_out(host, *policy.sts, rules.sts_patterns))
                co_return *std::move(why);
        if (policy.sts && rules.sts_patterns && !policy.sts->patterns.empty()) {
            // RFC 8461 4.2: the certificate is the host's; names of the table are for who looks at certificates alone.
            policy.match = {"hostname"};
            demand.server_name = host.name;
        }
        demand.sts = policy.sts;
        demand.names = names_for(host, !policy.match.empty()              ? policy.match
                                       : demand.level == TlsLevel::verify ? rules.verify_names
                                                                          : rules.secure_names);
        if (demand.names.empty()) {             // a list of separators: then anybody would do for whom an authority vouches
            around->log.warning("nexthop domain {}: configured at {} security level, but with no names to match.", host.next_hop,
                                level_name(demand.level));
            co_return configuration_problem();
        }
        for (const std::string& file : policy.anchor_files.empty() ? rules.anchor_files : policy.anchor_files) {
            if (!around->tls)
                break;                          // the session says so
            auto anchors = around->tls->trust_anchors(file);
            if (!anchors) {
                around->log.warning("{}: {}", host.next_hop, anchors.error().text());
                co_return configuration_problem();
            }
            demand.anchors.insert(demand.anchors.end(), anchors->begin(), anchors->end());
        }
        break;
    }
    co_return demand;
}

}  // namespace posthorn::send
