// inquiry/why_question.hpp: of a message, an address or a domain: what it waits for, since when, when it is tried next, and what would change that.
// Asks qmgr and memory; reads transcripts, the verification cache and what is known of servers, which works while the mail system is down. Blocks.
#pragma once

#include "config/snapshot.hpp"
#include "inquiry/ask.hpp"
#include "inquiry/why_text.hpp"

#include <string>

namespace posthorn::inquiry {

struct WhyAsked {
    Why why;
    bool down = false;                     // qmgr could not be reached
};
/// What has not answered by `until` (ask.hpp) is named in the notes.
WhyAsked ask_why(config::Snapshot snapshot, std::string word, Until until = {});

}  // namespace posthorn::inquiry
