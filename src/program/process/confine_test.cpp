#include "process/confine.hpp"

#include <doctest/doctest.h>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>

using namespace posthorn::process;

namespace {

/// What `work` says, or the words of what it throws: in a process of its own, since what is taken away is gone for good.
std::string said_in_child(const std::function<std::string()>& work)
{
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::string said;
        try {
            said = work();
        } catch (const std::exception& failure) {
            said = failure.what();
        }
        (void)!::write(ends[1], said.data(), said.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said(4096, '\0');
    const ssize_t count = ::read(ends[0], said.data(), said.size());
    ::close(ends[0]);
    said.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return said;
}

std::string confined()
{
    confine(Place{}, {.user = User::unchanged, .may = {May::start_commands}});
    return "confined";
}

}  // namespace

TEST_CASE("confine: a thread that was started before would not be bound: the process is not confined, and it is said which")
{
    CHECK(said_in_child(confined) == "confined");
    const std::string refused = said_in_child([] {
        std::atomic<bool> named = false;
        const std::jthread helper([&](const std::stop_token& end) {
            ::prctl(PR_SET_NAME, "a_helper", 0, 0, 0);
            named = true;
            named.notify_one();
            while (!end.stop_requested())
                std::this_thread::sleep_for(std::chrono::milliseconds{1});
        });
        named.wait(false);
        return confined();
    });
    CHECK(refused.starts_with("confine: threads were started before: "));
    CHECK(refused.find("a_helper") != std::string::npos);
}
