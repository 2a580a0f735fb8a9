#include "deliver/mailbox.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace posthorn::deliver {

namespace {

/// Writes the message as it is to stand there; 0 or errno, and what it was about.
class Writer {
public:
    Writer(int file, std::uint64_t before, std::uint64_t limit) : file_(file), size_(before), limit_(limit) {}

    /// `out`: what goes in front.
    Result<void> write(const MailboxJob& job, const Message& message, std::string out = {})
    {
        Written written(job.how, job.names);
        std::string room(64 * 1024, '\0');
        written.head(out);
        for (std::uint64_t at = 0;;) {
            TRY(const std::size_t got, message.read(at, room));
            if (got == 0)
                break;
            at += got;
            written.feed(std::string_view(room).substr(0, got), out);
            if (out.size() >= room.size())
                TRY_VOID(put(out));
        }
        written.end(out);
        return put(out);
    }
    int trouble() const { return trouble_; }

private:
    Result<void> put(std::string& out)
    {
        if (limit_ != 0 && size_ + out.size() > limit_)
            return failed(EFBIG);
        for (std::string_view rest = out; !rest.empty();) {
            const ssize_t written = ::write(file_, rest.data(), rest.size());
            if (written < 0 && errno != EINTR)
                return failed(errno);
            if (written > 0)
                rest.remove_prefix(static_cast<std::size_t>(written));
        }
        size_ += out.size();
        out.clear();
        return {};
    }
    Error failed(int error)
    {
        trouble_ = error;
        return Error{errno_text(error)};
    }

    int file_;
    std::uint64_t size_, limit_;
    int trouble_ = 0;
};

/// Of the system's troubles only a mailbox that is full is the mail's.
Fate failed(int trouble, std::string text)
{
    const bool full = trouble == EFBIG || trouble == EDQUOT;
    return full ? Fate::bounced("5.2.2", std::move(text)) : Fate::deferred(trouble == ENOSPC ? "4.3.1" : "4.2.0", std::move(text));
}

int sync_folder(const std::string& path)
{
    const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return folder && ::fsync(folder.get()) == 0 ? 0 : errno;
}

/// Made with its parents; what is there stays as it is. 0 or errno.
int make_folder(const std::string& path)
{
    if (::mkdir(path.c_str(), 0700) == 0)
        return sync_folder(path.substr(0, path.find_last_of('/') + 1));
    if (errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return errno;
    const std::size_t slash = path.find_last_of('/');
    if (slash == path.npos || slash == 0)
        return ENOENT;
    if (const int trouble = make_folder(path.substr(0, slash)); trouble != 0)
        return trouble;
    return ::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST ? sync_folder(path.substr(0, slash + 1)) : errno;
}

int make_maildir(const std::string& path)
{
    for (const char* sub : {"tmp", "new", "cur"})
        if (const int trouble = make_folder(path + sub); trouble != 0)
            return trouble;
    return 0;
}

/// To a name that nobody has; 0 or errno. NFS and others cannot rename in that manner: there it has both names for a moment.
int move_to(const std::string& from, const std::string& to)
{
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (::link(from.c_str(), to.c_str()) != 0)
        return errno;
    ::unlink(from.c_str());
    return 0;
}

Fate into_maildir(const MailboxJob& job, const Message& message)
{
    const auto refuse = [&](int trouble, std::string_view what) {
        return failed(trouble, fmt::format("maildir delivery failed: {}: {}", what, errno_text(trouble)));
    };
    timeval now{};
    ::gettimeofday(&now, nullptr);
    // This process makes one delivery, so its number is name enough.
    const std::string temporary = fmt::format("{}tmp/{}.P{}.{}", job.path, now.tv_sec, ::getpid(), job.host);
    const auto create = [&] { return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); };
    Fd file(create());
    if (!file && errno == ENOENT) {
        if (const int trouble = make_maildir(job.path); trouble != 0)
            return refuse(trouble, fmt::format("create maildir {}", job.path));
        file.reset(create());
    }
    if (!file)
        return refuse(errno, fmt::format("create maildir file {}", temporary));
    const auto give_up = [&](Fate fate) {
        ::unlink(temporary.c_str());
        return fate;
    };
    Writer writer(file.get(), 0, job.size_limit);
    if (const auto written = writer.write(job, message); !written)
        return give_up(failed(writer.trouble(), fmt::format("maildir delivery failed: write {}: {}", temporary, written.error().text())));
    struct stat about{};
    if (::fsync(file.get()) != 0 || ::fstat(file.get(), &about) != 0)
        return give_up(refuse(errno, fmt::format("write {}", temporary)));
    const std::string name = fmt::format("{}new/{}.V{:x}I{:x}M{}.{}", job.path, now.tv_sec, about.st_dev, about.st_ino, now.tv_usec, job.host);
    int trouble = move_to(temporary, name);
    if (trouble == ENOENT && make_maildir(job.path) == 0)
        trouble = move_to(temporary, name);
    if (trouble != 0)
        return give_up(refuse(trouble, fmt::format("rename {} to {}", temporary, name)));
    if (const int unsynced = sync_folder(job.path + "new"); unsynced != 0) {
        ::unlink(name.c_str());
        return refuse(unsynced, fmt::format("sync {}new", job.path));
    }
    return Fate::delivered("delivered to maildir");
}

/// Whether anybody hears it changes nothing.
void tell_biff(const MailboxJob& job, std::uint64_t offset)
{
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return;
    const std::string text = fmt::format("{}@{}", job.owner, offset);
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(job.biff_port);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)!::sendto(socket.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&there), sizeof there);
}

Fate into_file(const MailboxJob& job, const Message& message)
{
    const std::string success = job.success_file.empty() ? "delivered to mailbox" : "delivered to file: " + job.success_file;
    const auto refuse = [&](int trouble, std::string_view text) {
        return failed(trouble, fmt::format("cannot update mailbox {} for user {}. {}", job.path, job.owner, text));
    };
    struct stat about{};
    const bool is_new = ::stat(job.path.c_str(), &about) != 0 && errno == ENOENT;
    if (!is_new && about.st_mode != 0 && !S_ISREG(about.st_mode)) {
        if (!S_ISCHR(about.st_mode))
            return Fate::deferred("4.2.0",
                                  fmt::format("cannot update mailbox {} for user {}. destination is not a regular file", job.path, job.owner));
        // Of a mailbox's name, others may have made a link to one.
        const int follow = job.success_file.empty() ? O_NOFOLLOW : 0;
        const Fd device(::open(job.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | follow));
        if (!device)
            return refuse(errno, errno_text(errno));
        Writer writer(device.get(), 0, 0);
        if (const auto written = writer.write(job, message); !written)
            return refuse(writer.trouble(), written.error().text());
        return Fate::delivered(success);
    }
    LockManner manner = job.lock;
    manner.dotlock_may_fail = !job.success_file.empty();           // the file alone may be theirs, in a folder of others
    const auto lock = MailboxLock::take(job.path, manner, O_NOFOLLOW);
    if (!lock)
        return refuse(EAGAIN, lock.error().text());
    const int file = lock->file();
    if (::fstat(file, &about) != 0)
        return refuse(errno, errno_text(errno));
    // While the lock was waited for, who had it may have put another file in its place: what is written into this one nobody would read.
    if (!S_ISREG(about.st_mode) || about.st_nlink != 1)
        return refuse(EAGAIN, "destination is gone, has more than one name, or is not a regular file");
    if (job.strict_ownership && about.st_uid != ::geteuid())
        return refuse(EAGAIN, "destination is not owned by recipient");
    // What is mailed to it would be executed.
    if (!job.success_file.empty() && (about.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0)
        return Fate::bounced("5.7.1", fmt::format("cannot update mailbox {} for user {}. file is executable", job.path, job.owner));
    const auto before = static_cast<std::uint64_t>(about.st_size);
    Writer writer(file, before, job.size_limit);
    // A machine or a process that ended at the wrong moment left half a message: this one would become a part of it.
    char last = '\n';
    const bool torn = job.how.from_line && before > 0 && ::pread(file, &last, 1, about.st_size - 1) == 1 && last != '\n';
    const auto written = writer.write(job, message, torn ? "\n\n" : "");
    if (!written || ::fsync(file) != 0) {
        const int trouble = written ? errno : writer.trouble();
        const std::string text = written ? errno_text(trouble) : written.error().text();
        if (::ftruncate(file, about.st_size) != 0)
            return refuse(trouble, fmt::format("{}; and it cannot be cut back to {} octets: {}", text, before, errno_text(errno)));
        return refuse(trouble, text);
    }
    if (is_new)
        if (const int trouble = sync_folder(job.path.substr(0, job.path.find_last_of('/') + 1)); trouble != 0 && trouble != EACCES) {
            (void)!::ftruncate(file, about.st_size);
            return refuse(trouble, errno_text(trouble));
        }
    if (job.biff_port != 0)
        tell_biff(job, before);
    return Fate::delivered(success);
}

}  // namespace

std::string waits_for(const MailboxJob& job)
{
    return fmt::format("the {} {}", job.path.ends_with('/') ? "maildir" : "mailbox and its lock,", printable(job.path));
}

Fate deliver_to_mailbox(const MailboxJob& job, const Message& message)
{
    return job.path.ends_with('/') ? into_maildir(job, message) : into_file(job, message);
}

}  // namespace posthorn::deliver
