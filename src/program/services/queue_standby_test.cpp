// A queue whose copy on another machine is required: what is answered, and what begins, while that is away.
#include "handoff/waits.hpp"
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

struct CopiedQueue : Fixture {
    bool held = false, covered = true;
    std::optional<Result<handoff::EnqueueReply>> answer;
    std::string queue_id;

    CopiedQueue()
    {
        queue->held_back = [this] { return held; };
        queue->may_answer = [this] { return covered; };
        worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    }
    handoff::EnqueueRequest mail()
    {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        queue_id = handoff::short_queue_id(clock.wall(), next_sequence++);
        envelope.set_queue_id(queue_id);
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender("a@ours.test");
        envelope.add_recipients()->set_address("b@there.test");
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        envelope.set_size(20);
        return request;
    }
    void hand_in(handoff::EnqueueRequest request)
    {
        answer.reset();
        asio::co_spawn(loop, queue->enqueue(std::move(request)), [this](std::exception_ptr failed, Result<handoff::EnqueueReply> reply) {
            if (!failed)
                answer.emplace(std::move(reply));
        });
        settle();
    }
    void changes()
    {
        queue->wake();
        settle();
    }
};

}  // namespace

TEST_CASE("standby: while the copy is away no mail is taken and no delivery begins; both go on when it is back")
{
    CopiedQueue at;
    at.covered = false;                                    // so that it is stored before anybody begins
    at.hand_in(at.mail());
    at.held = true;
    at.covered = true;
    at.changes();
    CHECK(at.in_queue() == 0);
    at.hand_in(at.mail());
    REQUIRE((at.answer && *at.answer));
    CHECK_FALSE((*at.answer)->committed());
    CHECK((*at.answer)->status() == "4.3.0");
    CHECK((*at.answer)->text() == "the queue has no second copy now");
    CHECK(at.in_queue() == 0);

    at.held = false;
    at.worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    at.hand_in(at.mail());
    REQUIRE((at.answer && *at.answer));
    CHECK((*at.answer)->committed());
    at.held = true;
    at.worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    at.pass(std::chrono::hours{2});
    CHECK(at.in_queue() == 1);
    handoff::QueueCommand why;
    why.set_verb(handoff::QueueCommand::EXPLAIN);
    why.add_queue_ids(at.queue_id);
    const auto said = at.wait(at.queue->command(why));
    REQUIRE(said);
    REQUIRE(said->explanation().waiting_size() == 1);
    CHECK(said->explanation().waiting(0).wait() == static_cast<std::uint32_t>(handoff::Wait::standby));
    at.held = false;
    at.changes();
    CHECK(at.in_queue() == 0);
}

TEST_CASE("standby: what only this machine has is not answered before the copy has it")
{
    CopiedQueue at;
    at.covered = false;
    at.hand_in(at.mail());
    CHECK_FALSE(at.answer);
    std::optional<Result<handoff::CommittedAnswer>> asked;
    handoff::CommittedQuestion question;
    question.set_queue_id(at.queue_id);
    asio::co_spawn(at.loop, at.queue->committed(question),
                   [&](std::exception_ptr, Result<handoff::CommittedAnswer> reply) { asked.emplace(std::move(reply)); });
    at.settle();
    CHECK_FALSE(asked);
    question.set_queue_id("unknown");
    const auto unknown = at.wait(at.queue->committed(question));
    REQUIRE(unknown);
    CHECK_FALSE(unknown->committed());
    at.changes();
    CHECK_FALSE(at.answer);
    at.covered = true;
    at.changes();
    REQUIRE((at.answer && *at.answer));
    CHECK((*at.answer)->committed());
    REQUIRE((asked && *asked));
    CHECK((*asked)->committed());
}
