// peers/learn.hpp: the rules by which quirks come and go. Pure: a record, an observation, the time.
// Convicts   a signature once (twice where the peer is flapping). Silence, reset, end of stream: three sightings, and a failure rate
//            with the feature of at least `ratio` times that without it, where both were counted.
// Ends       7 days after the last proof, or by two clean canaries. A canary a day, on probes and where nothing is left to say.
// Never      a quirk of the class security; helo-only (no STARTTLS behind it) where TLS worked in the last 30 days.
// Content    a suspected quirk is tried without at the next session, whoever starts it: at once (agent's replay) or as scheduled.
#pragma once

#include "peers/observation.hpp"
#include "peers/record.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::peers {

inline constexpr std::chrono::hours quirk_lifetime{7 * 24};
inline constexpr std::chrono::hours tls_memory{30 * 24};
inline constexpr std::chrono::hours canary_interval{24};
inline constexpr std::chrono::seconds replay_interval{60};
inline constexpr std::uint32_t suspicions_needed = 3;
inline constexpr std::uint32_t rate_ratio = 5;
inline constexpr std::uint32_t canaries_needed = 2;
inline constexpr std::uint32_t tally_limit = 1000;
inline constexpr std::size_t site_peers_needed = 2;

struct Event {
    enum class Kind : std::uint8_t { learned, expired, removed, tls_alarm, early_off, path };
    Kind kind;
    PeerKey peer;
    Quirks quirks;                      // exactly one; of no_param those parameters
    std::string seen;
    WallTime until{};
    std::string told_by{};              // the sibling whose evidence it is; empty: our own
    bool operator==(const Event&) const = default;
};

struct Learned {
    Record record;
    std::vector<Event> events;
};
Learned learn(Record record, const Observation& seen, WallTime now);

/// What the record says is in force at this time.
Known known_of(const Record& record, WallTime now);
bool flapping(const Record& record, WallTime now);
/// The 99th percentile of the slowest answers to a lone command; 0: not known.
std::chrono::milliseconds slowest_answer(const Record& record);
/// May this quirk be tested on probes, or where a session has nothing left to say?
bool has_canary(Quirk quirk);

/// A quirk that site_peers_needed peers of a site were convicted of counts for those that nothing is known of.
void share(SiteRecord& site, const Event& event, WallTime now);
Quirks shared_by(const SiteRecord& site, WallTime now);

/// What a mark forbids, with its numbers.
Quirks quirks_of(const Mark& mark);
/// "QUIT now travels alone": what a quirk changes.
std::string changes_of(const Quirks& quirks);
/// The parameter and the line of its table that do the same.
std::string by_hand(const PeerKey& peer, const Quirks& quirks);
/// "2026-11-25 10:00 UTC", as log lines have it.
std::string date_of(WallTime when);
/// The log line: what was seen, what changes, until when, the table line that does the same by hand.
std::string text_of(const Event& event, bool only_reported = false);

}  // namespace posthorn::peers
