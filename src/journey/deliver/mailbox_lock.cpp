#include "deliver/mailbox_lock.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <thread>

namespace posthorn::deliver {

namespace {

/// `attempt` until it succeeds: errno of the last failure, 0 when it did.
template <class Attempt>
int keep_trying(const LockManner& manner, Attempt attempt)
{
    for (int tries = 1;; ++tries) {
        const int trouble = attempt();
        if (trouble == 0 || tries >= manner.attempts || (trouble != EEXIST && trouble != EAGAIN && trouble != EACCES && trouble != EINTR))
            return trouble;
        std::this_thread::sleep_for(manner.pause);
    }
}

int make_dotlock(const std::string& path, std::chrono::seconds stale)
{
    const Fd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (made)
        return 0;
    const int trouble = errno;
    struct stat about{};
    if (trouble == EEXIST && ::stat(path.c_str(), &about) == 0 && ::time(nullptr) - about.st_ctime > stale.count())
        ::unlink(path.c_str());            // whoever made it is gone; the next attempt takes it
    return trouble;
}

}  // namespace

Result<void> LockManner::read(std::string_view methods)
{
    flock = fcntl = dotlock = false;
    for (const std::string_view word : split(methods, ", \t\r\n")) {
        if (word == "flock")
            flock = true;
        else if (word == "fcntl")
            fcntl = true;
        else if (word == "dotlock")
            dotlock = true;
        else
            return Error{fmt::format("unknown mailbox_delivery_lock value \"{}\" in \"{}\"", printable(word), printable(methods))};
    }
    return {};
}

Result<MailboxLock> MailboxLock::take(const std::string& path, const LockManner& manner, int flags)
{
    const auto failed = [&](std::string_view what, int trouble) {
        return Error{fmt::format("open file {}: {}: {}", path, what, errno_text(trouble))};
    };
    MailboxLock lock;
    if (manner.dotlock) {
        struct stat about{};
        if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode))
            return failed("cannot open file", EISDIR);
        const std::string name = path + ".lock";
        const int trouble = keep_trying(manner, [&] {
            const int error = make_dotlock(name, manner.stale);
            return error == EACCES && manner.dotlock_may_fail ? EPERM : error;         // it will not be allowed the next time either
        });
        if (trouble == 0)
            lock.dotlock_ = name;
        else if (trouble == EEXIST || !manner.dotlock_may_fail)
            return failed(fmt::format("unable to create lock file {}", name), trouble);
    }
    lock.file_ = Fd(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0600));
    if (!lock.file_)
        return failed("cannot open file", errno);
    const int file = lock.file_.get();
    if (manner.flock)
        if (const int trouble = keep_trying(manner, [&] { return ::flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }); trouble != 0)
            return failed("unable to lock for exclusive access", trouble);
    if (manner.fcntl) {
        struct ::flock whole{};
        whole.l_type = F_WRLCK;
        whole.l_whence = SEEK_SET;
        if (const int trouble = keep_trying(manner, [&] { return ::fcntl(file, F_SETLK, &whole) == 0 ? 0 : errno; }); trouble != 0)
            return failed("unable to lock for exclusive access", trouble);
    }
    return lock;
}

MailboxLock::~MailboxLock()
{
    if (!dotlock_.empty())
        ::unlink(dotlock_.c_str());
}

}  // namespace posthorn::deliver
