// send/session.hpp: one connection to one host: its opening, its transactions, its end.
// Transactions  run() says the plan's flights for what it was given, asks the Feed for more where the next envelope can ride behind a
//               content, and hands each transaction back exactly once, with a fate for every recipient, or `unserved`: the session
//               ended before the peer answered anything of it, and another session may take it without loss.
// Reading       goes on while writing does: full buffers cannot deadlock, and an early refusal of content is heard.
// Deadlines     one per reply, by stage; while content is written, one per piece of progress. smtp_per_request_deadline: one per command with its
//               reply, and one per content.
// Ownership     holds its stream; nothing runs on after run(), open() and goodbye() have returned.
#pragma once

#include "async/async.hpp"
#include "handoff/frames.pb.h"
#include "handoff/words.pb.h"
#include "net/stream.hpp"
#include "peers/known.hpp"
#include "send/content.hpp"
#include "send/nexthop.hpp"
#include "send/options.hpp"
#include "send/plan.hpp"
#include "send/requiretls.hpp"
#include "send/surroundings.hpp"
#include "send/tls_status.hpp"
#include "send/transcript.hpp"
#include "send/verdict.hpp"
#include "smtp/data.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace posthorn::send {

/// A refusal that does not say whether it is about the address or about when it was said.
struct HastyRefusal {
    Act act;
    std::uint32_t recipient;                // of RCPT: its index in the sheet
    std::string text;
};

/// One mail, or one probe, on one session.
struct Transaction {
    Transaction(const handoff::DeliveryRequest& what, const Content& octets, Sheet& fates, std::vector<std::uint32_t> indexes);
    /// A recipient of it is to be asked again, apart from the others.
    bool has_doubtful() const
    {
        return std::ranges::any_of(recipients, [&](std::uint32_t index) { return (*sheet)[index].apart && !(*sheet)[index].final(); });
    }

    const handoff::DeliveryRequest* request;
    const Content* content;
    const Edited* edited = nullptr;         // what is said instead of the envelope's addresses
    Sheet* sheet;
    std::vector<std::uint32_t> recipients;  // positions in the request's envelope and in the sheet
    Mail progress;
    std::uint32_t answers = 0;              // replies to commands of this transaction
    bool refused = false;                   // MAIL was refused: what follows in its flight means nothing
    std::unique_ptr<Content> converted;     // to 7bit, where the peer has no 8BITMIME; `content` points to it
    bool unserved = false;
    bool content_said = false;              // its octets went out, whole or not: never said again without an answer
    bool contradicted = false;              // MAIL was refused, and a RCPT of it accepted
    bool doubted = false;                   // a refusal that may be about our grouping or parameters, not about the mail
    bool one_too_many = false;              // a probe: more were asked about than the peer takes in one mail; the others come next
    bool cut_short = false;                 // a probe: the session ended behind some of its answers; the others may be asked at once
    std::vector<std::string> xforwards;     // commands before its MAIL
    std::uint64_t header_octets = 0;        // said as a chunk of its own
    bool content_taken = false;             // and was answered with yes
    bool late = false;                      // what was said before the greeting did not go well: it may be said again, in time
    std::vector<HastyRefusal> hasty;        // of what was said before the greeting; if in time it is accepted, our haste was why
    RequireTls requires_tls = RequireTls::disable;          // so far as it counts with this host
    bool replay = false;                    // nothing is lost if it is said again at once, and now it would be said otherwise
    std::uint32_t use = 0;                  // which transaction of its session it was, from 1
};

/// Where a session gets its work, and gives it back.
class Feed {
public:
    virtual ~Feed() = default;
    /// Another transaction for this session, or none now.
    virtual Transaction* next() = 0;
    virtual void done(Transaction& transaction) = 0;
};

/// Why a session did not open.
struct Trouble {
    Trouble() = default;
    explicit Trouble(Reason why) : reason(std::move(why)) {}
    Reason reason;
    bool try_in_clear = false;              // level may: the host may be tried again without TLS
    bool late = false;                      // it was spoken to before its greeting: the host may be tried again without that
    bool greeted = false;                   // it counts against smtp_mx_session_limit
};

class Session {
public:
    Session(std::unique_ptr<net::Stream> stream, Host host, const Options& options, const Surroundings& around);
    Session(Session&&) = delete;
    ~Session();

    struct Wish {
        std::string queue_id;               // for log lines
        std::string next_hop;
        std::string site;
        std::string rule_site;              // peers::Profile::site
        std::string mx_set;                 // of the next hop, as the name service has it
        std::chrono::microseconds age{0};   // of the message: PIX workarounds begin late
        TlsDemand tls;                      // what the session has to be
        RequireTls requires_tls = RequireTls::disable;      // and for mail that requires TLS
        bool in_clear = false;              // TLS failed with this host a moment ago
        bool late = false;                  // the greeting is waited for, whatever is known of the peer
        std::optional<std::string> credentials;     // "user:password" of its sender; none: those of the server count
        bool probes = false;                // it carries probes only: here a quirk may be tested
        std::vector<std::string> before;    // remarks for the transcript: connections that could not be had
    };
    awaitable<std::optional<Trouble>> open(Wish wish);
    /// `end`: nothing more is expected; the plan may say so to the peer.
    awaitable<void> run(Feed* feed, bool end);
    /// Which of these recipients may be asked in its next transaction: as many as known or announced limits allow, of as many domains
    /// as are left to it (RFC 9422). None: it takes no more.
    std::vector<std::uint32_t> askable(const handoff::DeliveryRequest& request, std::vector<std::uint32_t> open);
    /// It has reached a limit and takes no more: goodbye() is due.
    bool used_up() const { return used_up_; }
    /// Nobody waits for it now, and it would have to say RSET before its next MAIL, as a command of its own: it says so while it is idle. Where
    /// one probe came after another, the MAIL of the next one too.
    awaitable<void> tidy();
    /// RSET QUIT, its answers read for a while; then the stream is closed.
    awaitable<void> goodbye();
    /// Looks whether an idle session still stands: the peer has neither spoken nor gone.
    bool still_silent();
    void close();

    bool usable() const { return !over_; }
    /// What it showed of the peer changes how the next session would be planned. Known after close(), or when run() found out.
    bool planned_otherwise() const { return planned_otherwise_; }
    /// What its peer asked for beyond refusing, since this was asked last.
    handoff::Shaping take_heard() { return std::exchange(heard_, {}); }
    /// The greeting was a refusal as of one session too many, if others stand.
    bool refused_at_greeting() const { return refused_at_greeting_; }
    /// Since when a group that comes before any content has had no answer at all; none: there is no such wait.
    std::optional<SteadyTime> silent_since() const { return silent_since_; }
    /// That wait is told as a suspicion. True: another session would now be planned otherwise.
    bool suspect();
    /// Another session takes over what this one waits for, none of whose content was said: it ends, and hands that back unserved.
    void supersede();
    /// Content that it says is repeated and never arrives (net/path.hpp): it has ended, and another session would send smaller segments.
    /// Looked at from time to time.
    bool lost_on_the_way();
    const peers::Known& known() const { return known_; }
    /// The domain whose policy of MTA-STS is in testing, and what of it this session does not meet; empty: there is none, or nothing.
    const std::string& sts_domain() const { return wish_.tls.tested_domain; }
    std::string sts_unmet() const;
    /// What became of TLS in open(), for reports; none: there was none to be had, or it was had before.
    struct TlsOutcome {
        bool resumed = false;
        std::optional<TlsFault> fault;
        std::string reason;
    };
    const std::optional<TlsOutcome>& tls_outcome() const { return tls_outcome_; }
    /// Where the demand asks for it: what the server has shown; none: it is in clear.
    const std::shared_ptr<const tls::Shown>& shown() const { return shown_; }
    /// The host's handshake failed a moment ago.
    bool in_clear() const { return wish_.in_clear; }
    /// How far TLS came; `trouble`: of open().
    TlsEnd tls_end(const Trouble* trouble = nullptr) const;
    RequireTls requirement() const { return wish_.requires_tls; }
    const TlsDemand& demand() const { return wish_.tls; }
    const Host& whom() const { return host_; }
    const std::string& from() const { return from_; }
    const std::string& hello_name() const { return evidence_.peer.banner_host; }
    /// How many more recipients may be said before their refusals reach the peer's limit of errors; what is under way is counted as refused.
    std::uint32_t room_for_refusals() const;
    const Host& host() const { return host_; }
    const smtp::Features& features() const { return features_; }
    bool secured() const { return secured_; }
    std::uint32_t transactions() const { return transactions_; }
    std::uint32_t contents() const { return contents_; }
    SteadyTime opened() const { return opened_; }
    /// What it waits for of its peer, as log lines say it ("sending RCPT TO"), and since when: the last answer, or when its command went out.
    std::string_view doing() const;
    SteadyTime doing_since() const { return request_began_; }
    std::uint64_t round_trips() const { return round_trips_; }
    /// For records; none where none are written.
    std::optional<handoff::SessionFacts> facts() const;

private:
    struct Expected {
        Act act;
        Transaction* transaction;
        std::uint32_t recipient;
        bool behind_others;
        std::size_t piece;                  // content: which piece must be written before an answer counts
    };
    struct Piece {
        enum class Kind : std::uint8_t { text, view, file, pause } kind = Kind::text;
        std::size_t from = 0, to = 0;       // of out_
        std::string_view view;
        const Transaction* transaction = nullptr;
        bool stuffed = false;               // file: dots doubled, final dot added
        bool ends_content = false;          // text: what follows is a piece of its own, so that it is known whether the dot went out
    };

    awaitable<Result<smtp::Reply>> read_reply(Act act);
    awaitable<Result<std::optional<smtp::Reply>>> filtered();
    void note_garbage(const smtp::Reply& reply);
    bool amid_reply() const { return !input_.empty() || !line_.empty() || parser_.amid(); }
    awaitable<void> learn_pix();
    awaitable<Result<smtp::Reply>> command(Act act, std::string line);
    awaitable<std::optional<Trouble>> opening();
    awaitable<std::optional<Trouble>> greeting();
    awaitable<std::optional<Trouble>> hello();
    awaitable<std::optional<Trouble>> starttls(bool wrapper);
    awaitable<void> look_up_credentials();
    /// We have no credentials for this server, and know it.
    bool strangers() const { return !credentials_ && credentials_error_.empty(); }
    awaitable<Result<std::vector<std::string>>> mechanisms();
    awaitable<std::optional<Trouble>> authenticate();
    awaitable<std::optional<Trouble>> exchange_challenges(std::string_view name);
    void hide_echo(smtp::Reply& reply) const;
    Trouble auth_failed(Reason reason);
    Reason cannot_authenticate(std::string_view why) const;
    Reason refused_login(std::string status, std::string said, bool believed, std::string_view cached) const;
    awaitable<bool> may_be_early();
    bool suppose(std::uint32_t bits);
    bool needs_certainty(const Transaction& transaction) const;
    awaitable<bool> meet(bool say_hello);
    awaitable<std::optional<Trouble>> open_tls_early();
    static std::uint32_t early_features(smtp::KeywordSet announced);
    void too_early(Trouble& trouble);
    void refused_early(std::string seen);
    awaitable<std::optional<Reason>> look_up_discards();
    bool sure_of_features() const;
    Reason not_for_tls(std::string_view code, std::string_view why) const;
    std::optional<Reason> misses(RequireTls required) const;
    bool doubts_early(const Expected& expected, const smtp::Reply& reply, Judgement judgement);
    void compare_with_early(const Expected& expected, Judgement judgement);
    awaitable<void> learn_features(const smtp::Reply& reply);
    std::optional<Reason> not_for(Transaction& transaction) const;

    awaitable<void> park_mail();
    void take_parked(Transaction& transaction);
    awaitable<void> fly(std::span<const Step> flight);
    void compose(std::span<const Step> flight);
    std::string mail_line(const Transaction& transaction, std::uint8_t* parameters) const;
    void compose_mail(const Transaction& transaction);
    void compose_rcpt(const Transaction& transaction, std::uint32_t recipient);
    void prepare_xforward(Transaction& transaction) const;
    void compose_header(const Transaction& transaction);
    void compose_content(const Transaction& transaction, bool bdat, bool with_dot);
    void say(std::string_view line);
    void write_flight();
    bool says_content() const;
    awaitable<void> write_rest(std::size_t piece, std::size_t offset);
    awaitable<Result<void>> write_content(std::span<const std::string_view> octets);
    awaitable<Result<void>> write_file(std::size_t piece);
    void note_line_broken(const smtp::DataWriter& writer, const Transaction& transaction) const;
    std::size_t gather(std::size_t piece, std::size_t offset);

    void note(const Expected& expected, const smtp::Reply& reply, bool early, Act next);
    void note_mail(Transaction& transaction, std::uint32_t recipient, Judgement judgement, const smtp::Reply& reply);
    void doubt_refusals(bool cut_short = false);
    void doubt_contradicted(Transaction& transaction);
    void refuse(Transaction& transaction, std::uint32_t index, const Reason& reason);
    void refuse_accepted(Transaction& transaction, const Reason& reason);
    void fail_all(Transaction& transaction, const Reason& reason);
    void note_refusal(std::chrono::milliseconds pause);
    void note_rcpt(Transaction& transaction, std::uint32_t recipient, Judgement judgement, const smtp::Reply& reply);
    void note_data(Transaction& transaction, Judgement judgement, const smtp::Reply& reply);
    void note_header(Transaction& transaction, Judgement judgement, const smtp::Reply& reply);
    void note_content(Transaction& transaction, Act act, Judgement judgement, const smtp::Reply& reply);
    void end_with(Reason reason);
    void settle();
    bool takes_more() const;
    std::size_t mails_to_say() const;
    bool mails_used_up(std::size_t not_said = 0) const;
    void hand_back(Feed* feed);
    void abandon(Feed* feed);
    bool ask_rest(Transaction& transaction) const;
    bool may_say_again(bool some_doubted) const;
    std::chrono::seconds timeout(Act act) const;
    void begin_request() { request_began_ = std::chrono::steady_clock::now(); }
    void limit_reply(Act act);
    void limit_reading(Act act);
    Reason lost(const Error& error, Act act) const;
    Act under_way(Act act) const;
    void transcript(char direction, std::string_view text);
    void ask_about(std::string greeting, std::string ehlo);
    void show_tls(const Secured& secured, TlsLevel demanded);
    void begin_exchange();
    void keep_arrival(const Transaction& transaction);
    void keep_evidence(const smtp::Reply& reply);
    void keep_end(const Error& error);
    void record_fate(const Transaction& transaction);
    bool report(bool whole);
    bool about_dialogue(const Expected& expected, const smtp::Reply& reply);
    peers::Advice heed(const smtp::Reply& reply);
    std::int64_t put_off(const Transaction& transaction, std::uint32_t index, Judgement judgement, const smtp::Reply& reply);
    void note_taken(const Transaction& transaction, std::size_t index);
    bool before_content(std::span<const Step> flight) const;

    std::unique_ptr<net::Stream> stream_;
    Host host_;
    std::string peer_text_, relay_;
    const Options& options_;
    const Surroundings& around_;
    PlanOptions plan_options_;
    peers::Known known_;
    peers::Evidence evidence_;
    std::string greeting_text_;
    Recorder recorder_;
    SteadyTime exchange_begun_{};
    handoff::Shaping heard_;
    peers::Advice advice_;                  // of the reply that is being noted
    std::optional<SteadyTime> silent_since_;
    bool superseded_ = false, refused_at_greeting_ = false;
    smtp::Features features_;
    Wish wish_;
    std::optional<TlsOutcome> tls_outcome_;
    std::string from_;                      // our address
    std::string tls_protocol_, tls_cipher_, tls_peer_;      // empty: in clear
    std::shared_ptr<const tls::Shown> shown_;
    std::string certificate_unmet_;         // of who has to show none: why it is not the host's
    TaskGroup writers_;
    smtp::ReplyParser parser_;
    std::string buffer_;                    // of the reader
    std::string_view input_;                // what of it is not parsed yet
    std::string line_;                      // for smtp_reply_filter: a line that has no end yet
    bool line_replaced_ = false;            // in the reply that is being read
    std::optional<Reason> own_fault_;       // not the peer's: a table that cannot be asked
    std::string out_;
    std::vector<Piece> pieces_;
    std::vector<std::string_view> views_;
    std::vector<Expected> expected_;
    struct Refusal {
        Transaction* transaction;
        std::uint32_t index;                // in its sheet
        std::size_t place;                  // in the next two
    };
    std::vector<Refusal> refused_here_;     // in this flight
    std::vector<Act> asked_here_;           // in this flight: what waits for an answer, and the answers so far
    std::vector<int> codes_here_;
    std::size_t not_heard_ = 0;             // of expected_: from here on no answer was read for
    std::deque<Transaction*> current_;
    std::set<std::string> domains_;         // said in RCPT, where their number is limited
    std::vector<Mail> mails_;
    Plan plan_;
    Act awaited_ = Act::greeting;
    bool shakes_hands_ = false;             // TLS
    SteadyTime request_began_{};            // or, of several, the answer before this one came
    SteadyTime content_until_{};            // smtp_per_request_deadline
    std::size_t writing_at_ = 0;            // the piece that is being written; pieces_.size(): all are out
    std::optional<Error> content_error_;    // our own file could not be read
    Reason end_reason_;
    bool over_ = false, open_transaction_ = false, out_of_step_ = false, secured_ = false, esmtp_ = true, writing_ = false;
    std::unique_ptr<sasl::Credentials> credentials_;        // none: strangers here
    std::string credentials_error_;         // why that is not known
    std::string_view auth_said_;            // the line of AUTH that waits for its reply
    bool authenticated_ = false, verified_ = false;
    bool debug_ = false, pix_dot_ = false, used_up_ = false, leaving_ = false, planned_otherwise_ = false;
    // PIPECONNECT (session_early.cpp): what has still to be heard; what was said although it was not heard yet.
    enum class Unheard : std::uint8_t { nothing, hello, greeting_and_hello } unheard_ = Unheard::nothing;
    peers::Early allowed_early_;
    smtp::DiscardList discard_;             // what the administrator hides of this peer
    smtp::KeywordSet supposed_;             // features, until the reply to EHLO tells
    unsigned ahead_ = 0;                    // commands said whose replies are still to be read by command()
    bool early_flight_ = false;             // the one under way began before the answers above
    bool features_differ_ = false;          // from those supposed
    bool too_early_ = false;                // the session is of no use: all is to be said again, in time
    bool features_sure_ = true;             // EHLO was answered, or not known; else it may have more than it could say this time
    bool refused_last_ = false;             // the last answer refused a recipient
    std::uint32_t transactions_ = 0, contents_ = 0, errors_ = 0, mails_said_ = 0;
    std::string probe_mail_;                // the MAIL of the last probe
    bool parked_ = false;                   // it was said and accepted for the next one
    std::uint32_t quick_errors_ = 0, slow_errors_ = 0;      // refusals that came at once; the run of those that did not, behind them
    bool cut_off_ = false;                  // the peer ended the session, by word or deed
    bool told_to_leave_ = false;            // by word: 421, or a lone 221
    SteadyTime heard_at_{};                 // when octets of the peer were read last
    SteadyTime last_reply_{};
    std::uint64_t round_trips_ = 0;
    SteadyTime opened_{};
    std::uint32_t segment_ = 0;  // octets of its largest, when it was opened; 0: not known
};

}  // namespace posthorn::send
