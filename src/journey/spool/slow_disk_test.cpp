// Where a disk is slow, commits overlap: what is said when, and what a failed sync among several does.
#include "spool/log_sync.hpp"
#include "spool/recorded_files.hpp"
#include "spool/spool.hpp"
#include "spool/test_messages.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

using namespace posthorn;
using namespace posthorn::spool;

namespace {

/// A queue on a disk whose syncs of the log end when the test says so.
class SlowDisk : public LoopHarness {
public:
    explicit SlowDisk(Options options = {})
    {
        options.slow_sync = std::chrono::microseconds{0};
        options.verdict_delay = std::chrono::milliseconds{1};
        options.orphan_age = std::chrono::seconds{0};
        Events events;
        events.failed = [this](const Error&) { failed = true; };
        files.after = [this](const Operation& operation) { note(operation); };
        files.delay = [this](std::string_view name) {
            if (name == "spool.db-wal")
                wait_to_be_let_go();
        };
        auto opened = Spool::open(files, options, loop.get_executor(), clock, silent_log(), events);
        REQUIRE(opened);
        spool = std::move(*opened);
        checkpoints_ = 0;
        REQUIRE(get(spool->enqueue(message_of(1000, 100))));       // a log that begins anew syncs its header as well
        if (options.checkpoint_octets <= 5'000)
            until([this] { return checkpoints_ == 1; });
        const std::lock_guard lock(mutex_);
        all_ = false;
        begun_ = 0;
    }
    ~SlowDisk()
    {
        let_all_go();
        spool.reset();
        files.after = nullptr;
    }

    /// Runs the loop until so many syncs have begun since the start.
    void until_begun(int count)
    {
        std::unique_lock lock(mutex_);
        while (begun_ < count) {
            lock.unlock();
            poll();
            lock.lock();
            changed_.wait_for(lock, std::chrono::milliseconds{1});
        }
    }
    template <class Condition>
    void until(Condition condition)
    {
        for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20}; !condition();) {
            if (std::chrono::steady_clock::now() >= end) {
                FAIL_CHECK("what was waited for did not come");
                return;
            }
            poll();
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }
    /// Long enough for what may be answered to be answered.
    void a_while()
    {
        for (int turn = 0; turn < 20; ++turn) {
            poll();
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }
    void let_go(int number)
    {
        const std::lock_guard lock(mutex_);
        let_go_.insert(number);
        changed_.notify_all();
    }
    void let_all_go()
    {
        const std::lock_guard lock(mutex_);
        all_ = true;
        changed_.notify_all();
    }
    void ask(awaitable<void> task) { asio::co_spawn(loop, std::move(task), asio::detached); }
    /// "1 ok", "2 queue has failed": in the order of the answers.
    awaitable<void> put(int number, std::size_t octets = 1000)
    {
        const auto lease = co_await spool->enqueue(message_of(number, octets));
        answers.push_back(fmt::format("{} {}", number, lease ? "ok" : lease.error().text()));
    }
    /// Each when the sync of the one before it has begun.
    void put_one_by_one(int count)
    {
        for (int number = 1; number <= count; ++number) {
            ask(put(number));
            until_begun(number);
        }
    }
    awaitable<void> ask_for(int number)
    {
        const auto committed = co_await spool->was_committed(queue_id(number));
        answers.push_back(fmt::format("{} {}", number, !committed ? "unknown" : *committed ? "there" : "not there"));
    }
    awaitable<void> remove(Lease lease)
    {
        const auto removed = co_await spool->remove({lease});
        answers.push_back(removed ? "removed" : "not removed");
    }
    awaitable<void> sweep()
    {
        const auto swept = co_await spool->sweep();
        answers.push_back(swept ? fmt::format("{} swept", *swept) : "not swept");
    }
    bool there(const std::string& name)
    {
        bool yes = false;
        files.exists(name, yes);
        return yes;
    }

    RecordedFiles files;
    std::unique_ptr<Spool> spool;
    std::vector<std::string> answers;
    std::atomic<bool> failed = false;

    int checkpoints() const { return checkpoints_; }
    /// What was done to the log since the last checkpoint: "write sync write ".
    std::string log_since_checkpoint()
    {
        const std::lock_guard lock(mutex_);
        return log_;
    }

private:
    void wait_to_be_let_go()
    {
        std::unique_lock lock(mutex_);
        const int number = ++begun_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return all_ || let_go_.contains(number); });
    }
    void note(const Operation& operation)
    {
        const std::lock_guard lock(mutex_);
        if (operation.name == "spool.db" && operation.kind == Operation::Kind::sync) {
            ++checkpoints_;
            log_.clear();
        } else if (operation.name == "spool.db-wal") {
            log_ += operation.kind == Operation::Kind::write ? "write " : operation.kind == Operation::Kind::sync ? "sync " : "other ";
        }
    }
    void poll()
    {
        loop.restart();
        loop.poll();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    int begun_ = 0;
    std::atomic<int> checkpoints_ = 0;
    std::string log_;
    bool all_ = true;
    std::set<int> let_go_;
};

using Answers = std::vector<std::string>;

/// Processor time of the first thread of that name, as Linux counts it.
std::string time_spent_by(std::string_view name)
{
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string found, spent;
        std::getline(std::ifstream(thread.path() / "comm"), found);
        std::ifstream(thread.path() / "schedstat") >> spent;
        if (found == name)
            return spent;
    }
    return {};
}

}  // namespace

TEST_CASE("slow disk: a commit is written while the sync of the one before runs, and each is answered by a sync that began after it")
{
    SlowDisk disk;
    disk.put_one_by_one(2);
    disk.a_while();
    CHECK(disk.answers.empty());
    disk.let_go(1);
    disk.until([&] { return !disk.answers.empty(); });
    disk.a_while();
    CHECK(disk.answers == Answers{"1 ok"});                // the first sync began before the second was written
    disk.let_go(2);
    disk.until([&] { return disk.answers.size() == 2; });
    CHECK(disk.answers == Answers{"1 ok", "2 ok"});
}

TEST_CASE("slow disk: a sync that ends before an earlier one speaks for both")
{
    SlowDisk disk;
    disk.put_one_by_one(2);
    disk.let_go(2);
    disk.until([&] { return disk.answers.size() == 2; });
    CHECK(disk.answers == Answers{"1 ok", "2 ok"});
}

TEST_CASE("slow disk: what waits beyond four syncs shares the next one")
{
    SlowDisk disk;
    disk.put_one_by_one(4);
    for (int number = 5; number <= 40; ++number)
        disk.ask(disk.put(number));
    disk.a_while();
    const std::size_t syncs = disk.files.syncs();
    disk.let_all_go();
    disk.until([&] { return disk.answers.size() == 40; });
    CHECK(disk.files.syncs() <= syncs + 6);                // the four, and one or two for the others
}

TEST_CASE("slow disk: nobody is told of a message that is written and not yet synced")
{
    SlowDisk disk;
    disk.ask(disk.put(1));
    disk.until_begun(1);
    disk.ask(disk.ask_for(1));
    disk.a_while();
    CHECK(disk.answers.empty());
    disk.let_all_go();
    disk.until([&] { return disk.answers.size() == 2; });
    CHECK(std::ranges::find(disk.answers, "1 there") != disk.answers.end());
}

TEST_CASE("slow disk: a content file goes when its message's removal is synced, and no sweep comes before that")
{
    SlowDisk disk;
    disk.let_go(1);
    const auto lease = disk.get(disk.spool->enqueue(message_in_file(disk.files, 1, octets_of(1, 70'000))));
    REQUIRE(lease);
    const std::string name = "incoming/" + queue_id(1);
    disk.ask(disk.remove(*lease));
    disk.until_begun(2);
    disk.ask(disk.sweep());
    disk.a_while();
    CHECK(disk.there(name));                               // without it the message, which a crash would bring back, has lost its content
    CHECK(disk.answers.empty());
    disk.let_all_go();
    disk.until([&] { return disk.answers.size() == 2; });
    CHECK(disk.answers.front() == "removed");
    CHECK_FALSE(disk.there(name));
}

TEST_CASE("slow disk: a log that begins anew is synced with its header alone, before anything stands behind that")
{
    Options options;
    options.checkpoint_octets = 1;
    SlowDisk disk(options);                                // what it stored is checkpointed at once, and the log begins anew
    disk.ask(disk.put(1));
    disk.until_begun(1);
    disk.a_while();
    CHECK(disk.log_since_checkpoint() == "write ");
    disk.let_go(1);
    disk.until_begun(2);
    CHECK(disk.log_since_checkpoint() == "write sync write ");
    disk.let_all_go();
    disk.until([&] { return disk.answers.size() == 1; });
}

TEST_CASE("slow disk: while a sync is waited for nothing runs, and what the queue does when it is idle is done after the last one")
{
    Options options;
    options.checkpoint_octets = 5'000;
    SlowDisk disk(options);
    disk.ask(disk.put(1, 60'000));                         // four times that: checkpointed in any case, and then the database may shrink
    disk.until_begun(1);
    disk.ask(disk.put(2));
    for (int number = 1; number <= 3; ++number) {          // the header, the commit, the next header
        disk.let_go(number);
        disk.until_begun(number + 1);
    }
    CHECK(disk.checkpoints() == 2);
    int asleep = 0;
    for (int look = 0; look < 100 && asleep < 5; ++look) {
        const std::string before = time_spent_by("spool");
        disk.a_while();
        asleep = time_spent_by("spool") == before ? asleep + 1 : 0;
    }
    CHECK(asleep == 5);
    disk.let_all_go();
    disk.until([&] { return disk.answers.size() == 2; });
    disk.until([&] { return disk.checkpoints() == 3; });
}

TEST_CASE("slow disk: after a sync that failed none that ends later speaks for a commit")
{
    struct Log final : File {
        Log(std::atomic<int>& order, int turn, int result) : order_(order), turn_(turn), result_(result) {}
        int sync() override
        {
            while (order_ != turn_)
                std::this_thread::yield();
            return result_;
        }
        int read(std::uint64_t, std::span<char>, std::size_t&) override { return EIO; }
        int write(std::uint64_t, std::span<const char>) override { return EIO; }
        int truncate(std::uint64_t) override { return EIO; }
        int size(std::uint64_t&) override { return EIO; }
        int lock() override { return EIO; }
        int lock_shared() override { return EIO; }

        std::atomic<int>& order_;
        const int turn_, result_;
    };
    std::atomic<int> order = 0;
    std::vector<std::pair<std::uint64_t, int>> said;
    {
        std::vector<std::unique_ptr<File>> logs;           // the last is taken first
        logs.push_back(std::make_unique<Log>(order, 2, 0));
        logs.push_back(std::make_unique<Log>(order, 1, EIO));
        LogSync syncs(std::move(logs), std::chrono::microseconds{0}, [&](std::uint64_t ticket, int error) {
            said.emplace_back(ticket, error);
            ++order;
        });
        CHECK(syncs.pays());
        syncs.start(1);
        syncs.start(2);
        CHECK(!syncs.next());
        order = 1;
    }
    CHECK(said == std::vector<std::pair<std::uint64_t, int>>{{1, EIO}});
}

TEST_CASE("slow disk: where one of several syncs fails, nothing that it covered is acknowledged, and the store ends")
{
    for (const int first : {1, 2}) {
        SlowDisk disk;
        std::atomic<int> syncs = 0;
        disk.files.before = [&](const Operation& operation) {
            return operation.kind == Operation::Kind::sync && operation.name == "spool.db-wal" && ++syncs == 1 ? EIO : 0;
        };
        disk.put_one_by_one(2);
        disk.let_go(first);
        disk.until([&] { return disk.failed.load(); });
        disk.let_all_go();
        disk.until([&] { return disk.answers.size() == 2; });
        CHECK(disk.answers == Answers{"1 the queue has failed", "2 the queue has failed"});
        disk.ask(disk.put(3));
        disk.until([&] { return disk.answers.size() == 3; });
        CHECK(disk.answers.back() == "3 the queue has failed");
        disk.spool.reset();
        disk.files.before = nullptr;
    }
}
