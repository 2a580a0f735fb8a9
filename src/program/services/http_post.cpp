#include "services/http_post.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

namespace {

constexpr std::size_t answer_octets = 256 * 1024;

}  // namespace

std::string post_request(const net::HttpUrl& url, std::string_view type, std::string_view authorization, std::string_view body)
{
    return fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Posthorn\r\nContent-Type: {}\r\n{}Content-Length: {}\r\n\r\n{}", url.target,
                       url.authority(), type, authorization.empty() ? std::string() : fmt::format("Authorization: {}\r\n", authorization),
                       body.size(), body);
}

awaitable<Result<std::unique_ptr<net::Stream>>> HttpPoster::connect_to(net::IpAddress address, SteadyTime deadline)
{
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0)
        co_return Error{"Connection timed out"};
    CO_TRY(auto stream, co_await net::connect(executor_, net::Endpoint(address, url_.port), net::ConnectOptions(left)));
    stream->expires_at(deadline);
    if (!url_.secure)
        co_return std::move(stream);
    tls::ConnectOptions secure(url_.host);
    secure.names = {url_.host};
    secure.must_verify = true;
    CO_TRY(auto secured, co_await tls::connect(context_, std::move(stream), std::move(secure)));
    co_return std::move(secured.stream);
}

awaitable<Result<std::unique_ptr<net::Stream>>> HttpPoster::connect(SteadyTime deadline)
{
    std::vector<net::IpAddress> addresses;
    if (const auto literal = net::IpAddress::parse(url_.host))
        addresses.push_back(*literal);
    else {
        const dns::Addresses found = co_await resolver_.addresses(url_.host, dns::Families::both);
        if (!found.found() || found.list.empty())
            co_return Error{fmt::format("{}: {}", url_.host, dns::status_text(found.found() ? dns::Status::nodata : found.status))};
        addresses.assign(found.list.begin(), found.list.begin() + static_cast<std::ptrdiff_t>(std::min(found.list.size(), addresses_at_most)));
    }
    Error failure{"no address"};
    for (const net::IpAddress& address : addresses) {
        auto stream = co_await connect_to(address, deadline);
        if (stream)
            co_return std::move(stream);
        const std::string& why = stream.error().evidence();
        failure = Error{fmt::format("connect to {}[{}]:{}: {}{}{}", url_.host, address.text(), url_.port, stream.error().what(),
                                    why.empty() ? "" : ": ", printable(why))};
    }
    co_return failure;
}

awaitable<Result<net::HttpAnswer>> HttpPoster::ask(const std::string* request, SteadyTime deadline)
{
    stream_->expires_at(deadline);
    auto answer = co_await net::http_ask(stream_.get(), *request, answer_octets, net::HttpBody::dropped);
    if (!answer || !answer->keeps)
        close();
    co_return answer;
}

awaitable<Result<int>> HttpPoster::post(std::string request)
{
    const SteadyTime deadline = std::chrono::steady_clock::now() + limit_;
    const bool kept = stream_ != nullptr;
    if (!kept) {
        CO_TRY(stream_, co_await connect(deadline));
    }
    auto answer = co_await ask(&request, deadline);
    // A server may have closed what was kept; whether it has heard us or not, a record may come twice, never not at all.
    if (!answer && kept) {
        CO_TRY(stream_, co_await connect(deadline));
        answer = co_await ask(&request, deadline);
    }
    if (!answer)
        co_return std::move(answer).error();
    co_return static_cast<int>(answer->status);
}

void HttpPoster::close()
{
    if (stream_)
        stream_->close();
    stream_.reset();
}

}  // namespace posthorn::services
