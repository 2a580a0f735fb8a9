// handoff/interfaces.hpp: what one station needs of another. Tests give their own; program/services gives those that travel
// between processes.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "handoff/words.pb.h"
#include "milter/changes.hpp"

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::handoff {

/// Client.protocol of mail that came by QMQP. Who may speak it is ours (qmqpd_authorized_clients), and so is the header that he sends.
inline constexpr std::string_view qmqp_protocol = "QMQP";

/// A message that a station does not take: what the client is told.
struct Refusal {
    Refusal(int reply_code, std::string enhanced_status, std::string reply_text)
        : code(reply_code), status(std::move(enhanced_status)), text(std::move(reply_text))
    {
    }
    int code;
    std::string status, text;
    bool logged = false;          // who refused has written it to the log
};

/// Of a mail whose delivery nobody waits for.
inline constexpr std::chrono::milliseconds no_patience{0};

/// Takes responsibility for messages (RFC 5321 4.2.5).
class Queue {
public:
    virtual ~Queue() = default;
    /// A queue id for a message that begins; none while qmgr cannot be asked (451 4.3.0).
    virtual std::optional<std::string> next_queue_id() = 0;
    /// Success: the message is on stable storage. An Error has the status for the reply: after 4.3.1 (full) nothing is stored; after any
    /// other that is likely, but not sure where no answer came and nobody could be asked whether it was committed. A content file is then
    /// left to the queue's sweep.
    /// With `patience` the client waits so long for what the first attempt says. A Refusal: every recipient that the sender would be told of was
    /// refused for good; nobody else is told, and nothing of the message is stored any more. None: it is stored, whatever becomes of it.
    virtual awaitable<Result<std::optional<Refusal>>> enqueue(Envelope envelope, Content content, std::chrono::milliseconds patience) = 0;
};

/// Where an address goes (RFC 5321 3.6, 5; Postfix's trivial-rewrite(8)).
class Router {
public:
    virtual ~Router() = default;
    /// One route per address, in order. An Error: a table or name service failed, try later.
    virtual awaitable<Result<std::vector<Route>>> route(std::string sender, std::vector<std::string> addresses) = 0;
};

/// The classes of destination addresses (Postfix's ADDRESS_CLASS_README).
enum class AddressClass { local, virtual_alias, virtual_mailbox, relay, other };

/// What the configuration says of one address, for access control.
struct AddressStanding {
    AddressStanding() = default;
    explicit AddressStanding(AddressClass which, bool is_known = true) : address_class(which), known(is_known) {}

    AddressClass address_class = AddressClass::other;
    std::string resolved;         // where it goes, where that is not the address itself: user@site of user%site@ours, user@myorigin of user
    bool malformed = false;       // resolved, it is no address: user%@ours, whose domain is empty
    bool routed = false;          // as resolved it still has '@', '%' or '!' in front: user%site@host, which that host may send elsewhere
    bool known = true;            // the recipient table of its class lists it, or there is no such table
    std::string unknown_status;   // with !known: the status where it is not the class's own ("5.1.6": the user has moved)
    std::string unknown_text;     // with !known: the text where it is not "User unknown in ... table"

    /// Where the address goes whose standing this is.
    const std::string& way_of(const std::string& address) const { return resolved.empty() ? address : resolved; }
};

/// Whose are an address and a client? An Error: a table failed, try later (never a permit).
class AddressClasses {
public:
    virtual ~AddressClasses() = default;
    /// mynetworks. `name` is the verified host name or "unknown".
    virtual awaitable<Result<bool>> in_mynetworks(std::string name, std::string address) = 0;
    virtual awaitable<Result<AddressStanding>> standing(std::string address) = 0;
    /// One of our interfaces or proxies ("192.0.2.1").
    virtual bool own_address(std::string_view) const { return false; }
    /// False where the questions above may have to wait: replies that are ready leave first.
    virtual bool in_memory() const { return true; }
};

/// Whether an address takes mail, as far as it is known (Postfix's ADDRESS_VERIFICATION_README).
struct Finding {
    enum class Kind { deliverable, deferred, undeliverable, in_progress };  // numbered as Postfix's cache has them
    Finding() = default;
    Finding(Kind what, std::string words) : kind(what), text(std::move(words)) {}
    Kind kind = Kind::in_progress;
    std::string text;  // the reply of the next host, or why there is none
};

/// Asks whether an address takes mail.
class Verifier {
public:
    virtual ~Verifier() = default;
    /// in_progress where nothing was known and `patience` was over first. An Error: nobody could be asked.
    virtual awaitable<Result<Finding>> verify(std::string address, std::chrono::milliseconds patience) = 0;
    /// The same question will follow: whatever takes time may begin.
    virtual void ask_ahead(std::string address) = 0;
    /// The sender of our own probes without its time-dependent part, where `address` is that sender; none: it is somebody else.
    virtual std::optional<std::string> probe_sender(std::string_view address) const = 0;
};

/// Looks at the body of a message while it passes, and may change it.
class BodyCleaner {
public:
    virtual ~BodyCleaner() = default;
    /// The next octets, `last` with the end (there may be none then): what is to be stored in their place. After a refusal no more is asked.
    virtual awaitable<std::expected<std::string, Refusal>> clean(std::string octets, bool last) = 0;
    /// After the end: what was found in the body changes the envelope.
    virtual awaitable<std::expected<Envelope, Refusal>> conclude(Envelope envelope) = 0;
    /// After the end: the message is to be forgotten, and its client to be told that it was taken.
    virtual bool discards() const = 0;
};

/// A message's envelope with the head of its content.
struct Cleaned {
    Cleaned(Envelope e, std::string h) : envelope(std::move(e)), head(std::move(h)) {}
    Envelope envelope;
    std::string head;
    bool discard = false;  // as BodyCleaner::discards()
    std::unique_ptr<BodyCleaner> body;  // none: the body goes by as it is
};

/// Header fields that a mail filter made, looked at.
struct FieldsChecked {
    FieldsChecked(Envelope e, std::vector<std::string> f) : envelope(std::move(e)), fields(std::move(f)) {}
    Envelope envelope;  // what was found in them changes it
    std::vector<std::string> fields;  // one for each, as it is to be stored; empty: it goes
    bool discard = false;  // as BodyCleaner::discards()
};

/// Rewrites what is received (Postfix's cleanup(8)): header repair, aliases, hop count.
class Cleaner {
public:
    virtual ~Cleaner() = default;
    /// `head`: the header section with the empty line behind it, CRLF line ends, our Received: first; where the content has no
    /// empty line, all of it. What is to happen to the body is in the answer. Sets envelope.message_id and hops; may change sender and recipients.
    virtual awaitable<std::expected<Cleaned, Refusal>> clean(Envelope envelope, std::string head) = 0;
    /// Is the header of this client's mail a local one, to be completed? (local_header_rewrite_clients) An Error: a table failed.
    virtual awaitable<Result<bool>> local_client(Client) { co_return false; }
    /// Is the mail of this client signed, or of `origin`, where the client hands on what that one sent? (dkim_sign_clients)
    virtual awaitable<Result<bool>> signed_client(Client, Origin) { co_return false; }
    /// Is the mail of this client taken without a look at what it proves? (mailauth_exempt_clients) Who hands on what others sent is asked about himself.
    virtual awaitable<Result<bool>> exempt_client(Client) { co_return false; }
    /// What a mail filter wants of the envelope: addresses are rewritten and expanded as those of the message were. Recipients are numbered anew.
    virtual awaitable<std::expected<Envelope, Refusal>> changed(Envelope envelope, std::vector<milter::EnvelopeChange>) { co_return envelope; }
    /// milter_header_checks; each field is whole, with its line ends.
    virtual awaitable<std::expected<FieldsChecked, Refusal>> check_made(Envelope envelope, std::vector<std::string> fields)
    {
        co_return FieldsChecked(std::move(envelope), std::move(fields));
    }
};

/// What filters made of a message.
struct Shown {
    explicit Shown(Envelope e) : envelope(std::move(e)) {}
    Envelope envelope;
    bool discard = false;
    std::optional<std::string> head;  // takes the place of `old_head` octets; none: the content stays as it is
    std::uint64_t old_head = 0;
    std::optional<std::string> body;  // and of all that follows
};

/// Shows mail that came by no SMTP session to filters (non_smtpd_milters).
class Filters {
public:
    /// Octets of the cleaned content from `offset`: `most` of them, fewer at the end.
    using Read = std::function<awaitable<Result<std::string>>(std::uint64_t offset, std::size_t most)>;

    virtual ~Filters() = default;
    /// A refusal is logged already.
    virtual awaitable<std::expected<Shown, Refusal>> show(Envelope envelope, std::uint64_t size, Read read) = 0;
};

/// What a message proved as it came in (mailauth/results.hpp), and the state of its chain of seals: none, pass or fail.
struct Proof {
    Proof(std::string found, std::string status) : results(std::move(found)), chain(std::move(status)) {}
    std::string results, chain;
};

/// Signs messages (DKIM), and seals those of others (ARC). The keys are where nobody reads from the network.
class Signer {
public:
    virtual ~Signer() = default;
    /// Fields to go in front of `head`; empty: its author's mail is not signed. `body_hash` as mailauth::BodyHash makes it, of the body in relaxed
    /// form or in simple. An Error: not now.
    virtual awaitable<Result<std::string>> sign(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body) = 0;
    /// The same of a set for its chain; empty: none is added to this one.
    virtual awaitable<Result<std::string>> seal(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body, Proof proof) = 0;
};

}  // namespace posthorn::handoff
