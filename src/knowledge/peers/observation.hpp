// peers/observation.hpp: from one session's evidence to what it says for or against each quirk. Pure.
// Sighting   about one quirk: a signature (convicts), a suspicion (silence, reset, end of stream with the feature in use), that
//            the feature worked, or what a session without the feature was like. At most one of each quirk and side per session;
//            a failure hides a success.
// Careful    where an answer explains the end (421, a refused recipient), nothing is suspected. A loss between flights proves nothing.
#pragma once

#include "peers/face.hpp"
#include "peers/known.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::peers {

struct Sighting {
    enum class Kind : std::uint8_t { signature, suspicion, worked, failed_without, worked_without };
    Quirk quirk;                        // no_bdat stands for BDAT of any size; learn() finds from which size on
    Kind kind;
    std::uint64_t number = 0;           // octets (BDAT), Parameter bits
    std::string seen;                   // of a signature or suspicion: "MAIL RCPT RSET QUIT: 221"
    bool operator==(const Sighting&) const = default;
};

struct Observation {
    PeerKey peer;
    WallTime when{};
    bool tls = false, tls_failed = false, whole = true;
    std::uint32_t keywords_clear = 0, keywords_tls = 0;
    Quirks canary;
    std::vector<Sighting> sightings;
    std::uint32_t mails = 0;
    std::uint32_t ended_after = 0;      // mails, where the peer took its leave when the next one was begun
    std::uint32_t recipients = 0;       // accepted of one mail, then 452 for all that followed
    bool recipients_told = false;       // each 452 said that this was why: no second sighting is needed
    std::uint32_t errors = 0;           // refused recipients before a 421, or before the answers became slow
    bool errors_told = false;           // the 421 spoke of errors: no second sighting is needed
    std::optional<bool> discards_bdat;  // the octets of a refused BDAT
    std::uint32_t early_clear = 0, early_tls = 0;
    bool early_clean = false;           // a session as those that may begin early have to be
    bool early_granted = false, early_refused = false;
    std::string early_seen;             // the refusal
    PathSeen path;
    std::uint32_t milliseconds = 0;     // the slowest answer to a command that was alone; 0: there was none
    Face face;                          // of a session that has ended
};

Observation observe(const Evidence& evidence);

/// "MAIL RCPT RSET QUIT: 221, then the end of the stream"
std::string text_of(const Exchange& exchange);

/// For sessions: does this refusal speak of pipelining, of the number of recipients; which MAIL parameters does it name?
bool speaks_of_pipelining(std::string_view reply);
bool speaks_of_one_recipient(std::string_view reply);
/// Does a 452 say that the mail has as many recipients as it may have? RFC 3463 has 4.5.3 for that, others use it for more.
bool speaks_of_recipient_limit(std::string_view status, std::string_view reply);
/// Does a 421 say that there were too many errors?
bool speaks_of_errors(std::string_view reply);
std::uint8_t parameters_named(std::string_view reply);
/// Is a refusal of MAIL with these parameters about them, not about the mail?
bool about_parameters(int code, std::uint8_t parameters, std::uint8_t named);

}  // namespace posthorn::peers
