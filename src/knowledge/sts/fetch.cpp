#include "sts/fetch.hpp"

#include "base/strings.hpp"
#include "net/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::sts {

namespace {

bool is_plain_text(std::string_view type) { return iequals(trim(type.substr(0, type.find(';'))), "text/plain"); }

}  // namespace

awaitable<Result<std::string>> ask_for_policy(net::Stream* stream, std::string host)
{
    std::string request = fmt::format(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {}\r\nUser-Agent: Posthorn\r\nAccept: text/plain\r\nConnection: close\r\n\r\n", host);
    CO_TRY(net::HttpAnswer answer, co_await net::http_ask(stream, std::move(request), policy_octets));
    if (answer.status != 200)
        co_return Error{fmt::format("the answer is {}", answer.status)};
    if (!is_plain_text(answer.type))
        co_return Error{fmt::format("the answer is no text/plain but \"{}\"", printable(std::string_view(answer.type).substr(0, 80)))};
    co_return std::move(answer.body);
}

awaitable<Result<std::string>> HttpsSource::fetch_from(net::IpAddress address, std::string host, SteadyTime deadline)
{
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0)
        co_return Error{"Connection timed out"};
    net::ConnectOptions how(std::min<std::chrono::milliseconds>(left, limit / 3));
    how.bind = address.is_v6() ? settings_.bind6 : settings_.bind4;
    CO_TRY(auto stream, co_await net::connect(executor_, net::Endpoint(address, settings_.port), how));
    stream->expires_at(deadline);
    tls::ConnectOptions secure(host);
    secure.names = {host};
    secure.must_verify = true;
    CO_TRY(auto secured, co_await tls::connect(context_, std::move(stream), std::move(secure)));
    auto text = co_await ask_for_policy(secured.stream.get(), host);
    secured.stream->close();
    co_return text;
}

awaitable<Result<std::string>> HttpsSource::fetch(std::string domain)
{
    const SteadyTime deadline = std::chrono::steady_clock::now() + limit;
    const std::string host = "mta-sts." + domain;
    const dns::Addresses addresses = co_await resolver_.addresses(host, settings_.families);
    if (!addresses.found() || addresses.list.empty())
        co_return Error{fmt::format("{}: {}", host, dns::status_text(addresses.found() ? dns::Status::nodata : addresses.status))};
    Error failure{fmt::format("{}: no address", host)};
    for (std::size_t at = 0; at < std::min(addresses.list.size(), addresses_at_most); ++at) {
        const net::IpAddress& address = addresses.list[at];
        auto text = co_await fetch_from(address, host, deadline);
        if (text)
            co_return text;
        const std::string& why = text.error().evidence();
        failure = Error{
            fmt::format("{}[{}]:{}: {}{}{}", host, address.text(), settings_.port, text.error().what(), why.empty() ? "" : ": ", printable(why)),
            text.error().status()};
    }
    co_return failure;
}

}  // namespace posthorn::sts
