// cleanup/chain.hpp: what the links of the chain work on, and the links.
// Shape    a Draft goes from link to link; each may change the envelope, note changes to the head, or refuse the message.
// Errors   an Error means that a table could not answer, or has not yet (tables::Lookups): links change nothing but the Draft.
#pragma once

#include "cleanup/checks.hpp"
#include "handoff/interfaces.hpp"
#include "message/edits.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"
#include "tables/maps.hpp"

namespace posthorn::cleanup {

using handoff::Refusal;
using tables::Lookups;

/// A table could not be asked: said as Postfix says it.
inline const Refusal table_error{451, "4.3.0", "Error: queue file write error"};

/// The tables that the links ask.
struct Asked {
    Asked(const Options& options, tables::Tables& tables);
    tables::OwnDomains own;
    tables::Maps virtual_alias_maps;
    tables::MatchList mynetworks;
    tables::Maps local_clients, signed_clients, exempt_clients;
    CheckMaps checks;
    tables::Maps canonical, sender_canonical, recipient_canonical, sender_bcc, recipient_bcc;
    tables::MatchList masquerade_exceptions;
};

struct Draft {
    Draft(handoff::Envelope e, std::string h) : envelope(std::move(e)), head(std::move(h)) {}

    handoff::Envelope envelope;
    std::string head;                     // as it came; edits count in it
    message::Edits edits;
    std::vector<std::string> log;         // lines after "QID: "; those that begin with "warning: " are warnings

    Findings findings;
    std::string last_recipient;           // for the log: before there were copies and aliases
    message::ContentType type;            // of the body, by the header as it came
    message::Encoding encoding = message::Encoding::seven_bit;
    std::optional<message::Encoding> claimed;   // what it said before force_mime_input_conversion; none: the body stays as it comes

    // What scan found.
    std::size_t header_size = 0;          // where new fields go
    std::size_t body_offset = 0;          // what came of the body with it is behind here
    bool has_separator = true;            // an empty line ends the header
    bool from = false, date = false, message_id = false, visible_recipient = false;
    bool requiretls_field = false;
    bool resent = false, resent_from = false, resent_date = false, resent_message_id = false;
    bool local_client = true;             // its header is completed and repaired
};

/// None: go on.
using Step = Result<std::optional<Refusal>>;

/// header_checks and the like over the header; what they found is noted, a refusal too.
Step inspect(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
/// What the checks found, said in the envelope.
void note_findings(handoff::Envelope& envelope, const Findings& findings, const Options& options);
Step scan(Draft& draft, const Options& options);
/// message_drop_headers has it.
bool is_dropped(const message::Field& field, const Options& options);
/// Is it one of those that `clients`, with the tables named there, has?
Result<bool> is_among(const LocalClients& clients, const tables::Maps& tables, const handoff::Client& client, const Asked& asked, Lookups& lookups);
/// Is the client local for its header?
Step judge_client(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
Step drop_fields(Draft& draft, const Options& options);
/// It is the field that says when the message is to go, of somebody who may say so.
bool is_schedule(const Draft& draft, const message::Field& field, const Options& options);
Step take_schedule(Draft& draft, const Options& options);
Step rewrite_header(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
Step rewrite_envelope(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
/// always_bcc and the maps of copies, and those that checks asked for.
Step add_copies(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
Step expand_aliases(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups);
Step add_missing(Draft& draft, const Options& options);
Step detect_utf8(Draft& draft, const Options& options);

/// "user" and "user@host" completed; none: nothing to do.
std::optional<std::string> complete_address(std::string_view address, const Completion& completion);
std::optional<smtp::Mailbox> complete_mailbox(const smtp::Mailbox& mailbox, const Completion& completion);

}  // namespace posthorn::cleanup
