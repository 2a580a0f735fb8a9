// What an answer means for the mail that it is about: each reply of a flight is judged and noted here, in the order in which it came.
#include "send/session.hpp"

#include "peers/observation.hpp"

namespace posthorn::send {

namespace {

/// A server that has had enough of errors pauses for a second or more before each further answer.
constexpr std::chrono::milliseconds pause_of_displeasure{800};
constexpr std::uint32_t pauses_needed = 2;

/// RFC 3463 3.2: "bad sender's mailbox address syntax", "bad sender's system address"; RFC 7505: the sender's domain takes no mail.
bool about_sender(std::string_view status) { return status == "5.1.7" || status == "5.1.8" || status == "5.7.27"; }

}  // namespace

void Session::note(const Expected& expected, const smtp::Reply& reply, bool early, Act next)
{
    Judgement judgement = judge(expected.act, reply, {.out_of_step = out_of_step_, .behind_others = expected.behind_others});
    // XFORWARD is for the server's log: its refusal changes nothing for the mail.
    Transaction* const transaction = expected.act == Act::xforward ? nullptr : expected.transaction;
    refused_last_ = expected.act == Act::rcpt && judgement == Judgement::permanent;
    if (transaction && early_flight_ && doubts_early(expected, reply, judgement) && judgement == Judgement::permanent)
        judgement = Judgement::temporary;
    if (transaction && !transaction->hasty.empty())
        compare_with_early(expected, judgement);
    if (transaction && judgement == Judgement::permanent && about_dialogue(expected, reply))
        judgement = Judgement::temporary;
    // The peer does not like who asks: that says nothing of the address that was asked about.
    if (transaction && transaction->progress.probe && judgement == Judgement::permanent && about_sender(reply.status()))
        judgement = Judgement::temporary;
    if (transaction && judgement == Judgement::temporary && reply.permanent())
        transaction->doubted = true;
    advice_ = expected.act == Act::quit ? peers::Advice{} : heed(reply);
    if (judgement == Judgement::permanent && advice_.later()) {
        judgement = Judgement::temporary;                           // by a rule, and never silently
        around_.log.info("{}: host {} said: {}: taken for temporary, by smtp_peer_rules", wish_.queue_id, peer_text_, reply.logged());
    }
    const bool of_content = expected.act == Act::dot || expected.act == Act::bdat;
    if (transaction && expected.act != Act::rset && expected.act != Act::quit && judgement != Judgement::leaving)
        ++transaction->answers;
    const SteadyTime heard = std::max(heard_at_, last_reply_);
    const auto pause = std::chrono::duration_cast<std::chrono::milliseconds>(heard - std::exchange(last_reply_, heard));
    if (judgement == Judgement::leaving) {
        cut_off_ = told_to_leave_ = true;
        if (reply.code == 421 && errors_ != 0 && (expected.act == Act::rcpt || peers::speaks_of_errors(reply.text()))) {
            evidence_.errors = errors_;
            evidence_.errors_told = peers::speaks_of_errors(reply.text());
        }
        if (reply.code == 421)
            end_with(reason_of_reply(reply, Judgement::temporary, expected.act, peer_text_, host_.name, options_.lmtp));
        else {                                                      // a lone 221: the commands before QUIT were dropped
            end_with(lost(Error("lost connection", "4.4.2"), next));
            if (expected_.back().act == Act::quit)                  // it may answer that: others have no answer, and which is not known
                doubt_refusals();
        }
        return;
    }
    if (judgement == Judgement::out_of_place || (early && of_content && judgement == Judgement::good)) {
        out_of_step_ = true;
        end_with(reason_out_of_place(reply, expected.act, peer_text_, host_.name, options_.lmtp));
        doubt_refusals();                                           // those before it may have been another's as well
        return;
    }
    switch (expected.act) {
    case Act::mail: note_mail(*transaction, expected.recipient, judgement, reply); break;
    case Act::rcpt:
        if (reply.permanent())
            note_refusal(pause);
        note_rcpt(*transaction, expected.recipient, judgement, reply);
        break;
    case Act::data: note_data(*transaction, judgement, reply); break;
    case Act::header_chunk: note_header(*transaction, judgement, reply); break;
    case Act::dot:
    case Act::bdat: note_content(*transaction, expected.act, judgement, reply); break;
    case Act::rset:
        if (judgement == Judgement::good)
            open_transaction_ = false;
        else {
            end_with(reason_of_reply(reply, Judgement::temporary, Act::rset, peer_text_, host_.name, options_.lmtp));
            doubt_refusals(true);                                   // what else this flight was answered is not read any more
        }
        break;
    case Act::xforward:
        expected.transaction->progress.xforwarded = expected.recipient + 1;     // without PIPELINING the plan is made anew behind each
        if (judgement != Judgement::good) {
            const std::string_view command = expected.transaction->xforwards[expected.recipient];
            const bool host = command.starts_with("XFORWARD NAME") || command.starts_with("XFORWARD ADDR") || command.starts_with("XFORWARD PORT");
            around_.log.warning("host {} said: {} (in reply to XFORWARD {} command)", relay_, reply.logged(),
                                host ? "name/address" : "helo/protocol");
        }
        break;
    case Act::quit: end_with(Reason(false, "4.4.2", "the session has ended")); break;
    default: break;
    }
    // A refusal in the middle of the content: the answer counts, the rest of the content is not worth sending.
    if (early && of_content)
        end_with(reason_of_reply(reply, Judgement::temporary, expected.act, peer_text_, host_.name, options_.lmtp));
}

void Session::note_mail(Transaction& transaction, std::uint32_t recipient, Judgement judgement, const smtp::Reply& reply)
{
    if (judgement == Judgement::good) {
        open_transaction_ = true;
        transaction.progress.stage = Stage::addressing;
        transaction.progress.sender_open = true;
        transaction.refused = false;
        return;
    }
    transaction.refused = true;
    if (one_mail_each(transaction.progress, known_.quirks)) {
        // The others have a MAIL of their own.
        transaction.progress.asked = recipient + 1;
        refuse(transaction, transaction.recipients[recipient], reason_of_reply(reply, judgement, Act::mail, peer_text_, host_.name, options_.lmtp));
        return;
    }
    for (const std::uint32_t index : transaction.recipients)
        refuse(transaction, index, reason_of_reply(reply, judgement, Act::mail, peer_text_, host_.name, options_.lmtp));
}

/// Counts it, and sees where a peer that answered at once begins to take its time.
void Session::note_refusal(std::chrono::milliseconds pause)
{
    ++errors_;
    if (pause < pause_of_displeasure) {
        ++quick_errors_;
        slow_errors_ = 0;
    } else if (quick_errors_ != 0 && ++slow_errors_ == pauses_needed && evidence_.errors == 0)
        evidence_.errors = errors_ - pauses_needed;
}

void Session::note_rcpt(Transaction& transaction, std::uint32_t recipient, Judgement judgement, const smtp::Reply& reply)
{
    transaction.progress.asked = recipient + 1;
    transaction.progress.sender_open = false;
    if (transaction.refused) {
        transaction.contradicted = transaction.contradicted || judgement == Judgement::good;
        return;                                                     // 503 for want of MAIL: no news about the recipient
    }
    const std::uint32_t index = transaction.recipients[recipient];
    if (judgement != Judgement::good) {
        // Mail to those waits as RFC 5321 4.5.3.1.10 has it; of a probe's it says nothing, since the grouping is ours.
        if (transaction.progress.probe && recipient != 0 && reply.code == 452 && !reply.status().starts_with("4.2.")) {
            transaction.one_too_many = true;                        // some count those that they refused
            const bool of_bounces = transaction.progress.null_sender && !known_.quirks.has(peers::Quirk::one_rcpt_null_sender) &&
                                    peers::speaks_of_one_recipient(reply.text()) && !peers::speaks_of_recipient_limit(reply.status(), reply.text());
            if (of_bounces && !evidence_.exchanges.empty())
                evidence_.exchanges.back().says_one_recipient = true;
            return;
        }
        Reason reason = reason_of_reply(reply, judgement, Act::rcpt, peer_text_, host_.name, options_.lmtp);
        reason.retry_at = put_off(transaction, index, judgement, reply);
        refuse(transaction, index, reason);
        return;
    }
    ++transaction.progress.accepted;
    if (transaction.progress.probe && !options_.probe_data)
        transaction.sheet->deliver(index, reply);
    else
        transaction.sheet->accept(index, reply);
}

void Session::note_data(Transaction& transaction, Judgement judgement, const smtp::Reply& reply)
{
    if (judgement != Judgement::good) {
        // After refused recipients a refused DATA is only their consequence.
        if (transaction.progress.accepted != 0) {
            Reason reason = reason_of_reply(reply, judgement, Act::data, peer_text_, host_.name, options_.lmtp);
            for (const std::uint32_t index : transaction.recipients)
                if ((*transaction.sheet)[index].state == Fate::State::accepted)
                    reason.retry_at = std::max(reason.retry_at, put_off(transaction, index, judgement, reply));
            refuse_accepted(transaction, reason);
        }
        transaction.progress.stage = Stage::done;
        return;
    }
    transaction.progress.stage = Stage::invited;
    if (!transaction.progress.probe)
        return;
    transaction.sheet->deliver_accepted(transaction.recipients, reply);
    transaction.progress.stage = Stage::done;
    end_with(Reason(false, "4.4.2", "the session ended with the probe"));     // nothing but closing takes DATA back
}

void Session::note_header(Transaction& transaction, Judgement judgement, const smtp::Reply& reply)
{
    if (judgement != Judgement::good && transaction.progress.accepted != 0) {
        // Nothing of the mail can be said any more: what the server has of it is taken back by the RSET before the next one.
        refuse_accepted(transaction, reason_of_reply(reply, judgement, Act::header_chunk, peer_text_, host_.name, options_.lmtp));
        transaction.progress.stage = Stage::done;
    }                                                               // without recipients a refusal is their consequence
}

void Session::note_content(Transaction& transaction, Act act, Judgement judgement, const smtp::Reply& reply)
{
    transaction.progress.stage = Stage::done;
    if (transaction.progress.accepted == 0) {
        open_transaction_ = act == Act::bdat && !transaction.refused;
        if (judgement != Judgement::good)
            transaction.contradicted = false;                       // it was not taken
        return;
    }
    open_transaction_ = false;
    const Reason reason = judgement == Judgement::good ? Reason{} : reason_of_reply(reply, judgement, act, peer_text_, host_.name, options_.lmtp);
    if (options_.lmtp) {
        // RFC 2033 4.2: one answer per accepted recipient, in the order of their RCPTs.
        const std::size_t index = transaction.sheet->next_accepted();
        if (index < transaction.sheet->size()) {
            if (judgement == Judgement::good) {
                note_taken(transaction, index);
                transaction.sheet->deliver(index, reply);
            } else
                refuse(transaction, static_cast<std::uint32_t>(index), reason);
        }
        if (transaction.sheet->next_accepted() < transaction.sheet->size())
            return;
        ++contents_;
        keep_arrival(transaction);
        return;
    }
    if (judgement == Judgement::good) {
        ++contents_;
        keep_arrival(transaction);
        transaction.content_taken = true;
        for (const std::uint32_t recipient : transaction.recipients)
            note_taken(transaction, recipient);
        transaction.sheet->deliver_accepted(transaction.recipients, reply);
    } else
        refuse_accepted(transaction, reason);
}

}  // namespace posthorn::send
