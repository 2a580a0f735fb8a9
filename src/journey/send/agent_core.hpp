// send/agent_core.hpp: what an Agent is made of: requests on their way, sites, lines. Private to agent.cpp, agent_open.cpp and agent_lines.cpp.
// Job     one request, from its first host to its verdicts. Line: a session, and the coroutine that drives it.
// Site    what mail of one site shares. Reach: the sessions with one MX set, whatever sites they serve.
// Places  a line has a place in its site (`lines`) from before it connects until its session does no more work.
#pragma once

#include "base/clock.hpp"
#include "send/agent.hpp"
#include "send/hosts.hpp"
#include "send/session.hpp"
#include "send/tls_trial.hpp"

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <random>
#include <unordered_map>

namespace posthorn::send {

inline std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

struct Line;
struct Site;

/// What a request waits for before a session has it.
enum class Before : std::uint8_t { tables, policies, place, names, room, pace, tls, connection, opening };

/// One request on its way.
struct Job {
    Job(handoff::DeliveryRequest what, const Executor& executor) : request(std::move(what)), wake(executor) {}

    handoff::DeliveryRequest request;
    Content content;
    std::optional<Edited> edited;       // by smtp_generic_maps and the like
    Sheet sheet;
    std::optional<Transaction> transaction;
    Signal wake;
    bool taken = false;                 // a session has it
    bool back = false;                  // and has given it back
    bool may_open = false;              // it waited, and there is room for a session of its own
    std::optional<Reason> site_reason;  // it waited, and the site cannot be reached
    bool untried = false;               // it was given ahead, waited, and goes back to the queue
    bool called_back = false;           // the queue wants it so, as long as it has not begun
    Site* site = nullptr;               // where it waits
    bool fresh = false;                 // no warm session: the last one was of no use
    bool rest = false;                  // the peer takes fewer recipients at once: those left come next
    bool late = false;                  // once: no session of it begins before the greeting
    bool replayed = false;              // once, to clear up what the peer's manners hid
    std::vector<std::string> unreachable;       // for the transcript: connections that could not be had
    std::map<std::string, std::optional<TlsPolicy>> tls;        // by next hop, where tables are asked; none: it may not be talked to
    std::map<std::string, std::optional<RequireTls>> requires_tls;     // by next hop, where it requires TLS; none: how far cannot be told
    bool tls_optional = false;          // TLS-Required: no
    std::string tls_status;             // tls_status() with the last host; empty: nobody was asked what TLS has to be
    bool missed_tls = false;            // a host had not what it requires: no news about whether the site can be reached
    std::vector<Host> hosts;
    std::string set;                    // the MX set that it went to, or goes to
    std::string mx_set;                 // the same as the name service has it, whatever rules and source addresses make of it
    peers::Profile profile;             // what a rule says of it
    handoff::Shaping heard;             // what it asked for
    std::optional<std::string> credentials;     // of its sender, where there are such
    std::string keep_to;                // the address of the host where greylisting counts its time
    std::optional<SteadyTime> opens_at; // not before: a rule lets connections begin so often only
    bool crowded = false;               // a session was refused while others stood: one of those will have it
    bool one_too_many = false;          // it was so
    Line* line = nullptr;               // that has it
    std::unique_ptr<Session> hedge;     // open, for when that one is given up
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
    Before stage = Before::tables;
    SteadyTime stage_since{};
    const Session* opening = nullptr;   // of Before::opening
    std::optional<handoff::SessionFacts> facts;  // of the last session, where records are written

    void enter(Before next, const Clock& clock)
    {
        stage = next;
        stage_since = clock.steady();
    }
    /// With hosts of this next hop.
    RequireTls required_with(const std::string& next_hop) const
    {
        if (requires_tls.empty())
            return RequireTls::disable;
        const auto at = requires_tls.find(next_hop);
        return at != requires_tls.end() ? at->second.value_or(RequireTls::enforce) : RequireTls::enforce;
    }
    const std::string& queue_id() const { return request.envelope().queue_id(); }
    const std::string& site_name() const { return request.route().site().empty() ? request.route().nexthop() : request.route().site(); }
    void hear(const handoff::Shaping& more)
    {
        heard.set_slower(heard.slower() || more.slower());
        heard.set_fewer(heard.fewer() || more.fewer());
        heard.set_suspend(std::max(heard.suspend(), more.suspend()));
        heard.set_passed(heard.passed() || more.passed());
        if (!more.said().empty())
            heard.set_said(more.said());
    }
    /// It was told to come later, or less often: no news about whether its site can be reached.
    bool shaped() const { return heard.slower() || heard.fewer() || heard.suspend() != 0 || one_too_many; }
};

/// Sessions with one MX set, whatever sites they serve.
struct Reach {
    unsigned open = 0;
    std::uint32_t ceiling = 0;          // qmgr's last word; 0: none
};

struct Site;

/// Mail of senders with credentials of their own, and mail that requires TLS, goes to one site in several; what the site may have at once is for all of
/// them together.
struct Kin {
    std::vector<Site*> sites;
    unsigned lines() const;
    /// One whose mail waits and that has no session: the first of those.
    Site* starving() const;
};

/// What mail of one site and of one TLS policy shares, and that requires as much of TLS as the other: a session serves no mail of another.
struct Site {
    std::string key;
    std::string base;  // without what tells it from its kin
    bool kept = true;  // connection_reuse=no: its sessions do not wait for more
    std::shared_ptr<Kin> kin;
    unsigned lines_of_all() const { return kin->lines(); }
    unsigned lines = 0;  // sessions in service or being opened
    unsigned users = 0;  // deliveries under way: with none and no line the site is forgotten
    std::deque<std::shared_ptr<Job>> waiting;
    std::list<Line*> idle;  // the one used last comes first
};

inline unsigned Kin::lines() const
{
    unsigned sum = 0;
    for (const Site* const site : sites)
        sum += site->lines;
    return sum;
}

inline Site* Kin::starving() const
{
    const auto at = std::ranges::find_if(sites, [](const Site* site) { return site->lines == 0 && !site->waiting.empty(); });
    return at == sites.end() ? nullptr : *at;
}

/// A session and the coroutine that drives it.
struct Line final : Feed {
    Line(Site& where, std::unique_ptr<Session> what, const Executor& executor) : site(where), session(std::move(what)), wake(executor) {}

    const std::string& address() const { return session->host().endpoint.is_unix() ? session->host().endpoint.path : address_; }
    Transaction* next() override;
    void done(Transaction& transaction) override;

    Site& site;
    std::unique_ptr<Session> session;
    Signal wake;
    std::shared_ptr<Job> first;  // assigned while idle
    std::vector<std::shared_ptr<Job>> jobs;
    const Clock* clock = nullptr;
    Agent::Counts* counts = nullptr;
    std::uint32_t mails = 0;  // taken
    std::uint32_t limit = 0;  // mails per session; 0: none
    std::string set;
    peers::Profile profile;
    bool forget = false;
    bool wants_less = false;  // its peer has asked for less, or for silence
    bool hedged = false;  // another session was begun beside it
    bool tidying = false;  // idle, and its peer has an answer to give that nobody waits for
    std::list<Line*>::iterator place;  // in Core::serving

    std::string address_;
};

struct Agent::Core {
    Core(Options what, Surroundings with)
        : options(std::move(what)), around(std::move(with)), random(around.seed != 0 ? around.seed : std::random_device{}()), tasks(around.executor),
          auth_failures(around.clock)
    {
        if (!around.auth_failures)
            around.auth_failures = &auth_failures;
        if (!around.helper)
            around.helper = [this]() -> asio::thread_pool& {
                if (!helper)
                    helper = std::make_unique<asio::thread_pool>(1);
                return *helper;
            };
    }

    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content);
    awaitable<void> walk(std::shared_ptr<Job> job, Site* site);
    awaitable<std::unique_ptr<Session>> open(std::shared_ptr<Job> job, const Site* site, Reason* reason);
    awaitable<void> drive(std::unique_ptr<Line> line);
    static void bring_back(Job& job);
    std::vector<Destination> destinations_of(const Job& job) const;
    awaitable<std::string> find_policies(std::shared_ptr<Job> job);
    awaitable<std::string> find_requirements(std::shared_ptr<Job> job);
    awaitable<std::optional<RequireTls>> find_requirement(std::shared_ptr<Job> job, Destination destination);
    awaitable<void> say_goodbye(std::unique_ptr<Session> session);
    TlsDemand policy_alone(const Job& job, const Host& host) const;
    awaitable<Result<TlsDemand>> demand_for(std::shared_ptr<Job> job, Host host);
    awaitable<void> report(Host host, TlsReport report);
    void report_left_out(const Job& job, const Host& host, std::string_view why);
    void report_session(const Session& session);
    bool tries_levels(const Job& job, const Host& host) const;
    void try_level(const Job& job, const Session& session);
    awaitable<void> find_out(TlsSeen seen, handoff::TrialSeen told);
    void say_refused(const handoff::TrialSeen& told, const std::string& relay);
    Line* take_idle(Site& site, const std::string& keep_to);
    void start(Site& site, std::shared_ptr<Job> job, std::unique_ptr<Session> session);
    awaitable<void> resolve(std::shared_ptr<Job> job, Reason* reason);
    void put_unheard_last(std::vector<Host>& hosts) const;
    bool one_too_many(Job& job, const Site& site);
    bool too_soon(Job& job);
    awaitable<void> wait_for_place(std::shared_ptr<Job> job, Site* site, unsigned room);
    awaitable<void> make_room(std::shared_ptr<Job> job);
    Session::Wish wish_for(const Job& job, const Host& host) const;
    awaitable<Result<std::unique_ptr<net::Stream>>> connect(std::shared_ptr<Job> job, Host host);
    awaitable<void> watch();
    awaitable<void> begin_beside(std::shared_ptr<Job> job);
    bool keeps(const Site& site, const Line& line) const;
    void leave(Site& site);
    Site& site_of(const Job& job, const std::string& policies);
    static void make_way(Site& site);
    void give_back(Site& site);
    void give_back_all_of(const std::string& set);
    void forget_if_empty(const Site& site);
    void log_temporary(const Job& job);
    awaitable<handoff::Verdicts> verdicts(std::shared_ptr<Job> whose);
    awaitable<void> classify(std::shared_ptr<Job> job, handoff::Verdict* verdict);
    awaitable<void> filter_status(std::shared_ptr<Job> job, std::size_t index, Fate* fate);
    bool refuse_unfit(Job& job, Fd content);
    awaitable<void> edit(Job& job);

    Options options;
    Surroundings around;
    std::mt19937_64 random;
    TaskGroup tasks;
    std::unordered_map<std::string, std::unique_ptr<Site>> sites;
    std::unordered_map<std::uint64_t, Job*> under_way;  // by attempt
    std::unordered_map<std::string, std::shared_ptr<Kin>> kin;  // by site, without credentials
    AuthFailures auth_failures;
    std::unique_ptr<asio::thread_pool> helper;
    std::unordered_map<std::string, Reach> reaches;  // by MX set; those with a session open
    std::unordered_map<std::string, SteadyTime> next_connection;  // by MX set, where a rule says how often: not before
    std::size_t next_connections_looked_at = 1'000;  // when there are so many: those whose time has come go
    std::unordered_map<std::string, SteadyTime> unheard;  // addresses that did not answer a connection, and when
    std::unordered_map<std::string, SteadyTime> reminded;  // MX sets whose ceiling of an earlier time was told to qmgr, and when
    std::unordered_map<std::string, SteadyTime> trials_said;  // what a level of TLS on trial had kept back, and when that was logged
    std::size_t trials_under_way = 0;
    std::list<Line*> serving;  // lines that may be silent
    Signal gone{around.executor}, quiet{around.executor};
    bool watching = false;
    Counts counts;
    bool stopping = false;
};

}  // namespace posthorn::send
