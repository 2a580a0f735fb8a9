#include "milter/mail.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"

#include <algorithm>

namespace posthorn::milter {

namespace {

/// Of a header that goes on: where its last field begins, of which more may come.
std::size_t last_field(std::string_view front)
{
    message::HeaderWalk walk(front);
    std::size_t offset = 0;
    while (const auto field = walk.next())
        offset = field->offset;
    return offset;
}

}  // namespace

HeaderField::HeaderField(std::string whole, bool theirs) : text(std::move(whole)), from_filter(theirs)
{
    message::HeaderWalk walk(text);
    if (const auto field = walk.next())
        name_size = field->name.size();
}

bool HeaderField::is(std::string_view name) const { return name.size() == name_size && iequals(std::string_view(text).substr(0, name_size), name); }

Mail::Mail(std::string_view front, std::uint64_t size, Read read, std::uint64_t body_limit)
    : size_(size), read_(std::move(read)), body_limit_(body_limit)
{
    message::HeaderWalk walk(front);
    while (const auto field = walk.next()) {
        header_.emplace_back(std::string(field->whole));
        if (!header_.back().text.ends_with('\n'))
            header_.back().text += "\r\n";
        header_held_ += sizeof(HeaderField) + header_.back().text.size();
    }
    const auto own = std::ranges::find_if(header_, [](const HeaderField& field) { return field.is("Received"); });
    if (own != header_.end())
        own->ours = true;
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
        if (front.size() < header_limit)
            continue;
        if (const std::size_t cut = last_field(front); cut != 0) {
            front.resize(cut);
            break;
        }
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

std::size_t Mail::held() const { return header_held_ + (new_body_ ? new_body_->size() : 0) + (coming_ ? coming_->size() : 0); }

std::size_t Mail::find(std::string_view name, std::uint32_t index) const
{
    for (std::size_t at = 0; at < header_.size(); ++at) {
        const HeaderField& field = header_[at];
        if (!field.ours && field.is(name) && --index == 0)
            return at;
    }
    return header_.size();
}

Result<void> Mail::apply(const Response& response, bool space)
{
    using Kind = EnvelopeChange::Kind;
    if (!before_)
        before_ = std::make_unique<Before>(header_, changed_, envelope_.size());
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
    if (may_hold_ && !may_hold_(held() + octets.size()))
        return Error{"no memory is left for the new body", "4.3.1"};
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
    before_.reset();
    if (!coming_)
        return;
    if (!coming_->empty() && !coming_->ends_with('\n'))
        *coming_ += after_cr_ ? "\n" : "\r\n";
    new_body_ = std::exchange(coming_, std::nullopt);
    changed_ = true;
}

void Mail::take_back_changes()
{
    coming_.reset();
    if (!before_)
        return;
    header_ = std::move(before_->header);
    changed_ = before_->changed;
    envelope_.erase(envelope_.begin() + static_cast<std::ptrdiff_t>(before_->envelope_changes), envelope_.end());
    before_.reset();
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
