// services/queue_manager.hpp: the life of a message between two sessions: commit, route, schedule, deliver, verdict, report, removal.
//
// One message:  enqueue() -> admit() -> route -> Scheduler -> deliver() -> settle -> removed, or deferred and admit()ted again.
// Owns     the schedule and what is active; the Store is the truth about everything else.
// Verdicts are settled as they come; failures of one message are gathered until its round ends, so that its sender gets one
// bounce, which is enqueued in the transaction that removes the recipients it names.
#pragma once

#include "accounts/book.hpp"
#include "async/async.hpp"
#include "base/clock.hpp"
#include "handoff/frames.pb.h"
#include "handoff/moving.pb.h"
#include "handoff/queue_id.hpp"
#include "handoff/record.hpp"
#include "handoff/sites.pb.h"
#include "observe/counters.hpp"
#include "observe/log.hpp"
#include "observe/recorder.hpp"
#include "route/pools.hpp"
#include "schedule/orders.hpp"
#include "schedule/scheduler.hpp"
#include "services/own_transports.hpp"
#include "services/queue_tally.hpp"
#include "services/workers.hpp"
#include "spool/store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace posthorn::services {

struct QueueOptions {
    schedule::RetryOptions retry;
    schedule::SchedulerOptions scheduler;
    accounts::Options accounts;
    std::chrono::seconds clog_warn_time{300};        // zero: no warning of a destination that fills the active queue
    bool soft_bounce = false;
    std::vector<std::string> defer_transports;
    route::Pools pools;
    std::uint64_t bounce_size_limit = 50'000;
    bool disable_verp_bounces = false;
    bool confirm_delay_cleared = false;
    bool retry_schedules = false;                    // retry_schedule_maps is set: routes carry what it says
    std::uint64_t header_size_limit = 102'400;
    bool long_queue_ids = false;
    handoff::RecordOptions records;                  // what is told to the recorder
    std::string syslog_name = "postfix";
    std::uint64_t resident_octets = 64 << 20;        // content of active messages kept in memory; the rest is read again
    std::uint64_t carried_octets = 256 << 20;        // content in the memory of delivery processes; past it no delivery starts
    std::uint64_t carried_ahead = 8 << 20;           // past it nothing is given out beyond a site's window
    std::chrono::milliseconds hand_on_interval{1};   // what comes sooner after other new mail waits for company
    std::chrono::milliseconds worker_patience{10'000};   // how long a request waits for a process of its transport: it may be restarting
    std::chrono::milliseconds reunion{5000};         // how long a restarted qmgr waits for delivery processes that live on
};

/// What asks other processes; a test gives its own.
class Resolver {
public:
    virtual ~Resolver() = default;
    virtual awaitable<Result<handoff::RouteReply>> route(handoff::RouteRequest request) = 0;
    virtual awaitable<Result<handoff::ReportReply>> report(handoff::ReportRequest request) = 0;
    virtual awaitable<Result<handoff::RequeueReply>> requeue(handoff::RequeueRequest request, std::vector<Fd> content) = 0;
};

class QueueManager {
public:
    QueueManager(Executor executor, spool::Store& store, Resolver& resolver, Workers& workers, QueueOptions options, const Clock& clock,
                 observe::Log log);
    QueueManager(QueueManager&&) = delete;

    /// New messages may come from here on. What is stored is read meanwhile, in pages; `failed` hears it where that cannot be done. It starts
    /// when it is whole and the delivery processes in `living` (process ids) have said what they hold, or when options.reunion is over.
    awaitable<Result<void>> open(std::vector<std::uint32_t> living, std::function<void(Error)> failed = {});
    /// Returns when all that was stored has been read, as operators' commands and verdicts of before a restart do. False: it ends before that.
    awaitable<bool> whole();
    awaitable<void> close();
    /// Ends without closing the store, as the end of the process would.
    awaitable<void> abandon() { return tasks_.close(); }
    void reconfigure(QueueOptions options);
    /// Who takes records, before open(); none: nobody.
    void record_to(observe::Recorder* recorder) { recorder_ = recorder; }

    awaitable<Result<handoff::EnqueueReply>> enqueue(handoff::EnqueueRequest request);
    /// Nobody waits for a first attempt any longer: what is stored is in the queue.
    void answer_now();
    awaitable<Result<handoff::CommittedAnswer>> committed(handoff::CommittedQuestion question);
    awaitable<Result<handoff::Welcome>> id_block();
    /// A delivery process said hello over `worker`: it goes on with these, and has verdicts of attempts that were asked for before.
    awaitable<void> reunited(handoff::Hello hello, std::weak_ptr<ipc::Channel> worker);
    /// It ended: what it had in hand is tried again. A connection that is lost is not the end of its process (Workers::process_of).
    void parted(std::uint32_t process);
    awaitable<Result<handoff::VerdictsStored>> late_verdicts(handoff::Verdicts verdicts);
    /// What a probe heard of how much its site takes; and whether that wants silence now: why.
    void heard_by_probe(const handoff::Shaping& said, std::string_view site) { hear(said, 0, site, 0, {}); }
    std::optional<std::string> silent(std::string_view site) const { return scheduler_.silent(site); }
    /// What an MX set has asked for, for who keeps it beyond the end of this process; none: nothing is held back any more.
    std::function<void(const std::string& set, const std::optional<peers::Restraint>&)> on_restraint;
    /// What was kept, before open().
    void restore(const std::string& set, const peers::Restraint& kept) { scheduler_.restore(set, kept); }
    /// An operator wants these forgotten, or all.
    void lift(std::vector<std::string> sets, bool all);
    /// Of a pool the route gets a member (Route.pool); `mail`: what is to go by the same one at each try. False: it stays as it is.
    bool choose(handoff::Route& route, std::string_view mail, std::string_view sender) const;
    /// What operators ordered for destinations, as it was kept; before open(). How many of them are not understood here, and not in force.
    std::size_t restore_orders(const handoff::StoredOrders& kept)
    {
        orders_ = schedule::Orders::restored(kept);
        return static_cast<std::size_t>(kept.orders_size()) - orders_.all().size();
    }
    /// Where that is kept: a change is in force when this has returned. None: it ends with this process.
    std::function<awaitable<Result<void>>(handoff::StoredOrders orders)> keep_orders;
    /// Who hands mail in, as it was kept; before open(). What of it is to be kept now; none: nothing has changed since.
    void restore_accounts(const handoff::StoredAccounts& kept);
    std::optional<handoff::StoredAccounts> accounts_to_keep();
    /// That could not be done: the next question has an answer.
    void accounts_not_kept() { accounts_.is_not_stored(); }
    /// Where messages are bound for, as it was kept; before open().
    void restore_moving(handoff::StoredMoving kept) { moving_ = std::move(kept); }
    /// Where that is kept: before it has returned no message is bound for there. None: it ends with this process.
    std::function<awaitable<Result<void>>(handoff::StoredMoving moving)> keep_moving;
    /// While it says so nothing new is taken and no delivery begins: a copy of the queue is required, and is away. None: it never does.
    std::function<bool()> held_back;
    /// While it does not say so what was stored has no answer: a copy is required, and does not have it. wake() when it may.
    std::function<bool()> may_answer;
    /// Why this address is not asked about now; none: no operator ordered anything for its mail.
    std::optional<std::string> ordered(const handoff::Route& route, std::string_view address, std::string_view sender) const;
    /// For requests that are no messages: never given to anyone else.
    std::uint64_t take_attempt() { return scheduler_.take_attempt(); }
    std::string next_queue_id();
    /// A delivery process is there (again): what waited for its transport may go. Or the copy of the queue is.
    void wake()
    {
        wake_.notify_all();
        worker_came_.notify_all();
        copy_changed_.notify_all();
    }

    awaitable<Result<handoff::QueueReply>> command(handoff::QueueCommand command);
    /// Messages go to the queue of another instance, or come from one.
    awaitable<Result<handoff::HandOverReply>> hand_over(handoff::HandOver asked);
    awaitable<Result<handoff::TakeOverReply>> take_over(handoff::TakeOver asked);
    /// Destinations with mail, and what is deferred.
    awaitable<Result<handoff::SitesReply>> sites(handoff::SitesQuestion question);

    struct Counts {
        std::uint64_t enqueued = 0, delivered = 0, deferred = 0, bounced = 0, removed = 0, attempts = 0, refused_to_client = 0, handed_over = 0,
                      taken_over = 0;
    };
    const Counts& counts() const { return counts_; }
    /// Everything that is counted here, for `posthorn counters` and the admin service.
    void count(handoff::CountersReply& reply) const;
    std::size_t waiting() const { return deferred_.size(); }
    std::size_t active() const { return active_.size(); }

private:
    using Key = schedule::MessageKey;

    /// A message between activation and the end of its round.
    struct Active {
        spool::Lease lease;
        handoff::Envelope envelope;                          // without recipients
        std::vector<handoff::Recipient> recipients;          // of this round, by index
        std::vector<handoff::Route> routes;                  // same order
        std::vector<std::uint32_t> tries;                    // before this round, same order; empty: it is the first
        std::unordered_set<std::uint32_t> passed_on;         // whose route is best_mx_transport's: they are not passed on again
        std::string resident;                                // the content; empty: read it from the store
        std::int64_t since = 0;
        bool warned = false;
        bool expiry_logged = false;
        bool ending = false;
        bool removed = false;                                // no recipient is left, or an operator deleted it
        bool deleted = false;                                // the latter
        std::size_t settling = 0;                            // verdicts on their way to the disk
        std::string record_headers;                          // of record_headers, for all its records; empty: none is asked for
        WallTime next_try{};
        WallTime not_before{};                               // its site asked to be left alone until then
        bool only_looked_at = false;                         // this round is about orders alone
        std::uint64_t orders_seen = 0;                       // orders_given_ when this round looked at them
        std::unordered_set<std::uint32_t> returned_by_order; // recipients
        std::vector<handoff::Verdict> failures;              // bounced or expired: settled at the end of the round, with the report
        std::vector<handoff::Verdict> delays;                // deferred ones whose sender is to be warned: likewise
        std::vector<handoff::Verdict> told;                  // for sendmail -bv and -v: every verdict, likewise
    };

    void find_place(const spool::Scheduled& message);
    awaitable<void> read_stored(std::function<void(Error)> failed);
    awaitable<void> drop_file_of(const spool::NewMessage& message);
    awaitable<Result<void>> on_both();
    awaitable<Result<bool>> stored_before(const handoff::Envelope& envelope);
    awaitable<void> take_in(spool::Lease lease, spool::NewMessage message);
    void admit(spool::Lease lease, handoff::Envelope envelope, std::string octets, std::string record_headers);
    awaitable<void> activate_stored(spool::Lease lease);
    awaitable<void> start_round(Key key);
    awaitable<void> hand_on();
    awaitable<bool> find_routes(Key key, std::string* trouble);
    void look_at_schedules(Active& active) const;
    awaitable<void> run();
    void warn_of_clog();
    void follow_the_clock();
    void pump();
    void compose(const schedule::Request& request, handoff::Content& content, const ipc::Channel::Say& say);
    awaitable<void> deliver(schedule::Request request, std::uint64_t carried);
    awaitable<void> not_tried(schedule::Request request, std::uint64_t carried);
    schedule::RoutedRecipient routed(const Active& active, std::uint32_t index) const;
    std::vector<schedule::RoutedRecipient> routed(const schedule::Request& request) const;
    std::optional<OwnVerdict> pass_on(const schedule::Request& request, std::string_view elsewhere);
    static void confirm(ipc::Channel& worker, std::uint64_t attempt);
    awaitable<void> suspend(schedule::Suspended suspended);
    std::vector<std::uint32_t> give_to_others(const schedule::Suspended& suspended);
    bool told_to_wait(std::string_view transport) const;
    schedule::Scheduler::Way way(std::string_view transport, std::string_view site, std::string_view sender) const;
    bool has_another_way(const Active& active, std::string_view site) const;
    awaitable<Result<void>> attach_content(const schedule::Request& request, handoff::Content& content, std::vector<Fd>& descriptors);
    std::vector<handoff::Verdict> without_verdict(std::vector<handoff::Verdict>& verdicts, const std::vector<std::uint32_t>& recipients) const;
    void note_crash(Active& active, std::vector<handoff::Verdict>& verdicts);

    handoff::Verdict own_verdict(std::uint32_t recipient, handoff::Outcome outcome, std::string status, std::string text) const;
    void log_own(const Active& active, const std::vector<handoff::Verdict>& verdicts, std::string_view station) const;
    bool soft(const handoff::Verdict& verdict) const;
    void judge(Active& active, handoff::Verdict& verdict);
    awaitable<void> settle(Key key, std::uint64_t attempt, std::vector<handoff::Verdict> verdicts, std::optional<handoff::SessionFacts> session = {});
    /// What a delivery heard of how much its site takes, and when it may be asked again.
    void hear(const handoff::Shaping& said, std::uint64_t attempt, std::string_view site, Key key, const std::vector<handoff::Verdict>& verdicts);
    void let_follow(const std::string& set);
    void keep_restraints();
    schedule::RetryOptions retry_of(const handoff::Route& route) const;
    schedule::RetryOptions retry_of(const Active& active, const handoff::Verdict& verdict) const;
    WallTime retry_time(const Active& active, const std::vector<handoff::Verdict>& verdicts) const;
    awaitable<void> settle_with_report(Key key, handoff::ReportRequest::Kind kind, std::vector<handoff::Verdict> verdicts);
    awaitable<bool> store(Key key, spool::Settlement settlement);
    awaitable<bool> add_reports(Key key, handoff::ReportRequest::Kind kind, std::vector<handoff::Verdict> verdicts, spool::Settlement* settlement,
                                std::vector<std::string>* lines);
    bool to_be_told_of_success(const Active& active, const handoff::Recipient& recipient, const handoff::Verdict& verdict) const;
    std::vector<std::vector<handoff::Verdict>> report_groups(const Active& active, handoff::ReportRequest::Kind kind,
                                                             std::vector<handoff::Verdict> verdicts) const;
    awaitable<Result<handoff::ReportReply>> report(Key key, handoff::ReportRequest::Kind kind, std::vector<handoff::Verdict> verdicts);
    awaitable<Result<std::string>> beginning(Key key, std::uint64_t most);
    void add_times(const Active& active, const std::vector<handoff::Verdict>& verdicts, handoff::ReportRequest& request) const;
    static void take_reports(handoff::ReportReply& reply, std::vector<spool::NewMessageRef>& reports);

    awaitable<void> round_done(Key key);
    awaitable<void> end_round(Key key);
    void put_off(Key key, WallTime when);
    bool hold_back(Key key, const handoff::Envelope& envelope);
    void forget_active(Key key);
    void gone_if_removed(Key key);

    // queue_records.cpp
    bool records(handoff::RecordType type) const;
    void record_reception(const handoff::Envelope& envelope, std::string_view headers);
    void record_moved(const handoff::Envelope& envelope, const handoff::Moved& moved, std::string_view headers);
    void record_fate(const Active& active, const handoff::Verdict& verdict, handoff::RecordType type, const handoff::SessionFacts* session);
    void record_fate(const Active& active, const handoff::Verdict& verdict, const handoff::SessionFacts* session);
    awaitable<std::string> stored_headers(spool::Lease lease);
    awaitable<std::vector<std::string>> deletion_records(spool::Lease lease);

    // queue_counts.cpp
    void count_place(Key key);
    void count_failure(Key key, std::string_view address, const handoff::Verdict& verdict, std::string_view site);
    void count_verdict(Key key, const Active& active, const handoff::Verdict& verdict);
    void count_stored(const spool::Scheduled& message);

    static std::size_t position(const Active& active, std::uint32_t index);
    static schedule::Manner manner_of(const handoff::Envelope& envelope);
    /// When it is returned, with these times.
    static WallTime gives_up(const handoff::Envelope& envelope, const schedule::RetryOptions& retry);
    std::int64_t now() const { return clock_.wall().time_since_epoch().count(); }
    awaitable<Result<void>> fetch_ids();
    awaitable<void> fetch_ids_in_background();

    // queue_commands.cpp
    awaitable<Result<handoff::QueueReply>> change(handoff::QueueCommand::Verb verb, std::vector<spool::Lease> leases);
    awaitable<Result<std::vector<spool::Lease>>> named(handoff::QueueCommand command);
    awaitable<Result<handoff::QueueReply>> list(std::string cursor, std::uint64_t most);
    awaitable<Result<handoff::QueueReply>> flush(handoff::QueueCommand command);
    awaitable<Result<handoff::QueueReply>> hold(std::vector<spool::Lease> leases);
    void stop_here(Key key);
    awaitable<Result<handoff::QueueReply>> release(std::vector<spool::Lease> leases);
    awaitable<Result<handoff::QueueReply>> expire(std::vector<spool::Lease> leases, bool release);
    awaitable<Result<handoff::QueueReply>> requeue(std::vector<spool::Lease> leases);
    awaitable<Result<void>> requeue_now(spool::Lease lease);
    awaitable<void> requeue_after_round(spool::Lease lease);
    awaitable<Result<spool::NewMessageRef>> cleaned_anew(spool::Lease lease);
    void look_at(Key key);
    void call_back(Key key);
    void no_longer_given(Key key, std::uint64_t attempt);
    awaitable<Result<handoff::Verdicts>> beyond_the_connection(Key key, std::uint64_t attempt, Error lost);
    void forget(Key key);
    awaitable<Result<handoff::QueueReply>> remove(std::vector<spool::Lease> leases);
    awaitable<Result<std::size_t>> remove_some(std::vector<spool::Lease> leases);
    awaitable<Result<handoff::QueueReply>> cat(std::vector<spool::Lease> leases, std::uint64_t offset);
    // queue_moving.cpp
    awaitable<Result<void>> change_moving(std::function<void(handoff::StoredMoving&)> change);
    std::string leaving_text() const;
    void say_what_is_leaving() const;
    std::string without_leaving(std::vector<spool::Lease>& leases) const;
    bool in_hand(Key key) const;
    awaitable<Result<handoff::HandOverReply>> begin_handing_over(handoff::HandOver asked);
    awaitable<Result<handoff::HandOverReply>> offer(handoff::HandOver asked);
    awaitable<Result<handoff::MovingMessage>> as_moving(spool::Lease lease);
    awaitable<Result<handoff::HandOverReply>> handed_over(handoff::HandOver asked);
    awaitable<Result<handoff::HandOverReply>> keep_after_all(handoff::HandOver asked);
    awaitable<Result<handoff::TakeOverReply>> take(handoff::TakeOver asked);
    awaitable<void> take_one(handoff::MovingMessage message, std::string source, std::string name, handoff::TakenMessage* told,
                             std::optional<Error>* unknown);

    // queue_reunion.cpp
    awaitable<void> take_held(handoff::Verdicts verdicts, std::shared_ptr<std::size_t> open);
    void end_foreign(std::uint64_t attempt);
    awaitable<Result<void>> take_in_turn(handoff::Verdicts verdicts);
    awaitable<Result<void>> take_late(handoff::Verdicts verdicts);

    // queue_orders.cpp
    awaitable<Result<void>> change_orders(std::function<Result<void>(schedule::Orders&)> change);
    awaitable<Result<handoff::QueueReply>> give_order(handoff::Order wanted);
    awaitable<Result<handoff::QueueReply>> end_orders(handoff::Order named);
    handoff::QueueReply orders_in_force() const;
    handoff::Order with_counts(handoff::Order order) const;
    static std::string_view order_sender(const handoff::Envelope& envelope);
    const handoff::Order* order_for(const Active& active, std::size_t at) const;
    const handoff::Order* order_beside_pool(Active& active, std::size_t at);
    handoff::Verdict verdict_of(const handoff::Order& order, Active& active, std::uint32_t recipient);
    bool under_order(const schedule::Request& request) const;
    awaitable<void> obey(Key key);
    void take_back_from(const handoff::Order& order);
    awaitable<void> look_through(handoff::Order order);
    bool look_again(Key key) const;
    void look_only(Key key, WallTime next_try);
    bool is_only_looked_at(Key key) const;
    void held_up_by(Key key, std::uint64_t order);
    void held_up_no_more(Key key);
    void remember_orders(const spool::Scheduled& message);
    awaitable<void> expire_orders();
    awaitable<void> orders_earlier(WallTime::duration back);
    void let_go(const std::vector<handoff::Order>& ended, std::string_view why);
    awaitable<void> look_at_all(std::vector<Key> keys);

    // queue_accounts.cpp
    /// False: it is not taken, and the reply says why.
    bool may_hand_in(handoff::Envelope& envelope, handoff::EnqueueReply* reply);
    void tried(const Active& active, bool refused);
    handoff::QueueReply tell_accounts(std::string_view name) const;
    Result<handoff::QueueReply> order_account(const handoff::AccountOrder& order);
    void count_accounts(handoff::CountersReply& reply) const;

    // queue_answers.cpp
    /// A client that waits for what the first attempt at its mail says.
    struct FirstAnswer {
        explicit FirstAnswer(const Executor& executor) : said_now(executor) {}
        Signal said_now;
        bool said = false;
        bool settling = false;                                     // what it is to be told is on its way to the disk: no other answer is true
        std::size_t copies = 0;                                    // delivered to those that the sender hears nothing of
        handoff::EnqueueReply reply;
    };
    awaitable<Result<handoff::EnqueueReply>> first_answer(Key key, std::chrono::milliseconds patience);
    void answer_first(Key key);
    void hear_first(Key key, const Active& active, const handoff::Verdict& verdict);
    bool may_refuse(Key key) const;
    awaitable<void> refuse_to_client(Key key);

    // queue_explain.cpp
    awaitable<Result<handoff::QueueReply>> explain(handoff::QueueCommand command);
    awaitable<Result<handoff::QueueReply>> explain_message(std::string queue_id);
    struct Told;
    awaitable<void> ask_progress(std::shared_ptr<ipc::Channel> worker, handoff::ProgressQuestion question, std::shared_ptr<Told> told);
    awaitable<std::vector<handoff::Progress>> progress_of(Key key);
    awaitable<Result<handoff::QueueReply>> explain_destination(std::string word);
    awaitable<std::vector<handoff::Route>> routes_now(std::string sender, std::vector<std::string> addresses, std::string filter,
                                                      std::string* trouble);
    handoff::SiteStanding standing_of(const std::string& site, const std::string& transport) const;
    void add_share(handoff::Explanation& into, const std::string& site, const std::string& transport) const;
    std::int64_t wall_of(SteadyTime time) const;

    Executor executor_;
    spool::Store& store_;
    Resolver& resolver_;
    Workers& workers_;
    QueueOptions options_;
    const Clock& clock_;
    observe::Log log_;
    schedule::Scheduler scheduler_;
    schedule::Deferred deferred_;
    handoff::QueueIds queue_ids_;
    bool fetching_ids_ = false;
    std::unordered_map<Key, std::uint64_t> epochs_;                // every message in the queue: its lease
    std::unordered_map<Key, Active> active_;
    std::unordered_set<Key> starting_;                             // being read for activation, or requeued: nobody else begins with them
    /// What is known of an attempt whose connection was lost: the process says when it is back whether it has it, or ends.
    enum class Fate { unknown, in_hand, never_came, ended };
    struct Given {
        std::uint64_t attempt;
        std::weak_ptr<ipc::Channel> worker;
        std::uint32_t process;
        bool ours = true;                                          // deliver() waits for it; else it is of before a restart
        Fate fate = Fate::unknown;
        std::optional<handoff::Verdicts> late;                     // told by another connection than the one that asked
    };
    Given* given(Key key, std::uint64_t attempt);
    std::unordered_map<Key, std::vector<Given>> given_;            // what delivery processes have of each message, from before a restart too
    std::unordered_map<const ipc::Channel*, unsigned> unanswered_; // questions to delivery processes what their deliveries wait for
    std::unordered_set<Key> held_;
    std::unordered_set<Key> leaving_;                              // of those, what is bound for another queue
    handoff::StoredMoving moving_;
    bool changing_moving_ = false;
    std::unordered_set<Key> expiring_;                             // to be returned to the sender at the next look
    std::unordered_set<Key> urged_;                                // to be tried once before the time that its sender chose: an operator said so
    std::unordered_set<Key> to_requeue_;                           // when their round ends
    std::unordered_map<Key, std::unordered_set<std::uint32_t>> crashed_;   // recipients in hand when a delivery process ended
    std::unordered_map<std::string, std::unordered_set<Key>> greylisted_;  // by MX set: they may follow the first that passes
    std::size_t greylisted_count_ = 0;
    struct OrderCount {
        std::size_t held_up = 0;                                   // messages
        std::uint64_t returned = 0;                                // recipients
    };
    schedule::Orders orders_;
    accounts::Book accounts_;
    std::unordered_map<Key, FirstAnswer*> first_answers_;          // each on the stack of who waits
    std::unordered_map<std::uint64_t, OrderCount> order_counts_;   // by their numbers
    std::unordered_map<Key, std::vector<std::uint64_t>> held_up_;  // by which orders, at the last look
    std::unordered_map<Key, WallTime> looked_at_;                  // to be looked at for an order, and tried at its own time: that
    std::uint64_t orders_given_ = 0;
    bool changing_orders_ = false, expiring_orders_ = false;
    observe::Recorder* recorder_ = nullptr;
    SteadyTime kept_restraints_{};
    std::unordered_map<std::uint64_t, handoff::Flight> foreign_;   // attempts that a qmgr before this one asked for, still running
    std::unordered_map<std::uint64_t, std::uint32_t> foreign_process_;
    std::unordered_map<Key, std::size_t> foreign_messages_;        // how many of them each message has
    std::unordered_set<Key> uniting_;                              // whose late verdicts are being settled
    std::unordered_set<std::uint32_t> awaited_;                    // delivery processes that have not said hello yet
    unsigned telling_ = 0;                                         // verdicts of before that are on their way into the queue
    std::uint64_t resident_ = 0, carried_ = 0;
    Counts counts_;
    QueueTally tally_;
    observe::Tally<3> results_{500};                               // transport, result, class of the status
    observe::Tally<2> deferrals_{500};                             // transport, reason
    observe::Histogram delay_, transmission_;
    std::vector<Key> fresh_;                                       // active, and not looked at yet
    bool handing_on_ = false;
    SteadyTime handed_on_{};
    bool whole_ = false;                                           // all that was stored at the start has been read
    bool united_ = false;                                          // and delivery processes of before have said what they hold, or had their time
    Signal wake_, worker_came_, copy_changed_, settled_, reunion_, read_, orders_changed_, moving_changed_;
    std::optional<WallTime::duration> wall_ahead_;                 // of the monotonic clock, at the last look
    std::string clogged_by_;                                       // the destination of the last warning of that, and when it was
    SteadyTime clog_said_{}, clog_looked_{};
    SteadyTime resting_until_ = SteadyTime::min();                 // of run()
    TaskGroup tasks_;
};

}  // namespace posthorn::services
