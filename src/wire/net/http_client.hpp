// net/http_client.hpp: one request over a stream that stands, and its answer.                                          RFC 9112
// Trust    none: a header and a body have their limits, and what is no HTTP is an Error. Nothing is followed, decoded or cached.
// Errors   what went wrong, in words for a log line: "lost connection", "the answer is none of HTTP: ...", "the answer has more than N octets".
#pragma once

#include "net/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::net {

struct HttpAnswer {
    unsigned status = 0;
    std::string type;                      // Content-Type
    std::string body;
    bool keeps = false;                    // the connection is good for another request
};

/// What is read of a body: of an answer with another status than 2xx nothing, in any case.
enum class HttpBody : std::uint8_t {
    wanted,                                // one beyond the limit is an Error
    dropped,                               // what it says is of no interest: the answer counts, whatever becomes of its body
};

/// `request`: whole, with its body. The stream's deadline is the caller's.
awaitable<Result<HttpAnswer>> http_ask(Stream* stream, std::string request, std::size_t body_octets, HttpBody what = HttpBody::wanted);

/// Where an URL leads: "http" or "https", a host (a name, or an address without brackets), a port, and what follows it, "/" at least.
struct HttpUrl {
    bool secure = false;
    std::string host;
    std::uint16_t port = 0;
    std::string target;
    /// As in Host: "host", "[::1]:8080".
    std::string authority() const;
    bool operator==(const HttpUrl&) const = default;
};
/// Errors: another scheme, a user, a fragment, no host, a bad port, octets that may not stand there.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace posthorn::net
