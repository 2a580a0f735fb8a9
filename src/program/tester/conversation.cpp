#include "tester/conversation.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::tester {

awaitable<bool> Conversation::say(std::vector<std::string> lines)
{
    std::string segment;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        segment += lines[at] + "\r\n";
        transcript_.emplace_back('C', printable(lines[at], true), at + 1 < lines.size());
    }
    if (!stream_ || end_ != End::open)
        co_return false;
    stream_->expires_after(patience_);
    const auto written = co_await stream_->write(std::string_view(segment));
    co_return written.has_value();
}

awaitable<bool> Conversation::send(std::string octets, std::string shown)
{
    transcript_.emplace_back('C', std::move(shown));
    if (!stream_ || end_ != End::open)
        co_return false;
    stream_->expires_after(patience_);
    const auto written = co_await stream_->write(std::string_view(octets));
    co_return written.has_value();
}

awaitable<std::optional<smtp::Reply>> Conversation::reply() { return reply_within(patience_); }

awaitable<std::optional<smtp::Reply>> Conversation::reply_within(std::chrono::milliseconds patience)
{
    if (!stream_ || end_ != End::open)
        co_return std::nullopt;
    stream_->expires_after(patience);
    for (;;) {
        std::string_view octets = unread_;
        auto parsed = parser_.feed(octets);
        unread_.erase(0, unread_.size() - octets.size());
        if (!parsed) {
            end_ = End::closed;
            remark("a reply without end");
            co_return std::nullopt;
        }
        if (*parsed) {
            const smtp::Reply& whole = **parsed;
            for (std::size_t at = 0; at < whole.lines.size(); ++at)
                transcript_.emplace_back(
                    'S', printable(fmt::format("{}{}{}", whole.code, at + 1 < whole.lines.size() ? '-' : ' ', whole.lines[at]), true));
            co_return **parsed;
        }
        std::array<char, 4096> room;
        const auto got = co_await stream_->read_some(room);
        if (got && *got > 0) {
            unread_.append(room.data(), *got);
            continue;
        }
        if (!got && got.error().what().find("timed out") != std::string::npos && patience < patience_)
            co_return std::nullopt;                          // a look, not a wait
        end_ = got ? End::closed : got.error().what().find("timed out") != std::string::npos ? End::timeout : End::reset;
        remark(end_ == End::closed ? "the server closes" : end_ == End::reset ? "the connection is lost" : "the server keeps silent");
        co_return std::nullopt;
    }
}

awaitable<std::vector<smtp::Reply>> Conversation::ask(std::vector<std::string> lines)
{
    const std::size_t count = lines.size();
    std::vector<smtp::Reply> replies;
    if (!co_await say(std::move(lines)))
        co_return replies;
    while (replies.size() < count) {
        auto next = co_await reply();
        if (!next) {
            remark(fmt::format("{} more {} due", count - replies.size(), count - replies.size() == 1 ? "reply was" : "replies were"));
            break;
        }
        replies.push_back(*std::move(next));
    }
    co_return replies;
}

}  // namespace posthorn::tester
