#include "process/become.hpp"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace posthorn::process {

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
