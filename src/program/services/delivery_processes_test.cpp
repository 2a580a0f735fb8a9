// A child that does nothing stands for a delivery process; its connections are two channels of our own.
#include "services/delivery_processes.hpp"

#include "async/run.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;

namespace {

struct ProcessesFixture {
    ProcessesFixture()
    {
        char path[] = "/tmp/posthorn-processes.XXXXXX";
        folder = ::mkdtemp(path);
        std::filesystem::current_path(folder);
        std::filesystem::create_directory("spool");
        child = ::fork();
        if (child == 0) {
            ::pause();
            ::_exit(0);
        }
        process = static_cast<std::uint32_t>(child);
        for (auto& one : connections)
            one = ipc::Channel::open(loop.get_executor(), std::move(ipc::Channel::socket_pair()->first));
    }
    ~ProcessesFixture()
    {
        end_child();
        run(loop, processes.close());
        std::filesystem::current_path(before);
        std::filesystem::remove_all(folder);
    }
    void end_child()
    {
        if (child <= 0)
            return;
        ::kill(child, SIGKILL);
        ::waitpid(std::exchange(child, 0), nullptr, 0);
    }
    void run_until(const std::function<bool()>& done) { posthorn::run_until(loop, done); }
    void wait(std::chrono::milliseconds time)
    {
        const auto end = std::chrono::steady_clock::now() + time;
        run_until([&] { return std::chrono::steady_clock::now() >= end; });
    }
    static std::string on_disk()
    {
        std::ifstream file("spool/deliverers");
        return {std::istreambuf_iterator<char>(file), {}};
    }

    std::filesystem::path before = std::filesystem::current_path();
    std::string folder;
    asio::io_context loop;
    pid_t child = 0;
    std::uint32_t process = 0;
    std::shared_ptr<ipc::Channel> connections[2];
    std::vector<std::uint32_t> ended;
    DeliveryProcesses processes{loop.get_executor(), [this](std::uint32_t gone) { ended.push_back(gone); }, 50ms};
};

}  // namespace

TEST_CASE_FIXTURE(ProcessesFixture, "delivery processes: a connection that is lost is not the end of its process; that is said when it has ended")
{
    processes.joined(connections[0].get(), process, true);
    CHECK(on_disk() == std::to_string(process) + "\n");
    processes.left(connections[0].get());
    wait(300ms);                                               // beyond the patience for what cannot be looked at
    CHECK(ended.empty());
    CHECK(!on_disk().empty());
    end_child();
    run_until([&] { return !ended.empty(); });
    CHECK(ended == std::vector{process});
    CHECK(on_disk().empty());
}

TEST_CASE_FIXTURE(ProcessesFixture, "delivery processes: the end of an older connection says nothing of a process that has a newer one")
{
    processes.joined(connections[0].get(), process, true);
    processes.joined(connections[1].get(), process, true);
    processes.left(connections[0].get());
    processes.left(connections[0].get());                      // unknown by now
    wait(100ms);
    CHECK(ended.empty());
    CHECK(!on_disk().empty());

    SUBCASE("one that comes back is not seen off when it ends later, but then")
    {
        processes.left(connections[1].get());
        processes.joined(connections[0].get(), process, true);
        wait(300ms);
        end_child();
        wait(300ms);
        CHECK(ended.empty());                                  // its connection is still there: the kernel says that in a moment
        processes.left(connections[0].get());
    }
    SUBCASE("it ends") { processes.left(connections[1].get()), end_child(); }
    run_until([&] { return !ended.empty(); });
    CHECK(ended == std::vector{process});
}

TEST_CASE_FIXTURE(ProcessesFixture, "delivery processes: one that cannot be looked at is gone when it does not come back")
{
    processes.joined(connections[0].get(), 0, true);
    processes.left(connections[0].get());
    run_until([&] { return !ended.empty(); });
    CHECK(ended == std::vector<std::uint32_t>{0});
}

TEST_CASE_FIXTURE(ProcessesFixture,
                  "delivery processes: those of before stay on the list until they have ended, though another says hello first and they never do")
{
    processes.expect({process});
    processes.joined(connections[0].get(), static_cast<std::uint32_t>(::getpid()), true);
    const auto listed = [](std::uint32_t one) { return ("\n" + on_disk()).find(fmt::format("\n{}\n", one)) != std::string::npos; };
    CHECK(listed(process));
    CHECK(listed(static_cast<std::uint32_t>(::getpid())));
    wait(300ms);
    CHECK(ended.empty());
    CHECK(listed(process));
    SUBCASE("one that comes is seen off when its connection ends, and it")
    {
        processes.joined(connections[1].get(), process, true);
        wait(300ms);
        end_child();
        wait(300ms);
        CHECK(ended.empty());
        processes.left(connections[1].get());
    }
    SUBCASE("one that never comes") { end_child(); }
    run_until([&] { return !ended.empty(); });
    CHECK(ended == std::vector{process});
    CHECK(!listed(process));
    CHECK(listed(static_cast<std::uint32_t>(::getpid())));
}
