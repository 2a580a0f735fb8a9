// A content that is being stored while the commands behind it are read. A client that sends many messages without waiting (BDAT, RFC 3030; the next
// envelope behind a content, RFC 2920) would otherwise wait for the disk once for each of them: here they share its syncs. No 250 is said before
// the queue has what it is for, and none before the replies in front of it.
#include "receive/session.hpp"

#include "base/strings.hpp"

namespace posthorn::receive {

/// Is there anything to read meanwhile? QUIT is not worth the trouble. What is in a file waits for its own sync first. Memory that others may need is not
/// for haste: a mail that would be taken in its turn must not be refused.
bool Session::may_read_on(const Content& content) const
{
    return !content.refusal() && content.inline_in_queue() && !input_.empty() && !istarts_with(input_.view(), "QUIT") &&
           (!storing_ || storing_->mails.size() < Storing::limit) && core_.ceiling.used() < core_.ceiling.limit() / 2 && !core_.edits_rejects();
}

/// The transaction is over for the client, as after any content.
void Session::store_meanwhile(handoff::Envelope envelope, std::unique_ptr<Content> content, std::string ok, std::chrono::milliseconds patience,
                              const smtp::Verb& verb)
{
    if (!storing_)
        storing_ = std::make_unique<Storing>(core_.executor);
    handoff::Content octets = content->take_content();
    Storing::Mail& mail = storing_->mails.emplace_back(Storing::Mail{.at = out_.size(),
                                                                     .ok = std::move(ok),
                                                                     .queue_id = envelope.queue_id(),
                                                                     .verb = &verb,
                                                                     .content = std::move(content),
                                                                     .patience = patience,
                                                                     .sender = std::move(facts_.sender),
                                                                     .recipient = std::move(facts_.recipient),
                                                                     .errors = std::exchange(errors_, 0),
                                                                     .junk = std::exchange(junk_, 0),
                                                                     .trouble = record_ ? record_->forgive() : handoff::NotifyClasses{},
                                                                     .failure = Error{"the server ends", "4.3.2"},
                                                                     .refusal = refusal_of(Error{"the server ends", "4.3.2"})});
    end_transaction();
    ++storing_->open;
    storing_->tasks.spawn(store(mail, std::move(envelope), std::move(octets)));
}

awaitable<void> Session::store(Storing::Mail& mail, handoff::Envelope envelope, handoff::Content content)
{
    auto stored = co_await core_.outside.queue.enqueue(std::move(envelope), std::move(content), mail.patience);
    if (stored) {
        mail.failure.reset();
        mail.refusal = *std::move(stored);
    } else {
        mail.refusal = refusal_of(stored.error());
        mail.failure = std::move(stored).error();
    }
    if (--storing_->open == 0)
        storing_->ended.notify_all();
}

/// Waits for all of them; then each has its reply in out_. What stands before the first one leaves before the wait. False: the client is gone.
awaitable<bool> Session::end_storing()
{
    Storing& storing = *storing_;
    bool here = true;
    if (const std::size_t before = storing.mails.front().at; storing.open > 0 && before > 0) {
        std::string decided = out_.substr(0, before);
        out_.erase(0, before);
        for (Storing::Mail& mail : storing.mails)
            mail.at -= before;
        here = co_await transmit(std::move(decided));
    }
    while (storing.open > 0 && !co_await cancelled())
        co_await storing.ended.wait();
    co_await storing.tasks.close();

    const std::unique_ptr<Storing> ended = std::move(storing_);
    const std::string said = std::exchange(out_, {});
    std::size_t done = 0;
    const auto keep_until = [&](std::size_t end) {
        const std::string_view replies = std::string_view(said).substr(done, end - done);
        if (record_)
            record_->said(replies);
        out_ += replies;
        done = end;
    };
    for (Storing::Mail& mail : ended->mails) {
        keep_until(mail.at);
        conclude(mail);
    }
    keep_until(said.size());
    co_return here;
}

void Session::conclude(Storing::Mail& mail)
{
    if (mail.failure) {
        mail.content->refused(*mail.failure);
        warn_of(mail.queue_id, *mail.failure);
    } else {
        mail.content->committed();
    }
    if (!mail.refusal) {
        ++core_.accepted;
        return say(mail.ok);
    }
    tally_.failed(mail.verb);
    errors_ += mail.errors + 1;
    junk_ += mail.junk;
    if (record_)
        record_->remember(mail.trouble);
    const std::string_view where = std::exchange(where_, "END-OF-MESSAGE");
    std::swap(facts_.sender, mail.sender);
    std::swap(facts_.recipient, mail.recipient);
    refuse_content(*mail.refusal, mail.queue_id);
    where_ = where;
    facts_.sender = std::move(mail.sender);
    facts_.recipient = std::move(mail.recipient);
}

}  // namespace posthorn::receive
