// Clients that wait for what the first attempt at their mail says (smtpd_delivery_answer_domains). Their mail is on stable storage, and delivered as any
// other; where all that its sender would hear of is refused, the client is told it and keeps the mail: it is removed, and returned to nobody.
#include "services/queue_manager.hpp"

#include "base/strings.hpp"
#include "handoff/delivery_log.hpp"

#include <algorithm>

namespace posthorn::services {

using handoff::Verdict;

namespace {

constexpr std::size_t answer_octets = 400;  // of a reply line's 512 (RFC 5321 4.5.3.1.5)

/// What its next host said, in its words; where no host did, our own.
void put_refusal(const Verdict& verdict, handoff::EnqueueReply* reply)
{
    std::string_view text = verdict.diagnostic();
    std::uint32_t code = 554;
    if (text.size() > 4 && text.starts_with("55") && text[3] == ' ') {  // of other codes a client would make something else at this place
        code = static_cast<std::uint32_t>(550 + (text[2] - '0'));
        text.remove_prefix(4);
    } else if (text.empty()) {
        text = verdict.text();
        code = 550;
    }
    if (text.starts_with(verdict.status() + " "))
        text.remove_prefix(verdict.status().size() + 1);
    reply->set_refused(code);
    reply->set_status(verdict.status().starts_with('5') ? verdict.status() : "5.0.0");
    reply->set_text(printable(text.substr(0, answer_octets)));
}

/// Of a copy for somebody else, and of what he wants to hear nothing of, the sender is not told.
bool matters(const handoff::Recipient& recipient) { return recipient.notify() != handoff::NOTIFY_NEVER; }

}  // namespace

/// Returns when there is an answer. None within `patience`: it is in the queue as any other.
awaitable<Result<handoff::EnqueueReply>> QueueManager::first_answer(Key key, std::chrono::milliseconds patience)
{
    FirstAnswer answer(executor_);
    first_answers_.emplace(key, &answer);
    if (!co_await answer.said_now.wait_for(patience))
        while (answer.settling && !answer.said && !co_await cancelled())
            co_await answer.said_now.wait();
    first_answers_.erase(key);
    if (answer.settling && !answer.said)
        co_return Error{"the queue manager ends"};  // who asks the next one is told whether it was removed
    handoff::EnqueueReply reply = std::move(answer.reply);
    reply.set_committed(reply.refused() == 0);
    co_return reply;
}

void QueueManager::answer_first(Key key)
{
    if (const auto found = first_answers_.find(key); found != first_answers_.end()) {
        found->second->said = true;
        found->second->said_now.notify_all();
    }
}

/// The clients' server ends, and could not tell them later.
void QueueManager::answer_now()
{
    for (const auto& [key, answer] : first_answers_)
        if (!answer->settling) {
            answer->said = true;
            answer->said_now.notify_all();
        }
}

void QueueManager::hear_first(Key key, const Active& active, const Verdict& verdict)
{
    const auto found = first_answers_.find(key);
    if (found == first_answers_.end())
        return;
    if (matters(active.recipients[position(active, verdict.recipient())]))
        answer_first(key);
    else if (verdict.outcome() == handoff::OUTCOME_DELIVERED)
        ++found->second->copies;
}

/// True: the client waits, and all that its sender would hear of was refused. A copy that has yet to be delivered keeps the mail here.
bool QueueManager::may_refuse(Key key) const
{
    const auto found = first_answers_.find(key);
    if (found == first_answers_.end() || found->second->said)
        return false;
    const Active& active = active_.at(key);
    return active.failures.size() + found->second->copies == active.recipients.size() &&
           std::ranges::any_of(active.failures,
                               [&](const Verdict& verdict) { return matters(active.recipients[position(active, verdict.recipient())]); });
}

/// In place of a bounce. Where that cannot be stored, it is in the queue, and tried again.
awaitable<void> QueueManager::refuse_to_client(Key key)
{
    first_answers_.at(key)->settling = true;
    std::vector<Verdict> failures = std::move(active_.at(key).failures);
    const auto told = std::ranges::find_if(failures, [&](const Verdict& verdict) {
        const Active& active = active_.at(key);
        return matters(active.recipients[position(active, verdict.recipient())]);
    });
    handoff::EnqueueReply reply;
    put_refusal(*told, &reply);
    spool::Settlement settlement{.lease = active_.at(key).lease,
                                 .attempt = scheduler_.take_attempt(),
                                 .verdicts = std::move(failures),
                                 .next_try = {},
                                 .reports = {},
                                 .warned = false,
                                 .disowned = true};
    const bool stored = co_await store(key, std::move(settlement));
    const auto found = first_answers_.find(key);
    if (found == first_answers_.end())  // the queue manager ends
        co_return;
    if (const auto active = active_.find(key); stored && active != active_.end() && active->second.removed) {
        ++counts_.refused_to_client;
        log_.info("{}: the client that waits is told that it was refused; nothing is returned to the sender", active->second.envelope.queue_id());
        found->second->reply = std::move(reply);
    }
    found->second->settling = false;
    answer_first(key);
}

}  // namespace posthorn::services
