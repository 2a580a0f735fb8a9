#include "standby/pair_testing.hpp"

#include "spool/spool.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::standby;

namespace {

void put(spool::FileOps& files, const std::string& name, std::string_view octets)
{
    std::unique_ptr<spool::File> file;
    REQUIRE(files.open(name, spool::Open::create, file) == 0);
    REQUIRE(file->truncate(0) == 0);
    REQUIRE(file->write(0, octets) == 0);
    REQUIRE(file->sync() == 0);
    REQUIRE(files.sync_folder("") == 0);
}

std::string octets_in(spool::FileOps& files, const std::string& name)
{
    std::unique_ptr<spool::File> file;
    std::uint64_t size = 0;
    if (files.open(name, spool::Open::read_only, file) != 0 || file->size(size) != 0)
        return "(none)";
    std::string octets(size, '\0');
    std::size_t got = 0;
    file->read(0, octets, got);
    return octets;
}

Operations said_of(std::uint64_t number, const std::function<void(Operation&)>& what)
{
    Operations said;
    said.add_operations()->set_number(number);
    what(*said.mutable_operations(0));
    return said;
}

const std::string an_identity(32, 'a'), another_identity(32, 'b');

std::unique_ptr<Replica> replica_of(spool::FileOps& files, const Clock& clock, const std::string& identity = an_identity, std::uint64_t epoch = 1)
{
    auto replica = Replica::open(files, clock);
    REQUIRE(replica);
    const auto begun = (*replica)->begin({.identity = identity, .epoch = epoch, .since = {}, .host = "first.test"});
    REQUIRE_MESSAGE(begun, (begun ? "" : begun.error().text()));
    return *std::move(replica);
}

}  // namespace

TEST_CASE("mirror: what is there, and what changes, is on both machines when a sync returns")
{
    MachinePair pair({});
    const std::string large(300'000, 'x');
    put(pair.here, "spool.db", large);
    put(pair.here, "spool.lock", "not this one");
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    CHECK(octets_in(pair.there, "spool.db") == large);
    CHECK(octets_in(pair.there, "spool.lock").empty());
    put(pair.files(), "orders", "one");
    CHECK(octets_in(pair.there, "orders") == "one");
    put(pair.files(), "orders.new", "two");
    REQUIRE(pair.files().rename("orders.new", "orders") == 0);
    REQUIRE(pair.files().sync_folder("") == 0);
    CHECK(octets_in(pair.there, "orders") == "two");
    CHECK(octets_in(pair.there, "orders.new") == "(none)");
    REQUIRE(pair.files().remove("orders") == 0);
    REQUIRE(pair.files().sync_folder("") == 0);
    CHECK(octets_in(pair.there, "orders") == "(none)");
    const std::string more_than_a_frame(3 * largest_frame, 'y');
    put(pair.files(), "accounts", more_than_a_frame);
    CHECK(octets_in(pair.there, "accounts") == more_than_a_frame);
    CHECK(pair.mirror->status().times_lost == 0);
    CHECK(pair.log->has("has a second copy on second.test, in step"));
}

TEST_CASE("mirror: content that becomes a spare here is removed there, and a backup is nobody's copy")
{
    MachinePair pair({});
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    spool::FileOps& files = pair.files();
    REQUIRE(files.make_folder("incoming") == 0);
    REQUIRE(files.make_folder("backup") == 0);
    put(pair.here, "incoming/A", "content");               // its receiver's
    REQUIRE(files.take_in("incoming/A") == 0);
    REQUIRE(files.sync_folder("incoming") == 0);
    CHECK(octets_in(pair.there, "incoming/A") == "content");
    REQUIRE(files.link("incoming/A", "backup/A") == 0);
    put(files, "backup/spool.db", "x");
    REQUIRE(files.remove("backup/A") == 0);
    REQUIRE(files.link("incoming/A", "incoming/B") == 0);
    REQUIRE(files.remove("incoming/A") == 0);
    REQUIRE(files.set_aside("incoming/B", "incoming/spare-1", 100) == 0);
    put(pair.here, "incoming/C", "more");
    REQUIRE(files.take_in("incoming/C") == 0);
    REQUIRE(files.sync_folder("incoming") == 0);
    std::vector<spool::Entry> entries;
    REQUIRE(pair.there.list("incoming", entries) == 0);
    REQUIRE(entries.size() == 1);
    CHECK(entries.front().name == "C");
    CHECK(octets_in(pair.there, "backup/spool.db") == "(none)");
}

TEST_CASE("mirror: a copy that comes back is told what it does not have, and no more")
{
    MachinePair pair({});
    put(pair.here, "spool.db", std::string(4U << 20, 'x'));
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    const std::uint64_t before = pair.mirror->status().octets;
    CHECK(before > 4U << 20);
    pair.reachable = false;
    pair.cut();
    REQUIRE(pair.wait_for(Mirror::State::away));
    std::unique_ptr<spool::File> file;
    REQUIRE(pair.files().open("spool.db", spool::Open::read_write, file) == 0);
    REQUIRE(file->write(1'000'000, std::string_view("changed")) == 0);
    REQUIRE(file->sync() == 0);                            // alone
    CHECK(octets_in(pair.there, "spool.db").find("changed") == std::string::npos);
    CHECK(pair.log->has("mail is taken without one"));
    pair.reachable = true;
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    CHECK(octets_in(pair.there, "spool.db") == octets_in(pair.here, "spool.db"));
    CHECK(pair.mirror->status().octets - before < 3 * block_octets);
    CHECK(pair.mirror->status().times_lost == 1);
}

TEST_CASE("mirror: a copy that does not store in time is away, and who waits goes on alone")
{
    std::atomic<bool> slow = false;
    MachinePair pair({.patience = std::chrono::milliseconds{1000}});
    pair.there.delay = [&](std::string_view) {
        while (slow)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    };
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    slow = true;
    put(pair.files(), "orders", "alone");
    CHECK(pair.mirror->status().state != Mirror::State::in_step);
    CHECK(pair.log->has("it has not stored within 1 s what it was told"));
    slow = false;
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    CHECK(octets_in(pair.there, "orders") == "alone");
}

TEST_CASE("mirror: what was synced while the copy was away is covered when that has it, and not before")
{
    std::atomic<bool> slow = false;
    MachinePair pair({});
    pair.there.delay = [&](std::string_view name) {
        while (slow && name == journal_name)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    };
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    put(pair.files(), "orders", "both");
    CHECK(pair.mirror->covered());
    pair.reachable = false;
    pair.cut();
    REQUIRE(pair.wait_for(Mirror::State::away));
    CHECK(pair.mirror->covered());
    put(pair.files(), "orders", "one");
    CHECK_FALSE(pair.mirror->covered());
    slow = true;
    pair.reachable = true;
    REQUIRE(pair.wait_for(Mirror::State::copying));
    put(pair.files(), "orders", "three");                  // told already, and not stored there
    CHECK_FALSE(pair.mirror->covered());
    slow = false;
    pair.wait_for_both();
    CHECK(octets_in(pair.there, "orders") == "three");
}

TEST_CASE("mirror: who waits for an answer before it begins has it when the copy has become the queue")
{
    MachinePair pair({});
    put(pair.here, "spool.db", "mail");
    pair.start();
    REQUIRE(pair.wait_for(Mirror::State::in_step));
    pair.stop();
    const auto now = promote(pair.there, "second.test", pair.clock);
    REQUIRE(now);
    CHECK(now->epoch == 2);
    MachinePair again({});
    {
        const auto lineage = read_lineage(pair.here);
        REQUIRE((lineage && *lineage));
        REQUIRE(write_lineage(again.there, *now));
        put(again.there, "spool.db", "mail");
        REQUIRE(write_lineage(again.here, **lineage));
    }
    Mirror::Options options;
    options.host = "first.test";
    std::optional<Lineage> replaced;
    std::jthread receiver;
    const auto lineage = lineage_of(again.here, "first.test", again.clock);
    REQUIRE(lineage);
    Mirror mirror(again.here, *lineage, options,
                  [&]() -> Result<Fd> {
                      int both[2] = {-1, -1};
                      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0)
                          return Error{"socketpair"};
                      receiver = std::jthread([&, end = both[1]] {
                          Line line(end, end, "the queue");
                          (void)receive(again.there, again.clock, line, {.version = "test", .host = "second.test"});
                          ::close(end);
                      });
                      return Fd(both[0]);
                  },
                  spool::silent_log(), {.superseded = [&](const Lineage& to) { replaced = to; }, .changed = {}});
    mirror.start();
    mirror.wait_for_answer(std::chrono::seconds{30});
    mirror.stop();
    REQUIRE(replaced);
    CHECK(replaced->epoch == 2);
    CHECK(replaced->host == "second.test");
}

TEST_CASE("mirror: a copy that lies about who has the queue ends nothing, and its words are printable")
{
    spool::RecordedFiles files;
    HandClock clock;
    const auto lineage = lineage_of(files, "first.test", clock);
    REQUIRE(lineage);
    const auto told = [&](const std::function<void(Said&)>& answer) {
        Mirror::Options options;
        options.longest_pause = options.pause = std::chrono::hours{1};
        bool superseded = false;
        std::jthread liar;
        Mirror mirror(files, *lineage, options,
                      [&]() -> Result<Fd> {
                          int both[2] = {-1, -1};
                          if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0)
                              return Error{"socketpair"};
                          liar = std::jthread([&answer, end = both[1]] {
                              const Fd owned(end);
                              Line line(end, end, "the queue");
                              const auto begin = line.hear(std::chrono::seconds{30});
                              Said said;
                              if (begin)
                                  *said.mutable_superseded()->mutable_lineage() = begin->begin().lineage();
                              answer(said);
                              (void)line.say(said);
                          });
                          return Fd(both[0]);
                      },
                      spool::silent_log(), {.superseded = [&](const Lineage&) { superseded = true; }, .changed = {}});
        mirror.start();
        mirror.wait_for_answer(std::chrono::seconds{30});
        liar.join();
        for (int i = 0; i < 20'000 && mirror.status().trouble.empty() && !superseded; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        mirror.stop();
        return superseded ? std::string("superseded") : mirror.status().host + "|" + mirror.status().trouble;
    };
    constexpr const char* another = "|it says that another queue than this one went on there";
    CHECK(told([](Said& said) { said.mutable_superseded()->mutable_lineage()->set_epoch(2); }) == "superseded");
    CHECK(told([](Said&) {}) == another);
    CHECK(told([](Said& said) {
              said.mutable_superseded()->mutable_lineage()->set_epoch(2);
              said.mutable_superseded()->mutable_lineage()->set_identity(another_identity);
          }) == another);
    for (const auto& none : std::initializer_list<std::function<void(LineageSaid&)>>{
             [](LineageSaid& of) { of.set_identity("../"); }, [](LineageSaid& of) { of.set_epoch(0); },
             [](LineageSaid& of) { of.set_epoch(~std::uint64_t{0}); }, [](LineageSaid& of) { of.set_since(INT64_MAX); },
             [](LineageSaid& of) { of.set_since(-1); }})
        CHECK(told([&](Said& said) { none(*said.mutable_superseded()->mutable_lineage()); }) == "|what it says of its queue is none of ours");
    const std::string welcomed = told([](Said& said) { said.mutable_welcome()->set_host("a\x1b[2J b" + std::string(1'000, 'x')); });
    CHECK(welcomed.find('\x1b') == std::string::npos);
    CHECK(welcomed.find(' ') == welcomed.find(" the copy"));
    CHECK(welcomed.find('|') <= 300);
    const std::string failed = told([](Said& said) { said.set_failed("\x1b[2J" + std::string(100'000, 'y')); });
    CHECK(failed.find('\x1b') == std::string::npos);
    CHECK(failed.size() < 400);
}

TEST_CASE("replica: a folder with a queue of its own, another's copy, or a copy of a later queue takes nothing")
{
    HandClock clock;
    spool::RecordedFiles own;
    put(own, "spool.db", "mail");
    const auto refused = Replica::open(own, clock);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().text().find("a queue is here, not a copy of one") != std::string::npos);

    spool::RecordedFiles files;
    replica_of(files, clock, an_identity, 3).reset();
    const auto again = Replica::open(files, clock);
    REQUIRE(again);
    const auto begin = [&](const std::string& identity, std::uint64_t epoch) {
        const auto begun = (*again)->begin({.identity = identity, .epoch = epoch, .since = {}, .host = "other.test"});
        return begun ? std::string() : begun.error().text();
    };
    CHECK(begin(another_identity, 9).find("the copy of another queue, that of first.test") != std::string::npos);
    CHECK(begin(an_identity, 2).find("has been replaced") != std::string::npos);
    CHECK(begin(an_identity, 4).empty());
    const auto busy = Replica::open(files, clock);
    REQUIRE_FALSE(busy);
    CHECK(busy.error().text() == "another process has the queue open");
}

TEST_CASE("replica: what was never whole is not promoted")
{
    HandClock clock;
    spool::RecordedFiles files;
    CHECK(promote(files, "second.test", clock).error().text() == "there is no copy of a queue here");
    {
        const auto replica = replica_of(files, clock);
        REQUIRE(replica->take(said_of(1, [](Operation& operation) { operation.set_create("spool.db"); }), false));
    }
    CHECK(promote(files, "second.test", clock).error().text() == "the copy of the queue of first.test has never been whole");
    {
        const auto replica = replica_of(files, clock);
        const auto durable = replica->take(said_of(1, [](Operation& operation) { operation.set_copied(true); }), false);
        REQUIRE(durable);
        CHECK(*durable == 1);
    }
    const auto now = promote(files, "second.test", clock);
    REQUIRE(now);
    CHECK(now->identity == an_identity);
    CHECK(now->epoch == 2);
    CHECK_FALSE(*read_copy_mark(files));
}

TEST_CASE("replica: while a whole copy catches up, what could be promoted before is still there")
{
    HandClock clock;
    spool::RecordedFiles files;
    const auto write = [](const char* octets) {
        return [octets](Operation& operation) {
            operation.mutable_write()->set_name("spool.db");
            operation.mutable_write()->set_octets(octets);
        };
    };
    const auto copied = [](Operation& operation) { operation.set_copied(true); };
    {
        const auto replica = replica_of(files, clock);
        REQUIRE(replica->take(said_of(1, write("first")), false));
        REQUIRE(replica->take(said_of(2, copied), false));
    }
    {
        const auto replica = replica_of(files, clock);
        REQUIRE(replica->take(said_of(7, write("half!")), false));
        CHECK(octets_in(files, "spool.db") == "first");
    }
    {                                                      // cut off: forgotten
        const auto replica = replica_of(files, clock);
        CHECK(octets_in(files, "spool.db") == "first");
        REQUIRE(replica->take(said_of(9, write("whole")), false));
        const auto durable = replica->take(said_of(10, copied), false);
        REQUIRE(durable);
        CHECK(*durable == 10);
        CHECK(octets_in(files, "spool.db") == "whole");
        REQUIRE(replica->take(said_of(11, write("after")), false));
        CHECK(octets_in(files, "spool.db") == "after");
    }
}

TEST_CASE("replica: nothing leads out of its folder, and nothing is taken twice")
{
    HandClock clock;
    spool::RecordedFiles files;
    const auto replica = replica_of(files, clock);
    std::uint64_t number = 0;
    for (const char* name : {"", "../spool.db", "incoming/../x", "/etc/passwd", "incoming/", "incoming", "a/b", ".hidden", "incoming/spare-1",
                             "spool.lock", "copy-of", "copy-of.new", "copy-of.pid", "copy-journal", "snapshot-1.db", "a\nb"}) {
        CAPTURE(name);
        CHECK_FALSE(is_copied(name));
        for (const auto& what : std::initializer_list<std::function<void(Operation&)>>{
                 [&](Operation& operation) { operation.set_create(name); }, [&](Operation& operation) { operation.set_remove(name); },
                 [&](Operation& operation) { operation.mutable_write()->set_name(name); },
                 [&](Operation& operation) { operation.mutable_truncate()->set_name(name); },
                 [&](Operation& operation) {
                     operation.mutable_rename()->set_from("orders");
                     operation.mutable_rename()->set_to(name);
                 },
                 [&](Operation& operation) {
                     operation.mutable_link()->set_from(name);
                     operation.mutable_link()->set_to("orders");
                 }})
            CHECK_FALSE(replica->take(said_of(++number, what), false));
    }
    CHECK_FALSE(replica->take(said_of(++number, [](Operation& operation) { operation.set_folder("elsewhere"); }), false));
    CHECK_FALSE(replica->take(said_of(number, [](Operation& operation) { operation.set_create("orders"); }), false));
    CHECK_FALSE(replica->take(said_of(++number, [](Operation&) {}), false));
    CHECK_FALSE(replica->take(said_of(++number,
                                      [](Operation& operation) {
                                          operation.mutable_write()->set_name("orders");
                                          operation.mutable_write()->set_offset(~std::uint64_t{0});
                                      }),
                              false));
    for (const char* name :
         {"spool.db", "spool.db-wal", "orders", "accounts.new", "lineage", "incoming/4gDqXyz", "spool.db.damaged-1", "spool.damaged"})
        CHECK(is_copied(name));
}

TEST_CASE("replica: a sync that runs beside later writes is shared, a barrier is not")
{
    HandClock clock;
    spool::RecordedFiles files;
    const auto replica = replica_of(files, clock);
    REQUIRE(replica->take(said_of(1, [](Operation& operation) { operation.set_copied(true); }), false));
    std::uint64_t number = 1;
    const auto write = [](Operation& operation) {
        operation.mutable_write()->set_name("spool.db-wal");
        operation.mutable_write()->set_octets("x");
    };
    const auto sync = [](bool barrier) { return [barrier](Operation& operation) { operation.mutable_sync()->set_barrier(barrier); }; };
    REQUIRE(replica->take(said_of(++number, write), true));
    std::size_t before = files.syncs();
    const auto later = replica->take(said_of(++number, sync(false)), true);
    REQUIRE(later);
    CHECK_FALSE(*later);
    CHECK(files.syncs() == before);
    const auto now = replica->take(said_of(++number, sync(false)), false);
    REQUIRE(now);
    CHECK(*now == number);
    CHECK(files.syncs() == before + 1);
    REQUIRE(replica->take(said_of(++number, write), true));
    before = files.syncs();
    const auto barrier = replica->take(said_of(++number, sync(true)), true);
    REQUIRE(barrier);
    CHECK(*barrier == number);
    CHECK(files.syncs() == before + 1);
    // However much comes, nobody waits for ever.
    REQUIRE(replica->take(said_of(++number, write), true));
    std::optional<std::uint64_t> durable;
    for (int i = 0; i < 100 && !durable; ++i) {
        const auto taken = replica->take(said_of(++number, sync(false)), true);
        REQUIRE(taken);
        durable = *taken;
    }
    CHECK(durable);
}

TEST_CASE("lineage: a file that is not as it was written is named, not guessed at")
{
    HandClock clock;
    spool::RecordedFiles files;
    CHECK_FALSE(*read_lineage(files));
    const auto made = lineage_of(files, "first host", clock);
    REQUIRE(made);
    CHECK(made->identity.size() == 32);
    const auto read = lineage_of(files, "another", clock);
    REQUIRE(read);
    CHECK(read->identity == made->identity);
    CHECK(read->host == "first_host");
    CHECK(read->since == std::chrono::floor<std::chrono::seconds>(clock.wall()));
    for (const char* text : {"", "posthorn-lineage 1", "posthorn-lineage 2 x 1 1 h\n", "posthorn-lineage 1 0123 1 1 h\n", "posthorn-copy 1 x\n"}) {
        CAPTURE(text);
        put(files, "lineage", text);
        const auto damaged = read_lineage(files);
        REQUIRE_FALSE(damaged);
        CHECK(damaged.error().text().starts_with("lineage: "));
    }
    const CopyMark mark{.of = {.identity = an_identity, .epoch = 7, .since = {}, .host = "h"},
                        .progress = Progress::catching_up,
                        .in_step = WallTime{std::chrono::seconds{5}}};
    REQUIRE(write_copy_mark(files, mark));
    const auto back = read_copy_mark(files);
    REQUIRE((back && *back));
    CHECK((*back)->of.epoch == 7);
    CHECK((*back)->progress == Progress::catching_up);
    CHECK((*back)->in_step == mark.in_step);
    put(files, "copy-of", "posthorn-copy 1 " + an_identity + " 7 entire 5 h\n");
    CHECK_FALSE(read_copy_mark(files));
}

TEST_CASE("line: words of a command are told as they are, and an end between two frames is one")
{
    const auto heard = [](std::string_view octets) {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        const Fd ours(ends[0]);
        {
            const Fd theirs(ends[1]);
            REQUIRE(::write(theirs.get(), octets.data(), octets.size()) == static_cast<ssize_t>(octets.size()));
        }
        Line line(ours.get(), ours.get(), "the copy");
        const auto said = line.hear(std::chrono::seconds{5});
        return said ? std::string("heard") : said.error().status() + " " + said.error().text();
    };
    CHECK(heard("") == "4.4.2 lost the copy: it ended");
    CHECK(heard(std::string_view("\0\0", 2)) == "4.3.0 lost the copy: it ended amid a frame");
    CHECK(heard("ssh: connect to host x port 22: Connection refused\r\nmore\n") ==
          "4.3.0 the copy says \"ssh: connect to host x port 22: Connection refused\"");
    CHECK(heard(std::string_view("\0\0\0\2\xff\xff", 6)) == "4.3.0 the copy says what is not understood here: it may be of another version");
    Said failed;
    failed.set_failed("no room");
    const std::string octets = failed.SerializeAsString();
    CHECK(heard(std::string{'\0', '\0', '\0', static_cast<char>(octets.size())} + octets) == "4.3.0 the copy: no room");
}
