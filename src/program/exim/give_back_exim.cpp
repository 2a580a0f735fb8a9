#include "exim/give_back_exim.hpp"

#include "base/fd.hpp"
#include "exim/exim_lives.hpp"
#include "exim/spool_message.hpp"
#include "exim/spool_writer.hpp"
#include "handoff/queue_id.hpp"
#include "message/header.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>

namespace posthorn::exim {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t header_limit = 1 << 20;
constexpr unsigned choices = 3844;

class EximTarget final : public migrate::Target {
public:
    explicit EximTarget(std::string spool) : spool_(std::move(spool)), input_(spool_ + "/input") {}

    const std::string& directory() const override { return spool_; }

    Result<void> prepare() override
    {
        if (::stat(input_.c_str(), &theirs_) != 0)
            return system_error("open " + input_, errno);
        const struct passwd* user = ::getpwuid(theirs_.st_uid);
        owner_ = {user ? user->pw_name : std::to_string(theirs_.st_uid), theirs_.st_uid, theirs_.st_gid};
        return {};
    }

    Result<void> build(const handoff::Envelope& envelope, bool hold, spool::ContentReader& content, const std::string& path) override
    {
        TRY(const std::string id, free_id(envelope));
        TRY_VOID(migrate::make_folder(path));
        const std::string data = fmt::format("{}/{}-D", path, id), head = fmt::format("{}/{}-H", path, id);
        TRY(const Fd file, create(data));
        TRY_VOID(migrate::write_all(file.get(), id + "-D\n", data));
        BodyWriter body;
        std::string header;
        bool in_header = true;
        const auto give = [&](std::string_view octets) { return migrate::write_all(file.get(), body.content(octets), data); };
        const auto end_header = [&](bool all) -> Result<void> {
            const message::HeaderWalk walk = message::walk_to_end(header);
            if (walk.end() == message::HeaderEnd::content_end && !all)
                return Error{fmt::format("its header is larger than {} octets", header_limit)};
            in_header = false;
            const std::string rest = header.substr(walk.body_offset());
            header.resize(walk.header_size());
            return give(rest);
        };
        TRY_VOID(migrate::each_piece(content, [&](std::string_view piece) -> Result<void> {
            if (!in_header)
                return give(piece);
            header += piece;
            return header.size() < header_limit ? Result<void>{} : end_header(header.size() == content.size());
        }));
        if (in_header)
            TRY_VOID(end_header(true));
        TRY_VOID(migrate::write_all(file.get(), body.end(), data));
        TRY_VOID(finish(file, data));
        TRY(const std::string octets, spool_head(id, owner_, envelope, header, body, hold ? ::time(nullptr) : 0));
        TRY(const Fd other, create(head));
        TRY_VOID(migrate::write_all(other.get(), octets, head));
        TRY_VOID(finish(other, head));
        return migrate::sync_folder(path);
    }

    /// -H last: Exim knows a message by it.
    Result<std::string> place(const std::string& path, bool hold) override
    {
        std::string head, data;
        std::error_code failed;
        for (const fs::directory_entry& entry : fs::directory_iterator(path, failed)) {
            const std::string name = entry.path().filename().string();
            if (name.ends_with("-H"))
                head = name;
            else if (name.ends_with("-D"))
                data = name;
        }
        if (failed)
            return Error{fmt::format("read {}: {}", path, failed.message())};
        for (const std::string& name : {data, head})
            if (!name.empty())
                TRY_VOID(put(path + "/" + name, input_ + "/" + name));
        if (::rmdir(path.c_str()) != 0)
            return system_error("remove " + path, errno);
        return std::string(hold ? "frozen" : "input");
    }

    Result<void> sync() override { return migrate::sync_folder(input_); }

private:
    Result<std::string> free_id(const handoff::Envelope& envelope) const
    {
        const auto sequence = handoff::queue_id_sequence(envelope.queue_id());
        for (unsigned choice = 0; sequence && choice < choices; ++choice) {
            std::string id = message_id(envelope.arrival() / 1'000'000, *sequence, choice);
            std::error_code ignored;
            bool taken = false;
            for (const std::string& folder : {input_, fmt::format("{}/{}", input_, id[5])})
                for (const char* end : {"-H", "-D", "-J"})
                    taken = taken || fs::exists(folder + "/" + id + end, ignored);
            if (!taken)
                return id;
        }
        return Error{"no name in Exim's spool is free for it"};
    }

    static Result<Fd> create(const std::string& path)
    {
        Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file)
            return system_error("create " + path, errno);
        return file;
    }
    Result<void> finish(const Fd& file, const std::string& path) const
    {
        if (::geteuid() == 0 && ::fchown(file.get(), theirs_.st_uid, theirs_.st_gid) != 0)
            return system_error("set the owner of " + path, errno);
        if (::fchmod(file.get(), 0640) != 0 || ::fsync(file.get()) != 0)
            return system_error("write " + path, errno);
        return {};
    }
    static Result<void> put(const std::string& from, const std::string& to)
    {
        struct stat there{};
        if (::lstat(to.c_str(), &there) == 0)
            return Error{fmt::format("{} is in the way", to)};
        if (::rename(from.c_str(), to.c_str()) != 0)
            return system_error(fmt::format("rename {} to {}", from, to), errno);
        return {};
    }

    std::string spool_, input_;
    Owner owner_;
    struct stat theirs_{};
};

}  // namespace

Result<migrate::Taken> give_back_queue(const config::Snapshot& snapshot, const std::string& spool, const migrate::Step& step)
{
    if (const auto process = exim_on(spool))
        return Error{fmt::format("an Exim works on {} (process {}): stop it first", spool, *process)};
    EximTarget target(spool);
    return migrate::move_out(snapshot, target, step);
}

}  // namespace posthorn::exim
