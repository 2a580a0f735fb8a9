// handoff/transcript.hpp: transcripts of outbound sessions: where they are kept, and how they are read.
// Kept     in two rings of the data directory (observe/ring.hpp). memory writes; who may read the folder reads.
// Parts    a warm session is told in parts: one per failure, with the opening and what was said since the part before, and one when it ends.
#pragma once

#include "handoff/transcript.pb.h"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::handoff {

/// Below the data directory.
inline constexpr std::string_view transcript_folder = "transcripts";
inline constexpr std::string_view failed_ring = "failed", good_ring = "good";

bool about(const Transcript& transcript, std::string_view queue_id);
/// In the order of their beginning; a session's end joined to the part before it. An end without one is left out.
std::vector<Transcript> joined(std::vector<Transcript> parts);

}  // namespace posthorn::handoff
