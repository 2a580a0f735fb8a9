#include "process/task.hpp"

#include "process/become.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace posthorn::process {

namespace {

/// Behind the answer: it is whole.
constexpr char whole = '.';

void close_all_but(int one, int other)
{
    unsigned from = 3;
    for (const int kept : {std::min(one, other), std::max(one, other)}) {
        if (kept < static_cast<int>(from))
            continue;
        if (static_cast<unsigned>(kept) > from)
            ::syscall(SYS_close_range, from, kept - 1, 0);
        from = static_cast<unsigned>(kept) + 1;
    }
    ::syscall(SYS_close_range, from, ~0U, 0);
}

void say(int to, std::string_view text)
{
    while (!text.empty()) {
        const ssize_t written = ::write(to, text.data(), text.size());
        if (written < 0 && errno != EINTR)
            return;
        if (written > 0)
            text.remove_prefix(static_cast<std::size_t>(written));
    }
}

[[noreturn]] void work(const std::optional<RunAs>& user, const std::function<std::string()>& task, int answer, int keep)
{
    ::setsid();
    close_all_but(answer, keep);
    signals_as_at_first();
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ})
        ::signal(signal, SIG_IGN);
    ::umask(077);
    if (user)
        if (const int error = become_user(*user); error != 0)
            ::_exit(126);
    try {
        say(answer, task() + whole);
    } catch (...) {
        ::_exit(125);                                              // no answer: the starter says so
    }
    ::_exit(0);
}

}  // namespace

Result<RunningTask> start_task(std::optional<RunAs> user, const std::function<std::string()>& task, int keep)
{
    TRY(Forked child, fork_child([&](int said) { work(user, task, said, keep); }));
    return RunningTask{child.pid, std::move(child.process), std::move(child.heard)};
}

Result<std::string> answer_of(std::string_view read)
{
    if (read.empty() || read.back() != whole)
        return Error{"the process that makes the delivery ended before it was done", "4.3.0"};
    return std::string(read.substr(0, read.size() - 1));
}

}  // namespace posthorn::process
