// peers/known.hpp: what a session is told about a peer before, and tells about it after.
// Known      travels in the request; empty means nothing is known, and the plan is the careful one.
// Evidence   verbs sent, replies got, how the stream ended, when: what a quirk is learned from and `why` shows.
// Interface  Peers: about() is asked for every session and answers from memory; saw() never blocks and may drop.
#pragma once

#include "base/clock.hpp"
#include "peers/quirks.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

/// Who says so; a later one outvotes an earlier one.
enum class Source : std::uint8_t { nobody, learned, rule_file, administrator };

/// 0: not known. Learned from 421 and 452 replies, or written in the rule file.
struct Limits {
    std::uint32_t recipients_per_mail = 0;
    std::uint32_t mails_per_session = 0;
    std::uint32_t errors_per_session = 0;
    std::uint32_t sessions = 0;
    bool operator==(const Limits&) const = default;
};

/// What a peer was seen to do right that not all do; the plan may then be faster.
struct Privileges {
    /// It discards the octets of a refused BDAT: content may travel in the flight of its envelope.
    bool bdat_first = false;
    /// It takes EHLO before its greeting (PIPECONNECT).
    bool early = false;
    bool operator==(const Privileges&) const = default;
};

struct Known {
    Quirks quirks;
    Limits limits;
    Privileges privileges;
    Source source = Source::nobody;
};

/// Who: the address alone before the greeting, with the banner's host after it; the site is the MX set's name.
struct PeerKey {
    std::string address;
    std::string banner_host;
    std::string site;
};

enum class StreamEnd : std::uint8_t { open, end, reset, timeout, ours };

/// One exchange: what was sent in one flight, and what came back for it.
struct Exchange {
    std::vector<std::string> verbs;     // "MAIL", "RCPT", ... never arguments: addresses are not evidence
    std::vector<std::uint16_t> codes;   // in the order received
    std::uint32_t octets_after = 0;     // after the last whole reply
    StreamEnd end = StreamEnd::open;
    std::uint32_t milliseconds = 0;     // from the write to the last reply
};

struct Evidence {
    PeerKey peer;
    WallTime when{};
    bool tls = false;
    std::vector<std::string> keywords;  // announced by EHLO, as received
    std::vector<Exchange> exchanges;    // the last few
    std::uint32_t mails = 0;            // accepted in this session
    Quirks in_force;
};

class Peers {
public:
    virtual ~Peers() = default;
    virtual Known about(const PeerKey& peer) = 0;
    virtual void saw(Evidence evidence) = 0;
};

/// Knows nothing and learns nothing: smtp_peer_learning = no.
class NoPeers final : public Peers {
public:
    Known about(const PeerKey&) override { return {}; }
    void saw(Evidence) override {}
};

}  // namespace posthorn::peers
