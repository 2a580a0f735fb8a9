// message/mime_stream.hpp: the body of a message as it comes in, cut at what MIME says.                      RFC 2045, 2046
// Shape    add() octets, take items with next() until there is none, at the end once end() was called. The items' texts together are the
//          octets that went in, in order: a consumer that passes every text on has passed on the message.
// Units    an item's offset counts the octets of the body segment before it. A segment begins behind each header, and with the
//          boundary that closes a multipart.
// Owns     what was added and not taken yet; an item's text is valid until the next call of add().
// Memory   within limits.field + two chunks + depth x limits.boundary, whatever the size of the message.
// Trust    none. A field longer than limits.field comes as a field cut there, and what is beyond as text. Deeper than limits.depth
//          a container is taken as text, and too_deep() says so.
#pragma once

#include "message/mime.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::message {

struct MimeStreamLimits {
    unsigned depth = 100;
    std::size_t boundary = 2048;
    std::size_t field = 102400;
    std::size_t line = 2048;               // a longer line comes in pieces of so many octets
    std::uint64_t lines_to = 0;            // lines are told apart up to this offset of each segment; beyond, text comes as it lies
};

class MimeStream {
public:
    enum class Place : std::uint8_t { part, nested };   // of a field: of a body part, of a message within
    struct Item {
        enum class Kind : std::uint8_t { field, separator, line, text };
        Kind kind = Kind::text;
        Place place = Place::part;
        bool boundary = false;                          // a line, or text, that divides parts
        bool to_be_continued = false;                   // the line, or the field that was cut, goes on in the next item
        bool continues = false;                         // it is the rest of a field that was cut
        Encoding encoding = Encoding::seven_bit;        // of the segment
        std::uint64_t offset = 0;
        std::string_view text;                          // with its line end
    };

    /// The header of the message is known already: what it says of its body.
    MimeStream(const ContentType& type, Encoding encoding, const MimeStreamLimits& limits);

    void add(std::string_view octets);
    void end() { ended_ = true; }
    std::optional<Item> next();

    bool too_deep() const { return too_deep_; }
    /// The beginning of the Content-Type field that was the first too many; empty: it is the message's own, or was not written.
    const std::string& too_deep_at() const { return deep_text_; }
    /// A multipart or message with an encoding that it must not have (RFC 2045 6.4).
    bool bad_encoding_domain() const { return bad_domain_.has_value(); }
    Encoding bad_encoding() const { return bad_domain_.value_or(Encoding::other); }
    /// Of the header that ended last, or that the stream was begun with.
    const ContentType& last_type() const { return last_type_; }
    Encoding last_encoding() const { return last_encoding_; }
    /// Nothing but text will come: no part can begin any more, and no line is to be told apart.
    bool plain() const { return !in_header_ && open_.empty() && limits_.lines_to == 0; }

private:
    struct Open {
        std::string boundary;                           // of a multipart; empty: a message
        bool digest = false;
    };

    std::optional<Item> header_item();
    std::optional<Item> body_item();
    void header_ends();
    void enter(const ContentType& type, Encoding encoding);
    std::size_t find_boundary(std::string_view line, bool& final) const;
    void cross(std::size_t level, bool final);
    bool boundary_matters() const;
    Item take(Item item, std::size_t octets);
    Item divide(std::size_t octets, std::size_t level, bool final);
    std::string_view rest() const { return std::string_view(held_).substr(at_); }

    MimeStreamLimits limits_;
    std::string held_;
    std::size_t at_ = 0;
    std::size_t continued_ = 0;                         // of the field that is not whole: its lines so far, which need not be looked at again
    std::vector<Open> open_;
    bool in_header_ = false, line_start_ = true, ended_ = false, too_deep_ = false;
    std::optional<Encoding> bad_domain_;
    bool field_goes_on_ = false;                        // the last field was cut: its continuation is text
    Place place_ = Place::part;
    ContentType type_;
    std::string type_text_, deep_text_;
    ContentType last_type_;
    Encoding encoding_ = Encoding::seven_bit, last_encoding_ = Encoding::seven_bit;
    bool typed_ = false, encoded_ = false;
    std::uint64_t offset_ = 0;
};

}  // namespace posthorn::message
