// deliver/mailbox_lock.hpp: the exclusive use of a mailbox file, by the methods of mailbox_delivery_lock.            postlock(1)
// Order    "FILE.lock" first, and the file is opened (and made, mode 0600) behind it; then flock, then fcntl.
// Waiting  `attempts` times with `pause` between; a "FILE.lock" older than `stale` goes.
// Errors   "open file F: unable to create lock file F.lock: File exists", "open file F: unable to lock for exclusive access: ...".
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace posthorn::deliver {

struct LockManner {
    bool flock = false, fcntl = false, dotlock = false;
    bool dotlock_may_fail = false;           // where its folder takes no new file: it is done without. Not where another has it
    int attempts = 20;
    std::chrono::seconds pause{1}, stale{500};
    /// Words separated by comma or space; Error: unknown mailbox_delivery_lock value "W" in "LIST".
    Result<void> read(std::string_view methods);
};

class MailboxLock {
public:
    /// `flags`: further ones of open(2).
    static Result<MailboxLock> take(const std::string& path, const LockManner& manner, int flags = 0);
    /// Open for reading and appending; closed with the lock.
    int file() const { return file_.get(); }
    MailboxLock(MailboxLock&& other) noexcept : file_(std::move(other.file_)), dotlock_(std::move(other.dotlock_)) { other.dotlock_.clear(); }
    MailboxLock& operator=(MailboxLock&&) = delete;
    ~MailboxLock();

private:
    MailboxLock() = default;
    Fd file_;
    std::string dotlock_;                  // to be removed
};

}  // namespace posthorn::deliver
