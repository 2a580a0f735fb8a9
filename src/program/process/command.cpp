#include "process/command.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
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

/// Between fork and exec: only calls that are safe after fork of a process with threads. The C library's setres*id() are not: they talk to
/// the threads that this copy does not have.
[[noreturn]] void become(const Command& command, char* const* words, char* const* environment, int trouble, pid_t parent)
{
    const auto give_up = [&](int error) {
        (void)!::write(trouble, &error, sizeof error);
        ::_exit(127);
    };
    ::setsid();
    if (command.user) {
        const gid_t gid = command.user->gid;
        const uid_t uid = command.user->uid;
        if (::syscall(SYS_setgroups, 1, &gid) != 0 || ::syscall(SYS_setresgid, gid, gid, gid) != 0 || ::syscall(SYS_setresuid, uid, uid, uid) != 0)
            give_up(errno);
        if (::syscall(SYS_setresuid, -1, 0, -1) == 0)
            give_up(EPERM);
    }
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
    struct sigaction normal{};
    normal.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal)
        ::sigaction(signal, &normal, nullptr);                     // what was ignored would stay ignored
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(command.program.c_str(), words, environment);
    const int error = errno;
    (void)!::write(trouble, &error, sizeof error);
    ::_exit(127);
}

}  // namespace

Result<RunningCommand> start_command(const Command& command)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("pipe", errno);
    Fd heard(ends[0]), said(ends[1]);
    const std::vector<char*> words = pointers(command.words), environment = pointers(command.environment);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0)
        return system_error("fork", errno);
    if (pid == 0)
        become(command, words.data(), environment.data(), said.get(), parent);
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) {
        const Error error = system_error("pidfd_open", errno);
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return error;
    }
    return RunningCommand{pid, std::move(process), std::move(heard)};
}

std::optional<Error> execution_error(const Command& command, const RunningCommand& running)
{
    int error = 0;
    if (::read(running.trouble.get(), &error, sizeof error) != sizeof error)
        return std::nullopt;
    return system_error("execute " + command.program, error);
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
