// What every Store promises, asked of SQLite and of two nodes in memory.
#include "spool/store_test.hpp"
#include "spool/incoming.hpp"
#include "spool/page.hpp"
#include "spool/schema.hpp"

#include "handoff/frames.hpp"

#include <boost/asio/io_context.hpp>

#include <set>

using namespace posthorn;
using namespace posthorn::spool;
using namespace std::chrono_literals;

ON_EVERY_STORE("store: what was enqueued is read back, envelope, recipients and content")
{
    Harness on;
    for (const int recipients : {1, 3, 50}) {
        CAPTURE(recipients);
        auto message = message_of(recipients, 4096, recipients);
        const auto lease = on.get(on.store().enqueue(message));
        REQUIRE(lease);
        const auto read = on.get(on.store().read(*lease));
        REQUIRE(read);
        CHECK(read->lease == *lease);
        CHECK(read->envelope.sender() == message->envelope.sender());
        CHECK(read->envelope.queue_id() == queue_id(recipients));
        CHECK(read->envelope.recipients_size() == 0);
        REQUIRE(read->recipients.size() == static_cast<std::size_t>(recipients));
        for (int i = 0; i < recipients; ++i) {
            CHECK(read->recipients[static_cast<std::size_t>(i)].recipient.address() == message->envelope.recipients(i).address());
            CHECK(read->recipients[static_cast<std::size_t>(i)].tries == 0);
        }
        const auto content = on.get(on.store().content(*lease));
        REQUIRE(content);
        CHECK((*content)->octets().value() == message->content.inline_octets());
    }
    CHECK(everything(on).size() == 3);
}

ON_EVERY_STORE("store: content of no octets, of exactly the limit, and in a file")
{
    Harness on;
    int number = 0;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{handoff::inline_content_limit}}) {
        const auto message = message_of(++number, size);
        const auto lease = on.get(on.store().enqueue(message));
        REQUIRE(lease);
        CHECK(on.get(on.store().content(*lease)).value()->octets().value() == message->content.inline_octets());
    }
    const std::string large = octets_of(9, 300'000);
    const auto lease = on.get(on.store().enqueue(message_in_file(on.files(), 9, large)));
    REQUIRE(lease);
    const auto reader = on.get(on.store().content(*lease));
    REQUIRE(reader);
    CHECK((*reader)->size() == large.size());
    char piece[10];
    CHECK((*reader)->read_at(299'995, piece).value() == 5);
    CHECK(std::string_view(piece, 5) == std::string_view(large).substr(299'995));
    // The reader outlives the message.
    CHECK(on.get(on.store().remove({*lease})).value() == 1);
    CHECK((*reader)->octets().value() == large);
    bool there = true;
    CHECK(on.files().exists("incoming/" + queue_id(9), there) == 0);
    CHECK_FALSE(there);
}

ON_EVERY_STORE("store: the file of a message that was refused can be dropped, that of one that is there cannot")
{
    Harness on;
    const auto is_there = [&](int number) {
        bool there = false;
        CHECK(on.files().exists("incoming/" + queue_id(number), there) == 0);
        return there;
    };
    REQUIRE(on.get(on.store().enqueue(message_in_file(on.files(), 8, octets_of(8, 100'000)))));
    const auto shorter = std::make_shared<NewMessage>(*message_in_file(on.files(), 9, octets_of(9, 100'000)));
    shorter->envelope.set_size(100'001);
    CHECK_FALSE(on.get(on.store().enqueue(shorter)));
    REQUIRE(is_there(9));
    CHECK(on.get(on.store().drop_file(queue_id(9))));
    CHECK_FALSE(is_there(9));
    CHECK(on.get(on.store().drop_file(queue_id(9))));
    CHECK(on.get(on.store().drop_file(queue_id(8))));
    CHECK(is_there(8));
    CHECK(on.get(on.store().drop_file("../incoming/" + queue_id(8))));
    CHECK(is_there(8));
}

ON_EVERY_STORE("store: what a sender said of the time of a message is among what the scheduler is told")
{
    Harness on;
    const auto held = std::make_shared<NewMessage>(*message_of(7, 100));
    held->envelope.mutable_release()->set_not_before(1'796'025'600'000'000);
    REQUIRE(on.get(on.store().enqueue(held)));
    REQUIRE(on.get(on.store().enqueue(message_of(8, 100))));
    const auto page = on.get(on.store().load(0, 10));
    REQUIRE(page);
    REQUIRE(page->entries.size() == 2);
    REQUIRE(page->entries[0].release);
    CHECK(page->entries[0].release->not_before() == 1'796'025'600'000'000);
    CHECK_FALSE(page->entries[1].release);
}

ON_EVERY_STORE("store: a queue id that is enqueued again is one message, in the queue or gone")
{
    Harness on;
    const auto first = on.get(on.store().enqueue(message_of(1, 100)));
    const auto second = on.get(on.store().enqueue(message_of(1, 100)));
    REQUIRE(first);
    REQUIRE(second);
    CHECK(*first == *second);
    CHECK(everything(on).size() == 1);
    CHECK(on.get(on.store().settle(settlement(*first, 1, {verdict(0, handoff::OUTCOME_DELIVERED)}))).value().removed);
    CHECK(on.get(on.store().enqueue(message_of(1, 100))).value().key == 0);
    CHECK(everything(on).empty());
    on.reopen();
    CHECK(on.get(on.store().enqueue(message_of(1, 100))).value().key == 0);
    CHECK(everything(on).empty());
}

ON_EVERY_STORE("store: was_committed knows what is there and what left lately, also after a takeover")
{
    Harness on;
    const auto lease = on.get(on.store().enqueue(message_of(1, 100)));
    REQUIRE(lease);
    CHECK(on.get(on.store().was_committed(queue_id(1))).value());
    CHECK_FALSE(on.get(on.store().was_committed(queue_id(2))).value());
    CHECK_FALSE(on.get(on.store().was_committed("../../etc/passwd")).value());
    on.reopen();
    CHECK(on.get(on.store().was_committed(queue_id(1))).value());
    CHECK(on.get(on.store().settle(settlement(lease_of(on, 1), 1, {verdict(0, handoff::OUTCOME_BOUNCED)}))));
    CHECK(on.get(on.store().was_committed(queue_id(1))).value());
    on.reopen();
    CHECK(on.get(on.store().was_committed(queue_id(1))).value());
    CHECK_FALSE(on.get(on.store().find(queue_id(1))).value());
}

ON_EVERY_STORE("store: a message that was disowned was never here: it may be enqueued again")
{
    for (const int recipients : {1, 20}) {
        CAPTURE(recipients);
        Harness on;
        REQUIRE(on.get(on.store().enqueue(message_of(1, 100, recipients))));
        Settlement last = settlement(lease_of(on, 1), 1, {});
        for (int index = 0; index < recipients; ++index)
            last.verdicts.push_back(verdict(static_cast<std::uint32_t>(index), handoff::OUTCOME_BOUNCED));
        last.disowned = true;
        const auto settled = on.get(on.store().settle(last));
        REQUIRE(settled);
        CHECK(settled->removed);
        CHECK_FALSE(on.get(on.store().was_committed(queue_id(1))).value());
        on.reopen();
        CHECK_FALSE(on.get(on.store().was_committed(queue_id(1))).value());
        const auto again = on.get(on.store().enqueue(message_of(1, 100, recipients)));
        REQUIRE(again);
        CHECK(again->key != 0);
        CHECK(on.get(on.store().was_committed(queue_id(1))).value());
    }
}

ON_EVERY_STORE("store: each recipient is settled once, and the message leaves with the last of them")
{
    for (const int recipients : {3, 20}) {
        CAPTURE(recipients);
        Harness on;
        const Lease lease = on.get(on.store().enqueue(message_of(1, 100, recipients))).value();
        auto settled =
            on.get(on.store().settle(settlement(lease, 5, {verdict(0, handoff::OUTCOME_DELIVERED), verdict(1, handoff::OUTCOME_DEFERRED)})));
        REQUIRE(settled);
        CHECK_FALSE(settled->removed);
        auto read = on.get(on.store().read(lease)).value();
        REQUIRE(read.recipients.size() == static_cast<std::size_t>(recipients) - 1);
        CHECK(read.recipients[0].recipient.index() == 1);
        CHECK(read.recipients[0].tries == 1);
        CHECK(read.recipients[0].attempt == 5);
        CHECK(read.recipients[0].next_try == WallTime{1h});
        CHECK(read.recipients[0].last->text() == "reason");
        CHECK_FALSE(read.recipients[1].last);

        // The same attempt again, an older one, and a recipient that is not there: nothing changes.
        CHECK(on.get(on.store().settle(settlement(lease, 5, {verdict(0, handoff::OUTCOME_DEFERRED), verdict(1, handoff::OUTCOME_DELIVERED)}))));
        CHECK(on.get(on.store().settle(settlement(lease, 4, {verdict(1, handoff::OUTCOME_BOUNCED), verdict(777, handoff::OUTCOME_BOUNCED)}))));
        read = on.get(on.store().read(lease)).value();
        CHECK(read.recipients.size() == static_cast<std::size_t>(recipients) - 1);
        CHECK(read.recipients[0].tries == 1);

        std::vector<handoff::Verdict> rest;
        for (int i = 1; i < recipients; ++i)
            rest.push_back(verdict(static_cast<std::uint32_t>(i), handoff::OUTCOME_DELIVERED));
        settled = on.get(on.store().settle(settlement(lease, 6, rest)));
        CHECK(settled.value().removed);
        CHECK(everything(on).empty());
        CHECK(on.get(on.store().settle(settlement(lease, 6, rest))).value().removed);
    }
}

ON_EVERY_STORE("store: what was deferred is found again after a takeover, with its reason, tries and time")
{
    Harness on;
    for (const int recipients : {1, 20}) {
        const Lease lease = on.get(on.store().enqueue(message_of(recipients, 100, recipients))).value();
        CHECK(on.get(on.store().settle(
            settlement(lease, 1, {verdict(0, handoff::OUTCOME_DEFERRED, "connect to mx.example[192.0.2.1]:25: Connection refused")}))));
    }
    on.reopen();
    const auto page = on.get(on.store().load(0, 100)).value();
    REQUIRE(page.entries.size() == 2);
    CHECK(page.done);
    for (const Scheduled& scheduled : page.entries) {
        CHECK(scheduled.sender == "sender@example.com");
        CHECK(scheduled.size == 100);
        CHECK(scheduled.recipients[0].tries == 1);
        CHECK(scheduled.recipients[0].next_try == WallTime{1h});
        CHECK(scheduled.recipients[0].address == "user0@example.net");
        CHECK(on.get(on.store().read(scheduled.lease)).value().recipients[0].last->text() ==
              "connect to mx.example[192.0.2.1]:25: Connection refused");
        CHECK(on.get(on.store().scheduled(scheduled.lease)).value().queue_id == scheduled.queue_id);
    }
}

ON_EVERY_STORE("store: a report enters with the removal it tells of, once, or neither happens")
{
    for (const int recipients : {1, 20}) {
        Harness on;
        const Lease lease = on.get(on.store().enqueue(message_of(1, 100, recipients))).value();
        Settlement bounce = settlement(lease, 1, {verdict(0, handoff::OUTCOME_BOUNCED)});
        bounce.reports = {message_of(2, 50), message_of(3, 60)};
        const auto settled = on.get(on.store().settle(bounce));
        REQUIRE(settled);
        CHECK(settled->removed == (recipients == 1));
        CHECK(settled->reports.size() == 2);
        CHECK(on.get(on.store().was_committed(queue_id(2))).value());

        bounce.reports = {message_of(4, 50)};                     // the same verdict again: told already
        CHECK(on.get(on.store().settle(bounce)).value().reports.empty());
        CHECK_FALSE(on.get(on.store().was_committed(queue_id(4))).value());

        const Lease other = on.get(on.store().enqueue(message_of(10, 100, recipients))).value();
        Settlement refused = settlement(other, 2, {verdict(0, handoff::OUTCOME_BOUNCED)});
        auto clash = std::make_shared<NewMessage>(*message_of(11, 50));
        clash->envelope.set_queue_id(other_queue_id(3));          // the number of a message that is there
        refused.reports = {message_of(12, 50), clash};
        CHECK_FALSE(on.get(on.store().settle(refused)));
        CHECK(on.get(on.store().read(other)).value().recipients.size() == static_cast<std::size_t>(recipients));
        CHECK_FALSE(on.get(on.store().was_committed(queue_id(12))).value());
    }
}

ON_EVERY_STORE("store: a stale lease is refused everything, and changes nothing")
{
    Harness on;
    const Lease old = on.get(on.store().enqueue(message_of(1, 100))).value();
    on.reopen();
    const auto is_stale = [](const auto& result) { return !result && result.error().what().starts_with("stale lease"); };
    CHECK(is_stale(on.get(on.store().settle(settlement(old, 1, {verdict(0, handoff::OUTCOME_DELIVERED)})))));
    CHECK(is_stale(on.get(on.store().remove({old}))));
    CHECK(is_stale(on.get(on.store().alter({old}, {.hold = true, .expire = {}, .next_try = {}}))));
    CHECK(is_stale(on.get(on.store().replace(old, message_of(2, 100)))));
    CHECK(is_stale(on.get(on.store().read(old))));
    CHECK(is_stale(on.get(on.store().content(old))));
    const auto all = everything(on);
    REQUIRE(all.size() == 1);
    CHECK_FALSE(all[0].hold);
    CHECK(all[0].lease.key == old.key);
    CHECK(all[0].lease.epoch > old.epoch);
    CHECK(on.get(on.store().settle(settlement(all[0].lease, 1, {verdict(0, handoff::OUTCOME_DELIVERED)}))).value().removed);
}

ON_EVERY_STORE("store: operators hold, release, expire, reschedule, remove and requeue")
{
    for (const int recipients : {2, 20}) {
        Harness on;
        const Lease lease = on.get(on.store().enqueue(message_of(1, 100, recipients))).value();
        CHECK(
            on.get(on.store().alter({lease, Lease{make_key(lease.node(), 999), lease.epoch}}, {.hold = true, .expire = {}, .next_try = WallTime{2h}}))
                .value() == 1);
        auto read = on.get(on.store().read(lease)).value();
        CHECK(read.hold);
        CHECK_FALSE(read.expire);
        CHECK(read.recipients.back().next_try == WallTime{2h});
        CHECK(on.get(on.store().alter({lease}, {.hold = false, .expire = true, .next_try = {}})));
        read = on.get(on.store().read(lease)).value();
        CHECK_FALSE(read.hold);
        CHECK(read.expire);
        CHECK(read.recipients.back().next_try == WallTime{2h});
        CHECK_FALSE(read.requeue);
        CHECK(on.get(on.store().alter({lease}, {.hold = {}, .expire = {}, .next_try = {}, .requeue = true})));
        CHECK(on.get(on.store().read(lease)).value().requeue);
        CHECK(everything(on)[0].requeue);

        auto again = std::make_shared<NewMessage>(*message_of(2, 100));
        const std::string octets = message_of(1, 100)->content.inline_octets();
        again->content.Clear();                                   // it takes over the old one's
        const auto replaced = on.get(on.store().replace(lease, again));
        REQUIRE(replaced);
        CHECK(on.get(on.store().content(*replaced)).value()->octets().value() == octets);
        CHECK_FALSE(on.get(on.store().find(queue_id(1))).value());
        CHECK(on.get(on.store().remove({*replaced, *replaced})).value() == 1);
        CHECK(everything(on).empty());
    }
}

ON_EVERY_STORE("store: a requeued message takes its content file with it")
{
    Harness on;
    const std::string large = octets_of(1, 100'000);
    const Lease lease = on.get(on.store().enqueue(message_in_file(on.files(), 1, large))).value();
    auto again = std::make_shared<NewMessage>(*message_of(2, 100));
    again->envelope.set_size(large.size());
    again->content.Clear();
    const auto replaced = on.get(on.store().replace(lease, again));
    REQUIRE(replaced);
    on.reopen();
    CHECK(on.get(on.store().content(lease_of(on, 2))).value()->octets().value() == large);
}

ON_EVERY_STORE("store: numbers are handed out once, and never again after a restart")
{
    Harness on;
    std::set<std::uint64_t> attempts;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 3; ++i) {
            const Block block = on.get(on.store().reserve(Counter::attempt, 10)).value();
            CHECK(block.count == 10);
            for (std::uint64_t at = block.first; at < block.first + block.count; ++at)
                CHECK(attempts.insert(at).second);
        }
        on.reopen();
    }
    CHECK_FALSE(attempts.contains(0));
    const Block first = on.get(on.store().reserve(Counter::queue_id, 5)).value();
    CHECK(on.get(on.store().reserve(Counter::queue_id, 1)).value().first == first.first + 5);
}

ON_EVERY_STORE("store: what is malformed is refused with a reason, and nothing is stored")
{
    Harness on;
    const auto refused = [&](auto&& spoil) {
        auto message = std::make_shared<NewMessage>(*message_of(1, 100, 2));
        spoil(*message);
        const auto result = on.get(on.store().enqueue(message));
        REQUIRE_FALSE(result);
        CHECK(result.error().status() == "4.3.0");
        CHECK_FALSE(result.error().what().empty());
    };
    refused([](NewMessage& m) { m.envelope.set_queue_id(""); });
    refused([](NewMessage& m) { m.envelope.set_queue_id("../x"); });
    refused([](NewMessage& m) { m.envelope.set_queue_id("00000FFFFFFFFFFFFFFF"); });
    refused([](NewMessage& m) { m.envelope.clear_recipients(); });
    refused([](NewMessage& m) { m.envelope.mutable_recipients(1)->set_index(7); });
    refused([](NewMessage& m) { m.envelope.set_size(99); });
    refused([](NewMessage& m) { m.content.set_file(queue_id(1)); });
    refused([](NewMessage& m) { m.content.Clear(); });
    refused([](NewMessage& m) {
        m.content.Clear();
        m.content.set_file("../../../etc/passwd");
    });
    refused([](NewMessage& m) {
        m.content.Clear();
        m.content.set_file(queue_id(1));
    });          // no such file
    refused([](NewMessage& m) {
        m.content.set_inline_octets(std::string(handoff::inline_content_limit + 1, 'x'));
        m.envelope.set_size(handoff::inline_content_limit + 1);
    });
    CHECK(everything(on).empty());
}

ON_EVERY_STORE("store: a message put on hold by its receiver is on hold; a delay warning is noted with its settlement")
{
    Harness on;
    auto message = std::make_shared<NewMessage>(*message_of(1, 10));
    message->envelope.set_hold(true);
    const Lease lease = on.get(on.store().enqueue(message)).value();
    Settlement warned = settlement(lease, 1, {verdict(0, handoff::OUTCOME_DEFERRED)});
    warned.warned = true;
    CHECK(on.get(on.store().settle(warned)));
    on.reopen();
    const auto page = on.get(on.store().load(0, 10)).value();
    REQUIRE(page.entries.size() == 1);
    CHECK(page.entries[0].hold);
    CHECK(page.entries[0].warned);
}

ON_EVERY_STORE("store: pages cover the queue in the order of keys, each message once")
{
    Harness on;
    for (const int number : {5, 3, 9, 1, 7, 2})
        REQUIRE(on.get(on.store().enqueue(message_of(number, 10))));
    for (const std::size_t limit : {1, 2, 3, 6, 7}) {
        const auto all = everything(on, limit);
        REQUIRE(all.size() == 6);
        for (std::size_t i = 1; i < all.size(); ++i)
            CHECK(all[i - 1].lease.key < all[i].lease.key);
    }
}

ON_EVERY_STORE("a page of messages with many recipients ends early, and the next one goes on behind it")
{
    Harness on;
    constexpr int messages = 12, recipients = 5'000;           // about as much as two pages
    for (int number = 1; number <= messages; ++number)
        REQUIRE(on.get(on.store().enqueue(message_of(number, 100, recipients))));
    const auto first = on.get(on.store().list(0, 10'000));
    REQUIRE(first);
    CHECK(!first->done);
    CHECK(first->entries.size() < messages);
    std::size_t octets = 0;
    for (const StoredMessage& message : first->entries)
        octets += octets_of(message);
    CHECK(octets < page_octets + octets_of(first->entries.front()));
    const auto all = everything(on, 10'000);
    std::set<std::string> seen;
    for (const StoredMessage& message : all) {
        CHECK(message.recipients.size() == recipients);
        seen.insert(message.envelope.queue_id());
    }
    CHECK(all.size() == messages);
    CHECK(seen.size() == messages);
}

TEST_CASE("two nodes: the survivor is told what it adopted, works on it, and the lost one is refused until it rejoins")
{
    LoopHarness on;
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    TwoNodes nodes(on.loop.get_executor(), *files);
    std::vector<Lease> adopted;
    nodes.node(1).on_adopted([&](std::vector<Lease> leases) { adopted = std::move(leases); });
    const Lease first = on.get(nodes.node(0).enqueue(message_of(1, 10))).value();
    const Lease own = on.get(nodes.node(1).enqueue(message_of(1, 10))).value();
    CHECK(first.sequence() == own.sequence());
    CHECK(first.key != own.key);                                  // (node, sequence)

    nodes.fail_over(0);
    CHECK_FALSE(on.get(nodes.node(0).enqueue(message_of(2, 10))));
    REQUIRE(adopted.size() == 1);
    CHECK(adopted[0].key == first.key);
    CHECK(adopted[0].epoch > first.epoch);
    CHECK(on.get(nodes.node(1).load(0, 10)).value().entries.size() == 2);
    CHECK(on.get(nodes.node(1).settle(settlement(adopted[0], 1, {verdict(0, handoff::OUTCOME_DELIVERED)}))).value().removed);

    nodes.rejoin(0);
    CHECK_FALSE(on.get(nodes.node(0).read(first)));
    const auto fresh = on.get(nodes.node(0).enqueue(message_of(3, 10)));
    REQUIRE(fresh);
    CHECK(fresh->epoch > first.epoch);
    CHECK(on.get(nodes.node(1).read(own)));
}
