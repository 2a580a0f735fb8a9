#include "mailauth/tags.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <iterator>

namespace posthorn::mailauth {

namespace {

bool is_folding_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view without_ends(std::string_view text)
{
    while (!text.empty() && is_folding_space(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_folding_space(text.back()))
        text.remove_suffix(1);
    return text;
}

bool is_tag_name(std::string_view name)
{
    return !name.empty() && is_alpha(name.front()) && std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '_'; });
}

bool is_tag_value(std::string_view value)
{
    return std::ranges::all_of(value, [](char c) { return is_folding_space(c) || (static_cast<unsigned char>(c) > ' ' && c != '\x7f'); }) &&
           is_valid_utf8(value);
}

}  // namespace

Result<TagList> TagList::parse(std::string_view text)
{
    std::vector<Tag> tags;
    for (text = without_ends(text); !text.empty() || tags.empty();) {
        const auto end = std::min(text.find(';'), text.size());
        const std::string_view spec = text.substr(0, end);
        const auto equals = spec.find('=');
        const std::string_view name = without_ends(spec.substr(0, std::min(equals, spec.size())));
        if (equals == spec.npos || !is_tag_name(name))
            return Error{"malformed tag list"};
        const std::string_view value = without_ends(spec.substr(equals + 1));
        if (!is_tag_value(value))
            return Error{"malformed tag value"};
        tags.push_back({name, value});
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    // By sorting, not by looking for each: a field may have thousands.
    std::vector<std::string_view> names;
    names.reserve(tags.size());
    std::ranges::transform(tags, std::back_inserter(names), &Tag::name);
    std::ranges::sort(names);
#ifndef POSTHORN_PLANT_BUG_dkim_verify  // a tag may stand twice (scripts/fuzz-planted)
    if (std::ranges::adjacent_find(names) != names.end())
        return Error{"duplicate tag"};
#endif
    return TagList(std::move(tags));
}

std::optional<std::string_view> TagList::find(std::string_view name) const
{
    const auto found = std::ranges::find(tags_, name, &Tag::name);
    return found == tags_.end() ? std::nullopt : std::optional(found->value);
}

std::string without_space(std::string_view value)
{
    std::string made;
    std::ranges::copy_if(value, std::back_inserter(made), [](char c) { return !is_folding_space(c); });
    return made;
}

std::vector<std::string_view> colon_words(std::string_view value)
{
    std::vector<std::string_view> words = split_exact(value, ':');
    std::ranges::transform(words, words.begin(), without_ends);
    return words;
}

}  // namespace posthorn::mailauth
