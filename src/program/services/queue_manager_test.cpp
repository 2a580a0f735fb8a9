#include "services/queue_manager.hpp"

#include "handoff/frames.hpp"
#include "services/probes.hpp"
#include "spool/memory_store.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <set>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;
using handoff::Frame;

namespace {

/// Routes everything by smtp to the domain; composes reports of one line.
class TestResolver final : public Resolver {
public:
    awaitable<Result<handoff::RouteReply>> route(handoff::RouteRequest request) override
    {
        handoff::RouteReply reply;
        if (broken) {
            reply.set_retry(true);
            reply.set_text("table down");
            co_return reply;
        }
        for (const std::string& address : request.addresses()) {
            handoff::Route& route = *reply.add_routes();
            const std::string domain = address.substr(address.find('@') + 1);
            route.set_transport(domain == "error.test" ? "error" : "smtp");
            route.set_nexthop(domain == "error.test" ? "5.1.6 User has moved" : domain);
            route.set_site("smtp:" + domain);
            route.set_address(address);
        }
        co_return reply;
    }
    awaitable<Result<handoff::ReportReply>> report(handoff::ReportRequest request) override
    {
        reports.push_back(request);
        handoff::ReportReply reply;
        if (report_fails)
            co_return Error{"no report today", "4.3.0"};
        if (request.envelope().sender().empty())
            co_return reply;
        auto& message = *reply.add_messages();
        message.mutable_envelope()->set_queue_id(request.queue_ids(0));
        message.mutable_envelope()->set_arrival(request.now());
        auto& recipient = *message.mutable_envelope()->add_recipients();
        recipient.set_address(request.envelope().sender());
        message.mutable_content()->set_inline_octets("Subject: report\r\n\r\n");
        message.mutable_envelope()->set_size(19);
        co_return reply;
    }
    awaitable<Result<handoff::RequeueReply>> requeue(handoff::RequeueRequest request, std::vector<Fd>) override
    {
        handoff::RequeueReply reply;
        if (!refused.empty()) {
            reply.set_status("5.4.6");
            reply.set_text(refused);
            co_return reply;
        }
        *reply.mutable_message()->mutable_envelope() = request.envelope();
        auto& envelope = *reply.mutable_message()->mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(WallTime{}, next_sequence++));
        for (auto& recipient : *envelope.mutable_recipients())
            if (alias.contains(recipient.address()))
                recipient.set_address(alias.at(recipient.address()));
        const std::string head = "Received: again\r\n";
        *reply.mutable_message()->mutable_content()->mutable_inline_octets() = head + request.content().inline_octets();
        envelope.set_size(head.size() + request.content().inline_octets().size());
        requeued.push_back(request.envelope());
        co_return reply;
    }
    bool broken = false, report_fails = false;
    std::string refused;
    std::map<std::string, std::string> alias;
    std::uint64_t next_sequence = 5'000'000;
    std::vector<handoff::Envelope> requeued;
    std::vector<handoff::ReportRequest> reports;
};

/// One delivery process at the other end of a channel; its verdicts are a function of the recipient.
class TestWorker final : public Workers {
public:
    explicit TestWorker(Executor executor) : executor_(executor) { connect(); }

    void connect()
    {
        auto pair = ipc::Channel::socket_pair();
        ours_ = ipc::Channel::open(executor_, std::move(pair->first), {.name = "smtp"});
        theirs_ =
            ipc::Channel::open(executor_, std::move(pair->second), {.name = "qmgr"}, [this](ipc::Incoming incoming) { heard(std::move(incoming)); });
    }
    void crash() { theirs_->close(); }

    std::shared_ptr<ipc::Channel> worker_for(std::string_view, std::string_view, std::uint32_t) override { return absent ? nullptr : ours_; }
    void left(const ipc::Channel* channel) override { departed += channel == ours_.get(); }

    std::function<handoff::Verdict(const std::string& address)> verdict_for = [](const std::string&) { return delivered(); };
    std::vector<handoff::DeliveryRequest> requests;
    std::multiset<std::string> delivered_to;
    bool absent = false, site_failed = false, silent = false;
    int crashes = 0;                               // so many of the next requests end the process
    int departed = 0;
    int hands_back = 0;                            // so many of the next requests come while the process is about to end
    std::function<bool(const std::string& address)> slow = [](const std::string&) { return false; };   // who gets no answer before answer_slow()
    std::size_t confirmed = 0;

    static handoff::Verdict made(handoff::Outcome outcome, const char* status, const char* text)
    {
        handoff::Verdict verdict;
        verdict.set_outcome(outcome);
        verdict.set_status(status);
        verdict.set_text(text);
        return verdict;
    }
    void answer_slow()
    {
        for (auto& [request, responder] : std::exchange(slow_, {}))
            answer(request, responder);
    }
    static handoff::Verdict delivered() { return made(handoff::OUTCOME_DELIVERED, "2.0.0", "250 Ok"); }

private:
    void heard(ipc::Incoming incoming)
    {
        if (incoming.kind == static_cast<ipc::Kind>(Frame::verdicts_stored)) {
            ++confirmed;
            return;
        }
        auto request = incoming.parse<handoff::DeliveryRequest>();
        REQUIRE(request);
        requests.push_back(*request);
        if (silent) {
            waiting_.push_back(std::move(incoming.responder));
            return;
        }
        if (crashes > 0) {
            --crashes;
            asio::post(executor_, [this] {
                crash();
                connect();
            });
            waiting_.push_back(std::move(incoming.responder));
            return;
        }
        if (hands_back > 0) {
            --hands_back;
            handoff::Verdicts back;
            back.set_handed_back(true);
            return incoming.responder.reply(back);
        }
        if (slow(request->envelope().recipients(0).address())) {
            slow_.emplace_back(*request, std::move(incoming.responder));
            return;
        }
        answer(*request, incoming.responder);
    }
    void answer(const handoff::DeliveryRequest& request, ipc::Responder& responder)
    {
        handoff::Verdicts reply;
        reply.set_site_failed(site_failed);
        for (const auto& recipient : request.envelope().recipients()) {
            handoff::Verdict verdict = verdict_for(recipient.address());
            verdict.set_recipient(recipient.index());
            if (verdict.outcome() == handoff::OUTCOME_DELIVERED)
                delivered_to.insert(recipient.address());
            *reply.add_verdicts() = verdict;
        }
        responder.reply(reply);
    }

    Executor executor_;
    std::shared_ptr<ipc::Channel> ours_, theirs_;
    std::vector<ipc::Responder> waiting_;
    std::vector<std::pair<handoff::DeliveryRequest, ipc::Responder>> slow_;
};

struct Fixture {
    asio::io_context loop;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-queue.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::unique_ptr<spool::FileOps> files = spool::system_files(folder);
    spool::TwoNodes nodes{loop.get_executor(), *files};
    TestResolver resolver;
    TestWorker worker{loop.get_executor()};
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    QueueOptions options = [] {
        QueueOptions made;
        made.scheduler.transport = [](std::string_view) { return schedule::TransportOptions{}; };
        made.reunion = 100ms;
        made.worker_patience = 0ms;
        return made;
    }();
    std::unique_ptr<QueueManager> queue;
    std::uint64_t next_sequence = 1'000'000;

    Fixture() { start(); }
    ~Fixture()
    {
        if (queue)
            stop();
        std::filesystem::remove_all(folder);
    }

    template <class T>
    T wait(awaitable<T> task)
    {
        std::optional<T> result;
        asio::co_spawn(loop, std::move(task), [&](std::exception_ptr failure, T value) {
            if (failure)
                std::rethrow_exception(failure);
            result.emplace(std::move(value));
        });
        run_until([&] { return result.has_value(); });
        return std::move(*result);
    }
    void run_until(const std::function<bool()>& done)
    {
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (!done()) {
            loop.restart();
            loop.run_one_for(10ms);
            REQUIRE(std::chrono::steady_clock::now() < end);
        }
    }
    /// Lets everything happen that needs no time.
    void settle()
    {
        for (int quiet = 0; quiet < 3;) {
            loop.restart();
            quiet = loop.poll() == 0 ? quiet + 1 : 0;
            loop.restart();
            loop.run_one_for(1ms);
        }
    }
    /// Time passes, and the manager notices.
    void pass(std::chrono::seconds time)
    {
        clock.advance(time);
        queue->wake();
        settle();
    }
    void start(std::vector<std::uint32_t> living = {})
    {
        queue =
            std::make_unique<QueueManager>(loop.get_executor(), nodes.node(0), resolver, worker, options, clock, observe::Log(sink, "postfix/qmgr"));
        REQUIRE(wait(queue->open(std::move(living))));
    }
    /// Ends the manager alone; what is stored stays.
    void stop()
    {
        bool closed = false;
        asio::co_spawn(loop, queue->abandon(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
        queue.reset();
    }
    std::string enqueue(std::vector<std::string> recipients, const std::string& sender = "a@ours.test")
    {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender(sender);
        std::uint32_t index = 0;
        for (std::string& address : recipients) {
            auto& recipient = *envelope.add_recipients();
            recipient.set_index(index++);
            recipient.set_address(std::move(address));
        }
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        envelope.set_size(20);
        const auto reply = wait(queue->enqueue(request));
        REQUIRE(reply);
        REQUIRE(reply->committed());
        return envelope.queue_id();
    }
    handoff::QueueReply command(handoff::QueueCommand::Verb verb, const std::string& id, const std::string& queues = "")
    {
        handoff::QueueCommand asked;
        asked.set_verb(verb);
        asked.add_queue_ids(id);
        asked.set_argument(queues);
        auto reply = wait(queue->command(asked));
        REQUIRE(reply);
        return *std::move(reply);
    }
    std::size_t in_queue()
    {
        const auto page = wait(nodes.node(0).list(0, 10'000));
        REQUIRE(page);
        return page->entries.size();
    }
    bool logged(std::string_view text) const
    {
        return std::ranges::any_of(sink->lines, [&](const std::string& line) { return line.find(text) != line.npos; });
    }
};

}  // namespace

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

TEST_CASE_FIXTURE(Fixture, "queue: after maximal_queue_lifetime a deferral is the end, and the sender hears why")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "connection refused") : TestWorker::delivered();
    };
    const std::string id = enqueue({"slow@there.test"});
    settle();
    pass(120h);
    CHECK(logged(id + ": from=<a@ours.test>, status=expired, returned to sender"));
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].verdicts(0).text() == "connection refused");
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: the sender is warned of a delay once, and the message waits on")
{
    options.retry.delay_warning = 1h;
    queue->reconfigure(options);
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away") : TestWorker::delivered();
    };
    enqueue({"slow@there.test"});
    settle();
    CHECK(resolver.reports.empty());
    pass(3601s);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].kind() == handoff::ReportRequest::DELAY);
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test"});
    CHECK(in_queue() == 1);
    pass(4001s);
    CHECK(resolver.reports.size() == 1);
    CHECK(in_queue() == 1);
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
}

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
    bool greeted = false;
    asio::co_spawn(loop, queue->reunited(hello), [&](std::exception_ptr) { greeted = true; });
    run_until([&] { return greeted; });
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

namespace {

struct ProbeFixture : Fixture {
    Probes probes{loop.get_executor(),
                  resolver,
                  worker,
                  {[this] { return queue->take_attempt(); }, [this] { return queue->next_queue_id(); }},
                  {.sessions = 2, .addresses = 3, .worker_patience = 0ms},
                  clock,
                  observe::Log(sink, "postfix/qmgr")};

    ~ProbeFixture()
    {
        bool closed = false;
        asio::co_spawn(loop, probes.close(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
    }
    /// Asks at once for all; the answers come when the loop turns.
    std::vector<std::optional<Result<handoff::ProbeReply>>>& ask(std::vector<std::string> addresses)
    {
        for (const std::string& address : addresses) {
            handoff::ProbeRequest request;
            request.set_sender("double-bounce@mx.test");
            request.set_address(address);
            const std::size_t at = answers.size();
            answers.emplace_back();
            asio::co_spawn(loop, probes.probe(request),
                           [this, at](std::exception_ptr, Result<handoff::ProbeReply> reply) { answers[at] = std::move(reply); });
        }
        settle();
        return answers;
    }
    std::vector<std::optional<Result<handoff::ProbeReply>>> answers;
};

}  // namespace

TEST_CASE_FIXTURE(ProbeFixture, "probes: addresses of one site that come while it is asked go together, and nothing of them is stored")
{
    worker.slow = [](const std::string&) { return true; };
    ask({"a@there.test", "b@there.test", "c@there.test", "d@there.test", "e@there.test", "f@there.test", "g@there.test", "h@there.test",
         "x@else.test"});
    // Two at once for the one site, as large as they may be; one for the other; the rest waits.
    REQUIRE(worker.requests.size() == 3);
    CHECK(worker.requests[0].probe());
    CHECK(worker.requests[0].envelope().sender() == "double-bounce@mx.test");
    CHECK(worker.requests[0].envelope().recipients_size() == 3);
    CHECK(worker.requests[1].envelope().recipients_size() == 3);
    CHECK(worker.requests[2].route().site() == "smtp:else.test");
    worker.slow = [](const std::string&) { return false; };
    worker.verdict_for = [](const std::string& address) {
        return address[0] == 'f' ? TestWorker::made(handoff::OUTCOME_UNDELIVERABLE, "5.1.1", "550 no") : TestWorker::delivered();
    };
    worker.answer_slow();
    settle();
    REQUIRE(worker.requests.size() == 4);
    CHECK(worker.requests[3].envelope().recipients_size() == 2);
    REQUIRE(std::ranges::all_of(answers, [](const auto& answer) { return answer && *answer; }));
    CHECK((*answers[5])->verdict().text() == "550 no");
    CHECK((*answers[4])->verdict().outcome() == handoff::OUTCOME_DELIVERED);
    CHECK((*answers[4])->final_address() == "e@there.test");
    CHECK(worker.confirmed == 4);                                     // no process keeps a probe's verdict for us
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(ProbeFixture, "probes: what needs no peer is answered here; who cannot be asked is an error, not a verdict")
{
    ask({"moved@error.test"});
    REQUIRE(answers[0]);
    CHECK((*answers[0])->verdict().outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK((*answers[0])->verdict().status() == "5.1.6");
    CHECK(sink->lines.back().find("postfix/error") != std::string::npos);
    CHECK(sink->lines.back().find("status=undeliverable (User has moved)") != std::string::npos);
    resolver.broken = true;
    ask({"a@there.test"});
    CHECK_FALSE(*answers[1]);
    resolver.broken = false;
    worker.absent = true;
    ask({"a@there.test"});
    CHECK((*answers[2]).error().what() == "mail transport unavailable: smtp");
    worker.absent = false;
    worker.crashes = 1;
    ask({"a@there.test"});
    REQUIRE(answers[3]);
    CHECK_FALSE(*answers[3]);
    worker.hands_back = 2;                                            // processes that are about to end
    ask({"a@there.test"});
    run_until([&] { return answers[4].has_value(); });
    CHECK((*answers[4])->verdict().outcome() == handoff::OUTCOME_DELIVERED);
}
