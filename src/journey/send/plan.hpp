// send/plan.hpp: what has to be said, cut into flights. Pure: no socket, no clock, no text.    RFC 2920, 3030, 5321 4.1.4
// Shape     a Plan is one row of steps; the last step of a flight has ends_flight. A flight is one write and one wait for all
//           answers. The flight RSET QUIT at the end waits for nothing that anybody needs.
// Progress  a plan supposes that all goes well. The session says its first flight, notes the answers in the Mails, and
//           asks again: refused recipients and invitations change the next plan, never the session's code.
// QUIT      never rides behind a command whose answer is needed (FrontBridge and Exchange 2010 drop what precedes it).
//           quit_in_group asks for Postfix's grouping, to show the failure; Postfix has none behind BDAT, and no known victim gets it.
// BDAT      its octets follow at once, whatever the answers to RCPT: a peer that does not discard those of a refused BDAT would
//           execute the body as commands. So content in the envelope's flight is a privilege of peers known to discard. Of large
//           content only the header goes there, as a chunk: refused recipients do not cost the octets of the rest, and the window
//           has opened when those follow.
#pragma once

#include "peers/known.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace posthorn::send {

enum class Act : std::uint8_t {
    connect,     // as far as auth: waits of a session that begins, never in a plan
    handshake,
    greeting,
    hello,
    starttls,
    auth,        // the command, and an answer to each challenge
    rset,
    xforward,    // of whom the next mail is; `recipient`: which of its commands
    mail,
    rcpt,
    data,
    content,     // the octets after 354, dot-stuffed, without the dot
    dot,
    header_chunk, // BDAT n with the message's header: the rest waits for the recipients' answers
    bdat,        // BDAT n LAST with its octets
    pause,       // PIX: the dot travels in a segment of its own, later
    quit,
};

struct Step {
    Act act{};
    bool ends_flight = false;
    std::uint16_t mail = 0;         // index into Dialogue.mails
    std::uint32_t recipient = 0;    // of rcpt, and of a mail for one recipient: index within the mail
    bool operator==(const Step&) const = default;
};

using Plan = std::vector<Step>;

/// What the plan needs of the EHLO reply.
struct Offer {
    bool pipelining = false;
    bool chunking = false;
};

enum class Stage : std::uint8_t {
    waiting,     // nothing said
    addressing,  // MAIL accepted, `asked` recipients answered
    invited,     // 354
    done,        // every answer is in, or none can come
};

struct Mail {
    Mail() = default;
    Mail(std::uint32_t count, std::uint64_t size) : recipients(count), octets(size) {}
    static Mail probe_of(std::uint32_t count, bool null_sender = true)
    {
        Mail mail(count, 0);
        mail.probe = true;
        mail.null_sender = null_sender;
        return mail;
    }

    std::uint32_t recipients = 0;
    std::uint64_t octets = 0;
    bool probe = false;             // ends after the last RCPT
    bool null_sender = false;
    bool apart = false;             // each of its commands is a flight: its answers cannot be another's
    bool by_data = false;           // lines over the limit are broken on the way: BDAT could not
    Stage stage = Stage::waiting;
    bool sender_open = false;       // MAIL was accepted, and no RCPT was said since
    std::uint32_t asked = 0;
    std::uint32_t accepted = 0;
    std::uint32_t xforwards = 0;    // commands before MAIL
    std::uint32_t xforwarded = 0;   // of those: answered
};

/// A probe from <> where the peer takes one recipient for that: each has a MAIL of its own.
inline bool one_mail_each(const Mail& mail, const peers::Quirks& quirks)
{
    return mail.probe && mail.null_sender && quirks.has(peers::Quirk::one_rcpt_null_sender);
}

struct Dialogue {
    std::span<const Mail> mails;    // in order; what is done is passed over
    bool open_transaction = false;  // the session needs RSET before another MAIL
    std::uint32_t mails_before = 0; // contents accepted in this session
    bool end = false;               // nothing more for this site: say goodbye
};

struct PlanOptions {
    bool chunking = true;           // smtp_chunking
    bool quit_in_group = false;     // smtp_quit_in_group
    bool probe_data = false;        // smtp_address_verify_target = data
    bool content_held = false;      // the answer to EHLO is not known yet: no content, whatever the privilege
    std::uint32_t contents_in_flight = 8;       // unanswered at once
    std::uint64_t content_before_answers = 65536;   // of larger content only the header goes before the recipients' answers
};

/// Cuts the dialogue into flights. Reuses `plan`'s memory.
void plan(Plan& plan, const Dialogue& dialogue, Offer offer, const peers::Known& known, const PlanOptions& options);
Plan plan(const Dialogue& dialogue, Offer offer, const peers::Known& known = {}, const PlanOptions& options = {});

/// The steps up to and including the first that ends a flight.
std::span<const Step> first_flight(std::span<const Step> plan);

}  // namespace posthorn::send
