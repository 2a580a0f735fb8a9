#include "send/requiretls.hpp"

#include "base/strings.hpp"
#include "send/nexthop.hpp"
#include "send/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::send {

namespace {

struct RequireTlsWord {
    std::string_view word;
    RequireTls level;
};
constexpr auto require_tls_words = std::to_array<RequireTlsWord>({{"disable", RequireTls::disable},
                                                                  {"opportunistic", RequireTls::opportunistic},
                                                                  {"opportunistic+starttls", RequireTls::opportunistic_starttls},
                                                                  {"enforce", RequireTls::enforce}});

Error not_to_be_had(std::string_view why) { return Error{fmt::format("the message requires TLS (REQUIRETLS), and {}", why), "5.7.10"}; }

/// Does more than an unsigned MX record say that this host has the domain's mail?
bool is_vouched_for(const Host& host, const std::optional<StsRules>& sts) { return host.mx != Host::Mx::insecure || (sts && is_met_by(*sts, host)); }

/// The names are of who wrote the configuration: what the DNS says cannot change who has to be there.
bool names_are_given(const Host& host, const TlsDemand& demand)
{
    if (demand.level == TlsLevel::fingerprint)
        return true;
    const bool by_name = demand.level == TlsLevel::verify || demand.level == TlsLevel::secure;
    return by_name &&
           (iequals(host.name, host.domain) || std::ranges::none_of(demand.names, [&](const std::string& name) { return iequals(name, host.name); }));
}

/// The level asks for no certificate: what there is for it all the same.
awaitable<Result<TlsDemand>> authenticated_demand(Host host, TlsPolicy policy, const Options* options, const Surroundings* around)
{
    policy.sts.reset();
    if (options->tls.no_dane.empty() && !host.endpoint.is_unix() && host.mx != Host::Mx::insecure) {
        TlsPolicy dane = policy;
        dane.level = TlsLevel::dane;
        CO_TRY(TlsDemand by_records, co_await tls_demand(host, std::move(dane), options, around));
        if (by_records.level == TlsLevel::dane)
            co_return by_records;
    }
    policy.level = TlsLevel::verify;
    policy.match = {"hostname"};
    if (!policy.server_name)
        policy.server_name = "hostname";
    co_return co_await tls_demand(std::move(host), std::move(policy), options, around);
}

}  // namespace

std::string_view word_of(RequireTls level)
{
    const auto at = std::ranges::find(require_tls_words, level, &RequireTlsWord::level);
    return at != require_tls_words.end() ? at->word : "unknown";
}

std::optional<RequireTls> require_tls_of(std::string_view word)
{
    const auto at = std::ranges::find_if(require_tls_words, [&](const RequireTlsWord& one) { return iequals(one.word, word); });
    return at != require_tls_words.end() ? std::optional(at->level) : std::nullopt;
}

awaitable<Result<TlsDemand>> tls_demand(Host host, TlsPolicy policy, RequireTls required, const Options* options, const Surroundings* around)
{
    if (!demands(required))
        co_return co_await tls_demand(std::move(host), std::move(policy), options, around);
    if (policy.level == TlsLevel::none && !options->tls_wrapper)
        co_return not_to_be_had(fmt::format("TLS is not used with {}", host.next_hop));
    if (policy.level <= TlsLevel::may)
        policy.level = TlsLevel::encrypt;
    CO_TRY(TlsDemand demand, co_await tls_demand(host, policy, options, around));
    if (required != RequireTls::enforce) {
        if (demand.level == TlsLevel::may)                          // dane, where there is none
            demand.level = TlsLevel::encrypt;
        co_return demand;
    }
    const bool vouched_for = is_vouched_for(host, policy.sts);
    if (!vouched_for && !(authenticated(demand.level) && names_are_given(host, demand)))
        co_return not_to_be_had(fmt::format("neither DNSSEC nor MTA-STS vouches for {} as a host of {}", host.name, host.domain));
    if (authenticated(demand.level))
        co_return demand;
    co_return co_await authenticated_demand(std::move(host), std::move(policy), options, around);
}

TlsPolicy made_optional(TlsPolicy policy)
{
    policy.level = std::min(policy.level, TlsLevel::may);
    policy.sts.reset();
    return policy;
}

}  // namespace posthorn::send
