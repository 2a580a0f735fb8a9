#include "spool/incoming.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace posthorn::spool {

namespace {

Error failure(int error_number)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
    return Error{full ? "insufficient system storage" : "queue file write error", full ? "4.3.1" : "4.3.0"}.after(errno_text(error_number));
}

std::string spare_name(unsigned number) { return fmt::format("{}/spare-{}", incoming_folder, number % spare_files); }

// Where the next spare is looked for first, and where the next is put: hints, that of another process may be ahead.
std::atomic<unsigned> next_taken, next_kept;

bool take_spare(FileOps& files, const std::string& name, std::unique_ptr<File>& file)
{
    const unsigned first = next_taken.load(std::memory_order_relaxed);
    for (unsigned i = 0; i < spare_files; ++i)
        if (const int error = files.take_spare(spare_name(first + i), name, file); error == 0) {
            next_taken.store(first + i + 1, std::memory_order_relaxed);
            return true;
        } else if (error != ENOENT && error != EAGAIN) {
            return false;
        }
    return false;
}

}  // namespace

void retire(FileOps& files, std::string_view name)
{
    const unsigned number = next_kept.load(std::memory_order_relaxed);
    if (files.set_aside(name, spare_name(number), spare_octets) == 0)
        next_kept.store(number + 1, std::memory_order_relaxed);
    else
        files.remove(name);                // what a crash or an error leaves is swept as an orphan
}

void remove_spares(FileOps& files)
{
    for (unsigned i = 0; i < spare_files; ++i)
        files.remove(spare_name(i));
}

Result<IncomingFile> IncomingFile::create(FileOps& files, std::string queue_id)
{
    std::string name = incoming_name(queue_id);
    std::unique_ptr<File> file;
    const bool spare = take_spare(files, name, file);
    if (const int error = spare ? 0 : files.open(name, Open::create_new, file))
        return failure(error);
    IncomingFile incoming(files, std::move(name), std::move(file));
    incoming.spare_ = spare;
    if (const int error = spare ? 0 : incoming.file_->lock())
        return failure(error);
    return incoming;
}

IncomingFile::IncomingFile(FileOps& files, std::string name, std::unique_ptr<File> file)
    : files_(&files), name_(name.substr(incoming_folder.size() + 1)), file_(std::move(file))
{
}

IncomingFile::IncomingFile(IncomingFile&& other) noexcept
    : files_(other.files_), name_(std::move(other.name_)), file_(std::move(other.file_)), size_(other.size_), spare_(other.spare_),
      owned_(std::exchange(other.owned_, false))
{
}

IncomingFile::~IncomingFile()
{
    if (owned_)
        files_->remove(incoming_name(name_));  // a leftover is swept as an orphan
}

Result<void> IncomingFile::give_up_name()
{
    if (!std::exchange(owned_, false))
        return {};
    if (const int error = files_->remove(incoming_name(name_)))
        return failure(error);
    return {};
}

Result<void> IncomingFile::append(std::string_view octets)
{
    if (const int error = file_->write(size_, octets))
        return failure(error);
    size_ += octets.size();
    return {};
}

Result<std::string> IncomingFile::read(std::uint64_t offset, std::size_t most) const
{
    std::string octets(offset < size_ ? std::min<std::uint64_t>(most, size_ - offset) : 0, '\0');
    std::size_t got = 0;
    if (const int error = file_->read(offset, octets, got))
        return failure(error);
    octets.resize(got);
    return octets;
}

Result<void> IncomingFile::sync()
{
    TRY_VOID(sync_octets());
    return FolderSync(*files_).sync();
}

Result<void> IncomingFile::sync_octets()
{
    if (spare_) {                          // its length is the message's, and nothing of another's is behind it
        std::uint64_t there = 0;
        int error = file_->size(there);
        if (!error && there > size_)
            error = file_->truncate(size_);
        if (error)
            return failure(error);
    }
    if (const int error = file_->sync())
        return failure(error);
    return {};
}

Result<void> FolderSync::sync()
{
    std::unique_lock lock(mutex_);
    if (!next_)
        next_ = std::make_shared<Round>();
    const std::shared_ptr<Round> mine = next_;
    ended_.wait(lock, [&] { return mine->done || !running_; });
    if (!mine->done) {                      // the first of its round that finds none running does it for all
        running_ = true;
        next_.reset();                      // who asks from here on came after it began
        lock.unlock();
        const int error = files_.sync_folder(incoming_folder);
        lock.lock();
        mine->error = error;
        mine->done = true;
        running_ = false;
        ended_.notify_all();
    }
    if (mine->error != 0)
        return failure(mine->error);
    return {};
}

}  // namespace posthorn::spool
