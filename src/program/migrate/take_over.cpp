#include "migrate/take_over.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "handoff/redirect.hpp"
#include "message/header.hpp"
#include "migrate/queue_file.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/stopped_queue.hpp"
#include "spool/incoming.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <set>

namespace posthorn::migrate {

namespace fs = std::filesystem;

namespace {

using spool::Lease;

constexpr std::size_t batch_size = 64;

/// One file on its way. Its link's name says all that a next run has to know: "deferred+A12...+4gDq...".
struct OnItsWay {
    Found source;                     // path: where it lies, where it still does
    std::string queue_id, link;       // name below taking/ or releasing/
    bool hold = false, requeue = false, open = true, failed = false;
    WallTime next_try{};
    spool::NewMessageRef message;
    std::unique_ptr<spool::IncomingFile> file;
    Lease lease;

    std::string link_name() const { return fmt::format("{}+{}+{}", source.queue, source.name, queue_id); }
};

class TakeOver {
public:
    TakeOver(const config::Snapshot& snapshot, std::string from, StoppedQueue& ours, const Step& step)
        : snapshot_(snapshot), from_(std::move(from)), kept_(from_ + "/posthorn-taken"), ours_(ours), step_(step)
    {
    }

    Result<Taken> take()
    {
        taken_.kept_in = kept_;
        for (const std::string& folder : {kept_, kept_ + "/taking", kept_ + "/releasing"})
            TRY_VOID(make_folder(folder));
        TRY_VOID(finish_earlier_runs());
        for (const char* queue : {"maildrop", "incoming", "active", "deferred", "hold"}) {
            TRY(const auto files, files_of_queue(from_, queue));
            std::vector<OnItsWay> batch;
            for (const Found& file : files) {
                if (set_aside_.contains(file.path) || !is_complete(file))
                    continue;
                batch.emplace_back().source = file;
                if (batch.size() == batch_size)
                    TRY_VOID(take_batch(std::exchange(batch, {})));
            }
            TRY_VOID(take_batch(std::move(batch)));
        }
        TRY_VOID(name_untold_bounces());
        ours_.close();
        return std::move(taken_);
    }

private:
    void passed() const
    {
        if (step_)
            step_();
    }
    void trouble(const std::string& path, std::string reason) { taken_.troubles.push_back({path, std::move(reason)}); }

    /// Postfix gives a file its owner's x bit when it is whole; what lacks it nobody was told of. Files of ours in a maildrop have dots.
    bool is_complete(const Found& file)
    {
        if (file.queue == "maildrop" && file.name.find('.') != std::string::npos)
            return false;
        struct stat about{};
        if (!std::ranges::all_of(file.name, [](char c) { return is_alnum(c); })) {
            trouble(file.path, "no queue file by its name");
            return false;
        }
        if (::lstat(file.path.c_str(), &about) != 0 || (about.st_mode & S_IXUSR) == 0) {
            trouble(file.path, "was not finished when Postfix stopped: its sender was told nothing, and keeps it");
            return false;
        }
        return true;
    }

    // ---- One batch

    Result<void> take_batch(std::vector<OnItsWay> batch)
    {
        if (batch.empty())
            return {};
        TRY(const spool::Block block, ours_.await(ours_.spool().reserve(spool::Counter::queue_id, batch.size())));
        const bool long_ids = snapshot_.text("enable_long_queue_ids") == "yes";
        std::uint64_t sequence = block.first;
        std::vector<OnItsWay> linked;
        for (OnItsWay& one : batch) {
            // Read before anything is done with it: what cannot be read stays as it is.
            if (const auto read = read_message(one.source.path, one, false); !read) {
                trouble(one.source.path, read.error().text());
                continue;
            }
            one.queue_id = long_ids ? handoff::long_queue_id(clock_.wall(), sequence++) : handoff::short_queue_id(clock_.wall(), sequence++);
            one.link = kept_ + "/taking/" + one.link_name();
            if (::link(one.source.path.c_str(), one.link.c_str()) != 0)
                return system_error(fmt::format("link {} to {}", one.source.path, one.link), errno);
            linked.push_back(std::move(one));
        }
        TRY_VOID(sync_folder(kept_ + "/taking"));
        passed();
        return carry_through(std::move(linked), false);
    }

    /// From a durable link on. `from_releasing`: they are committed and out of their queue.
    Result<void> carry_through(std::vector<OnItsWay> batch, bool from_releasing)
    {
        if (batch.empty())
            return {};
        if (!from_releasing) {
            TRY_VOID(commit(batch));
            passed();
            TRY_VOID(leave_queues(batch));
            passed();
            TRY_VOID(move_links(batch, "releasing"));
            passed();
        }
        TRY_VOID(release(batch));
        passed();
        TRY_VOID(move_links(batch, ""));
        passed();
        for (const OnItsWay& one : batch)
            if (!one.failed)
                ++taken_.by_queue[one.source.queue];
        return full_ ? Result<void>{*full_} : Result<void>{};
    }

    /// Without room it would be the same for all that follow, and each would leave a link to finish.
    void fail(OnItsWay& one, const Error& error)
    {
        one.failed = true;
        trouble(one.link, error.text());
        if (error.status() == "4.3.1" && !full_)
            full_ = Error{fmt::format("{}: {}: make room and repeat", one.link, error.text())};
    }

    Result<void> commit(std::vector<OnItsWay>& batch)
    {
        for (OnItsWay& one : batch) {
            if (one.failed || one.lease.key != 0)
                continue;
            if (auto read = read_message(one.link, one, true); !read) {
                fail(one, read.error());                           // it could be read a moment ago: the disk
            }
        }
        TRY_VOID(ours_.await(enqueue_all(&batch), std::chrono::hours(1)));
        for (OnItsWay& one : batch) {
            if (one.file && !one.failed)
                one.file->keep();
            one.file.reset();
            one.message.reset();
        }
        return {};
    }

    awaitable<Result<void>> enqueue_all(std::vector<OnItsWay>* batch)
    {
        TaskGroup group(co_await asio::this_coro::executor);
        for (OnItsWay& one : *batch)
            if (!one.failed && one.message && one.open)
                group.spawn(enqueue(&one));
        co_await group.drained();
        co_return Result<void>{};
    }
    awaitable<void> enqueue(OnItsWay* one)
    {
        const auto lease = co_await ours_.spool().enqueue(one->message);
        if (lease) {
            one->lease = *lease;
            ++taken_.messages;
            taken_.recipients += static_cast<std::uint64_t>(one->message->envelope.recipients_size());
            co_return;
        }
        fail(*one, lease.error());
    }

    Result<void> leave_queues(std::vector<OnItsWay>& batch)
    {
        std::vector<std::string> folders;
        for (const OnItsWay& one : batch) {
            if (one.failed || one.source.path.empty())
                continue;
            if (::unlink(one.source.path.c_str()) != 0 && errno != ENOENT)
                return system_error("take " + one.source.path + " out of its queue", errno);
            folders.push_back(fs::path(one.source.path).parent_path().string());
        }
        std::ranges::sort(folders);
        folders.erase(std::ranges::unique(folders).begin(), folders.end());
        for (const std::string& folder : folders)
            TRY_VOID(sync_folder(folder));
        return {};
    }

    /// To releasing/, or to its last place: the folder of its queue.
    Result<void> move_links(std::vector<OnItsWay>& batch, const std::string& to)
    {
        std::vector<std::string> folders;
        for (OnItsWay& one : batch) {
            if (one.failed)
                continue;
            const std::string folder = kept_ + "/" + (to.empty() ? one.source.queue : to);
            TRY_VOID(make_folder(folder));
            std::string target = folder + "/" + (to.empty() ? one.source.name : one.link_name());
            struct stat there{};
            if (to.empty() && ::lstat(target.c_str(), &there) == 0)   // another original by that name
                target = folder + "/" + one.link_name();
            if (::rename(one.link.c_str(), target.c_str()) != 0)
                return system_error(fmt::format("rename {} to {}", one.link, target), errno);
            one.link = target;
            folders.push_back(folder);
        }
        std::ranges::sort(folders);
        folders.erase(std::ranges::unique(folders).begin(), folders.end());
        for (const std::string& folder : folders)
            TRY_VOID(sync_folder(folder));
        return {};
    }

    Result<void> release(std::vector<OnItsWay>& batch) { return ours_.await(release_all(&batch), std::chrono::hours(1)); }

    awaitable<Result<void>> release_all(std::vector<OnItsWay>* batch)
    {
        TaskGroup group(co_await asio::this_coro::executor);
        std::optional<Error> failed;
        for (OnItsWay& one : *batch)
            if (!one.failed && one.lease.key != 0)
                group.spawn(release_one(&one, &failed));
        co_await group.drained();
        if (failed)
            co_return *failed;
        co_return Result<void>{};
    }
    awaitable<void> release_one(OnItsWay* one, std::optional<Error>* failed)
    {
        std::vector<Lease> leases{one->lease};
        spool::Change change{.hold = one->hold, .expire = {}, .next_try = one->next_try};
        if (one->requeue)
            change.requeue = true;
        if (const auto altered = co_await ours_.spool().alter(std::move(leases), change); !altered)
            *failed = altered.error();
    }

    // ---- What an earlier run left

    Result<void> finish_earlier_runs()
    {
        for (const bool releasing : {true, false}) {
            const std::string folder = kept_ + (releasing ? "/releasing" : "/taking");
            std::vector<OnItsWay> batch;
            std::error_code failed;
            for (const fs::directory_entry& entry : fs::directory_iterator(folder, failed)) {
                const std::string name = entry.path().filename().string();
                const auto words = split_exact(name, '+');
                if (words.size() != 3 || !handoff::is_queue_id(words[2]))
                    continue;
                OnItsWay& one = batch.emplace_back();
                one.source = {std::string(words[0]), std::string(words[1]), {}};
                one.queue_id = words[2];
                one.link = entry.path().string();
            }
            if (failed)
                return Error{fmt::format("read {}: {}", folder, failed.message())};
            std::vector<OnItsWay> known;
            for (OnItsWay& one : batch) {
                TRY(const auto lease, ours_.await(ours_.spool().find(one.queue_id)));
                if (lease)
                    one.lease = *lease;
                one.source.path = still_there(one);
                // If this does not succeed now, it is the next run's under the id that it has: under another one it would come twice.
                set_aside_.insert(one.source.path);
                // Holds, next tries and the like are said by the file again.
                if (const auto read = read_message(one.link, one, false); !read) {
                    trouble(one.link, read.error().text());
                    continue;
                }
                known.push_back(std::move(one));
            }
            TRY_VOID(carry_through(std::move(known), releasing));
        }
        return {};
    }

    /// The name in its queue that is the same file, if it has not left yet.
    std::string still_there(const OnItsWay& one) const
    {
        struct stat link{}, source{};
        const auto files = files_of_queue(from_, one.source.queue);
        if (!files || ::stat(one.link.c_str(), &link) != 0)
            return {};
        for (const Found& file : *files)
            if (file.name == one.source.name && ::stat(file.path.c_str(), &source) == 0 && source.st_ino == link.st_ino &&
                source.st_dev == link.st_dev)
                return file.path;
        return {};
    }

    // ---- From a file to a message

    /// `keep`: builds the message, with content above the inline limit in the incoming folder; else only looks whether it can be read.
    Result<void> read_message(const std::string& path, OnItsWay& one, bool keep)
    {
        TRY(const FileRead original, read_regular_file(path));
        std::string text;
        std::unique_ptr<spool::IncomingFile> file;
        std::string head;
        const auto take = [&](std::string_view octets) -> Result<void> {
            if (head.size() < 256 * 1024)
                head += octets;
            if (!keep)
                return {};
            if (!file) {
                text += octets;
                if (text.size() <= handoff::inline_content_limit)
                    return {};
                const AsMailOwner as_owner(ours_.owner());
                TRY(auto made, spool::IncomingFile::create(ours_.files(), one.queue_id));
                file = std::make_unique<spool::IncomingFile>(std::move(made));
                return file->append(std::exchange(text, {}));
            }
            return file->append(octets);
        };
        TRY(QueueFile read, read_queue_file(original.octets, take));
        one.hold = one.source.queue == "hold";
        one.requeue = !read.cleaned;
        one.open = read.envelope.recipients_size() > 0;
        if (!one.open && read.done == 0)
            return Error{"no recipients"};
        // The queue manager of Postfix keeps the time of the next try in the file's.
        if (one.source.queue == "deferred" && original.about.st_mtim.tv_sec > ::time(nullptr))
            one.next_try = WallTime{std::chrono::seconds{original.about.st_mtim.tv_sec}};
        if (!keep || !one.open)
            return {};
        handoff::Envelope& envelope = read.envelope;
        envelope.set_queue_id(one.queue_id);
        envelope.set_hold(true);  // until the original has left its queue
        if (one.requeue)
            envelope.set_submitter(original.about.st_uid);
        handoff::redirect(envelope);  // as the queue manager does with a message that comes in
        describe(envelope, head);
        auto message = std::make_shared<spool::NewMessage>();
        if (file) {
            const AsMailOwner as_owner(ours_.owner());
            TRY_VOID(file->sync());
            message->content.set_file(file->name());
        } else {
            message->content.set_inline_octets(std::move(text));
        }
        message->envelope = std::move(envelope);
        one.message = std::move(message);
        one.file = std::move(file);
        return {};
    }

    static void describe(handoff::Envelope& envelope, std::string_view head)
    {
        message::HeaderWalk walk(head);
        std::uint32_t hops = 0;
        while (const auto field = walk.next()) {
            if (field->is("Received"))
                ++hops;
            else if (field->is("Message-Id"))
                envelope.set_message_id(message::unfold(field->body));
        }
        envelope.set_hops(hops);
    }

    /// Reports that Postfix had begun: whom they are about has left the queue file, and who sent it does not know.
    Result<void> name_untold_bounces()
    {
        TRY(const auto files, files_of_queue(from_, "bounce"));
        for (const Found& file : files) {
            struct stat about{};
            if (::stat(file.path.c_str(), &about) == 0 && about.st_size > 0)
                trouble(file.path, "recipients failed, and Postfix had not told their sender yet");
        }
        return {};
    }

    const config::Snapshot& snapshot_;
    std::string from_, kept_;
    StoppedQueue& ours_;
    const Step& step_;
    Taken taken_;
    std::set<std::string> set_aside_;  // in their queue still, and an earlier run's
    std::optional<Error> full_;
    SystemClock clock_;
};

}  // namespace

Result<Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& from, const Step& step)
{
    TRY(const auto ours, StoppedQueue::open(snapshot, from));
    return TakeOver(snapshot, from, *ours, step).take();
}

}  // namespace posthorn::migrate
