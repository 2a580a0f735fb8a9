#include "process/command.hpp"

#include "process/become.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include <fmt/format.h>

namespace posthorn::process {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words)
{
    std::vector<char*> list;
    for (const std::string& word : words)
        list.push_back(const_cast<char*>(word.c_str()));
    list.push_back(nullptr);
    return list;
}

/// What kept it from being executed: where, and why.
struct Trouble {
    enum Where : int { starting, root, directory, program } where;
    int error;
};

/// Between fork and exec: only calls that are safe after fork of a process with threads.
[[noreturn]] void become(const Command& command, char* const* words, char* const* environment, int trouble, pid_t parent)
{
    const auto give_up = [&](int error, Trouble::Where where = Trouble::starting) {
        const Trouble said{where, error};
        (void)!::write(trouble, &said, sizeof said);
        ::_exit(127);
    };
    ::setsid();
    if (!command.root.empty() && (::chroot(command.root.c_str()) != 0 || ::chdir("/") != 0))
        give_up(errno, Trouble::root);
    if (command.user)
        if (const int error = become_user(*command.user); error != 0)
            give_up(error);
    if (command.file_mask)
        ::umask(*command.file_mask);
    if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0)
        give_up(errno, Trouble::directory);
    // Behind the change of user, which would clear it.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (::getppid() != parent)
        ::_exit(127);
    // Out of each other's way first, then down to their places.
    const int descriptors[] = {command.input, command.output, command.error, trouble};
    int high[4];
    for (int i = 0; i < 4; ++i)
        if ((high[i] = ::fcntl(descriptors[i], F_DUPFD, 16)) < 0)
            give_up(errno);
    for (int i = 0; i < 4; ++i)
        if (::dup2(high[i], i) < 0)
            ::_exit(127);
    trouble = 3;
    ::fcntl(trouble, F_SETFD, FD_CLOEXEC);
    ::syscall(SYS_close_range, 4, ~0U, 0);
    signals_as_at_first();                                         // what was ignored would stay ignored
    ::execve(command.program.c_str(), words, environment);
    give_up(errno, Trouble::program);
    ::_exit(127);
}

}  // namespace

Result<RunningCommand> start_command(const Command& command)
{
    const std::vector<char*> words = pointers(command.words), environment = pointers(command.environment);
    const pid_t parent = ::getpid();
    TRY(Forked child, fork_child([&](int said) { become(command, words.data(), environment.data(), said, parent); }));
    return RunningCommand{child.pid, std::move(child.process), std::move(child.heard)};
}

std::optional<Error> execution_error(const Command& command, const RunningCommand& running)
{
    Trouble said{};
    if (::read(running.trouble.get(), &said, sizeof said) != sizeof said)
        return std::nullopt;
    return system_error(said.where == Trouble::root        ? "change the root folder to " + command.root
                        : said.where == Trouble::directory ? "change to the directory " + command.directory
                                                           : "execute " + command.program,
                        said.error);
}

void end_command(const RunningCommand& running)
{
    if (::kill(-running.pid, SIGKILL) != 0)
        ::kill(running.pid, SIGKILL);                              // before its setsid()
}

std::string outcome_of(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return fmt::format("killed by signal {}", WTERMSIG(wait_status));
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 0 ? fmt::format("exit status {}", WEXITSTATUS(wait_status)) : std::string();
}

}  // namespace posthorn::process
