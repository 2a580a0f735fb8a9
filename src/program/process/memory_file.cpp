#include "process/memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::process {

namespace {
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr off_t limit = 64 << 20;
}  // namespace

Result<Fd> make_memory_file(const char* name, std::string_view octets)
{
    Fd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file)
        return system_error("memfd_create", errno);
    for (std::string_view rest = octets; !rest.empty();) {
        const ssize_t count = ::write(file.get(), rest.data(), rest.size());
        if (count <= 0)
            return system_error("write to a memory file", errno);
        rest.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fcntl(file.get(), F_ADD_SEALS, seals) != 0)
        return system_error("seal a memory file", errno);
    return file;
}

Result<std::string> read_memory_file(const Fd& file)
{
    const int found = ::fcntl(file.get(), F_GET_SEALS);
    if (found < 0 || (found & seals) != seals)
        return Error{"memory file is not sealed"};
    struct stat about{};
    if (::fstat(file.get(), &about) != 0 || about.st_size > limit)
        return Error{"memory file is too large"};
    std::string octets(static_cast<std::size_t>(about.st_size), '\0');
    for (std::size_t at = 0; at < octets.size();) {
        const ssize_t count = ::pread(file.get(), octets.data() + at, octets.size() - at, static_cast<off_t>(at));
        if (count <= 0)
            return system_error("read a memory file", errno);
        at += static_cast<std::size_t>(count);
    }
    return octets;
}

}  // namespace posthorn::process
