#include "send/agent_core.hpp"

#include "base/strings.hpp"
#include "handoff/delivery_log.hpp"
#include "handoff/record.hpp"
#include "handoff/status_filter.hpp"

namespace posthorn::send {

namespace {

constexpr unsigned default_connections = 20;

/// CR, LF and the like in an address would be commands.
bool fits_in_a_line(std::string_view address)
{
    return address.size() <= 2048 && std::ranges::none_of(address, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

/// All who have no final fate wait for a time that is known.
bool waits_for_greylisting(const Sheet& sheet)
{
    bool some = false;
    for (std::size_t i = 0; i < sheet.size(); ++i) {
        if (sheet[i].final())
            continue;
        if (sheet[i].state != Fate::State::failed || sheet[i].reason.retry_at == 0)
            return false;
        some = true;
    }
    return some;
}

}  // namespace

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

/// What goes out is changed before the first host is looked for, so that every host hears the same.
awaitable<void> Agent::Core::edit(Job& job)
{
    auto head = job.request.probe() ? Result<std::string>(std::string{}) : job.content.head();
    if (!head) {
        job.sheet.fail_open(
            Reason(head.error().status().starts_with('5'), head.error().status().empty() ? "4.3.0" : head.error().status(), head.error().text()));
        co_return;
    }
    const std::size_t octets = head->size();
    const bool body_too = octets != 0 && around.editor->wants_body(*head);
    const std::string stored = body_too ? *head : std::string{};
    auto edited = co_await around.editor->edit(job.request.envelope(), *std::move(head));
    if (!edited) {
        job.sheet.fail_open(Reason(false, "4.3.0", edited.error().text()));
        co_return;
    }
    if (body_too) {
        auto body = job.content.rest(octets);
        auto changed = body ? co_await around.editor->edit_body(job.request.envelope(), stored, *std::move(body))
                            : Result<std::optional<std::string>>(body.error());
        if (!changed) {
            const bool forever = changed.error().status().starts_with('5');
            job.sheet.fail_open(Reason(forever, forever ? changed.error().status() : "4.3.0", changed.error().text()));
            co_return;
        }
        if (const auto& text = *changed) {
            job.content.replace(std::exchange(edited->head, std::nullopt).value_or(stored) + *text);
            job.edited = *std::move(edited);
            co_return;
        }
    }
    if (auto other = std::exchange(edited->head, std::nullopt))
        job.content.replace_head(octets, *std::move(other));
    job.edited = *std::move(edited);
}

awaitable<handoff::Verdicts> Agent::Core::deliver(handoff::DeliveryRequest request, Fd content)
{
    auto job = std::make_shared<Job>(std::move(request), around.executor);
    job->sheet = Sheet(static_cast<std::size_t>(job->request.envelope().recipients_size()));
    job->started = micros(around.clock.wall());
    ++counts.deliveries;
    counts.recipients += job->sheet.size();
    under_way[job->request.attempt()] = job.get();
    job->enter(Before::tables, around.clock);
    const bool fit = !refuse_unfit(*job, std::move(content));
    if (fit && around.editor != nullptr)
        co_await edit(*job);
    if (fit && options.sasl.by_sender && around.passwords != nullptr && !job->request.envelope().sender().empty()) {
        auto found = co_await around.passwords->by_sender(job->request.envelope().sender());
        if (found)
            job->credentials = *std::move(found);
        else
            job->sheet.fail_open(Reason(false, "4.3.0", found.error().text()));
    }
    if (!job->sheet.settled()) {
        job->enter(Before::policies, around.clock);
        std::string policies = co_await find_policies(job);
        if (job->request.envelope().requiretls() || job->request.envelope().tls_optional())
            policies += co_await find_requirements(job);
        Site* const place = &site_of(*job, policies);
        ++place->users;
        job->site = place;
        if (around.peers && !job->request.probe())
            job->keep_to = around.peers->counted_at(job->request.envelope().sender(), job->request.envelope().recipients(0).address());
        co_await walk(job, place);
        job->site = nullptr;
        --place->users;
        if (job->shaped()) {
            give_back(*place);
            give_back_all_of(job->set);
        }
        forget_if_empty(*place);
        const bool elsewhere = !options.best_mx.empty() && !job->request.passed_on() && job->sheet.all_loop();
        if (job->untried || elsewhere) {
            under_way.erase(job->request.attempt());
            handoff::Verdicts none;
            none.set_attempt(job->request.attempt());
            none.set_message(job->request.message());
            none.set_untried(true);
            if (elsewhere) {
                none.set_elsewhere(options.best_mx);
                around.log.info("{}: {}: {} has it", job->queue_id(), job->sheet[0].reason.text, options.best_mx);
            }
            co_return none;
        }
    }
    under_way.erase(job->request.attempt());
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
        if (job->called_back && !job->had_session && !job->hedge) {
            job->untried = true;
            co_return;
        }
        const bool crowded = std::exchange(job->crowded, false);
        if (job->hedge) {
            ++site->lines;                                          // the second session: the first one was given up
            job->relay = job->hedge->host().relay();
            start(*site, job, std::move(job->hedge));
        } else if (Line* const line = job->fresh ? nullptr : take_idle(*site, job->keep_to)) {
            line->first = job;
            line->wake.notify_all();
        } else {
            if (site->lines_of_all() >= room || crowded || job->opens_at) {
                co_await wait_for_place(job, site, room);
                if (job->untried)
                    co_return;
                if (job->site_reason) {
                    job->sheet.fail_open(*job->site_reason);
                    co_return;
                }
            }
            if (!job->taken) {
                if (!job->may_open)
                    ++site->lines;                                  // else the place was handed over
                Reason reason;
                auto session = co_await open(job, site, &reason);
                if (!session && job->crowded && site->lines > 1) {
                    --site->lines;                                  // a session that stands will have it: the place is the peer's to give
                    job->fresh = false;
                    continue;
                }
                if (!session && job->opens_at) {
                    --site->lines;                                  // until then a session that stands may have it
                    job->fresh = false;
                    leave(*site);
                    continue;
                }
                if (!session) {
                    job->sheet.fail_open(reason);
                    give_back(*site);
                    if (--site->lines == 0)
                        for (const auto& other : std::exchange(site->waiting, {})) {
                            other->missed_tls = job->missed_tls;
                            other->site_reason = reason;            // nobody waits in turn for a dead site
                            other->wake.notify_all();
                        }
                    leave(*site);                                   // nobody waits in this one: one of its kin may
                    co_return;
                }
                start(*site, job, std::move(session));
            }
        }
        while (!job->back)
            co_await job->wake.wait();
        if (job->one_too_many && job->heard.refused_at() == 0)
            if (const auto reach = reaches.find(job->set); reach != reaches.end())
                job->heard.set_refused_at(reach->second.open);      // those that were let in meanwhile
        if (job->sheet.all_final())
            co_return;
        if (job->transaction->unserved) {
            job->fresh = true;                                      // the peer had had enough of that session: nothing was lost
            const bool in_time = job->transaction->late && !std::exchange(job->late, true);
            if (job->resolved && (in_time || job->next_host >= job->hosts.size()))
                bring_back(*job);
            continue;
        }
        // Greylisting counts the time at this host: another would begin anew.
        if (waits_for_greylisting(job->sheet))
            co_return;
        // A warm session's host is one of those to come: do not go back to it.
        if (!job->resolved) {
            Reason reason;
            co_await resolve(job, &reason);
            ++job->sessions;
        }
        job->rest = job->rest || job->transaction->one_too_many;
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
    } else if (const std::optional<std::string>& result = *found) {
        auto replaced = handoff::replaced_by(status, *result);
        if (!replaced) {
            around.log.warning("{}: {}: {}", job->queue_id(), name, replaced.error().text());
            co_return;
        }
        status = std::move(replaced->status);
        text = std::move(replaced->text);
        fate->reason.permanent = status.starts_with('5');
    }
}

constexpr std::size_t longest_class = 64;

/// bounce_classification_maps: by the reply, or by what the log says where there was none. What cannot be asked is said, and classifies nothing.
awaitable<void> Agent::Core::classify(std::shared_ptr<Job> job, handoff::Verdict* verdict)
{
    if (!around.bounce_classes || !options.records || verdict->outcome() == handoff::OUTCOME_DELIVERED)
        co_return;
    const auto found = co_await around.bounce_classes->find(handoff::classification_key(*verdict));
    if (!found)
        around.log.warning("{}: bounce_classification_maps: {}", job->queue_id(), found.error().text());
    else if (*found)
        verdict->set_classification((*found)->substr(0, longest_class));
}

awaitable<handoff::Verdicts> Agent::Core::verdicts(std::shared_ptr<Job> whose)
{
    Job& job = *whose;
    // The promise is kept here, whatever happened before: who has no fate by now is deferred.
    job.sheet.fail_open(Reason(false, "4.3.0", "delivery ended without an answer"));
    handoff::Verdicts all;
    all.set_attempt(job.request.attempt());
    all.set_message(job.request.message());
    // Mail that is returned for good (a loop, a domain that there is not) says nothing of a site that is away: what follows is returned as well.
    all.set_site_failed(!job.had_session && !job.shaped() && !job.missed_tls && !job.sheet.all_final());
    if (!job.set.empty()) {
        *all.mutable_shaping() = job.heard;
        all.mutable_shaping()->set_set(job.set);
        all.mutable_shaping()->set_sessions(job.profile.sessions);
        all.mutable_shaping()->set_interval(static_cast<std::uint64_t>(job.profile.interval.count()));
    }
    if (options.records) {
        if (job.facts)
            *all.mutable_session() = *job.facts;
        all.mutable_session()->set_connecting(job.started);
    }
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
            verdict.set_status(std::move(fate.status));
            verdict.set_diagnostic(fate.text);
            verdict.set_text(std::move(fate.text));
            verdict.set_remote_mta(job.host.name);
            // A peer with DSN took NOTIFY over: whether to report success is its affair now (RFC 3461 6.2.1).
            verdict.set_action(job.dsn ? "" : options.assume_final ? "delivered" : "relayed");
            verdict.set_takes_all(probe && job.takes_all);
        } else {
            soft = fate.reason.permanent && options.soft_bounce && !probe;
            const bool permanent = fate.reason.permanent && !soft;
            verdict.set_outcome(!permanent ? handoff::OUTCOME_DEFERRED : probe ? handoff::OUTCOME_UNDELIVERABLE : handoff::OUTCOME_BOUNCED);
            verdict.set_status(soft ? "4" + fate.reason.status.substr(1) : fate.reason.status);
            verdict.set_text(std::move(fate.reason.text));
            verdict.set_diagnostic(std::move(fate.reason.diagnostic));
            verdict.set_remote_mta(std::move(fate.reason.remote));
            verdict.set_action(permanent ? "failed" : "delayed");
            if (!permanent)
                verdict.set_retry_at(fate.reason.retry_at);
            co_await classify(whose, &verdict);
        }
        const handoff::DeliveryTimes times{.arrival = envelope.arrival(),
                                           .active = job.request.active_since(),
                                           .connecting = job.started,
                                           .connected = job.connected,
                                           .finished = now};
        around.log.write(observe::Level::info,
                         handoff::delivery_line(job.queue_id(), recipient, verdict, times,
                                                soft ? "SOFTBOUNCE" : handoff::status_word(verdict.outcome(), probe, cached), job.use,
                                                options.delay_digits, options.log_tls_status ? job.tls_status : std::string()));
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

void Agent::call_back(std::uint64_t attempt)
{
    const auto found = core_->under_way.find(attempt);
    if (found == core_->under_way.end())
        return;
    Job& job = *found->second;
    job.called_back = true;  // it may be on its way to its site
    if (job.site == nullptr || job.had_session)
        return;
    if (std::erase_if(job.site->waiting, [&](const std::shared_ptr<Job>& one) { return one.get() == &job; }) != 0) {
        job.untried = true;
        job.wake.notify_all();
    }
}

void Agent::give_back()
{
    for (const auto& [key, site] : core_->sites)
        core_->give_back(*site);
}

awaitable<void> Agent::drain()
{
    core_->stopping = true;
    forget_sessions();
    co_await core_->tasks.drained();
}

const Agent::Counts& Agent::counts() const { return core_->counts; }

}  // namespace posthorn::send
