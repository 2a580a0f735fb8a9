// handoff/frames.hpp: the kinds of frames between processes; ipc::Channel carries the number beside the payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace posthorn::handoff {

enum class Frame : std::uint16_t {
    hello = 1,
    id_block = 2,
    enqueue = 3,
    committed = 4,
    route = 5,
    deliver = 6,         // qmgr asks a delivery process; the reply is Verdicts
    verdicts = 7,        // a delivery process tells verdicts of attempts that a qmgr before this one asked for
    report = 8,
    queue_command = 9,
    counters = 10,
    verdicts_stored = 11,
    ticket_keys = 12,    // of TLS session tickets: memory makes and rotates them, every smtpd uses the same
    verify = 13,         // smtpd asks memory
    probe = 14,          // memory asks qmgr
    peer_observed = 15,  // a notice to memory: what a session showed of its peer (peers/stored.proto)
    requeue = 16,        // qmgr has a message cleaned anew; content above the inline limit travels as a descriptor
    call_back = 17,      // a notice of qmgr to a delivery process: what it has not begun of these comes back untried
    session_notice = 18, // smtpd asks resolve to tell the postmaster of a session
    transcript = 20,     // a notice to memory: what was said in a session (handoff/transcript.proto)
    verify_known = 21,   // an operator asks memory what it knows of an address
    peer_command = 22,   // an operator asks memory to forget or to take over what is known of servers (peers/stored.proto)
    peers_changed = 23,  // memory tells smtp processes, which answer when they have let go of what they borrowed
    sites = 24,          // an operator asks qmgr about destinations (handoff/sites.proto)
    screen_known = 25,   // smtpd asks memory which tests before the greeting a client passed, and
    screen_passed = 26,  // tells it (handoff/screen.proto)
    sign = 27,           // smtpd has resolve sign a message
    client_event = 31,   // smtpd tells memory what a client does, and hears how often it did (handoff/rates.proto)
    sts_known = 32,      // smtp, or an operator, asks memory which policy of MTA-STS a domain has, and
    sts_fetched = 33,    // smtp tells it (handoff/domain_policy.proto)
    progress = 34,       // qmgr asks a delivery process what its deliveries wait for
    tls_seen = 35,       // a notice of smtp to reporter, and
    dmarc_seen = 36,     // one of smtpd (handoff/aggregate.proto)
    aggregate = 37,      // an operator asks reporter
    answer_now = 38,     // smtpd ends: whoever waits for the first attempt at a mail of its clients is answered now
    heard = 39,          // an operator asks reports, which keeps what others report of us (handoff/heard.proto)
    trials_seen = 40,    // a notice of smtp and smtpd to memory: what a stricter setting would have refused, and
    trials = 41,         // an operator asks it (handoff/trials.proto)
    hand_over = 42,      // an operator's command that moves messages asks the qmgr of the queue they leave, and
    take_over = 43,      // that of the queue they come to (handoff/moving.proto)
    sibling_comes = 44,  // posthorn share brings memory a connection with a sibling, as a descriptor
    siblings = 45,       // an operator asks memory with whom it shares what it knows
    table = 30,          // a process that opens no database asks resolve
};

/// Where memory listens, below the queue directory.
inline constexpr std::string_view memory_socket = "private/posthorn.memory";
/// And reporter, where there is one.
inline constexpr std::string_view reporter_socket = "private/posthorn.reporter";
/// And reports, where report_addresses has any. It is the name of the transport as well.
inline constexpr std::string_view reports_socket = "private/posthorn.reports", reports_transport = "reports";

/// Content up to this size travels inside frames and lies in the spool's database; above it is a file.
inline constexpr std::uint64_t inline_content_limit = 64 * 1024;

/// Of a frame to or from qmgr: envelopes with 100 000 recipients, listings of them, what a delivery process holds when qmgr comes back.
inline constexpr std::size_t large_frame = 64U << 20;

}  // namespace posthorn::handoff
