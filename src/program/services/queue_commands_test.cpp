#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

TEST_CASE_FIXTURE(Fixture, "queue: a message on hold rests until it is released; a deleted one is gone")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    const std::string held = enqueue({"u@there.test"}), deleted = enqueue({"v@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::HOLD, held).count() == 1);
    CHECK(command(handoff::QueueCommand::HOLD, held).count() == 0);
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 1);
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 0);
    const std::size_t before = worker.requests.size();
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(10h);
    CHECK(worker.requests.size() == before);
    CHECK(command(handoff::QueueCommand::RELEASE, held).count() == 1);
    CHECK(command(handoff::QueueCommand::RELEASE, held).count() == 0);
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a flush tries everything at once, whatever the time written beside it")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@there.test", "v@there.test"});
    settle();
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    handoff::QueueCommand asked;
    asked.set_verb(handoff::QueueCommand::FLUSH);
    REQUIRE(wait(queue->command(asked)));
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "v@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: force-expire returns a message at once")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "mailbox busy") : TestWorker::delivered();
    };
    const std::string id = enqueue({"slow@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::EXPIRE, id).count() == 1);
    settle();
    CHECK(logged("status=force-expired, returned to sender"));
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].verdicts(0).text() == "mailbox busy");
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a held message that is to expire stays on hold until it is released; -f does both")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    for (const bool at_once : {false, true}) {
        const std::string id = enqueue({"u@there.test"});
        settle();
        const std::size_t reports = resolver.reports.size();
        CHECK(command(handoff::QueueCommand::HOLD, id).count() == 1);
        CHECK(command(handoff::QueueCommand::EXPIRE, id).count() == 1);
        CHECK(command(handoff::QueueCommand::EXPIRE, id).count() == 0);
        pass(1h);
        CHECK(resolver.reports.size() == reports);
        stop();                                                 // the wish is on disk
        start();
        pass(1h);
        CHECK(resolver.reports.size() == reports);
        const auto released = command(at_once ? handoff::QueueCommand::EXPIRE_RELEASE : handoff::QueueCommand::RELEASE, id);
        CHECK(released.count() == (at_once ? 0 : 1));
        CHECK(released.released() == (at_once ? 1 : 0));
        settle();
        CHECK(resolver.reports.size() == reports + 1);
    }
}

TEST_CASE_FIXTURE(Fixture, "queue: requeue cleans a message anew; it goes out under its new id and address, once")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("old") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later") : TestWorker::delivered();
    };
    const std::string id = enqueue({"old@there.test", "done@there.test"});
    settle();
    const std::string held = enqueue({"old2@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::HOLD, held).count() == 1);
    resolver.alias = {{"old@there.test", "new@there.test"}, {"old2@there.test", "new2@there.test"}};
    CHECK(command(handoff::QueueCommand::REQUEUE, "ALL", "hold").count() == 1);
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 1);
    settle();
    REQUIRE(resolver.requeued.size() == 2);
    CHECK(resolver.requeued[1].recipients_size() == 1);         // the delivered one is not told again
    CHECK(worker.delivered_to == std::multiset<std::string>{"done@there.test", "new2@there.test", "new@there.test"});
    CHECK(worker.requests.back().content().inline_octets().starts_with("Received: again\r\n"));
    CHECK(in_queue() == 0);
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a message that cleanup refuses stays as it was, and the operator hears why")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    const std::string id = enqueue({"u@there.test"});
    settle();
    resolver.refused = "too many hops";
    const auto reply = command(handoff::QueueCommand::REQUEUE, id);
    CHECK(reply.count() == 0);
    CHECK(reply.text() == id + ": not accepted: too many hops\n");
    CHECK(in_queue() == 1);
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(10h);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
}

TEST_CASE_FIXTURE(Fixture, "queue: what was to be requeued when its attempt ends is requeued by the manager that comes after a restart")
{
    worker.silent = true;
    const std::string id = enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 1);
    const auto restart = [&] {
        stop();
        worker.silent = false;
        worker.crash();
        worker.connect();
        start();
        pass(1s);
    };
    SUBCASE("once")
    {
        restart();
        CHECK(resolver.requeued.size() == 1);
        CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
        CHECK(in_queue() == 0);
    }
    SUBCASE("what cleanup refuses stays as it was, and is not asked for again")
    {
        resolver.refused = "too many hops";
        worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
        restart();
        CHECK(in_queue() == 1);
        stop();
        resolver.refused.clear();
        start();
        pass(10h);
        CHECK(resolver.requeued.empty());
        CHECK(in_queue() == 1);
    }
    SUBCASE("what cleanup cannot judge now is asked for again, and does not go out as it is meanwhile")
    {
        resolver.refused = "Temporary lookup failure";
        resolver.refused_status = "4.3.0";
        restart();
        pass(1h);
        CHECK(in_queue() == 1);
        CHECK(worker.delivered_to.empty());
        resolver.refused.clear();
        pass(1h);
        CHECK(resolver.requeued.size() == 1);
        CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
        CHECK(in_queue() == 0);
    }
}

TEST_CASE_FIXTURE(Fixture, "queue: what is being delivered is requeued when its attempt ends, without what was delivered")
{
    worker.silent = true;
    const std::string id = enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 1);
    settle();
    CHECK(resolver.requeued.empty());
    worker.silent = false;
    worker.crash();                                             // the attempt ends without a verdict
    worker.connect();
    settle();
    CHECK(resolver.requeued.size() == 1);
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: what waits in a delivery process is called back by a hold or a deletion; what it has begun goes on")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 1, .limit = 1, .positive = {}, .negative = {}}, .ahead = 4};
    };
    queue->reconfigure(options);
    worker.slow = [](const std::string&) { return true; };
    const std::string first = enqueue({"first@there.test"});
    settle();
    const std::string second = enqueue({"second@there.test"}), third = enqueue({"third@there.test"}), fourth = enqueue({"fourth@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 4);
    CHECK(command(handoff::QueueCommand::HOLD, second).count() == 1);
    CHECK(command(handoff::QueueCommand::DELETE, third).count() == 1);
    CHECK(command(handoff::QueueCommand::HOLD, first).count() == 1);
    settle();
    CHECK(worker.called_back.size() == 3);
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"first@there.test", "fourth@there.test"});
    CHECK(worker.requests.size() == 4);
    CHECK(in_queue() == 1);
    CHECK(command(handoff::QueueCommand::RELEASE, second).count() == 1);
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"first@there.test", "fourth@there.test", "second@there.test"});
    CHECK(in_queue() == 0);
    CHECK_FALSE(logged("deferred"));
}

TEST_CASE_FIXTURE(
    Fixture, "queue: of a delivery under way it is told what that waits for, recipient by recipient; a process that stands still holds up no answer")
{
    worker.slow = [](const std::string& address) { return address.starts_with("slow"); };
    const std::string id = enqueue({"slow@there.test", "quick@elsewhere.test", "slower@beyond.test"});
    settle();
    {
        const auto reply = command(handoff::QueueCommand::EXPLAIN, id);
        REQUIRE(reply.explanation().waiting_size() == 2);
        for (const handoff::Waiting& one : reply.explanation().waiting()) {
            CHECK(one.wait() == static_cast<std::uint32_t>(handoff::Wait::delivery));
            CHECK(one.progress() == "the answer for " + one.recipient().address());
            CHECK(one.progress_since() == clock.wall().time_since_epoch().count() - 3'000'000);
        }
    }
    worker.silent = true;
    for (int times = 0; times < 10; ++times) {
        const auto reply = command(handoff::QueueCommand::EXPLAIN, id);
        REQUIRE(reply.explanation().waiting_size() == 2);
        CHECK(reply.explanation().waiting(0).wait() == static_cast<std::uint32_t>(handoff::Wait::delivery));
        CHECK(reply.explanation().waiting(0).progress().empty());
    }
    CHECK(worker.asked_for_progress == 1 + 8);                  // then it was asked no more
}

TEST_CASE_FIXTURE(Fixture, "queue: a message put on hold after its requeue was asked for rests until it is released, and is requeued then")
{
    worker.slow = [](const std::string& address) { return address.starts_with("slow"); };
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later") : TestWorker::delivered();
    };
    const std::string id = enqueue({"slow@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 1);
    CHECK(command(handoff::QueueCommand::HOLD, id).count() == 1);
    SUBCASE("the attempt ends") { worker.answer_slow(); }
    SUBCASE("the manager starts anew")
    {
        stop();
        worker.connect();
        start();
    }
    pass(24h);
    CHECK(resolver.requeued.empty());
    CHECK(worker.requests.size() == 1);
    worker.slow = [](const std::string&) { return false; };
    CHECK(command(handoff::QueueCommand::RELEASE, id).count() == 1);
    settle();
    CHECK(resolver.requeued.size() == 1);
    CHECK(worker.requests.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "queue: a requeue asked for after a hold takes the message off hold, a hold while it is cleaned anew stands")
{
    worker.slow = [](const std::string&) { return true; };
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    const std::string id = enqueue({"u@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::HOLD, id).count() == 1);
    CHECK(command(handoff::QueueCommand::REQUEUE, id).count() == 1);
    worker.answer_slow();
    settle();
    REQUIRE(resolver.requeued.size() == 1);
    CHECK(worker.requests.size() == 2);                        // under its new id
    worker.answer_slow();
    settle();
    REQUIRE(in_queue() == 1);

    resolver.asleep = true;
    const std::string again = resolver.last_id;
    resolver.amend = [&](handoff::EnqueueRequest& made) { in_file(made); };
    bool answered = false;
    handoff::QueueCommand requeue;
    requeue.set_verb(handoff::QueueCommand::REQUEUE);
    requeue.add_queue_ids(again);
    asio::co_spawn(loop, queue->command(requeue), [&](std::exception_ptr, const Result<handoff::QueueReply>& reply) {
        answered = true;
        CHECK(reply->count() == 0);
        CHECK(reply->text().find("put on hold") != std::string::npos);
    });
    settle();
    CHECK(command(handoff::QueueCommand::HOLD, again).count() == 1);
    resolver.wake_up();
    run_until([&] { return answered; });
    CHECK(resolver.requeued.size() == 2);
    CHECK(std::filesystem::is_empty(folder + "/incoming"));     // what it was to become is nobody's
    pass(24h);
    CHECK(worker.requests.size() == 2);
    CHECK(in_queue() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: the file of a message that is refused is removed here where it is nobody's, and there where it is somebody's")
{
    for (const bool nobodys : {true, false}) {
        CAPTURE(nobodys);
        handoff::EnqueueRequest request;
        request.mutable_envelope()->set_queue_id(handoff::short_queue_id(WallTime{}, 7'000'000));
        request.mutable_envelope()->add_recipients()->set_address("u@there.test");
        in_file(request);
        request.mutable_content()->set_nobodys(nobodys);
        request.mutable_envelope()->set_size(request.envelope().size() + 1);
        const auto reply = run(loop, queue->enqueue(request));
        REQUIRE(reply);
        CHECK_FALSE(reply->committed());
        CHECK(std::filesystem::is_empty(folder + "/incoming") == nobodys);
    }
}
