// inquiry/why_text.hpp: the answer of `posthorn why`, as text and as JSON. Pure.
#pragma once

#include "base/clock.hpp"
#include "handoff/frames.pb.h"
#include "handoff/transcript.hpp"
#include "peers/portrait.hpp"
#include "peers/record.hpp"
#include "sts/policy.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::inquiry {

/// What is known of one server, and what others than learning say of it.
struct PeerSaid {
    posthorn::peers::Record record;
    std::string administrator;              // "smtp_discard_ehlo_keywords = pipelining"; empty: nothing
    std::string rule_file;                  // "quit-alone"; empty: nothing, or its greeting is not at hand
    std::optional<posthorn::peers::Portrait> portrait{};    // of its address
};

struct Why {
    enum class Kind { message, address, destination };
    std::string word;
    Kind kind = Kind::message;
    std::optional<handoff::Explanation> queue;          // of a message: absent, it is not in the queue
    std::vector<handoff::Explanation> messages;         // of an address or a domain: the first few that wait, with those recipients alone
    std::optional<handoff::VerifyKnowledge> verification;
    std::optional<sts::Known> sts;                      // what the domain asks of TLS
    std::vector<PeerSaid> peers;
    std::vector<posthorn::peers::Portrait> sites;       // of its sites, where their MX sets have changed lately
    std::optional<handoff::Transcript> last;
    std::vector<std::string> notes;                     // what could not be asked

    /// Is anything known at all?
    bool known() const;
};

std::string why_text(const Why& why, WallTime now);
/// One object.
std::string why_json(const Why& why, WallTime now);

}  // namespace posthorn::inquiry
