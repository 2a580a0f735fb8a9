#include "receive/content.hpp"

#include "message/header.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

handoff::Refusal refusal_of(const Error& error)
{
    if (error.status() == "4.3.1")
        return {452, "4.3.1", "Insufficient system storage"};
    // The queue takes no mail of this account now, or none at all.
    if (const std::string_view status = error.status(); status == "4.7.1" || status == "5.7.1")
        return {status.starts_with('4') ? 450 : 554, error.status(), "Error: " + error.text()};
    return {451, "4.3.0", "Error: queue file write error"};
}

Content::Content(handoff::Envelope envelope, std::string ours, Limits limits, Ceiling& ceiling, handoff::Cleaner& cleaner, IncomingFolder& folder)
    : envelope_(std::move(envelope)), limits_(limits), cleaner_(cleaner), folder_(folder), share_(ceiling), held_(std::move(ours)),
      ours_(held_.size())
{
    searched_ = held_.size() < 2 ? 0 : held_.size() - 2;
}

void Content::refuse(handoff::Refusal refusal)
{
    if (!refusal_)
        refusal_ = std::move(refusal);
    std::string().swap(held_);
    file_.reset();
    share_.set(0);
}

void Content::refuse(std::string_view while_doing, const Error& error)
{
    trouble_ = fmt::format("{} queue file: {}", while_doing, error.evidence().empty() ? error.text() : error.evidence());
    refuse(refusal_of(error));
}

bool Content::hold(std::size_t octets)
{
    if (share_.set(octets))
        return true;
    trouble_ = share_.limit_text();
    refuse(handoff::Refusal{452, "4.3.1", "Insufficient system storage"});
    return false;
}

awaitable<void> Content::add(std::string octets)
{
    received_ += octets.size();
    if (refusal_)
        co_return;
    if (limits_.message_size != 0 && received_ > limits_.message_size) {
        refuse(handoff::Refusal{552, "5.3.4", "Error: message file too big"});
        co_return;
    }
    if (cleaned_) {
        co_await take_body(std::move(octets), false);
        co_return;
    }
    if (!hold(held_.size() + octets.size()))
        co_return;
    const std::size_t before = held_.size();
    held_ += octets;
    const auto end = held_.find("\r\n\r\n", searched_);
    if (end == std::string::npos) {
        searched_ = held_.size() < 3 ? 0 : held_.size() - 3;
        if (held_.size() < head_limit)
            co_return;
    }
    const std::size_t cut = end != std::string::npos ? end + 4 : cut_of_head(before);
    if (cut == 0)
        co_return;
    std::string body = held_.substr(cut);
    held_.resize(cut);
    co_await clean_head();
    if (!refusal_ && !body.empty())
        co_await take_body(std::move(body), false);
}

std::string* Content::body()
{
    if (!cleaned_ || refusal_ || body_)
        return nullptr;
    if (held_.size() > handoff::inline_content_limit)
        held_.reserve(block + block / 16);                         // it becomes a file; line ends that the client left out need room too
    return &held_;
}

bool Content::added(std::size_t octets)
{
    received_ += octets;
    if (limits_.message_size != 0 && received_ > limits_.message_size) {
        refuse(handoff::Refusal{552, "5.3.4", "Error: message file too big"});
        return false;
    }
    stored_ += octets;
    return hold(held_.size()) && held_.size() >= block;
}

void Content::settle_first_line()
{
    std::size_t at = ours_;
    const auto rest = [&] { return std::string_view(held_).substr(at); };
    for (;;) {
        const std::string_view line = rest();
        if (!line.substr(std::min(line.find_first_not_of('>'), line.size())).starts_with("From "))
            break;
        held_.insert(at, "X-Mailbox-Line: ");
        at = std::min(held_.find('\n', at), held_.size() - 1) + 1;
    }
    if (at == ours_ && (rest().starts_with(' ') || rest().starts_with('\t')))
        held_.insert(at, "\r\n");
}

/// Where a head ends that is too long to be waited for; `before`: what was looked at already. 0: it is one field. From then on a line has to
/// begin that does not continue it: the head is not walked through again for every octet that a client sends apart.
std::size_t Content::cut_of_head(std::size_t before) const
{
    const bool first = before < head_limit;
    const std::size_t least = first ? ours_ : std::max(ours_, before - 1);
    std::size_t cut = held_.size() - 1;
    while (cut > least && !(held_[cut - 1] == '\n' && held_[cut] != ' ' && held_[cut] != '\t'))
        --cut;
    if (cut <= least)
        cut = 0;
    if ((cut != 0 || first) && message::ended_by_no_field(held_))
        return held_.size();
    return cut;
}

awaitable<void> Content::clean_head()
{
    cleaned_ = true;
    settle_first_line();
    auto cleaned = co_await cleaner_.clean(std::move(envelope_), std::exchange(held_, {}));
    if (!cleaned) {
        refuse(std::move(cleaned).error());
        co_return;
    }
    envelope_ = std::move(cleaned->envelope);
    discard_ = cleaned->discard;
    body_ = std::move(cleaned->body);
    co_await store(std::move(cleaned->head));
}

awaitable<void> Content::take_body(std::string octets, bool last)
{
    if (body_) {
        auto changed = co_await body_->clean(std::move(octets), last);
        if (!changed) {
            refuse(std::move(changed).error());
            co_return;
        }
        octets = *std::move(changed);
    }
    if (!octets.empty())
        co_await store(std::move(octets));
}

awaitable<void> Content::store(std::string octets)
{
    stored_ += octets.size();
    if (!hold(held_.size() + octets.size()))
        co_return;
    if (held_.empty())
        held_ = std::move(octets);
    else
        held_ += octets;
    if (held_.size() >= block)
        co_await write_out(true);
}

// Whole blocks, or all there is.
awaitable<void> Content::write_out(bool blocks)
{
    if (!file_) {
        auto created = co_await folder_.create(envelope_.queue_id());
        if (!created) {
            refuse("create", created.error());
            co_return;
        }
        file_ = *std::move(created);
    }
    const std::size_t whole = blocks ? held_.size() / block * block : held_.size();
    if (whole == 0)
        co_return;
    const auto written = co_await file_->append(std::string_view(held_).substr(0, whole));
    if (!written) {
        refuse("write", written.error());
        co_return;
    }
    if (blocks)
        held_.erase(0, whole);                                     // a few octets stay, and the room: as much comes next
    else
        std::string().swap(held_);                                 // an assignment would keep the room
    share_.set(held_.size());
}

awaitable<void> Content::finish()
{
    if (!refusal_ && !cleaned_)
        co_await clean_head();
    if (!refusal_ && body_) {
        co_await take_body({}, true);
        discard_ |= body_->discards();
        if (!refusal_) {
            auto concluded = co_await body_->conclude(std::move(envelope_));
            if (concluded)
                envelope_ = *std::move(concluded);
            else
                refuse(std::move(concluded).error());
        }
    }
    envelope_.set_size(stored_);
}

awaitable<Result<std::string>> Content::read(std::uint64_t offset, std::size_t most)
{
    const std::uint64_t written = stored_ - held_.size();
    if (offset < written)
        co_return co_await file_->read(offset, static_cast<std::size_t>(std::min<std::uint64_t>(most, written - offset)));
    offset -= written;
    co_return offset < held_.size() ? held_.substr(static_cast<std::size_t>(offset), most) : std::string{};
}

void Content::set_envelope(handoff::Envelope envelope)
{
    envelope_ = std::move(envelope);
    envelope_.set_size(stored_);
}

// A file is written anew, under the same name: the queue knows files by queue id.
awaitable<void> Content::rewrite(std::string head, std::uint64_t old_head, std::optional<std::string> body)
{
    const std::uint64_t written = stored_ - held_.size();
    const std::unique_ptr<IncomingFile> old = std::move(file_);
    const std::string rest = std::exchange(held_, {});
    stored_ = 0;
    if (old)
        if (const auto freed = co_await old->give_up_name(); !freed) {
            refuse("write", freed.error());
            co_return;
        }
    co_await store(std::move(head));
    if (body) {
        if (!refusal_)
            co_await store(*std::move(body));
    } else {
        for (std::uint64_t at = old_head; at < written && !refusal_;) {
            auto piece = co_await old->read(at, static_cast<std::size_t>(std::min<std::uint64_t>(block, written - at)));
            if (!piece || piece->empty()) {
                refuse("read", piece ? Error{"it ends too early"} : piece.error());
                co_return;
            }
            at += piece->size();
            co_await store(*std::move(piece));
        }
        const std::uint64_t in_rest = old_head > written ? old_head - written : 0;
        if (!refusal_ && in_rest < rest.size())
            co_await store(rest.substr(static_cast<std::size_t>(in_rest)));
    }
    envelope_.set_size(stored_);
}

awaitable<void> Content::seal()
{
    if (refusal_ || inline_in_queue())
        co_return;
    co_await write_out(false);
    if (refusal_)
        co_return;
    if (const auto synced = co_await file_->sync(); !synced)
        refuse("sync", synced.error());
}

handoff::Content Content::take_content()
{
    handoff::Content content;
    if (file_)
        content.set_file(file_->name());
    else
        content.set_inline_octets(std::exchange(held_, {}));
    return content;
}

void Content::committed()
{
    if (file_)
        file_->keep();
}

void Content::refused(const Error& by_queue)
{
    if (file_ && by_queue.status() != "4.3.1")
        file_->keep();
}

}  // namespace posthorn::receive
