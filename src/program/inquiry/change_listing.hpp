// inquiry/change_listing.hpp: how servers and MX sets show themselves, and what has changed of that; as text and as JSON. Pure.
#pragma once

#include "base/error.hpp"
#include "peers/portrait.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inquiry {

/// What is named beside a server, or a site: changes younger than that.
inline constexpr std::chrono::hours changed_lately{7 * 24};

/// As matches() of a record: by address, host of the greeting or a domain above it, site with or without its transport.
bool matches(const posthorn::peers::Portrait& portrait, std::string_view word);

struct ChangeTold {
    posthorn::peers::PeerKey peer;                      // a site has no address
    posthorn::peers::Change change;
};
/// Told since then, the oldest first.
std::vector<ChangeTold> changes_since(std::span<const posthorn::peers::Portrait> portraits, WallTime since);

/// "2026-11-25", "2026-11-25T10:00:00Z" (both UTC), or as long ago as a time parameter says: "3d", "12h". Error: it is none of them.
Result<WallTime> since_of(std::string_view word, WallTime now);

/// "2026-11-25 10:00:00  mx.example.com[192.0.2.1]  smtp:example.com: CHUNKING is gone since 2026-11-25 09:58:00", "warning: " in front of a grave one
std::string change_line(const ChangeTold& told);
/// One object.
std::string change_json(const ChangeTold& told);
/// Without whose it is: "CHUNKING is gone since 2026-11-25 09:58:00"
std::string change_text(const posthorn::peers::Change& change);
/// A list of objects: of one portrait, told since then.
std::string changes_json(const posthorn::peers::Portrait& portrait, WallTime since);

/// What it usually says in its greeting, of TLS and in arguments of features; pairs of a name and what is to be said of it.
std::vector<std::pair<std::string, std::string>> usual_of(const posthorn::peers::Portrait& portrait);

/// Of its address: where there are several, of other ports, the one that greeted as this peer; null: there is none.
const posthorn::peers::Portrait* portrait_of(std::span<const posthorn::peers::Portrait> portraits, const posthorn::peers::PeerKey& peer);

}  // namespace posthorn::inquiry
