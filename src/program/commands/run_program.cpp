#include "commands/run_program.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace posthorn::commands {

RunResult run_program(const std::string& program, std::vector<std::string> words, std::span<const std::pair<std::string, std::string>> environment)
{
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw Failure(fmt::format("pipe: {}", errno_text(errno)), 1);
    const Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw Failure(fmt::format("fork: {}", errno_text(errno)), 1);
    if (pid == 0) {
        for (const auto& [name, value] : environment)
            ::setenv(name.c_str(), value.c_str(), 1);
        ::execvp(program.c_str(), arguments.data());
        const int trouble = errno;
        [[maybe_unused]] const ssize_t told = ::write(write_end.get(), &trouble, sizeof trouble);
        ::_exit(127);
    }
    write_end = Fd();
    RunResult result;
    if (::read(read_end.get(), &result.not_started, sizeof result.not_started) != static_cast<ssize_t>(sizeof result.not_started))
        result.not_started = 0;
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    return result;
}

}  // namespace posthorn::commands
