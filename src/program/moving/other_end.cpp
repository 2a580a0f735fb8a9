#include "moving/other_end.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace posthorn::moving {

Result<OtherEnd> OtherEnd::start(std::vector<std::string> command)
{
    int ends[2], trouble[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return system_error("socketpair", errno);
    Fd ours(ends[0]), theirs(ends[1]);
    if (::pipe2(trouble, O_CLOEXEC) != 0)
        return system_error("pipe", errno);
    Fd read_end(trouble[0]), write_end(trouble[1]);
    std::vector<char*> words;
    for (std::string& word : command)
        words.push_back(word.data());
    words.push_back(nullptr);
    const pid_t process = ::fork();
    if (process < 0)
        return system_error("fork", errno);
    if (process == 0) {
        ::signal(SIGPIPE, SIG_DFL);
        if (::dup2(theirs.get(), 0) == 0 && ::dup2(theirs.get(), 1) == 1)
            ::execvp(words[0], words.data());
        const int why = errno;
        [[maybe_unused]] const ssize_t told = ::write(write_end.get(), &why, sizeof why);
        ::_exit(127);
    }
    write_end.reset();
    theirs.reset();
    int why = 0;
    if (::read(read_end.get(), &why, sizeof why) == static_cast<ssize_t>(sizeof why)) {
        ::waitpid(process, nullptr, 0);
        return system_error("run " + command.front(), why);
    }
    return OtherEnd(std::move(ours), process);
}

OtherEnd::OtherEnd(OtherEnd&& other) noexcept : socket_(std::move(other.socket_)), process_(std::exchange(other.process_, 0)) {}

OtherEnd::~OtherEnd()
{
    if (process_ <= 0)
        return;
    socket_.reset();
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10}; std::chrono::steady_clock::now() < until;) {
        if (::waitpid(process_, nullptr, WNOHANG) != 0)
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
}

}  // namespace posthorn::moving
