#include "services/trial_link.hpp"

#include "async/run.hpp"
#include "handoff/frames.hpp"
#include "net/listener.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::services;
using handoff::TrialSeen;

namespace {

TrialSeen tried_one(TrialSeen::Outcome outcome, std::string whom = "there.test")
{
    TrialSeen seen;
    seen.set_out(true);
    seen.set_tried("verify");
    seen.set_outcome(outcome);
    seen.set_count(1);
    seen.set_whom(std::move(whom));
    seen.set_reason("self-signed certificate");
    return seen;
}

/// A link of smtp to memory, and memory's end of it, on one loop.
struct TrialFixture {
    asio::io_context loop;
    HandClock clock;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-trials.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    std::unique_ptr<TaskGroup> tasks;
    std::unique_ptr<ipc::Dispatcher> dispatcher;
    std::unique_ptr<TrialDesk> desk;
    std::unique_ptr<ipc::Server> server;
    std::unique_ptr<ipc::Client> client;
    std::unique_ptr<TrialLink> link;

    TrialFixture() { start(); }
    ~TrialFixture()
    {
        stop();
        std::filesystem::remove_all(folder);
    }
    void start()
    {
        tasks = std::make_unique<TaskGroup>(loop.get_executor());
        dispatcher = std::make_unique<ipc::Dispatcher>(*tasks);
        desk = std::make_unique<TrialDesk>(folder, clock, observe::Log(sink, "memory"), loop.get_executor(), *dispatcher);
        server = std::make_unique<ipc::Server>(loop.get_executor(), net::listen(net::Endpoint::unix(folder + "/memory")).value(),
                                               ipc::ChannelOptions{.name = "memory"},
                                               [this](std::weak_ptr<ipc::Channel>) { return dispatcher->handler(); });
        server->start();
        client = std::make_unique<ipc::Client>(loop.get_executor(), folder + "/memory", ipc::ClientOptions{.channel = {.name = "memory"}});
        client->start();
        link = std::make_unique<TrialLink>(loop.get_executor(), *client);
    }
    /// As memory ends, with what it has not written; or as in a crash, without.
    void stop(bool crash = false)
    {
        run(loop, link->close());
        settle();
        run(loop, client->close());
        run(loop, server->close());
        run(loop, tasks->close());
        if (!crash)
            run(loop, desk->write_out());
        link.reset();
        client.reset();
        server.reset();
        desk.reset();
        dispatcher.reset();
        tasks.reset();
        std::filesystem::remove(folder + "/memory");
    }
    void settle() { run(loop, sleep_for(std::chrono::milliseconds{50})); }
    handoff::Trials told(handoff::TrialsCommand::Verb verb = handoff::TrialsCommand::LIST)
    {
        handoff::TrialsCommand command;
        command.set_verb(verb);
        return run(loop, desk->command(std::move(command))).value();
    }
    std::string file() const { return folder + "/trials"; }
};

}  // namespace

TEST_CASE("trial link: what is told arrives, what passed as numbers, and is there after memory has ended; after a crash what was written is")
{
    TrialFixture fixture;
    for (int i = 0; i < 3; ++i)
        fixture.link->tell(tried_one(TrialSeen::PASSED));
    fixture.link->tell(tried_one(TrialSeen::UNHELD));
    fixture.link->tell(tried_one(TrialSeen::REFUSED));
    fixture.stop();
    fixture.start();
    const auto kept = fixture.told();
    REQUIRE(kept.trials_size() == 1);
    CHECK(trials::sum_of(kept.trials(0)).passed() == 4);
    CHECK(trials::sum_of(kept.trials(0)).unheld() == 1);
    CHECK(trials::sum_of(kept.trials(0)).refused() == 1);
    REQUIRE(kept.trials(0).entries_size() == 1);
    CHECK(kept.trials(0).entries(0).whom() == "there.test");
    fixture.link->tell(tried_one(TrialSeen::REFUSED, "else.test"));
    fixture.stop(true);
    fixture.start();
    CHECK(fixture.told().SerializeAsString() == kept.SerializeAsString());
    CHECK(fixture.sink->lines.empty());
}

TEST_CASE("trial link: memory writes by itself, some seconds after something changed")
{
    TrialFixture fixture;
    fixture.tasks->spawn(fixture.desk->run());
    fixture.link->tell(tried_one(TrialSeen::REFUSED));
    for (int i = 0; i < 200 && !std::filesystem::exists(fixture.file()); ++i)
        fixture.settle();
    CHECK(std::filesystem::exists(fixture.file()));
    fixture.stop(true);
    fixture.start();
    CHECK(fixture.told().trials_size() == 1);
}

TEST_CASE("trial link: what an operator has forgotten is gone from the file as well, and is said")
{
    TrialFixture fixture;
    fixture.link->tell(tried_one(TrialSeen::REFUSED));
    fixture.stop();
    fixture.start();
    REQUIRE(fixture.told().trials_size() == 1);
    CHECK(fixture.told(handoff::TrialsCommand::FORGET).trials_size() == 0);
    fixture.stop(true);
    fixture.start();
    CHECK(fixture.told().trials_size() == 0);
    CHECK(fixture.sink->lines == std::vector<std::string>{"memory: an operator had forgotten what stricter settings would have refused"});
}

TEST_CASE("trial link: a damaged file is set aside and said, and another begun")
{
    TrialFixture fixture;
    fixture.link->tell(tried_one(TrialSeen::REFUSED));
    fixture.stop();
    {
        std::fstream file(fixture.file(), std::ios::in | std::ios::out);
        file.seekp(-3, std::ios::end);
        file << '!';
    }
    fixture.start();
    CHECK(fixture.told().trials_size() == 0);
    CHECK(fixture.sink->lines ==
          std::vector<std::string>{"memory: warning: trials: it is damaged; it is kept as trials.damaged: what stricter settings would have "
                                   "refused is not known"});
    CHECK(std::filesystem::exists(fixture.folder + "/trials.damaged"));
    fixture.link->tell(tried_one(TrialSeen::REFUSED));
    fixture.stop();
    fixture.start();
    CHECK(fixture.told().trials_size() == 1);
}

TEST_CASE("trial link: more than it holds for a second is lost and counted; what passed never is more than one")
{
    TrialFixture fixture;
    for (int i = 0; i < TrialLink::waiting + 7; ++i) {
        fixture.link->tell(tried_one(TrialSeen::REFUSED));
        fixture.link->tell(tried_one(TrialSeen::PASSED));
    }
    CHECK(fixture.link->dropped() == 7);
    fixture.stop();
    fixture.start();
    const auto sum = trials::sum_of(fixture.told().trials(0));
    CHECK(sum.refused() == TrialLink::waiting);
    CHECK(sum.passed() == TrialLink::waiting + 7);
}
