// services/queue_manager_test.hpp: what the tests of the queue manager share: a resolver and a delivery process that do as they are told, a
// store in memory, a clock turned by hand.
#pragma once

#include "async/run.hpp"
#include "handoff/frames.hpp"
#include "services/queue_manager.hpp"
#include "spool/memory_store.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace posthorn::services::testing {

using namespace std::chrono_literals;
using handoff::Frame;

/// Routes everything by smtp to the domain; composes reports of one line.
class TestResolver final : public Resolver {
public:
    explicit TestResolver(const Executor& executor) : awake(executor) {}
    awaitable<Result<handoff::RouteReply>> route(handoff::RouteRequest request) override
    {
        handoff::RouteReply reply;
        asked.push_back(request.addresses_size());
        while (asleep)
            co_await awake.wait();
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
            for (const std::string& key : {domain, address})
                if (const auto own = schedules.find(key); own != schedules.end())
                    route.set_retry(own->second);
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
        while (asleep)
            co_await awake.wait();
        if (!refused.empty()) {
            reply.set_status(refused_status);
            reply.set_text(refused);
            co_return reply;
        }
        *reply.mutable_message()->mutable_envelope() = request.envelope();
        auto& envelope = *reply.mutable_message()->mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(WallTime{}, next_sequence++));
        last_id = envelope.queue_id();
        for (auto& recipient : *envelope.mutable_recipients())
            if (alias.contains(recipient.address()))
                recipient.set_address(alias.at(recipient.address()));
        const std::string head = "Received: again\r\n";
        *reply.mutable_message()->mutable_content()->mutable_inline_octets() = head + request.content().inline_octets();
        envelope.set_size(head.size() + request.content().inline_octets().size());
        requeued.push_back(request.envelope());
        if (amend)
            amend(*reply.mutable_message());
        co_return reply;
    }
    void wake_up()
    {
        asleep = false;
        awake.notify_all();
    }
    bool broken = false, report_fails = false, asleep = false;
    Signal awake;
    std::vector<int> asked;                        // addresses of each question
    std::string refused, refused_status = "5.4.6";
    std::map<std::string, std::string> alias;
    std::map<std::string, std::string> schedules;  // by domain or address: what retry_schedule_maps says
    std::uint64_t next_sequence = 5'000'000;
    std::vector<handoff::Envelope> requeued;
    std::function<void(handoff::EnqueueRequest&)> amend;   // what requeue answers
    std::string last_id;                           // of what was requeued
    std::vector<handoff::ReportRequest> reports;
};

/// One delivery process at the other end of a channel; its verdicts are a function of the recipient.
class TestWorker final : public Workers {
public:
    explicit TestWorker(Executor executor) : executor_(executor) { connect(); }

    void connect()
    {
        auto pair = ipc::Channel::socket_pair();
        ours_ = ipc::Channel::open(executor_, std::move(pair->first), {.name = "smtp", .call_limit = call_limit});
        theirs_ =
            ipc::Channel::open(executor_, std::move(pair->second), {.name = "qmgr"}, [this](ipc::Incoming incoming) { heard(std::move(incoming)); });
    }
    void crash() { theirs_->close(); }
    /// The connection alone is lost: the process comes back.
    void lose_connection()
    {
        crash();
        connect();
    }
    std::uint32_t process_of(const ipc::Channel&) const override { return process; }

    std::shared_ptr<ipc::Channel> worker_for(std::string_view, std::string_view, std::uint32_t) override { return absent ? nullptr : ours_; }
    void left(const ipc::Channel* channel) override { departed += channel == ours_.get(); }

    std::function<handoff::Verdict(const std::string& address)> verdict_for = [](const std::string&) { return delivered(); };
    std::vector<handoff::DeliveryRequest> requests;
    std::multiset<std::string> delivered_to;
    std::chrono::milliseconds call_limit{3'600'000};
    bool absent = false, site_failed = false, silent = false;
    std::function<void(const std::string& address, handoff::Verdicts& reply)> amend;    // the last word about an answer
    std::uint32_t process = 0;                     // said to be that of each connection
    int crashes = 0;                               // so many of the next requests end the process
    int departed = 0;
    int hands_back = 0;                            // so many of the next requests come while the process is about to end
    std::function<bool(const std::string& address)> slow = [](const std::string&) { return false; };   // who gets no answer before answer_slow()
    std::size_t confirmed = 0, asked_for_progress = 0;
    std::vector<std::uint64_t> called_back;

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
    /// What was given ahead has not begun while those before it are slow.
    void give_back(std::uint64_t attempt)
    {
        called_back.push_back(attempt);
        for (auto& [request, responder] : slow_)
            if (request.attempt() == attempt && request.ahead()) {
                handoff::Verdicts reply;
                reply.set_attempt(attempt);
                reply.set_message(request.message());
                reply.set_untried(true);
                responder.reply(reply);
            }
        std::erase_if(slow_, [&](const auto& one) { return one.first.attempt() == attempt && one.first.ahead(); });
    }
    void heard(ipc::Incoming incoming)
    {
        if (incoming.kind == static_cast<ipc::Kind>(Frame::verdicts_stored)) {
            ++confirmed;
            return;
        }
        if (incoming.kind == static_cast<ipc::Kind>(Frame::call_back)) {
            const auto wanted = incoming.parse<handoff::CallBack>();
            REQUIRE(wanted);
            for (const std::uint64_t attempt : wanted->attempts())
                give_back(attempt);
            return;
        }
        if (incoming.kind == static_cast<ipc::Kind>(Frame::progress)) {
            const auto question = incoming.parse<handoff::ProgressQuestion>();
            REQUIRE(question);
            ++asked_for_progress;
            if (silent) {
                waiting_.push_back(std::move(incoming.responder));
                return;
            }
            handoff::ProgressReply reply;
            for (const auto& [request, responder] : slow_)
                if (std::ranges::find(question->attempts(), request.attempt()) != question->attempts().end()) {
                    handoff::Progress& told = *reply.add_all();
                    told.set_attempt(request.attempt());
                    for (const handoff::Recipient& recipient : request.envelope().recipients())
                        told.add_recipients(recipient.index());
                    told.set_waits_for("the answer for " + request.envelope().recipients(0).address());
                    told.set_waited(3'000'000);
                }
            return incoming.responder.reply(reply);
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
        if (amend)
            amend(request.envelope().recipients(0).address(), reply);
        responder.reply(reply);
    }

    Executor executor_;
    std::shared_ptr<ipc::Channel> ours_, theirs_;
    std::vector<ipc::Responder> waiting_;
    std::vector<std::pair<handoff::DeliveryRequest, ipc::Responder>> slow_;
};

/// A store that is another one; tests change a part of it.
class PassingOn : public spool::Store {
public:
    explicit PassingOn(spool::Store& inner) : inner_(inner) {}
    awaitable<Result<spool::Lease>> enqueue(spool::NewMessageRef message) override { return inner_.enqueue(std::move(message)); }
    awaitable<Result<bool>> was_committed(std::string queue_id) override { return inner_.was_committed(std::move(queue_id)); }
    awaitable<Result<std::vector<std::pair<std::string, std::string>>>> taken_over(std::string source, std::vector<std::string> queue_ids) override
    {
        return inner_.taken_over(std::move(source), std::move(queue_ids));
    }
    awaitable<Result<void>> forget_taken_over(std::string source, std::vector<std::string> queue_ids) override
    {
        return inner_.forget_taken_over(std::move(source), std::move(queue_ids));
    }
    awaitable<Result<void>> drop_file(std::string queue_id) override { return inner_.drop_file(std::move(queue_id)); }
    awaitable<Result<std::optional<spool::Lease>>> find(std::string queue_id) override { return inner_.find(std::move(queue_id)); }
    awaitable<Result<spool::Settled>> settle(spool::Settlement settlement) override { return inner_.settle(std::move(settlement)); }
    awaitable<Result<std::size_t>> alter(std::vector<spool::Lease> leases, spool::Change change) override
    {
        return inner_.alter(std::move(leases), change);
    }
    awaitable<Result<std::size_t>> remove(std::vector<spool::Lease> leases) override { return inner_.remove(std::move(leases)); }
    awaitable<Result<spool::Lease>> replace(spool::Lease old, spool::NewMessageRef message) override
    {
        return inner_.replace(old, std::move(message));
    }
    awaitable<Result<spool::StoredMessage>> read(spool::Lease lease) override { return inner_.read(lease); }
    awaitable<Result<std::unique_ptr<spool::ContentReader>>> content(spool::Lease lease) override { return inner_.content(lease); }
    awaitable<Result<spool::Page<spool::Scheduled>>> load(std::uint64_t after, std::size_t limit) override { return inner_.load(after, limit); }
    awaitable<Result<spool::Page<spool::StoredMessage>>> list(std::uint64_t after, std::size_t limit) override { return inner_.list(after, limit); }
    awaitable<Result<spool::Scheduled>> scheduled(spool::Lease lease) override { return inner_.scheduled(lease); }
    awaitable<Result<spool::Block>> reserve(spool::Counter counter, std::uint64_t count) override { return inner_.reserve(counter, count); }
    void on_adopted(std::function<void(std::vector<spool::Lease>)> adopted) override { inner_.on_adopted(std::move(adopted)); }
    awaitable<void> close() override { return inner_.close(); }

private:
    spool::Store& inner_;
};

struct Fixture {
    asio::io_context loop;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-queue.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::unique_ptr<spool::FileOps> files = spool::system_files(folder);
    spool::TwoNodes nodes{loop.get_executor(), *files};
    spool::Store* store = nullptr;                 // instead of that of the first node
    TestResolver resolver{loop.get_executor()};
    TestWorker worker{loop.get_executor()};
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    QueueOptions options = [] {
        QueueOptions made;
        made.scheduler.transport = [](std::string_view) { return schedule::TransportOptions{}; };
        made.reunion = 100ms;
        made.hand_on_interval = made.worker_patience = 0ms;
        return made;
    }();
    std::unique_ptr<QueueManager> queue;
    std::function<void(QueueManager&)> prepare;    // before it opens
    std::function<void(handoff::EnqueueRequest&)> amend_request;    // of each enqueue()
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
        return run(loop, std::move(task));
    }
    void run_until(const std::function<bool()>& done) { posthorn::run_until(loop, done); }
    /// Its content is in the incoming folder, as if it were large, and whoever enqueues it did not put it there.
    void in_file(handoff::EnqueueRequest& made) const
    {
        std::filesystem::create_directories(folder + "/incoming");
        const std::string octets = made.content().inline_octets() + "body\r\n";
        std::ofstream(folder + "/incoming/" + made.envelope().queue_id(), std::ios::binary) << octets;
        made.mutable_content()->Clear();
        made.mutable_content()->set_file(made.envelope().queue_id());
        made.mutable_content()->set_nobodys(true);
        made.mutable_envelope()->set_size(octets.size());
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
        queue = std::make_unique<QueueManager>(loop.get_executor(), store ? *store : nodes.node(0), resolver, worker, options, clock,
                                               observe::Log(sink, "postfix/qmgr"));
        if (prepare)
            prepare(*queue);
        REQUIRE(wait(queue->open(std::move(living))));
        if (store == nullptr)
            REQUIRE(wait(queue->whole()));
    }
    /// Ends the manager alone; what is stored stays.
    void stop()
    {
        bool closed = false;
        asio::co_spawn(loop, queue->abandon(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
        queue.reset();
    }
    std::string enqueue(std::vector<std::string> recipients, const std::string& sender = "a@ours.test", const std::string& verp = "")
    {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender(sender);
        envelope.set_verp(verp);
        std::uint32_t index = 0;
        for (std::string& address : recipients) {
            auto& recipient = *envelope.add_recipients();
            recipient.set_index(index++);
            recipient.set_address(std::move(address));
        }
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        envelope.set_size(20);
        if (amend_request)
            amend_request(request);
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

}  // namespace posthorn::services::testing
