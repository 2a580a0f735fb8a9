// peers/listing.hpp: records as a text that one can read, keep, edit and give to another system: what `posthorn peers export` writes.
// Shape    first line "posthorn-peers 1". Then per peer "peer ADDRESS BANNER-HOST SITE" and lines that belong to it, in any order:
//            sessions N FIRST LAST             keywords CLEAR TLS (bits)         changed TIME TIME
//            tls-worked TIME, tls-alarm TIME, bdat-first-until TIME, removed TIME
//            quirk NAME [convicted] [try-without] [number=N] [sightings=N] [with=OK/FAILED] [without=OK/FAILED] [first=TIME] [last=TIME]
//                  [since=TIME] [until=TIME] [canary=TIME] [clean-canaries=N] [seen=the rest of the line]
//            limits [recipients-per-mail=N] [mails-per-session=N] [errors-per-session=N] [sessions=N] until=TIME
//            candidates [recipients=N/SEEN] [errors=N/SEEN] [close-after=N/SEEN]
//            slowest N ... (sessions by the slowest answer to a lone command: below 1, 2, 4 ... ms)
//          Empty lines and lines that begin with # say nothing. TIME is 2026-11-25T19:01:22Z. In words, "-" is empty, %20 a space.
// Trust    none: numbers within their ranges, no peer twice, never a quirk of the class security.
// Errors   "FILE, line 3: unknown quirk 'quit'": nothing of the file is taken.
#pragma once

#include "base/error.hpp"
#include "peers/record.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

inline constexpr std::size_t listing_octets = 128 << 20, listing_peers = 100'000;

std::string listing_of(std::span<const Record> records);
/// `name` stands in errors.
Result<std::vector<Record>> parse_listing(std::string_view text, std::string_view name);

/// "2026-11-25T19:01:22Z"
std::string time_text(WallTime time);
std::optional<WallTime> parse_time(std::string_view text);

}  // namespace posthorn::peers
