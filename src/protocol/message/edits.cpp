#include "message/edits.hpp"

#include <algorithm>

namespace posthorn::message {

std::vector<std::string_view> Edits::pieces(std::string_view content) const
{
    std::vector<const Edit*> order;
    order.reserve(list_.size());
    for (const Edit& edit : list_)
        order.push_back(&edit);
    // In the vector the later edit has the higher address: that is the order among equals.
    std::ranges::sort(order, [](const Edit* a, const Edit* b) { return a->offset != b->offset ? a->offset < b->offset : a < b; });

    std::vector<std::string_view> out;
    out.reserve(2 * order.size() + 1);
    const auto add = [&](std::string_view piece) {
        if (!piece.empty())
            out.push_back(piece);
    };
    std::size_t at = 0;
    for (const Edit* edit : order) {
        const std::size_t offset = std::min(edit->offset, content.size());
        if (offset > at)
            add(content.substr(at, offset - at));
        add(edit->text);
        at = std::max(at, std::max(offset, offset + std::min(edit->length, content.size() - offset)));
    }
    add(content.substr(at));
    return out;
}

std::size_t Edits::size(std::string_view content) const
{
    std::size_t total = 0;
    for (std::string_view piece : pieces(content))
        total += piece.size();
    return total;
}

std::string Edits::apply(std::string_view content) const
{
    std::string out;
    for (std::string_view piece : pieces(content))
        out.append(piece);
    return out;
}

}  // namespace posthorn::message
