// inquiry/peer_listing.hpp: what is known of a server, with the evidence, as text and as JSON. Pure.
#pragma once

#include "peers/portrait.hpp"
#include "peers/record.hpp"

#include <string>
#include <string_view>

namespace posthorn::inquiry {

/// As these listings write times, that of MX sets too: in local time; in UTC, or null.
std::string local_time(WallTime time);
std::string json_time(WallTime time);

/// By address, "ADDRESS BANNER-HOST", banner host or a domain above it, site with or without its transport.
bool matches(const posthorn::peers::Record& record, std::string_view word);

/// "192.0.2.7  va3ehsmhs018.bigfish.com  smtp:bridge.test  12 sessions, last 2026-11-25 10:00:00: quit-alone"
std::string peer_line(const posthorn::peers::Record& record, WallTime now);
/// `portrait`: of its address; null: there is none.
std::string peer_text(const posthorn::peers::Record& record, WallTime now, const posthorn::peers::Portrait* portrait = nullptr);
/// One object.
std::string peer_json(const posthorn::peers::Record& record, WallTime now, const posthorn::peers::Portrait* portrait = nullptr);

}  // namespace posthorn::inquiry
