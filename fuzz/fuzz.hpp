// fuzz/fuzz.hpp: what a harness needs. A harness defines fuzz_one(input); it returns where the input is of no interest and ends the process
// by FUZZ_CHECK where a property does not hold (also in release builds).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#define FUZZ_CHECK(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            std::abort(); \
        } \
    } while (false)

namespace posthorn::fuzz {

void fuzz_one(std::string_view input);

/// Does `view` lie within `whole`? An empty view may lie anywhere.
inline bool inside(std::string_view view, std::string_view whole)
{
    return view.empty() || (view.data() >= whole.data() && view.data() + view.size() <= whole.data() + whole.size());
}

/// Takes choices off the front of the input; 0 when it is used up.
class Choices {
public:
    explicit Choices(std::string_view& input) : input_(input) {}
    std::uint8_t octet()
    {
        if (input_.empty())
            return 0;
        const auto value = static_cast<std::uint8_t>(input_.front());
        input_.remove_prefix(1);
        return value;
    }
    bool flag() { return (octet() & 1) != 0; }

private:
    std::string_view& input_;
};

/// Calls `feed` with `whole` in pieces; their sizes come from `seed`, 1 to 16 octets or sometimes more. Each piece lies in memory of
/// exactly its size, so that a sanitizer sees a read beyond it. `feed` returns false to stop.
template <class Feed>
void in_pieces(std::string_view whole, std::uint32_t seed, Feed&& feed)
{
    while (!whole.empty()) {
        seed = seed * 1664525u + 1013904223u;
        const std::size_t size = std::min<std::size_t>(whole.size(), (seed >> 28) == 0 ? 1 + ((seed >> 16) & 0xff) : 1 + ((seed >> 20) & 0xf));
        const std::string piece(whole.substr(0, size));
        char* const exact = static_cast<char*>(std::malloc(size));
        std::memcpy(exact, piece.data(), size);
        const bool go_on = feed(std::string_view(exact, size));
        std::free(exact);
        if (!go_on)
            return;
        whole.remove_prefix(size);
    }
}

}  // namespace posthorn::fuzz
