#include "message/mime_stream.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"

#include <algorithm>

namespace posthorn::message {

namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);
constexpr std::size_t longest_tail = 1000;          // of a line that divides, behind the boundary

/// Behind the line feed of the line at `at`; none: it is not whole.
std::size_t whole_line_end(std::string_view text, std::size_t at)
{
    const std::size_t lf = text.find('\n', at);
    return lf == text.npos ? none : lf + 1;
}

bool blank(std::string_view line) { return line == "\r\n" || line == "\n"; }

/// Is this line, or its beginning, that of a field?
bool begins_field(std::string_view line)
{
    std::size_t at = 0;
    while (at < line.size() && line[at] > 32 && line[at] < 127 && line[at] != ':')
        ++at;
    if (at == 0)
        return false;
    while (at < line.size() && (line[at] == ' ' || line[at] == '\t'))
        ++at;
    return at < line.size() && line[at] == ':';
}

}  // namespace

MimeStream::MimeStream(const ContentType& type, Encoding encoding, const MimeStreamLimits& limits) : limits_(limits) { enter(type, encoding); }

void MimeStream::add(std::string_view octets)
{
    if (at_ != 0) {
        held_.erase(0, at_);
        at_ = 0;
    }
    held_ += octets;
}

// What a header said of what follows it.
void MimeStream::enter(const ContentType& type, Encoding encoding)
{
    last_type_ = type;
    encoding_ = last_encoding_ = encoding;
    offset_ = 0;
    in_header_ = false;
    const bool multipart = type.type == "multipart" && !type.boundary.empty();
    const bool message = type.type == "message" && (type.subtype == "rfc822" || type.subtype == "global" || type.subtype == "news");
    const bool encoded = encoding == Encoding::quoted_printable || encoding == Encoding::base64 || encoding == Encoding::other;
    if (encoded && (type.type == "multipart" || (type.type == "message" && type.subtype != "delivery-status" && type.subtype != "partial")))
        bad_domain_ = encoding;
    if (!multipart && (!message || encoded))
        return;
    if (open_.size() >= limits_.depth) {
        if (!std::exchange(too_deep_, true))
            deep_text_ = type_text_;
        return;
    }
    if (multipart) {
        open_.push_back({type.boundary.substr(0, limits_.boundary), type.subtype == "digest"});
        return;
    }
    open_.push_back({});
    in_header_ = true;
    place_ = Place::nested;
    type_ = {};
    type_text_.clear();
    typed_ = encoded_ = false;
    encoding_ = Encoding::seven_bit;
}

void MimeStream::header_ends() { enter(type_, encoding_); }

std::size_t MimeStream::find_boundary(std::string_view line, bool& final) const
{
    while (!line.empty() && is_space(line.back()))
        line.remove_suffix(1);
    line.remove_prefix(std::min<std::size_t>(2, line.size()));
    std::size_t prefix = none;
    for (std::size_t level = open_.size(); level-- > 0;) {
        const std::string& boundary = open_[level].boundary;
        if (boundary.empty() || !line.starts_with(boundary))
            continue;
        const std::string_view after = line.substr(boundary.size());
        if (after.empty() || after == "--") {            // the exact one wins over one that is only a prefix
            final = !after.empty();
            return level;
        }
        if (prefix == none) {
            prefix = level;
            final = after.starts_with("--");
        }
    }
    return prefix;
}

// Behind a boundary: the header of a part, or what nobody reads.
void MimeStream::cross(std::size_t level, bool final)
{
    const bool digest = open_[level].digest;
    open_.resize(final ? level : level + 1);
    encoding_ = Encoding::seven_bit;
    in_header_ = !final;
    field_goes_on_ = false;
    place_ = Place::part;
    type_ = {};
    typed_ = encoded_ = false;
    if (digest)
        type_ = {.type = "message", .subtype = "rfc822"};   // RFC 2046 5.1.5
}

bool MimeStream::boundary_matters() const
{
    return std::ranges::any_of(open_, [](const Open& open) { return !open.boundary.empty(); });
}

MimeStream::Item MimeStream::take(Item item, std::size_t octets)
{
    item.text = std::string_view(held_).substr(at_, octets);
    item.encoding = encoding_;
    item.offset = offset_;
    at_ += item.text.size();
    continued_ = 0;
    line_start_ = item.text.empty() || item.text.back() == '\n';
    return item;
}

// A line between two parts is the last of the segment before it; the one that closes a multipart is the first of what follows.
MimeStream::Item MimeStream::divide(std::size_t octets, std::size_t level, bool final)
{
    if (final)
        offset_ = 0;
    Item item = take({.kind = offset_ < limits_.lines_to ? Item::Kind::line : Item::Kind::text, .boundary = true}, octets);
    offset_ += octets;
    cross(level, final);
    return item;
}

std::optional<MimeStream::Item> MimeStream::next()
{
    if (at_ == held_.size()) {
        if (ended_ && in_header_)
            header_ends();
        return std::nullopt;
    }
    return in_header_ ? header_item() : body_item();
}

std::optional<MimeStream::Item> MimeStream::header_item()
{
    using Kind = Item::Kind;
    const std::string_view text = rest();
    if (field_goes_on_) {
        // The end of a field that was too long: to its last line end.
        if (line_start_ && text.front() != ' ' && text.front() != '\t') {
            field_goes_on_ = false;
            return header_item();
        }
        const std::size_t end = whole_line_end(text, 0);
        return take({.kind = Kind::text, .continues = true}, end == none ? text.size() : end);
    }
    const std::size_t first = whole_line_end(text, 0);
    // Whether it divides, is empty, or begins a field: the same whatever has come of what is beyond the limits.
    if (first == none && !ended_ && text.size() <= std::max(limits_.field, limits_.boundary + longest_tail))
        return std::nullopt;
    const std::string_view line = text.substr(0, std::min(first, text.size()));
    if (blank(line)) {
        Item item = take({.kind = Kind::separator, .place = place_}, line.size());
        header_ends();
        return item;
    }
    bool final = false;
    const std::size_t level = line.starts_with("--") && line.size() <= limits_.boundary + longest_tail ? find_boundary(line, final) : none;
    if (level != none) {
        return divide(line.size(), level, final);
    }
    if (!begins_field(line.substr(0, limits_.field))) {
        header_ends();                                   // no field: the body begins here
        return next();
    }
    std::size_t end = first == none ? text.size() : std::max(first, continued_);
    while (first != none && end < text.size() && end <= limits_.field && (text[end] == ' ' || text[end] == '\t')) {
        const std::size_t further = whole_line_end(text, end);
        if (further == none) {
            if (!ended_ && text.size() <= limits_.field) {
                continued_ = end;
                return std::nullopt;
            }
            end = text.size();
            break;
        }
        end = further;
    }
#ifndef POSTHORN_PLANT_BUG_mime_stream  // without it a field ends where a chunk does (scripts/fuzz-planted)
    if (end == text.size() && !ended_ && end <= limits_.field) {
        continued_ = end;
        return std::nullopt;                             // the next line may continue it
    }
#endif
    if (end > limits_.field) {
        end = limits_.field;
        field_goes_on_ = true;
    }
    const std::string_view whole = text.substr(0, end);
    if (const auto field = HeaderWalk(whole).next()) {
        if (field->is("Content-Type") && !std::exchange(typed_, true)) {
            type_ = parse_content_type(field->body);
            type_text_ = whole.substr(0, 200);
        } else if (field->is("Content-Transfer-Encoding") && !std::exchange(encoded_, true))
            encoding_ = parse_encoding(field->body);
    }
    return take({.kind = Kind::field, .place = place_, .to_be_continued = field_goes_on_}, end);
}

std::optional<MimeStream::Item> MimeStream::body_item()
{
    using Kind = Item::Kind;
    const std::string_view text = rest();
    const bool divided = boundary_matters();
    if (divided && line_start_ && text.front() == '-') {
        const std::size_t end = whole_line_end(text, 0);
        const std::size_t longest = limits_.boundary + longest_tail;
        if (end == none && !ended_ && text.size() <= longest)
            return std::nullopt;
        const std::string_view line = text.substr(0, std::min(end, text.size()));
        bool final = false;
        const std::size_t level = line.starts_with("--") && line.size() <= longest ? find_boundary(line, final) : none;
        if (level != none) {
            return divide(line.size(), level, final);
        }
    }
    if (offset_ < limits_.lines_to) {
        const std::size_t end = whole_line_end(text.substr(0, limits_.line + 2), 0);
        if (end == none && text.size() < limits_.line + 2 && !ended_)
            return std::nullopt;
        const std::size_t octets = end != none ? end : std::min(text.size(), limits_.line);
        Item item = take({.kind = Kind::line}, octets);
        item.to_be_continued = !line_start_;
        offset_ += octets;
        return item;
    }
    // Text, up to where a boundary may begin.
    std::size_t octets = text.size();
    if (divided) {
        const std::size_t found = text.find("\n-");
        octets = found == text.npos ? text.size() : found + 1;
    }
    Item item = take({.kind = Kind::text}, octets);
    offset_ += octets;
    return item;
}

}  // namespace posthorn::message
