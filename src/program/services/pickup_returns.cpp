// What comes back to the queue, as new messages: what is put in again (postsuper -r), what cleanup or a Milter refused, reports and notices.
#include "services/pickup.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "report/notice.hpp"
#include "services/stored.hpp"
#include "smtp/path.hpp"
#include "spool/incoming.hpp"

#include <fmt/format.h>
#include <unistd.h>

namespace posthorn::services {

// ---- From the queue to the queue

/// After a start the queue manager may ask before it has said which ids are ours.
awaitable<Result<std::string>> Pickup::queue_id_soon()
{
    auto queue_id = queue_.next_queue_id();
    for (int tries = 0; !queue_id && tries < 50 && !co_await cancelled(); ++tries) {
        co_await sleep_for(std::chrono::milliseconds{100});
        queue_id = queue_.next_queue_id();
    }
    if (!queue_id)
        co_return Error{"no queue id is at hand", "4.3.0"};
    co_return *std::move(queue_id);
}

awaitable<Result<handoff::RequeueReply>> Pickup::requeue(handoff::RequeueRequest request, std::vector<Fd> descriptors)
{
    if (request.unchanged())
        co_return co_await pass_on(std::move(request), std::move(descriptors));
    const bool submitted = request.submitted();
    CO_TRY(handoff::RequeueReply reply, co_await clean_again(std::move(request), std::move(descriptors)));
    if (!submitted || !reply.has_message() || !milters_ || !milters_->any())
        co_return reply;
    handoff::EnqueueRequest& message = *reply.mutable_message();
    const auto kept = co_await show_and_change(message.mutable_envelope(), message.mutable_content());
    if (kept && *kept)
        co_return reply;
    forget(message.content());
    reply.clear_message();
    reply.set_status(kept ? "5.7.1" : kept.error().status);
    reply.set_text(kept ? "a Milter discards it" : kept.error().text);
    co_return reply;
}

/// To the octet, since who delivers it would have had it so. What would be counted in its header is counted beside it.
awaitable<Result<handoff::RequeueReply>> Pickup::pass_on(handoff::RequeueRequest request, std::vector<Fd> descriptors)
{
    handoff::RequeueReply reply;
    handoff::Envelope& envelope = *request.mutable_envelope();
    if (envelope.hops() >= options()->hopcount_limit) {
        reply.set_status("5.4.6");
        reply.set_text("Error: too many hops");
        co_return reply;
    }
    envelope.set_hops(envelope.hops() + 1);
    CO_TRY(*envelope.mutable_queue_id(), co_await queue_id_soon());
    envelope.set_hold(false);
    const auto stored = std::make_shared<Stored>(std::move(*request.mutable_content()->mutable_inline_octets()),
                                                 descriptors.empty() ? Fd{} : std::move(descriptors.front()));
    CO_TRY(*reply.mutable_message()->mutable_content(), co_await on_thread(pool_, [this, stored, size = envelope.size(), id = envelope.queue_id()] {
        return content(id, {}, size, [&](const Take& take) { return stored->rest(0, take); });
    }));
    reply.mutable_message()->mutable_content()->set_nobodys(true);
    *reply.mutable_message()->mutable_envelope() = std::move(envelope);
    co_return reply;
}

awaitable<Result<handoff::RequeueReply>> Pickup::clean_again(handoff::RequeueRequest request, std::vector<Fd> descriptors)
{
    handoff::RequeueReply reply;
    handoff::Envelope& envelope = *request.mutable_envelope();
    CO_TRY(const std::string queue_id, co_await queue_id_soon());
    const std::string old_id = std::exchange(*envelope.mutable_queue_id(), queue_id);
    envelope.set_hold(false);
    envelope.set_filter(options()->content_filter);
    const auto stored = std::make_shared<Stored>(std::move(*request.mutable_content()->mutable_inline_octets()),
                                                 descriptors.empty() ? Fd{} : std::move(descriptors.front()));
    CO_TRY(const std::string old_head, co_await on_thread(pool_, [this, stored] { return stored->head(options()->header_limit); }));
    const std::uint64_t rest_size = envelope.size() - std::min<std::uint64_t>(envelope.size(), old_head.size());
    // What was in the queue is handed in anew by us; what has no name yet nobody hands in.
    const bool again = !old_id.empty();
    if (again)
        log_.info("{}: uid={} from=<{}> orig_id={}", queue_id, ::geteuid(), smtp::external_address(envelope.sender()), old_id);
    std::string head = received(envelope, again ? std::optional(::geteuid()) : std::nullopt) + old_head;
    handoff::Cleaner& cleaner = request.forwarded() && forwarder_ ? *forwarder_ : cleaner_;
    auto cleaned = co_await cleaner.clean(std::move(envelope), std::move(head));
    if (!cleaned) {
        reply.set_status(cleaned.error().status);
        reply.set_text(cleaned.error().text);
        co_return reply;
    }
    if (cleaned->envelope.recipients_size() == 0) {
        reply.set_status("5.1.3");
        reply.set_text("no recipient is left");
        co_return reply;
    }
    const std::uint64_t offset = old_head.size();
    const auto discarded = [&reply] {
        reply.set_status("5.7.1");
        reply.set_text("header_checks or body_checks would discard it");
        return reply;
    };
    if (cleaned->discard)
        co_return discarded();
    if (cleaned->body) {
        auto checked = co_await checked_content(&*cleaned, [&](std::uint64_t at, std::span<char> into) { return stored->read(offset + at, into); });
        if (!checked) {
            reply.set_status(checked.error().status);
            reply.set_text(checked.error().text);
            co_return reply;
        }
        if (cleaned->discard)
            co_return discarded();
        *reply.mutable_message()->mutable_content() = *std::move(checked);
        reply.mutable_message()->mutable_content()->set_nobodys(true);
        *reply.mutable_message()->mutable_envelope() = std::move(cleaned->envelope);
        co_return reply;
    }
    CO_TRY(*reply.mutable_message()->mutable_content(),
           co_await on_thread(pool_, [this, stored, offset, rest_size, id = queue_id, new_head = cleaned->head] {
               return content(id, new_head, rest_size, [&](const Take& take) { return stored->rest(offset, take); });
           }));
    reply.mutable_message()->mutable_content()->set_nobodys(true);
    cleaned->envelope.set_size(rest_size + cleaned->head.size());
    *reply.mutable_message()->mutable_envelope() = std::move(cleaned->envelope);
    co_return reply;
}

awaitable<Result<void>> Pickup::send_back(handoff::Envelope envelope, std::string head, handoff::Refusal refusal)
{
    handoff::ReportRequest request;
    request.set_kind(handoff::ReportRequest::FAILURE);
    std::uint32_t index = 0;
    for (handoff::Recipient& recipient : *envelope.mutable_recipients()) {
        recipient.set_index(index++);
        handoff::Verdict& verdict = *request.add_verdicts();
        verdict.set_recipient(recipient.index());
        verdict.set_outcome(handoff::OUTCOME_BOUNCED);
        verdict.set_status(refusal.status);
        verdict.set_text(refusal.text);
    }
    *request.mutable_envelope() = std::move(envelope);
    request.set_header(std::move(head));
    request.set_now(clock_.wall().time_since_epoch().count());
    for (int i = 0; i < 2; ++i)
        if (auto id = queue_.next_queue_id())
            request.add_queue_ids(*std::move(id));
    CO_TRY(handoff::ReportReply reply, co_await report(std::move(request)));
    Result<void> taken;
    for (handoff::EnqueueRequest& message : *reply.mutable_messages())
        if (taken)
            taken = co_await give(std::move(message));
        else
            forget(message.content());                       // all of it is tried again, under other queue ids
    CO_TRY_VOID(taken);
    for (const std::string& line : reply.log())
        bounce_log_.write(observe::Level::info, line);
    co_return Result<void>{};
}

/// A full queue has answered, and its room is wanted back. Of any other error it is not sure that nothing was stored: what no message names is swept.
awaitable<Result<void>> Pickup::give(handoff::EnqueueRequest message)
{
    auto taken = co_await queue_.enqueue(std::move(*message.mutable_envelope()), message.content(), handoff::no_patience);
    if (taken)
        co_return Result<void>{};
    if (taken.error().status() == "4.3.1")
        forget(message.content());
    co_return std::move(taken).error();
}

/// Its sender is somebody else's, who is told nothing: who handed it in is, or the postmaster where that one has no name here.
awaitable<Result<void>> Pickup::turn_away(handoff::Envelope envelope, std::string head, std::string login)
{
    const std::string text = fmt::format("not authorized to use sender='{}'", printable(envelope.sender(), true));
    log_.warning("{}: uid={}: {}", envelope.queue_id(), envelope.submitter(), text);
    envelope.set_sender(login.empty() ? reports_().double_bounce_notice_recipient : login);
    co_return co_await send_back(std::move(envelope), std::move(head), handoff::Refusal(550, "5.7.1", text));
}

// ---- Reports

awaitable<Result<handoff::ReportReply>> Pickup::report(handoff::ReportRequest request)
{
    std::vector<std::string> explanations;
    if (explain_)
        explanations = co_await explain_(request);
    handoff::ReportReply reply = report::compose(request, reports_(), explanations);
    if (const auto prepared = co_await prepare(&reply); !prepared) {
        for (const handoff::EnqueueRequest& message : reply.messages())
            forget(message.content());  // it is composed anew when it is asked for again
        co_return prepared.error();
    }
    co_return reply;
}

/// Addressed, looked at, and filed where it is large.
awaitable<Result<void>> Pickup::prepare(handoff::ReportReply* reply)
{
    for (int at = 0; at < reply->messages_size();) {
        handoff::EnqueueRequest* const message = reply->mutable_messages(at);
        if (address_)
            CO_TRY_VOID(co_await address_(message->mutable_envelope()));
        bool keep = true;
        if (options()->inspect_reports) {
            CO_TRY(keep, co_await inspect(message));
        }
        if (keep)
            ++at;
        else
            reply->mutable_messages()->DeleteSubrange(at, 1);
    }
    co_return co_await file_large(reply);
}

Result<void> set_internal_filter_classes(PickupOptions& options, std::string_view words)
{
    for (const std::string_view word : split(words, ", \t\r\n")) {
        if (iequals(word, "bounce"))
            options.inspect_reports = true;
        else if (iequals(word, "notify"))
            options.inspect_notices = true;
        else
            return Error{fmt::format("internal_mail_filter_classes: unknown word \"{}\": expected bounce, notify", word)};
    }
    return {};
}

/// A report that is checked as mail of others is (internal_mail_filter_classes). False: a check or a Milter discards or refuses it; nobody is
/// told of that but the log, since who would be told of a report that cannot be sent?
awaitable<Result<bool>> Pickup::inspect(handoff::EnqueueRequest* message)
{
    const std::string queue_id = message->envelope().queue_id(), octets = message->content().inline_octets();
    const auto refused = [&](const handoff::Refusal& refusal) -> Result<bool> {
        if (refusal.code < 500)
            return Error{refusal.text, refusal.status};
        log_.warning("{}: mail of our own is refused, and not sent: {} {}", queue_id, refusal.status, refusal.text);
        return false;
    };
    handoff::Envelope& envelope = *message->mutable_envelope();
    if (inspector_) {
        const std::size_t head = head_size(octets);
        auto cleaned = co_await inspector_->clean(std::move(envelope), octets.substr(0, head));
        if (!cleaned)
            co_return refused(cleaned.error());
        if (cleaned->body && !cleaned->discard) {
            auto checked = co_await checked_content(&*cleaned, [&octets, head](std::uint64_t at, std::span<char> into) -> Result<std::size_t> {
                const std::uint64_t from = std::min<std::uint64_t>(head + at, octets.size());
                return octets.copy(into.data(), into.size(), from);
            });
            if (!checked)
                co_return refused(checked.error());
            *message->mutable_content() = *std::move(checked);
        } else {
            message->mutable_content()->set_inline_octets(cleaned->head + octets.substr(head));
            cleaned->envelope.set_size(message->content().inline_octets().size());
        }
        if (cleaned->discard)
            co_return false;
        envelope = std::move(cleaned->envelope);
    }
    if (!milters_ || !milters_->any())
        co_return true;
    const auto kept = co_await show_and_change(&envelope, message->mutable_content());
    co_return kept ? Result<bool>(*kept) : refused(kept.error());
}

awaitable<Result<handoff::SessionNoticeReply>> Pickup::tell_postmaster(handoff::SessionNotice notice)
{
    CO_TRY(std::string queue_id, co_await queue_id_soon());
    handoff::EnqueueRequest mail = report::session_notice(notice, reports_(), std::move(queue_id), clock_.wall());
    if (address_)
        CO_TRY_VOID(co_await address_(mail.mutable_envelope()));
    bool keep = true;
    if (options()->inspect_notices) {
        CO_TRY(keep, co_await inspect(&mail));
    }
    if (!keep)
        co_return handoff::SessionNoticeReply{};
    CO_TRY_VOID(co_await give(std::move(mail)));
    co_return handoff::SessionNoticeReply{};
}

/// What returns much, or tells of many, is above what travels in a frame: it goes by a file, as any message of that size.
awaitable<Result<void>> Pickup::file_large(handoff::ReportReply* reply)
{
    for (handoff::EnqueueRequest& message : *reply->mutable_messages()) {
        if (message.content().inline_octets().size() <= handoff::inline_content_limit)
            continue;
        const std::string queue_id = message.envelope().queue_id();
        CO_TRY(*message.mutable_content(), co_await on_thread(pool_, [this, queue_id, octets = message.content().inline_octets()] {
            files_->remove(spool::incoming_name(queue_id));  // of a process that ended before it could answer
            return content(queue_id, octets, 0, [](const Take&) { return Result<void>{}; });
        }));
    }
    co_return Result<void>{};
}

}  // namespace posthorn::services
