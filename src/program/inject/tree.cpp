#include "inject/tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace posthorn::inject {

Lines::Lines(std::string_view source) : starts_{0}
{
    for (auto at = source.find('\n'); at != source.npos; at = source.find('\n', at + 1))
        starts_.push_back(at + 1);
}

Place Lines::place_of(std::size_t offset) const
{
    const auto behind = std::ranges::upper_bound(starts_, offset);
    return {static_cast<std::size_t>(behind - starts_.begin()), offset - *std::prev(behind) + 1};
}

Error error_at(Place place, std::string_view what) { return Error{fmt::format("line {}, column {}: {}", place.line, place.column, what)}; }

}  // namespace posthorn::inject
