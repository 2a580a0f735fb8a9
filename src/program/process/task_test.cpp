#include "process/task.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

using namespace posthorn;
using namespace posthorn::process;

namespace {

Result<std::string> answer(const std::function<std::string()>& task, std::optional<RunAs> user = {}, int keep = -1)
{
    const auto running = start_task(user, task, keep);
    REQUIRE(running);
    std::string text;
    char room[4096];
    for (ssize_t got; (got = ::read(running->answer.get(), room, sizeof room)) > 0;)
        text.append(room, static_cast<std::size_t>(got));
    int status = 0;
    REQUIRE(::waitpid(running->pid, &status, 0) == running->pid);
    return answer_of(text);
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("task: its answer comes back whole, also one that is larger than a pipe")
{
    CHECK(answer([] { return std::string(); }).value_or("none").empty());
    CHECK(answer([] { return std::string(300'000, 'x'); })->size() == 300'000);
}

TEST_CASE("task: one that ends before it has an answer gives none")
{
    CHECK_FALSE(answer([]() -> std::string { throw std::runtime_error("no"); }));
    CHECK_FALSE(answer([]() -> std::string { ::_exit(0); }));
    CHECK_FALSE(answer([]() -> std::string {
        ::kill(::getpid(), SIGKILL);
        return "x";
    }));
}

TEST_CASE("task: it has the descriptor it was given and no other, and SIGTERM does not end it")
{
    const Fd given(::open("/dev/null", O_RDONLY | O_CLOEXEC)), other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(answer([&] { return std::string(is_open(given.get()) ? "y" : "n") + (is_open(other.get()) ? "y" : "n"); }, {}, given.get())
              .value_or("none") == "yn");
    CHECK(answer([] {
              ::raise(SIGTERM);
              return std::string("there");
          }).value_or("none") == "there");
}

TEST_CASE("task: it is another user, without a way back")
{
    if (::geteuid() != 0)
        return;
    const auto who = answer(
        [] {
            gid_t groups[8];
            const int count = ::getgroups(8, groups);
            return std::to_string(::getuid()) + " " + std::to_string(::getgid()) + " " + std::to_string(count) + " " + std::to_string(groups[0]) +
                   (::setuid(0) == 0 ? " root" : " stays");
        },
        RunAs{65534, 65533});
    CHECK(who.value_or("none") == "65534 65533 1 65533 stays");
}
