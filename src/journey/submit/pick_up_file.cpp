#include "submit/pick_up.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::submit {

Result<handoff::Envelope> pick_up(int descriptor, PickUpLimits limits, std::function<Result<void>(std::string_view)> content)
{
    struct stat about{};
    if (::fstat(descriptor, &about) != 0)
        return system_error("stat maildrop file", errno);
    if (!S_ISREG(about.st_mode))
        return Error{"not a regular file"};
    if (about.st_nlink != 1)
        return Error{"the file has more than one name"};           // somebody keeps a hold of it
    using namespace std::chrono;
    const WallTime arrival{seconds(about.st_mtim.tv_sec) + microseconds(about.st_mtim.tv_nsec / 1000)};
    PickUp reader(limits, {about.st_uid, arrival}, std::move(content));
    char buffer[65536];
    for (;;) {
        const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return Error{system_error("read maildrop file", errno).what(), "4.3.0"};
        if (count == 0)
            return reader.finish();
        TRY_VOID(reader.feed({buffer, static_cast<std::size_t>(count)}));
    }
}

}  // namespace posthorn::submit
