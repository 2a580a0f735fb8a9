#include "services/sts_link.hpp"

#include "async/run.hpp"
#include "handoff/frames.hpp"
#include "net/listener.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;

namespace {

/// Links of smtp processes to memory, and memory's end of them, on one loop.
struct StsFixture {
    asio::io_context loop;
    HandClock clock;
    std::string folder = [] {
        char path[] = "/tmp/posthorn-sts.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    std::unique_ptr<TaskGroup> tasks;
    std::unique_ptr<ipc::Dispatcher> dispatcher;
    std::unique_ptr<StsDesk> desk;
    std::unique_ptr<ipc::Server> server;
    std::unique_ptr<StsLink> link;

    StsFixture() { start(); }
    ~StsFixture()
    {
        stop();
        std::filesystem::remove_all(folder);
    }
    void start()
    {
        tasks = std::make_unique<TaskGroup>(loop.get_executor());
        dispatcher = std::make_unique<ipc::Dispatcher>(*tasks);
        desk = std::make_unique<StsDesk>(folder, clock, observe::Log(sink, "smtp"), loop.get_executor(), *dispatcher);
        tasks->spawn(desk->run());
        server = std::make_unique<ipc::Server>(loop.get_executor(), net::listen(net::Endpoint::unix(folder + "/memory")).value(),
                                               ipc::ChannelOptions{.name = "memory"},
                                               [this](std::weak_ptr<ipc::Channel>) { return dispatcher->handler(); });
        server->start();
        link = std::make_unique<StsLink>(loop.get_executor(), folder + "/memory");
        link->start();
    }
    /// As it ends, with what it has not written; or with nothing of the kind, as in a crash.
    void stop(bool crash = false)
    {
        run(loop, link->close());
        run(loop, server->close());
        run(loop, tasks->close());
        if (!crash)
            desk->write_out();
        desk.reset();
        server.reset();
    }
    std::string find(const std::string& domain)
    {
        const auto found = run(loop, link->find(domain));
        if (!found)
            return "?";
        const std::optional<std::string>& octets = *found;
        const auto known = octets ? sts::known_of(*octets) : std::nullopt;
        return known ? known->id : "none";
    }
    void keep(const std::string& domain, const std::string& id, std::chrono::seconds max_age = 24h)
    {
        link->keep(domain, sts::octets_of({id, clock.wall(), {sts::Mode::enforce, {"mx.a.test"}, max_age}}));
        CHECK(find("nothing.test") == "none");                        // it is behind the other on the same connection
    }
};

}  // namespace

TEST_CASE_FIXTURE(StsFixture, "sts: what one process fetched another knows, and a memory that is started anew, until it is over")
{
    keep("a.test", "1");
    keep("b.test", "2", 48h);
    CHECK(find("a.test") == "1");
    stop();
    start();
    CHECK(find("a.test") == "1");
    CHECK(find("b.test") == "2");
    clock.advance(24h);
    CHECK(find("a.test") == "none");
    stop();
    start();
    CHECK(find("b.test") == "2");
    CHECK(desk->domains() == 1);
    CHECK(sink->lines.empty());
}

TEST_CASE_FIXTURE(StsFixture, "sts: what was told is in the file soon, though memory ends without a word")
{
    keep("a.test", "1");
    for (int turn = 0; turn < 500; ++turn) {
        run(loop, sleep_for(10ms));
        if (turn > 20 && std::filesystem::exists(folder + "/mta_sts.lmdb"))
            break;
    }
    stop(true);
    start();
    CHECK(find("a.test") == "1");
}

TEST_CASE_FIXTURE(StsFixture, "sts: what is no policy of a domain is not kept, nor an older one in place of a younger")
{
    const std::string good = sts::octets_of({"1", clock.wall(), {sts::Mode::enforce, {"mx.a.test"}, 24h}});
    for (const auto& [domain, octets] : {std::pair<std::string, std::string>{"a..test", good}, {"", good}, {"a.test", "nonsense"}, {"a.test", ""}}) {
        handoff::DomainPolicy policy;
        policy.set_domain(domain);
        policy.set_known(octets);
        ipc::Client client(loop.get_executor(), folder + "/memory", {});
        client.start();
        CHECK(!run(loop, client.call<handoff::DomainPolicy>(handoff::Frame::sts_fetched, policy)));
        run(loop, client.close());
    }
    CHECK(desk->domains() == 0);
    clock.advance(1h);
    keep("a.test", "2");
    link->keep("a.test", good);
    CHECK(find("a.test") == "2");
    CHECK(find("a.test") == "2");
    clock.step_wall(-2h);                                             // it was ahead: what comes now counts
    keep("a.test", "3");
    CHECK(find("a.test") == "3");
}

TEST_CASE_FIXTURE(StsFixture, "sts: a file that cannot be used costs one warning, and what is told is known while memory lives")
{
    stop();
    std::filesystem::remove(folder + "/mta_sts.lmdb");
    std::filesystem::create_directory(folder + "/mta_sts.lmdb");
    start();
    keep("a.test", "1");
    run(loop, sleep_for(200ms));
    CHECK(find("a.test") == "1");
    CHECK(sink->lines.size() == 1);
}
