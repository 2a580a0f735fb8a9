#include "migrate/move_out.hpp"

#include "handoff/queue_id.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/stopped_queue.hpp"

#include <fmt/format.h>

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

class MoveOut {
public:
    MoveOut(const config::Snapshot& snapshot, Target& target, StoppedQueue& ours, const Step& step)
        : snapshot_(snapshot), target_(target), beside_(target.directory() + "/posthorn-back"), ours_(ours), step_(step)
    {
    }

    Result<Taken> give()
    {
        taken_.kept_in = target_.directory();
        TRY_VOID(make_folder(beside_));
        TRY_VOID(target_.prepare());
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
        std::string id, path;         // of what is built, where it is now
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
            // On hold by a run that was cut off, which what it built remembers.
            if (was_open_.contains(one.id))
                one.hold = false;
            const auto built = build(message, one);
            if (!built) {
                TRY_VOID(clear(path_of(one, ".new")));             // of a disk that is full it would take the rest
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

    /// From ".given" on: what was built is the message.
    Result<void> hand_over(std::vector<OnItsWay>& batch, std::vector<spool::Lease> leases)
    {
        if (!leases.empty())
            TRY_VOID(ours_.await(ours_.spool().remove(std::move(leases))));
        passed();
        for (OnItsWay& one : batch) {
            TRY(const std::string queue, target_.place(one.path, one.hold));
            ++taken_.messages;
            ++taken_.by_queue[queue];
            taken_.recipients += one.recipients;
            passed();
        }
        TRY_VOID(target_.sync());
        return sync_folder(beside_);
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
        TRY(const auto content, ours_.await(ours_.spool().content(message.lease)));
        one.path = path_of(one, ".new");
        TRY_VOID(clear(one.path));
        TRY_VOID(target_.build(envelope, one.hold, *content, one.path));
        const std::string final = path_of(one, ready);
        TRY_VOID(clear(final));
        return move(one, final);
    }

    static Result<void> clear(const std::string& path)
    {
        std::error_code failed;
        fs::remove_all(path, failed);
        return failed ? Result<void>{Error{fmt::format("remove {}: {}", path, failed.message())}} : Result<void>{};
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
            else
                TRY_VOID(clear(path.string()));
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
    Target& target_;
    std::string beside_;
    StoppedQueue& ours_;
    const Step& step_;
    Taken taken_;
    std::set<std::string> was_open_;
};

}  // namespace

Result<Taken> move_out(const config::Snapshot& snapshot, Target& target, const Step& step)
{
    TRY(const auto ours, StoppedQueue::open(snapshot, target.directory()));
    return MoveOut(snapshot, target, *ours, step).give();
}

Result<void> each_piece(spool::ContentReader& content, const TakeContent& take)
{
    std::string piece(256 * 1024, '\0');
    for (std::uint64_t at = 0; at < content.size();) {
        TRY(const std::size_t got, content.read_at(at, piece));
        if (got == 0)
            return Error{"its content is shorter than it should be"};
        TRY_VOID(take(std::string_view(piece).substr(0, got)));
        at += got;
    }
    return {};
}

}  // namespace posthorn::migrate
