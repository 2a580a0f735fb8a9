#include "migrate/give_back.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "handoff/queue_id.hpp"
#include "migrate/queue_file.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/stopped_queue.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

namespace posthorn::migrate {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t page_entries = 64;
constexpr std::string_view ready = ".ready", given = ".given", hold_mark = "-hold";

class GiveBack {
public:
    GiveBack(const config::Snapshot& snapshot, std::string to, StoppedQueue& ours, const Step& step)
        : snapshot_(snapshot), to_(std::move(to)), beside_(to_ + "/posthorn-back"), ours_(ours), step_(step)
    {
    }

    Result<Taken> give()
    {
        taken_.kept_in = to_;
        for (const std::string& folder : {beside_, to_ + "/incoming", to_ + "/hold"})
            TRY_VOID(make_folder(folder));
        // Postfix's files belong to its own mail_owner, as its folder does.
        if (::stat((to_ + "/incoming").c_str(), &theirs_) != 0)
            return system_error("open " + to_ + "/incoming", errno);
        TRY_VOID(finish_earlier_runs());
        for (std::uint64_t after = 0;;) {
            TRY(auto page, ours_.await(ours_.spool().list(after, page_entries)));
            TRY_VOID(give_page(page.entries));
            after = page.next;
            if (page.done)
                break;
        }
        TRY_VOID(name_submissions());
        ours_.close();
        return std::move(taken_);
    }

private:
    struct OnItsWay {
        spool::Lease lease;
        std::string id, path;         // of the file, where it is now
        bool hold = false;
        std::uint64_t recipients = 0;
    };

    std::string path_of(const OnItsWay& one, std::string_view state) const
    {
        return fmt::format("{}/{}{}{}", beside_, one.id, state, one.hold ? hold_mark : "");
    }

    Result<void> give_page(std::vector<spool::StoredMessage>& messages)
    {
        std::vector<OnItsWay> batch;
        for (spool::StoredMessage& message : messages) {
            OnItsWay one{
                .lease = message.lease, .id = message.envelope.queue_id(), .path = {}, .hold = message.hold, .recipients = message.recipients.size()};
            // On hold by a run that was cut off, which its file remembers.
            if (was_open_.contains(one.id))
                one.hold = false;
            const auto built = build(message, one);
            if (!built) {
                ::unlink(path_of(one, ".new").c_str());            // of a disk that is full it would take the rest
                taken_.troubles.push_back({one.id, built.error().text()});
                continue;
            }
            batch.push_back(std::move(one));
        }
        if (batch.empty())
            return {};
        TRY_VOID(sync_folder(beside_));
        passed();
        std::vector<spool::Lease> leases;
        for (const OnItsWay& one : batch)
            leases.push_back(one.lease);
        TRY_VOID(ours_.await(ours_.spool().alter(leases, {.hold = true, .expire = {}, .next_try = {}})));
        passed();
        for (OnItsWay& one : batch)
            TRY_VOID(move(one, path_of(one, given)));
        TRY_VOID(sync_folder(beside_));
        passed();
        return hand_over(batch, leases);
    }

    /// From ".given" on: the file is the message.
    Result<void> hand_over(std::vector<OnItsWay>& batch, std::vector<spool::Lease> leases)
    {
        if (!leases.empty())
            TRY_VOID(ours_.await(ours_.spool().remove(std::move(leases))));
        passed();
        for (OnItsWay& one : batch) {
            const std::string queue = one.hold ? "hold" : "incoming";
            struct stat about{};
            if (::stat(one.path.c_str(), &about) != 0)
                return system_error("open " + one.path, errno);
            // Postfix's short form: it looks whether the inode fits when it starts.
            TRY_VOID(move(one, fmt::format("{}/{}/{:05X}{:X}", to_, queue, about.st_mtim.tv_nsec / 1000, about.st_ino)));
            ++taken_.messages;
            ++taken_.by_queue[queue];
            taken_.recipients += one.recipients;
            passed();
        }
        for (const char* folder : {"/incoming", "/hold", "/posthorn-back"})
            TRY_VOID(sync_folder(to_ + folder));
        return {};
    }

    void passed() const
    {
        if (step_)
            step_();
    }

    static Result<void> move(OnItsWay& one, const std::string& to)
    {
        struct stat there{};
        if (::lstat(to.c_str(), &there) == 0)
            return Error{fmt::format("{} is in the way", to)};
        if (::rename(one.path.c_str(), to.c_str()) != 0)
            return system_error(fmt::format("rename {} to {}", one.path, to), errno);
        one.path = to;
        return {};
    }

    Result<void> build(const spool::StoredMessage& message, OnItsWay& one)
    {
        handoff::Envelope envelope = message.envelope;
        for (const spool::RecipientState& state : message.recipients)
            *envelope.add_recipients() = state.recipient;
        QueueFileWriter writer;
        TRY(std::string octets, writer.begin(envelope));
        TRY(const auto content, ours_.await(ours_.spool().content(message.lease)));
        const std::string path = path_of(one, ".new");
        ::unlink(path.c_str());
        const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file)
            return system_error("create " + path, errno);
        const auto write = [&](std::string_view rest) -> Result<void> {
            while (!rest.empty()) {
                const ssize_t put = ::write(file.get(), rest.data(), rest.size());
                if (put < 0)
                    return system_error("write " + path, errno);
                rest.remove_prefix(static_cast<std::size_t>(put));
            }
            return {};
        };
        TRY_VOID(write(octets));
        std::string piece(256 * 1024, '\0');
        for (std::uint64_t at = 0; at < content->size();) {
            TRY(const std::size_t got, content->read_at(at, piece));
            if (got == 0)
                return Error{"its content is shorter than it should be"};
            TRY_VOID(write(writer.content(std::string_view(piece).substr(0, got))));
            at += got;
        }
        TRY_VOID(write(writer.end(envelope)));
        const std::string sizes = writer.sizes();
        if (::pwrite(file.get(), sizes.data(), sizes.size(), 0) != static_cast<ssize_t>(sizes.size()))
            return system_error("write " + path, errno);
        if (::geteuid() == 0 && ::fchown(file.get(), theirs_.st_uid, theirs_.st_gid) != 0)
            return system_error("set the owner of " + path, errno);
        if (::fchmod(file.get(), 0700) != 0 || ::fsync(file.get()) != 0)
            return system_error("write " + path, errno);
        one.path = path;
        const std::string final = path_of(one, ready);
        ::unlink(final.c_str());
        return move(one, final);
    }

    // ---- What an earlier run left

    Result<void> finish_earlier_runs()
    {
        std::vector<OnItsWay> batch;
        std::vector<spool::Lease> leases;
        std::error_code failed;
        std::vector<fs::path> entries;
        for (const fs::directory_entry& entry : fs::directory_iterator(beside_, failed))
            entries.push_back(entry.path());
        if (failed)
            return Error{fmt::format("read {}: {}", beside_, failed.message())};
        for (const fs::path& path : entries) {
            const std::string name = path.filename().string();
            const std::size_t dot = name.find('.');
            const std::string id = name.substr(0, dot), state = dot == name.npos ? "" : name.substr(dot);
            if (dot == name.npos || !handoff::is_queue_id(id))
                continue;
            TRY(const auto lease, ours_.await(ours_.spool().find(id)));
            if (state.starts_with(given)) {
                OnItsWay& one = batch.emplace_back();
                one.id = id;
                one.path = path.string();
                one.hold = state.ends_with(hold_mark);
                if (lease) {
                    TRY(const auto message, ours_.await(ours_.spool().read(*lease)));
                    one.recipients = message.recipients.size();
                    leases.push_back(*lease);
                }
                continue;
            }
            // Not the message yet: it is built anew, or was delivered meanwhile.
            if (state == ready && lease)
                was_open_.insert(id);
            else if (::unlink(path.c_str()) != 0)
                return system_error("remove " + path.string(), errno);
        }
        return batch.empty() ? Result<void>{} : hand_over(batch, std::move(leases));
    }

    Result<void> name_submissions()
    {
        TRY(const auto files, files_of_queue(snapshot_.text("queue_directory"), "maildrop"));
        for (const Found& file : files)
            if (file.name.find('.') != std::string::npos)
                taken_.troubles.push_back(
                    {file.path, "was handed to Posthorn's sendmail and not picked up: start Posthorn for a moment, then stop it and come again"});
        return {};
    }

    const config::Snapshot& snapshot_;
    std::string to_, beside_;
    StoppedQueue& ours_;
    const Step& step_;
    struct stat theirs_{};
    Taken taken_;
    std::set<std::string> was_open_;
};

}  // namespace

Result<Taken> give_back_queue(const config::Snapshot& snapshot, const std::string& to, const Step& step)
{
    TRY(const auto ours, StoppedQueue::open(snapshot, to));
    return GiveBack(snapshot, to, *ours, step).give();
}

}  // namespace posthorn::migrate
