#include "message/header.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.hpp"

namespace posthorn::message {
namespace {

std::string_view without_line_end(std::string_view text)
{
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    if (text.ends_with('\r'))
        text.remove_suffix(1);
    return text;
}

}  // namespace

std::size_t line_end(std::string_view text, std::size_t at)
{
    const void* lf = at < text.size() ? std::memchr(text.data() + at, '\n', text.size() - at) : nullptr;
    return lf == nullptr ? text.size() : static_cast<std::size_t>(static_cast<const char*>(lf) - text.data()) + 1;
}

bool Field::is(std::string_view other) const { return iequals(name, other); }

std::optional<Field> HeaderWalk::next()
{
    body_ = at_;
    if (at_ >= content_.size()) {
        end_ = HeaderEnd::content_end;
        return std::nullopt;
    }
    std::size_t end = line_end(content_, at_);
    const std::string_view first = content_.substr(at_, end - at_);
    if (without_line_end(first).empty()) {
        end_ = HeaderEnd::empty_line;
        body_ = end;
        return std::nullopt;
    }
    std::size_t length = 0;
    while (length < first.size() && first[length] > ' ' && first[length] < 127 && first[length] != ':')
        ++length;
    std::size_t colon = length;
    while (colon < first.size() && is_blank(first[colon]))
        ++colon;
    if (length == 0 || colon == first.size() || first[colon] != ':') {
        end_ = HeaderEnd::no_field;
        return std::nullopt;
    }
    while (end < content_.size() && is_blank(content_[end]))
        end = line_end(content_, end);
    Field field;
    field.whole = content_.substr(at_, end - at_);
    field.name = field.whole.substr(0, length);
    field.body = without_line_end(field.whole.substr(colon + 1));
    field.offset = base_ + at_;
    at_ = end;
    return field;
}

HeaderWalk walk_to_end(std::string_view content)
{
    HeaderWalk walk{content};
    while (walk.next()) {
    }
    return walk;
}

bool ended_by_no_field(std::string_view content)
{
    constexpr std::size_t longest_name = 2048;       // what has no colon by then gets none
    const HeaderWalk walk = walk_to_end(content);
    const std::string_view line = content.substr(walk.header_size());
    return walk.end() == HeaderEnd::no_field && (line.find('\n') != line.npos || line.size() > longest_name);
}

std::optional<Field> find_field(std::string_view content, std::string_view name)
{
    HeaderWalk walk{content};
    for (auto field = walk.next(); field; field = walk.next())
        if (field->is(name))
            return field;
    return std::nullopt;
}

std::string unfold(std::string_view body, std::size_t limit)
{
    std::string line;
    body = trim(body);
    line.reserve(std::min(body.size(), limit));
    for (std::size_t i = 0; i < body.size() && line.size() < limit; ++i) {
        const char c = body[i];
        if (c == '\r' && i + 1 < body.size() && body[i + 1] == '\n')
            continue;
        if (c == '\n' && i + 1 < body.size() && is_blank(body[i + 1]))
            continue;
        line += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    }
    return std::string(trim(line));
}

bool has_8bit(std::string_view octets)
{
    // Eight octets at a time; compilers make vectors of it.
    std::size_t i = 0;
    std::uint64_t bits = 0;
    for (; i + 8 <= octets.size(); i += 8) {
        std::uint64_t word;
        std::memcpy(&word, octets.data() + i, 8);
        bits |= word;
        if ((i & 0x3f8) == 0 && (bits & 0x8080808080808080u) != 0)
            return true;
    }
    if ((bits & 0x8080808080808080u) != 0)
        return true;
    for (; i < octets.size(); ++i)
        if ((octets[i] & 0x80) != 0)
            return true;
    return false;
}

bool header_has_8bit(std::string_view content) { return has_8bit(content.substr(0, walk_to_end(content).header_size())); }

bool is_resent(std::string_view name) { return istarts_with(name, "resent-"); }

AddressField address_field(std::string_view name)
{
    static constexpr std::array<std::string_view, 6> recipients{"to", "cc", "bcc", "apparently-to"};
    static constexpr std::array<std::string_view, 9> senders{
        "from", "sender", "reply-to", "return-path", "errors-to", "return-receipt-to", "disposition-notification-to", "mail-followup-to"};
    const std::string_view plain = is_resent(name) ? name.substr(7) : name;
    const auto among = [&](const auto& list) {
        return std::ranges::any_of(list, [&](std::string_view known) { return !known.empty() && iequals(known, plain); });
    };
    return among(recipients) ? AddressField::recipient : among(senders) ? AddressField::sender : AddressField::none;
}

}  // namespace posthorn::message
