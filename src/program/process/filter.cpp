// The system-call filter: a list of what an event loop with helper threads needs, and what each power adds. The rest is EPERM.
#include "process/confine.hpp"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <system_error>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POSTHORN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POSTHORN_SANITIZED 1
#endif
#endif

namespace posthorn::process {

namespace {

scmp_arg_cmp equals(unsigned argument, scmp_datum_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value) { return {argument, SCMP_CMP_MASKED_EQ, mask, value}; }

class Filter {
public:
    Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM)), ::seccomp_release)
    {
        if (!context_)
            throw std::runtime_error("seccomp_init");
        check(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));      // the log's thread as well
    }

    void allow(int call) { check(::seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call, 0, nullptr)); }
    void allow(int call, scmp_arg_cmp condition) { check(::seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call, 1, &condition)); }
    void allow_all(std::initializer_list<int> calls)
    {
        for (const int call : calls)
            allow(call);
    }
    void answer(int call, int error)
    {
        check(::seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, 0, nullptr));
    }
    void load() { check(::seccomp_load(context_.get())); }

private:
    static void check(int result)
    {
        if (result < 0)
            throw std::system_error(-result, std::generic_category(), "system-call filter");
    }
    std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
};

void allow_event_loop(Filter& filter)
{
    filter.allow_all({
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(readv),
        SCMP_SYS(writev),
        SCMP_SYS(pread64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(close),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(fstatfs),
        SCMP_SYS(dup),
        SCMP_SYS(dup3),
        SCMP_SYS(fcntl),
        SCMP_SYS(pipe2),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(eventfd2),
        SCMP_SYS(timerfd_create),
        SCMP_SYS(timerfd_settime),
        SCMP_SYS(timerfd_gettime),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(select),
        SCMP_SYS(pselect6),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(nanosleep),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
        SCMP_SYS(getrandom),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(getppid),
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(getrusage),
        SCMP_SYS(uname),
        SCMP_SYS(sysinfo),
        SCMP_SYS(getcwd),
        SCMP_SYS(umask),
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(membarrier),
        SCMP_SYS(futex),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(getcpu),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(memfd_create),
        SCMP_SYS(ftruncate),
        SCMP_SYS(copy_file_range),
        SCMP_SYS(sendfile),
        // conversations over sockets that exist already, or that connect to a neighbour's by name
        SCMP_SYS(accept),
        SCMP_SYS(accept4),
        SCMP_SYS(connect),
        SCMP_SYS(sendto),
        SCMP_SYS(recvfrom),
        SCMP_SYS(sendmsg),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmmsg),
        SCMP_SYS(recvmmsg),
        SCMP_SYS(shutdown),
        SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt),
        SCMP_SYS(getsockname),
        SCMP_SYS(getpeername),
        SCMP_SYS(socketpair),
    });
    filter.allow(SCMP_SYS(socket), equals(0, AF_UNIX));
    for (const unsigned long request : {FIONBIO, FIONREAD, FIOCLEX})
        filter.allow(SCMP_SYS(ioctl), equals(1, request));
    // Threads, not processes. clone3 hides its flags from filters: ENOSYS makes the C library take clone.
    filter.allow(SCMP_SYS(clone), masked(0, CLONE_THREAD, CLONE_THREAD));
    filter.answer(SCMP_SYS(clone3), ENOSYS);
    filter.allow(SCMP_SYS(prctl), equals(0, PR_SET_NAME));
    filter.allow(SCMP_SYS(prlimit64), equals(2, 0));              // look, do not change
    filter.allow(SCMP_SYS(tgkill), equals(0, static_cast<scmp_datum_t>(::getpid())));   // abort()
    filter.allow(SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
    filter.allow(SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
}

void allow_reading(Filter& filter)
{
    filter.allow(SCMP_SYS(openat), masked(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    filter.allow(SCMP_SYS(open), masked(1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    filter.allow_all({SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
                      SCMP_SYS(faccessat2), SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(statfs), SCMP_SYS(fadvise64),
                      SCMP_SYS(readahead)});
    // hash and btree tables are read under a shared lock, so that postmap can change them; no lock keeps anybody else out, or waits.
    for (const int lock : {LOCK_SH | LOCK_NB, LOCK_UN})
        filter.allow(SCMP_SYS(flock), equals(1, static_cast<scmp_datum_t>(lock)));
}

void allow_writing(Filter& filter)
{
    allow_reading(filter);
    filter.allow_all({SCMP_SYS(openat),    SCMP_SYS(open),    SCMP_SYS(fsync),    SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range),
                      SCMP_SYS(fallocate), SCMP_SYS(rename),  SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink),
                      SCMP_SYS(unlinkat),  SCMP_SYS(link),    SCMP_SYS(linkat),   SCMP_SYS(flock),     SCMP_SYS(fchmod),
                      SCMP_SYS(utimensat), SCMP_SYS(pwritev), SCMP_SYS(preadv),   SCMP_SYS(truncate),  SCMP_SYS(msync)});
}

}  // namespace

bool filter_system_calls(Powers may)
{
#ifdef POSTHORN_SANITIZED
    // The sanitizers' run-time makes calls of its own at any time (ptrace, process_vm_readv, /proc); the release build is what is tested.
    (void)may, (void)allow_event_loop, (void)allow_reading, (void)allow_writing;
    return false;
#else
    Filter filter;
    allow_event_loop(filter);
    if (may.has(May::connect) || may.has(May::resolve) || may.has(May::listen)) {
        filter.allow(SCMP_SYS(socket), equals(0, AF_INET));
        filter.allow(SCMP_SYS(socket), equals(0, AF_INET6));
        filter.allow(SCMP_SYS(bind));
    }
    if (may.has(May::resolve))                               // which address families this machine has (getifaddrs)
        filter.allow(SCMP_SYS(socket), equals(0, AF_NETLINK));
    if (may.has(May::listen))
        filter.allow(SCMP_SYS(listen));
    if (may.has(May::spool) || may.has(May::state) || may.has(May::write_incoming) || may.has(May::pick_up))
        allow_writing(filter);
    else if (may.has(May::read_state) || may.has(May::read_message) || may.has(May::resolve) || may.has(May::read_named))
        allow_reading(filter);
    if (may.has(May::spool) || may.has(May::state))
        filter.allow_all({SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(chmod), SCMP_SYS(fchmodat)});
    if (may.has(May::spool))                                 // to see when a delivery process has ended; nothing more can be done with it
        filter.allow(SCMP_SYS(pidfd_open));
    if (may.has(May::compile)) {
        filter.allow(SCMP_SYS(mmap));
        filter.allow(SCMP_SYS(mprotect));
    }
    filter.load();
    return true;
#endif
}

}  // namespace posthorn::process
