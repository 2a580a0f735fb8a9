#include "exim/lists.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace posthorn::exim {

namespace {

bool is_punctuation(char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }

}  // namespace

std::vector<std::string> split_list(std::string_view list)
{
    char separator = ':';
    std::size_t at = list.find_first_not_of(" \t\r\n");
    if (at == list.npos)
        return {};
    if (list[at] == '<' && at + 1 < list.size() && (is_punctuation(list[at + 1]) || is_control(list[at + 1]))) {
        separator = list[at + 1];
        at += 2;
    } else {
        at = 0;
    }
    std::vector<std::string> items;
    std::string item;
    bool open = false;
    for (; at < list.size(); ++at) {
        if (list[at] != separator) {
            item += list[at];
            open = true;
            continue;
        }
        if (!is_control(separator) && at + 1 < list.size() && list[at + 1] == separator) {
            item += separator;
            open = true;
            ++at;
            continue;
        }
        items.emplace_back(trim(item));
        item.clear();
        open = false;
    }
    if (open && !trim(item).empty())
        items.emplace_back(trim(item));
    return items;
}

std::string join_list(const std::vector<std::string>& items)
{
    // A list that begins with "<" would be taken for one that names its separator.
    static constexpr std::string_view separators = ":;|/%";
    const auto free = std::ranges::find_if(
        separators, [&](char c) { return std::ranges::none_of(items, [&](const std::string& item) { return item.find(c) != item.npos; }); });
    const char separator = free == separators.end() ? ':' : *free;
    std::string list = separator == ':' && (items.empty() || !items.front().starts_with('<')) ? std::string() : fmt::format("<{} ", separator);
    for (const std::string& item : items) {
        for (const char c : item)
            list.append(c == separator ? 2 : 1, c);
        list += fmt::format(" {} ", separator);
    }
    return list;
}

std::optional<std::string> as_network(std::string_view text)
{
    const std::size_t slash = text.find('/');
    std::string host(text.substr(0, slash));
    if (host.size() > 1 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    std::array<unsigned char, 16> octets{};
    const bool six = host.find(':') != host.npos;
    if (::inet_pton(six ? AF_INET6 : AF_INET, host.c_str(), octets.data()) != 1)
        return {};
    if (slash == text.npos)
        return host;
    const unsigned width = six ? 128 : 32;
    const auto bits = parse_number(text.substr(slash + 1));
    if (!bits || *bits > width)
        return {};
    for (unsigned bit = static_cast<unsigned>(*bits); bit < width; ++bit)
        octets[bit / 8] &= static_cast<unsigned char>(~(0x80U >> bit % 8));
    std::array<char, INET6_ADDRSTRLEN> shown{};
    ::inet_ntop(six ? AF_INET6 : AF_INET, octets.data(), shown.data(), shown.size());
    return fmt::format("{}/{}", shown.data(), *bits);
}

ListItem classify(std::string_view item, ListOf what)
{
    using Kind = ListItem::Kind;
    ListItem result;
    item = trim(item);
    while (item.starts_with('!')) {
        result.negated = !result.negated;
        item = trim(item.substr(1));
    }
    const auto is = [&](Kind kind, std::string_view text) {
        result.kind = kind;
        result.text = text;
        return result;
    };
    if (item.empty())
        return is(Kind::nothing, item);
    if (item == "*")
        return is(Kind::everything, item);
    if (item.starts_with('^'))
        return is(Kind::regex, item);
    if (item.starts_with('+'))
        return is(Kind::named, item.substr(1));
    if (item.starts_with('/'))
        return is(Kind::file, item);
    if (item == "@")
        return is(Kind::self, item);
    if (item == "@[]")
        return is(Kind::self_literal, item);
    if (item.starts_with("@mx_"))
        return is(Kind::mail_exchanger, item);
    if (const std::size_t end = item.find(';'); end != item.npos && parse_lookup_type(item.substr(0, end), result.lookup)) {
        result.lookup.file = trim(item.substr(end + 1));
        return is(Kind::lookup, item);
    }
    if (what == ListOf::hosts)
        if (const auto network = as_network(item))
            return is(Kind::network, *network);
    // In a list of addresses "*@domain" is the domain: the item keeps its form there.
    if (item.starts_with('*') && what != ListOf::addresses)
        return is(Kind::suffix, item.substr(1));
    return is(Kind::text, item);
}

std::vector<ListItem> parse_items(std::string_view list, ListOf what)
{
    std::vector<ListItem> items;
    for (const std::string& item : split_list(list))
        items.push_back(classify(item, what));
    return items;
}

}  // namespace posthorn::exim
