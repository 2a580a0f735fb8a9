// What the queue makes of verdicts: settled as they come, failures gathered until the round of their message ends, reports, removal.
#include "services/queue_manager.hpp"

#include "base/timestamp.hpp"
#include "handoff/delivery_log.hpp"
#include "handoff/verp.hpp"
#include "schedule/release.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

using handoff::ReportRequest;
using handoff::Verdict;

namespace {

constexpr std::size_t greylisted_at_most = 100'000;
/// What one report tells of: recipients, and octets of what is to be said of them.
constexpr std::size_t reported_at_once = 1000, reported_octets = 1 << 20;
constexpr std::chrono::seconds sites_told_every{10};

/// "site mx.example.com: at most 3 deliveries at once and 12 mails a minute, all given back by 2026-01-01 12:30 UTC: host ... said: ..."
std::string shaping_line(const schedule::ShapeChange& change, WallTime until)
{
    const std::string when = minute_text(until + std::chrono::seconds{59});      // never too early
    if (change.change == schedule::Shape::Change::suspended)
        return fmt::format("site {}: nothing is sent until {}, then one delivery at a time: {}", change.set, when, change.said);
    std::string what;
    if (change.ceiling != 0)
        what = fmt::format("at most {} deliver{} at once", change.ceiling, change.ceiling == 1 ? "y" : "ies");
    if (change.per_minute != 0)
        what += fmt::format("{}{:.0f} mail{} a minute", what.empty() ? "at most " : " and ", change.per_minute, change.per_minute < 1.5 ? "" : "s");
    return fmt::format("site {}: {}, all given back by {} if it says no more: {}", change.set, what, when, change.said);
}

}  // namespace

Verdict QueueManager::own_verdict(std::uint32_t recipient, handoff::Outcome outcome, std::string status, std::string text) const
{
    Verdict verdict;
    verdict.set_recipient(recipient);
    verdict.set_outcome(outcome);
    verdict.set_status(std::move(status));
    verdict.set_text(std::move(text));
    verdict.set_relay("none");
    if (outcome == handoff::OUTCOME_DELIVERED)
        verdict.set_action("delivered");
    verdict.set_finished(now());
    return verdict;
}

void QueueManager::log_own(const Active& active, const std::vector<Verdict>& verdicts, std::string_view station) const
{
    const observe::Log log = log_.as(options_.syslog_name + "/" + std::string(station));
    const bool probe = active.envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS;
    for (const Verdict& verdict : verdicts) {
        const std::size_t at = position(active, verdict.recipient());
        const handoff::DeliveryTimes times{.arrival = active.envelope.arrival(), .active = active.since, .finished = verdict.finished()};
        handoff::Recipient recipient = active.recipients.at(at);
        if (at < active.routes.size() && !active.routes[at].address().empty() && active.routes[at].address() != recipient.address()) {
            if (recipient.original().empty())
                recipient.set_original(recipient.address());
            recipient.set_address(active.routes[at].address());
        }
        log.write(observe::Level::info, handoff::delivery_line(active.envelope.queue_id(), recipient, verdict, times,
                                                               soft(verdict) ? "SOFTBOUNCE" : handoff::status_word(verdict.outcome(), probe)));
    }
}

bool QueueManager::soft(const Verdict& verdict) const { return options_.soft_bounce && verdict.outcome() == handoff::OUTCOME_BOUNCED; }

/// The queue's view of a verdict: soft_bounce and the lifetime of the message decide over what the delivery said.
void QueueManager::judge(Active& active, Verdict& verdict)
{
    if (soft(verdict)) {
        verdict.set_outcome(handoff::OUTCOME_DEFERRED);
        if (verdict.status().starts_with('5'))
            verdict.mutable_status()->front() = '4';
    }
    const auto is_over = [&] {
        const WallTime wall = clock_.wall(), end = schedule::expires(active.envelope).value_or(WallTime::max());
        return wall >= end ||
               schedule::expired(retry_of(active, verdict), schedule::counted_from(active.envelope), active.envelope.sender().empty(), wall);
    };
    if (verdict.outcome() == handoff::OUTCOME_DEFERRED && is_over()) {
        verdict.set_outcome(handoff::OUTCOME_EXPIRED);
        if (!active.expiry_logged) {
            active.expiry_logged = true;
            log_.info("{}: from=<{}>, status=expired, returned to sender", active.envelope.queue_id(),
                      smtp::external_address(active.envelope.sender()));
        }
    }
}

/// main.cf's times, with what retry_schedule_maps says of a recipient in their place. Where a table says what cannot be read, that was said (start_round()).
schedule::RetryOptions QueueManager::retry_of(const handoff::Route& route) const
{
    return route.retry().empty() ? options_.retry : schedule::amended(options_.retry, route.retry()).value_or(options_.retry);
}

schedule::RetryOptions QueueManager::retry_of(const Active& active, const Verdict& verdict) const
{
    const std::size_t at = position(active, verdict.recipient());
    return at < active.routes.size() ? retry_of(active.routes[at]) : options_.retry;
}

WallTime QueueManager::gives_up(const handoff::Envelope& envelope, const schedule::RetryOptions& retry)
{
    const WallTime end = schedule::counted_from(envelope) + retry.lifetime(envelope.sender().empty());
    return std::min(end, schedule::expires(envelope).value_or(end));
}

awaitable<void> QueueManager::settle(Key key, std::uint64_t attempt, std::vector<Verdict> verdicts, std::optional<handoff::SessionFacts> session)
{
    const auto found = active_.find(key);
    const handoff::SessionFacts* const facts = session ? &*session : nullptr;
    if (found != active_.end() && found->second.deleted)
        for (const Verdict& verdict : verdicts)  // deleted too late
            if (verdict.outcome() == handoff::OUTCOME_DELIVERED)
                record_fate(found->second, verdict, facts);
    if (found == active_.end() || found->second.removed || verdicts.empty())
        co_return;
    Active& active = found->second;
    const bool told = active.envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS || active.envelope.purpose() == handoff::PURPOSE_RECORD_DELIVERY;
    spool::Settlement settlement{.lease = active.lease, .attempt = attempt, .verdicts = {}, .next_try = {}, .reports = {}, .warned = false};
    std::vector<Verdict> successes;
    for (Verdict& verdict : verdicts) {
        judge(active, verdict);
        record_fate(active, verdict, facts);
        if (told) {
            active.told.push_back(std::move(verdict));
            continue;
        }
        count_verdict(key, active, verdict);
        if (!first_answers_.empty() && (verdict.outcome() == handoff::OUTCOME_DELIVERED || verdict.outcome() == handoff::OUTCOME_DEFERRED))
            hear_first(key, active, verdict);
        switch (verdict.outcome()) {
        case handoff::OUTCOME_DELIVERED:
            ++counts_.delivered;
            tried(active, false);
            if (to_be_told_of_success(active, active.recipients[position(active, verdict.recipient())], verdict))
                successes.push_back(verdict);
            settlement.verdicts.push_back(std::move(verdict));
            break;
        case handoff::OUTCOME_DEFERRED:
            ++counts_.deferred;
            if (schedule::delay_warning_due(retry_of(active, verdict), schedule::counted_from(active.envelope), active.envelope.sender().empty(),
                                            active.warned, clock_.wall()))
                active.delays.push_back(std::move(verdict));
            else
                settlement.verdicts.push_back(std::move(verdict));
            break;
        default:
            ++counts_.bounced;
            tried(active, true);
            active.failures.push_back(std::move(verdict));
            break;
        }
    }
    if (settlement.verdicts.empty())
        co_return;
    ++active.settling;
    settlement.next_try = retry_time(active, settlement.verdicts);
    if (std::ranges::any_of(settlement.verdicts, [](const Verdict& v) { return v.outcome() == handoff::OUTCOME_DEFERRED; }))
        active.next_try = std::min(active.next_try, settlement.next_try);
    if (!successes.empty()) {
        if (auto reply = co_await report(key, ReportRequest::SUCCESS, std::move(successes)))
            take_reports(*reply, settlement.reports);
        else
            log_.warning("{}: success report: {}", active_.at(key).envelope.queue_id(), reply.error().text());
    }
    co_await store(key, std::move(settlement));
    if (const auto still = active_.find(key); still != active_.end() && --still->second.settling == 0)
        settled_.notify_all();
}

/// RFC 3461 4.1, unless who took it over tells of it (5.2.2); and, with confirm_delay_cleared, where the sender was warned and left it to us what to tell.
bool QueueManager::to_be_told_of_success(const Active& active, const handoff::Recipient& recipient, const Verdict& verdict) const
{
    const bool cleared = options_.confirm_delay_cleared && active.warned && recipient.notify() == 0 && !active.envelope.sender().empty();
    return cleared || ((recipient.notify() & handoff::NOTIFY_SUCCESS) != 0 && !verdict.action().empty());
}

/// By the message's age, the soonest of its recipients; where the peer's time is known, by that; never while its site wants to be left alone, or at
/// a time that its sender did not choose.
WallTime QueueManager::retry_time(const Active& active, const std::vector<Verdict>& verdicts) const
{
    std::int64_t known = 0;
    WallTime by_age = WallTime::max();
    for (const Verdict& verdict : verdicts) {
        if (verdict.outcome() == handoff::OUTCOME_DEFERRED && verdict.retry_at() != 0)
            known = known == 0 ? verdict.retry_at() : std::min(known, verdict.retry_at());
        by_age = std::min(by_age, schedule::next_try(retry_of(active, verdict), schedule::counted_from(active.envelope), clock_.wall()));
    }
    if (known == 0)
        return schedule::next_look(active.envelope, std::max(by_age, active.not_before));
    // A time that a process of ours gives is still held against the bounds of any attempt.
    const WallTime soonest = clock_.wall() + std::chrono::seconds{1}, latest = clock_.wall() + std::chrono::days{1};
    return schedule::next_look(active.envelope, std::max(std::clamp(WallTime{std::chrono::microseconds{known}}, soonest, latest), active.not_before));
}

void QueueManager::hear(const handoff::Shaping& said, std::uint64_t attempt, std::string_view site, Key key, const std::vector<Verdict>& verdicts)
{
    schedule::SiteNotice notice;
    notice.set = said.set();
    notice.sessions = said.sessions();
    notice.interval = std::chrono::microseconds{std::min<std::uint64_t>(said.interval(), 3'600'000'000)};
    notice.refused_at = said.refused_at();
    notice.slower = said.slower();
    notice.fewer = said.fewer();
    notice.suspend = std::chrono::seconds{std::min<std::uint64_t>(said.suspend(), 7 * 86'400)};
    notice.said = said.said();
    if (const auto change = scheduler_.heard(attempt, site, notice))
        log_.info("{}", shaping_line(*change, clock_.wall() + std::chrono::ceil<std::chrono::microseconds>(change->until - clock_.steady())));
    // Which sites it serves alone is not worth a word each time.
    if (scheduler_.pressing() || (scheduler_.changed() && clock_.steady() - kept_restraints_ >= sites_told_every))
        keep_restraints();
    if (notice.suspend.count() != 0)
        if (const auto found = active_.find(key); found != active_.end() && !has_another_way(found->second, site))
            found->second.not_before = std::max(found->second.not_before, clock_.wall() + notice.suspend);
    if (std::ranges::any_of(verdicts, [](const Verdict& verdict) { return verdict.retry_at() != 0; }) && !notice.set.empty()) {
        if (greylisted_count_ >= greylisted_at_most) {  // they keep their own times
            greylisted_.clear();
            greylisted_count_ = 0;
        }
        greylisted_count_ += greylisted_[notice.set].insert(key).second ? 1 : 0;
    }
    if (said.passed())
        let_follow(notice.set);
}

void QueueManager::keep_restraints()
{
    kept_restraints_ = clock_.steady();
    for (const auto& [set, kept] : scheduler_.take_changed())
        if (on_restraint)
            on_restraint(set, kept);
}

void QueueManager::lift(std::vector<std::string> sets, bool all)
{
    if (all)
        sets = scheduler_.restrained();
    for (const std::string& set : sets)
        if (scheduler_.lift(set))
            log_.info("site {}: an operator had forgotten what it asked for", set);
    keep_restraints();
    wake_.notify_all();
}

/// Greylisting let the first through: what waits for the same hosts is due.
void QueueManager::let_follow(const std::string& set)
{
    const auto found = greylisted_.find(set);
    if (found == greylisted_.end())
        return;
    const std::unordered_set<Key> waiting = std::move(found->second);
    greylisted_.erase(found);
    greylisted_count_ -= std::min(greylisted_count_, waiting.size());
    std::size_t followed = 0;
    for (const Key key : waiting)
        if (const auto due = deferred_.next_try(key); due && *due > clock_.wall() && !held_.contains(key)) {
            deferred_.put(key, clock_.wall());
            ++followed;
        }
    if (followed != 0) {
        log_.info("site {}: greylisting has let a message through; {} more that wait for it {} now", set, followed,
                  followed == 1 ? "follows" : "follow");
        wake_.notify_all();
    }
}

/// Writes a settlement, and admits the reports that came with it.
awaitable<bool> QueueManager::store(Key key, spool::Settlement settlement)
{
    const std::vector<spool::NewMessageRef> reports = settlement.reports;
    auto settled = co_await store_.settle(std::move(settlement));
    if (!settled) {
        // A store that has failed ends the process, and recovers; anything else is a fault of ours, said and tried again in time.
        log_.warning("message {}: the verdict was not stored: {}", key, settled.error().text());
        co_return false;
    }
    for (std::size_t i = 0; i < settled->reports.size() && i < reports.size(); ++i)
        if (!epochs_.contains(settled->reports[i].key))
            co_await take_in(settled->reports[i], *reports[i]);
    if (const auto found = active_.find(key); found != active_.end()) {
        found->second.lease = settled->lease;
        epochs_[key] = settled->lease.epoch;
        if (settled->removed)
            found->second.removed = true;
    }
    co_return true;
}

// ---- The end of a round

/// The scheduler has nothing more of this message; verdicts may still be on their way to the disk.
awaitable<void> QueueManager::round_done(Key key)
{
    for (;;) {
        const auto found = active_.find(key);
        if (found == active_.end())
            co_return;
        if (found->second.settling == 0)
            break;
        co_await settled_.wait();
    }
    co_await end_round(key);
}

awaitable<void> QueueManager::end_round(Key key)
{
    {
        Active& active = active_.at(key);
        if (active.ending)
            co_return;
        active.ending = true;
    }
    if (!active_.at(key).told.empty())
        co_await settle_with_report(key, ReportRequest::VERIFY, std::move(active_.at(key).told));
    if (!active_.at(key).failures.empty() && may_refuse(key))
        co_await refuse_to_client(key);
    if (!active_.at(key).failures.empty())
        co_await settle_with_report(key, ReportRequest::FAILURE, std::move(active_.at(key).failures));
    if (!active_.at(key).delays.empty())
        co_await settle_with_report(key, ReportRequest::DELAY, std::move(active_.at(key).delays));
    Active& active = active_.at(key);
    if (active.removed)
        co_return gone_if_removed(key);
    const WallTime next_try = active.next_try == WallTime::max() ? clock_.wall() + options_.retry.minimal_backoff : active.next_try;
    const bool again = look_again(key);
    put_off(key, next_try);
    if (again)
        look_only(key, next_try);
}

/// Failures leave with the bounce that names them, in one transaction. Where the report cannot be written, they stay, and are tried again.
awaitable<void> QueueManager::settle_with_report(Key key, ReportRequest::Kind kind, std::vector<Verdict> verdicts)
{
    spool::Settlement settlement{.lease = active_.at(key).lease,
                                 .attempt = scheduler_.take_attempt(),
                                 .verdicts = verdicts,
                                 .next_try = {},
                                 .reports = {},
                                 .warned = kind == ReportRequest::DELAY};
    settlement.next_try = retry_time(active_.at(key), verdicts);
    active_.at(key).next_try = std::min(active_.at(key).next_try, settlement.next_try);
    std::vector<std::string> lines;
    if (!co_await add_reports(key, kind, std::move(verdicts), &settlement, &lines))
        co_return;
    if (kind == ReportRequest::VERIFY && active_.at(key).envelope.purpose() == handoff::PURPOSE_RECORD_DELIVERY) {
        // A mail whose delivery is to be told of is returned like any other, too.
        std::vector<Verdict> failures;
        std::ranges::copy_if(settlement.verdicts, std::back_inserter(failures), [](const Verdict& verdict) {
            return verdict.outcome() == handoff::OUTCOME_BOUNCED || verdict.outcome() == handoff::OUTCOME_EXPIRED;
        });
        std::vector<std::string> told = std::exchange(lines, {});
        if (!failures.empty() && !co_await add_reports(key, ReportRequest::FAILURE, std::move(failures), &settlement, &lines))
            co_return;
        std::ranges::move(told, std::back_inserter(lines));
    }
    if (kind == ReportRequest::VERIFY)  // a probe ends whatever it found
        for (Verdict& verdict : settlement.verdicts)
            if (active_.at(key).envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS && verdict.outcome() == handoff::OUTCOME_DEFERRED)
                verdict.set_outcome(handoff::OUTCOME_UNDELIVERABLE);
    const bool stored = co_await store(key, std::move(settlement));
    if (stored)
        for (const std::string& line : lines)
            log_.as(options_.syslog_name + "/bounce").write(observe::Level::info, line);
}

/// Puts the reports into the settlement, their log lines into `lines`. False: one could not be written, and why is logged.
awaitable<bool> QueueManager::add_reports(Key key, ReportRequest::Kind kind, std::vector<Verdict> verdicts, spool::Settlement* settlement,
                                          std::vector<std::string>* lines)
{
    for (std::vector<Verdict>& about : report_groups(active_.at(key), kind, std::move(verdicts))) {
        auto reply = co_await report(key, kind, std::move(about));
        if (!reply) {
            log_.warning("{}: cannot write a report: {}", active_.at(key).envelope.queue_id(), reply.error().text());
            co_return false;
        }
        take_reports(*reply, settlement->reports);
        std::ranges::move(*reply->mutable_log(), std::back_inserter(*lines));
    }
    co_return true;
}

/// One report tells of all that fit into a frame, but where each recipient has a return path of its own: there each is told by its own.
std::vector<std::vector<Verdict>> QueueManager::report_groups(const Active& active, ReportRequest::Kind kind, std::vector<Verdict> verdicts) const
{
    std::vector<std::vector<Verdict>> groups;
    if (active.envelope.verp().empty() || kind == ReportRequest::VERIFY || options_.disable_verp_bounces) {
        std::size_t octets = 0;
        for (Verdict& verdict : verdicts) {
            const std::size_t more = verdict.ByteSizeLong() + active.recipients.at(position(active, verdict.recipient())).ByteSizeLong();
            if (groups.empty() || octets + more > reported_octets || groups.back().size() >= reported_at_once) {
                groups.emplace_back();
                octets = 0;
            }
            octets += more;
            groups.back().push_back(std::move(verdict));
        }
    } else {
        for (Verdict& verdict : verdicts)
            groups.emplace_back().push_back(std::move(verdict));
    }
    return groups;
}

awaitable<Result<std::string>> QueueManager::beginning(Key key, std::uint64_t most)
{
    CO_TRY(const auto reader, co_await store_.content(active_.at(key).lease));
    std::string octets(std::min(reader->size(), most), '\0');
    CO_TRY(const std::size_t got, reader->read_at(0, octets));
    octets.resize(got);
    co_return octets;
}

/// How long it waits on, and what it was told of so soon for.
void QueueManager::add_times(const Active& active, const std::vector<Verdict>& verdicts, ReportRequest& request) const
{
    std::chrono::seconds warned_after = std::chrono::seconds::max();
    for (const Verdict& verdict : verdicts) {
        const schedule::RetryOptions retry = retry_of(active, verdict);
        request.add_gives_up(gives_up(active.envelope, retry).time_since_epoch().count());
        warned_after = std::min(warned_after, retry.delay_warning);
    }
    request.set_warned_after(warned_after.count());
}

awaitable<Result<handoff::ReportReply>> QueueManager::report(Key key, ReportRequest::Kind kind, std::vector<Verdict> verdicts)
{
    ReportRequest request;
    {
        const Active& active = active_.at(key);
        request.set_kind(kind);
        *request.mutable_envelope() = active.envelope;
        if (kind == ReportRequest::DELAY)
            add_times(active, verdicts, request);
        for (Verdict& verdict : verdicts) {
            handoff::Recipient& recipient = *request.mutable_envelope()->add_recipients();
            recipient = active.recipients.at(position(active, verdict.recipient()));
            if (kind == ReportRequest::SUCCESS && recipient.notify() == 0)
                recipient.set_notify(handoff::NOTIFY_SUCCESS);
            *request.add_verdicts() = std::move(verdict);
        }
        if (kind != ReportRequest::VERIFY && request.envelope().recipients_size() == 1 && !options_.disable_verp_bounces)
            request.mutable_envelope()->set_sender(
                handoff::verp_sender(active.envelope.verp(), active.envelope.sender(), request.envelope().recipients(0)));
        request.add_queue_ids(next_queue_id());
        request.add_queue_ids(next_queue_id());
        request.set_now(now());
        for (const std::string& id : request.queue_ids())
            if (id.empty())
                co_return Error{"no queue id is at hand", "4.3.0"};
    }
    const bool whole = kind == ReportRequest::FAILURE && active_.at(key).envelope.ret() != handoff::RET_HDRS &&
                       active_.at(key).envelope.size() <= options_.bounce_size_limit;
    auto octets = co_await beginning(key, whole ? options_.bounce_size_limit : options_.header_size_limit);
    if (!octets && octets.error().status().empty())
        co_return std::move(octets).error();  // the store has failed
    if (octets) {
        request.set_header(*std::move(octets));
        request.set_whole(whole);
    } else  // damaged: its sender is told all the same, or it would stay for ever
        log_.warning("{} is returned without its content: {}", active_.at(key).envelope.queue_id(), octets.error().text());
    co_return co_await resolver_.report(std::move(request));
}

void QueueManager::take_reports(handoff::ReportReply& reply, std::vector<spool::NewMessageRef>& reports)
{
    for (handoff::EnqueueRequest& made : *reply.mutable_messages()) {
        auto message = std::make_shared<spool::NewMessage>();
        message->envelope = std::move(*made.mutable_envelope());
        message->content = std::move(*made.mutable_content());
        reports.push_back(std::move(message));
    }
}

void QueueManager::put_off(Key key, WallTime when)
{
    forget_active(key);
    count_place(key);
    if (const auto epoch = epochs_.find(key); epoch != epochs_.end() && !held_.contains(key)) {  // held: all else when it is released
        if (to_requeue_.erase(key) > 0)
            tasks_.spawn(requeue_after_round({key, epoch->second}));
        else
            deferred_.put(key, when);
    }
    wake_.notify_all();
}

/// Whatever woke it, it is not tried at a time that its sender did not choose, unless an operator named it.
bool QueueManager::hold_back(Key key, const handoff::Envelope& envelope)
{
    if (!envelope.has_release() || urged_.erase(key) != 0 || is_only_looked_at(key))
        return false;
    const WallTime wall = clock_.wall(), next = schedule::next_look(envelope.release(), wall);
    if (next <= wall)
        return false;
    deferred_.put(key, next);
    wake_.notify_all();
    return true;
}

void QueueManager::forget_active(Key key)
{
    const auto found = active_.find(key);
    if (found == active_.end())
        return;
    answer_first(key);
    resident_ -= found->second.resident.size();
    active_.erase(found);
}

/// A message that is no longer in the queue.
void QueueManager::forget(Key key)
{
    forget_active(key);
    deferred_.forget(key);
    epochs_.erase(key);
    tally_.gone(key);
    held_.erase(key);
    leaving_.erase(key);
    expiring_.erase(key);
    urged_.erase(key);
    to_requeue_.erase(key);
    crashed_.erase(key);
    looked_at_.erase(key);
    held_up_no_more(key);
}

void QueueManager::gone_if_removed(Key key)
{
    const auto found = active_.find(key);
    if (found == active_.end() || !found->second.removed)
        return;
    if (!found->second.deleted)  // postsuper says it otherwise
        log_.info("{}: removed", found->second.envelope.queue_id());
    ++counts_.removed;
    forget(key);
    if (const auto due = deferred_.earliest(); due && *due <= clock_.wall())
        wake_.notify_all();  // one that waits for room
}

}  // namespace posthorn::services
