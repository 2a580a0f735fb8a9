// The body cut at what MIME says: nothing is lost, the pieces in which it comes in do not matter, memory has a bound, parts are those of the
// whole message's tree. What says 8bit is converted the same whatever the pieces.
#include "fuzz.hpp"

#include <string>
#include <vector>

#include "message/quoted_printable_stream.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::message;
using Item = MimeStream::Item;

struct Seen {
    std::string passed, told;          // told: items that matter, their text behind a mark
    std::size_t fields = 0, boundaries = 0;
};

void drain(MimeStream& stream, Seen& seen, const MimeStreamLimits& limits)
{
    while (const auto item = stream.next()) {
        FUZZ_CHECK(!item->text.empty());
        seen.passed += item->text;
        if (item->kind == Item::Kind::field) {
            FUZZ_CHECK(item->text.size() <= limits.field && item->text.front() != ' ' && item->text.front() != '\t');
            ++seen.fields;
        }
        if (item->kind == Item::Kind::line && !item->boundary)
            FUZZ_CHECK(item->text.size() <= limits.line + 2 && item->offset < limits.lines_to);
        if (item->kind == Item::Kind::separator)
            FUZZ_CHECK(item->text == "\r\n" || item->text == "\n");
        seen.boundaries += item->boundary;
        if (item->kind != Item::Kind::text || item->boundary) {
            seen.told += static_cast<char>('a' + static_cast<int>(item->kind));
            seen.told += item->boundary ? '!' : item->place == MimeStream::Place::nested ? 'n' : 'p';
            seen.told += item->text;
        }
    }
}

std::string convert(std::string_view input, const ContentType& type, MimeStreamLimits limits, std::size_t step)
{
    QuotedPrintableStream stream(type, Encoding::seven_bit, limits);
    std::string out;
    for (std::size_t at = 0; at < input.size(); at += step)
        out += stream.convert(input.substr(at, step), false);
    return out + stream.convert("", true);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    MimeStreamLimits limits;
    if ((bits & 1) != 0)
        limits = {.depth = 3, .boundary = 4, .field = 24, .line = 8, .lines_to = 0};
    limits.lines_to = (bits & 2) != 0 ? 20 : 0;
    ContentType type;
    type.type = (bits & 4) != 0 ? "message" : "multipart";
    type.subtype = (bits & 4) != 0 ? "rfc822" : (bits & 8) != 0 ? "digest" : "mixed";
    type.boundary = "b";

    Seen whole, pieces;
    MimeStream at_once(type, Encoding::seven_bit, limits), bit_by_bit(type, Encoding::seven_bit, limits);
    at_once.add(input);
    at_once.end();
    drain(at_once, whole, limits);
    FUZZ_CHECK(whole.passed == input);

    const std::size_t step = 1 + (bits >> 4);
    for (std::size_t at = 0; at < input.size(); at += step) {
        bit_by_bit.add(input.substr(at, step));
        drain(bit_by_bit, pieces, limits);
        // What is kept back is a field, a line or a boundary that is not whole.
        const std::size_t kept = std::min(at + step, input.size()) - pieces.passed.size();
        FUZZ_CHECK(kept <= std::max({limits.field, limits.line + 2, limits.boundary + 1000}) + step);
    }
    bit_by_bit.end();
    drain(bit_by_bit, pieces, limits);
    FUZZ_CHECK(pieces.passed == input);
    FUZZ_CHECK(pieces.told == whole.told);
    FUZZ_CHECK(pieces.fields == whole.fields && pieces.boundaries == whole.boundaries);
    FUZZ_CHECK(at_once.too_deep() == bit_by_bit.too_deep());

    const std::string converted = convert(input, type, limits, std::max<std::size_t>(input.size(), 1));
    FUZZ_CHECK(convert(input, type, limits, step) == converted);
}

}  // namespace posthorn::fuzz
