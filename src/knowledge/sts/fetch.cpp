#include "sts/fetch.hpp"

#include "base/strings.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::sts {

namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t header_octets = 16 * 1024;

bool is_plain_text(std::string_view type) { return iequals(trim(type.substr(0, type.find(';'))), "text/plain"); }

Error no_answer(const boost::system::error_code& error)
{
    if (error == http::error::body_limit)
        return Error{fmt::format("the answer has more than {} octets", policy_octets)};
    return Error{fmt::format("the answer is none of HTTP: {}", error.message())};
}

}  // namespace

awaitable<Result<std::string>> ask_for_policy(net::Stream* stream, std::string host)
{
    const std::string request = fmt::format(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {}\r\nUser-Agent: Posthorn\r\nAccept: text/plain\r\nConnection: close\r\n\r\n", host);
    CO_TRY_VOID(co_await stream->write(request));
    http::response_parser<http::string_body> parser;
    parser.header_limit(header_octets);
    parser.body_limit(policy_octets);
    parser.eager(true);
    std::string room(header_octets, '\0'), pending;
    while (!parser.is_done()) {
        CO_TRY(const std::size_t got, co_await stream->read_some(room));
        boost::system::error_code error;
        if (got == 0) {
            if (!parser.got_some())
                co_return Error{"lost connection"};
            parser.put_eof(error);
            if (error)
                co_return no_answer(error);
            break;
        }
        pending.append(room, 0, got);
        while (!pending.empty() && !parser.is_done()) {
            const std::size_t taken = parser.put(asio::buffer(pending), error);
            pending.erase(0, taken);
            if (error && error != http::error::need_more)
                co_return no_answer(error);
            if (error || taken == 0)
                break;
        }
        if (parser.is_header_done() && parser.get().result_int() != 200)
            co_return Error{fmt::format("the answer is {}", parser.get().result_int())};
    }
    const auto& answer = parser.get();
    if (answer.result_int() != 200)
        co_return Error{fmt::format("the answer is {}", answer.result_int())};
    if (const auto type = answer[http::field::content_type]; !is_plain_text(std::string_view(type.data(), type.size())))
        co_return Error{
            fmt::format("the answer is no text/plain but \"{}\"", printable(std::string_view(type.data(), std::min<std::size_t>(type.size(), 80))))};
    co_return answer.body();
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
            fmt::format("{}[{}]:{}: {}{}{}", host, address.text(), settings_.port, text.error().what(), why.empty() ? "" : ": ", printable(why))};
    }
    co_return failure;
}

}  // namespace posthorn::sts
