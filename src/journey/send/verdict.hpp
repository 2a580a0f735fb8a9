// send/verdict.hpp: from replies to verdicts. Pure.                    RFC 5321 4.3.2, RFC 3463, RFC 2033 4.2
// Rule      a 5xx counts only if it is whole, answers a command in whose place it may stand, and nothing was out of step before
//           it in the session. Otherwise it defers. Exactly one fate per recipient.
// Texts     Postfix's: "host H[A] said: 550 ... (in reply to RCPT TO command)", "lost connection with H[A] while sending RCPT TO",
//           "conversation with H[A] timed out while ...": log analysers read them.
#pragma once

#include "base/error.hpp"
#include "send/plan.hpp"
#include "smtp/reply.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

enum class Judgement : std::uint8_t {
    good,           // what was asked for is done
    temporary,
    permanent,
    leaving,        // 421 anywhere, 221 where QUIT was not asked: the session is over
    out_of_place,   // no answer to this command: nothing after it can be believed
};

/// How far the peer's words go.
struct Belief {
    bool out_of_step = false;   // garbage or an unasked reply came earlier in this session
    bool behind_others = false; // the command rode behind another in its flight
};

/// "I do not know this command", "not now": about the dialogue, not about the mail.
constexpr bool speaks_of_dialogue(int code) { return code == 500 || code == 502 || code == 503 || code == 504; }

Judgement judge(Act act, const smtp::Reply& reply, Belief belief);

/// Of a flight whose last answers never came: could the answer at `place` be a later command's, one before it being without answer?
bool may_be_later_ones(std::span<const Act> asked, std::span<const int> codes, std::size_t place);

/// "sending RCPT TO": what the client does while it waits for this answer.
std::string_view phase(Act act, bool lmtp = false);
/// "RCPT TO": the command as the texts name it.
std::string_view command_name(Act act, bool lmtp = false);

/// Why a recipient was not served.
struct Reason {
    Reason() = default;
    Reason(bool forever, std::string code, std::string words) : permanent(forever), status(std::move(code)), text(std::move(words)) {}

    bool permanent = false;
    std::string status;         // "4.4.2"
    std::string text;           // as the log shows it
    std::string diagnostic;     // the peer's words, for Diagnostic-Code: smtp; empty: ours
    std::string remote;         // the host that said so
    std::int64_t retry_at = 0;  // microseconds since the epoch: when it may pass; 0: not known
    bool for_tls = false;       // the mail requires TLS, and the host has not what that asks for: no news about the site
    bool loops = false;         // of the destination's hosts we are the best
};

/// `peer` is "H[A]", `host` the name alone. A permanent reply that is not believed becomes temporary, 4.5.0.
Reason reason_of_reply(const smtp::Reply& reply, Judgement judgement, Act act, std::string_view peer, std::string_view host, bool lmtp = false);
/// "Protocol error: host H[A] said: ..."
Reason reason_out_of_place(const smtp::Reply& reply, Act act, std::string_view peer, std::string_view host, bool lmtp = false);
/// A stream's Error: lost connection, timeout, canceled.
Reason reason_of_error(const Error& error, std::string_view peer, std::string_view phase);

/// What became of one recipient so far.
struct Fate {
    enum class State : std::uint8_t { open, accepted, delivered, failed };
    State state = State::open;
    std::string status, text;   // of delivered
    Reason reason;              // of failed
    bool apart = false;         // its refusal may have been another's: it is asked again by itself, one command at a time
    bool final() const { return state == State::delivered || (state == State::failed && reason.permanent); }
};

/// The fates of one mail's recipients. A delivered recipient stays delivered, a failed one failed.
class Sheet {
public:
    explicit Sheet(std::size_t recipients = 0) : fates_(recipients) {}

    void accept(std::size_t index, const smtp::Reply& reply);
    /// Of an accepted recipient (content taken), or of a probe's.
    void deliver(std::size_t index, const smtp::Reply& reply);
    void fail(std::size_t index, const Reason& reason);
    /// A refusal that may have been another's: it failed for now, for this reason, and stays marked.
    void doubt(std::size_t index, const Reason& reason);
    /// All that are neither delivered nor failed.
    void fail_open(const Reason& reason);
    /// Those of `indexes` that were accepted: the content's answer.
    void deliver_accepted(std::span<const std::uint32_t> indexes, const smtp::Reply& reply);
    /// Those accepted are open again.
    void forget_accepted();
    /// The index of the nth accepted recipient that has no fate yet (LMTP answers in that order); size() where none.
    std::size_t next_accepted() const;
    /// Failed for now: open again, for the next host.
    void reopen();

    const Fate& operator[](std::size_t index) const { return fates_[index]; }
    std::size_t size() const { return fates_.size(); }
    bool settled() const;       // delivered or failed, every one
    bool all_final() const;
    bool all_loop() const;      // failed, every one, since of the destination's hosts we are the best

private:
    std::vector<Fate> fates_;
};

}  // namespace posthorn::send
