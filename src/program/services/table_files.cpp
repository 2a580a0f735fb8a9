#include "services/table_files.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "tables/table.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace posthorn::services {

std::vector<std::string> files_named(const config::Snapshot& snapshot, std::span<const std::string_view> parameters)
{
    std::set<std::string> files;
    for (const auto& [name, definition] : snapshot.written()) {
        if (!parameters.empty() && std::ranges::find(parameters, name) == parameters.end())
            continue;
        const auto value = snapshot.expand(definition->value);
        if (!value)
            continue;
        for (const std::string_view piece : config::split_grouped(*value)) {
            const std::string_view member = piece.substr(std::min(piece.find_first_not_of('!'), piece.size()));
            for (std::string& file : tables::files_of(member))
                files.insert(std::move(file));
            if (member.starts_with('/'))
                files.emplace(member);
        }
    }
    return {files.begin(), files.end()};
}

namespace {

awaitable<std::map<std::string, Fd, std::less<>>> ask_broker(process::Service& service, std::vector<std::string> paths)
{
    std::map<std::string, Fd, std::less<>> files;
    for (const std::string& path : paths)
        if (auto file = co_await service.open_file(path))
            files.emplace(path, *std::move(file));
    co_return files;
}

Result<tables::FileStamp> stamp_of(int fd, const std::string& path)
{
    struct stat facts{};
    if (::fstat(fd, &facts) != 0)
        return system_error("stat " + path, errno);
    return tables::FileStamp{.device = facts.st_dev,
                             .inode = facts.st_ino,
                             .octets = static_cast<std::uint64_t>(facts.st_size),
                             .modified =
                                 WallTime{std::chrono::seconds{facts.st_mtim.tv_sec} + std::chrono::microseconds{facts.st_mtim.tv_nsec / 1000}}};
}

}  // namespace

std::shared_ptr<TableFiles> TableFiles::fetch(process::Service& service, std::span<const std::string_view> parameters)
{
    auto made = std::make_shared<TableFiles>();
    made->files_ = service.wait(ask_broker(service, files_named(service.config(), parameters)));
    service.on_file_changed([made](const std::string& path, Fd file) { made->changed(path, std::move(file)); });
    return made;
}

void TableFiles::changed(const std::string& path, Fd file)
{
    if (file)
        files_[path] = std::move(file);
    else
        files_.erase(path);
}

Result<Fd> TableFiles::open(const std::string& path)
{
    if (const auto found = files_.find(path); found != files_.end()) {
        // A copy shares the offset; every reader starts at the beginning.
        Fd copy(::dup(found->second.get()));
        if (!copy || ::lseek(copy.get(), 0, SEEK_SET) < 0)
            return system_error("open " + path, errno);
        return copy;
    }
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return system_error("open " + path, errno);
    return file;
}

Result<tables::FileStamp> TableFiles::stamp(const std::string& path)
{
    if (const auto found = files_.find(path); found != files_.end())
        return stamp_of(found->second.get(), path);
    TRY(const Fd file, open(path));
    return stamp_of(file.get(), path);
}

}  // namespace posthorn::services
