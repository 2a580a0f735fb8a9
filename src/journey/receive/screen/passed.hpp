// receive/screen/passed.hpp: which of the tests a client has passed, and until when each of them counts. Pure.
// Shape    as text it is what Postfix keeps in postscreen_cache_map: "greet;lists;pipelining;non_smtp;bare_newline", seconds of Unix time;
//          0 (and 1, which Postfix writes for a test that is not made) is never. Older ones have fewer.
// Errors   what is no such text, or lies beyond the clock, is none.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::receive::screen {

/// Tests of what a client says after the greeting.
enum class Deep : std::uint8_t { pipelining, non_smtp, bare_newline };
inline constexpr std::size_t deep_tests = 3;

struct Passed {
    WallTime greet{}, lists{};                    // each counts until then; the epoch: never passed
    std::array<WallTime, deep_tests> deep{};
    WallTime last() const { return std::max({greet, lists, std::ranges::max(deep)}); }
    bool operator==(const Passed&) const = default;
};

std::string to_text(const Passed& passed);
std::optional<Passed> parse_passed(std::string_view text);
/// What two processes saw of one client.
Passed both(const Passed& one, const Passed& other);

/// Who passed the tests, as all processes know it together.
class Remembered {
public:
    virtual ~Remembered() = default;
    /// None: it never passed, or who knows does not say so soon. Then it is tested.
    virtual awaitable<std::optional<Passed>> find(std::string address) = 0;
    /// Nobody waits for it.
    virtual void tell(const std::string& address, const Passed& passed) = 0;
};

}  // namespace posthorn::receive::screen
