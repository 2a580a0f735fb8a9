// verify/told.hpp: what a machine tells its siblings of an address. Pure.
// Told     addresses that our own probes found deliverable, or refused: not what a sibling told, so that nothing echoes; not what the next
//          host put off, nor refusals that may be about who asks (5.7.x: another machine asks from another address).
// Clocks   of two machines differ: a word has an age, no time.
// Wins     the younger word; a deliverable address stays so until it expires, as through failing refreshes here (rules.hpp).
#pragma once

#include "verify/rules.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::verify {

inline constexpr std::size_t key_limit = 1000;

struct Told {
    std::string key;  // key_of()
    Finding::Kind kind{};
    std::string text;
    std::chrono::milliseconds age{0};
    bool operator==(const Told&) const = default;
};

/// None: it is not told.
std::optional<Told> told_of(std::string_view key, const Record& record, WallTime now, const Rules& rules);
/// What is stored of it; none: it was no news.
std::optional<Record> heard(const std::optional<Record>& before, const Told& told, std::string_view by, WallTime now, const Rules& rules);

}  // namespace posthorn::verify
