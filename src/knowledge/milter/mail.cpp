#include "milter/mail.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"

#include <algorithm>

namespace posthorn::milter {

Mail::Mail(std::string_view front, std::uint64_t size, Read read, std::uint64_t body_limit)
    : size_(size), read_(std::move(read)), body_limit_(body_limit)
{
    message::HeaderWalk walk(front);
    while (const auto field = walk.next()) {
        header_.emplace_back(std::string(field->whole));
        if (!header_.back().text.ends_with('\n'))
            header_.back().text += "\r\n";
    }
    if (!header_.empty())
        header_.front().ours = true;
    separated_ = walk.end() == message::HeaderEnd::empty_line;
    body_offset_ = walk.body_offset();
}

awaitable<Result<std::unique_ptr<Mail>>> Mail::load(std::uint64_t size, Read read, std::uint64_t body_limit)
{
    std::string front;
    for (std::size_t most = 64U << 10;; most *= 2) {
        CO_TRY(const std::string piece, co_await read(front.size(), most));
        front += piece;
        if (piece.empty() || message::walk_to_end(front).end() == message::HeaderEnd::empty_line || message::ended_by_no_field(front))
            break;
    }
    co_return std::make_unique<Mail>(front, size, std::move(read), body_limit);
}

awaitable<Result<std::string>> Mail::body(std::uint64_t offset, std::size_t most) const
{
    if (new_body_)
        co_return offset < new_body_->size() ? new_body_->substr(static_cast<std::size_t>(offset), most) : std::string{};
    const std::uint64_t at = body_offset_ + offset;
    if (at >= size_)
        co_return std::string{};
    co_return co_await read_(at, static_cast<std::size_t>(std::min<std::uint64_t>(most, size_ - at)));
}

std::size_t Mail::find(std::string_view name, std::uint32_t index) const
{
    for (std::size_t at = 0; at < header_.size(); ++at) {
        if (header_[at].ours)
            continue;
        message::HeaderWalk walk(header_[at].text);
        const auto field = walk.next();
        if (field && field->is(name) && --index == 0)
            return at;
    }
    return header_.size();
}

Result<void> Mail::apply(const Response& response, bool space)
{
    using Kind = EnvelopeChange::Kind;
    const auto field = [&] { return HeaderField(field_text(response.first, response.second, space), true); };
    const auto where = [&](std::size_t at) { return header_.begin() + static_cast<std::ptrdiff_t>(std::min(at, header_.size())); };
    switch (response.answer) {
    case Answer::add_header:
        changed_ = true;
        header_.push_back(field());
        break;
    case Answer::insert_header:
        changed_ = true;
        header_.insert(where(response.index), field());
        break;
    case Answer::change_header: {
        const std::size_t at = find(response.first, response.index);
        if (response.second.empty()) {
            if (at == header_.size())
                break;
            header_.erase(where(at));
        } else if (at == header_.size()) {
            header_.push_back(field());
        } else {
            header_[at] = field();
        }
        changed_ = true;
        break;
    }
    case Answer::replace_body: return add_to_body(response.first);
    case Answer::change_sender: envelope_.emplace_back(Kind::sender, response.first, response.second); break;
    case Answer::add_recipient:
    case Answer::add_recipient_with: envelope_.emplace_back(Kind::add_recipient, response.first, response.second); break;
    case Answer::delete_recipient: envelope_.emplace_back(Kind::delete_recipient, response.first, std::string{}); break;
    default: break;
    }
    return {};
}

// Line ends become CRLF, wherever the pieces are cut.
Result<void> Mail::add_to_body(std::string_view octets)
{
    if (!coming_) {
        coming_.emplace();
        after_cr_ = false;
    }
    if (body_limit_ != 0 && coming_->size() + octets.size() > body_limit_)
        return Error{"the new body is larger than a message may be"};
    for (const char c : octets) {
        if (c == '\n' && !after_cr_)
            *coming_ += '\r';
        *coming_ += c;
        after_cr_ = c == '\r';
    }
    return {};
}

void Mail::end_of_changes()
{
    if (!coming_)
        return;
    if (!coming_->empty() && !coming_->ends_with('\n'))
        *coming_ += after_cr_ ? "\n" : "\r\n";
    new_body_ = std::exchange(coming_, std::nullopt);
    changed_ = true;
}

std::string Mail::head() const
{
    std::string text;
    for (const HeaderField& field : header_)
        text += field.text;
    if (separated_ || new_body_)
        text += "\r\n";
    return text;
}

}  // namespace posthorn::milter
