#include "services/delivery_link.hpp"

#include "async/run.hpp"
#include "handoff/frames.hpp"
#include "net/listener.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;
using handoff::Frame;

namespace {

/// qmgr's end of a delivery process's link: hears Hello, sends requests.
struct LinkFixture {
    asio::io_context loop;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-link.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    TaskGroup tasks{loop.get_executor()};
    Signal release{loop.get_executor()};
    bool released = false;
    std::vector<std::string> hellos;                        // their programs: empty is goodbye
    ipc::Server server{loop.get_executor(),
                       net::listen(net::Endpoint::unix(folder + "/qmgr")).value(),
                       {.name = "smtp", .frame_limit = handoff::large_frame},
                       [this](std::weak_ptr<ipc::Channel>) {
                           return [this](ipc::Incoming incoming) {
                               if (incoming.kind == static_cast<ipc::Kind>(Frame::verdicts)) {
                                   ++told;
                                   return incoming.responder.fail(Error{"message content is damaged", "4.3.0"});
                               }
                               if (auto hello = incoming.parse<handoff::Hello>()) {
                                   hellos.push_back(hello->program());
                                   limit = hello->process_limit();
                                   ahead = hello->ahead();
                                   held = hello->held_size();
                               }
                               incoming.responder.reply(handoff::Welcome{});
                           };
                       }};
    std::uint32_t limit = 0, ahead = 0;
    int told = 0, held = 0;
    std::string answer = "250 Ok";
    DeliveryLink link{loop.get_executor(),
                      folder + "/qmgr",
                      "relay",
                      "smtp",
                      7,
                      3,
                      [this](handoff::DeliveryRequest request, Fd) { return deliver(std::move(request)); },
                      observe::Log(sink, "postfix/smtp")};

    LinkFixture()
    {
        server.start();
        link.start();
        run_until([&] { return hellos.size() == 1; });
    }
    ~LinkFixture()
    {
        bool closed = false;
        asio::co_spawn(loop, close(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
        std::filesystem::remove_all(folder);
    }
    awaitable<void> close()
    {
        co_await link.close();
        co_await server.close();
        co_await tasks.close();
    }
    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest)
    {
        while (!released)
            co_await release.wait();
        handoff::Verdicts verdicts;
        verdicts.add_verdicts()->set_text(answer);
        co_return verdicts;
    }
    awaitable<void> ask(std::uint64_t attempt, std::map<std::uint64_t, handoff::Verdicts>* answers)
    {
        handoff::DeliveryRequest request;
        request.set_attempt(attempt);
        const auto reply = co_await server.channels().front()->call<handoff::Verdicts>(Frame::deliver, std::move(request));
        if (reply)                                           // else the connection was lost
            (*answers)[attempt] = *reply;
    }
    awaitable<void> drain(bool* drained)
    {
        co_await link.drain();
        *drained = true;
    }
    void run_until(const std::function<bool()>& done) { posthorn::run_until(loop, done); }
};

}  // namespace

TEST_CASE_FIXTURE(
    LinkFixture,
    "delivery link: a process that is about to end says goodbye, ends what it has, hands back what still comes, and waits for its verdicts to be stored")
{
    CHECK(limit == 7);
    CHECK(ahead == 3);
    std::map<std::uint64_t, handoff::Verdicts> answers;
    bool drained = false;
    tasks.spawn(ask(1, &answers));
    run_until([&] { return link.in_flight() == 1; });
    tasks.spawn(drain(&drained));
    tasks.spawn(ask(2, &answers));
    run_until([&] { return answers.contains(2) && hellos.size() == 2; });
    CHECK(hellos == std::vector<std::string>{"smtp", ""});
    CHECK(answers[2].handed_back());
    CHECK(answers[2].verdicts_size() == 0);
    CHECK_FALSE(answers.contains(1));
    CHECK_FALSE(drained);
    released = true;
    release.notify_all();
    run_until([&] { return answers.contains(1); });
    CHECK_FALSE(answers[1].handed_back());
    CHECK(answers[1].verdicts(0).text() == "250 Ok");
    for (int turn = 0; turn < 30; ++turn)
        loop.run_one_for(10ms);
    CHECK_FALSE(drained);                                    // not before it is on stable storage
    handoff::VerdictsStored stored;
    stored.add_attempts(1);
    CHECK(server.channels().front()->post(Frame::verdicts_stored, stored));
    run_until([&] { return drained; });
}

TEST_CASE_FIXTURE(LinkFixture, "delivery link: what is held when the queue comes back is told in one greeting, however much it is")
{
    answer = std::string(100'000, 'x');
    std::map<std::uint64_t, handoff::Verdicts> answers;
    for (std::uint64_t attempt = 1; attempt <= 60; ++attempt)
        tasks.spawn(ask(attempt, &answers));
    run_until([&] { return link.in_flight() == 60; });
    released = true;
    release.notify_all();
    run_until([&] { return answers.size() == 60; });            // none of them is confirmed as stored
    server.channels().front()->close();
    run_until([&] { return hellos.size() == 2; });
    CHECK(held == 60);
}

TEST_CASE_FIXTURE(LinkFixture, "delivery link: a verdict that the queue cannot take now is told again after a pause")
{
    std::map<std::uint64_t, handoff::Verdicts> answers;
    tasks.spawn(ask(1, &answers));
    run_until([&] { return link.in_flight() == 1; });
    server.channels().front()->close();
    run_until([&] { return hellos.size() == 2; });
    released = true;
    release.notify_all();
    run_until([&] { return told == 1; });
    const auto end = std::chrono::steady_clock::now() + 200ms;
    run_until([&] { return std::chrono::steady_clock::now() >= end; });
    CHECK(told == 1);
}

TEST_CASE("delivery link: a transport's limit is its column's, and what the descriptors of one process are enough for")
{
    CHECK(delivery_limit(20, 65536) == 20);
    CHECK(delivery_limit(0, 65536) == (65536 - 128) / 3);
    CHECK(delivery_limit(0, 1024) == 298);
    CHECK(delivery_limit(500, 1024) == 298);
    CHECK(delivery_limit(0, 64) == 1);                       // never none: 0 would be no limit
    CHECK(delivery_limit(0, ~std::uint64_t{0}) == 0xffffffff);
}
