// peers/portrait.hpp: how an address (and the MX set of a site) usually shows itself, and what has changed. Pure: a portrait, a face, the time.
// Why by address  a new product has a new banner too; by the banner it would be a stranger and nothing would have changed.
// Usual      what settled_after sessions running showed. Before that, another value takes its place and nothing is said.
// Changed    changed_after sessions running showed something else, over changed_over at least; or changed_at_once of them. It is told once, and is then
//            what is usual.
// Comes and goes  what is usual came back before that: several machines that differ answer there. That is told once, and at most once in
//            varies_told_every, where something was lost meanwhile; which turn it takes is told no more. It is settled again when calm_after sessions
//            running, over calm_over, showed one and the same; that is told where it is not what it was before.
// Not told   a feature that appeared once and is gone again; the host of a greeting that comes and goes (farms); a first look at anybody.
// Certificate  told where it is expired, or expires within expires_soon (a quarter of its life where that is shorter): once for each date, and at most
//            once a day. Where no mail depends on it, only if one in good time was seen here before.
// Limits     of refusals, when they are first learned and when they change, at most once a day each.
// Bounded    portrait_traits traits, the last portrait_changes changes, each changes_kept long.
// Same as before  look() alters nothing, but once a day the time: nothing is to be written. Nor for each turn of machines that take turns.
#pragma once

#include "peers/face.hpp"
#include "peers/known.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

inline constexpr std::uint32_t settled_after = 5, changed_after = 3, changed_at_once = 20, calm_after = 50;
inline constexpr std::chrono::seconds changed_over{60};
inline constexpr std::chrono::hours calm_over{3 * 24}, varies_told_every{30 * 24}, expires_soon{7 * 24}, changes_kept{90 * 24}, seen_again{24};
inline constexpr std::size_t portrait_traits = 64, portrait_changes = 16, portrait_expiries = 4;

struct Trait {
    Aspect aspect{};
    std::string name;
    std::string value;  // what is usual, or may become it; empty: not offered
    std::uint32_t seen = 0;  // sessions running, at most settled_after: then it is usual
    std::string other;  // what the last sessions showed instead; while it varies, what the last ones showed
    std::uint32_t others = 0;  // how many running; at most calm_after
    bool mixed = false;  // they did not all show the same
    WallTime since{};  // the first of them
    bool varies = false;
    WallTime told{};  // that it comes and goes; of a limit, the last change
    bool operator==(const Trait&) const = default;
};

/// Stored by number: only added to.
enum class ChangeKind : std::uint8_t { offered, gone, other, varies, expires, expired };
inline constexpr std::size_t change_kinds = 6;
/// "offered", "gone", "other", "comes-and-goes", "expires", "expired"
std::string_view name_of(ChangeKind kind);

struct Change {
    ChangeKind kind{};
    Aspect aspect{};
    std::string name, before, now;  // as in Trait; of a certificate, `now` is the day that it expires
    WallTime since{};  // the first session that showed it; of a certificate, the day that it expires
    WallTime told{};
    bool grave = false;  // mail is likely to suffer
    std::string why;  // for what reason: "less than message_size_limit (10240000)"
    bool operator==(const Change&) const = default;
};

struct Portrait {
    PeerKey peer;  // as it was seen last; of a site: that alone
    WallTime last{};  // seen, to the day
    std::uint32_t clear = 0, in_tls = 0;  // sessions with a whole list of features, at most settled_after
    std::vector<Trait> traits;
    std::vector<Change> changes;  // the oldest first
    bool good_certificate = false;  // one was seen that was not about to expire
    std::vector<std::pair<WallTime, bool>> expiries;  // told: of which date, and whether it was over then
    WallTime expiry_told{};
    bool operator==(const Portrait&) const = default;
};

/// What is its own of an administrator, and makes a change a grave one.
struct Wants {
    std::uint64_t message_size_limit = 0;  // octets; 0: none
};

struct Look {
    std::vector<Change> changes;  // in the portrait too
    bool altered = false;  // the portrait is to be kept
};
Look look(Portrait& portrait, const Face& face, const Wants& wants, WallTime now);
/// What learn.hpp believes now.
Look look(Portrait& portrait, const Limits& limits, WallTime now);

/// "CHUNKING is gone since 2026-11-25 10:00 UTC", "SIZE 5000000 since ..., before 10240000: less than message_size_limit (10240000)"
std::string text_of(const Change& change);
/// The same with times as somebody else writes them.
std::string text_of(const Change& change, std::string (*time)(WallTime));
/// The log line: "peer H[A]: changed: CHUNKING is gone since ...", "site S: changed: ..."
std::string text_of(const PeerKey& peer, const Change& change);

}  // namespace posthorn::peers
