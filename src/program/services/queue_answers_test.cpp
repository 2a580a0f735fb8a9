// Clients that wait for the first attempt (smtpd_delivery_answer_domains).
#include "services/queue_manager_test.hpp"

#include "handoff/counting.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

using Told = std::shared_ptr<std::optional<Result<handoff::EnqueueReply>>>;

handoff::Verdict refused_by_host(const std::string& said = "550 5.7.1 No, thank you")
{
    handoff::Verdict verdict = TestWorker::made(handoff::OUTCOME_BOUNCED, "5.7.1", "host in.test[192.0.2.1] said: ...");
    verdict.set_diagnostic(said);
    return verdict;
}

struct AnswerFixture : Fixture {
    std::string queue_id;

    AnswerFixture()
    {
        worker.verdict_for = [](const std::string& address) {
            return address.starts_with("no")      ? refused_by_host()
                   : address.starts_with("later") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later")
                                                  : TestWorker::delivered();
        };
    }
    /// An address that begins with '-' is one that the sender hears nothing of.
    Told hand_in(std::vector<std::string> recipients, std::chrono::milliseconds patience = 10s,
                 const std::function<void(handoff::EnqueueRequest&)>& change = {})
    {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        queue_id = handoff::short_queue_id(clock.wall(), next_sequence++);
        envelope.set_queue_id(queue_id);
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender("a@ours.test");
        for (const std::string& address : recipients) {
            auto& recipient = *envelope.add_recipients();
            recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
            recipient.set_address(address.substr(address.starts_with('-') ? 1 : 0));
            if (address.starts_with('-'))
                recipient.set_notify(handoff::NOTIFY_NEVER);
        }
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        envelope.set_size(20);
        request.set_first_answer(static_cast<std::uint32_t>(patience.count()));
        if (change)
            change(request);
        auto told = std::make_shared<std::optional<Result<handoff::EnqueueReply>>>();
        asio::co_spawn(loop, queue->enqueue(std::move(request)), [told](std::exception_ptr failed, Result<handoff::EnqueueReply> reply) {
            if (!failed)
                told->emplace(std::move(reply));
        });
        settle();
        return told;
    }
    /// "committed", "550 5.7.1 words", "error: ..." or "waits".
    std::string said(const Told& told)
    {
        if (!*told)
            return "waits";
        const Result<handoff::EnqueueReply>& reply = **told;
        if (!reply)
            return "error: " + reply.error().text();
        CHECK(reply->committed() == (reply->refused() == 0));
        return reply->committed() ? "committed" : fmt::format("{} {} {}", reply->refused(), reply->status(), reply->text());
    }
    bool was_here() { return wait(nodes.node(0).was_committed(queue_id)).value(); }
    std::string removals() const
    {
        return std::to_string(std::ranges::count_if(sink->lines, [](const std::string& line) { return line.ends_with(": removed"); }));
    }
};

}  // namespace

TEST_CASE_FIXTURE(AnswerFixture, "answers: what delivery refuses is refused to the client that waits, and nobody is sent a report")
{
    CHECK(said(hand_in({"no@one.test"})) == "550 5.7.1 No, thank you");
    CHECK(in_queue() == 0);
    CHECK(resolver.reports.empty());
    CHECK_FALSE(was_here());                                   // it is the client's
    CHECK(logged(queue_id + ": the client that waits is told that it was refused; nothing is returned to the sender"));
    CHECK(removals() == "1");
    CHECK(queue->counts().refused_to_client == 1);
    CHECK(queue->active() == 0);
    handoff::CountersReply counters;
    queue->count(counters);
    CHECK(std::ranges::any_of(counters.counters(), [](const auto& one) { return one.name() == "qmgr_refused_to_client" && one.value() == 1; }));
    // Nobody waits: a report, as ever.
    const std::string id = enqueue({"no@one.test"});
    settle();
    CHECK(resolver.reports.size() == 1);
    CHECK(wait(nodes.node(0).was_committed(id)).value());
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: what is taken, or may be taken later, is the queue's as soon as that is known")
{
    worker.slow = [](const std::string& address) { return address.starts_with("slow"); };
    CHECK(said(hand_in({"u@one.test"})) == "committed");
    CHECK(in_queue() == 0);
    CHECK(was_here());
    CHECK(said(hand_in({"later@one.test"})) == "committed");
    CHECK(queue->waiting() == 1);
    // Refused by one, taken by another: the sender is told of the one.
    CHECK(said(hand_in({"no@one.test", "u@two.test"})) == "committed");
    CHECK(resolver.reports.size() == 1);
    CHECK(said(hand_in({"no@one.test", "later@two.test"})) == "committed");
    CHECK(resolver.reports.size() == 2);
    // No answer is waited for that would change nothing.
    CHECK(said(hand_in({"slow@one.test", "u@two.test"})) == "committed");
    CHECK(queue->counts().refused_to_client == 0);
    // All of them refuse, one after the other.
    const Told told = hand_in({"no@one.test", "slow-no@two.test"});
    CHECK(said(told) == "waits");
    worker.verdict_for = [](const std::string&) { return refused_by_host("552 5.2.2 Mailbox full"); };
    worker.answer_slow();
    settle();
    CHECK(said(told) == "550 5.7.1 No, thank you");
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: copies that the sender hears nothing of have no say; one that is not delivered yet keeps the mail here")
{
    CHECK(said(hand_in({"no@one.test", "-archive@two.test"})) == "550 5.7.1 No, thank you");
    CHECK(worker.delivered_to.contains("archive@two.test"));
    CHECK(said(hand_in({"-no@two.test", "no@one.test"})) == "550 5.7.1 No, thank you");
    CHECK(in_queue() == 0);
    CHECK(resolver.reports.empty());
    CHECK(said(hand_in({"no@one.test", "-later@two.test"})) == "committed");
    CHECK(in_queue() == 1 + 0);                                // the copy; a report of TestResolver's goes to a domain that takes it
    CHECK(resolver.reports.size() == 1);
    CHECK(was_here());
    CHECK(said(hand_in({"u@one.test", "-no@two.test"})) == "committed");
    CHECK(said(hand_in({"-no@two.test"})) == "committed");     // nobody has a say
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: who has waited long enough is told that it is stored; a refusal after that is a report")
{
    worker.slow = [](const std::string&) { return true; };
    const Told told = hand_in({"no@one.test"}, 30ms);
    run_until([&] { return told->has_value(); });
    CHECK(said(told) == "committed");
    worker.answer_slow();
    settle();
    CHECK(resolver.reports.size() == 1);
    CHECK(queue->counts().refused_to_client == 0);
    // Its server ends: likewise, and at once.
    const Told second = hand_in({"no@one.test"});
    CHECK(said(second) == "waits");
    queue->answer_now();
    settle();
    CHECK(said(second) == "committed");
    worker.answer_slow();
    settle();
    CHECK(resolver.reports.size() == 2);
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: a refusal that is on its way to the disk is the answer, however late and whoever is in a hurry")
{
    class Slow final : public PassingOn {
    public:
        Slow(spool::Store& inner, const Executor& executor) : PassingOn(inner), go_(executor) {}
        awaitable<Result<spool::Settled>> settle(spool::Settlement settlement) override
        {
            disowned += settlement.disowned;
            while (held)
                co_await go_.wait();
            if (fails)
                co_return Error{"no room", "4.3.1"};
            co_return co_await PassingOn::settle(std::move(settlement));
        }
        void go()
        {
            held = false;
            go_.notify_all();
        }
        bool held = true, fails = false;
        int disowned = 0;

    private:
        Signal go_;
    };
    stop();
    Slow slow(nodes.node(0), loop.get_executor());
    store = &slow;
    start();
    REQUIRE(wait(queue->whole()));
    const Told told = hand_in({"no@one.test"}, 1s);        // more than a crowded machine takes to get there
    CHECK(slow.disowned == 1);
    queue->answer_now();
    const auto end = std::chrono::steady_clock::now() + 1100ms;
    run_until([&] { return std::chrono::steady_clock::now() > end; });
    CHECK(said(told) == "waits");
    slow.go();
    settle();
    CHECK(said(told) == "550 5.7.1 No, thank you");
    CHECK(in_queue() == 0);
    // It could not be stored: the mail is ours, and tried again.
    slow.fails = true;
    const Told second = hand_in({"no@one.test"});
    CHECK(said(second) == "committed");
    CHECK(in_queue() == 1);
    slow.fails = false;
    pass(1h);
    CHECK(in_queue() == 0);
    CHECK(resolver.reports.size() == 1);
    stop();
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: a queue manager that ends amid that answers nothing; the next one is asked")
{
    worker.silent = true;
    auto told = std::make_shared<std::optional<Result<handoff::EnqueueReply>>>();
    handoff::EnqueueRequest request;
    request.mutable_envelope()->set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
    request.mutable_envelope()->add_recipients()->set_address("no@one.test");
    request.mutable_envelope()->set_sender("a@ours.test");
    request.mutable_envelope()->set_arrival(clock.wall().time_since_epoch().count());
    request.mutable_envelope()->set_size(20);
    request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
    request.set_first_answer(60'000);
    TaskGroup clients(loop.get_executor());
    clients.spawn([](QueueManager& manager, handoff::EnqueueRequest asked, Told into) -> awaitable<void> {
        into->emplace(co_await manager.enqueue(std::move(asked)));
    }(*queue, request, told));
    settle();
    CHECK(said(told) == "waits");
    wait(clients.close());
    CHECK(said(told) == "committed");                          // nobody was about to tell it otherwise
    CHECK(in_queue() == 1);
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: mail on hold, deleted or put on hold meanwhile, or that cannot be looked at now, is stored")
{
    CHECK(said(hand_in({"no@one.test"}, 10s, [](handoff::EnqueueRequest& request) { request.mutable_envelope()->set_hold(true); })) == "committed");
    worker.slow = [](const std::string&) { return true; };
    const Told deleted = hand_in({"no@one.test"});
    CHECK(said(deleted) == "waits");
    command(handoff::QueueCommand::DELETE, queue_id);
    worker.answer_slow();
    settle();
    CHECK(said(deleted) == "committed");
    const Told held = hand_in({"no@one.test"});
    command(handoff::QueueCommand::HOLD, queue_id);
    worker.answer_slow();
    settle();
    CHECK(said(held) != "waits");
    worker.slow = [](const std::string&) { return false; };
    resolver.broken = true;
    CHECK(said(hand_in({"no@one.test"})) == "committed");
    CHECK(was_here());
}

TEST_CASE_FIXTURE(AnswerFixture, "answers: the words are the next host's where it said some, fit for a reply line; errors of ours have their own")
{
    const auto answer_to = [&](const std::string& diagnostic, const std::string& status = "5.7.1", const std::string& text = "our words") {
        worker.verdict_for = [&](const std::string&) {
            handoff::Verdict verdict = TestWorker::made(handoff::OUTCOME_BOUNCED, status.c_str(), text.c_str());
            verdict.set_diagnostic(diagnostic);
            return verdict;
        };
        return said(hand_in({"no@one.test"}));
    };
    CHECK(answer_to("554 5.7.1 spam") == "554 5.7.1 spam");
    CHECK(answer_to("552 too big", "5.0.0") == "552 5.0.0 too big");
    CHECK(answer_to("550 5.1.1 other", "5.7.1") == "550 5.7.1 5.1.1 other");
    CHECK(answer_to("521 no mail here") == "554 5.7.1 521 no mail here");
    CHECK(answer_to("") == "550 5.7.1 our words");
    CHECK(answer_to("550 5.7.1 a\r\n250 b\xc3\xa9") == "550 5.7.1 a??250 b??");
    CHECK(answer_to("550 5.7.1 " + std::string(900, 'x')) == "550 5.7.1 " + std::string(400, 'x'));
    CHECK(said(hand_in({"u@error.test"})) == "550 5.1.6 User has moved");
    options.soft_bounce = true;
    queue->reconfigure(options);
    CHECK(answer_to("554 5.7.1 spam") == "committed");
}
