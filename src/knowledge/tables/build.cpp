#include "tables/build.hpp"

#include "base/fd.hpp"
#include "tables/build_file.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace posthorn::tables {

namespace {

Result<void> finish(int fd, const std::string& made, const std::string& path, const BuildOptions& options)
{
    if (::fchmod(fd, options.mode) != 0)
        return system_error("chmod " + made, errno);
    if ((options.owner != static_cast<::uid_t>(-1) || options.group != static_cast<::gid_t>(-1)) && ::geteuid() == 0 &&
        ::fchown(fd, options.owner, options.group) != 0)
        return system_error("chown " + made, errno);
    if (::fsync(fd) != 0)
        return system_error("fsync " + made, errno);
    if (::rename(made.c_str(), path.c_str()) != 0)
        return system_error("rename to " + path, errno);
    const std::size_t slash = path.rfind('/');
    const Fd folder{::open(slash == path.npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder || ::fsync(folder.get()) != 0)
        return system_error("fsync the folder of " + path, errno);
    return {};
}

}  // namespace

Result<Builder::Done> replace_file(const std::string& path, const BuildOptions& options,
                                   const std::function<Result<Builder::Done>(const std::string& made, int fd)>& write)
{
    std::string made = path + ".XXXXXX";
    const Fd fd{::mkstemp(made.data())};
    if (!fd)
        return system_error("create " + made, errno);
    auto done = write(made, fd.get());
    const auto finished = done ? finish(fd.get(), made, path, options) : Result<void>{done.error()};
    if (!finished) {
        ::unlink(made.c_str());
        return finished.error();
    }
    return done;
}

Result<std::unique_ptr<Builder>> build(std::string_view type, const std::string& name, const BuildOptions& options)
{
    if (type == "lmdb")
        return build_lmdb(name, options);
    if (type == "hash" || type == "btree")
        return build_berkeley(type, name, options);
    if (type == "cdb" && !options.incremental)
        return build_cdb(name, options);
    const auto known = kinds();
    if (std::ranges::find(known, type) == known.end())
        return Error{fmt::format("unsupported dictionary type: {}", type)};
    if (options.incremental)
        return Error{fmt::format("{}:{} map requires O_RDONLY access mode", type, name)};
    return Error{fmt::format("unsupported dictionary type: {} does not support bulk-mode creation.", type)};
}

}  // namespace posthorn::tables
