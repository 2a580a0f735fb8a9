// receive/session.hpp: one client, from the greeting to the disconnect line.
// Order    a line is taken from the input only when the reply before it is decided. Replies gather in `out_` and leave in one write
//          when no whole line is in hand, and before anything that may wait. While a content is being stored, what the client sent behind it
//          is read and decided; the replies to that stand behind its own.
// Ends     a reply 421 or 521, QUIT, a lost connection, a time limit, too many errors. An unfinished message is dropped.
// Memory   without a transaction a session is this object its stream and the coroutine frames that wait; no buffer.
#pragma once

#include "milter/chain.hpp"
#include "net/proxy_header.hpp"
#include "receive/checks.hpp"
#include "receive/content.hpp"
#include "receive/core.hpp"
#include "receive/screen/arrival.hpp"
#include "receive/session_record.hpp"
#include "receive/signing.hpp"
#include "receive/tally.hpp"
#include "smtp/command.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::receive {

class Session final : public policy::Court, public Guest {
public:
    /// What an idle session is charged against the ceiling: object, frames, socket stream, and a KiB for what was said (session_record.hpp).
    static constexpr std::size_t resting_octets = 7168;

    Session(Server::Core& core, screen::Arrival arrival);
    Session(Session&&) = delete;
    ~Session() override;

    awaitable<void> run();
    bool dismissed() const { return dismissed_; }

    // Court
    void log_what(std::string_view what, std::string_view text) override;
    void log_warning(std::string_view text) override;
    void refused_by(std::string_view what, std::string_view reply) override;
    void would_refuse(std::string_view restriction, std::string_view reply) override;
    void tried(std::string_view what, handoff::TrialSeen::Outcome outcome, std::string_view reason) override;
    awaitable<void> before_wait() override;
    policy::SessionFacts session_facts() const override;
    awaitable<std::shared_ptr<const mailauth::SpfFinding>> spf() override;
    bool content_has_begun() const override { return where_ == "END-OF-MESSAGE"; }
    // Guest
    void dismiss() override;

private:
    enum class End : std::uint8_t { none, quit, hangup, lost, timeout, too_many_errors };

    struct Transaction {
        explicit Transaction(Places& in_places) : places(in_places) {}
        Transaction(Transaction&&) = delete;
        ~Transaction() { places.end_transaction(); }

        Places& places;
        handoff::Envelope envelope;               // goes with the content once that begins
        std::string queue_id;                     // set with the first recipient accepted
        policy::Effects effects;
        std::string sasl_sender;                  // AUTH= of MAIL
        std::string account_limits;               // what account_limit_maps says
        std::uint64_t size = 0;                   // as MAIL says; in the end, as it is
        std::size_t overshoot = 0;
        std::size_t rehearsed = 0;                // RCPT lines in the input that were looked at already
        bool data_checked = false;                // smtpd_data_restrictions at the first BDAT
        std::shared_ptr<Checks> checks;           // none: of this message nothing is checked
        std::unique_ptr<Sealing> sealing;         // none: it is not sealed
        // BDAT: the message so far
        std::unique_ptr<Content> content;
        std::unique_ptr<smtp::LineEnds> line_ends;
        std::uint64_t chunk_octets = 0;
        bool chunks_failed = false;
        // smtpd_proxy_filter
        struct Asked {
            std::size_t at;                       // where in out_ its reply belongs
            std::string address, command;
        };
        std::string mail_command;
        static constexpr std::size_t asked_limit = 100;
        std::vector<Asked> asked;                 // RCPTs that the filter has not heard yet
        std::unique_ptr<BeforeQueue> filter;
        std::vector<std::string> kept;            // speed_adjust: RCPTs for the end
        SteadyTime asked_since{};
    };

    /// Contents that are whole and on their way to the disk, while commands behind them are read (RFC 2920 3.2: the replies keep their order).
    struct Storing {
        explicit Storing(const Executor& executor) : ended(executor), tasks(executor) {}
        static constexpr std::size_t limit = 16;  // each is at most handoff::inline_content_limit
        struct Mail {
            std::size_t at;                       // where in out_ its reply belongs
            std::string ok, queue_id;
            const smtp::Verb* verb;
            std::unique_ptr<Content> content;
            std::chrono::milliseconds patience;   // with its delivery; zero: none
            std::optional<std::string> sender, recipient;              // for the log, where it is not taken
            int errors, junk;                     // from before it; they are forgiven where it is taken
            handoff::NotifyClasses trouble;
            std::optional<Error> failure;
            std::optional<handoff::Refusal> refusal;                   // by the queue, or by who it was for; none: it is taken
        };
        std::deque<Mail> mails;
        std::size_t open = 0;                     // of which the queue has not said what became of them
        Signal ended;
        TaskGroup tasks;
    };

    /// Mail filters of the session, and what their macros say.
    struct Milters {
        Milters(std::vector<milter::Spec> specs, const milter::Options& options, milter::Surroundings::Connect connect, milter::MacroValues values,
                std::function<void(std::string)> warn)
            : chain(std::move(specs), options, std::move(connect), std::move(values), std::move(warn))
        {
        }
        milter::Chain chain;
        handoff::Route sender_route, recipient_route;
        std::string refusal;                      // of the recipient in hand, by us
        std::string refusal_of_message;           // the reply that a filter wants
        policy::Effects unheard;                  // what is asked for outside a transaction
    };

    // session.cpp: life. What an idle session stands in is kept small: run, converse, fill; the rest comes and goes.
    awaitable<void> begin();
    awaitable<void> finish();
    awaitable<bool> step();
    awaitable<void> greet();
    awaitable<void> welcome();
    awaitable<void> name_client();
    awaitable<void> converse();
    awaitable<bool> dispatch(smtp::Command command, const std::string& line);
    std::string_view abort_reason() const;
    void log_end();
    void tell_postmaster();
    void transcript(char direction, std::string_view text);
    std::string namaddr() const;
    std::string mail_for_log(const std::string* recipient) const;
    std::string login_of_refusal() const;
    void log_about(std::string_view queue_id, std::string_view what, std::string_view text);
    void obey(policy::Ruling ruling);
    policy::Effects early_effects() const;

    // session_stream.cpp
    /// At most so many octets.
    awaitable<bool> fill(std::size_t most = std::string::npos);
    awaitable<bool> flush();
    awaitable<bool> transmit(std::string text);
    bool poll_early_input(std::string_view after);
    void say(std::string_view reply, bool by_rule = false);
    void say(const smtp::Reply& reply);
    void say_line(int code, std::string_view status, std::string_view text);
    void lost(const Error& error);
    void start_request();
    void earn_time(std::uint64_t octets);
    void set_deadline();
    // session_text.cpp
    awaitable<bool> filter_command(std::string* line);
    awaitable<bool> is_malformed(std::string address);
    awaitable<std::optional<std::string>> about_reply(const tables::Maps* maps, std::string reply);
    awaitable<void> edit_rejects();
    // session_other.cpp
    awaitable<bool> helo(smtp::VerbId verb, std::string arguments);
    bool tls_available() const;
    awaitable<bool> starttls(std::string arguments);
    awaitable<bool> secure();
    awaitable<bool> vrfy(std::string arguments);
    awaitable<bool> etrn(std::string arguments);
    bool rset(std::string_view arguments);
    bool help();
    // session_auth.cpp
    awaitable<std::string> auth_offer();
    awaitable<bool> auth_offered(const sasl::Offer& offer);
    awaitable<std::optional<std::string>> auth_response(std::string challenge, std::string_view mechanism);
    awaitable<bool> auth(std::string arguments);
    awaitable<bool> authenticate(std::string mechanism, std::optional<std::string> initial);
    bool auth_allowed() const;
    std::string login_for_log() const;
    // session_proxied.cpp
    awaitable<void> take_proxy_header();
    awaitable<bool> listed(const tables::MatchList& list);
    awaitable<bool> may_schedule();
    awaitable<bool> xclient(std::string arguments);
    awaitable<bool> xforward(std::string arguments);
    std::string origin_for_log() const;
    // session_filter.cpp: a filter before the queue
    smtp::Origin origin(bool local) const;
    bool whole_first() const;
    bool ask_filter_for(std::string command, std::string address);
    awaitable<std::optional<std::string>> ask_filter(bool data);
    awaitable<bool> accept_by_filter(std::unique_ptr<Content> content);
    awaitable<std::string> pass_on_whole(Content& content);
    awaitable<void> open_filter();
    awaitable<std::string> pass_on(Content& content);
    void log_client(std::string_view queue_id);
    // session_mail.cpp
    awaitable<bool> mail(std::string arguments);
    awaitable<bool> rcpt(std::string arguments);
    bool has_queue_id();
    bool needs_helo();
    std::optional<std::string> own_probe_sender(std::string_view address) const;
    void end_transaction();
    smtp::CommandOptions command_options() const;
    void say_refused_path(const smtp::Reply& reply, std::string_view verb, std::string_view arguments);
    // session_milter.cpp: mail filters
    bool asks_milters() const;
    awaitable<Result<std::vector<milter::Spec>>> milters_for_client();
    awaitable<std::optional<std::string>> meet_milters();
    std::optional<std::string> heed(const milter::Verdict& verdict, policy::Effects& effects);
    awaitable<std::optional<std::string>> milters_on_helo();
    awaitable<std::optional<std::string>> milters_on_mail(std::string arguments, policy::Effects& effects);
    awaitable<std::optional<std::string>> milters_on_recipient(std::string arguments);
    awaitable<void> milters_on_refused_recipient(std::string arguments, std::string reply);
    awaitable<std::optional<std::string>> milters_on_data();
    awaitable<std::optional<std::string>> milters_on_unknown(std::string line);
    awaitable<handoff::Route> milter_route(std::string address);
    std::optional<std::string> milter_macro(std::string_view name) const;
    void log_milter(const handoff::Envelope& envelope, std::string_view what, std::string_view text);
    awaitable<void> show_to_milters(Content& content);
    // session_checks.cpp: what received mail proves
    awaitable<void> begin_checks(Content& content);
    awaitable<void> conclude_checks(Content& content);
    void report_dmarc(handoff::DmarcSeen seen, mailauth::DmarcPolicy asked);
    awaitable<milter::Verdict> check_made_fields(Content& content, milter::Mail& mail);
    // session_rates.cpp
    awaitable<bool> may_connect();
    awaitable<bool> exceeds(Rates::Event event, std::uint32_t limit, std::string_view what);
    std::string rate_key() const;
    // session_ahead.cpp
    awaitable<void> verify_group(std::string recipient);
    // session_content.cpp
    awaitable<bool> data(std::string arguments);
    awaitable<bool> bdat(std::string arguments, std::string line);
    awaitable<bool> ask_account_limits();
    awaitable<std::chrono::milliseconds> patience_with_delivery(const Content& content);
    awaitable<bool> skip_chunk(std::uint64_t octets);
    awaitable<bool> skip_refused_chunk(smtp::Command command);
    awaitable<bool> accept(std::unique_ptr<Content> content, std::string ok_prefix, bool bare_lf, const smtp::Verb& verb);
    std::unique_ptr<Content> begin_content();
    bool refuse_content(const handoff::Refusal& refusal);
    void refuse_content(const handoff::Refusal& refusal, std::string_view queue_id);
    void warn_of(std::string_view queue_id, const Error& error);
    void warn_of(const Content& content);
    // session_storing.cpp
    bool may_read_on(const Content& content) const;
    void store_meanwhile(handoff::Envelope envelope, std::unique_ptr<Content> content, std::string ok, std::chrono::milliseconds patience,
                         const smtp::Verb& verb);
    awaitable<void> store(Storing::Mail& mail, handoff::Envelope envelope, handoff::Content content);
    awaitable<bool> end_storing();
    void conclude(Storing::Mail& mail);

    Server::Core& core_;
    std::unique_ptr<net::Stream> stream_;
    Input input_;
    std::size_t read_unwaited_ = 0;               // octets of content since the last wait for the client
    std::string out_;
    std::vector<std::pair<std::size_t, std::size_t>> rejects_;     // in out_: 4xx and 5xx replies that a filter or a footer waits for
    bool long_reply_ = false;                     // out_ may have a line that is too long
    policy::Facts facts_;
    std::unique_ptr<Transaction> transaction_;
    std::unique_ptr<Storing> storing_;
    std::unique_ptr<TaskGroup> asking_;           // the DNS, about messages
    std::unique_ptr<TlsFacts> tls_;
    std::unique_ptr<Milters> milters_;
    /// Of whom it was, so that another sender, name or (XCLIENT) client is asked about anew.
    struct SpfAsked {
        std::string sender, helo, client_address;
        bool operator==(const SpfAsked&) const = default;
    };
    std::unique_ptr<std::pair<SpfAsked, std::shared_ptr<const mailauth::SpfFinding>>> spf_;
    std::unique_ptr<std::string> denied_;         // smtpd_delay_reject = no: the client was refused at connect
    std::unique_ptr<smtp::Origin> forwarded_;     // XFORWARD, for one mail; fit for the log
    std::string line_;                            // the command in hand, where a filter is to hear it
    std::unique_ptr<net::Endpoint> destination_;  // where the client connected to, as its proxy says
    std::unique_ptr<policy::Effects> client_effects_, helo_effects_;      // smtpd_delay_reject = no: what is to be done with every mail
    struct Login {
        Login(std::string how, std::string who) : method(std::move(how)), username(std::move(who)) {}
        std::string method, username;
    };
    std::unique_ptr<Login> login_;                // by AUTH, or as XCLIENT says
    std::unique_ptr<SessionRecord> record_;       // for the postmaster, where notify_classes asks for sessions
    Tally tally_;
    SteadyTime request_deadline_{};
    std::uint32_t mails_ = 0;                     // begun in this session
    mutable std::uint64_t instance_ = 0;          // what policy servers know the transaction by; 0: none has asked yet
    std::string_view where_ = "CONNECT";
    std::uint64_t content_octets_ = 0;            // of the content being received, for the log
    std::uint16_t client_port_ = 0;
    int errors_ = 0, junk_ = 0;
    End end_ = End::none;
    BareNewline bare_newline_ = BareNewline::normalize;
    smtp::KeywordSet discarded_;
    bool esmtp_ = false, helo_given_ = false;
    bool in_content_ = false;
    std::uint64_t announced_size_ = 0;            // by the last MAIL
    bool bare_lf_seen_ = false;
    bool dismissed_ = false;
    bool screened_ = false;                       // it was tested before the greeting, and what it said there counts no more
    bool pipe_connect_ = false;                   // it may speak before the greeting, and behind EHLO
    bool counted_ = false;                        // it is held to smtpd_client_*_limit
    bool may_verp_ = false;                       // it may ask for a return path for each recipient
    std::optional<bool> release_client_;          // smtpd_future_release_clients has it; none: nobody has asked
    std::optional<WallTime> latest_release_;      // as it was offered (FUTURERELEASE); none: it was not
    bool debug_ = false;                          // debug_peer_list has the client
    bool forwarded_client_ = false;               // XFORWARD said of a client
};

}  // namespace posthorn::receive
