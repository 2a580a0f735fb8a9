#include "services/pickup.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "message/compose.hpp"
#include "services/programs.hpp"
#include "spool/incoming.hpp"
#include "submit/drop_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

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

Pickup::Pickup(Executor executor, PickupOptions options, const report::Options& reports, handoff::Queue& queue, handoff::Cleaner& cleaner,
               const Clock& clock, observe::Log log)
    : options_(std::move(options)), reports_(reports), queue_(queue), cleaner_(cleaner), clock_(clock), log_(std::move(log)), files_(spool::system_files(std::string(spool_folder))),
      wake_(executor), tasks_(executor)
{
}

void Pickup::start()
{
    tasks_.spawn(watch());
}

awaitable<void> Pickup::close()
{
    co_await tasks_.close();
    pool_.join();
}

awaitable<void> Pickup::watch()
{
    while (!co_await cancelled()) {
        if (!std::exchange(again_, false) || busy_.size() >= options_.at_once) {
            co_await wake_.wait_for(std::chrono::seconds{60});
            again_ = true;
            if (busy_.size() >= options_.at_once)
                continue;
        }
        std::error_code trouble;
        for (const auto& entry : std::filesystem::directory_iterator(std::string(folder), trouble)) {
            const std::string name = entry.path().filename();
            if (!is_ours(name) || busy_.contains(name))
                continue;
            if (busy_.size() >= options_.at_once) {
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
    if (queue_id.empty()) {
        if (auto id = queue_.next_queue_id()) {
            queue_id = *std::move(id);
            const std::string numbered = name + "+" + queue_id;
            if (::rename((std::string(folder) + name).c_str(), (std::string(folder) + numbered).c_str()) == 0)
                current = numbered;
        }
    }
    if (!queue_id.empty()) {
        busy_.insert(current);
        const auto handed = co_await hand_over(current, queue_id);
        if (handed) {
            ++picked_up_;
            if (::unlink((std::string(folder) + current).c_str()) != 0)
                log_.warning("remove {}{}: {}", folder, current, errno_text(errno));
        } else {
            log_.warning("{}: {}{}: {}", queue_id, folder, current, handed.error().text());
        }
        busy_.erase(current);
    } else {
        co_await sleep_for(std::chrono::milliseconds{200});   // qmgr is not there yet
        again_ = true;
    }
    busy_.erase(name);
    wake_.notify_all();
}

std::string Pickup::received(const handoff::Envelope& envelope) const
{
    const WallTime now = clock_.wall();
    return fmt::format("Received: by {} ({}, from userid {})\r\n\tid {}; {}\r\n", options_.myhostname, options_.mail_name, envelope.submitter(),
                       envelope.queue_id(), message::date(now, reports_.zone(now)));
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
    bool in_head = true, too_long = false;
    std::uint64_t total = 0;
    auto envelope = submit::pick_up(file.get(), options_.limits, [&](std::string_view octets) -> Result<void> {
        total += octets.size();
        if (in_head || total <= handoff::inline_content_limit)
            text += octets;
        if (in_head && (text.starts_with("\r\n") || text.find("\r\n\r\n") != text.npos))
            in_head = false;
        too_long |= in_head && text.size() > options_.header_limit;
        if (too_long)
            return Error{"header section too long", "5.3.4"};
        return {};
    });
    if (!envelope)
        return envelope.error();
    made.envelope = *std::move(envelope);
    const std::size_t end = text.starts_with("\r\n") ? 2 : text.find("\r\n\r\n") == text.npos ? text.size() : text.find("\r\n\r\n") + 4;
    made.whole = total <= handoff::inline_content_limit;
    made.head = text.substr(0, end);
    if (made.whole)
        made.body = text.substr(end);
    return made;
}

Result<handoff::Content> Pickup::content(const std::string& name, const std::string& queue_id, const Read& read, const std::string& head)
{
    handoff::Content content;
    if (read.whole && head.size() + read.body.size() <= handoff::inline_content_limit) {
        content.set_inline_octets(head + read.body);
        return content;
    }
    // Large: the file is read again, its head replaced, into the incoming folder.
    TRY(auto out, spool::IncomingFile::create(*files_, queue_id));
    TRY_VOID(out.append(head));
    const Fd file(::open((std::string(folder) + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file)
        return system_error("open", errno);
    std::size_t skip = read.head.size();
    auto again = submit::pick_up(file.get(), options_.limits, [&](std::string_view octets) -> Result<void> {
        const std::size_t dropped = std::min(skip, octets.size());
        skip -= dropped;
        octets.remove_prefix(dropped);
        return octets.empty() ? Result<void>{} : out.append(octets);
    });
    if (!again)
        return again.error();
    TRY_VOID(out.sync());
    content.set_file(out.name());
    out.keep();                                              // from here on the queue's sweep would remove it, if the queue never hears of it
    return content;
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
    log_.info("{}: uid={} from=<{}>", queue_id, envelope.submitter(), envelope.sender());
    const std::string head = received(envelope) + read->head;
    auto cleaned = co_await cleaner_.clean(envelope, head);
    if (!cleaned) {
        if (cleaned.error().code < 500)
            co_return Error{cleaned.error().text, cleaned.error().status};
        co_return co_await send_back(envelope, head, cleaned.error());
    }
    auto content = co_await on_thread(pool_, [this, name, queue_id, &read, &cleaned] { return this->content(name, queue_id, *read, cleaned->head); });
    if (!content)
        co_return content.error();
    cleaned->envelope.set_size(read->envelope.size() - read->head.size() + cleaned->head.size());
    if (cleaned->envelope.recipients_size() == 0)
        co_return Result<void>{};                            // every alias led nowhere on purpose
    co_return co_await queue_.enqueue(std::move(cleaned->envelope), *std::move(content));
}

awaitable<Result<void>> Pickup::send_back(handoff::Envelope envelope, std::string head, handoff::Refusal refusal)
{
    handoff::ReportRequest request;
    request.set_kind(handoff::ReportRequest::FAILURE);
    std::uint32_t index = 0;
    for (handoff::Recipient& recipient : *envelope.mutable_recipients()) {
        recipient.set_index(index++);
        handoff::Verdict& verdict = *request.add_verdicts();
        verdict.set_recipient(recipient.index());
        verdict.set_outcome(handoff::OUTCOME_BOUNCED);
        verdict.set_status(refusal.status);
        verdict.set_text(refusal.text);
    }
    *request.mutable_envelope() = std::move(envelope);
    request.set_header(std::move(head));
    request.set_now(clock_.wall().time_since_epoch().count());
    for (int i = 0; i < 2; ++i)
        if (auto id = queue_.next_queue_id())
            request.add_queue_ids(*std::move(id));
    handoff::ReportReply reply = report::compose(request, reports_);
    for (handoff::EnqueueRequest& message : *reply.mutable_messages())
        CO_TRY_VOID(co_await queue_.enqueue(std::move(*message.mutable_envelope()), std::move(*message.mutable_content())));
    for (const std::string& line : reply.log())
        log_.write(observe::Level::info, line);
    co_return Result<void>{};
}

}  // namespace posthorn::services
