// A damaged page must not cost the queue.
#include "spool/opening.hpp"
#include "spool/recorded_files.hpp"
#include "spool/salvage.hpp"
#include "spool/test_messages.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <random>

using namespace posthorn;
using namespace posthorn::spool;

namespace {

constexpr int messages = 120, many = 40;

/// Every third page or operation in CI, which is minutes less under sanitizers; every one in the nightly run.
std::size_t stride() { return std::getenv("POSTHORN_SPOOL_SEEDS") ? 1 : 3; }

/// It has been delivered since: that it came from another queue is all that is known of it.
std::shared_ptr<NewMessage> taken_over()
{
    auto message = message_of(600, 100);
    message->taken_over = {"queue-a", "there-1", {RecipientState{}}};
    return message;
}

/// A queue with small and large messages, many recipients, deferred ones, removed ones, and content in files.
void fill(FileOps& files)
{
    HandClock clock;
    auto opening = open_queue(files, {}, clock, silent_log());
    REQUIRE(opening);
    Ledger& ledger = *opening->ledger;
    ledger.begin();
    for (int number = 1; number <= messages; ++number)
        REQUIRE(ledger.enqueue(*message_of(number, static_cast<std::size_t>(number) * 97, number % 10 == 0 ? many : 1)));
    REQUIRE(ledger.enqueue(*message_in_file(files, 200, octets_of(200, 80'000))));
    REQUIRE(ledger.enqueue(*taken_over()));
    for (int number = 500; number < 560; ++number)
        REQUIRE(ledger.enqueue(*message_of(number, 5000)));
    ledger.commit(clock.wall());
    ledger.checkpoint();
    ledger.begin();
    for (int number = 500; number < 560; ++number)             // delivered: must not come back
        REQUIRE(ledger.remove({*ledger.find(queue_id(number))}));
    REQUIRE(ledger.remove({*ledger.find(queue_id(600))}));
    for (int number = 1; number <= messages; number += 7) {
        Settlement settlement{*ledger.find(queue_id(number)), 9, {}, WallTime{std::chrono::hours{2}}, {}, false};
        settlement.verdicts.emplace_back().set_outcome(handoff::OUTCOME_DEFERRED);
        settlement.verdicts.back().set_text("deferred for a reason");
        REQUIRE(ledger.settle(settlement));
    }
    ledger.commit(clock.wall());                               // stays in the log
}

struct Left {
    std::size_t whole = 0, on_hold = 0, missing = 0, wrong = 0, deferred = 0;
};

Left look(Ledger& ledger)
{
    Left left;
    std::map<int, StoredMessage> there;
    for (StoredMessage& stored : ledger.list(0, 100'000).entries)
        there.emplace(static_cast<int>(stored.lease.sequence()), std::move(stored));
    for (const auto& [number, stored] : there) {
        const bool known = (number >= 1 && number <= messages) || number == 200;
        const auto reader = ledger.content(stored.lease);
        const std::string octets = reader ? (*reader)->octets().value_or("") : "";
        if (!known || (reader && octets != octets_of(number, number == 200 ? 80'000 : static_cast<std::size_t>(number) * 97)))
            ++left.wrong;
        else if (reader)
            ++left.whole;
        else
            ++(stored.hold ? left.on_hold : left.wrong);
        left.deferred += stored.recipients[0].last && stored.recipients[0].last->text() == "deferred for a reason";
    }
    left.missing = messages + 1 - there.size();
    return left;
}

}  // namespace

TEST_CASE("salvage: of an undamaged database everything is read, from file and log, and nothing that was removed")
{
    RecordedFiles files;
    fill(files);
    HandClock clock;
    mark_damaged(files);
    auto sink = std::make_shared<observe::MemorySink>();
    auto opening = open_queue(files, {}, clock, observe::Log(sink, "postfix/qmgr"));
    REQUIRE_MESSAGE(opening, (opening ? "" : opening.error().text()));
    CHECK(opening->opened.salvaged);
    CHECK(opening->opened.lost_pages == 0);
    CHECK(opening->opened.lost.empty());
    const Left left = look(*opening->ledger);
    CHECK(left.whole == messages + 1);
    CHECK(left.wrong == 0);
    CHECK(left.deferred == (messages + 6) / 7);
    for (const StoredMessage& stored : opening->ledger->list(0, 1000).entries)
        CHECK(stored.recipients.size() == (stored.lease.sequence() % 10 == 0 && stored.lease.sequence() <= messages ? many : 1));
    CHECK(opening->ledger->was_committed(queue_id(510)));      // gone, and remembered
    CHECK(opening->ledger->taken_over("queue-a", {"there-1"}).size() == 1);
    CHECK(opening->ledger->reserve(Counter::queue_id, 1).first > 560);
    CHECK(opening->ledger->check_structure().empty());
    bool there = false;
    CHECK(files.exists(opening->opened.set_aside, there) == 0);
    CHECK(there);
    CHECK(files.exists(damaged_name, there) == 0);
    CHECK_FALSE(there);
    CHECK(sink->lines.size() >= 2);
}

TEST_CASE("salvage: whichever page is damaged, and however, the rest of the queue is there and the loss is named")
{
    RecordedFiles pristine;
    fill(pristine);
    HandClock clock;
    {
        auto opening = open_queue(pristine, {}, clock, silent_log());          // the log goes into the file
        REQUIRE(opening);
        opening->ledger->checkpoint(true);
    }
    std::mt19937_64 random(1);
    const std::uint64_t pages = pristine.size("spool.db") / 4096;
    CHECK(pages > 100);
    std::size_t found = 0, worst = 0;
    for (std::uint64_t page = 0; page < pages; page += stride()) {
        CAPTURE(page);
        const auto files = pristine.power_loss(random);                        // nothing is pending: a copy
        std::string octets(4096, '\0');
        if (page / stride() % 3 == 1)
            for (char& c : octets)
                c = static_cast<char>(random());
        else if (page / stride() % 3 == 2)
            octets.assign(4096, '\xff');
        files->damage("spool.db", page * 4096, octets);
        auto opening = open_queue(*files, {}, clock, silent_log());
        REQUIRE_MESSAGE(opening, (opening ? "" : opening.error().text()));
        const Left left = look(*opening->ledger);
        CHECK(left.wrong == 0);
        CHECK(left.missing <= 20);                             // at most what lay in one page: messages are short
        CHECK(left.on_hold <= 20);                             // short contents share a page as well
        if (left.missing + left.on_hold > 0) {
            CHECK(opening->opened.salvaged);
            CHECK(opening->opened.lost.size() + opening->opened.lost_pages > 0);
        }
        found += opening->opened.salvaged;
        worst = std::max(worst, left.missing + left.on_hold);
        CHECK(opening->ledger->check_structure().empty());
        CHECK(opening->ledger->check_content(0, 1000).entries.size() == left.on_hold);
        // It goes on as a queue.
        opening->ledger->begin();
        CHECK(opening->ledger->enqueue(*message_of(9000, 100)));
        opening->ledger->commit(clock.wall());
    }
    MESSAGE((pages / stride()) << " pages damaged in turn, " << found << " needed salvage, the worst cost " << worst << " messages");
    CHECK(found > pages / stride() / 2);
}

TEST_CASE("salvage: cut off at any operation, it is finished or done again at the next start")
{
    RecordedFiles pristine;
    fill(pristine);
    mark_damaged(pristine);
    HandClock clock;
    std::mt19937_64 random(5);
    for (std::size_t cut = 1;; cut += stride()) {
        CAPTURE(cut);
        const auto files = pristine.power_loss(random);
        bool marked = false;
        REQUIRE(files->exists(damaged_name, marked) == 0);
        std::unique_ptr<RecordedFiles> left;
        files->after = [&](const Operation& operation) {
            if (operation.number == cut)
                left = files->power_loss(random);
        };
        REQUIRE(open_queue(*files, {}, clock, silent_log()));
        if (!left)
            break;
        if (!marked)
            continue;
        auto opening = open_queue(*left, {}, clock, silent_log());
        REQUIRE_MESSAGE(opening, (opening ? "" : opening.error().text()));
        const Left found = look(*opening->ledger);
        CHECK(found.whole == messages + 1);
        CHECK(found.wrong == 0);
    }
}

TEST_CASE("salvage: damage that a running queue meets ends it, and the next start salvages")
{
    RecordedFiles files;
    LoopHarness on;
    std::string why;
    Events events;
    events.failed = [&](Error error) { why = error.what(); };
    Options options;
    options.cache_octets = 64 << 10;
    {
        auto spool = Spool::open(files, options, on.loop.get_executor(), on.clock, silent_log(), events);
        REQUIRE(spool);
        for (int number = 1; number <= 300; ++number)
            REQUIRE(on.get((*spool)->enqueue(message_of(number, 3000))));
        CHECK(on.get((*spool)->check()).value().empty());
    }
    {
        auto spool = Spool::open(files, options, on.loop.get_executor(), on.clock, silent_log(), events);
        REQUIRE(spool);
        for (std::uint64_t page = 20; page < 60; ++page)
            files.damage("spool.db", page * 4096, std::string(4096, '\x55'));
        for (int number = 1; number <= 300 && why.empty(); ++number) {
            const auto lease = on.get((*spool)->find(queue_id(number)));
            if (lease && *lease)
                (void)on.get((*spool)->remove({**lease}));
        }
        CHECK(why.find("salvaged at the next start") != std::string::npos);
    }
    auto spool = Spool::open(files, options, on.loop.get_executor(), on.clock, silent_log(), events);
    REQUIRE(spool);
    CHECK((*spool)->opened().salvaged);
    const auto left = on.get((*spool)->load(0, 1000)).value().entries;
    const auto held = std::ranges::count_if(left, [](const Scheduled& each) { return each.hold; });
    CHECK(left.size() > 200);
    CHECK(on.get((*spool)->check()).value().size() == static_cast<std::size_t>(held));
}

TEST_CASE("salvage: a message whose content file is gone is put on hold once; the starts after that salvage nothing")
{
    RecordedFiles files;
    fill(files);
    HandClock clock;
    REQUIRE(files.remove(incoming_name(queue_id(200))) == 0);
    for (int start = 0; start < 3; ++start) {
        auto opening = open_queue(files, {}, clock, silent_log());
        REQUIRE(opening);
        CHECK(opening->opened.salvaged == (start == 0));
        CHECK(look(*opening->ledger).on_hold == 1);
    }
}
