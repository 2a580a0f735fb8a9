#include "process/refusals.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include <fmt/format.h>

namespace posthorn::process {

namespace {

struct Try {
    std::string_view what;
    long (*attempt)();                       // -1 and errno: refused
    Powers granted_to{};                     // any of these powers is for it
};

long opened(int descriptor)
{
    if (descriptor >= 0)
        ::close(descriptor);
    return descriptor;
}

const Try tries[] = {
    // what another user could do here, and what only root can
    {"open /etc/passwd", [] { return opened(::open("/etc/passwd", O_RDONLY | O_CLOEXEC)); }, {May::start_commands}},
    {"open /etc/shadow", [] { return opened(::open("/etc/shadow", O_RDONLY | O_CLOEXEC)); }, {May::start_commands}},
    {"list /etc", [] { return opened(::open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }, {May::start_commands}},
    {"create in /tmp", [] { return opened(::open("/tmp/posthorn-refusals", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); }, {May::start_commands}},
    {"write content",
     [] { return opened(::open("spool/incoming/posthorn-refusals", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); },
     {May::write_incoming, May::spool, May::start_commands}},
    {"write the queue",
     [] { return opened(::open("spool/posthorn-refusals", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); },
     {May::spool, May::start_commands}},
    {"setuid", [] { return static_cast<long>(::syscall(SYS_setuid, 0)); }, {May::start_commands}},
    {"setgid", [] { return static_cast<long>(::syscall(SYS_setgid, 0)); }, {May::start_commands}},
    {"setgroups", [] { return static_cast<long>(::syscall(SYS_setgroups, 0, nullptr)); }, {May::start_commands}},
    {"chroot", [] { return static_cast<long>(::chroot("/")); }},
    {"mount", [] { return static_cast<long>(::mount("none", "/", "tmpfs", 0, nullptr)); }},
    {"unshare", [] { return static_cast<long>(::unshare(CLONE_NEWUSER)); }, {May::start_commands}},
    // other processes
    {"ptrace", [] { return ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr); }},
    {"read another's memory",
     [] {
         char octet;
         const iovec here{&octet, 1}, there{reinterpret_cast<void*>(&opened), 1};
         return static_cast<long>(::process_vm_readv(::getppid(), &here, 1, &there, 1, 0));
     }},
    {"signal", [] { return static_cast<long>(::kill(::getppid(), 0)); }, {May::start_commands}},
    {"dumpable", [] { return static_cast<long>(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }, {May::start_commands}},
    // the network
    {"internet socket",
     [] { return opened(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); },
     {May::connect, May::resolve, May::listen, May::start_commands}},
    {"raw socket", [] { return opened(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1)); }},
    // the kernel's rarer doors
    {"bpf", [] { return static_cast<long>(::syscall(SYS_bpf, 0, nullptr, 0)); }},
    {"io_uring", [] { return static_cast<long>(::syscall(SYS_io_uring_setup, 1, nullptr)); }},
    {"executable memory",
     [] {
         void* const made = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return made == MAP_FAILED ? -1L : static_cast<long>(::munmap(made, 4096));
     },
     {May::compile, May::start_commands}},
    // a program: last, because the one that succeeds tells no more
    {"fork",
     [] {
         const pid_t child = ::fork();
         if (child == 0)
             ::_exit(0);
         return static_cast<long>(child);
     },
     {May::start_commands}},
    {"execve",
     [] {
         char* const words[] = {const_cast<char*>("/bin/true"), nullptr};
         return static_cast<long>(::execve("/bin/true", words, nullptr));
     },
     {May::start_commands}},
};

}  // namespace

void report_refusals(Fd to, Powers powers)
{
    const auto say = [&](const std::string& line) { (void)!::write(to.get(), line.data(), line.size()); };
    for (const Try& one : tries) {
        if (powers.any(one.granted_to)) {
            say(fmt::format("{}\tgranted\n", one.what));
            continue;
        }
        say(fmt::format("{}\t", one.what));
        errno = 0;
        const long result = one.attempt();
        say(result < 0 ? errno_text(errno) + "\n" : "allowed\n");
    }
    say("end\n");
    char octet;
    (void)!::read(to.get(), &octet, 1);
    ::_exit(0);
}

}  // namespace posthorn::process
