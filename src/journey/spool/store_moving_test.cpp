// What every Store promises of messages that go to another queue, or come from one.
#include "spool/store_test.hpp"

using namespace posthorn;
using namespace posthorn::spool;
using namespace std::chrono_literals;

namespace {

/// Number `number` here, "there-NUMBER" in the queue that it comes from: tried before, but for its last recipient.
std::shared_ptr<NewMessage> coming(int number, int recipients, int number_there)
{
    auto message = message_of(number, 100, recipients);
    TakenOver& taken = message->taken_over.emplace();
    taken.source = "queue-a";
    taken.queue_id = "there-" + std::to_string(number_there);
    taken.warned = true;
    for (int at = 0; at < recipients; ++at) {
        RecipientState& state = taken.states.emplace_back();
        if (at + 1 == recipients && recipients > 1)
            break;
        state.tries = 3;
        state.next_try = WallTime{2h};
        state.attempt = 77;
        state.last = verdict(0, handoff::OUTCOME_DEFERRED, "no answer yet");
    }
    return message;
}

using Known = std::vector<std::pair<std::string, std::string>>;

}  // namespace

ON_EVERY_STORE("moving: what comes from another queue comes as it stood there, once, whatever becomes of it, until it is forgotten")
{
    Harness on;
    for (const int recipients : {1, 3, 50}) {
        CAPTURE(recipients);
        const auto lease = on.get(on.store().enqueue(coming(recipients, recipients, recipients)));
        REQUIRE(lease);
        const auto read = on.get(on.store().read(*lease));
        REQUIRE(read);
        CHECK(read->warned);
        CHECK_FALSE(read->expire);
        CHECK_FALSE(read->leaving);
        REQUIRE(read->recipients.size() == static_cast<std::size_t>(recipients));
        CHECK(read->recipients[0].tries == 3);
        CHECK(read->recipients[0].next_try == WallTime{2h});
        REQUIRE(read->recipients[0].last);
        CHECK(read->recipients[0].last->text() == "no answer yet");
        CHECK(read->recipients[0].recipient.address() == "user0@example.net");
        // Attempts are numbered anew: one of the other queue's must not stand in the way of one of this.
        CHECK(read->recipients[0].attempt == 0);
        CHECK(read->recipients.back().tries == (recipients > 1 ? 0 : 3));
        const auto scheduled = on.get(on.store().scheduled(*lease));
        REQUIRE(scheduled);
        CHECK(scheduled->recipients[0].status == "4.4.1");
    }
    on.reopen();
    // Again, under another id, as after a lost answer: it is the one that is here.
    const auto again = on.get(on.store().enqueue(coming(90, 3, 3)));
    REQUIRE(again);
    CHECK(*again == lease_of(on, 3));
    CHECK(everything(on).size() == 3);
    REQUIRE(on.get(on.store().settle(settlement(lease_of(on, 1), 1, {verdict(0, handoff::OUTCOME_DELIVERED)}))));
    const auto gone = on.get(on.store().enqueue(coming(91, 1, 1)));
    REQUIRE(gone);
    CHECK(gone->key == 0);
    CHECK(everything(on).size() == 2);
    CHECK(on.get(on.store().taken_over("queue-a", {"there-1", "there-2", "there-3"})).value() ==
          Known{{"there-1", queue_id(1)}, {"there-3", queue_id(3)}});
    CHECK(on.get(on.store().taken_over("queue-b", {"there-1"})).value().empty());
    on.reopen();
    REQUIRE(on.get(on.store().forget_taken_over("queue-a", {"there-1"})));
    CHECK(on.get(on.store().taken_over("queue-a", {"there-1", "there-3"})).value() == Known{{"there-3", queue_id(3)}});
    const auto anew = on.get(on.store().enqueue(coming(92, 1, 1)));
    REQUIRE(anew);
    CHECK(anew->key != 0);
}

ON_EVERY_STORE("moving: a message without the state of each recipient is refused, and nothing of it is stored")
{
    Harness on;
    auto message = coming(1, 3, 1);
    message->taken_over->states.pop_back();
    CHECK_FALSE(on.get(on.store().enqueue(message)));
    CHECK(everything(on).empty());
    CHECK(on.get(on.store().taken_over("queue-a", {"there-1"})).value().empty());
}

ON_EVERY_STORE("moving: what is bound for another queue is on hold, over a restart too, and is as it was when it stays")
{
    Harness on;
    for (const int number : {1, 2})
        REQUIRE(on.get(on.store().enqueue(message_of(number, 10))));
    REQUIRE(on.get(on.store().alter({lease_of(on, 2)}, {.hold = true, .expire = {}, .next_try = {}})));
    const auto set = [&](bool leaving) {
        CHECK(on.get(on.store().alter({lease_of(on, 1), lease_of(on, 2)}, {.hold = {}, .expire = {}, .next_try = {}, .leaving = leaving})).value() ==
              2);
    };
    set(true);
    set(true);
    on.reopen();
    for (const StoredMessage& message : everything(on)) {
        CHECK(message.hold);
        CHECK(message.leaving);
        CHECK(message.held_before == (message.envelope.queue_id() == queue_id(2)));
        const auto scheduled = on.get(on.store().scheduled(message.lease));
        REQUIRE(scheduled);
        CHECK(scheduled->hold);
        CHECK(scheduled->leaving);
    }
    set(false);
    set(false);
    for (const StoredMessage& message : everything(on)) {
        CHECK(message.hold == (message.envelope.queue_id() == queue_id(2)));
        CHECK_FALSE(message.leaving);
        CHECK_FALSE(message.held_before);
    }
}
