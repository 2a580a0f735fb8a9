#include "config/list.hpp"

#include "base/strings.hpp"

namespace posthorn::config {

std::vector<std::string_view> split_grouped(std::string_view text, std::string_view separators)
{
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < text.size();) {
        at = text.find_first_not_of(separators, at);
        if (at == text.npos)
            break;
        const auto start = at;
        int depth = 0;
        for (; at < text.size() && (depth > 0 || !separators.contains(text[at])); ++at) {
            if (text[at] == '{')
                ++depth;
            else if (text[at] == '}' && depth > 0)
                --depth;
        }
        pieces.push_back(text.substr(start, at - start));
    }
    return pieces;
}

List parse_list(std::string_view text)
{
    List list;
    for (auto piece : split_grouped(text)) {
        ListMember member;
        while (piece.starts_with('!')) {
            member.negated = !member.negated;
            piece.remove_prefix(1);
        }
        if (piece.size() >= 2 && piece.starts_with('{') && piece.ends_with('}'))
            piece = trim(piece.substr(1, piece.size() - 2));
        if (piece.starts_with('/'))
            member.kind = ListMember::Kind::file;
        else if (!piece.starts_with('[') && piece.contains(':'))     // "[2001:db8::]/32" is an address, not a table
            member.kind = ListMember::Kind::table;
        member.text = piece;
        list.push_back(std::move(member));
    }
    return list;
}

}  // namespace posthorn::config
