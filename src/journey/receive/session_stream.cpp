// What goes over the client's stream and when: replies gather and leave together, input is waited for within its time.
#include "base/strings.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

// Input as evidence in a log line: at most 100 octets, line ends and the like as C writes them.
std::string escaped(std::string_view octets)
{
    std::string text;
    for (const char c : octets.substr(0, 100)) {
        switch (c) {
        case '\r': text += "\\r"; break;
        case '\n': text += "\\n"; break;
        case '\t': text += "\\t"; break;
        case '\\': text += "\\\\"; break;
        default:
            if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126)
                text += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
            else
                text += c;
        }
    }
    return text;
}

std::size_t next_line(std::string_view lines, std::size_t at) { return std::min(lines.find('\n', at), lines.size() - 1) + 1; }

// What came too early, without what a client says of AUTH: a password is nobody's business.
std::string evidence(std::string_view after, std::string_view octets)
{
    constexpr std::string_view hidden = "(what AUTH says is not logged)";
    if (after == "AUTH")
        return std::string(hidden);
    for (std::size_t begin = 0; begin < octets.size(); begin = next_line(octets, begin))
        if (istarts_with(trim(octets.substr(begin)), "AUTH"))
            return escaped(octets.substr(0, begin)) + std::string(hidden);
    return escaped(octets);
}

}  // namespace

void Session::start_request() { request_deadline_ = std::chrono::steady_clock::now() + core_.pace().timeout; }

// smtpd_min_data_rate: who keeps the rate keeps the time. Never more of it than smtpd_timeout: what was sent fast at first is no leave to hold a place
// for hours, and who keeps the rate needs none.
void Session::earn_time(std::uint64_t octets)
{
    request_deadline_ = std::min(request_deadline_ + std::chrono::microseconds{octets * 1'000'000 / core_.options.min_data_rate},
                                 std::chrono::steady_clock::now() + core_.pace().timeout);
}

void Session::set_deadline()
{
    const Pace& pace = core_.pace();
    if (pace.per_request_deadline)
        stream_->expires_at(request_deadline_);
    else
        stream_->expires_after(pace.timeout);
}

awaitable<bool> Session::flush()
{
    if (transaction_ && !transaction_->asked.empty())
        co_await ask_filter(false);
    if (storing_ && !co_await end_storing())
        co_return false;
    if (out_.empty())
        co_return true;
    if (!rejects_.empty())
        co_await edit_rejects();
    if (std::exchange(long_reply_, false))
        out_ = smtp::within_line_limit(out_);
    co_return co_await transmit(std::exchange(out_, {}));
}

awaitable<bool> Session::transmit(std::string text)
{
    if (!stream_)
        co_return false;
    // The replies have a limit of their own: what was spent on deciding them is not the client's. The last words have little.
    const bool leaving = dismissed_ || end_ == End::timeout || end_ == End::hangup;
    stream_->expires_after(leaving ? std::min(core_.pace().timeout, std::chrono::seconds{5}) : core_.pace().timeout);
    if (debug_)
        transcript('>', text);
    const auto written = co_await stream_->write(text);
    if (!written) {
        if (end_ == End::none)
            lost(written.error());
        co_return false;
    }
    co_return true;
}

// Sends what is to be said, then waits for more. An idle session waits without a buffer, and may be asked to go.
awaitable<bool> Session::fill(std::size_t most)
{
    if (storing_ && read_unwaited_ < Content::block) {
        // What the client has sent meanwhile need not wait for the disk.
        const std::span<char> room = input_.room(in_content_);
        if (const net::Io io = stream_->try_read(room.first(std::min(room.size(), most))); io.state == net::Io::State::done && io.octets > 0) {
            read_unwaited_ += io.octets;
            input_.added(io.octets);
            co_return true;
        }
    }
    if (!co_await flush())
        co_return false;
    if (end_ != End::none)
        co_return false;
    if (!in_content_ && !input_.mid_line())
        start_request();
    set_deadline();
    if (in_content_ && input_.empty() && read_unwaited_ < Content::block) {
        // As a rule more of it is there. None is read for ever without a wait: others want their turn.
        const std::span<char> room = input_.room(true);
        if (const net::Io io = stream_->try_read(room.first(std::min(room.size(), most))); io.state == net::Io::State::done) {
            read_unwaited_ += io.octets;
            input_.added(io.octets);
            co_return true;
        }
    }
    read_unwaited_ = 0;
    if (input_.empty()) {
        input_.settle();
        std::optional<Places::Idle> idle;
        if (!transaction_ && !in_content_) {
            if (core_.closing) {
                say(fmt::format("421 4.3.2 {} Service is shutting down", core_.options.myhostname));
                co_return false;
            }
            idle.emplace(core_.places, *this);
        }
        const auto readable = stream_->has_buffered() ? Result<void>{} : co_await stream_->wait(net::Direction::read);
        if (idle)
            idle->end(dismissed_);
        if (dismissed_) {
            say(fmt::format("421 4.3.2 {} {}", core_.options.myhostname,
                            core_.closing ? "Service is shutting down" : "Error: too many idle sessions"));
            co_return false;
        }
        if (!readable) {
            lost(readable.error());
            co_return false;
        }
    }
    const std::span<char> room = input_.room(in_content_);
    const auto got = co_await stream_->read_some(room.first(std::min(room.size(), most)));
    if (!got) {
        input_.settle();
        lost(got.error());
        co_return false;
    }
    if (*got == 0) {
        input_.settle();
        end_ = End::lost;
        co_return false;
    }
    input_.added(*got);
    co_return true;
}

void Session::lost(const Error& error)
{
    if (error.what() == "conversation timed out") {
        end_ = End::timeout;
        // Said although the time is up: a client that is merely slow learns why.
        say(fmt::format("421 4.4.2 {} Error: timeout exceeded", core_.options.myhostname));
    } else if (error.status() == "4.3.2") {
        end_ = End::hangup;
        say(fmt::format("421 4.3.2 {} Service is shutting down", core_.options.myhostname));
    } else {
        end_ = End::lost;
    }
}

void Session::dismiss()
{
    dismissed_ = true;
    stream_->expires_at(std::chrono::steady_clock::now());
}

// While RCPTs gather for the filter the replies behind them wait, but not long.
awaitable<void> Session::before_wait()
{
    if (!transaction_ || transaction_->asked.empty() || std::chrono::steady_clock::now() - transaction_->asked_since > std::chrono::seconds{1})
        (void)co_await flush();
}

void Session::say(std::string_view reply, bool by_rule)
{
    const std::size_t begin = out_.size();
    out_ += reply;
    if (core_.options.policy.soft_bounce && reply.starts_with('5'))
        for (std::size_t at = begin; at < out_.size(); at = next_line(out_, at)) {  // a filter's may have several lines
            out_[at] = '4';
            if (out_.size() > at + 5 && out_[at + 4] == '5' && out_[at + 5] == '.')
                out_[at + 4] = '4';
        }
    if (core_.edits_rejects() && (reply.starts_with('4') || reply.starts_with('5')))
        rejects_.emplace_back(begin, reply.size());
    if (record_) {
        record_->decided(std::string_view(out_).substr(begin), by_rule, where_);
        if (!storing_)
            record_->said(std::string_view(out_).substr(begin));
    }
    long_reply_ = long_reply_ || reply.size() > 512 - 2;
    out_ += "\r\n";
    if ((reply.starts_with("421") || reply.starts_with("521")) && end_ == End::none)
        end_ = End::hangup;
}

void Session::say_line(int code, std::string_view status, std::string_view text) { say(fmt::format("{} {} {}", code, status, text)); }

void Session::say(const smtp::Reply& reply)
{
    std::string wire = reply.wire();
    if (wire.ends_with("\r\n"))
        wire.resize(wire.size() - 2);
    say(wire);
}

// True: input has come where none may, and the session is over.
bool Session::poll_early_input(std::string_view after)
{
    if (facts_.pipelined_early)
        return false;
    if (input_.empty()) {
        const auto room = input_.room();
        const net::Io got = stream_->try_read(room);
        if (got.state == net::Io::State::done)
            input_.added(got.octets);
        input_.settle();
    }
    if (input_.empty())
        return false;
    core_.outside.log.info("improper command pipelining after {} from {}: {}", after, namaddr(), evidence(after, input_.view()));
    facts_.pipelined_early = true;
    if (!core_.options.forbid_unauth_pipelining)
        return false;
    say_line(554, "5.5.0", "Error: SMTP protocol synchronization");
    end_ = End::hangup;
    return true;
}

}  // namespace posthorn::receive
