#include "services/screen_link.hpp"

#include "async/run.hpp"
#include "handoff/frames.hpp"
#include "net/listener.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;
using receive::screen::Kept;
using receive::screen::Passed;

namespace {

/// smtpd processes' links to memory, and memory's end of them, on one loop.
struct ScreenFixture {
    asio::io_context loop;
    HandClock clock;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-screen.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    TaskGroup tasks{loop.get_executor()};
    ipc::Dispatcher dispatcher{tasks};
    std::map<std::string, std::string> maps;                // of lines; of others it is none
    ScreenDesk desk{tasks, [this](const std::string& service) { return Kept::Settings{.map = maps[service]}; },
                    [this](const std::string&) { return observe::Log(sink, "postfix/postscreen"); }, clock, dispatcher};
    bool silent = false;
    std::vector<ipc::Incoming> unanswered;
    std::unique_ptr<ipc::Server> memory;
    ScreenLink one{loop.get_executor(), folder + "/memory", "smtp"}, two{loop.get_executor(), folder + "/memory", "smtp"};

    ScreenFixture()
    {
        one.start();
        two.start();
    }
    ~ScreenFixture()
    {
        run(loop, one.close());
        run(loop, two.close());
        if (memory)
            run(loop, memory->close());
        run(loop, tasks.close());
        std::filesystem::remove_all(folder);
    }
    void begin_memory()
    {
        memory = std::make_unique<ipc::Server>(loop.get_executor(), net::listen(net::Endpoint::unix(folder + "/memory")).value(),
                                               ipc::ChannelOptions{.name = "smtpd"}, [this](std::weak_ptr<ipc::Channel>) {
                                                   return [this](ipc::Incoming incoming) {
                                                       if (silent)
                                                           unanswered.push_back(std::move(incoming));
                                                       else
                                                           dispatcher.dispatch(std::move(incoming));
                                                   };
                                               });
        memory->start();
    }
    std::optional<Passed> find(ScreenLink& link, std::string address) { return run(loop, link.find(std::move(address))); }
};

const Passed passed{.greet = WallTime{1'800'000'000s}, .lists = {}, .deep = {WallTime{}, WallTime{1'900'000'000s}, WallTime{}}};

}  // namespace

TEST_CASE("screen link: who passed at one process is known to another")
{
    ScreenFixture fixture;
    fixture.begin_memory();
    CHECK_FALSE(fixture.find(fixture.two, "192.0.2.1"));
    fixture.one.tell("192.0.2.1", passed);
    run_until(fixture.loop, [&] { return fixture.desk.clients() == 1; });
    CHECK(fixture.find(fixture.two, "192.0.2.1") == passed);
}

TEST_CASE("screen link: a memory that is away, or does not answer, is not waited for; it is told when it is back")
{
    ScreenFixture fixture;
    SUBCASE("away") {}
    SUBCASE("silent")
    {
        fixture.silent = true;
        fixture.begin_memory();
    }
    CHECK_FALSE(fixture.find(fixture.one, "192.0.2.1"));                // within ScreenLink::patience
    fixture.one.tell("192.0.2.1", passed);
    if (!fixture.memory)
        fixture.begin_memory();
    fixture.silent = false;
    run_until(fixture.loop, [&] { return fixture.desk.clients() == 1; });
    CHECK(fixture.find(fixture.two, "192.0.2.1") == passed);
}

TEST_CASE("screen link: lines with the same map know the same clients, others their own; a reload may change that")
{
    ScreenFixture fixture;
    fixture.begin_memory();
    ScreenLink other(fixture.loop.get_executor(), fixture.folder + "/memory", "2525");
    other.start();
    fixture.one.tell("192.0.2.1", passed);
    run_until(fixture.loop, [&] { return fixture.desk.clients() == 1; });
    CHECK_FALSE(fixture.find(other, "192.0.2.1"));
    fixture.maps["smtp"] = fixture.maps["2525"] = "lmdb:" + fixture.folder + "/both";
    fixture.desk.reload();
    CHECK_FALSE(fixture.find(other, "192.0.2.1"));
    fixture.one.tell("192.0.2.1", passed);
    run_until(fixture.loop, [&] { return fixture.desk.clients() == 2; });
    CHECK(fixture.find(other, "192.0.2.1") == passed);
    run(fixture.loop, other.close());
}

TEST_CASE("screen link: memory keeps what is a client that passed, and nothing else")
{
    ScreenFixture fixture;
    fixture.begin_memory();
    ipc::Client other(fixture.loop.get_executor(), fixture.folder + "/memory", {.channel = {.name = "memory"}});
    other.start();
    for (const auto& [address, text] : {std::pair{"", "1800000000"}, {"a.test", "1800000000"}, {"192.0.2.1", ""}, {"192.0.2.1", "soon"}}) {
        handoff::ScreenedClient client;
        client.set_address(address);
        client.set_passed(text);
        CHECK_FALSE(run(fixture.loop, other.call<handoff::ScreenedClient>(handoff::Frame::screen_passed, client)));
    }
    CHECK(fixture.desk.clients() == 0);
    run(fixture.loop, other.close());
}
