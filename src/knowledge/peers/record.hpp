// peers/record.hpp: what is kept of one peer, and of one site. Values; learn.hpp has the rules.
// Peer      an address and the host of its banner: different machines behind one address are told apart by their banner.
// Site      the MX set: what its peers have in common, and when an attempt was last repeated at once.
// Mark      one quirk's account: convicted or not, sightings, how often sessions failed with and without the feature.
#pragma once

#include "base/clock.hpp"
#include "peers/known.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace posthorn::peers {

/// It was, and not longer ago than that.
inline bool within(WallTime then, std::chrono::microseconds span, WallTime now) { return then != WallTime{} && now - then < span; }

/// Sessions that used a feature, and that did not. Halved where one side exceeds tally_limit: what is recent counts.
struct Tally {
    std::uint32_t with_ok = 0, with_failed = 0, without_ok = 0, without_failed = 0;
    bool operator==(const Tally&) const = default;
};

struct Mark {
    Quirk quirk{};
    bool convicted = false;
    bool try_without = false;           // suspected: the next session goes without the feature, and is counted
    std::uint64_t number = 0;           // no_param: bits; no_bdat: the largest that works, 0: none; close_after: mails
    std::uint32_t sightings = 0;
    Tally tally;
    WallTime first{}, last{};           // sightings
    WallTime since{}, until{};          // of the conviction
    WallTime canary{};                  // the last one that gave an answer
    std::uint32_t clean_canaries = 0;
    std::string seen;                   // the last sighting: "MAIL RCPT RSET QUIT: 221"
    std::string told_by;                // the sibling whose evidence this is (told.hpp); empty: our own
    WallTime worked{};                  // the feature, here
    bool operator==(const Mark&) const = default;
};

/// A number that was seen several times running before it is believed.
struct Candidate {
    std::uint32_t number = 0, seen = 0;
    bool operator==(const Candidate&) const = default;
};

/// A quirk that was taken back, by clean canaries: an older word of it counts no more.
struct Cleared {
    Quirk quirk{};
    WallTime when{};
    std::string told_by;
    bool operator==(const Cleared&) const = default;
};

/// Limits that a sibling met, beside those met here.
struct ToldLimits {
    Limits limits;
    WallTime until{};
    std::string told_by;
    bool operator==(const ToldLimits&) const = default;
};

struct Record {
    PeerKey peer;
    WallTime first{}, last{};           // sessions
    std::uint32_t sessions = 0;
    std::uint32_t keywords_clear = 0, keywords_tls = 0;
    std::array<WallTime, 2> changes{};  // of keywords or quirks, the last two: both young, and the peer is flapping
    WallTime removed{};                 // a quirk, by clean canaries: one that comes back soon makes a flapping peer
    WallTime tls_worked{}, tls_alarm{};
    WallTime discards_bdat_until{};
    std::vector<Mark> marks;
    Limits limits;
    WallTime limits_until{};
    ToldLimits told_limits;
    std::vector<Cleared> cleared;
    Candidate recipients, errors;
    Candidate close_after;
    std::array<std::uint32_t, 16> slowest{};    // sessions by the slowest answer to a lone command: below 1, 2, 4 ... ms
    bool operator==(const Record&) const = default;
};

struct SiteRecord {
    struct Shared {
        Quirk quirk{};
        std::uint64_t number = 0;
        std::vector<std::string> addresses;     // of peers convicted of it
        WallTime until{};
        bool operator==(const Shared&) const = default;
    };
    std::vector<Shared> shared;
    WallTime last{};
    bool operator==(const SiteRecord&) const = default;
};

}  // namespace posthorn::peers
