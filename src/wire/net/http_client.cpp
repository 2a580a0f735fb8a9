#include "net/http_client.hpp"

#include "base/strings.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace posthorn::net {

namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t header_octets = 16 * 1024;
constexpr std::string_view last_chunk = "0\r\n\r\n";
using Parser = http::response_parser<http::string_body>;

Error no_answer(const boost::system::error_code& error, std::size_t body_octets)
{
    if (error == http::error::body_limit)
        return Error{fmt::format("the answer has more than {} octets", body_octets)};
    return Error{fmt::format("the answer is none of HTTP: {}", error.message())};
}

/// Takes what it can of `pending`.
boost::system::error_code feed(Parser& parser, std::string& pending)
{
    boost::system::error_code error;
    while (!pending.empty() && !parser.is_done()) {
        // Nothing with chunks ends in fewer octets; and where no chunk came before the last one, Beast asserts that these are there.
        if (parser.is_header_done() && parser.chunked() && pending.size() < last_chunk.size())
            break;
        const std::size_t taken = parser.put(asio::buffer(pending), error);
        pending.erase(0, taken);
        if (error && error != http::error::need_more)
            return error;
        if (error || taken == 0)
            break;
    }
    return {};
}

HttpAnswer answer_of(Parser& parser)
{
    HttpAnswer answer;
    answer.status = parser.get().result_int();
    const auto type = parser.get()[http::field::content_type];
    answer.type.assign(type.data(), type.size());
    if (parser.is_done())
        answer.body = std::move(parser.get().body());
    return answer;
}

}  // namespace

awaitable<Result<HttpAnswer>> http_ask(Stream* stream, std::string request, std::size_t body_octets, HttpBody what)
{
    CO_TRY_VOID(co_await stream->write(request));
    Parser parser;
    parser.header_limit(header_octets);
    parser.body_limit(body_octets);
    parser.eager(true);
    std::string room(header_octets, '\0'), pending;
    bool ended = false;
    while (!parser.is_done()) {
        auto got = co_await stream->read_some(room);
        boost::system::error_code error;
        if (got && *got == 0 && parser.got_some())
            parser.put_eof(error);
        else if (got && *got != 0) {
            pending.append(room, 0, *got);
            error = feed(parser, pending);
        }
        const bool known = parser.is_header_done() && (what == HttpBody::dropped || parser.get().result_int() / 100 != 2);
        if (error && !known)
            co_return no_answer(error, body_octets);
        if (!got && !known)
            co_return std::move(got).error();
        if (got && *got == 0 && !parser.is_header_done())
            co_return Error{"lost connection"};
        if (known && (error || !got || *got == 0 || what == HttpBody::wanted))
            co_return answer_of(parser);
        ended = got && *got == 0;
        if (ended)
            break;
    }
    HttpAnswer answer = answer_of(parser);
    answer.keeps = !ended && parser.is_done() && parser.get().keep_alive() && pending.empty();
    co_return answer;
}

std::string HttpUrl::authority() const
{
    const std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
    return port == (secure ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

Result<HttpUrl> parse_http_url(std::string_view text)
{
    HttpUrl url;
    const auto wrong = [&](std::string_view why) { return Error{fmt::format("\"{}\": {}", printable(text), why)}; };
    std::string_view rest = text;
    if (istarts_with(rest, "https://"))
        url.secure = true;
    else if (!istarts_with(rest, "http://"))
        return wrong("expected http:// or https://");
    rest.remove_prefix(url.secure ? 8 : 7);
    if (std::ranges::any_of(rest, [](char c) { return c <= ' ' || c >= 127 || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\'; }))
        return wrong("an octet that may not stand in it");
    const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
    std::string_view place = rest.substr(0, end);
    url.target = (end == rest.size() || rest[end] == '?' ? "/" : "") + std::string(rest.substr(end));
    if (place.find('@') != place.npos)
        return wrong("no user may stand in it");
    const std::size_t bracket = place.starts_with('[') ? place.find(']') : 0;
    if (bracket == place.npos)
        return wrong("no host");
    const std::size_t colon = place.find(':', bracket);
    url.port = url.secure ? 443 : 80;
    if (colon != place.npos) {
        const std::string_view digits = place.substr(colon + 1);
        const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
        if (error != std::errc() || last != digits.data() + digits.size() || url.port == 0)
            return wrong("bad port");
        place = place.substr(0, colon);
    }
    if (place.starts_with('[')) {
        if (!place.ends_with(']') || !IpAddress::parse(place.substr(1, place.size() - 2)))
            return wrong("no address in brackets");
        place = place.substr(1, place.size() - 2);
    }
    if (place.empty())
        return wrong("no host");
    url.host = to_lower(place);
    return url;
}

}  // namespace posthorn::net
