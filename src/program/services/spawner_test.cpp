#include "async/run.hpp"
#include "services/spawner.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::services;

namespace {

deliver::CommandEnd run_command(const std::string& script, std::string input, std::chrono::seconds limit = std::chrono::seconds{60})
{
    std::signal(SIGPIPE, SIG_IGN);                                 // as in every service
    asio::io_context loop;
    Spawner spawner(loop.get_executor());
    deliver::CommandRun command;
    command.words = {"/bin/sh", "-c", script};
    command.environment = {"PATH=/usr/bin:/bin"};
    command.as = {::geteuid(), ::getegid()};
    command.input = [input = std::move(input)]() mutable -> Result<std::string> { return std::exchange(input, {}); };
    command.time_limit = limit;
    deliver::CommandEnd end = run(loop, spawner.run(std::move(command)));
    run(loop, spawner.close());
    return end;
}

}  // namespace

TEST_CASE("spawner: a command that reads nothing, with something in the background, ends with its own status and its last words")
{
    const deliver::CommandEnd ended = run_command("echo said; sleep 5 & exit 7", std::string(1U << 20, 'x'));
    CHECK(WEXITSTATUS(ended.status) == 7);
    CHECK(ended.output == "said\n");
    CHECK_FALSE(ended.late);
}

TEST_CASE("spawner: a child that hangs, on a file system that does not answer, is given up")
{
    asio::io_context loop;
    Spawner spawner(loop.get_executor(), std::chrono::seconds{1});
    const deliver::Privileges here{::geteuid(), ::getegid()};
    const auto hung = run(loop, spawner.as(
                                    here,
                                    [] {
                                        ::pause();
                                        return std::string("x");
                                    },
                                    -1));
    REQUIRE_FALSE(hung);
    CHECK(hung.error().status() == "4.3.0");
    CHECK(hung.error().text().find("took longer than 1 s") != std::string::npos);
    CHECK(run(loop, spawner.as(here, [] { return std::string("x"); }, -1)).value_or("none") == "x");
    bool gone = false;                                             // killed, and no zombie
    for (int tries = 0; tries < 1000 && !gone; ++tries) {
        run(loop, sleep_for(std::chrono::milliseconds{10}));
        gone = ::waitpid(-1, nullptr, WNOHANG) == -1;
    }
    CHECK(gone);
    run(loop, spawner.close());
}

TEST_CASE("spawner: the time limit ends a command with what it has started")
{
    const deliver::CommandEnd ended = run_command("sleep 60 | sleep 60", "x", std::chrono::seconds{1});
    CHECK(ended.late);
    CHECK(WIFSIGNALED(ended.status));
}
