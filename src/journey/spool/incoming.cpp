#include "spool/incoming.hpp"

#include <cerrno>

namespace posthorn::spool {

namespace {

Error failure(int error_number)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
    return Error{full ? "insufficient system storage" : "queue file write error", full ? "4.3.1" : "4.3.0"}.after(errno_text(error_number));
}

}  // namespace

Result<IncomingFile> IncomingFile::create(FileOps& files, std::string queue_id)
{
    std::string name = incoming_name(queue_id);
    std::unique_ptr<File> file;
    if (const int error = files.open(name, Open::create_new, file))
        return failure(error);
    IncomingFile incoming(files, std::move(name), std::move(file));
    if (const int error = incoming.file_->lock())
        return failure(error);
    return incoming;
}

IncomingFile::IncomingFile(FileOps& files, std::string name, std::unique_ptr<File> file)
    : files_(&files), name_(name.substr(incoming_folder.size() + 1)), file_(std::move(file))
{
}

IncomingFile::IncomingFile(IncomingFile&& other) noexcept
    : files_(other.files_), name_(std::move(other.name_)), file_(std::move(other.file_)), size_(other.size_),
      owned_(std::exchange(other.owned_, false))
{
}

IncomingFile::~IncomingFile()
{
    if (owned_)
        files_->remove(incoming_name(name_));  // a leftover is swept as an orphan
}

Result<void> IncomingFile::append(std::string_view octets)
{
    if (const int error = file_->write(size_, octets))
        return failure(error);
    size_ += octets.size();
    return {};
}

Result<void> IncomingFile::sync()
{
    if (const int error = file_->sync())
        return failure(error);
    if (const int error = files_->sync_folder(incoming_folder))
        return failure(error);
    return {};
}

}  // namespace posthorn::spool
