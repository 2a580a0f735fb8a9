// send/tls_trial.hpp: what a stricter level of TLS had made of a session that went with less (smtp_tls_trial_level, smtp_tls_trial_maps).
// Beside    the session is open and at work: nothing waits for the answers of tables and the DNS, and whatever they are, the mail goes as it does.
// Unknown   who does not answer, what cannot be understood, a handshake that had been another: never a refusal.
// Stricter  by the order of TlsLevel, than what holds for the host; dane is on trial only where it is not asked for.
#pragma once

#include "handoff/trials.pb.h"
#include "send/nexthop.hpp"
#include "send/tls_policy.hpp"
#include "tls/second_look.hpp"

#include <memory>
#include <optional>
#include <string>

namespace posthorn::send {

/// The levels that can be tried: none, encrypt, dane, dane-only, verify, secure.
bool can_be_tried(TlsLevel level);

/// A session that is open.
struct TlsSeen {
    TlsSeen(Host whom, TlsLevel in_force, TlsLevel asked_for) : host(std::move(whom)), level(in_force), asked(asked_for) {}
    Host host;
    TlsLevel level, asked;
    std::shared_ptr<const tls::Shown> shown;                          // none: it is in clear
    std::string why_clear;                                            // TLS cannot be had; empty: it was not tried
};

struct TrialFinding {
    TrialFinding() = default;
    std::string tried;                                                // the level; of what is wrong with the table, that
    handoff::TrialSeen::Outcome outcome = handoff::TrialSeen::PASSED;
    std::string reason;
};
/// None: nothing stricter is tried with its next hop.
awaitable<std::optional<TrialFinding>> judge_beside(TlsSeen seen, const Options* options, const Surroundings* around);

}  // namespace posthorn::send
