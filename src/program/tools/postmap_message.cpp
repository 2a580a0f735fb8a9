#include "tools/postmap_message.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "message/mime.hpp"

namespace posthorn::tools {

namespace {

std::string without_cr(std::string_view text)
{
    std::string result;
    for (const std::string_view line : split_exact(text, '\n')) {
        result.append(line.substr(0, line.size() - (line.ends_with('\r') ? 1 : 0)));
        result += '\n';
    }
    while (result.ends_with('\n'))
        result.pop_back();
    return result;
}

void add_fields(std::vector<std::string>& keys, std::string_view part)
{
    message::HeaderWalk walk(part);
    while (const auto field = walk.next())
        keys.push_back(without_cr(field->whole));
}

void add_lines(std::vector<std::string>& keys, std::string_view body)
{
    if (body.ends_with('\n'))
        body.remove_suffix(1);
    else if (body.empty())
        return;
    for (const std::string_view line : split_exact(body, '\n'))
        keys.emplace_back(line.substr(0, line.size() - (line.ends_with('\r') ? 1 : 0)));
}

}  // namespace

std::vector<std::string> message_keys(std::string_view text, MessageKeys wanted)
{
    std::vector<std::string> keys;
    if (!wanted.mime) {
        if (wanted.headers)
            add_fields(keys, text);
        if (wanted.body)
            add_lines(keys, text.substr(message::walk_to_end(text).body_offset()));
        return keys;
    }
    // From part to part: its fields, then all lines up to the next one, without those that are boundaries.
    const auto parts = message::parse_mime(text).parts;
    for (std::size_t at = 0; at < parts.size(); ++at) {
        const message::Part& part = parts[at];
        const std::size_t end = at + 1 < parts.size() ? parts[at + 1].begin : text.size();
        if (wanted.headers)
            add_fields(keys, text.substr(part.begin, part.body - part.begin));
        if (!wanted.body || end <= part.body)
            continue;
        std::vector<std::string> lines;
        add_lines(lines, text.substr(part.body, end - part.body));
        std::erase_if(lines, [&](const std::string& line) {
            return line.starts_with("--") && std::ranges::any_of(parts, [&](const message::Part& other) {
                       return other.kind == message::PartKind::multipart && std::string_view(line).substr(2).starts_with(other.content_type.boundary);
                   });
        });
        std::ranges::move(lines, std::back_inserter(keys));
    }
    return keys;
}

}  // namespace posthorn::tools
