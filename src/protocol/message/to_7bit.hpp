// message/to_7bit.hpp: 8bit content for a peer without 8BITMIME.                    RFC 6152 3, RFC 2045 6.7, RFC 1428
// Shape    every leaf with octets above 127 becomes quoted-printable, its header says so; containers that said 8bit or binary say 7bit. Octets
//          above 127 in preamble and epilogue, which nobody reads, become '?'. All else is passed on octet for octet.
// Units    content in stored form; the sink gets pieces, views into the content or into a buffer of at most some 64 KiB, valid during the call.
// Errors   none: what cannot be converted (base64 with 8bit octets in it, message/partial, a header with UTF-8) is told, and passed on.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "message/mime.hpp"

namespace posthorn::message {

struct Conversion {
    std::size_t converted = 0;        ///< parts that became quoted-printable
    bool header_8bit = false;         ///< a header has octets above 127: only a peer with SMTPUTF8 may get it
    bool leftover_8bit = false;       ///< a body had to stay 8bit
    bool breaks_signature = false;    ///< a part within multipart/signed was changed
};

using Sink = std::function<void(std::string_view)>;

Conversion to_7bit(std::string_view content, const Sink& sink, const MimeLimits& limits = {});

/// A body with lines of at most 76 octets; line ends stay CRLF, octets that are no line end are encoded where they must be.
void append_quoted_printable(std::string_view body, std::string& out);
/// Lenient, as readers are: a = that encodes nothing stays; white space before a line end goes.
std::string decode_quoted_printable(std::string_view body);

}  // namespace posthorn::message
