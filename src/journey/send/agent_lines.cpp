// Sessions: which mail they get, how they are kept, and when a second one is begun beside a silent one.
#include "send/agent_core.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::send {

namespace {

constexpr std::chrono::minutes reminded_for{1};
constexpr std::size_t reminded_at_most = 1'000, paced_at_least = 1'000;

/// So long a group may be without any answer before a second session is begun.
std::chrono::milliseconds hedge_patience(const peers::Known& known)
{
    return std::max<std::chrono::milliseconds>(std::chrono::seconds(10), 10 * known.slowest);
}

}  // namespace

Transaction* Line::next()
{
    const bool assigned = first != nullptr;
    if (!assigned && limit != 0 && mails >= limit)
        return nullptr;
    if (!assigned && (site.waiting.empty() || site.kin->starving()))
        return nullptr;                 // others of the site come next: a session is for one sender's credentials
    const std::shared_ptr<Job> job = assigned ? first : site.waiting.front();
    std::vector<std::uint32_t> open;
    for (std::size_t i = 0; i < job->sheet.size(); ++i)
        if (job->sheet[i].state == Fate::State::open)
            open.push_back(static_cast<std::uint32_t>(i));
    const std::size_t all = open.size();
    // Those whose refusal may have been another's come last, one by one: they are not to spoil the answers of the others again.
    const auto doubtful = [&](std::uint32_t index) { return job->sheet[index].apart; };
    const bool apart = all != 0 && std::ranges::all_of(open, doubtful);
    if (apart)
        open.resize(1);
    else
        std::erase_if(open, doubtful);
    open = session->askable(job->request, std::move(open));
    if (open.empty() && all != 0)
        return nullptr;                 // it waits for another session
    if (assigned)
        first = nullptr;
    else {
        site.waiting.pop_front();
        job->started = micros(clock->wall());   // it waited for its turn, not for a connection
    }
    job->rest = open.size() < all;
    ++mails;
    if (mails > 1)
        ++counts->reused;
    job->taken = true;
    job->had_session = true;
    job->line = this;
    job->set = set;
    job->profile = profile;
    job->host = session->host();
    job->relay = job->host.relay();
    job->dsn = session->features().has(smtp::Keyword::dsn);
    job->facts = session->facts();
    job->takes_all = session->known().quirks.has(peers::Quirk::verify_useless);
    if (job->connected == 0 || mails > 1)
        job->connected = micros(clock->wall());
    std::vector<HastyRefusal> hasty;
    if (std::optional<Transaction>& before = job->transaction)
        hasty = std::move(before->hasty);
    Transaction& transaction = job->transaction.emplace(job->request, job->content, job->sheet, std::move(open));
    transaction.progress.apart = apart;
    transaction.requires_tls = job->required_with(job->host.next_hop);
    transaction.hasty = std::move(hasty);
    const std::optional<Edited>& edited = job->edited;
    transaction.edited = edited ? &*edited : nullptr;
    jobs.push_back(job);
    return &transaction;
}

void Line::done(Transaction& transaction)
{
    const auto at = std::ranges::find_if(jobs, [&](const auto& job) { return &*job->transaction == &transaction; });
    if (at == jobs.end())
        return;
    const auto job = *at;
    jobs.erase(at);
    job->line = nullptr;
    job->tls_status = tls_status(session->demand(), session->tls_end(), transaction.requires_tls, session->features().has(smtp::Keyword::requiretls));
    job->hear(session->take_heard());
    wants_less = wants_less || job->shaped();
    job->use = transaction.use;
    job->back = true;
    job->wake.notify_all();
}

/// A session with its line and the coroutine that drives it; the place in site.lines is taken already.
void Agent::Core::start(Site& site, std::shared_ptr<Job> job, std::unique_ptr<Session> session)
{
    auto made = std::make_unique<Line>(site, std::move(session), around.executor);
    made->address_ = made->session->host().endpoint.ip.text();
    made->clock = &around.clock;
    made->counts = &counts;
    made->limit = options.keep_mails;
    made->set = job->set;
    made->profile = job->profile;
    made->first = std::move(job);
    ++counts.sessions;
    if (!made->set.empty())
        ++reaches[made->set].open;
    serving.push_front(made.get());
    made->place = serving.begin();
    if (!watching && around.peers && around.peers->obeys()) {
        watching = true;
        tasks.spawn(watch());
    }
    tasks.spawn(drive(std::move(made)));
}

/// The queue manager knows of no ceiling, perhaps since it was started anew: what the set lately took is kept to, and told; from then on it
/// raises that by its own rules. True: another session will have the job.
bool Agent::Core::one_too_many(Job& job, const Site& site)
{
    if (!around.peers || job.request.probe() || job.request.set_connections() != 0)
        return false;
    const std::uint32_t known = around.peers->sessions_at_once(job.set);
    if (known == 0 || site.lines_of_all() <= known)
        return false;
    if (reminded.size() >= reminded_at_most)
        reminded.clear();
    const SteadyTime now = around.clock.steady();
    if (now - reminded.try_emplace(job.set, now).first->second > reminded_for)
        return false;
    job.heard.set_refused_at(known);
    job.heard.set_said(fmt::format("{} sessions at once are what it lately took", known));
    job.crowded = job.one_too_many = true;
    return true;
}

/// A rule lets connections with the MX set begin so often only. False: one may begin now, and counts.
bool Agent::Core::too_soon(Job& job)
{
    if (job.profile.connect_interval.count() == 0 || job.set.empty())
        return false;
    const SteadyTime now = around.clock.steady();
    if (next_connection.size() >= next_connections_looked_at) {
        std::erase_if(next_connection, [now](const auto& one) { return one.second <= now; });
        next_connections_looked_at = std::max(paced_at_least, 2 * next_connection.size());
    }
    SteadyTime& next = next_connection[job.set];
    if (now < next) {
        job.opens_at = next;
        return true;
    }
    next = now + job.profile.connect_interval;
    return false;
}

/// Until a session has the job, or it may open one of its own: a place is free, or the time to connect has come.
awaitable<void> Agent::Core::wait_for_place(std::shared_ptr<Job> job, Site* site, unsigned room)
{
    site->waiting.push_back(job);
    job->enter(job->opens_at ? Before::pace : Before::place, around.clock);
    if (!job->opens_at)
        make_way(*site);
    while (!job->taken && !job->may_open && !job->site_reason && !job->untried) {
        const std::optional<SteadyTime> time = job->opens_at;
        if (!time) {
            co_await job->wake.wait();
            continue;
        }
        if (const SteadyTime now = around.clock.steady(); now < *time) {
            co_await job->wake.wait_for(std::chrono::ceil<std::chrono::milliseconds>(*time - now));
            continue;
        }
        job->opens_at.reset();
        if (site->lines_of_all() < room) {
            std::erase(site->waiting, job);
            co_return;
        }
        job->enter(Before::place, around.clock);
    }
    job->opens_at.reset();
}

/// Where the MX set takes only so many sessions, one that is idle makes room, whichever site it served.
awaitable<void> Agent::Core::make_room(std::shared_ptr<Job> job)
{
    const std::uint32_t ceiling = job->request.set_connections();
    if (ceiling == 0 || job->set.empty())
        co_return;
    reaches[job->set].ceiling = ceiling;
    const auto standing = [&] { return reaches[job->set].open; };
    for (int tries = 0; standing() >= ceiling && tries < 5; ++tries) {
        Line* idle = nullptr;
        for (const auto& [key, site] : sites)
            for (Line* const line : site->idle)
                if (line->set == job->set && !line->forget)
                    idle = line;
        if (!idle)
            break;
        idle->site.idle.remove(idle);
        idle->forget = true;
        idle->wake.notify_all();
        co_await gone.wait_for(std::chrono::seconds(1));
    }
    if (const auto at = reaches.find(job->set); at != reaches.end() && at->second.open == 0)
        reaches.erase(at);
}

/// Looks, once a second, for sessions whose group is not answered, and for those whose content does not arrive.
awaitable<void> Agent::Core::watch()
{
    while (!serving.empty() && !stopping) {
        co_await quiet.wait_for(std::chrono::seconds(1));
        for (Line* const line : serving) {
            if (line->session->lost_on_the_way())
                continue;
            const auto since = line->session->silent_since();
            if (!since || line->hedged || line->jobs.empty() || around.clock.steady() - *since < hedge_patience(line->session->known()))
                continue;
            line->hedged = true;
            if (line->session->suspect() && around.peers->may_replay(line->jobs.front()->site_name()))
                tasks.spawn(begin_beside(line->jobs.front()));
        }
    }
    watching = false;
}

/// A second session with the same host, planned without what the first is suspected of. It has the mail if it is open before the first
/// has answered: only one of them ever has it.
awaitable<void> Agent::Core::begin_beside(std::shared_ptr<Job> job)
{
    const Line* const first = job->line;
    const Host host = job->host;
    auto demand = co_await demand_for(job, host);
    if (!demand)
        co_return;
    auto stream = co_await connect(job, host);
    if (!stream)
        co_return;
    auto session = std::make_unique<Session>(*std::move(stream), host, options, around);
    Session::Wish wish = wish_for(*job, host);
    wish.tls = *std::move(demand);
    const auto trouble = co_await session->open(std::move(wish));
    counts.round_trips += session->round_trips();
    const bool still = first && job->line == first && first->session->silent_since().has_value();
    if (trouble || !still) {
        if (trouble)
            session->close();
        else
            co_await session->goodbye();
        co_return;
    }
    around.log.info("{}: {} gives no answer to a group of commands; a second session says it otherwise", job->queue_id(), host.relay());
    job->hedge = std::move(session);
    first->session->supersede();
}

/// What was given ahead and waits is for the queue to give again: the site may be dead by now, or want less.
void Agent::Core::give_back(Site& site)
{
    std::erase_if(site.waiting, [](const std::shared_ptr<Job>& job) {
        if (!job->request.ahead() || job->resolved || job->had_session || job->shaped())
            return false;
        job->untried = true;
        job->wake.notify_all();
        return true;
    });
}

/// The same for all sites that sessions with these hosts serve.
void Agent::Core::give_back_all_of(const std::string& set)
{
    for (Line* const line : serving)
        if (line->set == set)
            give_back(line->site);
}

/// A line leaves service: one that waits may have its place.
void Agent::Core::leave(Site& left)
{
    Site* next = left.kin->starving();
    if (next == nullptr && left.waiting.empty()) {
        const auto at = std::ranges::find_if(left.kin->sites, [](const Site* one) { return !one->waiting.empty(); });
        next = at == left.kin->sites.end() ? nullptr : *at;
    }
    Site& site = next != nullptr ? *next : left;
    const auto at = std::ranges::find_if(site.waiting, [](const std::shared_ptr<Job>& waiting) { return !waiting->opens_at; });
    if (at == site.waiting.end())
        return;                         // who waits for the time to connect sees to that itself
    const auto job = std::move(*at);
    site.waiting.erase(at);
    ++site.lines;
    job->may_open = true;
    job->wake.notify_all();
}

void Agent::Core::forget_if_empty(const Site& site)
{
    if (site.lines != 0 || site.users != 0)
        return;
    std::erase(site.kin->sites, &site);
    if (site.kin->sites.empty())
        kin.erase(site.base);
    sites.erase(std::string(site.key));
}

/// Probes have sessions of their own: an address check must not wait behind content, nor spoil a session for mail. So has mail whose sender has
/// credentials of its own, or that requires TLS, or does not insist on it.
Site& Agent::Core::site_of(const Job& job, const std::string& policies)
{
    std::string base = job.request.route().site().empty() ? to_lower(job.request.route().nexthop()) : job.request.route().site();
    if (job.request.probe())
        base += "?";
    std::string key = job.credentials ? fmt::format("{}\n{}", *job.credentials, base) : base;
    if (!policies.empty())
        key += "\n" + policies;
    auto& site = sites[key];
    if (!site) {
        site = std::make_unique<Site>();
        site->key = std::move(key);
        site->kept = std::ranges::none_of(job.tls, [](const auto& one) { return one.second && one.second->reuse == false; });
        site->base = std::move(base);
        auto& family = kin[site->base];
        if (!family)
            family = std::make_shared<Kin>();
        family->sites.push_back(site.get());
        site->kin = family;
    }
    return *site;
}

/// Mail waits for a place in its site that an idle session of its kin has.
void Agent::Core::make_way(Site& site)
{
    for (Site* const other : site.kin->sites)
        if (other != &site && !other->idle.empty()) {
            Line* const line = other->idle.back();
            other->idle.pop_back();
            line->forget = true;
            line->wake.notify_all();
            return;
        }
}

Line* Agent::Core::take_idle(Site& site, const std::string& keep_to)
{
    while (!site.idle.empty()) {
        const auto at = std::ranges::find_if(site.idle, [&](const Line* idle) { return keep_to.empty() || idle->address() == keep_to; });
        if (at == site.idle.end())
            return nullptr;
        Line* const line = *at;
        site.idle.erase(at);
        const bool young = around.clock.steady() - line->session->opened() < options.keep_age;
        if (young && (line->tidying || line->session->still_silent()))
            return line;
        line->forget = true;  // its coroutine ends it
        line->wake.notify_all();
    }
    return nullptr;
}

bool Agent::Core::keeps(const Site& site, const Line& line) const
{
    if (stopping || line.forget || !line.session->usable() || line.session->used_up() || site.kin->starving())
        return false;
    if (line.limit != 0 && line.mails >= line.limit)
        return false;
    if (around.clock.steady() - line.session->opened() >= options.keep_age)
        return false;
    if (const auto reach = reaches.find(line.set); reach != reaches.end() && reach->second.ceiling != 0 && reach->second.open > reach->second.ceiling)
        return false;
    if (options.quit_in_group)
        return false;
    const auto listed = [&](const std::string& entry) { return site.base.ends_with(to_lower(entry)); };
    return site.kept && (options.keep_sessions || std::ranges::any_of(options.keep_destinations, listed));
}

awaitable<void> Agent::Core::drive(std::unique_ptr<Line> line)
{
    Site& site = line->site;
    while (true) {
        const std::uint64_t trips = line->session->round_trips();
        co_await line->session->run(line.get(), options.quit_in_group || (!options.keep_sessions && site.waiting.empty()));
        counts.round_trips += line->session->round_trips() - trips;
        if (line->wants_less) {
            give_back(site);
            give_back_all_of(line->set);
        }
        if (line->first) {  // the session ended before it could take it
            const auto job = std::exchange(line->first, nullptr);
            job->transaction.emplace(job->request, job->content, job->sheet, std::vector<std::uint32_t>()).unserved = true;
            job->back = true;
            job->wake.notify_all();
        }
        if (!keeps(site, *line))
            break;
        site.idle.push_front(line.get());
        line->tidying = true;
        co_await line->session->tidy();
        line->tidying = false;
        if (!line->first && !line->forget && line->session->usable())
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
    serving.erase(line->place);
    if (serving.empty())
        quiet.notify_all();
    co_await line->session->goodbye();
    if (const auto reach = reaches.find(line->set); reach != reaches.end() && --reach->second.open == 0)
        reaches.erase(reach);
    gone.notify_all();
}

}  // namespace posthorn::send
