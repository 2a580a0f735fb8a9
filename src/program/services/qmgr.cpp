// The queue manager: sole writer of the spool, owner of the schedule. Parses our own frames, opens no table, talks to no peer.
#include "accounts/params.hpp"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "net/listener.hpp"
#include "peers/store.hpp"
#include "peers/stored.hpp"
#include "peers/stored.pb.h"
#include "process/service.hpp"
#include "route/params.hpp"
#include "schedule/options.hpp"
#include "schedule/params.hpp"
#include "services/delivery_processes.hpp"
#include "services/kept_file.hpp"
#include "services/params.hpp"
#include "services/probes.hpp"
#include "services/programs.hpp"
#include "services/queue_manager.hpp"
#include "services/queue_standby.hpp"
#include "services/records.hpp"
#include "services/showq.hpp"
#include "spool/params.hpp"
#include "spool/spool.hpp"
#include "verify/params.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

namespace posthorn::services {

using handoff::Frame;
using process::May;

namespace {

/// Never retried in place: what the disk took is unknown. The next qmgr reads it from there.
[[noreturn]] void end_at_once(const observe::Log& log, std::string_view what, const Error& error)
{
    log.fatal("{}: {}", what, error.text());
    ::_exit(1);
}

/// What resolve answers, over its socket.
class ResolveLink final : public Resolver {
public:
    ResolveLink(Executor executor, observe::Log log)
        : client_(executor, std::string(resolve_socket), {.channel = {.name = "resolve", .frame_limit = handoff::large_frame}}, {}, {},
                  [log = std::move(log)](Error error) { log.warning("connection to resolve: {}", error.text()); })
    {
    }
    void start() { client_.start(); }
    awaitable<void> close() { co_await client_.close(); }
    awaitable<Result<handoff::RouteReply>> route(handoff::RouteRequest request) override
    {
        return client_.call_again<handoff::RouteReply>(Frame::route, std::move(request));
    }
    awaitable<Result<handoff::RequeueReply>> requeue(handoff::RequeueRequest request, std::vector<Fd> content) override
    {
        return client_.call<handoff::RequeueReply>(Frame::requeue, std::move(request), std::move(content));
    }
    awaitable<Result<handoff::ReportReply>> report(handoff::ReportRequest request) override
    {
        return client_.call_again<handoff::ReportReply>(Frame::report, std::move(request));
    }

private:
    ipc::Client client_;
};

/// What MX sets have asked for, at memory. Nothing waits for that: while memory is away it is not kept.
class RestraintLink {
public:
    using Lift = std::function<void(std::vector<std::string> sets, bool all)>;
    RestraintLink(process::Service& service, Lift lift)
        : lift_(std::move(lift)), memory_(service.executor(), std::string(memory_socket), {.channel = {.name = "memory"}},
                                          [this](ipc::Incoming incoming) { heard(std::move(incoming)); })
    {
    }
    void start() { memory_.start(); }
    awaitable<void> close() { return memory_.close(); }
    void keep(const std::string& set, const std::optional<peers::Restraint>& restraint)
    {
        if (const auto channel = memory_.channel())
            (void)channel->post(Frame::peer_observed, peers::frame_of(set, restraint));
    }
    /// As a process before this one left it.
    static void restore(const process::Service& service, QueueManager& queue)
    {
        peers::StoredShelf shelf(fmt::format("{}/{}", service.start_record().data_directory(), peers::store_name));
        const auto stored = shelf.all();
        if (!stored)
            return service.log().warning("{}; what sites have asked for is heard anew", stored.error().text());
        for (const auto& [set, kept] : stored->restraints)
            queue.restore(set, kept);
    }

private:
    void heard(ipc::Incoming incoming)
    {
        const auto changed = incoming.kind == static_cast<ipc::Kind>(Frame::peers_changed)
                                 ? incoming.parse<peers::stored::Changed>()
                                 : Error{"memory says what is not understood here", "5.5.1"};
        if (!changed)
            return incoming.responder.fail(changed.error());
        if (changed->sets_size() > 0 || changed->all_sets())
            lift_({changed->sets().begin(), changed->sets().end()}, changed->all_sets());
        incoming.responder.reply(peers::stored::ChangedReply{});
    }

    Lift lift_;
    ipc::Client memory_;
};

class QueueService final : public process::Work {
public:
    QueueService(process::Service& service, spool::FileOps& files, std::unique_ptr<spool::Spool> store, QueueStandby& standby)
        : service_(service), log_(service.log()), standby_(standby), order_file_(files, order_file), account_file_(files, account_file),
          moving_file_(files, moving_file), store_(std::move(store)), resolver_(service.executor(), log_),
          delivery_processes_(service.executor(), [this](std::uint32_t process) { queue_.parted(process); }), tasks_(service.executor()),
          restraints_(service, [this](std::vector<std::string> sets, bool all) { queue_.lift(std::move(sets), all); }), dispatcher_(tasks_),
          queue_(service.executor(), *store_, resolver_, workers_, options(service.config()), clock_, log_),
          probes_(service.executor(), resolver_, workers_,
                  {[this] { return queue_.take_attempt(); }, [this] { return queue_.next_queue_id(); },
                   [this](const handoff::Shaping& said, std::string_view site) { queue_.heard_by_probe(said, site); },
                   [this](std::string_view site) { return queue_.silent(site); }, [this](handoff::Route& route) { queue_.choose(route, {}, {}); },
                   [this](const handoff::Route& route, std::string_view address, std::string_view sender) {
                       return queue_.ordered(route, address, sender);
                   }},
                  probe_options(service), clock_, log_)
    {
        queue_.record_to(&service.recorder());
        queue_.held_back = [this] { return standby_.holding(); };
        queue_.may_answer = [this] { return standby_.may_answer(); };
        standby_.on_change([this] { queue_.wake(); });
        workers_.on_missing = [this](std::string_view transport) { service_.want(transport); };
        dispatcher_.on<handoff::ProbeRequest, handoff::ProbeReply>(
            Frame::probe, [this](handoff::ProbeRequest request) { return probes_.probe(std::move(request)); });
        dispatcher_.on<handoff::EnqueueRequest, handoff::EnqueueReply>(Frame::enqueue, [this](handoff::EnqueueRequest request) {
            ++service_.gauges().messages;
            return queue_.enqueue(std::move(request));
        });
        dispatcher_.on<handoff::CommittedQuestion, handoff::CommittedAnswer>(
            Frame::committed, [this](handoff::CommittedQuestion question) { return queue_.committed(std::move(question)); });
        dispatcher_.on_notice<handoff::AnswerNow>(Frame::answer_now, [this](handoff::AnswerNow) { queue_.answer_now(); });
        dispatcher_.on<handoff::IdBlockRequest, handoff::Welcome>(Frame::id_block, [this](handoff::IdBlockRequest) { return queue_.id_block(); });
        dispatcher_.on<handoff::Verdicts, handoff::VerdictsStored>(
            Frame::verdicts, [this](handoff::Verdicts verdicts) { return queue_.late_verdicts(std::move(verdicts)); });
        dispatcher_.on<handoff::SitesQuestion, handoff::SitesReply>(
            Frame::sites, [this](handoff::SitesQuestion question) { return queue_.sites(std::move(question)); });
        dispatcher_.on<handoff::HandOver, handoff::HandOverReply>(Frame::hand_over,
                                                                  [this](handoff::HandOver asked) { return queue_.hand_over(std::move(asked)); });
        dispatcher_.on<handoff::TakeOver, handoff::TakeOverReply>(Frame::take_over,
                                                                  [this](handoff::TakeOver asked) { return queue_.take_over(std::move(asked)); });
        dispatcher_.on<handoff::QueueCommand, handoff::QueueReply>(Frame::queue_command,
                                                                   [this](handoff::QueueCommand command) { return command_(std::move(command)); });
    }

    awaitable<Result<void>> open(std::vector<std::uint32_t> living)
    {
        RestraintLink::restore(service_, queue_);
        OrderFile::Found kept = order_file_.read();
        if (!kept.trouble.empty())
            log_.error("what operators ordered for destinations cannot be read, and their mail goes: {}", kept.trouble);
        if (const std::size_t strange = queue_.restore_orders(kept.message); strange > 0)
            log_.error("{} orders of operators are not understood, and their mail goes: a newer program kept them", strange);
        queue_.keep_orders = [this](handoff::StoredOrders orders) { return order_file_.write(std::move(orders)); };
        AccountFile::Found accounts = account_file_.read();
        if (!accounts.trouble.empty())
            log_.error("who hands mail in, and what operators decided about that, cannot be read, and is counted anew: {}", accounts.trouble);
        queue_.restore_accounts(accounts.message);
        MovingFile::Found moving = moving_file_.read();
        if (!moving.trouble.empty())
            log_.error("where messages were bound for cannot be read: {}", moving.trouble);
        queue_.restore_moving(std::move(moving.message));
        queue_.keep_moving = [this](handoff::StoredMoving wanted) { return moving_file_.write(std::move(wanted)); };
        queue_.on_restraint = [this](const std::string& set, const std::optional<peers::Restraint>& kept) { restraints_.keep(set, kept); };
        delivery_processes_.expect(living);
        return queue_.open(std::move(living), [log = log_](Error error) { end_at_once(log, "read the queue", error); });
    }

    void start() override
    {
        resolver_.start();
        restraints_.start();
        tasks_.spawn(sweep());
        tasks_.spawn(keep_accounts());
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            if (listening.inet || listening.datagram)
                continue;
            // Two sockets are Postfix's: exporters read the one, scripts (postkick) write a letter to the other.
            if (listening.name == "public/showq" || listening.name == "public/qmgr") {
                const bool shows = listening.name == "public/showq";
                listeners_.push_back(std::make_unique<net::Listener>(
                    service_.executor(), std::move(listening.socket),
                    [this, shows](std::unique_ptr<net::Stream> stream) { return shows ? show(std::move(stream)) : woken(std::move(stream)); }));
                listeners_.back()->start();
                continue;
            }
            servers_.push_back(std::make_unique<ipc::Server>(
                service_.executor(), std::move(listening.socket), ipc::ChannelOptions{.name = listening.name, .frame_limit = handoff::large_frame},
                [this](std::weak_ptr<ipc::Channel> channel) { return handler(std::move(channel)); },
                [this](std::shared_ptr<ipc::Channel> channel, Error) { ended(channel); }));
            servers_.back()->start();
        }
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& listener : listeners_)
            co_await listener->close();
        for (const auto& server : servers_)
            co_await server->close();
        co_await probes_.close();
        co_await delivery_processes_.close();
        co_await queue_.close();
        co_await tasks_.close();
        (void)co_await write_accounts();
        co_await resolver_.close();
        co_await restraints_.close();
    }

    Result<process::Reload> reload(const config::Snapshot& snapshot) override
    {
        queue_.reconfigure(options(snapshot));
        probes_.reconfigure(probe_options(service_));
        return process::Reload::in_place;
    }

    void count(handoff::CountersReply& reply) override
    {
        queue_.count(reply);
        standby_.count(reply);
    }

private:
    /// The verify line's own options count, as for the cache.
    static Probes::Options probe_options(process::Service& service)
    {
        const config::Snapshot& snapshot = service.config_for("verify");
        const auto size = [&](const config::Param<int>& parameter) { return static_cast<std::size_t>(snapshot.get(parameter)); };
        return {.sessions = size(verify::address_verify_site_session_limit),
                .pending = size(verify::address_verify_site_pending_limit),
                .failures_cached = snapshot.get(verify::address_verify_negative_cache),
                .syslog_name = service.config().text("syslog_name")};
    }

    QueueOptions options(const config::Snapshot& snapshot)
    {
        QueueOptions made;
        made.retry = schedule::retry_options(snapshot);
        made.accounts = {.watch = snapshot.get(accounts::account_watch),
                         .floor = static_cast<std::uint32_t>(snapshot.get(accounts::account_watch_recipients))};
        made.scheduler = schedule::scheduler_options(snapshot, [this](std::string_view transport) {
            const auto found = capacities_.find(transport);
            return found == capacities_.end() ? schedule::Capacity{} : found->second;
        });
        made.clog_warn_time = snapshot.get(schedule::helpful_warnings) ? snapshot.get(schedule::qmgr_clog_warn_time) : std::chrono::seconds{0};
        made.soft_bounce = snapshot.get(soft_bounce);
        for (const config::ListMember& member : snapshot.get(defer_transports))
            made.defer_transports.push_back(member.text);
        if (auto pools = route::Pools::parse(snapshot.get(route::pooled_transports)))
            made.pools = *std::move(pools);                        // else it was refused where the configuration was read (supervisor)
        made.disable_verp_bounces = snapshot.get(disable_verp_bounces);
        made.confirm_delay_cleared = snapshot.get(confirm_delay_cleared);
        made.retry_schedules = !snapshot.get(route::retry_schedule_maps).empty();
        made.bounce_size_limit = static_cast<std::uint64_t>(snapshot.get(bounce_size_limit));
        made.header_size_limit = static_cast<std::uint64_t>(snapshot.get(header_size_limit));
        made.long_queue_ids = snapshot.get(enable_long_queue_ids);
        made.records = record_options(snapshot);
        made.syslog_name = snapshot.text("syslog_name");
        return made;
    }

    /// Content files whose writer died before the queue heard of them.
    awaitable<void> sweep()
    {
        while (!co_await cancelled()) {
            co_await sleep_for(std::chrono::minutes{5});
            if (co_await cancelled())
                co_return;
            if (const auto swept = co_await store_->sweep(); !swept)
                log_.warning("sweep of the incoming folder: {}", swept.error().text());
            else if (*swept > 0)
                log_.info("removed {} files in the incoming folder that no message names", *swept);
        }
    }

    /// What was counted within the last minutes is lost where this process ends without a word; an operator's word is not (command_).
    awaitable<void> keep_accounts()
    {
        while (!co_await cancelled()) {
            co_await sleep_for(std::chrono::minutes{5});
            if (!co_await cancelled())                       // the last time is stop()'s
                (void)co_await write_accounts();
        }
    }
    awaitable<Result<void>> write_accounts()
    {
        auto accounts = queue_.accounts_to_keep();
        if (!accounts)
            co_return Result<void>{};
        const auto kept = co_await account_file_.write(*std::move(accounts));
        if (!kept) {
            log_.warning("{}", kept.error().text());
            queue_.accounts_not_kept();
        }
        co_return kept;
    }

    ipc::Channel::Handler handler(std::weak_ptr<ipc::Channel> channel)
    {
        return [this, channel = std::move(channel)](ipc::Incoming incoming) {
            if ((incoming.kind == static_cast<ipc::Kind>(Frame::queue_command) && !may_command(channel, incoming)) ||
                (is_the_owners(incoming.kind) && !is_ours(channel)))
                return incoming.responder.fail(Error{"permission denied", "5.7.1"});
            if (incoming.kind != static_cast<ipc::Kind>(Frame::hello))
                return dispatcher_.dispatch(std::move(incoming));
            if (auto hello = incoming.parse<handoff::Hello>())
                tasks_.spawn(welcome(*std::move(hello), channel, std::move(incoming.responder)));
        };
    }

    /// Whoever reaches the socket may look and ask for attempts (postqueue is set-gid for that); the rest is for root and ourselves.
    static bool may_command(const std::weak_ptr<ipc::Channel>& connection, const ipc::Incoming& incoming)
    {
        using handoff::QueueCommand;
        const auto command = incoming.parse<QueueCommand>();
        const auto channel = connection.lock();
        if (!command || !channel)
            return false;
        switch (command->verb()) {
        case QueueCommand::LIST:
        case QueueCommand::FLUSH:
        case QueueCommand::FLUSH_SITE:
        case QueueCommand::SCHEDULE:
        case QueueCommand::STATUS:
        case QueueCommand::STANDBY: return true;
        default: return is_ours(connection);
        }
    }

    static bool is_the_owners(ipc::Kind kind)
    {
        return std::ranges::any_of(std::array{Frame::sites, Frame::hand_over, Frame::take_over},
                                   [=](Frame each) { return kind == static_cast<ipc::Kind>(each); });
    }

    static bool is_ours(const std::weak_ptr<ipc::Channel>& connection)
    {
        const auto channel = connection.lock();
        return channel && (channel->credentials().uid == 0 || channel->credentials().uid == ::geteuid());
    }

    awaitable<void> welcome(handoff::Hello hello, std::weak_ptr<ipc::Channel> connection, ipc::Responder responder)
    {
        const std::string service = hello.service();
        const bool delivers = !hello.program().empty();
        if (const auto channel = connection.lock()) {
            delivery_processes_.joined(channel.get(), hello.process(), delivers);
            if (!delivers)
                workers_.left(channel.get());                 // a delivery process that is about to end says so
            const schedule::Capacity capacity{.deliveries = hello.process_limit(), .ahead = hello.ahead()};
            if (delivers && std::exchange(capacities_[service], capacity) != capacity)
                queue_.reconfigure(options(service_.config()));
        }
        const std::uint32_t process = hello.process();
        if (delivers || hello.held_size() > 0 || hello.flights_size() > 0)
            co_await queue_.reunited(std::move(hello), connection);
        auto block = co_await queue_.id_block();
        if (!block)
            co_return responder.fail(block.error());
        responder.reply(*block);
        if (const auto channel = connection.lock(); channel && delivers) {
            workers_.joined(service, channel, process);              // from here on it is given work
            queue_.wake();
        }
    }

    void ended(const std::shared_ptr<ipc::Channel>& channel)
    {
        workers_.left(channel.get());
        delivery_processes_.left(channel.get());
    }

    awaitable<void> show(std::unique_ptr<net::Stream> stream)
    {
        std::string text = showq_greeting();
        handoff::QueueCommand list;
        list.set_verb(handoff::QueueCommand::LIST);
        for (bool more = true; more;) {
            auto reply = co_await queue_.command(list);
            if (!reply)
                co_return;                            // cut off, as a showq that dies: nobody takes it for the whole
            for (const handoff::QueueEntry& entry : reply->entries())
                text += showq_entry(entry);
            more = reply->more();
            list.set_argument(reply->text());
            if (!more)
                text += showq_end;
            stream->expires_after(std::chrono::minutes{1});       // for each piece: a long queue takes its time
            if (!co_await stream->write(text))
                co_return;
            text.clear();
        }
        stream->close();
    }

    /// qmgr(8): I new mail, W a look at the clock; D, A, F: what is deferred is tried now.
    awaitable<void> woken(std::unique_ptr<net::Stream> stream)
    {
        stream->expires_after(std::chrono::seconds{10});
        std::array<char, 16> letters{};
        const auto got = co_await stream->read_some(letters);
        stream->close();
        queue_.wake();
        if (got && std::string_view(letters.data(), *got).find_first_of("DAF") != std::string_view::npos) {
            handoff::QueueCommand flush;
            flush.set_verb(handoff::QueueCommand::FLUSH);
            (void)co_await queue_.command(std::move(flush));
        }
    }

    awaitable<Result<handoff::QueueReply>> command_(handoff::QueueCommand command)
    {
        using handoff::QueueCommand;
        handoff::QueueReply reply;
        if (command.verb() == QueueCommand::SQL) {
            CO_TRY(const auto rows, co_await store_->query(command.argument(), 100'000, std::chrono::seconds{30}));
            std::string text = fmt::format("{}\n", fmt::join(rows.columns, "\t"));
            for (const auto& row : rows.rows)
                text += fmt::format("{}\n", fmt::join(row, "\t"));
            reply.set_text(std::move(text));
            reply.set_more(rows.truncated);
            reply.set_count(rows.rows.size());
            co_return reply;
        }
        if (command.verb() == QueueCommand::BACKUP) {
            CO_TRY_VOID(co_await write_accounts());              // what is only in memory yet belongs to it
            CO_TRY_VOID(co_await store_->backup(command.argument(), {std::string(order_file.name), std::string(account_file.name),
                                                                     std::string(moving_file.name), std::string(standby::lineage_name)}));
            reply.set_text(command.argument());
            co_return reply;
        }
        if (command.verb() == QueueCommand::STANDBY) {
            *reply.mutable_standby() = standby_.standing();
            co_return reply;
        }
        const bool kept = command.verb() == QueueCommand::ACCOUNT_ORDER;
        auto done = co_await queue_.command(std::move(command));
        if (done && kept)
            if (const auto written = co_await write_accounts(); !written)
                co_return written.error();
        co_return done;
    }

    process::Service& service_;
    observe::Log log_;
    QueueStandby& standby_;
    SystemClock clock_;
    OrderFile order_file_;
    AccountFile account_file_;
    MovingFile moving_file_;
    std::unique_ptr<spool::Spool> store_;
    ResolveLink resolver_;
    WorkerRegistry workers_;
    std::map<std::string, schedule::Capacity, std::less<>> capacities_;
    DeliveryProcesses delivery_processes_;
    TaskGroup tasks_;
    RestraintLink restraints_;
    ipc::Dispatcher dispatcher_;
    QueueManager queue_;
    Probes probes_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
};

void say_what_opening_found(const spool::Opened& opened, const observe::Log& log)
{
    if (opened.orphans > 0)
        log.info("removed {} files in the incoming folder that no message names", opened.orphans);
    if (!opened.salvaged)
        return;
    log.error("the queue was damaged: {} pages could not be read; the damaged file is kept as {}", opened.lost_pages, opened.set_aside);
    for (const std::string& lost : opened.lost)
        log.error("{}", lost);
}

}  // namespace

int serve_qmgr(process::Service& service)
{
    std::vector<std::uint32_t> living = DeliveryProcesses::living();
    service.confine({.may = {May::spool, May::read_message, May::read_state}});
    static SystemClock clock;
    const auto own_files = spool::system_files(std::string(spool_folder));
    const observe::Log log = service.log();
    QueueStandby standby(service, *own_files);
    spool::FileOps& files = standby.files();
    auto store = spool::Spool::open(files, spool::Options::from(service.config()), service.executor(), clock, log,
                                    {.failed = [log](Error error) { end_at_once(log, "the queue failed", error); }});
    if (!store)
        throw std::runtime_error("open the queue: " + store.error().text());
    say_what_opening_found((*store)->opened(), log);
    QueueService work(service, files, *std::move(store), standby);
    if (const auto opened = service.wait(work.open(std::move(living))); !opened)
        throw std::runtime_error("read the queue: " + opened.error().text());
    return service.run(work);
}

}  // namespace posthorn::services
