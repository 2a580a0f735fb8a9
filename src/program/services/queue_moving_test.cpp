// Messages between two queue managers, as the two commands carry them.
#include "services/queue_manager_test.hpp"

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;
using handoff::HandOver;
using handoff::TakeOver;

namespace {

/// The queue that they come to is the second node's, so that both share a loop and a clock.
struct TwoQueues : Fixture {
    std::unique_ptr<QueueManager> there;
    TestWorker their_worker{loop.get_executor()};
    std::shared_ptr<observe::MemorySink> their_sink = std::make_shared<observe::MemorySink>();
    std::optional<handoff::StoredMoving> kept, kept_there;
    std::string target, source;

    TwoQueues()
    {
        prepare = [this](QueueManager& made) { keep(made, kept); };
        options.records.types.set();
        stop();
        start();
        start_there();
    }
    ~TwoQueues() { stop_there(); }
    static void keep(QueueManager& made, std::optional<handoff::StoredMoving>& in)
    {
        if (in)
            made.restore_moving(*in);
        made.keep_moving = [&in](handoff::StoredMoving wanted) { return kept_in(in, std::move(wanted)); };
    }
    static awaitable<Result<void>> kept_in(std::optional<handoff::StoredMoving>& in, handoff::StoredMoving wanted)
    {
        in = std::move(wanted);
        co_return Result<void>{};
    }
    void start_there()
    {
        there = std::make_unique<QueueManager>(loop.get_executor(), nodes.node(1), resolver, their_worker, options, clock,
                                               observe::Log(their_sink, "postfix/qmgr"));
        keep(*there, kept_there);
        REQUIRE(wait(there->open({})));
        REQUIRE(wait(there->whole()));
    }
    void stop_there()
    {
        bool closed = false;
        asio::co_spawn(loop, there->abandon(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
        there.reset();
    }
    static awaitable<Result<void>> kept_slowly(Signal& goes_on, std::size_t& times)
    {
        ++times;
        co_await goes_on.wait();
        co_return Result<void>{};
    }
    handoff::HandOverReply hand_over(HandOver::Step step, std::vector<std::string> ids = {}, std::vector<std::string> as = {})
    {
        HandOver asked;
        asked.set_step(step);
        asked.set_target(target);
        asked.set_name("new.test");
        for (std::string& id : ids)
            asked.add_queue_ids(std::move(id));
        for (std::string& id : as)
            asked.add_there(std::move(id));
        auto reply = wait(queue->hand_over(std::move(asked)));
        REQUIRE(reply);
        return *std::move(reply);
    }
    handoff::TakeOverReply take_over(TakeOver::Step step, std::vector<std::string> ids = {}, std::vector<handoff::MovingMessage> messages = {})
    {
        TakeOver asked;
        asked.set_step(step);
        asked.set_source(source);
        asked.set_name("old.test");
        asked.set_count(static_cast<std::uint32_t>(messages.size()));
        for (std::string& id : ids)
            asked.add_queue_ids(std::move(id));
        for (handoff::MovingMessage& message : messages)
            *asked.add_messages() = std::move(message);
        auto reply = wait(there->take_over(std::move(asked)));
        REQUIRE(reply);
        return *std::move(reply);
    }
    handoff::HandOverReply begin()
    {
        target = take_over(TakeOver::BEGIN).target();
        auto reply = hand_over(HandOver::BEGIN);
        source = reply.source();
        return reply;
    }
    /// What was offered, with ids of the other queue.
    std::vector<handoff::MovingMessage> numbered(const handoff::HandOverReply& offered)
    {
        std::vector<handoff::MovingMessage> messages(offered.messages().begin(), offered.messages().end());
        TakeOver asked;
        asked.set_step(TakeOver::IDS);
        asked.set_count(static_cast<std::uint32_t>(messages.size()));
        const auto ids = wait(there->take_over(asked));
        REQUIRE(ids);
        REQUIRE(ids->queue_ids_size() == offered.messages_size());
        for (std::size_t at = 0; at < messages.size(); ++at)
            messages[at].mutable_envelope()->set_queue_id(ids->queue_ids(static_cast<int>(at)));
        return messages;
    }
    handoff::TakenMessage moved(const std::string& id)
    {
        const auto offered = hand_over(HandOver::OFFER, {id});
        REQUIRE(offered.messages_size() == 1);
        const auto taken = take_over(TakeOver::TAKE, {}, numbered(offered));
        REQUIRE(taken.taken_size() == 1);
        return taken.taken(0);
    }
    std::vector<spool::StoredMessage> in_queue_there()
    {
        auto page = wait(nodes.node(1).list(0, 1000));
        REQUIRE(page);
        return std::move(page->entries);
    }
    handoff::Explanation why(const std::string& id)
    {
        handoff::QueueCommand asked;
        asked.set_verb(handoff::QueueCommand::EXPLAIN);
        asked.add_queue_ids(id);
        const auto reply = wait(queue->command(asked));
        REQUIRE(reply);
        return reply->explanation();
    }
    static handoff::Verdict later() { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.1", "451 4.2.1 later"); }
};

}  // namespace

TEST_CASE_FIXTURE(TwoQueues, "moving: a deferred message leaves one queue and goes on in the other, with what is known of it")
{
    worker.verdict_for = [](const std::string& address) { return address == "gone@there.test" ? TestWorker::delivered() : later(); };
    const std::string id = enqueue({"gone@there.test", "b@there.test"});
    settle();
    observe::MemoryRecorder told, told_there;
    queue->record_to(&told);
    there->record_to(&told_there);
    their_worker.verdict_for = [](const std::string&) { return later(); };
    CHECK(begin().in_doubt_size() == 0);
    const handoff::TakenMessage taken = moved(id);
    CHECK(taken.queue_id() == id);
    CHECK_FALSE(taken.here().empty());
    CHECK_FALSE(taken.before());
    CHECK(hand_over(HandOver::DONE, {id}, {taken.here()}).count() == 1);
    CHECK(in_queue() == 0);
    CHECK(queue->waiting() == 0);
    CHECK(queue->counts().handed_over == 1);
    CHECK(logged(id + ": handed over to new.test as " + taken.here()));
    const auto tells = [](const observe::MemoryRecorder& recorder, const std::string& words) {
        return std::ranges::count_if(recorder.records, [&](const std::string& record) { return record.find(words) != std::string::npos; });
    };
    CHECK(tells(told, R"({"type":"XferOut","id":")" + id + R"(","sender":"a@ours.test","recipient":"b@there.test",)") == 1);
    CHECK(tells(told, R"("moved_host":"new.test","moved_id":")" + taken.here() + '"') == 1);
    CHECK(tells(told_there, R"({"type":"XferIn","id":")" + taken.here() + R"(","sender":"a@ours.test","recipient":"b@there.test",)") == 1);
    CHECK(tells(told_there, R"("content":"taken over from old.test as )" + id + '"') == 1);
    const auto stored = in_queue_there();
    REQUIRE(stored.size() == 1);
    CHECK(stored[0].envelope.queue_id() == taken.here());
    REQUIRE(stored[0].recipients.size() == 1);
    CHECK(stored[0].recipients[0].recipient.address() == "b@there.test");
    CHECK(stored[0].recipients[0].tries == 1);
    CHECK(stored[0].recipients[0].last->text() == "451 4.2.1 later");
    // At its time, not before, and as the second try.
    CHECK(there->waiting() == 1);
    CHECK(their_worker.requests.empty());
    clock.advance(options.retry.minimal_backoff + 1s);
    there->wake();
    settle();
    REQUIRE(their_worker.requests.size() == 1);
    CHECK(in_queue_there()[0].recipients[0].tries == 2);
    CHECK(worker.requests.size() == 1);
    take_over(TakeOver::FORGET, {id});
    CHECK(take_over(TakeOver::KNOWN, {id}).taken_size() == 0);
    hand_over(HandOver::END);
    CHECK(kept->target().empty());
    CHECK(kept->identity() == source);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: what is on hold comes on hold, what is to expire or be requeued as well")
{
    worker.verdict_for = their_worker.verdict_for = [](const std::string&) { return later(); };
    const std::string held = enqueue({"a@there.test"});
    settle();
    command(handoff::QueueCommand::HOLD, held);
    begin();
    const auto taken = moved(held);
    hand_over(HandOver::DONE, {held}, {taken.here()});
    clock.advance(24h);
    there->wake();
    settle();
    CHECK(their_worker.requests.empty());
    REQUIRE(in_queue_there().size() == 1);
    CHECK(in_queue_there()[0].hold);
    CHECK_FALSE(in_queue_there()[0].leaving);
    handoff::QueueCommand release;
    release.set_verb(handoff::QueueCommand::RELEASE);
    release.add_queue_ids(taken.here());
    REQUIRE(wait(there->command(release)));
    settle();
    CHECK(their_worker.requests.size() == 1);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: what is being delivered is not offered before that has ended, and not at all where it was delivered")
{
    worker.slow = [](const std::string&) { return true; };
    const std::string id = enqueue({"a@there.test"}), other = enqueue({"b@there.test"});
    settle();
    begin();
    auto offered = hand_over(HandOver::OFFER, {id, other});
    CHECK(offered.messages_size() == 0);
    CHECK(offered.later_size() == 2);
    worker.verdict_for = [](const std::string& address) { return address == "a@there.test" ? TestWorker::delivered() : later(); };
    worker.answer_slow();
    settle();
    clock.advance(24h);
    queue->wake();
    settle();
    CHECK(worker.requests.size() == 2);            // it is not tried again here
    offered = hand_over(HandOver::OFFER, {id, other});
    REQUIRE(offered.messages_size() == 1);
    CHECK(offered.later_size() == 0);
    CHECK(offered.messages(0).queue_id() == other);
    CHECK(offered.messages(0).states(0).tries() == 1);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: mail that goes at a time of its sender's choice waits for that in the other queue")
{
    amend_request = [&](handoff::EnqueueRequest& request) {
        request.mutable_envelope()->mutable_release()->set_not_before((clock.wall() + 48h).time_since_epoch().count());
    };
    const std::string held = enqueue({"u@there.test"});
    settle();
    begin();
    const auto taken = moved(held);
    hand_over(HandOver::DONE, {held}, {taken.here()});
    settle();
    CHECK(their_worker.requests.empty());
    clock.advance(47h);
    there->wake();
    settle();
    CHECK(their_worker.requests.empty());
    clock.advance(2h);
    there->wake();
    settle();
    CHECK(their_worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(worker.requests.empty());
}

TEST_CASE_FIXTURE(TwoQueues,
                  "moving: a message whose answer was lost is neither delivered here nor taken twice; the queues agree when they meet again")
{
    worker.verdict_for = [](const std::string&) { return later(); };
    const std::string came = enqueue({"came@there.test"}), lost = enqueue({"lost@there.test"});
    settle();
    begin();
    their_worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    const auto taken = moved(came);
    REQUIRE(hand_over(HandOver::OFFER, {lost}).messages_size() == 1);      // and nobody takes it
    // All restart, a day later; what came has been delivered since.
    stop();
    stop_there();
    clock.advance(24h);
    start();
    start_there();
    settle();
    CHECK(their_worker.delivered_to == std::multiset<std::string>{"came@there.test"});
    CHECK(worker.requests.size() == 2);
    CHECK(logged("2 messages are on hold, each bound for the queue of new.test"));
    for (const auto verb : {handoff::QueueCommand::RELEASE, handoff::QueueCommand::DELETE, handoff::QueueCommand::REQUEUE,
                            handoff::QueueCommand::EXPIRE, handoff::QueueCommand::EXPIRE_RELEASE, handoff::QueueCommand::HOLD}) {
        const auto said = command(verb, came);
        CHECK(said.count() == 0);
        CHECK(said.text().find("a message is left as it is: bound for the queue of new.test") == 0);
    }
    CHECK(command(handoff::QueueCommand::DELETE, "ALL").text().find("each of 2 messages is left as it is") == 0);
    CHECK(in_queue() == 2);
    CHECK(why(came).waiting(0).wait() == static_cast<std::uint32_t>(handoff::Wait::moving));
    // To another queue they do not go.
    const std::string right = std::exchange(target, "another");
    auto refused = hand_over(HandOver::BEGIN);
    CHECK(refused.failed());
    CHECK(hand_over(HandOver::OFFER, {came}).failed());
    target = right;
    const auto begun = begin();
    CHECK(std::set<std::string>(begun.in_doubt().begin(), begun.in_doubt().end()) == std::set<std::string>{came, lost});
    const auto known = take_over(TakeOver::KNOWN, {came, lost});
    REQUIRE(known.taken_size() == 1);
    CHECK(known.taken(0).queue_id() == came);
    CHECK(known.taken(0).here() == taken.here());
    hand_over(HandOver::DONE, {came}, {taken.here()});
    // Even one that is sent again is not taken again.
    const auto again = moved(lost);
    CHECK_FALSE(again.before());
    const auto twice = moved(lost);
    CHECK(twice.before());
    CHECK(twice.here() == again.here());
    hand_over(HandOver::DONE, {lost}, {again.here()});
    CHECK(in_queue() == 0);
    clock.advance(24h);
    there->wake();
    settle();
    CHECK(their_worker.delivered_to == std::multiset<std::string>{"came@there.test", "lost@there.test"});
    CHECK(worker.requests.size() == 2);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: after a restart nothing is offered before the delivery processes that live on have said what they hold")
{
    worker.verdict_for = [](const std::string&) { return later(); };
    const std::string id = enqueue({"a@there.test"}), other = enqueue({"b@there.test"});
    settle();
    const auto found = wait(nodes.node(0).find(id));
    REQUIRE(found);
    const spool::Lease stored = found->value_or(spool::Lease{});
    stop();
    start({77});
    begin();
    auto offered = hand_over(HandOver::OFFER, {id, other});
    CHECK(offered.messages_size() == 0);
    CHECK(offered.later_size() == 2);
    handoff::Hello hello;
    hello.set_process(77);
    handoff::Flight& flight = *hello.add_flights();
    flight.set_attempt(1'000);
    flight.set_message(stored.key);
    flight.add_recipients(0);
    bool reunited = false;
    asio::co_spawn(loop, queue->reunited(hello, {}), [&](std::exception_ptr) { reunited = true; });
    run_until([&] { return reunited; });
    settle();
    for (int turns = 0; turns < 100 && offered.messages_size() == 0; ++turns) {
        settle();
        offered = hand_over(HandOver::OFFER, {id, other});
    }
    REQUIRE(offered.messages_size() == 1);
    CHECK(offered.messages(0).queue_id() == other);
    CHECK(std::vector<std::string>(offered.later().begin(), offered.later().end()) == std::vector<std::string>{id});
    // It was delivered after all.
    handoff::Verdicts verdicts;
    verdicts.set_attempt(std::uint64_t{1} << 40);
    verdicts.set_message(stored.key);
    *verdicts.add_verdicts() = TestWorker::delivered();
    REQUIRE(wait(queue->late_verdicts(verdicts)));
    settle();
    offered = hand_over(HandOver::OFFER, {id});
    CHECK(offered.messages_size() == 0);
    CHECK(offered.later_size() == 0);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: those who ask first, at once, hear of one identity")
{
    std::size_t times = 0;
    Signal goes_on(loop.get_executor());
    queue->keep_moving = [&](handoff::StoredMoving) { return kept_slowly(goes_on, times); };
    std::vector<std::string> heard;
    const auto ask = [&] {
        asio::co_spawn(loop, queue->take_over({}), [&](std::exception_ptr, Result<handoff::TakeOverReply> reply) {
            REQUIRE(reply);
            heard.push_back(reply->target());
        });
    };
    ask();
    ask();
    settle();
    goes_on.notify_all();
    settle();
    goes_on.notify_all();
    run_until([&] { return heard.size() == 2; });
    CHECK(heard[0] == heard[1]);
    CHECK(times == 1);
}

TEST_CASE_FIXTURE(TwoQueues, "moving: what is kept here after all goes on as it was")
{
    worker.verdict_for = [](const std::string&) { return later(); };
    const std::string waits = enqueue({"a@there.test"}), held = enqueue({"b@there.test"});
    settle();
    command(handoff::QueueCommand::HOLD, held);
    begin();
    REQUIRE(hand_over(HandOver::OFFER, {waits, held}).messages_size() == 2);
    stop();
    start();
    CHECK(hand_over(HandOver::BACK, {"ALL"}).count() == 2);
    settle();
    CHECK(worker.requests.size() == 2);            // at its own time
    clock.advance(options.retry.minimal_backoff + 1s);
    queue->wake();
    settle();
    CHECK(worker.requests.size() == 3);
    CHECK(worker.requests.back().envelope().recipients(0).address() == "a@there.test");
    CHECK(command(handoff::QueueCommand::RELEASE, held).count() == 1);
    settle();
    CHECK(worker.requests.size() == 4);
    // And another target may be named.
    target = "another";
    CHECK_FALSE(hand_over(HandOver::BEGIN).failed());
}

TEST_CASE_FIXTURE(TwoQueues,
                  "moving: a queue is not handed to itself, nor to one that has no identity; where that is not kept nothing is bound for anywhere")
{
    const std::string id = enqueue({"a@error.test"});
    begin();
    target = source;
    CHECK(hand_over(HandOver::BEGIN).text() == "the other queue is this one");
    target.clear();
    CHECK(hand_over(HandOver::BEGIN).failed());
    CHECK(hand_over(HandOver::OFFER, {id}).failed());
    queue->keep_moving = [](handoff::StoredMoving) -> awaitable<Result<void>> { co_return Error{"insufficient system storage", "4.3.1"}; };
    HandOver asked;
    asked.set_target("another");
    CHECK_FALSE(wait(queue->hand_over(asked)));
    asked.set_step(HandOver::OFFER);
    asked.add_queue_ids(id);
    const auto offered = wait(queue->hand_over(asked));
    REQUIRE(offered);
    CHECK(offered->failed());
}

TEST_CASE_FIXTURE(TwoQueues, "moving: users of the other machine are not users of this one")
{
    worker.verdict_for = [](const std::string&) { return later(); };
    handoff::MovingMessage message;
    begin();
    const std::string id = enqueue({"a@there.test"});
    settle();
    auto messages = numbered(hand_over(HandOver::OFFER, {id}));
    messages[0].mutable_envelope()->set_account("uid:1000");
    messages[0].mutable_envelope()->set_submitter(1000);
    take_over(TakeOver::TAKE, {}, messages);
    CHECK(in_queue_there()[0].envelope.account().empty());
    CHECK(in_queue_there()[0].envelope.submitter() == 0);
}
