#include "migrate/give_back.hpp"

#include "base/fd.hpp"
#include "migrate/queue_file.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace posthorn::migrate {

namespace {

class PostfixTarget final : public Target {
public:
    explicit PostfixTarget(std::string directory) : directory_(std::move(directory)) {}

    const std::string& directory() const override { return directory_; }

    Result<void> prepare() override
    {
        for (const char* folder : {"/incoming", "/hold"})
            TRY_VOID(make_folder(directory_ + folder));
        // Postfix's files belong to its own mail_owner, as its folder does.
        if (::stat((directory_ + "/incoming").c_str(), &theirs_) != 0)
            return system_error("open " + directory_ + "/incoming", errno);
        return {};
    }

    Result<void> build(const handoff::Envelope& envelope, bool /*hold*/, spool::ContentReader& content, const std::string& path) override
    {
        QueueFileWriter writer;
        TRY(const std::string begin, writer.begin(envelope));
        const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file)
            return system_error("create " + path, errno);
        TRY_VOID(write_all(file.get(), begin, path));
        TRY_VOID(each_piece(content, [&](std::string_view piece) { return write_all(file.get(), writer.content(piece), path); }));
        TRY_VOID(write_all(file.get(), writer.end(envelope), path));
        const std::string sizes = writer.sizes();
        if (::pwrite(file.get(), sizes.data(), sizes.size(), 0) != static_cast<ssize_t>(sizes.size()))
            return system_error("write " + path, errno);
        if (::geteuid() == 0 && ::fchown(file.get(), theirs_.st_uid, theirs_.st_gid) != 0)
            return system_error("set the owner of " + path, errno);
        if (::fchmod(file.get(), 0700) != 0 || ::fsync(file.get()) != 0)
            return system_error("write " + path, errno);
        return {};
    }

    Result<std::string> place(const std::string& path, bool hold) override
    {
        std::string queue = hold ? "hold" : "incoming";
        struct stat about{}, there{};
        if (::stat(path.c_str(), &about) != 0)
            return system_error("open " + path, errno);
        // Postfix's short form: it looks whether the inode fits when it starts.
        const std::string to = fmt::format("{}/{}/{:05X}{:X}", directory_, queue, about.st_mtim.tv_nsec / 1000, about.st_ino);
        if (::lstat(to.c_str(), &there) == 0)
            return Error{fmt::format("{} is in the way", to)};
        if (::rename(path.c_str(), to.c_str()) != 0)
            return system_error(fmt::format("rename {} to {}", path, to), errno);
        return queue;
    }

    Result<void> sync() override
    {
        TRY_VOID(sync_folder(directory_ + "/incoming"));
        return sync_folder(directory_ + "/hold");
    }

private:
    std::string directory_;
    struct stat theirs_{};
};

}  // namespace

Result<Taken> give_back_queue(const config::Snapshot& snapshot, const std::string& to, const Step& step)
{
    PostfixTarget target(to);
    return move_out(snapshot, target, step);
}

}  // namespace posthorn::migrate
