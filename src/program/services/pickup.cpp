#include "services/pickup.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "message/compose.hpp"
#include "services/programs.hpp"
#include "services/stored.hpp"
#include "smtp/path.hpp"
#include "spool/incoming.hpp"
#include "submit/drop_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <span>

namespace posthorn::services {

namespace {

constexpr std::string_view folder = "maildrop/";

/// "NAME+QID": a file that was given its queue id already.
std::string queue_id_of(std::string_view name)
{
    const std::size_t plus = name.find('+');
    return plus == name.npos ? std::string{} : std::string(name.substr(plus + 1));
}

bool is_ours(std::string_view name)
{
    const std::size_t plus = name.find('+');
    return submit::is_drop_name(name.substr(0, plus)) && (plus == name.npos || handoff::is_queue_id(name.substr(plus + 1)));
}

}  // namespace

Pickup::Pickup(Executor executor, PickupOptions options, Reports reports, handoff::Queue& queue, Committed committed, handoff::Cleaner& cleaner,
               const Clock& clock, observe::Log log, observe::Log bounce_log)
    : options_(std::make_shared<const PickupOptions>(std::move(options))), reports_(std::move(reports)), queue_(queue),
      committed_(std::move(committed)), cleaner_(cleaner), clock_(clock), log_(std::move(log)), bounce_log_(std::move(bounce_log)),
      files_(spool::system_files(std::string(spool_folder))), wake_(executor), tasks_(executor)
{
}

void Pickup::reconfigure(PickupOptions options)
{
    const std::lock_guard lock(options_lock_);
    options_ = std::make_shared<const PickupOptions>(std::move(options));
}

std::shared_ptr<const PickupOptions> Pickup::options() const
{
    const std::lock_guard lock(options_lock_);
    return options_;
}

void Pickup::start() { tasks_.spawn(watch()); }

awaitable<void> Pickup::close()
{
    co_await tasks_.close();
    pool_.join();
}

awaitable<void> Pickup::watch()
{
    while (!co_await cancelled()) {
        if (!std::exchange(again_, false) || busy_.size() >= options()->at_once) {
            co_await wake_.wait_for(std::chrono::seconds{60});
            again_ = true;
            if (busy_.size() >= options()->at_once)
                continue;
        }
        std::erase_if(later_, [now = clock_.steady()](const auto& one) { return one.second <= now; });
        std::error_code trouble;
        for (std::filesystem::directory_iterator at(std::string(folder), trouble), end; !trouble && at != end; at.increment(trouble)) {
            const std::string name = at->path().filename();
            if (!is_ours(name) || busy_.contains(name) || later_.contains(name))
                continue;
            if (busy_.size() >= options()->at_once) {
                again_ = true;                               // the end of one wakes us
                break;
            }
            busy_.insert(name);
            tasks_.spawn(take(name));
        }
        if (trouble)
            log_.warning("maildrop: {}", trouble.message());
    }
}

awaitable<void> Pickup::take(std::string name)
{
    std::string queue_id = queue_id_of(name), current = name;
    const bool before = !queue_id.empty();
    if (!before) {
        if (auto id = queue_.next_queue_id()) {
            queue_id = *std::move(id);
            const std::string numbered = name + "+" + queue_id;
            if (::rename((std::string(folder) + name).c_str(), (std::string(folder) + numbered).c_str()) == 0)
                current = numbered;
        }
    }
    if (!queue_id.empty()) {
        busy_.insert(current);
        const auto handed = before ? co_await hand_over_again(current, queue_id) : co_await hand_over(current, queue_id);
        if (handed) {
            ++picked_up_;
            if (::unlink((std::string(folder) + current).c_str()) != 0)
                log_.warning("remove {}{}: {}", folder, current, errno_text(errno));
        } else {
            log_.warning("{}: {}{}: {}", queue_id, folder, current, handed.error().text());
            later_[current] = clock_.steady() + (handed.error().status() == "4.7.1" ? options()->account_pause : options()->pause);
        }
        busy_.erase(current);
    } else {
        co_await sleep_for(std::chrono::milliseconds{200});   // qmgr is not there yet
        again_ = true;
    }
    busy_.erase(name);
    wake_.notify_all();
}

std::string Pickup::received(const handoff::Envelope& envelope, std::optional<std::uint32_t> user) const
{
    const WallTime now = clock_.wall();
    return fmt::format("Received: by {} ({}{})\r\n\tid {}; {}\r\n", options()->myhostname, options()->mail_name,
                       user ? fmt::format(", from userid {}", *user) : std::string(), envelope.queue_id(), message::date(now, reports_().zone(now)));
}

Result<Pickup::Read> Pickup::read(const std::string& name) const
{
    const Fd file(::open((std::string(folder) + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file)
        return system_error("open", errno);
    struct stat facts{};
    if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode))
        return Error{"not a regular file", "5.3.0"};
    Read made;
    std::string text;
    bool in_head = true;
    HeadSearch head(options()->header_limit);
    std::uint64_t total = 0;
    auto envelope = submit::pick_up(file.get(), options()->limits, [&](std::string_view octets) -> Result<void> {
        total += octets.size();
        if (in_head || total <= handoff::inline_content_limit)
            text += octets;
        in_head = in_head && !head.ends_in(text);
        if (in_head && text.size() > longest_header)
            return Error{"header section too long", "5.3.4"};
        return {};
    });
    if (!envelope)
        return envelope.error();
    made.envelope = *std::move(envelope);
    const std::size_t end = head_size(text);
    made.whole = total <= handoff::inline_content_limit;
    made.head = text.substr(0, end);
    if (made.whole)
        made.body = text.substr(end);
    return made;
}

/// A message with its new head: in the frame where it is small, else in a file of the incoming folder. `rest` gives what follows the head.
Result<handoff::Content> Pickup::content(const std::string& queue_id, const std::string& head, std::uint64_t rest_size, const Rest& rest)
{
    handoff::Content content;
    if (head.size() + rest_size <= handoff::inline_content_limit) {
        *content.mutable_inline_octets() = head;
        TRY_VOID(rest([&](std::string_view octets) -> Result<void> {
            content.mutable_inline_octets()->append(octets);
            return {};
        }));
        return content;
    }
    TRY(auto out, spool::IncomingFile::create(*files_, queue_id));
    TRY_VOID(out.append(head));
    TRY_VOID(rest([&](std::string_view octets) { return out.append(octets); }));
    TRY_VOID(out.sync());
    content.set_file(out.name());
    out.keep();                                              // from here on the queue's sweep would remove it, if the queue never hears of it
    return content;
}

/// The file is read again, without its head.
Result<void> Pickup::rest_of_file(const std::string& name, const Read& read, const Take& take) const
{
    if (read.whole)
        return take(read.body);
    const Fd file(::open((std::string(folder) + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file)
        return system_error("open", errno);
    std::size_t skip = read.head.size();
    auto again = submit::pick_up(file.get(), options()->limits, [&](std::string_view octets) -> Result<void> {
        const std::size_t dropped = std::min(skip, octets.size());
        skip -= dropped;
        octets.remove_prefix(dropped);
        return octets.empty() ? Result<void>{} : take(octets);
    });
    if (!again)
        return again.error();
    return {};
}

/// What follows the head, in a file without a name.
Result<Fd> Pickup::spooled_rest(const std::string& name, const Read& read) const
{
    Fd file(::open(fmt::format("{}/{}", spool_folder, spool::incoming_folder).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file)
        return system_error("create", errno);
    TRY_VOID(rest_of_file(name, read, [&](std::string_view octets) -> Result<void> {
        while (!octets.empty()) {
            const ssize_t count = ::write(file.get(), octets.data(), octets.size());
            if (count < 0 && errno != EINTR)
                return Error{system_error("write", errno).text(), errno == ENOSPC ? "4.3.1" : "4.3.0"};
            octets.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
        }
        return {};
    }));
    return file;
}

/// The content where the cleaner wants to see the body: read and written on the helper thread, looked at here.
awaitable<std::expected<handoff::Content, handoff::Refusal>> Pickup::checked_content(handoff::Cleaned* cleaned, ReadAt from)
{
    const auto failed = [](const Error& error) {
        return std::unexpected(handoff::Refusal{451, error.status().empty() ? "4.3.0" : error.status(), error.text()});
    };
    handoff::Content content;
    std::unique_ptr<spool::IncomingFile> file;
    std::string held = std::exchange(cleaned->head, {});
    std::uint64_t offset = 0, size = held.size();
    const std::string queue_id = cleaned->envelope.queue_id();
    const auto write_out = [this, &file, &queue_id](std::string octets, bool sync) -> Result<void> {
        if (!file) {
            TRY(auto made, spool::IncomingFile::create(*files_, queue_id));
            file = std::make_unique<spool::IncomingFile>(std::move(made));
        }
        TRY_VOID(file->append(octets));
        return sync ? file->sync() : Result<void>{};
    };
    for (bool last = false; !last;) {
        auto piece = co_await on_thread(pool_, [&from, offset]() -> Result<std::string> {
            std::string octets(64 << 10, '\0');
            TRY(const std::size_t got, from(offset, octets));
            octets.resize(got);
            return octets;
        });
        if (!piece)
            co_return failed(piece.error());
        offset += piece->size();
        last = piece->empty();
        auto changed = co_await cleaned->body->clean(*std::move(piece), last);
        if (!changed)
            co_return std::unexpected(std::move(changed).error());
        size += changed->size();
        held += *changed;
        if (size > handoff::inline_content_limit && (last || held.size() > (64U << 10)))
            if (const auto written = co_await on_thread(pool_, [&write_out, &held, last] { return write_out(std::exchange(held, {}), last); });
                !written)
                co_return failed(written.error());
    }
    auto concluded = co_await cleaned->body->conclude(std::move(cleaned->envelope));
    if (!concluded)
        co_return std::unexpected(std::move(concluded).error());
    cleaned->envelope = *std::move(concluded);
    cleaned->envelope.set_size(size);
    cleaned->discard |= cleaned->body->discards();
    if (!file) {
        content.set_inline_octets(std::move(held));
    } else if (!cleaned->discard) {                              // a file that nobody will name goes with its owner
        content.set_file(file->name());
        file->keep();
    }
    co_return content;
}

/// What was tried before, perhaps by a process that has ended since: it may be in the queue, or have left it, and is not to go twice.
awaitable<Result<void>> Pickup::hand_over_again(std::string name, std::string queue_id)
{
    CO_TRY(const bool committed, co_await committed_(queue_id));
    if (committed)
        co_return Result<void>{};
    files_->remove(spool::incoming_name(queue_id));            // of the first try; nobody names it
    co_return co_await hand_over(std::move(name), std::move(queue_id));
}

awaitable<Result<void>> Pickup::hand_over(std::string name, std::string queue_id)
{
    auto read = co_await on_thread(pool_, [this, name] { return this->read(name); });
    if (!read) {
        if (!read.error().status().starts_with('4') && read.error().what().find("open:") == std::string::npos) {
            const std::string aside = "corrupt/" + name;
            if (::rename((std::string(folder) + name).c_str(), aside.c_str()) == 0)
                co_return Error{"moved to " + aside + ": " + read.error().text()};
        }
        co_return read.error();
    }
    handoff::Envelope& envelope = read->envelope;
    envelope.set_queue_id(queue_id);
    envelope.set_filter(options()->content_filter);
    log_.info("{}: uid={} from=<{}>", queue_id, envelope.submitter(), smtp::external_address(envelope.sender()));
    if (judge_) {
        CO_TRY(Verdict verdict, co_await judge_(envelope.submitter(), envelope.sender()));
        if (!verdict.allowed)
            co_return co_await turn_away(std::move(envelope), std::move(read->head), std::move(verdict.login));
    }
    envelope.set_account(fmt::format("uid:{}", envelope.submitter()));
    envelope.set_may_schedule(true);
    if (limits_) {
        CO_TRY(*envelope.mutable_account_limits(), co_await limits_(envelope.submitter()));
    }
    // A first line with white space in front would continue our own field: it is the body's.
    const bool body_first = read->head.starts_with(' ') || read->head.starts_with('\t');
    const std::string head = received(envelope, envelope.submitter()) + (body_first ? "\r\n" : "") + read->head;
    auto cleaned = co_await cleaner_.clean(envelope, head);
    if (!cleaned) {
        if (cleaned.error().code < 500)
            co_return Error{cleaned.error().text, cleaned.error().status};
        co_return co_await send_back(envelope, head, cleaned.error());
    }
    if (cleaned->discard)
        co_return Result<void>{};
    if (cleaned->body) {
        auto spooled = read->whole ? Result<Fd>(Fd{}) : co_await on_thread(pool_, [this, name, &read] { return spooled_rest(name, *read); });
        if (!spooled)
            co_return spooled.error();
        const Stored rest(std::move(read->body), *std::move(spooled));
        auto checked = co_await checked_content(&*cleaned, [&rest](std::uint64_t at, std::span<char> into) { return rest.read(at, into); });
        if (!checked && checked.error().code < 500)
            co_return Error{checked.error().text, checked.error().status};
        if (!checked)
            co_return co_await send_back(envelope, head, checked.error());
        if (cleaned->discard || cleaned->envelope.recipients_size() == 0) {
            forget(*checked);
            co_return Result<void>{};
        }
        co_return co_await give_to_queue(std::move(envelope), head, std::move(cleaned->envelope), *std::move(checked));
    }
    if (cleaned->envelope.recipients_size() == 0)
        co_return Result<void>{};                            // every alias led nowhere on purpose
    const std::uint64_t rest_size = read->envelope.size() - read->head.size();
    auto content = co_await on_thread(pool_, [this, name, queue_id, rest_size, &read, &cleaned] {
        return this->content(queue_id, cleaned->head, rest_size, [&](const Take& take) { return rest_of_file(name, *read, take); });
    });
    if (!content)
        co_return content.error();
    cleaned->envelope.set_size(rest_size + cleaned->head.size());
    co_return co_await give_to_queue(std::move(envelope), head, std::move(cleaned->envelope), *std::move(content));
}

// ---- Milters

awaitable<std::expected<Shown, handoff::Refusal>> Pickup::show_content(handoff::Envelope envelope, const handoff::Content& content)
{
    Fd file;
    if (!content.file().empty()) {
        file = Fd(::open(fmt::format("{}/{}", spool_folder, spool::incoming_name(content.file())).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file)
            co_return std::unexpected(handoff::Refusal(451, "4.3.0", system_error("open", errno).text()));
    }
    const auto stored = std::make_shared<Stored>(content.inline_octets(), std::move(file));
    const std::uint64_t size = envelope.size();
    co_return co_await milters_->show(std::move(envelope), size, [this, stored](std::uint64_t offset, std::size_t most) {
        return on_thread(pool_, [stored, offset, most]() -> Result<std::string> {
            std::string octets(most, '\0');
            TRY(const std::size_t got, stored->read(offset, octets));
            octets.resize(got);
            return octets;
        });
    });
}

/// Another file under the same name, or octets.
Result<handoff::Content> Pickup::changed_content(const std::string& queue_id, const handoff::Content& content, const Shown& shown)
{
    Fd file;
    if (!content.file().empty()) {
        const std::string name = spool::incoming_name(content.file());
        file = Fd(::open(fmt::format("{}/{}", spool_folder, name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file)
            return system_error("open", errno);
        files_->remove(name);
    }
    const Stored old(content.inline_octets(), std::move(file));
    const std::string head = shown.head.value_or("");
    const std::uint64_t rest_size = shown.envelope.size() - head.size();
    return this->content(queue_id, head, rest_size, [&](const Take& take) {
        const auto& body = shown.body;
        return body ? take(*body) : old.rest(shown.old_head, take);
    });
}

/// What was cleaned is shown to Milters, and goes into the queue. `original` and `head` go back to the sender where it is refused.
awaitable<Result<void>> Pickup::give_to_queue(handoff::Envelope original, std::string head, handoff::Envelope envelope, handoff::Content content)
{
    if (milters_ == nullptr || !milters_->any() || envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS)
        co_return co_await enqueue(std::move(original), std::move(head), std::move(envelope), std::move(content));
    const auto kept = co_await show_and_change(&envelope, &content);
    if (!kept && kept.error().code >= 500)
        co_return co_await send_back(std::move(original), std::move(head), kept.error());
    if (!kept)
        co_return Error{kept.error().text, kept.error().status};
    if (!*kept)
        co_return Result<void>{};
    co_return co_await enqueue(std::move(original), std::move(head), std::move(envelope), std::move(content));
}

/// What the queue does not take from this account goes back; what it does not take from it now waits.
awaitable<Result<void>> Pickup::enqueue(handoff::Envelope original, std::string head, handoff::Envelope envelope, handoff::Content content)
{
    auto done = co_await queue_.enqueue(std::move(envelope), std::move(content), handoff::no_patience);
    if (!done && done.error().status() == "5.7.1")
        co_return co_await send_back(std::move(original), std::move(head), handoff::Refusal(554, "5.7.1", done.error().text()));
    if (!done)
        co_return std::move(done).error();
    co_return Result<void>{};
}

/// Of a message that nobody will name.
void Pickup::forget(const handoff::Content& content)
{
    if (!content.file().empty())
        files_->remove(spool::incoming_name(content.file()));
}

/// What Milters make of it takes its place. False: it is to be discarded. Where it is not kept, its file is gone.
awaitable<std::expected<bool, handoff::Refusal>> Pickup::show_and_change(handoff::Envelope* envelope, handoff::Content* content)
{
    const std::string queue_id = envelope->queue_id();
    const std::uint64_t old_size = envelope->size();
    auto shown = co_await show_content(std::move(*envelope), *content);
    if (!shown) {
        forget(*content);
        co_return std::unexpected(std::move(shown).error());
    }
    if (shown->discard || shown->envelope.recipients().empty()) {
        forget(*content);
        co_return false;
    }
    if (const auto& new_head = shown->head) {
        const auto& body = shown->body;
        shown->envelope.set_size(new_head->size() + (body ? body->size() : old_size - shown->old_head));
        auto changed = co_await on_thread(pool_, [this, &queue_id, content, &shown] { return changed_content(queue_id, *content, *shown); });
        if (!changed) {
            forget(*content);
            co_return std::unexpected(handoff::Refusal(451, changed.error().status(), changed.error().text()));
        }
        *content = *std::move(changed);
    }
    *envelope = std::move(shown->envelope);
    co_return true;
}

}  // namespace posthorn::services
