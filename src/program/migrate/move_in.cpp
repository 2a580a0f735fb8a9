#include "migrate/move_in.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "handoff/redirect.hpp"
#include "message/header.hpp"
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

/// One message on its way. Its link's name says all that a next run has to know: "deferred+A12...+4gDq...".
struct OnItsWay {
    Found found;                      // path: where it lies; empty: it has left
    std::string queue_id, link;       // name below taking/ or releasing/
    bool hold = false, requeue = false, open = true, failed = false;
    WallTime next_try{};
    spool::NewMessageRef message;
    std::unique_ptr<spool::IncomingFile> file;
    Lease lease;

    std::string link_name() const { return fmt::format("{}+{}+{}", found.queue, found.name, queue_id); }
};

class MoveIn {
public:
    MoveIn(const config::Snapshot& snapshot, Source& source, StoppedQueue& ours, const Step& step)
        : snapshot_(snapshot), source_(source), kept_(source.directory() + "/posthorn-taken"), ours_(ours), step_(step)
    {
    }

    Result<Taken> take()
    {
        taken_.kept_in = kept_;
        for (const std::string& folder : {kept_, kept_ + "/taking", kept_ + "/releasing"})
            TRY_VOID(make_folder(folder));
        TRY_VOID(finish_earlier_runs());
        TRY(const auto queues, source_.queues());
        for (const std::string& queue : queues) {
            TRY(const auto messages, source_.messages(queue, taken_.troubles));
            std::vector<OnItsWay> batch;
            for (const Found& message : messages) {
                if (set_aside_.contains(message.path) || set_aside_.contains(name_of(message)))
                    continue;
                batch.emplace_back().found = message;
                if (batch.size() == batch_size)
                    TRY_VOID(take_batch(std::exchange(batch, {})));
            }
            TRY_VOID(take_batch(std::move(batch)));
        }
        TRY_VOID(source_.name_the_rest(taken_.troubles));
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
            if (const auto read = read_message(one, false); !read) {
                trouble(one.found.path, read.error().text());
                continue;
            }
            one.queue_id = long_ids ? handoff::long_queue_id(clock_.wall(), sequence++) : handoff::short_queue_id(clock_.wall(), sequence++);
            const std::string link = kept_ + "/taking/" + one.link_name();
            TRY_VOID(source_.link(one.found, link));
            one.link = link;
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
                ++taken_.by_queue[one.found.queue];
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
            if (auto read = read_message(one, true); !read)
                fail(one, read.error());                           // it could be read a moment ago: the disk
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
        for (const OnItsWay& one : batch)
            if (!one.failed)
                TRY_VOID(source_.take_out(one.found, one.link, folders));
        return sync_folders(std::move(folders));
    }

    /// To releasing/, or to its last place: the folder of its queue.
    Result<void> move_links(std::vector<OnItsWay>& batch, const std::string& to)
    {
        std::vector<std::string> folders;
        for (OnItsWay& one : batch) {
            if (one.failed)
                continue;
            if (to.empty())
                TRY_VOID(source_.settle(one.found, one.link));
            const std::string folder = kept_ + "/" + (to.empty() ? one.found.queue : to);
            TRY_VOID(make_folder(folder));
            std::string target = folder + "/" + (to.empty() ? one.found.name : one.link_name());
            struct stat there{};
            if (to.empty() && ::lstat(target.c_str(), &there) == 0)   // another original by that name
                target = folder + "/" + one.link_name();
            if (::rename(one.link.c_str(), target.c_str()) != 0)
                return system_error(fmt::format("rename {} to {}", one.link, target), errno);
            one.link = target;
            folders.push_back(folder);
        }
        return sync_folders(std::move(folders));
    }

    static Result<void> sync_folders(std::vector<std::string> folders)
    {
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
                one.found = {std::string(words[0]), std::string(words[1]), {}};
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
                if (!releasing) {
                    TRY(const bool go_on, still_ours(one));
                    if (!go_on)
                        continue;
                }
                // Holds, next tries and the like are said by the message again.
                if (const auto read = read_message(one, false); !read)
                    trouble(one.link, read.error().text());
                else
                    known.push_back(std::move(one));
            }
            TRY_VOID(carry_through(std::move(known), releasing));
        }
        return {};
    }

    static std::string name_of(const Found& message) { return fmt::format("{}+{}", message.queue, message.name); }

    /// Whether to go on with what an earlier run linked and had not taken out, as far as its link tells.
    Result<bool> still_ours(OnItsWay& one)
    {
        const auto where = source_.look(one.found, one.link);
        if (!where) {
            trouble(one.link, where.error().text());
            set_aside_.insert(name_of(one.found));
            return false;
        }
        if (where->state == Whereabouts::State::withdrawn) {
            // It was on hold here, if it came so far; what is left of it lies in its queue and comes anew.
            if (one.lease.key != 0)
                TRY_VOID(ours_.await(ours_.spool().remove({one.lease})));
            TRY_VOID(source_.forget(one.link));
            return false;
        }
        one.found.path = where->path;
        // If this does not succeed now, it is the next run's under the id that it has: under another one it would come twice.
        set_aside_.insert(one.found.path);
        return true;
    }

    // ---- From what is read to a message

    /// `keep`: builds the message, with content above the inline limit in the incoming folder; else only looks whether it can be read.
    Result<void> read_message(OnItsWay& one, bool keep)
    {
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
        TRY(Original original, source_.read(one.found, one.link, take));
        one.hold = original.hold;
        one.requeue = original.requeue;
        one.next_try = original.next_try;
        one.open = original.envelope.recipients_size() > 0;
        if (!one.open && original.done == 0)
            return Error{"no recipients"};
        if (!keep || !one.open)
            return {};
        handoff::Envelope& envelope = original.envelope;
        envelope.set_queue_id(one.queue_id);
        envelope.set_hold(true);  // until the original has left its queue
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

    const config::Snapshot& snapshot_;
    Source& source_;
    std::string kept_;
    StoppedQueue& ours_;
    const Step& step_;
    Taken taken_;
    std::set<std::string> set_aside_;  // paths and names of what is in its queue still, and an earlier run's
    std::optional<Error> full_;
    SystemClock clock_;
};

}  // namespace

Result<void> Source::forget(const std::string& /*link*/) { return {}; }
Result<void> Source::settle(const Found& /*message*/, const std::string& /*link*/) { return {}; }

Result<Taken> move_in(const config::Snapshot& snapshot, Source& source, const Step& step)
{
    TRY(const auto ours, StoppedQueue::open(snapshot, source.directory()));
    return MoveIn(snapshot, source, *ours, step).take();
}

}  // namespace posthorn::migrate
