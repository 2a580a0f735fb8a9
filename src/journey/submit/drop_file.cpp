#include "submit/drop_file.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace posthorn::submit {

namespace {
constexpr std::string_view unfinished = ".new.";

/// The folder's own entry must reach the disk. The group may write the folder but not read it, so it cannot be opened; then the
/// whole file system is synced through the file.
int sync_folder(const std::string& folder, const Fd& file)
{
    const Fd open_folder(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return open_folder ? ::fsync(open_folder.get()) : ::syncfs(file.get());
}
}  // namespace

Result<DropFile> DropFile::create(const std::string& maildrop)
{
    for (int attempt = 0; attempt < 10; ++attempt) {
        std::uint64_t random = 0;
        if (::getrandom(&random, sizeof random, 0) != sizeof random)
            return system_error("getrandom", errno);
        timespec now{};
        ::clock_gettime(CLOCK_REALTIME, &now);
        const std::string name = fmt::format("{:010x}{:05x}.{}.{:016x}", now.tv_sec, now.tv_nsec / 1000, ::getpid(), random);
        std::string temporary = fmt::format("{}/{}{}", maildrop, unfinished, name);
        Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (file)
            return DropFile(maildrop, std::move(temporary), maildrop + "/" + name, std::move(file));
        if (errno != EEXIST)
            return system_error("create file in " + maildrop, errno);
    }
    return Error{"create file in " + maildrop + ": no name is free"};
}

DropFile::DropFile(std::string folder, std::string temporary, std::string final_name, Fd file)
    : folder_(std::move(folder)), temporary_(std::move(temporary)), final_(std::move(final_name)), file_(std::move(file))
{
}

DropFile::DropFile(DropFile&& other) noexcept
    : folder_(std::move(other.folder_)), temporary_(std::exchange(other.temporary_, {})), final_(std::move(other.final_)),
      file_(std::move(other.file_))
{
}

DropFile::~DropFile()
{
    if (!temporary_.empty())
        ::unlink(temporary_.c_str());
}

Result<void> DropFile::write(std::string_view octets)
{
    while (!octets.empty()) {
        const ssize_t count = ::write(file_.get(), octets.data(), octets.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return system_error("write queue file", errno);
        octets.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
}

Result<std::string> DropFile::commit()
{
    if (::fchmod(file_.get(), 0644) != 0 || ::fsync(file_.get()) != 0)
        return system_error("sync queue file", errno);
    if (::rename(temporary_.c_str(), final_.c_str()) != 0)
        return system_error("rename queue file", errno);
    temporary_.clear();
    if (sync_folder(folder_, file_) != 0) {
        // Not certain to last: the caller will try again, so it must not be there twice.
        const int error = errno;
        ::unlink(final_.c_str());
        return system_error("sync " + folder_, error);
    }
    return final_.substr(final_.rfind('/') + 1);
}

bool is_drop_name(std::string_view name)
{
    const auto parts = split_exact(name, '.');
    return parts.size() == 3 && parts[0].size() == 15 && parts[2].size() == 16 && parse_number(parts[1]) &&
           std::ranges::all_of(std::string(parts[0]).append(parts[2]), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool is_unfinished_name(std::string_view name) { return name.starts_with(unfinished) && is_drop_name(name.substr(unfinished.size())); }

void wake(const std::string& socket_path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path)
        return;
    socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        (void)!::send(socket.get(), "W", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace posthorn::submit
