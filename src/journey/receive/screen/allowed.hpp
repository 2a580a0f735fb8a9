// receive/screen/allowed.hpp: the temporary list: clients that passed the tests, and until when each test counts.
// Shape    by address as text. A test that counts no more is made anew; a client whose tests are all over is known as an old one for the
//          retention time, and then forgotten.
// Memory   at most `limit` clients: beyond it, those that are first to be forgotten anyway go. In this process alone: a restart forgets all, and
//          costs its clients one wait.
#pragma once

#include "base/clock.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace posthorn::receive::screen {

/// Tests of what a client says after the greeting.
enum class Deep : std::uint8_t { pipelining, non_smtp, bare_newline };
inline constexpr std::size_t deep_tests = 3;

struct Passed {
    WallTime greet{}, lists{};                    // each counts until then; the epoch: never passed
    std::array<WallTime, deep_tests> deep{};
    WallTime last() const { return std::max({greet, lists, std::ranges::max(deep)}); }
};

class Allowed {
public:
    Allowed(std::size_t limit, std::chrono::seconds retention) : limit_(limit), retention_(retention) {}

    std::optional<Passed> find(const std::string& address, WallTime now) const
    {
        const auto found = clients_.find(address);
        return found == clients_.end() || forgotten(found->second, now) ? std::nullopt : std::optional(found->second);
    }
    void put(const std::string& address, Passed passed, WallTime now)
    {
        if (clients_.size() >= limit_ && !clients_.contains(address))
            make_room(now);
        clients_.insert_or_assign(address, passed);
    }
    struct Cleaned {
        std::size_t retained = 0, dropped = 0;
    };
    Cleaned cleanup(WallTime now);
    std::size_t size() const { return clients_.size(); }

private:
    bool forgotten(const Passed& passed, WallTime now) const { return passed.last() + retention_ <= now; }
    void make_room(WallTime now);

    std::size_t limit_;
    std::chrono::seconds retention_;
    std::unordered_map<std::string, Passed> clients_;
};

}  // namespace posthorn::receive::screen
