// spool/crash_workload.hpp: a queue at work on recorded files, and what must be true of the disk that a power loss leaves. For tests.
#pragma once

#include "spool/ledger.hpp"
#include "spool/opening.hpp"
#include "spool/recorded_files.hpp"
#include "spool/spool.hpp"
#include "spool/test_messages.hpp"

#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>

#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>

namespace posthorn::spool {

/// What was asked of the queue, and what it acknowledged.
class Expectations {
public:
    enum class Fate { none, asked, sure };     // "sure" in both directions: see `refused`
    struct Message {
        std::string octets;
        int recipients = 1;
        Fate enqueued = Fate::none, removed = Fate::none;
        bool refused = false;                  // 4.3.1 or 4.3.0: must not be there
        std::map<std::uint32_t, Fate> settled; // per recipient, final
        int report_of = 0;                     // the message whose recipient 0 left together with this one's arrival
    };

    template <class Change>
    void note(int number, Change change)
    {
        const std::lock_guard lock(mutex_);
        change(messages_[number]);
    }

    /// Opens the disk as a restarted qmgr does and compares. Empty: as it must be.
    std::string compare(FileOps& files) const
    {
        const auto messages = [&] {
            const std::lock_guard lock(mutex_);    // not while the files are asked: who notes may hold their lock
            return messages_;
        }();
        Options options;
        options.orphan_age = std::chrono::seconds{0};
        auto opening = open_queue(files, options, clock_, silent_log());
        if (!opening)
            return "does not open: " + opening.error().text();
        if (opening->opened.salvaged)
            return "was found damaged";
        Ledger& ledger = *opening->ledger;
        if (const auto findings = ledger.check_structure(); !findings.empty())
            return "structure: " + findings.front();
        for (const char* table : {"content", "recipient"})
            if (ledger.connection().number(fmt::format("SELECT count(*) FROM {} WHERE key NOT IN (SELECT key FROM message)", table)))
                return fmt::format("rows of {} without their message", table);
        std::map<int, StoredMessage> there;
        for (StoredMessage& stored : ledger.list(0, 1'000'000).entries)
            there.emplace(static_cast<int>(stored.lease.sequence()), std::move(stored));
        std::set<std::string> named;
        for (const auto& [number, stored] : there) {
            const auto known = messages.find(number);
            if (known == messages.end() || known->second.enqueued == Fate::none)
                return fmt::format("message {} was never asked for", number);
            if (known->second.refused)
                return fmt::format("message {} is there, but was refused", number);
            if (known->second.removed == Fate::sure)
                return fmt::format("message {} is there, but had left", number);
            const auto reader = ledger.content(stored.lease);
            if (!reader)
                return fmt::format("message {}: {}", number, reader.error().text());
            const auto octets = (*reader)->octets();
            if (!octets || *octets != known->second.octets)
                return fmt::format("message {} is there, but its content is not what was sent", number);
            std::size_t left = static_cast<std::size_t>(known->second.recipients), unsure = 0;
            for (const auto& [recipient, fate] : known->second.settled) {
                left -= fate == Fate::sure;
                unsure += fate == Fate::asked;
                if (fate == Fate::sure &&
                    std::ranges::any_of(stored.recipients, [&](const auto& each) { return each.recipient.index() == recipient; }))
                    return fmt::format("message {}: recipient {} is there, but was settled", number, recipient);
            }
            if (stored.recipients.size() > left || stored.recipients.size() + unsure < left)
                return fmt::format("message {} has {} recipients, not {} less up to {}", number, stored.recipients.size(), left, unsure);
            if (known->second.octets.size() > handoff_limit)
                named.insert(stored.envelope.queue_id());
        }
        for (const auto& [number, message] : messages) {
            if (message.enqueued == Fate::sure && message.removed == Fate::none && !there.contains(number))
                return fmt::format("message {} was acknowledged, and is lost", number);
            if (message.enqueued == Fate::sure && !ledger.was_committed(queue_id(number)))
                return fmt::format("message {} was acknowledged, and was_committed() denies it", number);
            if (message.report_of == 0 || message.removed != Fate::none)
                continue;
            const auto about = there.find(message.report_of);
            const bool recipient_there =
                about != there.end() && std::ranges::any_of(about->second.recipients, [](const auto& each) { return each.recipient.index() == 0; });
            if (recipient_there == there.contains(number))
                return fmt::format("message {}: its recipient {}, and the report of that is {}", message.report_of,
                                   recipient_there ? "is there" : "has left", there.contains(number) ? "there" : "not");
        }
        std::vector<Entry> entries;
        files.list(incoming_folder, entries);
        for (const Entry& entry : entries)
            if (!named.contains(entry.name))
                return fmt::format("incoming/{} is an orphan", entry.name);
        return {};
    }

    /// After a restart: what was unknown is now what the queue says.
    void settle_fates(FileOps& files)
    {
        const std::lock_guard lock(mutex_);
        auto opening = open_queue(files, {}, clock_, silent_log());
        if (!opening)
            return;
        for (auto& [number, message] : messages_) {
            const auto lease = opening->ledger->find(queue_id(number));
            if (message.enqueued == Fate::asked && opening->ledger->was_committed(queue_id(number)))
                message.enqueued = Fate::sure;
            else if (message.enqueued == Fate::asked)
                message.refused = true;
            if (message.removed == Fate::asked)
                message.removed = lease ? Fate::none : Fate::sure;
            for (auto& [recipient, fate] : message.settled) {
                const auto read = lease ? opening->ledger->read(*lease) : Result<StoredMessage>(Error{"gone"});
                const bool there =
                    read && std::ranges::any_of(read->recipients, [&](const auto& each) { return each.recipient.index() == recipient; });
                if (fate == Fate::asked)
                    fate = there ? Fate::none : Fate::sure;
            }
        }
    }

private:
    static constexpr std::size_t handoff_limit = 64 * 1024;
    mutable std::mutex mutex_;
    std::map<int, Message> messages_;
    HandClock clock_;
};

/// Drives a Spool as qmgr and smtpd do; every answer is noted.
class Workload {
public:
    /// `receivers`: the files as other processes have them, who write content; those of the queue where there is none.
    Workload(FileOps& files, Expectations& expected, std::uint64_t seed, FileOps* receivers = nullptr)
        : files_(files), receivers_(receivers ? *receivers : files), expected_(expected), random_(seed)
    {
    }
    ~Workload() { spool_.reset(); }

    Result<void> start()
    {
        Options options;
        options.verdict_delay = std::chrono::milliseconds{1};
        options.room_retry = std::chrono::milliseconds{1};
        options.checkpoint_octets = 96 << 10;              // often
        options.slack_octets = 16 << 10;
        options.orphan_age = std::chrono::seconds{0};
        options.slow_sync = random_() % 2 ? std::chrono::microseconds{0} : std::chrono::hours{1};
        Events events;
        events.failed = [this](Error) { failed_ = true; };
        TRY(spool_, Spool::open(files_, options, on_.loop.get_executor(), on_.clock, silent_log(), events));
        TRY(const Block block, on_.get(spool_->reserve(Counter::attempt, 1000)));
        attempt_ = block.first;
        return {};
    }
    void stop() { spool_.reset(); }
    bool failed() const { return failed_; }
    /// What the queue answers counts when this has returned; none: at once.
    std::function<void()> answered;
    Spool& spool() { return *spool_; }
    LoopHarness& on() { return on_; }

    /// One thing that happens to a queue. False: the store has failed.
    bool step()
    {
        const auto what = random_() % 20;
        if (what >= 16)
            crowd();
        else if (present_.size() < 4 || what < 6)
            enqueue(1 + random_() % 3, random_() % 4 == 0 ? 1 + random_() % 60'000 : 1 + random_() % 5'000);
        else if (what < 8)
            enqueue_large();
        else if (what < 13)
            settle();
        else if (what == 13)
            remove();
        else if (what == 14)
            defer();
        else
            sweep_or_restart();
        return !failed_;
    }

    bool enqueue_one(std::size_t size)
    {
        enqueue(1, size);
        return !failed_;
    }

private:
    using Fate = Expectations::Fate;

    void heard() const
    {
        if (answered)
            answered();
    }

    template <class T>
    void note_answer(int number, const Result<T>& answer)
    {
        heard();
        expected_.note(number, [&](Expectations::Message& message) {
            if (answer)
                message.enqueued = Fate::sure;
            else if (!answer.error().status().empty())
                message.refused = true;
        });
        if (answer)
            present_.push_back(number);
    }

    awaitable<Result<void>> enqueue_all(std::vector<std::pair<int, NewMessageRef>> messages)
    {
        TaskGroup group(co_await asio::this_coro::executor);
        for (auto& [number, message] : messages)
            group.spawn(enqueue_noted(number, message));
        co_await group.drained();
        co_return Result<void>{};
    }

    awaitable<void> enqueue_noted(int number, NewMessageRef message)
    {
        const auto answer = co_await spool_->enqueue(std::move(message));
        note_answer(number, answer);
    }

    awaitable<void> soon()
    {
        asio::steady_timer timer(on_.loop, std::chrono::microseconds{random_() % 20'000});
        co_await timer.async_wait(use_awaitable);
    }

    awaitable<Result<void>> together(std::vector<awaitable<void>> tasks)
    {
        TaskGroup group(co_await asio::this_coro::executor);
        for (auto& task : tasks)
            group.spawn(std::move(task));
        co_await group.drained();
        co_return Result<void>{};
    }

    awaitable<void> enqueue_soon(int number, NewMessageRef message)
    {
        co_await soon();
        co_await enqueue_noted(number, std::move(message));
        if (random_() % 2 && std::ranges::find(present_, number) != present_.end())
            co_await remove_soon(number);
    }

    /// As a receiver that lost the answer: it believes a "yes".
    awaitable<void> ask_soon(int number)
    {
        co_await soon();
        const auto committed = co_await spool_->was_committed(queue_id(number));
        heard();
        if (committed && *committed)
            expected_.note(number, [](Expectations::Message& message) { message.enqueued = Fate::sure; });
    }

    awaitable<void> remove_soon(int number)
    {
        std::erase(present_, number);
        co_await soon();
        const auto lease = co_await spool_->find(queue_id(number));
        if (!lease || !*lease)
            co_return;
        expected_.note(number, [](Expectations::Message& message) { message.removed = Fate::asked; });
        const auto removed = co_await spool_->remove({**lease});
        heard();
        if (removed)
            expected_.note(number, [](Expectations::Message& message) { message.removed = Fate::sure; });
        else
            present_.push_back(number);
    }

    awaitable<void> sweep_soon()
    {
        co_await soon();
        (void)co_await spool_->sweep();
    }

    /// Many at once, not all in one commit.
    void crowd()
    {
        std::vector<awaitable<void>> tasks;
        for (auto count = 3 + random_() % 5; count > 0; --count) {
            const int number = ++number_;
            auto message = message_of(number, 1 + random_() % 5'000);
            expected_.note(number, [&](Expectations::Message& expected) {
                expected.octets = message->content.inline_octets();
                expected.enqueued = Fate::asked;
            });
            tasks.push_back(enqueue_soon(number, std::move(message)));
            tasks.push_back(ask_soon(number));
        }
        for (int count = 0; count < 2 && present_.size() > 2; ++count)
            tasks.push_back(remove_soon(present_[static_cast<std::size_t>(count)]));
        for (int count = 0; count < 4; ++count)
            tasks.push_back(sweep_soon());
        (void)on_.get(together(std::move(tasks)));
    }

    void enqueue(std::size_t count, std::size_t size)
    {
        std::vector<std::pair<int, NewMessageRef>> messages;
        for (std::size_t i = 0; i < count; ++i) {
            const int number = ++number_, recipients = random_() % 8 == 0 ? 12 : 1 + static_cast<int>(random_() % 2);
            auto message = message_of(number, size, recipients);
            expected_.note(number, [&](Expectations::Message& expected) {
                expected.octets = message->content.inline_octets();
                expected.recipients = recipients;
                expected.enqueued = Fate::asked;
            });
            messages.emplace_back(number, std::move(message));
        }
        (void)on_.get(enqueue_all(std::move(messages)));
    }

    void enqueue_large()
    {
        const int number = ++number_;
        const std::string octets = octets_of(number, 66'000 + random_() % 30'000);
        auto file = IncomingFile::create(receivers_, queue_id(number));
        if (!file || !file->append(std::string_view(octets).substr(0, 40'000)))
            return;                                        // the client is told 4.3.x, the file goes
        if (random_() % 6 == 0)
            return;                                        // the client hung up
        if (!file->append(std::string_view(octets).substr(40'000)) || !file->sync())
            return;
        auto message = message_of(number, 0);
        message->envelope.set_size(octets.size());
        message->content.Clear();
        message->content.set_file(file->name());
        expected_.note(number, [&](Expectations::Message& expected) {
            expected.octets = octets;
            expected.enqueued = Fate::asked;
        });
        const auto answer = on_.get(spool_->enqueue(message));
        if (answer || answer.error().status().empty())
            file->keep();
        note_answer(number, answer);
    }

    int any_present() { return present_[random_() % present_.size()]; }

    std::optional<Lease> lease_of(int number)
    {
        const auto found = on_.get(spool_->find(queue_id(number)));
        return found ? *found : std::nullopt;
    }

    void settle()
    {
        const int number = any_present();
        const auto lease = lease_of(number);
        if (!lease)
            return;
        const auto read = on_.get(spool_->read(*lease));
        if (!read)
            return;
        const std::uint32_t recipient = read->recipients[random_() % read->recipients.size()].recipient.index();
        const bool last = read->recipients.size() == 1;
        Settlement settlement{*lease, ++attempt_, {}, {}, {}, false};
        settlement.verdicts.emplace_back().set_recipient(recipient);
        int report = 0;
        // Reports are told about recipient 0: that pair is what compare() looks at.
        if (recipient == 0 && random_() % 2) {
            settlement.verdicts.back().set_outcome(handoff::OUTCOME_BOUNCED);
            report = ++number_;
            auto message = message_of(report, 200 + random_() % 3000);
            expected_.note(report, [&](Expectations::Message& expected) {
                expected.octets = message->content.inline_octets();
                expected.enqueued = Fate::asked;
                expected.report_of = number;
            });
            settlement.reports = {message};
        } else {
            settlement.verdicts.back().set_outcome(handoff::OUTCOME_DELIVERED);
        }
        expected_.note(number, [&](Expectations::Message& expected) {
            expected.settled[recipient] = Fate::asked;
            if (last)
                expected.removed = Fate::asked;
        });
        const auto answer = on_.get(spool_->settle(settlement));
        heard();
        if (!answer)
            return;
        expected_.note(number, [&](Expectations::Message& expected) {
            expected.settled[recipient] = Fate::sure;
            if (last)
                expected.removed = Fate::sure;
        });
        if (last)
            std::erase(present_, number);
        if (report)
            note_answer(report, answer);
    }

    void remove()
    {
        const int number = any_present();
        const auto lease = lease_of(number);
        if (!lease)
            return;
        expected_.note(number, [](Expectations::Message& expected) { expected.removed = Fate::asked; });
        const auto answer = on_.get(spool_->remove({*lease}));
        heard();
        if (!answer)
            return;
        expected_.note(number, [](Expectations::Message& expected) { expected.removed = Fate::sure; });
        std::erase(present_, number);
    }

    void defer()
    {
        const auto lease = lease_of(any_present());
        if (!lease)
            return;
        const auto read = on_.get(spool_->read(*lease));
        if (!read)
            return;
        Settlement settlement{*lease, ++attempt_, {}, WallTime{std::chrono::hours{1}}, {}, false};
        for (const RecipientState& each : read->recipients) {
            handoff::Verdict& verdict = settlement.verdicts.emplace_back();
            verdict.set_recipient(each.recipient.index());
            verdict.set_outcome(handoff::OUTCOME_DEFERRED);
            verdict.set_text("connect to mx.example.net[192.0.2.1]:25: Connection timed out");
        }
        (void)on_.get(spool_->settle(settlement));
    }

    void sweep_or_restart()
    {
        if (random_() % 2) {
            (void)on_.get(spool_->sweep());
            return;
        }
        spool_.reset();
        if (!start())
            failed_ = true;
    }

    FileOps& files_;
    FileOps& receivers_;
    Expectations& expected_;
    std::mt19937_64 random_;
    LoopHarness on_;
    std::unique_ptr<Spool> spool_;
    std::atomic<bool> failed_ = false;
    std::vector<int> present_;
    int number_ = 0;
    std::uint64_t attempt_ = 0;
};

}  // namespace posthorn::spool
