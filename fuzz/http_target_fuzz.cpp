// What comes over HTTP to the services that speak it. A target is decoded once: pieces are never empty, dots or control characters, and what is escaped of them
// comes back the same; a request is the same in whatever pieces it arrives; a Host that is let in is one that is written down, or an address.
#include "fuzz.hpp"

#include "http/access.hpp"
#include "http/message.hpp"
#include "http/target.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::http;

namespace {

bool plain(std::string_view text)
{
    return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void check_target(std::string_view input)
{
    const auto target = parse_target(input);
    if (!target) {
        FUZZ_CHECK(!target.error().what().empty());
        return;
    }
    FUZZ_CHECK(input.starts_with('/'));
    std::string again;
    for (const std::string& piece : target->path) {
        FUZZ_CHECK(!piece.empty() && piece != "." && piece != ".." && plain(piece));
        again += "/" + escaped(piece);
    }
    for (const auto& [name, value] : target->query) {
        FUZZ_CHECK(plain(name) && plain(value));
        FUZZ_CHECK(target->word(name) == value);
    }
    const auto same = parse_target(again.empty() ? "/" : again);
    FUZZ_CHECK(same && same->path == target->path);
}

struct Read {
    std::optional<unsigned> refused;
    std::optional<Request> request;
    std::size_t octets = 0;
};

Read read(std::string_view input, std::size_t piece)
{
    Reader reader({.header = 512, .body = 64});
    Read result;
    std::string pending;
    for (std::size_t at = 0; at < input.size() && !reader.whole() && !reader.refused(); at += piece) {
        pending += input.substr(at, piece);
        for (std::size_t taken = 1; taken > 0 && !pending.empty() && !reader.whole();) {
            taken = reader.feed(pending);
            FUZZ_CHECK(taken <= pending.size());
            result.octets += taken;
            pending.erase(0, taken);
        }
    }
    result.refused = reader.refused();
    if (reader.whole())
        result.request = reader.take();
    return result;
}

void check_request(std::string_view input)
{
    const Read at_once = read(input, input.size() + 1), in_pieces = read(input, 3);
    FUZZ_CHECK(at_once.request.has_value() == in_pieces.request.has_value());
    if (!at_once.request)
        return;
    FUZZ_CHECK(at_once.octets == in_pieces.octets);
    FUZZ_CHECK(at_once.request->target == in_pieces.request->target && at_once.request->host == in_pieces.request->host);
    FUZZ_CHECK(at_once.request->method == in_pieces.request->method && at_once.request->authorization == in_pieces.request->authorization);
    check_target(at_once.request->target);
}

void check_host(std::string_view input)
{
    static const Access access = *Access::make({}, {}, config::parse_list("localhost"));
    static const net::Endpoint local{net::IpAddress::loopback(), 8025};
    Request request;
    request.host = {std::string(input)};
    if (access.refuses_host(request, local))
        return;
    const std::string_view name = input.substr(0, input.starts_with('[') ? input.find(']') : input.find(':'));
    FUZZ_CHECK(name.starts_with("127.0.0.1") || name.starts_with('[') || ((name.front() | 0x20) == 'l' && name.size() <= 10));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_target(input);
    check_request(input);
    check_host(input);
}

}  // namespace posthorn::fuzz
