// sts/fetch.hpp: a policy by HTTPS: https://mta-sts.DOMAIN/.well-known/mta-sts.txt                                            RFC 8461 3.3
// Answer   200 alone, text/plain, at most policy_octets; nothing is followed, nothing is cached.
// Trust    the certificate is of mta-sts.DOMAIN, and an authority of the Context vouches for it; else nothing is asked.
// Limit    one for all of it, however many addresses are tried. Errors: what went wrong, in words for a log line; 4.7.5 where it was TLS.
#pragma once

#include "dns/resolver.hpp"
#include "net/connect.hpp"
#include "sts/book.hpp"
#include "tls/tls.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace posthorn::sts {

/// Asks over a stream that is secured, and whose deadline is set, for the policy of this host.
awaitable<Result<std::string>> ask_for_policy(net::Stream* stream, std::string host);

class HttpsSource final : public Source {
public:
    static constexpr std::chrono::seconds limit{30};
    static constexpr std::size_t addresses_at_most = 4;

    struct Settings {
        std::uint16_t port = 443;
        std::optional<net::IpAddress> bind4, bind6;
        dns::Families families = dns::Families::both;
    };
    HttpsSource(Executor executor, dns::Resolver& resolver, std::shared_ptr<tls::Context> context, Settings settings)
        : executor_(std::move(executor)), resolver_(resolver), context_(std::move(context)), settings_(settings)
    {
    }
    awaitable<dns::Answer> record(std::string name) override { return resolver_.query(std::move(name), dns::Type::txt); }
    awaitable<Result<std::string>> fetch(std::string domain) override;

private:
    awaitable<Result<std::string>> fetch_from(net::IpAddress address, std::string host, SteadyTime deadline);

    Executor executor_;
    dns::Resolver& resolver_;
    std::shared_ptr<tls::Context> context_;
    Settings settings_;
};

}  // namespace posthorn::sts
