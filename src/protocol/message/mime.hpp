// message/mime.hpp: the tree of parts of a message.                                                RFC 2045, 2046
// Shape    parts in the order of their beginnings, the message itself first; each knows its parent. A leaf's body is [body, end); the line
//          end before a boundary belongs to the boundary (RFC 2046 5.1.1). What is no leaf body and no header is boundary lines,
//          preamble and epilogue.
// Units    offsets from the start of the content. One pass; time is linear in the content for a given depth.
// Trust    none. Limits: depth (mime_nesting_limit), parts, boundary length (mime_boundary_length_limit; longer ones are compared by
//          their first octets). Beyond depth or parts a container is taken as a leaf, and the flags say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::message {

enum class Encoding : std::uint8_t { seven_bit, eight_bit, binary, quoted_printable, base64, other };
enum class PartKind : std::uint8_t { leaf, multipart, message };

struct ContentType {
    std::string type = "text", subtype = "plain";  ///< lower case
    std::string boundary, charset;
};
/// The body of a Content-Type field; what it does not say has the defaults of RFC 2045 5.2.
ContentType parse_content_type(std::string_view body);
Encoding parse_encoding(std::string_view body);

struct Part {
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::size_t begin = 0, header_end = 0, body = 0, end = 0;
    std::size_t parent = none;
    unsigned depth = 0;
    PartKind kind = PartKind::leaf;
    ContentType content_type;
    Encoding encoding = Encoding::seven_bit;
    // The Content-Transfer-Encoding field, to be replaced; length 0: there is none.
    std::size_t encoding_offset = 0, encoding_length = 0;
    bool typed = false;         ///< has a Content-Type
    bool mime_version = false;  ///< has a MIME-Version
    bool empty_line = false;    ///< an empty line ended its header
};

struct MimeLimits {
    unsigned depth = 100;
    std::size_t parts = 10000;
    std::size_t boundary = 2048;
};

struct Mime {
    std::vector<Part> parts;
    bool too_deep = false, too_many = false;
};

Mime parse_mime(std::string_view content, const MimeLimits& limits = {});

}  // namespace posthorn::message
