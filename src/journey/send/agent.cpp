#include "send/agent.hpp"

#include "base/strings.hpp"
#include "handoff/delivery_log.hpp"
#include "net/connect.hpp"
#include "send/hosts.hpp"
#include "send/session.hpp"
#include "send/status_filter.hpp"

#include <deque>
#include <list>
#include <random>
#include <unordered_map>

namespace posthorn::send {

namespace {

constexpr unsigned default_connections = 20;

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

/// CR, LF and the like in an address would be commands.
bool fits_in_a_line(std::string_view address)
{
    return address.size() <= 2048 && std::ranges::none_of(address, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

struct Line;

/// One request on its way.
struct Job {
    Job(handoff::DeliveryRequest what, Executor executor) : request(std::move(what)), wake(std::move(executor)) {}

    handoff::DeliveryRequest request;
    Content content;
    Sheet sheet;
    std::optional<Transaction> transaction;
    Signal wake;
    bool taken = false;                 // a session has it
    bool back = false;                  // and has given it back
    bool may_open = false;              // it waited, and there is room for a session of its own
    std::optional<Reason> site_reason;  // it waited, and the site cannot be reached
    bool fresh = false;                 // no warm session: the last one was of no use
    bool rest = false;                  // the peer takes fewer recipients at once: those left come next
    bool late = false;                  // once: no session of it begins before the greeting
    bool replayed = false;              // once, to clear up what the peer's manners hid
    std::vector<std::string> unreachable;       // for the transcript: connections that could not be had
    std::vector<Host> hosts;
    bool resolved = false;
    std::size_t next_host = 0;
    unsigned sessions = 0;
    bool had_session = false;
    Host host;                          // of the last session
    bool dsn = false;
    bool takes_all = false;             // so the rule file
    std::string relay = "none", failed_relay = "none";
    std::uint32_t use = 0;
    std::int64_t started = 0, connected = 0;

    const std::string& queue_id() const { return request.envelope().queue_id(); }
    const std::string& site_name() const { return request.route().site().empty() ? request.route().nexthop() : request.route().site(); }
};

/// What mail of one site shares.
struct Site {
    std::string key;
    unsigned lines = 0;                 // sessions in service or being opened
    unsigned users = 0;                 // deliveries under way: with none and no line the site is forgotten
    std::deque<std::shared_ptr<Job>> waiting;
    std::list<Line*> idle;              // the one used last comes first
};

/// A session and the coroutine that drives it.
struct Line final : Feed {
    Line(Site& where, std::unique_ptr<Session> what, Executor executor) : site(where), session(std::move(what)), wake(std::move(executor)) {}

    Transaction* next() override;
    void done(Transaction& transaction) override;

    Site& site;
    std::unique_ptr<Session> session;
    Signal wake;
    std::shared_ptr<Job> first;         // assigned while idle
    std::vector<std::shared_ptr<Job>> jobs;
    const Clock* clock = nullptr;
    Agent::Counts* counts = nullptr;
    std::uint32_t mails = 0;            // taken
    std::uint32_t limit = 0;            // mails per session; 0: none
    bool forget = false;
};

Transaction* Line::next()
{
    const bool assigned = first != nullptr;
    if (!assigned && limit != 0 && mails >= limit)
        return nullptr;
    if (!assigned && site.waiting.empty())
        return nullptr;
    const std::shared_ptr<Job> job = assigned ? first : site.waiting.front();
    std::vector<std::uint32_t> open;
    for (std::size_t i = 0; i < job->sheet.size(); ++i)
        if (job->sheet[i].state == Fate::State::open)
            open.push_back(static_cast<std::uint32_t>(i));
    const std::size_t all = open.size();
    open = session->askable(job->request, std::move(open));
    if (open.empty() && all != 0)
        return nullptr;                 // it waits for another session
    if (assigned)
        first = nullptr;
    else
        site.waiting.pop_front();
    job->rest = open.size() < all;
    ++mails;
    if (mails > 1)
        ++counts->reused;
    job->taken = true;
    job->had_session = true;
    job->host = session->host();
    job->relay = job->host.relay();
    job->dsn = session->features().has(smtp::Keyword::dsn);
    job->takes_all = session->known().quirks.has(peers::Quirk::verify_useless);
    if (job->connected == 0 || mails > 1)
        job->connected = micros(clock->wall());
    job->transaction.emplace(job->request, job->content, job->sheet, std::move(open));
    jobs.push_back(job);
    return &*jobs.back()->transaction;
}

void Line::done(Transaction& transaction)
{
    const auto at = std::ranges::find_if(jobs, [&](const auto& job) { return &*job->transaction == &transaction; });
    if (at == jobs.end())
        return;
    const auto job = *at;
    jobs.erase(at);
    job->use = transaction.use;
    job->back = true;
    job->wake.notify_all();
}

}  // namespace

struct Agent::Core {
    Core(Options what, Surroundings with)
        : options(std::move(what)), around(std::move(with)), random(around.seed != 0 ? around.seed : std::random_device{}()), tasks(around.executor)
    {
    }

    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content);
    awaitable<void> walk(std::shared_ptr<Job> job, Site* site);
    awaitable<std::unique_ptr<Session>> open(std::shared_ptr<Job> job, Reason* reason);
    awaitable<void> drive(std::unique_ptr<Line> line);
    static void bring_back(Job& job);
    Line* take_idle(Site& site);
    bool keeps(const Site& site, const Line& line) const;
    void leave(Site& site);
    void forget_if_empty(const Site& site);
    void log_temporary(const Job& job);
    awaitable<handoff::Verdicts> verdicts(std::shared_ptr<Job> whose);
    awaitable<void> filter_status(std::shared_ptr<Job> job, std::size_t index, Fate* fate);
    bool refuse_unfit(Job& job, Fd content);

    Options options;
    Surroundings around;
    std::mt19937_64 random;
    TaskGroup tasks;
    std::unordered_map<std::string, std::unique_ptr<Site>> sites;
    Counts counts;
    bool stopping = false;
};

bool Agent::Core::refuse_unfit(Job& job, Fd content)
{
    const handoff::Envelope& envelope = job.request.envelope();
    if (stopping)
        job.sheet.fail_open(Reason(false, "4.3.2", "mail system is stopping"));
    if (!fits_in_a_line(envelope.sender()))
        job.sheet.fail_open(Reason(true, "5.1.7", "bad address syntax"));
    for (int i = 0; i < envelope.recipients_size(); ++i)
        if (envelope.recipients(i).address().empty() || !fits_in_a_line(envelope.recipients(i).address()))
            job.sheet.fail(static_cast<std::size_t>(i), Reason(true, "5.1.3", "bad address syntax"));
    if (content) {
        auto opened = Content::of(std::move(content));
        if (opened)
            job.content = *std::move(opened);
        else
            job.sheet.fail_open(Reason(false, "4.3.0", opened.error().text()));
    } else
        job.content = Content(job.request.content().inline_octets());
    return job.sheet.settled();
}

awaitable<handoff::Verdicts> Agent::Core::deliver(handoff::DeliveryRequest request, Fd content)
{
    auto job = std::make_shared<Job>(std::move(request), around.executor);
    job->sheet = Sheet(static_cast<std::size_t>(job->request.envelope().recipients_size()));
    job->started = micros(around.clock.wall());
    ++counts.deliveries;
    counts.recipients += job->sheet.size();
    if (!refuse_unfit(*job, std::move(content))) {
        // Probes have sessions of their own: an address check must not wait behind content, nor spoil a session for mail.
        std::string key = job->request.route().site().empty() ? to_lower(job->request.route().nexthop()) : job->request.route().site();
        if (job->request.probe())
            key += "?";
        auto& site = sites[key];
        if (!site) {
            site = std::make_unique<Site>();
            site->key = key;
        }
        Site* const place = site.get();
        ++place->users;
        co_await walk(job, place);
        --place->users;
        forget_if_empty(*place);
    }
    co_return co_await verdicts(job);
}

/// From host to host until every recipient has a final fate, or no host is left.
awaitable<void> Agent::Core::walk(std::shared_ptr<Job> job, Site* site)
{
    const unsigned room = job->request.connections() != 0 ? job->request.connections() : default_connections;
    for (bool again = true; again;) {
        if (!std::exchange(job->rest, false))
            job->sheet.reopen();
        job->taken = job->back = job->may_open = false;
        job->site_reason.reset();
        if (Line* const line = job->fresh ? nullptr : take_idle(*site)) {
            line->first = job;
            line->wake.notify_all();
        } else {
            if (site->lines >= room) {
                site->waiting.push_back(job);
                while (!job->taken && !job->may_open && !job->site_reason)
                    co_await job->wake.wait();
                if (job->site_reason) {
                    job->sheet.fail_open(*job->site_reason);
                    co_return;
                }
            }
            if (!job->taken) {
                if (!job->may_open)
                    ++site->lines;                                  // else the place was handed over
                Reason reason;
                auto session = co_await open(job, &reason);
                if (!session) {
                    job->sheet.fail_open(reason);
                    if (--site->lines == 0)
                        for (const auto& other : std::exchange(site->waiting, {})) {
                            other->site_reason = reason;            // nobody waits in turn for a dead site
                            other->wake.notify_all();
                        }
                    else
                        leave(*site);
                    co_return;
                }
                auto made = std::make_unique<Line>(*site, std::move(session), around.executor);
                made->first = job;
                made->clock = &around.clock;
                made->counts = &counts;
                made->limit = options.keep_mails;
                ++counts.sessions;
                tasks.spawn(drive(std::move(made)));
            }
        }
        while (!job->back)
            co_await job->wake.wait();
        if (job->sheet.all_final())
            co_return;
        if (job->transaction->unserved) {
            job->fresh = true;                                      // the peer had had enough of that session: nothing was lost
            if (job->transaction->late && !std::exchange(job->late, true) && job->resolved)
                bring_back(*job);
            continue;
        }
        // A warm session's host is one of those to come: do not go back to it.
        if (!job->resolved) {
            Hosts hosts = co_await find_hosts(job->request.route().nexthop(), &options, &around, &random);
            job->hosts = std::move(hosts.list);
            job->resolved = true;
            ++job->sessions;
        }
        if (job->rest) {
            // Those not asked yet are open; what was refused for now stays so until all were asked. Where nobody was served, that is all.
            job->rest = std::ranges::any_of(job->transaction->recipients, [&](std::uint32_t index) { return job->sheet[index].final(); });
            if (job->rest) {
                bring_back(*job);
                continue;
            }
            for (const std::uint32_t index : job->transaction->recipients)
                if (job->sheet[index].state == Fate::State::failed)
                    job->sheet.fail_open(Reason(job->sheet[index].reason));
        }
        if (job->transaction->late && !std::exchange(job->late, true)) {
            bring_back(*job);
            job->fresh = true;
            continue;
        }
        if (job->transaction->cut_short) {
            job->rest = true;
            job->fresh = true;
            bring_back(*job);
            continue;
        }
        if (job->transaction->replay && !std::exchange(job->replayed, true)) {
            bring_back(*job);
            job->fresh = true;
            continue;
        }
        std::erase_if(job->hosts,
                      [&](const Host& host) { return host.endpoint == job->host.endpoint && &host >= job->hosts.data() + job->next_host; });
        again = job->next_host < job->hosts.size() && (options.session_limit == 0 || job->sessions < options.session_limit);
        job->fresh = true;
        if (again)
            log_temporary(*job);
    }
}

/// The host of the last session is the next one to try, and that session is not counted.
void Agent::Core::bring_back(Job& job)
{
    job.hosts.insert(job.hosts.begin() + static_cast<std::ptrdiff_t>(job.next_host), job.host);
    job.resolved = true;
    job.sessions -= job.sessions != 0 ? 1 : 0;
}

/// A line leaves service: one that waits may have its place.
void Agent::Core::leave(Site& site)
{
    if (site.waiting.empty())
        return;
    const auto job = std::move(site.waiting.front());
    site.waiting.pop_front();
    ++site.lines;
    job->may_open = true;
    job->wake.notify_all();
}

void Agent::Core::forget_if_empty(const Site& site)
{
    if (site.lines == 0 && site.users == 0)
        sites.erase(std::string(site.key));
}

Line* Agent::Core::take_idle(Site& site)
{
    while (!site.idle.empty()) {
        Line* const line = site.idle.front();
        site.idle.pop_front();
        const bool young = around.clock.steady() - line->session->opened() < options.keep_age;
        if (young && line->session->still_silent())
            return line;
        line->forget = true;  // its coroutine ends it
        line->wake.notify_all();
    }
    return nullptr;
}

bool Agent::Core::keeps(const Site& site, const Line& line) const
{
    if (stopping || line.forget || !line.session->usable() || line.session->used_up())
        return false;
    if (line.limit != 0 && line.mails >= line.limit)
        return false;
    if (around.clock.steady() - line.session->opened() >= options.keep_age)
        return false;
    if (options.quit_in_group)
        return false;
    const auto listed = [&](const std::string& entry) { return site.key.ends_with(to_lower(entry)); };
    return options.keep_sessions || std::ranges::any_of(options.keep_destinations, listed);
}

awaitable<void> Agent::Core::drive(std::unique_ptr<Line> line)
{
    Site& site = line->site;
    while (true) {
        const std::uint64_t trips = line->session->round_trips();
        co_await line->session->run(line.get(), options.quit_in_group || (!options.keep_sessions && site.waiting.empty()));
        counts.round_trips += line->session->round_trips() - trips;
        if (line->first) {  // the session ended before it could take it
            const auto job = std::exchange(line->first, nullptr);
            job->transaction.emplace(job->request, job->content, job->sheet, std::vector<std::uint32_t>());
            job->transaction->unserved = true;
            job->back = true;
            job->wake.notify_all();
        }
        if (!keeps(site, *line))
            break;
        site.idle.push_front(line.get());
        co_await line->wake.wait_for(options.keep_idle);
        if (!line->first) {
            site.idle.remove(line.get());
            break;
        }
    }
    // A place is free as soon as the session does no more work; the goodbye is nobody's wait.
    --site.lines;
    leave(site);
    forget_if_empty(site);
    co_await line->session->goodbye();
}

/// The next host that takes a session; none, and why.
awaitable<std::unique_ptr<Session>> Agent::Core::open(std::shared_ptr<Job> job, Reason* reason)
{
    if (!job->resolved) {
        Hosts hosts = co_await find_hosts(job->request.route().nexthop(), &options, &around, &random);
        job->resolved = true;
        job->hosts = std::move(hosts.list);
        *reason = std::move(hosts.reason);
        if (job->hosts.empty()) {
            job->relay = "none";
            co_return nullptr;
        }
    }
    bool in_clear = false;
    while (job->next_host < job->hosts.size()) {
        if (options.session_limit != 0 && job->sessions >= options.session_limit)
            break;
        const Host host = job->hosts[job->next_host];
        const std::string relay = host.relay();
        net::ConnectOptions how(options.timeouts.connect);
        how.bind = host.endpoint.ip.is_v6() ? options.bind6 : options.bind4;
        how.bind_enforced = options.bind_enforced;
        auto stream = around.connector ? co_await around.connector(host.endpoint, how) : co_await net::connect(around.executor, host.endpoint, how);
        if (around.peers)
            around.peers->connected(job->site_name(), stream.has_value());
        if (!stream) {
            ++counts.failed_connects;
            *reason = Reason(false, stream.error().status().empty() ? "4.4.1" : stream.error().status(),
                             fmt::format("connect to {}: {}", relay, stream.error().what()));
            around.log.info("{}", reason->text);
            job->unreachable.push_back(reason->text);
            job->relay = "none";
            ++job->next_host;
            in_clear = false;
            continue;
        }
        auto session = std::make_unique<Session>(*std::move(stream), host, options, around);
        Session::Wish wish;
        wish.queue_id = job->queue_id();
        wish.next_hop = job->request.route().nexthop();
        wish.site = job->site_name();
        wish.age = std::chrono::microseconds(micros(around.clock.wall()) - job->request.envelope().arrival());
        wish.in_clear = in_clear;
        wish.probes = job->request.probe();
        wish.late = job->late;
        wish.before = std::exchange(job->unreachable, {});
        auto trouble = co_await session->open(std::move(wish));
        counts.round_trips += session->round_trips();
        if (!trouble) {
            ++job->next_host;
            ++job->sessions;
            job->connected = micros(around.clock.wall());
            co_return session;
        }
        session->close();
        *reason = std::move(trouble->reason);
        job->relay = relay;
        if (trouble->late && !std::exchange(job->late, true))
            continue;  // it was our haste, or looked so
        if (!job->replayed && session->planned_otherwise() && around.peers->may_replay(job->site_name())) {
            job->replayed = true;
            continue;
        }
        if (trouble->try_in_clear && !in_clear) {
            in_clear = true;  // the same host, once, as level may allows
            continue;
        }
        in_clear = false;
        ++job->next_host;
        job->sessions += trouble->greeted ? 1 : 0;
        if (reason->permanent)
            break;
        if (job->next_host < job->hosts.size())
            around.log.info("{}: {}", job->queue_id(), reason->text);
    }
    if (!job->unreachable.empty() && around.transcripts) {
        Recorder recorder(around.transcripts, around.clock);
        recorder.begin("", job->site_name(), job->request.probe());
        for (std::string& remark : std::exchange(job->unreachable, {}))
            recorder.remark(std::move(remark));
        recorder.failed(job->queue_id(), reason->text);
    }
    co_return nullptr;
}

/// "QID: host H[A] said: ...": why the next host is tried.
void Agent::Core::log_temporary(const Job& job)
{
    const std::string* said = nullptr;
    for (std::size_t i = 0; i < job.sheet.size(); ++i) {
        const Fate& fate = job.sheet[i];
        if (fate.state != Fate::State::failed || fate.reason.permanent || (said && *said == fate.reason.text))
            continue;
        said = &fate.reason.text;
        around.log.info("{}: {}", job.queue_id(), fate.reason.text);
    }
}

/// smtp_delivery_status_filter. What cannot be asked returns no mail.
awaitable<void> Agent::Core::filter_status(std::shared_ptr<Job> job, std::size_t index, Fate* fate)
{
    *fate = job->sheet[index];
    if (!around.status_filter)
        co_return;
    const bool delivered = fate->state == Fate::State::delivered;
    std::string& status = delivered ? fate->status : fate->reason.status;
    std::string& text = delivered ? fate->text : fate->reason.text;
    const std::string_view name = options.lmtp ? "lmtp_delivery_status_filter" : "smtp_delivery_status_filter";
    const auto found = co_await around.status_filter->find(fmt::format("{} {}", status, text));
    if (!found) {
        around.log.warning("{}: {}: {}", job->queue_id(), name, found.error().text());
        fate->reason.permanent = false;
        if (!delivered)
            status.replace(0, 1, "4");
    } else if (*found) {
        auto replaced = replaced_by(status, **found);
        if (!replaced) {
            around.log.warning("{}: {}: {}", job->queue_id(), name, replaced.error().text());
            co_return;
        }
        status = std::move(replaced->status);
        text = std::move(replaced->text);
        fate->reason.permanent = status.starts_with('5');
    }
}

awaitable<handoff::Verdicts> Agent::Core::verdicts(std::shared_ptr<Job> whose)
{
    Job& job = *whose;
    // The promise is kept here, whatever happened before: who has no fate by now is deferred.
    job.sheet.fail_open(Reason(false, "4.3.0", "delivery ended without an answer"));
    handoff::Verdicts all;
    all.set_attempt(job.request.attempt());
    all.set_message(job.request.message());
    all.set_site_failed(!job.had_session);
    const handoff::Envelope& envelope = job.request.envelope();
    const std::int64_t now = micros(around.clock.wall());
    const bool probe = job.request.probe() || envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS;
    // sendmail -bv is a message of the queue, and keeps nothing; a probe of memory's is none.
    const bool cached = options.failed_probes_cached || job.request.message() != 0;
    for (int i = 0; i < envelope.recipients_size(); ++i) {
        const handoff::Recipient& recipient = envelope.recipients(i);
        Fate fate;
        co_await filter_status(whose, static_cast<std::size_t>(i), &fate);
        handoff::Verdict& verdict = *all.add_verdicts();
        verdict.set_recipient(recipient.index());
        verdict.set_relay(job.relay);
        verdict.set_connected(job.connected);
        verdict.set_finished(now);
        bool soft = false;
        if (fate.state == Fate::State::delivered) {
            verdict.set_outcome(handoff::OUTCOME_DELIVERED);
            verdict.set_status(fate.status);
            verdict.set_text(fate.text);
            verdict.set_diagnostic(fate.text);
            verdict.set_remote_mta(job.host.name);
            // A peer with DSN took NOTIFY over: whether to report success is its affair now (RFC 3461 6.2.1).
            verdict.set_action(job.dsn ? "" : "relayed");
            verdict.set_takes_all(probe && job.takes_all);
        } else {
            soft = fate.reason.permanent && options.soft_bounce && !probe;
            const bool permanent = fate.reason.permanent && !soft;
            verdict.set_outcome(!permanent ? handoff::OUTCOME_DEFERRED : probe ? handoff::OUTCOME_UNDELIVERABLE : handoff::OUTCOME_BOUNCED);
            verdict.set_status(soft ? "4" + fate.reason.status.substr(1) : fate.reason.status);
            verdict.set_text(fate.reason.text);
            verdict.set_diagnostic(fate.reason.diagnostic);
            verdict.set_remote_mta(fate.reason.remote);
            verdict.set_action(permanent ? "failed" : "delayed");
        }
        const handoff::DeliveryTimes times{.arrival = envelope.arrival(),
                                           .active = job.request.active_since(),
                                           .connecting = job.started,
                                           .connected = job.connected,
                                           .finished = now};
        around.log.write(observe::Level::info, handoff::delivery_line(job.queue_id(), recipient, verdict, times,
                                                                      soft ? "SOFTBOUNCE" : handoff::status_word(verdict.outcome(), probe, cached),
                                                                      job.use, options.delay_digits));
    }
    co_return all;
}

Agent::Agent(Options options, Surroundings surroundings) : core_(std::make_unique<Core>(std::move(options), std::move(surroundings))) {}

Agent::~Agent() = default;

awaitable<handoff::Verdicts> Agent::deliver(handoff::DeliveryRequest request, Fd content)
{
    return core_->deliver(std::move(request), std::move(content));
}

void Agent::forget_sessions()
{
    for (const auto& [key, site] : core_->sites)
        for (Line* const line : std::exchange(site->idle, {})) {
            line->forget = true;
            line->wake.notify_all();
        }
}

awaitable<void> Agent::drain()
{
    core_->stopping = true;
    forget_sessions();
    co_await core_->tasks.drained();
}

const Agent::Counts& Agent::counts() const { return core_->counts; }

}  // namespace posthorn::send
