// message/edits.hpp: changes to content, kept beside it.
// Shape    a list of (offset, octets removed there, text put there); offsets count in the original. Edits at one place apply in the
//          order in which they were made. Removals do not overlap; one that does is merged.
// Owns     the new text, not the content. pieces() are views into both: valid while content and Edits live and are not changed.
// Cost     the body is never copied; pieces() is sorted by offset once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::message {

class Edits {
public:
    void insert(std::size_t offset, std::string text) { list_.push_back({offset, 0, std::move(text)}); }
    void remove(std::size_t offset, std::size_t length) { list_.push_back({offset, length, {}}); }
    void replace(std::size_t offset, std::size_t length, std::string text) { list_.push_back({offset, length, std::move(text)}); }

    bool empty() const { return list_.empty(); }
    /// The edited content, in order; empty pieces are left out. What lies beyond the end of `content` is cut off.
    std::vector<std::string_view> pieces(std::string_view content) const;
    std::size_t size(std::string_view content) const;
    std::string apply(std::string_view content) const;

private:
    struct Edit {
        std::size_t offset, length;
        std::string text;
    };
    std::vector<Edit> list_;
};

}  // namespace posthorn::message
