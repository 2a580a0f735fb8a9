// Where a mail goes and how a session with such a host is had: hosts, those that did not answer last, what TLS has to be, the next host that
// takes one.
#include "send/agent_core.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "net/connect.hpp"

#include <algorithm>

namespace posthorn::send {

namespace {

constexpr std::chrono::minutes unheard_for{10};
constexpr std::size_t unheard_at_most = 10'000;

/// What an MX set takes, it takes from an address: one that we send from by another has not asked anything of this one.
std::string seen_from(std::string set, const Options& options)
{
    if (set.empty() || (!options.bind4 && !options.bind6))
        return set;
    set += " from ";
    if (options.bind4)
        set += options.bind4->text();
    if (options.bind6)
        set += (options.bind4 ? "," : "") + options.bind6->text();
    return set;
}

}  // namespace

awaitable<void> Agent::Core::resolve(std::shared_ptr<Job> job, Reason* reason)
{
    job->enter(Before::names, around.clock);
    Hosts hosts = co_await find_hosts(job->request.route().nexthop(), &options, &around, &random);
    job->resolved = true;
    job->hosts = std::move(hosts.list);
    job->mx_set = hosts.set;
    job->set = std::move(hosts.set);
    *reason = std::move(hosts.reason);
    if (job->hosts.empty())
        co_return;
    if (around.peers) {
        const Host& first = job->hosts.front();
        job->profile = around.peers->profile(to_lower(first.name), to_lower(first.domain));
        if (!job->profile.site.empty())
            job->set = job->profile.site;
    }
    job->set = seen_from(std::move(job->set), options);
    put_unheard_last(job->hosts);
    const auto kept = std::ranges::find_if(job->hosts, [&](const Host& host) { return host.endpoint.ip.text() == job->keep_to; });
    if (!job->keep_to.empty() && kept != job->hosts.end())
        std::rotate(job->hosts.begin(), kept, kept + 1);
}

/// A host that lets a connection time out costs every session that time: for a while it is tried behind those that answer.
void Agent::Core::put_unheard_last(std::vector<Host>& hosts) const
{
    if (unheard.empty() || !options.fallback_relays.empty())        // those stand behind all hosts of the destination
        return;
    const auto was_unheard = [&](const Host& host) {
        const auto at = unheard.find(host.endpoint.ip.text());
        return at != unheard.end() && around.clock.steady() - at->second < unheard_for;
    };
    std::vector<Host> ordered;
    for (const bool unheard_ones : {false, true})
        for (Host& host : hosts)
            if (was_unheard(host) == unheard_ones)
                ordered.push_back(host);
    hosts = std::move(ordered);
}

Session::Wish Agent::Core::wish_for(const Job& job, const Host& host) const
{
    Session::Wish wish;
    wish.queue_id = job.queue_id();
    wish.next_hop = job.request.route().nexthop();
    wish.site = job.site_name();
    wish.rule_site = job.profile.site;
    wish.mx_set = job.mx_set;
    wish.credentials = job.credentials;
    wish.age = std::chrono::microseconds(micros(around.clock.wall()) - job.request.envelope().arrival());
    wish.probes = job.request.probe();
    wish.late = job.late;
    wish.requires_tls = job.required_with(host.next_hop);
    return wish;
}

/// All that this job may be given to, each once: its next hop, then fallback relays.
std::vector<Destination> Agent::Core::destinations_of(const Job& job) const
{
    std::vector<std::string> next_hops{job.request.route().nexthop()};
    next_hops.insert(next_hops.end(), options.fallback_relays.begin(), options.fallback_relays.end());
    std::vector<Destination> all;
    for (const std::string& text : next_hops)
        if (const auto some = parse_nexthop(text, options.port, options.lmtp))
            for (const Destination& one : *some)
                if (std::ranges::none_of(all, [&one](const Destination& before) { return before.text == one.text; }))
                    all.push_back(one);
    return all;
}

/// What the tables, and domains themselves, say of these; what tells it from other policies.
awaitable<std::string> Agent::Core::find_policies(std::shared_ptr<Job> job)
{
    std::string told;
    if (!around.tls_policy && !around.sts)
        co_return told;
    const std::vector<Destination> destinations = destinations_of(*job);
    for (const Destination& one : destinations) {
        FoundTlsPolicy found = co_await find_tls_policy(one, &options, &around);
        if (around.tls_policy || !found.tells_apart.empty())
            told += found.tells_apart + "\n";
        job->tls.emplace(one.text, std::move(found.policy));
    }
    co_return told;
}

/// smtp_requiretls_policy for one next hop; none: it cannot be told.
awaitable<std::optional<RequireTls>> Agent::Core::find_requirement(std::shared_ptr<Job> job, Destination destination)
{
    RequireTls found = RequireTls::enforce;
    if (around.requiretls_policy) {
        const std::string name =
            destination.unix_path.empty() ? to_lower(dns::to_a_labels(destination.name).value_or(destination.name)) : options.my_name;
        const auto said = co_await around.requiretls_policy->find(name);
        if (!said)
            co_return std::nullopt;
        if (const std::optional<std::string>& word = *said) {
            const auto level = require_tls_of(*word);
            if (!level) {
                around.log.warning("{}_requiretls_policy, next-hop destination \"{}\": unknown action \"{}\"", options.lmtp ? "lmtp" : "smtp",
                                   printable(name, true), printable(*word, true));
                co_return std::nullopt;
            }
            found = *level;
        }
    }
    // RFC 8689 5: a report that is lost is worse than one in clear, which has no content in it.
    const handoff::Envelope& envelope = job->request.envelope();
    if ((envelope.sender().empty() || envelope.purpose() == handoff::PURPOSE_NOTIFICATION) && !options.requiretls_in_reports)
        found = std::min(found, RequireTls::opportunistic);
    co_return found;
}

/// How far it requires TLS, or does not insist on it; what tells it from other mail of its site. RFC 8689 4.1: who requires it is not asked whether.
awaitable<std::string> Agent::Core::find_requirements(std::shared_ptr<Job> job)
{
    std::string told;
    const handoff::Envelope& envelope = job->request.envelope();
    job->tls_optional = envelope.tls_optional() && !envelope.requiretls();
    if (job->tls_optional)
        told = "TLS-Required: no\n";
    if (!envelope.requiretls() || !options.requiretls || job->request.probe())
        co_return told;
    const std::vector<Destination> destinations = destinations_of(*job);
    for (const Destination& one : destinations) {
        const std::optional<RequireTls> level = co_await find_requirement(job, one);
        if (!level || demands(*level))
            told += fmt::format("REQUIRETLS {} {}\n", one.text, level ? word_of(*level) : "?");
        job->requires_tls.emplace(one.text, level);
    }
    co_return told;
}

/// Of a host that nothing could be asked of: what there is to say of its policy.
TlsDemand Agent::Core::policy_alone(const Job& job, const Host& host) const
{
    TlsDemand made;
    made.level = made.asked = options.tls_level;
    if (const auto at = job.tls.find(host.next_hop); at != job.tls.end())
        if (const std::optional<TlsPolicy>& policy = at->second)
            made.level = made.asked = policy->level;
    return made;
}

awaitable<Result<TlsDemand>> Agent::Core::demand_for(std::shared_ptr<Job> job, Host host)
{
    TlsPolicy policy;
    policy.level = options.tls_level;
    if (around.tls_policy || around.sts) {
        const auto at = job->tls.find(host.next_hop);
        const std::optional<TlsPolicy> found = at != job->tls.end() ? at->second : std::nullopt;
        if (!found)
            co_return Error{"client TLS configuration problem", "4.7.5"};
        policy = *found;
    }
    if (job->tls_optional) {
        TlsPolicy less = made_optional(policy);
        if (less.level != policy.level || policy.sts)
            around.log.info("{}: TLS-Required: no: TLS with {} is {}, not {}", job->queue_id(), host.name, level_name(less.level),
                            policy.sts ? "as MTA-STS asks" : level_name(policy.level));
        policy = std::move(less);
    }
    if (const auto at = job->requires_tls.find(host.next_hop); at != job->requires_tls.end() && !at->second)
        co_return Error{"what mail that requires TLS asks of it cannot be told now", "4.3.0"};
    const RequireTls required = job->required_with(host.next_hop);
    co_return co_await tls_demand(std::move(host), std::move(policy), required, &options, &around);
}

/// RFC 8689 4.2.1: not without QUIT. Nobody waits for the answer.
awaitable<void> Agent::Core::say_goodbye(std::unique_ptr<Session> session) { co_await session->goodbye(); }

/// To the domain whose MX host this is, if it wants to know. No mail waits for that question.
awaitable<void> Agent::Core::report(Host host, TlsReport report)
{
    const dns::Answer answer = co_await around.names.query("_smtp._tls." + host.domain, dns::Type::txt);
    std::vector<std::string> texts;
    if (answer.found())
        for (const dns::Record& record : answer.records)
            texts.push_back(record.text);
    auto record = report_record(texts);
    if (!record)
        co_return;
    report.record = *std::move(record);
    report.domain = host.domain;
    if (report.policy_domain.empty())
        report.policy_domain = host.domain;
    report.host = host.name;
    report.to = host.endpoint.ip.text();
    around.log.info("{}", to_line(report));
    around.reports->tell(report);
}

/// A policy that keeps mail from this host, whatever it would have shown.
void Agent::Core::report_left_out(const Job& job, const Host& host, std::string_view why)
{
    const auto fault = fault_of(why);
    if (!fault || host.mx == Host::Mx::none)
        return;
    TlsReport made;
    if (is_of_records(*fault)) {
        made.policy = TlsReport::Policy::tlsa;
    } else {
        const auto at = job.tls.find(host.next_hop);
        const std::optional<TlsPolicy> policy = at != job.tls.end() ? at->second : std::nullopt;
        const std::optional<StsRules> sts = policy ? policy->sts : std::nullopt;
        if (!sts)
            return;
        made.use(*sts);
    }
    made.fault = fault;
    made.reason = *fault == TlsFault::validation_failure ? "mx-mismatch" : "";
    tasks.spawn(report(host, std::move(made)));
}

void Agent::Core::report_session(const Session& session)
{
    const auto& outcome = session.tls_outcome();
    if (!outcome || session.whom().mx == Host::Mx::none || (outcome->resumed && !options.report_resumed))
        return;
    const TlsDemand& demand = session.demand();
    TlsReport made;
    if (demand.level == TlsLevel::dane)
        made.use(demand.anchors);
    else if (demand.sts)
        made.use(*demand.sts);
    made.fault = outcome->fault;
    made.reason = outcome->reason;
    if (made.policy == TlsReport::Policy::none && !made.fault && !demand.sts_fault.empty()) {
        made.policy = TlsReport::Policy::sts;                         // it went as without one, which its domain has to hear
        made.fault = fault_of(demand.sts_fault);
    }
    if (!demand.tested_unmet.empty() && !made.fault) {
        made.fault = TlsFault::validation_failure;
        made.reason = "mx-mismatch";
    }
    made.from = session.from();
    made.hello = session.hello_name();
    tasks.spawn(report(session.whom(), std::move(made)));
}

awaitable<Result<std::unique_ptr<net::Stream>>> Agent::Core::connect(std::shared_ptr<Job> job, Host host)
{
    net::ConnectOptions how(options.timeouts.connect);
    how.bind = host.endpoint.ip.is_v6() ? options.bind6 : options.bind4;
    how.bind_enforced = options.bind_enforced;
    if (around.peers && !host.endpoint.is_unix() && around.peers->small_segments(host.endpoint.ip.text()))
        how.segment = net::small_segment;
    auto stream = around.connector ? co_await around.connector(host.endpoint, how) : co_await net::connect(around.executor, host.endpoint, how);
    if (around.peers)
        around.peers->connected(job->site_name(), stream.has_value());
    co_return stream;
}

/// The next host that takes a session; none, and why.
awaitable<std::unique_ptr<Session>> Agent::Core::open(std::shared_ptr<Job> job, const Site* site, Reason* reason)
{
    if (!job->resolved) {
        co_await resolve(job, reason);
        if (job->hosts.empty()) {
            job->relay = "none";
            co_return nullptr;
        }
    }
    job->enter(Before::room, around.clock);
    co_await make_room(job);
    if (one_too_many(*job, *site))
        co_return nullptr;
    bool in_clear = false;
    bool others = job->had_session;  // hosts that have what the mail requires of TLS, or may have it
    const auto misses_tls = [&](Reason why) {
        *reason = std::move(why);
        job->missed_tls = true;
        others = others || !reason->permanent;
        ++job->next_host;
        in_clear = false;
        if (job->next_host < job->hosts.size())
            around.log.info("{}: {}", job->queue_id(), reason->text);
    };
    while (job->next_host < job->hosts.size()) {
        if (options.session_limit != 0 && job->sessions >= options.session_limit)
            break;
        if (!in_clear && too_soon(*job))
            co_return nullptr;
        const Host host = job->hosts[job->next_host];
        const std::string relay = host.relay();
        job->enter(Before::tls, around.clock);
        auto demand = co_await demand_for(job, host);
        const auto note_tls = [&](const TlsDemand& asked, TlsEnd end) {
            job->tls_status = tls_status(asked, end, job->required_with(host.next_hop));
        };
        if (demand)
            note_tls(*demand, TlsEnd::undecided);
        else
            note_tls(policy_alone(*job, host), demand.error().status() == "5.7.10" ? TlsEnd::no_match : TlsEnd::undecided);
        if (!demand && demand.error().status() == "5.7.10") {
            job->relay = "none";
            job->unreachable.push_back(demand.error().what());
            Reason why(true, demand.error().status(), demand.error().what());
            why.for_tls = true;
            misses_tls(std::move(why));
            continue;
        }
        if (!demand) {
            others = true;
            *reason = Reason(false, demand.error().status(), demand.error().what());
            around.log.warning("TLS policy lookup for {}/{}: {}", host.next_hop, host.name, reason->text);
            if (around.reports)
                report_left_out(*job, host, demand.error().evidence());
            job->unreachable.push_back(reason->text);
            job->relay = "none";
            ++job->next_host;
            in_clear = false;
            continue;
        }
        job->enter(Before::connection, around.clock);
        auto stream = co_await connect(job, host);
        if (stream && !unheard.empty())
            unheard.erase(host.endpoint.ip.text());
        if (!stream) {
            if (stream.error().what() == "Connection timed out" && !host.endpoint.is_unix()) {
                if (unheard.size() >= unheard_at_most)
                    unheard.clear();
                unheard[host.endpoint.ip.text()] = around.clock.steady();
            }
            others = true;
            ++counts.failed_connects;
            *reason = Reason(false, stream.error().status().empty() ? "4.4.1" : stream.error().status(),
                             fmt::format("connect to {}: {}", relay, stream.error().what()));
            if (!host.endpoint.is_unix())                               // of those each delivery line says it, as in Postfix
                around.log.info("{}", reason->text);
            job->unreachable.push_back(reason->text);
            job->relay = "none";
            ++job->next_host;
            in_clear = false;
            continue;
        }
        auto session = std::make_unique<Session>(*std::move(stream), host, options, around);
        Session::Wish wish = wish_for(*job, host);
        wish.tls = *std::move(demand);
        wish.in_clear = in_clear && wish.tls.level <= TlsLevel::may;  // TLSA records may have come since the handshake failed
        wish.tls.keep_shown = tries_levels(*job, host);
        wish.before = std::exchange(job->unreachable, {});
        job->enter(Before::opening, around.clock);
        job->opening = session.get();
        auto trouble = co_await session->open(std::move(wish));
        job->opening = nullptr;
        counts.round_trips += session->round_trips();
        if (around.reports)
            report_session(*session);
        if (!trouble) {
            if (const std::uint32_t known = around.peers ? around.peers->sessions_at_once(job->set) : 0; known != 0)
                if (const auto reach = reaches.find(job->set); reach != reaches.end() && reach->second.open > known)
                    around.peers->refused_beside(job->set, 0);
            if (const std::string unmet = session->sts_unmet(); !unmet.empty())
                around.log.info("MTA-STS: the policy of {} is in testing, else no mail had gone to {}: {}", session->sts_domain(), relay, unmet);
            ++job->next_host;
            ++job->sessions;
            job->connected = micros(around.clock.wall());
            if (tries_levels(*job, host))
                try_level(*job, *session);
            co_return session;
        }
        job->relay = relay;
        job->tls_status = tls_status(session->demand(), session->tls_end(&*trouble), session->requirement());
        job->hear(session->take_heard());
        if (trouble->reason.for_tls) {
            misses_tls(std::move(trouble->reason));
            tasks.spawn(say_goodbye(std::move(session)));
            continue;
        }
        session->close();
        *reason = std::move(trouble->reason);
        others = true;
        if (trouble->late && !std::exchange(job->late, true))
            continue;  // it was our haste, or looked so
        const auto reach = reaches.find(job->set);
        const unsigned standing = reach != reaches.end() ? reach->second.open : 0;
        if (session->refused_at_greeting() && (standing != 0 || site->lines > 1)) {
            // So many at once, and no more: those that stand, or will in a moment, go on.
            job->heard.set_refused_at(standing);
            job->heard.set_said(reason->text);
            if (around.peers)
                around.peers->refused_beside(job->set, std::max(1U, standing));
            job->crowded = job->one_too_many = true;
            co_return nullptr;
        }
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
    if (reason->for_tls && reason->permanent && others) {             // another host may have it, when it is asked again
        reason->permanent = false;
        reason->status.replace(0, 1, "4");
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

}  // namespace posthorn::send
