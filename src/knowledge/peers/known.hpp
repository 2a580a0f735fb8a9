// peers/known.hpp: what a session is told about a peer before, and tells about it after.
// Known      empty means nothing is known, and the plan is the careful one. `learned` and `ruled` are what each says by itself:
//            the rule file outvotes learning, what the administrator wrote (EHLO keywords, options) outvotes both at the session.
// Evidence   one session: verbs sent, replies got, how the stream ended. Never arguments: addresses are not evidence.
// Interface  Peers: about() and saw() answer from memory and never block.
#pragma once

#include "base/clock.hpp"
#include "peers/path.hpp"
#include "peers/quirks.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
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

/// What a refusal asks for beyond itself, by the rule file's lines for replies. A reply that means "later" never returns mail.
struct Advice {
    bool slower = false;                // fewer mails in a time, and fewer at once
    bool fewer = false;                 // fewer sessions at once
    bool temporary = false;             // a 5yz that means 4yz
    bool greylist = false;              // the same again from here in a while
    std::chrono::seconds wait{0};       // greylist: how long; 0: not said
    std::chrono::seconds suspend{0};    // nothing for so long

    bool later() const { return slower || fewer || temporary || greylist || suspend.count() != 0; }
    bool operator==(const Advice&) const = default;
};

/// What the rule file says of the hosts of a site, and of the domain they are of, before anything was said to them.
struct Profile {
    std::string site;                   // several MX sets that are one: its name; empty: none
    std::uint32_t sessions = 0;         // at once; 0: not said
    std::chrono::microseconds interval{0};  // between two mails; 0: not said
    std::chrono::microseconds connect_interval{0};  // between two connections; 0: not said

    /// What the other says counts.
    void merge(const Profile& other);
    bool operator==(const Profile&) const = default;
};

struct Known {
    Quirks quirks;                      // in force
    Limits limits;
    Privileges privileges;
    Source source = Source::nobody;
    Quirks canary;                      // of these, due for a re-test: on probes, and where a session has nothing left to say
    Quirks learned, ruled;
    std::chrono::milliseconds slowest{0};   // the 99th percentile of its answers to a lone command; 0: not known
};

/// Who: the site is the MX set's name.
struct PeerKey {
    std::string address;
    std::string banner_host;
    std::string site;
    bool operator==(const PeerKey&) const = default;
};

/// What may be said before the greeting (0: nothing): the features that are then taken for announced, as smtp::KeywordSet::bits().
struct Early {
    std::uint32_t clear = 0;            // before TLS, or without
    std::uint32_t tls = 0;              // with the first octets in TLS
    std::vector<std::string> hosts;     // whose banners were seen at the address, lower case
    Limits limits;                      // the least of theirs
    bool operator==(const Early&) const = default;
};

/// What a session knows of its peer when it asks; texts are lines joined by LF, with their codes.
struct Meeting {
    PeerKey peer;
    std::string greeting;
    std::string ehlo;                   // empty: before EHLO
    std::string host;                   // as the name service called it
    std::string domain;                 // of the next hop; empty: an address, or a host in brackets
};

enum class Verb : std::uint8_t { ehlo, helo, starttls, mail, rcpt, data, dot, bdat, rset, quit, xforward };
std::string_view name_of(Verb verb);

/// open: it stands. ours: we ended it.
enum class StreamEnd : std::uint8_t { open, end, reset, timeout, ours };

/// One flight: what was sent together, and what came back for it.
struct Exchange {
    std::vector<Verb> verbs;
    std::vector<std::uint16_t> codes;   // in the order received
    StreamEnd end = StreamEnd::open;
    bool surplus = false;               // more came than was asked for, or what is no reply
    bool says_pipelining = false;       // a refusal spoke of pipelining
    bool may_mean_parameters = false;   // MAIL was refused by a 501 that is not about the address, and names no parameter
    std::uint16_t say_too_many = 0;     // of its 452s: how many spoke of the number of recipients of one mail
    bool says_one_recipient = false;    // a refused RCPT under MAIL FROM:<> spoke of the number of recipients
    std::uint8_t parameters = 0;        // that MAIL carried, as bits of Parameter
    std::uint8_t named = 0;             // of these, those that its refusal named
    std::uint64_t content = 0;          // octets of it
    bool early = false;                 // it began with EHLO before the greeting, or before the answer to EHLO was known
    std::uint32_t milliseconds = 0;     // from the write to the last reply
};

/// What a peer showed of itself, as it came; texts are lines joined by LF, with their codes.
struct Shown {
    std::uint16_t port = 0;             // 0: none, a Unix socket
    std::string greeting;
    std::string ehlo_clear, ehlo_tls;   // the last answers outside TLS, and in it; empty: there was none
    std::string mx_set;                 // the hosts of the next hop's MX records; empty: it was not found by those
    std::string tls_protocol;           // "TLSv1.3"; empty: no TLS
    std::string tls_level, tls_trust;   // what was asked of the certificate ("may", "dane"), what it came to ("untrusted")
    std::string issuer;                 // the organization, or its common name
    WallTime issued{}, expires{};       // of the certificate; never: there was none
    bool authenticated = false;         // the level has no mail go to who shows another certificate
};

struct Evidence {
    PeerKey peer;
    WallTime when{};
    bool tls = false;                   // it is in force
    bool tls_failed = false;            // offered, and did not work
    bool whole = true;                  // the session has ended
    std::uint32_t keywords_clear = 0;   // announced, smtp::KeywordSet::bits(); 0: no EHLO reply in that phase
    std::uint32_t keywords_tls = 0;
    std::vector<Exchange> exchanges;    // the last few
    std::uint32_t early_clear = 0;      // features announced together with PIPECONNECT and PIPELINING; 0: not so
    std::uint32_t early_tls = 0;
    bool early_granted = false;         // the rule file grants it
    bool early_refused = false;         // it was spoken to early, and refused that
    std::string early_seen;             // the refusal
    std::uint32_t mails = 0;            // contents accepted
    std::uint32_t errors = 0;           // refused recipients before the peer left, or answered each slower than those before
    bool errors_told = false;           // it said that this was why
    Quirks in_force;                    // what the plan obeyed
    Quirks canary;                      // what it ignored on purpose
    PathSeen path;
    Shown shown;
};

class Peers {
public:
    virtual ~Peers() = default;
    /// Is what is learned also obeyed? If not, a doubtful refusal counts: nothing will ever clear it up.
    virtual bool obeys() const = 0;
    virtual Known about(const Meeting& meeting) = 0;
    /// May a session with this address begin before the greeting?
    virtual Early early(const std::string& address) = 0;
    /// Are segments to be small on the way to this address, since large ones are lost there?
    virtual bool small_segments(const std::string&) { return false; }
    /// True: the next session with this peer would be planned otherwise, for a reason that this one gave.
    virtual bool saw(Evidence evidence) = 0;
    /// A connection to this site was made, or failed.
    virtual void connected(const std::string& site, bool well) = 0;
    /// May an attempt open one more session at once, planned otherwise? Yes uses up the minute's one.
    virtual bool may_replay(const std::string& site) = 0;
    /// How many sessions at once an MX set was lately seen to take; 0: not known.
    virtual std::uint32_t sessions_at_once(const std::string&) { return 0; }
    /// It refused one while so many others stood; 0: it let more in than it was known to take.
    virtual void refused_beside(const std::string&, std::uint32_t) {}
    /// `reply`: of 400 and above; lines joined by LF, with their codes. `site`: Profile::site of who said it.
    virtual Advice advice(std::string_view, std::string_view) { return {}; }
    /// `host`: the first of the next hop; `domain`: the next hop's. Lower case; empty: none.
    virtual Profile profile(std::string_view, std::string_view) { return {}; }
    /// Mail was put off by this host (an address) at RCPT or DATA. When it may pass, where that is known: greylisting.
    virtual std::optional<WallTime> put_off(const std::string&, std::string_view, std::string_view, std::string_view, const Advice&) { return {}; }
    /// Mail from the one to the other was taken. True: the first that greylisting let through, what waits for this host may follow.
    virtual bool taken(const std::string&, std::string_view, std::string_view) { return false; }
    /// The host (an address) where greylisting counts the time of this mail; empty: none.
    virtual std::string counted_at(std::string_view, std::string_view) { return {}; }
};

/// smtp_peer_rules and smtp_peer_learning are both off.
class NoPeers final : public Peers {
public:
    bool obeys() const override { return false; }
    Known about(const Meeting&) override { return {}; }
    Early early(const std::string&) override { return {}; }
    bool saw(Evidence) override { return false; }
    void connected(const std::string&, bool) override {}
    bool may_replay(const std::string&) override { return false; }
};

}  // namespace posthorn::peers
