#include "exim/take_over_exim.hpp"

#include "base/fd.hpp"
#include "exim/exim_lives.hpp"
#include "exim/spool_message.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

namespace posthorn::exim {

namespace fs = std::filesystem;
using migrate::Found;
using migrate::Original;
using migrate::TakeContent;
using migrate::Trouble;
using migrate::Whereabouts;

namespace {

constexpr std::string_view main_queue = "input", named_prefix = "queue-";

bool is_there(const std::string& path)
{
    struct stat about{};
    return ::lstat(path.c_str(), &about) == 0;
}

bool same_file(const std::string& one, const std::string& other)
{
    struct stat a{}, b{};
    return ::lstat(one.c_str(), &a) == 0 && ::lstat(other.c_str(), &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

Result<std::string> file_octets(const std::string& path)
{
    TRY(migrate::FileRead read, migrate::read_regular_file(path));
    return std::move(read.octets);
}

Result<void> remove_file(const std::string& path)
{
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return system_error("remove " + path, errno);
    return {};
}

Result<void> rename_file(const std::string& from, const std::string& to)
{
    if (::rename(from.c_str(), to.c_str()) != 0)
        return system_error(fmt::format("rename {} to {}", from, to), errno);
    return {};
}

Result<void> write_durably(const std::string& path, std::string_view octets)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        return system_error("create " + path, errno);
    TRY_VOID(migrate::write_all(file.get(), octets, path));
    if (::fsync(file.get()) != 0)
        return system_error("write " + path, errno);
    return {};
}

/// What a message is called in its queue.
struct Names {
    std::string head, data, journal, log;

    /// `folder`: of its -H; `queue`: above input/ and msglog/, for which Exim has the same folders of one letter.
    Names(const std::string& folder, const std::string& queue, const std::string& id)
        : head(fmt::format("{}/{}-H", folder, id)), data(fmt::format("{}/{}-D", folder, id)), journal(fmt::format("{}/{}-J", folder, id))
    {
        const std::string flat = fmt::format("{}/msglog/{}", queue, id), split = fmt::format("{}/msglog/{}/{}", queue, id[5], id);
        log = is_there(split) ? split : flat;
    }
};

class EximQueue final : public migrate::Source {
public:
    explicit EximQueue(std::string spool) : spool_(std::move(spool)) {}

    /// Nobody else does the same on this spool as long as this lives.
    Result<void> lock()
    {
        const std::string kept = spool_ + "/posthorn-taken";
        TRY_VOID(migrate::make_folder(kept));
        run_ = Fd(::open(kept.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!run_)
            return system_error("open " + kept, errno);
        if (::flock(run_.get(), LOCK_EX | LOCK_NB) != 0)
            return Error{fmt::format("another run works on {}", spool_)};
        return {};
    }

    const std::string& directory() const override { return spool_; }

    Result<std::vector<std::string>> queues() override
    {
        std::vector<std::string> found{std::string(main_queue)};
        std::error_code failed;
        for (const fs::directory_entry& entry : fs::directory_iterator(spool_, failed)) {
            const std::string name = entry.path().filename().string();
            std::error_code ignored;
            // '+' is between the words of a link's name.
            if (name.find('+') == name.npos && name != "posthorn-taken" && fs::is_directory(entry.path() / "input", ignored))
                found.push_back(std::string(named_prefix) + name);
        }
        if (failed)
            return Error{fmt::format("read {}: {}", spool_, failed.message())};
        std::ranges::sort(found.begin() + 1, found.end());
        return found;
    }

    Result<std::vector<Found>> messages(const std::string& queue, std::vector<Trouble>& troubles) override
    {
        std::vector<Found> found;
        const std::string input = above(queue) + "/input";
        TRY(const auto flat, names_in(input));
        for (const std::string& name : flat) {
            TRY_VOID(look_at(queue, input, name, {}, found, troubles));
            if (name.size() != 1)
                continue;
            TRY(const auto split, names_in(input + "/" + name));
            for (const std::string& one : split)
                TRY_VOID(look_at(queue, input + "/" + name, one, name[0], found, troubles));
        }
        std::ranges::sort(found, {}, &Found::name);
        return found;
    }

    Result<Original> read(const Found& message, const std::string& link, const TakeContent& content) override
    {
        const bool in_queue = link.empty();
        const Names names = in_queue ? names_of(message) : Names(link, link, message.name);
        if (in_queue)
            TRY_VOID(lock_data(message.name, names.data));
        auto read = read_files(message.name, names, in_queue ? names.log : link + "/msglog", content);
        if (!read && in_queue)
            locks_.erase(message.name);
        return read;
    }

    Result<void> link(const Found& message, const std::string& link) override
    {
        // Built beside, whole or not at all.
        const std::string folder = spool_ + "/posthorn-taken/new";
        std::error_code failed;
        fs::remove_all(folder, failed);
        TRY_VOID(migrate::make_folder(folder));
        const Names names = names_of(message);
        TRY_VOID(link_file(names.head, fmt::format("{}/{}-H", folder, message.name)));
        TRY_VOID(link_file(names.data, fmt::format("{}/{}-D", folder, message.name)));
        if (is_there(names.log))
            TRY_VOID(link_file(names.log, folder + "/msglog"));
        if (is_there(names.journal)) {
            TRY(const std::string octets, file_octets(names.journal));
            TRY_VOID(write_durably(fmt::format("{}/{}-J", folder, message.name), octets));
        }
        TRY_VOID(migrate::sync_folder(folder));
        return rename_file(folder, link);
    }

    Result<void> take_out(const Found& message, const std::string& link, std::vector<std::string>& folders) override
    {
        const Names names = names_of(message);
        const std::string left = link + "/left";
        if (!is_there(left))
            TRY_VOID(rename_file(names.head, left));
        if (is_there(names.journal))
            TRY_VOID(rename_file(names.journal, fmt::format("{}/{}-J", link, message.name)));
        if (same_file(names.data, fmt::format("{}/{}-D", link, message.name)))
            TRY_VOID(remove_file(names.data));
        if (same_file(names.log, link + "/msglog"))
            TRY_VOID(remove_file(names.log));
        folders.push_back(link);
        folders.push_back(fs::path(names.head).parent_path().string());
        locks_.erase(message.name);
        return {};
    }

    Result<Whereabouts> look(const Found& message, const std::string& link) override
    {
        if (is_there(link + "/left"))
            return Whereabouts{Whereabouts::State::taken_out, {}};
        const Names names = names_of(message);
        if (is_there(names.data))
            TRY_VOID(lock_data(message.name, names.data));
        const std::string copy = fmt::format("{}/{}-J", link, message.name);
        TRY(const std::string theirs, journal_text(names.journal));
        TRY(const std::string kept, journal_text(copy));
        if (same_file(names.head, fmt::format("{}/{}-H", link, message.name)) && theirs == kept)
            return Whereabouts{Whereabouts::State::waiting, names.head};
        locks_.erase(message.name);
        return Whereabouts{Whereabouts::State::withdrawn, {}};
    }

    /// Kept all the same: that Exim was done with it is what its folders say, and a disk may have lost what was in them.
    Result<void> forget(const std::string& link) override
    {
        const std::string folder = spool_ + "/posthorn-taken/withdrawn";
        TRY_VOID(migrate::make_folder(folder));
        TRY_VOID(rename_file(link, folder + "/" + fs::path(link).filename().string()));
        return migrate::sync_folder(folder);
    }

    Result<void> settle(const Found& /*message*/, const std::string& link) override { return remove_file(link + "/left"); }  // -H under a second name

    Result<void> name_the_rest(std::vector<Trouble>& /*troubles*/) override { return {}; }

private:
    /// The folder above input/ and msglog/.
    std::string above(std::string_view queue) const
    {
        return queue == main_queue ? spool_ : fmt::format("{}/{}", spool_, queue.substr(named_prefix.size()));
    }

    /// Exim looks in both places, whatever split_spool_directory says now.
    Names names_of(const Found& message) const
    {
        const std::string queue = above(message.queue), input = queue + "/input", split = fmt::format("{}/{}", input, message.name[5]);
        if (!message.path.empty())
            return {fs::path(message.path).parent_path().string(), queue, message.name};
        const bool is_split = is_there(fmt::format("{}/{}-H", split, message.name)) || is_there(fmt::format("{}/{}-D", split, message.name));
        return {is_split ? split : input, queue, message.name};
    }

    static Result<std::vector<std::string>> names_in(const std::string& folder)
    {
        std::vector<std::string> names;
        std::error_code failed;
        if (!fs::is_directory(folder, failed))
            return names;
        for (const fs::directory_entry& entry : fs::directory_iterator(folder, failed))
            names.push_back(entry.path().filename().string());
        if (failed)
            return Error{fmt::format("read {}: {}", folder, failed.message())};
        std::ranges::sort(names);
        return names;
    }

    Result<void> look_at(const std::string& queue, const std::string& folder, const std::string& name, std::optional<char> letter,
                         std::vector<Found>& found, std::vector<Trouble>& troubles)
    {
        const std::string path = folder + "/" + name, id = name.size() > 2 ? name.substr(0, name.size() - 2) : std::string{};
        if (!is_message_id(id))
            return {};
        if (name.ends_with("-D") && !is_there(folder + "/" + id + "-H"))
            troubles.push_back({path, "has no -H file: it was not finished when Exim stopped, or Exim was done with it"});
        if (!name.ends_with("-H"))
            return {};
        if (letter && *letter != id[5])
            troubles.push_back({path, "Exim does not look for it there"});
        else
            found.push_back({queue, id, path});
        return {};
    }

    /// As Exim does while it works on a message: its first line is locked. Ours is of the file as it was opened, so that reading it elsewhere does not undo it.
    Result<void> lock_data(const std::string& id, const std::string& path)
    {
        if (locks_.contains(id))
            return {};
        Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!file)
            return system_error("open " + path, errno);
        struct flock lock{};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_len = static_cast<off_t>(id.size()) + 3;
        if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0)
            return errno == EAGAIN || errno == EACCES ? Error{"an Exim works on it now"} : system_error("lock " + path, errno);
        locks_.emplace(id, std::move(file));
        return {};
    }

    static Result<void> link_file(const std::string& from, const std::string& to)
    {
        if (::link(from.c_str(), to.c_str()) != 0)
            return system_error(fmt::format("link {} to {}", from, to), errno);
        return {};
    }

    /// None where there is none.
    static Result<std::string> journal_text(const std::string& path)
    {
        if (!is_there(path))
            return std::string{};
        return file_octets(path);
    }

    static Result<Original> read_files(const std::string& id, const Names& names, const std::string& log, const TakeContent& content)
    {
        TRY(const std::string head, file_octets(names.head));
        TRY(const std::string data, file_octets(names.data));
        std::string journal, history;
        if (is_there(names.journal)) {
            TRY(journal, file_octets(names.journal));
        }
        if (is_there(log)) {
            TRY(history, file_octets(log));
        }
        TRY(SpoolMessage read, read_spool_message(id, {.head = head, .data = data, .journal = journal, .log = history}, content));
        Original original;
        original.envelope = std::move(read.envelope);
        original.done = read.done;
        original.hold = read.frozen;
        return original;
    }

    std::string spool_;
    Fd run_;
    std::map<std::string, Fd> locks_;  // by message
};

}  // namespace

Result<migrate::Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& spool, const migrate::Step& step)
{
    if (const auto process = exim_on(spool))
        return Error{fmt::format("an Exim works on {} (process {}): stop it first", spool, *process)};
    EximQueue queue(spool);
    TRY_VOID(queue.lock());
    return migrate::move_in(snapshot, queue, step);
}

}  // namespace posthorn::exim
