// services/http_post.hpp: a POST by HTTP or HTTPS, and its answer.
// Trust    of HTTPS: the certificate has the host's name, and an authority of the Context vouches for it; else nothing is said.
// Answers  the status, of which 2xx says that it is taken. None is an Error, in words for a log line.
// Keeps    the connection, as long as the server does. One request at a time.
#pragma once

#include "dns/resolver.hpp"
#include "net/connect.hpp"
#include "net/http_client.hpp"
#include "tls/tls.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace posthorn::services {

/// The request, whole. `authorization`: the value of that field; empty: none.
std::string post_request(const net::HttpUrl& url, std::string_view type, std::string_view authorization, std::string_view body);

class HttpPoster {
public:
    static constexpr std::size_t addresses_at_most = 4;
    /// `context`: none for HTTP.
    HttpPoster(Executor executor, dns::Resolver& resolver, std::shared_ptr<tls::Context> context, net::HttpUrl url, std::chrono::seconds limit)
        : executor_(std::move(executor)), resolver_(resolver), context_(std::move(context)), url_(std::move(url)), limit_(limit)
    {
    }
    awaitable<Result<int>> post(std::string request);
    void close();
    const net::HttpUrl& url() const { return url_; }

private:
    awaitable<Result<std::unique_ptr<net::Stream>>> connect(SteadyTime deadline);
    awaitable<Result<std::unique_ptr<net::Stream>>> connect_to(net::IpAddress address, SteadyTime deadline);
    awaitable<Result<net::HttpAnswer>> ask(const std::string* request, SteadyTime deadline);

    Executor executor_;
    dns::Resolver& resolver_;
    std::shared_ptr<tls::Context> context_;
    net::HttpUrl url_;
    std::chrono::seconds limit_;
    std::unique_ptr<net::Stream> stream_;  // kept
};

}  // namespace posthorn::services
