// What the SQLite store promises beyond the conformance suite: commits shared, damage survived, copies made, versions respected.
#include "config/snapshot.hpp"
#include "spool/incoming.hpp"
#include "spool/ledger.hpp"
#include "spool/opening.hpp"
#include "spool/params.hpp"
#include "spool/recorded_files.hpp"
#include "spool/schema.hpp"
#include "spool/spool.hpp"
#include "spool/test_messages.hpp"

#include <doctest/doctest.h>

#include <sqlite3.h>

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::spool;
using namespace std::chrono_literals;

namespace {

class Queue : public LoopHarness {
public:
    explicit Queue(FileOps& files, Options options = {}) : files_(files), options_(options) { open(); }
    ~Queue() { spool.reset(); }

    void open()
    {
        spool.reset();
        auto opened = Spool::open(files_, options_, loop.get_executor(), clock, observe::Log(sink, "postfix/qmgr"), {});
        REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().text()));
        spool = std::move(*opened);
    }
    Lease put(int number, std::size_t size = 1000, int recipients = 1)
    {
        const auto lease = get(spool->enqueue(message_of(number, size, recipients)));
        REQUIRE(lease);
        return *lease;
    }
    std::size_t count() { return get(spool->load(0, 1'000'000)).value().entries.size(); }

    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    std::unique_ptr<Spool> spool;

private:
    FileOps& files_;
    Options options_;
};

Settlement delivered(Lease lease, std::uint64_t attempt = 1)
{
    Settlement settlement;
    settlement.lease = lease;
    settlement.attempt = attempt;
    settlement.verdicts.emplace_back().set_outcome(handoff::OUTCOME_DELIVERED);
    return settlement;
}

awaitable<void> enqueue_and_count(Spool& spool, int number, int& done) { done += (co_await spool.enqueue(message_of(number, 1000))).has_value(); }

awaitable<void> settle_and_count(Spool& spool, Lease lease, int& done) { done += (co_await spool.settle(delivered(lease))).has_value(); }

awaitable<Result<bool>> drained(TaskGroup& group)
{
    co_await group.drained();
    co_return true;
}

std::string name_of(const std::string& folder, const char* file) { return folder + "/" + file; }

}  // namespace

TEST_CASE("group commit: what arrives while a commit runs shares the next one, and each answer comes after its sync")
{
    RecordedFiles files;
    Options options;
    options.slow_sync = 1h;
    Queue queue(files, options);
    queue.put(500);                                    // a log that starts over syncs its header as well
    // The first commit is held at its sync until all the others have been asked.
    std::atomic<bool> asked_all = false;
    std::atomic<int> log_syncs = 0;
    files.before = [&](const Operation& operation) {
        if (operation.kind == Operation::Kind::sync && operation.name == "spool.db-wal") {
            ++log_syncs;
            while (!asked_all)
                std::this_thread::yield();
        }
        return 0;
    };
    int done = 0;
    TaskGroup group(queue.loop.get_executor());
    group.spawn(enqueue_and_count(*queue.spool, 1, done));
    queue.loop.restart();
    while (log_syncs == 0)
        queue.loop.poll();
    CHECK(done == 0);
    for (int number = 2; number <= 100; ++number)
        group.spawn(enqueue_and_count(*queue.spool, number, done));
    queue.loop.restart();
    queue.loop.poll();
    CHECK(done == 0);                                  // nothing is acknowledged before its sync
    asked_all = true;
    CHECK(queue.get(drained(group)));
    CHECK(done == 100);
    CHECK(log_syncs.load() == 2);
    files.before = nullptr;
}

TEST_CASE("verdicts: they share the commit of an enqueue, and else are synced alone within their delay")
{
    RecordedFiles files;
    Options options;
    options.verdict_delay = 3s;                        // longer than what others leave us no processor for
    options.slow_sync = 1h;
    Queue queue(files, options);
    std::vector<Lease> leases;
    for (int number = 1; number <= 10; ++number)
        leases.push_back(queue.put(number));

    std::atomic<int> log_syncs = 0;
    files.before = [&](const Operation& operation) {
        log_syncs += operation.kind == Operation::Kind::sync && operation.name == "spool.db-wal";
        return 0;
    };
    int done = 0;
    TaskGroup group(queue.loop.get_executor());
    for (int i = 0; i < 9; ++i)
        group.spawn(settle_and_count(*queue.spool, leases[static_cast<std::size_t>(i)], done));
    const auto start = std::chrono::steady_clock::now();
    CHECK(queue.get(drained(group)));
    const auto took = std::chrono::steady_clock::now() - start;
    CHECK(done == 9);
    CHECK(log_syncs == 1);                             // nine verdicts, one sync
    CHECK(took >= 2900ms);                             // they waited for company ...
    CHECK(took < 1min);                                // ... but not for ever

    // An enqueue takes the waiting verdict along.
    group.spawn(settle_and_count(*queue.spool, leases[9], done));
    queue.loop.restart();
    queue.loop.poll();
    queue.put(50);
    CHECK(queue.get(drained(group)));
    CHECK(done == 10);
    CHECK(log_syncs == 2);
    files.before = nullptr;
}

TEST_CASE("checkpoint: the log does not grow without bound, and the database gives free pages back")
{
    RecordedFiles files;
    Options options;
    options.checkpoint_octets = 256 << 10;
    options.slack_octets = 64 << 10;
    options.verdict_delay = 0ms;
    Queue queue(files, options);
    std::vector<Lease> leases;
    for (int number = 1; number <= 200; ++number)
        leases.push_back(queue.put(number, 30'000));
    const std::uint64_t full = files.size("spool.db");
    CHECK(full > 5'000'000);
    CHECK(files.size("spool.db-wal") < 3'000'000);
    for (const Lease lease : leases)
        REQUIRE(queue.get(queue.spool->settle(delivered(lease))));
    for (int i = 0; i < 500 && files.size("spool.db") > 1'000'000; ++i)
        queue.put(1000 + i, 10);
    CHECK(files.size("spool.db") < 1'000'000);
    CHECK(queue.get(queue.spool->check()).value().empty());
}

TEST_CASE("one owner: a second process is refused, and so is the sqlite3 shell")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    Queue queue(*files);
    queue.put(1);
    auto second = Spool::open(*files, {}, queue.loop.get_executor(), queue.clock, silent_log(), {});
    REQUIRE_FALSE(second);
    CHECK(second.error().what() == "queue database: another process has the queue open");

    sqlite3* shell = nullptr;
    CHECK(sqlite3_open(name_of(folder.path(), "spool.db").c_str(), &shell) == SQLITE_OK);
    CHECK(sqlite3_exec(shell, "SELECT count(*) FROM message", nullptr, nullptr, nullptr) == SQLITE_BUSY);
    sqlite3_close(shell);
}

TEST_CASE("schema: a newer format is refused, an older one is brought up, a foreign database is left alone")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    {
        Queue(*files).put(1);
    }
    {
        SqliteVfs vfs(*files);
        Connection db("spool.db", SQLITE_OPEN_READWRITE, vfs.name());
        db.run("PRAGMA locking_mode = EXCLUSIVE");
        const Upgrade next[] = {{1, "SELECT 1;"}, {2, "ALTER TABLE counter ADD COLUMN note TEXT; UPDATE counter SET note = 'here';"}};
        CHECK(bring_up(db, next));
        CHECK(db.number("PRAGMA user_version") == 2);
        CHECK(db.text("SELECT note FROM counter LIMIT 1") == "here");
        CHECK(db.number("SELECT count(*) FROM message") == 1);
    }
    LoopHarness on;
    auto refused = Spool::open(*files, {}, on.loop.get_executor(), on.clock, silent_log(), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().what().find("written by a newer version") != std::string::npos);
    {
        SqliteVfs vfs(*files);                         // untouched: the newer program finds everything
        Connection db("spool.db", SQLITE_OPEN_READWRITE, vfs.name());
        db.run("PRAGMA locking_mode = EXCLUSIVE");
        CHECK(db.number("SELECT count(*) FROM message") == 1);
        db.run("PRAGMA application_id = 7; PRAGMA user_version = 1");
    }
    refused = Spool::open(*files, {}, on.loop.get_executor(), on.clock, silent_log(), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().what().find("not a queue of Posthorn") != std::string::npos);
}

TEST_CASE("folder: where nothing can be written, opening says so and changes nothing")
{
    RecordedFiles files;
    files.before = [](const Operation&) { return EROFS; };
    LoopHarness on;
    const auto refused = Spool::open(files, {}, on.loop.get_executor(), on.clock, silent_log(), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().what() == "queue database: spool.lock: Read-only file system");
    std::vector<Entry> entries;
    CHECK(files.list("", entries) == 0);
    CHECK(entries.empty());

    if (::geteuid() == 0)
        return;                                        // nothing is forbidden to root
    TemporaryFolder folder;
    const auto real = system_files(folder.path());
    ::chmod(folder.path().c_str(), 0500);
    CHECK_FALSE(Spool::open(*real, {}, on.loop.get_executor(), on.clock, silent_log(), {}));
    ::chmod(folder.path().c_str(), 0700);
}

TEST_CASE("folder: it becomes read-only under a running queue; callers hear of it, and all is there when it is writable again")
{
    RecordedFiles files;
    Queue queue(files);
    queue.put(1);
    files.before = [](const Operation&) { return EROFS; };
    const auto answer = queue.get(queue.spool->enqueue(message_of(2, 100)));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().status().empty());            // the store has ended: the process ends
    files.before = nullptr;
    queue.open();
    CHECK(queue.count() == 1);
    queue.put(3);
}

TEST_CASE("sweep: an abandoned content file goes; one that is named, held by its writer, young, or not ours stays")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    Options options;
    options.orphan_age = 0s;
    Queue queue(*files, options);
    const std::string large = octets_of(1, 70'000);
    REQUIRE(queue.get(queue.spool->enqueue(message_in_file(*files, 1, large))));
    CHECK(message_in_file(*files, 2, large));          // written, and its process died
    auto writing = IncomingFile::create(*files, queue_id(3));
    REQUIRE(writing);
    std::unique_ptr<File> foreign;
    CHECK(files->open("incoming/README", Open::create, foreign) == 0);
    CHECK(queue.get(queue.spool->sweep()).value() == 1);
    const auto there = [&](const std::string& name) {
        bool yes = false;
        return files->exists("incoming/" + name, yes) == 0 && yes;
    };
    CHECK(there(queue_id(1)));
    CHECK_FALSE(there(queue_id(2)));
    CHECK(there(queue_id(3)));
    CHECK(there("README"));

    queue.spool.reset();
    CHECK(message_in_file(*files, 4, large));
    Queue careful(*files);                             // 300 seconds: a message may be about to be committed
    CHECK(there(queue_id(4)));
    CHECK(careful.spool->opened().orphans == 0);
}

TEST_CASE("folder sync: those who ask while one runs share the next, and its failure")
{
    RecordedFiles files;
    REQUIRE(files.make_folder(incoming_folder) == 0);
    std::atomic<int> syncs = 0, asked = 0, failed = 0;
    std::atomic<bool> go_on = false;
    files.before = [&](const Operation& operation) {
        if (operation.kind != Operation::Kind::sync_folder)
            return 0;
        const int which = ++syncs;
        while (!go_on)
            std::this_thread::yield();
        return which == 1 ? 0 : EIO;
    };
    FolderSync folder(files);
    const auto ask = [&] {
        ++asked;
        const auto synced = folder.sync();
        failed += !synced && synced.error().status() == "4.3.0";
    };
    std::vector<std::jthread> threads;
    threads.emplace_back(ask);
    while (syncs == 0)
        std::this_thread::yield();
    for (int i = 0; i < 5; ++i)
        threads.emplace_back(ask);
    while (asked < 6)
        std::this_thread::yield();
    std::this_thread::sleep_for(50ms);                 // from asking to waiting; who is late has a sync more
    CHECK(syncs == 1);
    go_on = true;
    threads.clear();
    CHECK(syncs >= 2);                                 // one that began after they asked
    CHECK(syncs <= 3);
    CHECK(failed == 5);                                // all but the first
    files.before = nullptr;
}

TEST_CASE("backup: a copy made under load opens as a queue, with content files, and is a state the queue was in")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    Options options;
    options.verdict_delay = 0ms;
    Queue queue(*files, options);
    const std::string large = octets_of(7, 200'000);
    const Lease kept = queue.get(queue.spool->enqueue(message_in_file(*files, 5000, large))).value();
    const Lease leaving = queue.get(queue.spool->enqueue(message_in_file(*files, 5001, large))).value();
    std::vector<Lease> leases;
    for (int number = 1; number <= 300; ++number)
        leases.push_back(queue.put(number, 20'000));

    // What belongs to the queue beside its database; of the other one there is none.
    std::ofstream(name_of(folder.path(), "orders")) << "suspended";
    TaskGroup group(queue.loop.get_executor());
    bool done = false, good = false;
    const auto back_up = [](Spool& spool, bool& ended, bool& succeeded) -> awaitable<void> {
        const auto result = co_await spool.backup("backup-1", {"orders", "accounts"});
        succeeded = result.has_value();
        ended = true;
    };
    group.spawn(back_up(*queue.spool, done, good));
    int number = 1000;
    REQUIRE(queue.get(queue.spool->settle(delivered(leaving))));
    std::chrono::nanoseconds slowest{0};
    while (!done) {                                    // mail goes on meanwhile    NOLINT(bugprone-infinite-loop): back_up ends it
        const auto start = std::chrono::steady_clock::now();
        queue.put(++number, 5'000);
        slowest = std::max<std::chrono::nanoseconds>(slowest, std::chrono::steady_clock::now() - start);
        if (!leases.empty()) {
            REQUIRE(queue.get(queue.spool->settle(delivered(leases.back()))));
            leases.pop_back();
        }
    }
    CHECK(good);
    MESSAGE("slowest enqueue during the backup: " << std::chrono::duration_cast<std::chrono::milliseconds>(slowest).count() << " ms");
    REQUIRE(queue.get(drained(group)));
    CHECK_FALSE(queue.get(queue.spool->backup("backup-1")));           // never over an old one
    CHECK_FALSE(queue.get(queue.spool->backup("../elsewhere")));

    std::string orders;
    std::ifstream(name_of(folder.path(), "backup-1/orders")) >> orders;
    CHECK(orders == "suspended");
    CHECK_FALSE(std::ifstream(name_of(folder.path(), "backup-1/accounts")).is_open());
    const auto copied = system_files(name_of(folder.path(), "backup-1"));
    Queue copy(*copied);
    CHECK(copy.get(copy.spool->check()).value().empty());
    CHECK(copy.count() > 200);
    const auto lease = copy.get(copy.spool->find(queue_id(5000))).value();
    REQUIRE(lease);
    CHECK(copy.get(copy.spool->content(*lease)).value()->octets().value() == large);
    CHECK(lease->key == kept.key);
    // Content files whose removal had to wait are gone now.
    bool there = true;
    CHECK(files->exists("incoming/" + queue_id(5001), there) == 0);
    CHECK_FALSE(there);
}

TEST_CASE("query: SQL that reads is answered from a snapshot; anything else is refused, and runaway queries end")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    Queue queue(*files);
    for (int number = 1; number <= 600; ++number)
        queue.put(number, 100, number % 3 + 1);
    Settlement deferred = delivered(queue.put(700, 100));
    deferred.verdicts[0].set_outcome(handoff::OUTCOME_DEFERRED);
    deferred.verdicts[0].set_text("Host or domain name not found");
    deferred.verdicts[0].set_status("4.4.3");
    deferred.next_try = WallTime{1h};
    REQUIRE(queue.get(queue.spool->settle(deferred)));
    const auto ask = [&](const char* sql, std::chrono::milliseconds limit = 10s) { return queue.get(queue.spool->query(sql, 50, limit)); };

    auto rows = ask("SELECT count(*), sum(size) FROM message");
    REQUIRE(rows);
    CHECK(rows->columns.size() == 2);
    CHECK(rows->rows == std::vector<std::vector<std::string>>{{"601", "60100"}});
    rows = ask("SELECT queue_id, status, reason, tries, next_try FROM recipient WHERE tries > 0");
    REQUIRE(rows);
    CHECK(rows->rows == std::vector<std::vector<std::string>>{{queue_id(700), "4.4.3", "Host or domain name not found", "1", "3600"}});
    rows = ask("SELECT * FROM recipient");
    REQUIRE(rows);
    CHECK(rows->truncated);
    CHECK(rows->rows.size() == 50);

    for (const char* sql : {"DELETE FROM message", "UPDATE message SET size = 0", "ATTACH 'spool.db' AS queue", "PRAGMA journal_mode = DELETE",
                            "SELECT 1; SELECT 2", "", "SELECT load_extension('x')", "CREATE TABLE t(x)", "VACUUM INTO 'copy'", "SELEC 1"}) {
        CAPTURE(sql);
        const auto refused = ask(sql);
        REQUIRE_FALSE(refused);
        CHECK_FALSE(refused.error().what().empty());
    }
    const auto runaway = ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", 100ms);
    REQUIRE_FALSE(runaway);
    CHECK(runaway.error().what() == "the query took more time or memory than it may");
    CHECK(queue.count() == 601);
    std::vector<Entry> entries;
    CHECK(files->list("", entries) == 0);
    for (const Entry& entry : entries)
        CHECK_FALSE(entry.name.starts_with("snapshot"));
}

TEST_CASE("removed messages are remembered for as long as they may be asked about, and not for ever")
{
    RecordedFiles files;
    Options options;
    options.verdict_delay = 0ms;
    Queue queue(files, options);
    REQUIRE(queue.get(queue.spool->settle(delivered(queue.put(1)))));
    queue.clock.advance(60s);
    queue.put(2);
    CHECK(queue.get(queue.spool->was_committed(queue_id(1))).value());
    queue.clock.advance(120s);
    queue.put(3);
    CHECK_FALSE(queue.get(queue.spool->was_committed(queue_id(1))).value());
}

TEST_CASE("gone: a row without a whole key, as a damaged page may have, names no message and stops no start")
{
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    Options options;
    options.verdict_delay = 0ms;
    {
        Queue queue(*files, options);
        REQUIRE(queue.get(queue.spool->settle(delivered(queue.put(1)))));
    }
    {
        SqliteVfs vfs(*files);
        Connection db("spool.db", SQLITE_OPEN_READWRITE, vfs.name());
        db.run("PRAGMA locking_mode = EXCLUSIVE");
        db.run("INSERT INTO gone(at, number, keys) VALUES(0, 1, zeroblob(0)), (0, 1, zeroblob(7))");
        CHECK(db.number("SELECT count(*) FROM gone") == 3);
    }
    Queue queue(*files, options);
    CHECK(queue.get(queue.spool->was_committed(queue_id(1))).value());
    CHECK_FALSE(queue.get(queue.spool->was_committed(queue_id(2))).value());
}

TEST_CASE("text that is not UTF-8: a reply is stored printable, an envelope octet by octet, and the queue can be read")
{
    RecordedFiles files;
    Queue queue(files);
    Settlement deferred = delivered(queue.put(1, 100, 2));
    deferred.verdicts[0].set_outcome(handoff::OUTCOME_DEFERRED);
    deferred.verdicts[0].set_text("450 Bo\xeete pleine");
    deferred.verdicts[0].set_diagnostic("450 Bo\xeete pleine");
    REQUIRE(queue.get(queue.spool->settle(deferred)));
    queue.open();
    const auto lease = queue.get(queue.spool->find(queue_id(1))).value();
    REQUIRE(lease);
    CHECK(queue.get(queue.spool->read(*lease)).value().recipients[0].last->text() == "450 Bo?te pleine");

    auto message = std::make_shared<NewMessage>(*message_of(2, 100));
    message->envelope.set_sender("\xff\xfe@example.com");
    const auto stored = queue.get(queue.spool->enqueue(message));
    REQUIRE(stored);
    queue.open();
    CHECK(queue.count() == 2);
    const auto again = queue.get(queue.spool->find(queue_id(2))).value();
    REQUIRE(again);
    CHECK(queue.get(queue.spool->read(*again)).value().envelope.sender() == "\xff\xfe@example.com");
}

TEST_CASE("options: the room's parameters reach them, defaults included")
{
    const std::span<const config::ParamInfo> lists[] = {params};
    const config::Snapshot defaults(config::Site{}, "/etc/test", lists);
    const config::Assignment written[] = {{"spool_orphan_age", "10m"}, {"spool_checkpoint_size", "65536"}};
    const Options options = Options::from(defaults.with(written, "-o"));
    CHECK(options.orphan_age == 10min);
    CHECK(options.checkpoint_octets == 65536);
    CHECK(options.remember_removed == 120s);
    CHECK(options.cache_octets == Options{}.cache_octets);
    CHECK(options.slack_octets == Options{}.slack_octets);
}
