// Header and MIME: fields tile the header, parts tile the content, edits do what a plain string does, conversion loses nothing.
#include "fuzz.hpp"

#include <vector>

#include "message/compose.hpp"
#include "message/edits.hpp"
#include "message/header.hpp"
#include "message/mime.hpp"
#include "message/to_7bit.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::message;

void check_header(std::string_view content)
{
    HeaderWalk walk{content};
    std::size_t at = 0;
    for (auto field = walk.next(); field; field = walk.next()) {
        FUZZ_CHECK(inside(field->whole, content) && inside(field->name, field->whole) && inside(field->body, field->whole));
        FUZZ_CHECK(field->offset == at && content.substr(at).starts_with(field->whole));
        FUZZ_CHECK(!field->name.empty() && field->name.find_first_of(": \t\r\n") == std::string_view::npos);
        at += field->whole.size();
        const std::string line = unfold(field->body, 40);
        FUZZ_CHECK(line.size() <= 40 && line.find_first_of("\r\n") == std::string::npos);
        (void)address_field(field->name);
        const auto found = find_field(content, field->name);
        FUZZ_CHECK(found && found->offset <= field->offset && found->name.size() == field->name.size());

        // Written again and read again it says the same.
        const std::string whole = unfold(field->body);
        const std::string text = message::field(field->name, whole);
        HeaderWalk again{text};
        const auto back = again.next();
        FUZZ_CHECK(back && back->name == field->name && !again.next() && again.end() == HeaderEnd::content_end);
        if (whole.find_first_not_of(" \t\v\f") != std::string::npos && whole.find_first_of("\v\f") == std::string::npos)
            FUZZ_CHECK(unfold(back->body) == std::string(whole));
    }
    FUZZ_CHECK(walk.header_size() == at && walk.body_offset() >= at && walk.body_offset() <= content.size());
    FUZZ_CHECK(walk.body_offset() - at <= 2);
    if (walk.end() == HeaderEnd::content_end)
        FUZZ_CHECK(at == content.size());
    // What more content can no longer make a field of.
    if (ended_by_no_field(content) && content.find('\n', at) != content.npos)
        FUZZ_CHECK(walk_to_end(std::string(content) + ": x\r\n\r\n").header_size() == at);
    FUZZ_CHECK(!find_field(content, "no such name"));
    // The header alone, given a proper end, has the same fields.
    std::string header(content.substr(0, at));
    if (walk.end() != HeaderEnd::content_end)
        FUZZ_CHECK(walk_to_end(header + "\r\n").header_size() == at);
}

std::string slow_edit(std::string_view content, const std::vector<bool>& gone, const std::vector<std::string>& added)
{
    std::string out;
    for (std::size_t i = 0; i <= content.size(); ++i) {
        out += added[i];
        if (i < content.size() && !gone[i])
            out += content[i];
    }
    return out;
}

void check_edits(std::string_view content, std::uint32_t seed)
{
    Edits edits;
    std::vector<bool> gone(content.size(), false);
    std::vector<std::string> added(content.size() + 1);
    const auto random = [&](std::size_t below) {
        seed = seed * 1664525u + 1013904223u;
        return below == 0 ? 0 : static_cast<std::size_t>(seed >> 8) % below;
    };
    for (int i = 0; i < 6; ++i) {
        const std::size_t offset = random(content.size() + 1), length = std::min(random(20), content.size() - offset);
        const std::string text = random(2) == 0 ? std::string{} : "<" + std::to_string(i) + ">";
        if (length == 0)
            edits.insert(offset, text);
        else if (text.empty())
            edits.remove(offset, length);
        else
            edits.replace(offset, length, text);
        added[offset] += text;
        for (std::size_t k = offset; k < offset + length; ++k)
            gone[k] = true;
    }
    FUZZ_CHECK(edits.apply(content) == slow_edit(content, gone, added));
    FUZZ_CHECK(edits.size(content) == edits.apply(content).size());
}

void check_mime(std::string_view content, const MimeLimits& limits)
{
    const Mime mime = parse_mime(content, limits);
    FUZZ_CHECK(!mime.parts.empty() && mime.parts.size() <= limits.parts);
    std::size_t last_begin = 0;
    for (std::size_t i = 0; i < mime.parts.size(); ++i) {
        const Part& part = mime.parts[i];
        FUZZ_CHECK(part.begin <= part.header_end && part.header_end <= part.body && part.body <= part.end && part.end <= content.size());
        FUZZ_CHECK(part.begin >= last_begin && part.depth <= limits.depth);
        last_begin = part.begin;
        FUZZ_CHECK((part.parent == Part::none) == (i == 0));
        if (i > 0) {
            const Part& parent = mime.parts[part.parent];
            FUZZ_CHECK(part.parent < i && parent.kind != PartKind::leaf && part.depth == parent.depth + 1);
            FUZZ_CHECK(part.begin >= parent.body && part.end <= std::max(parent.end, part.body));
        }
        if (part.encoding_length != 0)
            FUZZ_CHECK(part.encoding_offset >= part.begin && part.encoding_offset + part.encoding_length <= part.header_end);
        if (part.kind == PartKind::multipart)
            FUZZ_CHECK(!part.content_type.boundary.empty());
    }

    std::string out;
    const Conversion conversion = to_7bit(content, [&](std::string_view piece) { out += piece; }, limits);
    if (!conversion.header_8bit && !conversion.leftover_8bit)
        FUZZ_CHECK(!has_8bit(out));
    if (!has_8bit(content) && conversion.converted == 0) {
        // Only labels may differ; a second run has nothing to do.
        std::string again;
        to_7bit(out, [&](std::string_view piece) { again += piece; }, limits);
        FUZZ_CHECK(again == out);
    }
    if (conversion.converted == 0 && has_8bit(content) && mime.parts.size() == 1 && mime.parts[0].encoding_length == 0)
        FUZZ_CHECK(out == content);
    if (conversion.converted != 0 && mime.parts.size() == 1) {
        const Mime after = parse_mime(out, limits);
        FUZZ_CHECK(after.parts.size() == 1 && after.parts[0].encoding == Encoding::quoted_printable);
        FUZZ_CHECK(decode_quoted_printable(std::string_view(out).substr(after.parts[0].body)) == content.substr(mime.parts[0].body));
    }
}

void check_quoted_printable(std::string_view body)
{
    std::string out;
    append_quoted_printable(body, out);
    FUZZ_CHECK(!has_8bit(out) && decode_quoted_printable(out) == body);
    for (std::string_view left = out; !left.empty();) {
        const std::size_t end = left.find("\r\n");
        FUZZ_CHECK(std::min(end, left.size()) <= 76 && left.substr(0, end).find_first_of("\r\n") == std::string_view::npos);
        left.remove_prefix(end == left.npos ? left.size() : end + 2);
    }
    (void)decode_quoted_printable(body);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    check_header(input);
    check_edits(input.substr(0, 200), bits * 2654435761u);
    check_mime(input, (bits & 1) != 0 ? MimeLimits{.depth = 3, .parts = 8, .boundary = 4} : MimeLimits{});
    check_quoted_printable(input);
}

}  // namespace posthorn::fuzz
