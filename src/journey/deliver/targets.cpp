#include "deliver/targets.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"

#include <fmt/format.h>

namespace posthorn::deliver {

namespace {

constexpr std::string_view include_word = ":include:";

/// One text without comments, each logical line ended by a line end.
std::string without_comments(std::string_view text)
{
    std::string made;
    for (const std::string_view line : split_exact(text, '\n')) {
        if (line.starts_with('#'))
            continue;
        const bool continues = !line.empty() && is_space(line.front()) && !trim(line).empty();
        if (!continues && !made.empty())
            made += '\n';
        else if (continues)
            made += ' ';
        made += line;
    }
    return made;
}

/// Members, as they are written. Commas and line ends inside of quotes, comments and <> belong to them; a line end ends an open quote, too.
std::vector<std::string> members_of(std::string_view text)
{
    std::vector<std::string> members;
    std::string member;
    bool quoted = false, angled = false;
    int nested = 0;
    const auto end = [&] {
        if (const std::string_view whole = trim(member); !whole.empty())
            members.emplace_back(whole);
        member.clear();
        quoted = angled = false;
        nested = 0;
    };
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '\n' || (c == ',' && !quoted && !angled && nested == 0)) {
            end();
            continue;
        }
        member += c;
        bool pair = c == '\\' && at + 1 < text.size() && text[at + 1] != '\n';
#ifdef POSTHORN_PLANT_BUG_deliver
        pair = c == '\\' && at + 1 < text.size();                // takes the line end along
#endif
        if (pair)
            member += text[++at];
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '(')
            ++nested;
        else if (c == ')' && nested > 0)
            --nested;
        else if (c == '<' || c == '>')
            angled = c == '<';
    }
    end();
    return members;
}

/// `"|a \"b\""` -> `|a "b"`. Where the quotes are not around all of it, it stays.
std::string unquoted(std::string_view member)
{
    if (!member.starts_with('"') || !member.ends_with('"') || member.size() < 2)
        return std::string(member);
    std::string made;
    for (std::size_t at = 1; at + 1 < member.size(); ++at) {
        if (member[at] == '"')
            return std::string(member);
        if (member[at] == '\\' && at + 2 < member.size())
            ++at;
        made += member[at];
    }
    return made;
}

Result<void> add_addresses(std::string_view member, std::vector<Target>& targets)
{
    // \user: a quoted pair for the parser of addresses, and for us the word that no alias is to be looked for.
    const bool plain = member.starts_with('\\');
    const message::AddressList list = message::parse_address_list(plain ? member.substr(1) : member);
    for (const message::Address& address : list.addresses) {
        if (address.malformed || address.mailbox.null() || address.mailbox.local.find('\0') != std::string::npos)
            return Error{fmt::format("bad address \"{}\"", printable(member.substr(0, 200), true))};
        targets.emplace_back(Target::Kind::address, (plain ? "\\" : "") + address.mailbox.text());
    }
    if (list.addresses.empty() || list.cut)
        return Error{fmt::format("bad address \"{}\"", printable(member.substr(0, 200), true))};
    return {};
}

}  // namespace

Result<std::vector<Target>> parse_targets(std::string_view text)
{
    std::vector<Target> targets;
    if (text.size() > targets_limit)
        return Error{fmt::format("more than {} octets", targets_limit)};
    for (const std::string& member : members_of(without_comments(text))) {
        if (targets.size() >= targets_count)
            return Error{fmt::format("more than {} members", targets_count)};
        const std::string value = unquoted(member);
        if (value.find('\0') != value.npos)
            return Error{"a NUL octet"};
        if (value.starts_with('|')) {
            if (trim(std::string_view(value).substr(1)).empty())
                return Error{"a command without words"};
            targets.emplace_back(Target::Kind::command, std::string(trim(std::string_view(value).substr(1))));
        } else if (value.starts_with('/')) {
            targets.emplace_back(Target::Kind::file, value);
        } else if (istarts_with(value, include_word)) {
            std::string path = unquoted(trim(std::string_view(value).substr(include_word.size())));
            if (!path.starts_with('/'))
                return Error{fmt::format(":include:{}: an absolute path is needed", printable(path))};
            targets.emplace_back(Target::Kind::include, std::move(path));
        } else {
            TRY_VOID(add_addresses(member, targets));
        }
    }
    return targets;
}

}  // namespace posthorn::deliver
