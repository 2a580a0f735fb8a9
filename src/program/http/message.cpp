#include "http/message.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <fmt/format.h>

#include <limits>

namespace posthorn::http {

namespace beast = boost::beast::http;

namespace {
constexpr std::string_view last_chunk = "0\r\n\r\n";
}  // namespace

struct Reader::Parser {
    beast::request_parser<beast::string_body> parser;
};

Reader::Reader(Limits limits) : parser_(std::make_unique<Parser>()), head_limit_(limits.header)
{
    parser_->parser.header_limit(std::numeric_limits<std::uint32_t>::max());
    parser_->parser.body_limit(limits.body);
}

Reader::~Reader() = default;

std::size_t Reader::feed(std::string_view octets)
{
    if (refused_ || whole() || octets.empty())
        return 0;
    begun_ = true;
    std::size_t taken = 0;
    if (!parser_->parser.is_header_done()) {
        taken = put(octets);
        head_octets_ += taken;
        // Beast's own limit depends on the pieces that the header comes in.
        const std::size_t head = head_octets_ + (parser_->parser.is_header_done() ? 0 : octets.size() - taken);
        if (!refused_ && head > head_limit_)
            refused_ = 431U;
        octets.remove_prefix(taken);
        if (refused_ || !parser_->parser.is_header_done())
            return taken;
        parser_->parser.eager(true);                       // of the body, all that is there at once
        if (parser_->parser.is_done() || octets.empty())
            return taken;
    }
    // Nothing with chunks ends in fewer octets; and where no chunk came before the last one, Beast asserts that these are there.
    if (parser_->parser.chunked() && octets.size() < last_chunk.size())
        return taken;
    return taken + put(octets);
}

std::size_t Reader::put(std::string_view octets)
{
    boost::system::error_code error;
    const std::size_t taken = parser_->parser.put(boost::asio::buffer(octets.data(), octets.size()), error);
    if (error && error != beast::error::need_more)
        refused_ = error == beast::error::body_limit ? 413U : 400U;
    return taken;
}

bool Reader::whole() const { return !refused_ && parser_->parser.is_done(); }

bool Reader::head_done() const { return !refused_ && parser_->parser.is_header_done(); }

bool Reader::waits_for_leave() const
{
    const auto& message = parser_->parser.get();
    return head_done() && !whole() && message.version() >= 11 && iequals(message[beast::field::expect], "100-continue");
}

std::size_t Reader::held() const { return parser_->parser.get().body().capacity(); }

Request Reader::take()
{
    Request request = head();
    request.body = std::move(parser_->parser.get().body());
    return request;
}

Request Reader::head() const
{
    const auto& message = parser_->parser.get();
    Request request;
    request.method = message.method_string();
    request.target = message.target();
    const auto [first, last] = message.equal_range(beast::field::host);
    for (auto field = first; field != last; ++field)
        request.host.emplace_back(field->value());
    request.authorization = message[beast::field::authorization];
    request.content_type = message[beast::field::content_type];
    request.content_encoding = message[beast::field::content_encoding];
    request.keep_alive = message.keep_alive();
    request.old = message.version() < 11;
    return request;
}

Answer error_answer(unsigned status, std::string_view text) { return {status, "application/json", json_object({{"error", text}}) + "\n"}; }

std::string on_the_wire(const Answer& answer, bool keep_alive, bool head)
{
    std::string text = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\nCache-Control: no-store\r\n"
                                   "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n",
                                   answer.status, std::string_view(beast::obsolete_reason(static_cast<beast::status>(answer.status))), answer.type,
                                   answer.body.size(), keep_alive ? "keep-alive" : "close");
    for (const auto& [name, value] : answer.fields)
        text += fmt::format("{}: {}\r\n", name, value);
    text += "\r\n";
    if (!head)
        text += answer.body;
    return text;
}

}  // namespace posthorn::http
