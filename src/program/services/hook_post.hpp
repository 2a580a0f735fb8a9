// services/hook_post.hpp: records on their way to who wants them pushed (record_hook_url): a POST by HTTP or HTTPS.
// Shape    one JSON object where there is one to a request, else an array; Content-Type: application/json.
// Trust    of HTTPS: the certificate has the host's name, and an authority of the Context vouches for it; else nothing is said.
// Answers  the status, of which 2xx says that they are taken. None is an Error, in words for a log line.
// Keeps    the connection, as long as the server does. One request at a time.
#pragma once

#include "dns/resolver.hpp"
#include "net/connect.hpp"
#include "net/http_client.hpp"
#include "tls/tls.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::services {

/// The request, whole. `authorization`: the value of that field; empty: none.
std::string hook_request(const net::HttpUrl& url, std::string_view authorization, std::span<const std::string_view> records, bool array);

/// The content of record_hook_authorization_file as the value of a field: one line of printable ASCII. Error: it is none, and why.
Result<std::string> authorization_value(std::string_view content);

class HookPoster {
public:
    static constexpr std::size_t addresses_at_most = 4;
    /// `context`: none for HTTP.
    HookPoster(Executor executor, dns::Resolver& resolver, std::shared_ptr<tls::Context> context, net::HttpUrl url, std::chrono::seconds limit)
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
