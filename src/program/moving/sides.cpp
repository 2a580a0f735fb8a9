#include "moving/sides.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::moving {

bool is_id(std::string_view text) { return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, is_alnum); }

bool is_who(Introduction& introduction)
{
    constexpr std::size_t longest = 255;
    for (std::string* const text : {introduction.mutable_name(), introduction.mutable_version()})
        *text = printable(text->substr(0, longest));
    return is_id(introduction.identity());
}

}  // namespace posthorn::moving
