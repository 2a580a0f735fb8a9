// inquiry/transcripts.hpp: transcripts of outbound sessions: found, and shown.
// Shown    "S: " the server, "C: " we, as such transcripts are written; seconds since the session began stand before, lines of one segment are
//          announced ("the next 4 lines in one segment"); what is in angle brackets was not said but happened.
// Found    by queue id; by an address that RCPT TO or MAIL FROM named; by host, address or site of the peer.
// Pure but the reading.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "handoff/transcript.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inquiry {

/// All that are kept, oldest first, and not older or more than the parameters say. Error: they cannot be read.
Result<std::vector<handoff::Transcript>> read_transcripts(const config::Snapshot& snapshot);
bool concerns(const handoff::Transcript& transcript, std::string_view word);

std::string text_of(const handoff::Transcript& transcript);
/// "2026-11-25 19:01:22  failed  mx.example.com[192.0.2.1]:25  4gDq8v1Yc0z3D"
std::string line_of(const handoff::Transcript& transcript);
/// One object.
std::string json_of(const handoff::Transcript& transcript);

/// Microseconds since the epoch in local time, "2026-11-25 19:01:22"; with milliseconds.
std::string local_time(std::int64_t microseconds, bool milliseconds = false);
/// "2026-11-25T19:01:22Z"
std::string utc_time(std::int64_t microseconds);

}  // namespace posthorn::inquiry
