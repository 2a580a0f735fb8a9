#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

TEST_CASE_FIXTURE(Fixture, "queue: a message that is delivered leaves, and its verdict is confirmed")
{
    const std::string id = enqueue({"u@there.test"});
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(in_queue() == 0);
    CHECK(worker.confirmed == 1);
    CHECK(logged("postfix/qmgr: " + id + ": from=<a@ours.test>, size=20, nrcpt=1 (queue active)"));
    CHECK(logged("postfix/qmgr: " + id + ": removed"));
    CHECK(resolver.reports.empty());
}

TEST_CASE_FIXTURE(Fixture, "queue: mail that comes alone goes at once, what comes right behind it waits for company and goes with it")
{
    stop();
    options.hand_on_interval = 1h;
    start();
    enqueue({"alone@there.test"});
    settle();
    CHECK(worker.delivered_to.size() == 1);
    enqueue({"second@there.test"});
    settle();
    CHECK(worker.delivered_to.size() == 1);
    CHECK(in_queue() == 1);
    stop();                                                     // it is in the queue, whoever waits for company
    options.hand_on_interval = 500ms;
    start();
    settle();
    CHECK(worker.delivered_to.size() == 2);
    enqueue({"third@there.test"});
    settle();
    REQUIRE(worker.delivered_to.size() == 3);
    enqueue({"fourth@there.test"});
    const std::string deleted = enqueue({"deleted@there.test"});
    enqueue({"fifth@there.test"});
    CHECK(resolver.asked.size() == 3);
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 1);
    run_until([&] { return resolver.asked.size() > 3; });
    CHECK(resolver.asked.size() == 5);
    settle();
    CHECK(worker.delivered_to ==
          std::multiset<std::string>{"alone@there.test", "second@there.test", "third@there.test", "fourth@there.test", "fifth@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: content travels inside the request")
{
    enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    CHECK(worker.requests[0].content().inline_octets() == "Subject: x\r\n\r\nbody\r\n");
}

TEST_CASE_FIXTURE(Fixture, "queue: a deferred recipient is tried again when its time has come, the delivered one is not")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later") : TestWorker::delivered();
    };
    enqueue({"slow@there.test", "quick@there.test"});
    settle();
    CHECK(in_queue() == 1);
    CHECK(queue->waiting() == 1);
    pass(299s);
    CHECK(worker.requests.size() == 1);
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(2s);
    CHECK(worker.requests.size() == 2);
    CHECK(worker.delivered_to == std::multiset<std::string>{"quick@there.test", "slow@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: failures at several sites make one bounce, and leave with it")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("bad") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user") : TestWorker::delivered();
    };
    enqueue({"bad1@a.test", "bad2@b.test", "good@c.test"});
    settle();
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].verdicts_size() == 2);
    CHECK(resolver.reports[0].envelope().recipients_size() == 2);
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test", "good@c.test"});       // the bounce went out as well
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: where the bounce cannot be written, nothing leaves; it is tried again")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user"); };
    resolver.report_fails = true;
    enqueue({"bad@a.test"});
    settle();
    CHECK(in_queue() == 1);
    resolver.report_fails = false;
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("bad") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user") : TestWorker::delivered();
    };
    pass(301s);
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: confirm_delay_cleared: who was warned hears when the message has gone, who was not or asked for nothing does not")
{
    options.retry.delay_warning = 1h;
    options.confirm_delay_cleared = true;
    queue->reconfigure(options);
    bool away = true;
    worker.verdict_for = [&away](const std::string& address) {
        return away && address.ends_with("there.test") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away") : TestWorker::delivered();
    };
    enqueue({"slow@there.test"});
    settle();
    pass(3601s);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].kind() == handoff::ReportRequest::DELAY);
    enqueue({"quick@there.test"});                                          // waits as well, but not long enough to be told of
    settle();
    away = false;
    pass(4001s);
    CHECK(in_queue() == 0);
    REQUIRE(resolver.reports.size() == 2);
    CHECK(resolver.reports[1].kind() == handoff::ReportRequest::SUCCESS);
    REQUIRE(resolver.reports[1].verdicts_size() == 1);
    CHECK(resolver.reports[1].envelope().recipients(0).address() == "slow@there.test");
    CHECK(resolver.reports[1].envelope().recipients(0).notify() == handoff::NOTIFY_SUCCESS);
}

TEST_CASE_FIXTURE(Fixture, "queue: who asks for word of success gets it from us, unless the next host has taken that over")
{
    worker.verdict_for = [](const std::string& address) {
        handoff::Verdict verdict = TestWorker::delivered();
        verdict.set_action(address.starts_with("plain") ? "relayed" : "");
        return verdict;
    };
    const auto send = [&](const std::string& address, std::uint32_t notify) {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender("a@ours.test");
        envelope.set_size(20);
        auto& recipient = *envelope.add_recipients();
        recipient.set_address(address);
        recipient.set_notify(notify);
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        REQUIRE(wait(queue->enqueue(request)));
        settle();
    };
    send("plain@there.test", handoff::NOTIFY_FAILURE);
    send("knows-dsn@there.test", handoff::NOTIFY_SUCCESS);
    CHECK(resolver.reports.empty());
    send("plain@there.test", handoff::NOTIFY_SUCCESS);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].kind() == handoff::ReportRequest::SUCCESS);
    CHECK(resolver.reports[0].verdicts(0).action() == "relayed");
}

TEST_CASE_FIXTURE(Fixture, "queue: soft_bounce keeps what would be returned")
{
    options.soft_bounce = true;
    queue->reconfigure(options);
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user"); };
    enqueue({"bad@a.test"});
    settle();
    CHECK(resolver.reports.empty());
    CHECK(queue->waiting() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: routing that fails defers with its reason, and is asked again")
{
    resolver.broken = true;
    enqueue({"u@there.test"});
    settle();
    CHECK(logged("address resolver failure: table down"));
    CHECK(worker.requests.empty());
    resolver.broken = false;
    pass(301s);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: the error transport bounces without a peer, with the status in its text")
{
    enqueue({"moved@error.test"});
    settle();
    CHECK(logged("relay=none, delay=0, delays=0/0/0/0, dsn=5.1.6, status=bounced (User has moved)"));
    REQUIRE(resolver.reports.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: a transport without a process defers, with the reason; a site that is dead suspends what comes after")
{
    worker.absent = true;
    enqueue({"u@there.test"});
    settle();
    CHECK(logged("status=deferred (mail transport unavailable)"));
    worker.absent = false;
    worker.site_failed = true;
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "connect to x: Connection refused"); };
    for (int i = 0; i < 5; ++i)
        enqueue({"u@dead.test"});
    pass(61s);
    const std::size_t asked = worker.requests.size();
    enqueue({"u@dead.test"});
    settle();
    if (worker.requests.size() == asked)
        CHECK(logged("delivery temporarily suspended: connect to x: Connection refused"));
}

TEST_CASE_FIXTURE(Fixture, "queue: what waits for a delivery process when the manager ends is due at the next start, not put off")
{
    stop();
    options.worker_patience = 1h;
    start();
    worker.absent = true;
    enqueue({"u@there.test"});
    settle();
    stop();
    CHECK_FALSE(logged("status=deferred"));
    worker.absent = false;
    start();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
}

TEST_CASE_FIXTURE(Fixture, "queue: mail in the hands of a process that ends is tried again once at once, then waits")
{
    worker.crashes = 1;
    enqueue({"u@there.test"});
    settle();
    pass(1s);
    CHECK(worker.requests.size() == 2);
    CHECK(worker.delivered_to.size() == 1);
    CHECK(in_queue() == 0);
    CHECK(logged("the smtp process ended during delivery"));

    worker.crashes = 2;
    enqueue({"killer@there.test"});
    settle();
    pass(1s);
    CHECK(worker.requests.size() == 4);
    CHECK(in_queue() == 1);
    CHECK(queue->waiting() == 1);
    CHECK_FALSE(logged("to=<u@there.test>"));                  // the process says that of what it delivered
    CHECK(std::ranges::count_if(sink->lines, [](const std::string& line) {
              return line.contains("postfix/error: ") && line.contains("to=<killer@there.test>, relay=none, ") &&
                     line.ends_with("dsn=4.3.0, status=deferred (unknown mail transport error)");
          }) == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: a recipient that the delivery process says nothing of is deferred, and the log says why")
{
    worker.amend = [](const std::string&, handoff::Verdicts& reply) { reply.mutable_verdicts()->RemoveLast(); };
    enqueue({"first@there.test", "second@there.test"});
    settle();
    CHECK(worker.delivered_to.size() == 2);
    CHECK(in_queue() == 1);
    CHECK(queue->counts().deferred == 1);
    CHECK(logged("to=<second@there.test>"));
    CHECK(logged("dsn=4.3.0, status=deferred (the delivery process gave no verdict)"));
    CHECK_FALSE(logged("to=<first@there.test>"));
}

TEST_CASE_FIXTURE(Fixture, "queue: a restarted manager takes the verdict of a delivery that outlived the one before, and does not deliver again")
{
    worker.silent = true;
    enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    const auto request = worker.requests[0];
    stop();
    start({4711});                                             // process 4711 is known to live
    settle();
    CHECK(worker.requests.size() == 1);
    handoff::Hello hello;
    hello.set_process(4711);
    auto& flight = *hello.add_flights();
    flight.set_attempt(request.attempt());
    flight.set_message(request.message());
    flight.add_recipients(0);
    run(loop, queue->reunited(hello, {}));
    pass(1s);
    CHECK(worker.requests.size() == 1);                        // still in its hands
    handoff::Verdicts late;
    late.set_attempt(request.attempt());
    late.set_message(request.message());
    *late.add_verdicts() = TestWorker::delivered();
    REQUIRE(wait(queue->late_verdicts(late)));
    settle();
    CHECK(in_queue() == 0);
    CHECK(worker.requests.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: what was given ahead and comes back untried is confirmed, has no verdict, and goes when its turn comes")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 1, .limit = 1, .positive = {}, .negative = {}}, .ahead = 4};
    };
    queue->reconfigure(options);
    worker.slow = [](const std::string& address) { return address.starts_with("first"); };
    unsigned given_back = 0;
    worker.amend = [&](const std::string& address, handoff::Verdicts& reply) {
        if (address.starts_with("first") || given_back++ != 0)
            return;
        worker.delivered_to.erase(address);
        reply.clear_verdicts();
        reply.set_untried(true);
    };
    enqueue({"first@there.test"});
    settle();
    enqueue({"second@there.test"});
    settle();
    REQUIRE(worker.requests.size() >= 2);
    CHECK_FALSE(worker.requests[0].ahead());
    CHECK(worker.requests[1].ahead());
    CHECK(worker.requests[2].attempt() != worker.requests[1].attempt());
    CHECK(worker.requests[2].message() == worker.requests[1].message());
    worker.answer_slow();
    settle();
    CHECK(worker.requests.size() == 3);
    CHECK(worker.confirmed == 3);
    CHECK(worker.delivered_to == std::multiset<std::string>{"first@there.test", "second@there.test"});
    CHECK(in_queue() == 0);
    CHECK_FALSE(logged("deferred"));
}

TEST_CASE_FIXTURE(Fixture, "queue: mail that would loop to us goes to who has it instead, once and with its content")
{
    std::string instead = "local";
    worker.amend = [&](const std::string& address, handoff::Verdicts& reply) {
        if (worker.requests.back().passed_on() || !address.ends_with("@there.test"))
            return;
        worker.delivered_to.clear();
        reply.clear_verdicts();
        reply.set_untried(true);
        reply.set_elsewhere(instead);
    };
    enqueue({"one@there.test", "two@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 2);
    const handoff::DeliveryRequest &first = worker.requests[0], &second = worker.requests[1];
    CHECK(second.envelope().recipients_size() == 2);
    CHECK(second.route().transport() == "local");
    CHECK(second.route().nexthop() == first.route().nexthop());
    CHECK(second.route().site() == "local:" + first.route().nexthop());
    CHECK(second.content().inline_octets() == first.content().inline_octets());
    CHECK(second.content().inline_octets() != "");
    CHECK(worker.confirmed == 2);
    CHECK(worker.delivered_to == std::multiset<std::string>{"one@there.test", "two@there.test"});
    CHECK(in_queue() == 0);

    instead = "lmtp:unix:/store";
    enqueue({"three@there.test"});
    settle();
    CHECK(worker.requests.back().route().nexthop() == "unix:/store");
    CHECK(in_queue() == 0);

    instead = "error:5.4.6 it is not for here";
    enqueue({"four@there.test"});
    settle();
    CHECK(worker.requests.size() == 6);                             // the last is the report's
    CHECK(logged("postfix/error: "));
    CHECK(logged("dsn=5.4.6, status=bounced (it is not for here)"));
    REQUIRE(resolver.reports.size() == 1);

    instead = "nobody";
    worker.absent = true;
    enqueue({"five@there.test"});
    settle();
    CHECK(logged("status=deferred (mail transport unavailable)"));
}

TEST_CASE_FIXTURE(Fixture, "queue: mail that would loop to us has the concurrency of who has it, and none of the site where it was")
{
    options.scheduler.transport = [](std::string_view transport) {
        schedule::TransportOptions made;
        made.window.initial = made.window.limit = transport == "local" ? 1 : 5;
        return made;
    };
    stop();
    start();
    worker.slow = [&](const std::string&) { return worker.requests.back().passed_on(); };
    worker.amend = [&](const std::string&, handoff::Verdicts& reply) {
        if (std::ranges::any_of(reply.verdicts(), [](const handoff::Verdict& verdict) { return verdict.text() == "kept"; }))
            return;
        worker.delivered_to.clear();
        reply.clear_verdicts();
        reply.set_untried(true);
        reply.set_elsewhere("local");
    };
    const auto passed_on = [&] { return std::ranges::count_if(worker.requests, [](const auto& one) { return one.passed_on(); }); };
    for (const char* who : {"a@there.test", "b@there.test", "c@there.test"})
        enqueue({who});
    settle();
    CHECK(passed_on() == 1);
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DELIVERED, "2.0.0", "kept"); };
    for (int turn = 2; turn <= 3; ++turn) {
        worker.answer_slow();
        settle();
        CHECK(passed_on() == turn);
    }
    worker.answer_slow();
    settle();
    CHECK(in_queue() == 0);
    CHECK(worker.confirmed == 6);
}

TEST_CASE_FIXTURE(Fixture, "queue: mail that would loop to us waits where nobody has it, and is not handed round")
{
    worker.amend = [&](const std::string&, handoff::Verdicts& reply) {
        REQUIRE(worker.requests.size() < 10);
        worker.delivered_to.clear();
        reply.clear_verdicts();
        reply.set_untried(true);
        reply.set_elsewhere("smtp");
    };
    enqueue({"one@there.test"});
    settle();
    CHECK(worker.requests.size() == 2);
    CHECK(worker.confirmed == 2);
    CHECK(in_queue() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: a verdict of before that says nothing was tried makes the message due again")
{
    worker.silent = true;
    enqueue({"u@there.test"});
    settle();
    const auto request = worker.requests.at(0);
    stop();
    worker.silent = false;
    start({4711});
    handoff::Hello hello;
    hello.set_process(4711);
    auto& held = *hello.add_held();
    held.set_attempt(request.attempt());
    held.set_message(request.message());
    held.set_untried(true);
    run(loop, queue->reunited(hello, {}));
    pass(1s);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: enqueueing a queue id again changes nothing")
{
    worker.silent = true;
    const std::string id = enqueue({"u@there.test"});
    --next_sequence;
    CHECK(enqueue({"u@there.test"}) == id);
    settle();
    CHECK(worker.requests.size() == 1);
    CHECK(in_queue() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: without a number in the transport's limit column ten slow sites hold up no other")
{
    const auto sites = [&](std::uint32_t column) {
        options.scheduler.transport = [column](std::string_view) {
            schedule::TransportOptions transport;
            transport.window.initial = 20;
            transport.delivery_limit = column;
            return transport;
        };
        stop();
        start();
        worker.slow = [](const std::string& address) { return address.find("slow") != address.npos; };
        for (int site = 0; site < 10; ++site)
            for (int message = 0; message < 20; ++message)
                enqueue({fmt::format("u@slow{}.test", site)});
        enqueue({"u@quick.test"});
        settle();
    };
    SUBCASE("-: none")
    {
        sites(0);
        CHECK(worker.delivered_to == std::multiset<std::string>{"u@quick.test"});
    }
    SUBCASE("a number limits still")
    {
        sites(100);
        CHECK(worker.requests.size() == 100);
        CHECK(worker.delivered_to.empty());
    }
    worker.answer_slow();
    settle();
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to.size() == 201);
}

TEST_CASE_FIXTURE(Fixture, "queue: what delivery processes hold of content has a ceiling; past it the next waits for one to end")
{
    stop();
    options.carried_octets = 50;
    start();
    worker.slow = [](const std::string&) { return true; };
    for (int message = 0; message < 5; ++message)
        enqueue({fmt::format("u@s{}.test", message)});
    settle();
    CHECK(worker.requests.size() == 3);                        // 20 octets each
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to.size() == 5);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: what a process hands back because it is about to end goes to the next one at once, however often, and is no crash")
{
    worker.slow = [](const std::string& address) { return address == "u@slow.test"; };
    enqueue({"u@slow.test", "u@there.test"});
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    worker.hands_back = 3;
    enqueue({"u@slow.test", "u@there.test"});
    settle();
    CHECK(worker.departed == 3);
    CHECK(worker.requests.size() == 7);
    CHECK(worker.delivered_to.count("u@there.test") == 2);     // while another site of the message is still waited for
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK_FALSE(logged("ended during delivery"));
    CHECK_FALSE(logged("status=deferred"));
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a destination that fills the active queue is warned of, once in qmgr_clog_warn_time, and one that has less is not")
{
    const auto warnings = [this] {
        return std::ranges::count_if(sink->lines, [](const std::string& line) { return line.find("is using up") != line.npos; });
    };
    const auto fill = [this](std::size_t clogging, std::size_t others, std::chrono::seconds time) {
        stop();
        sink->lines.clear();
        options.scheduler.active_messages = 10;
        options.clog_warn_time = time;
        start();
        for (std::size_t message = 0; message < clogging; ++message)
            enqueue({"u@slow.test"});
        for (std::size_t message = 0; message < others; ++message)
            enqueue({fmt::format("u@s{}.test", message)});
        settle();
        pass(2s);
    };
    worker.slow = [](const std::string&) { return true; };
    SUBCASE("seven of ten")
    {
        fill(7, 3, 300s);
        CHECK(warnings() == 0);
    }
    SUBCASE("there is room for others")
    {
        fill(9, 0, 300s);
        CHECK(warnings() == 0);
    }
    SUBCASE("nobody wants to know")
    {
        fill(9, 2, 0s);
        CHECK(warnings() == 0);
    }
    SUBCASE("nine of ten")
    {
        fill(9, 2, 300s);
        CHECK(logged("warning: mail for smtp:slow.test is using up 9 of 10 active queue entries"));
        CHECK(warnings() == 1);
        pass(200s);
        CHECK(warnings() == 1);
        pass(101s);
        CHECK(warnings() == 2);
    }
}
