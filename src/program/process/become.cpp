#include "process/become.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace posthorn::process {

Result<Forked> fork_child(const std::function<void(int said)>& child)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("pipe", errno);
    Fd heard(ends[0]), said(ends[1]);
    const pid_t pid = ::fork();
    if (pid < 0)
        return system_error("fork", errno);
    if (pid == 0) {
        child(said.get());
        ::_exit(127);
    }
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) {
        const Error error = system_error("pidfd_open", errno);
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return error;
    }
    return Forked{pid, std::move(process), std::move(heard)};
}

int become_user(RunAs user)
{
    const gid_t gid = user.gid;
    const uid_t uid = user.uid;
    if (::syscall(SYS_setgroups, 1, &gid) != 0 || ::syscall(SYS_setresgid, gid, gid, gid) != 0 || ::syscall(SYS_setresuid, uid, uid, uid) != 0)
        return errno;
    // From root they went with the change of user; from another user they did not.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2]{};
    if (::syscall(SYS_capset, &header, none) != 0)
        return errno;
    if (uid != 0 && ::syscall(SYS_setresuid, -1, 0, -1) == 0)
        return EPERM;
    return 0;
}

void signals_as_at_first()
{
    struct sigaction normal{};
    normal.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal)
        ::sigaction(signal, &normal, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace posthorn::process
