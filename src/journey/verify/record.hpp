// verify/record.hpp: what is known of one address, as address_verify_map holds it.      Postfix's verify(8)
// Shape    "STATUS:PROBED:UPDATED:TEXT"; STATUS 0 deliverable, 1 deferred, 2 undeliverable, 3 being asked for the first time.
// Units    seconds since the epoch; 0: never. PROBED is read and written as 0: a probe is outstanding in memory only.
// Text     printable, at most text_limit octets: the reply, or why there is none. What a sibling told has its name behind that, after an
//          octet that no text has.
// Errors   anything else is no record, and counts as nothing known.
#pragma once

#include "base/clock.hpp"
#include "handoff/interfaces.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::verify {

using handoff::Finding;

inline constexpr std::size_t text_limit = 1000;

struct Record {
    Record(Finding::Kind of_kind, WallTime when, std::string words) : kind(of_kind), updated(when), text(std::move(words)) {}
    Finding::Kind kind;
    WallTime updated;                     // whole seconds
    std::string text;
    std::string told_by;                  // the sibling whose probe it was; empty: our own
};

std::string to_text(const Record& record);
std::optional<Record> parse(std::string_view text);

/// The key of an address: as it was given, with ':' as '_'.
std::string key_of(std::string_view address);
/// What is known of all addresses of a domain, by asking about one that nobody can have: deliverable: it takes every recipient. No address
/// has a ':' in its key.
std::string control_key_of(std::string_view domain);
/// Postfix keeps this among the addresses.
inline constexpr std::string_view cleanup_key = "_LAST_CACHE_CLEANUP_COMPLETED_";

}  // namespace posthorn::verify
