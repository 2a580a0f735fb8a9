// tester/conversation.hpp: one session with a server under test.
// Shape    say() writes what it is given in one segment; reply() reads one reply. Whatever passes is kept in the transcript.
// Errors   none: that the server closes, resets or keeps silent is what we came to see; `end()` says which it was.
#pragma once

#include "async/async.hpp"
#include "net/stream.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::tester {

struct Line {
    Line(char from, std::string words, bool together = false) : who(from), text(std::move(words)), with_next(together) {}
    char who;                             // 'S' the server, 'C' we, '*' a remark
    std::string text;
    bool with_next;                       // the next line travels in the same segment
};
using Transcript = std::vector<Line>;

class Conversation {
public:
    enum class End { open, closed, reset, timeout };
    Conversation(std::unique_ptr<net::Stream> stream, std::chrono::milliseconds patience) : stream_(std::move(stream)), patience_(patience) {}
    Conversation(Conversation&&) = delete;

    /// Lines without their ends, in one segment. False where the connection is gone.
    awaitable<bool> say(std::vector<std::string> lines);
    /// Octets as they are, shown under `shown`.
    awaitable<bool> send(std::string octets, std::string shown);
    /// The next reply; none where the server closed or `patience` was over.
    awaitable<std::optional<smtp::Reply>> reply();
    awaitable<std::optional<smtp::Reply>> reply_within(std::chrono::milliseconds patience);
    /// say(), then one reply per line, as far as they come.
    awaitable<std::vector<smtp::Reply>> ask(std::vector<std::string> lines);
    void remark(std::string text) { transcript_.emplace_back('*', std::move(text)); }
    void close() { stream_->close(); }

    /// Hands the stream to TLS and takes what that gives back; octets that were read already are lost, as they must be.
    std::unique_ptr<net::Stream> take_stream() { return std::move(stream_); }
    void resume(std::unique_ptr<net::Stream> stream)
    {
        stream_ = std::move(stream);
        unread_.clear();
    }
    bool has_stream() const { return stream_ != nullptr; }

    End end() const { return end_; }
    const Transcript& transcript() const { return transcript_; }
    std::optional<smtp::Greeting> greeting;
    smtp::Features features;

private:
    std::unique_ptr<net::Stream> stream_;
    std::chrono::milliseconds patience_;
    smtp::ReplyParser parser_;
    std::string unread_;
    Transcript transcript_;
    End end_ = End::open;
};

}  // namespace posthorn::tester
