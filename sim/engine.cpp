#include "sim/engine.hpp"

#include "base/strings.hpp"

#include <stdexcept>

namespace posthorn::sim {

namespace {

enum class Next : std::uint8_t { go_on, over };

/// One session in play.
class Play {
public:
    Play(const Script& script, const Settings& settings, Session& session, std::unique_ptr<net::Stream> stream)
        : script_(script), settings_(settings), session_(session), stream_(std::move(stream)), seen_(script.blocks.size(), 0)
    {
    }

    awaitable<void> run()
    {
        Next next = Next::go_on;
        const std::vector<Action>* opening = &script_.opening;
        std::vector<Action> rest;
        if (script_.greets_in_tls) {
            const auto end = std::ranges::find_if(*opening, [](const Action& action) { return action.op != Op::say; });
            for (auto at = opening->begin(); at != end; ++at)
                say(filled(at->text), true);
            rest.assign(end, opening->end());
            opening = &rest;
        }
        if (script_.tls_on_connect)
            next = co_await handshake(std::exchange(output_, {}));
        if (next == Next::go_on)
            next = co_await perform(opening);
        if (next == Next::go_on && !script_.blocks.empty())
            next = co_await serve();
        if (next == Next::go_on)
            co_await end("closed");
        session_.over = true;
    }

private:
    awaitable<Next> perform(const std::vector<Action>* actions)
    {
        for (const Action& action : *actions)
            if (co_await act(&action) == Next::over)
                co_return Next::over;
        co_return Next::go_on;
    }

    awaitable<Next> act(const Action* action)
    {
        switch (action->op) {
        case Op::say: say(filled(action->text), true); break;
        case Op::say_octets: say(filled(action->text), false); break;
        case Op::want:
        case Op::want_same_segment: co_return co_await want(action);
        case Op::content: co_return co_await content(action->number);
        case Op::chunk: co_return co_await chunk();
        case Op::flush: co_return co_await flush();
        case Op::wait:
            if (co_await flush() == Next::over)
                co_return Next::over;
            co_await sleep_for(action->pause);
            break;
        case Op::drop: input_.clear(); break;
        case Op::unsay: output_.clear(); break;
        case Op::silence: co_return co_await silence();
        case Op::starttls:
            if (!settings_.tls) {
                say("454 4.7.0 TLS is not available", true);
                co_return Next::go_on;
            }
            if (!action->text.empty())
                say(filled(action->text), true);
            if (co_await flush() == Next::over)
                co_return Next::over;
            co_return co_await handshake({});
        case Op::state: state_ = action->text; break;
        case Op::close: co_await end("closed"); co_return Next::over;
        case Op::reset:
            co_await flush();
            stream_->abort();
            session_.ended = "reset";
            co_return Next::over;
        case Op::repeat:
            for (std::uint64_t i = 0; i < action->number; ++i)
                if (co_await perform(&action->body) == Next::over)
                    co_return Next::over;
            break;
        case Op::serve: co_return co_await serve();
        }
        co_return Next::go_on;
    }

    awaitable<Next> serve()
    {
        while (true) {
            if (co_await line() == Next::over)
                co_return Next::over;
            const std::vector<Action>* answer = nullptr;
            for (std::size_t i = 0; i < script_.blocks.size() && !answer; ++i) {
                const Block& block = script_.blocks[i];
                std::vector<std::string_view> captures;
                if ((!block.in_state.empty() && block.in_state != state_) || (block.grouped && !line_grouped_) ||
                    !matches(block.pattern, line_, &captures))
                    continue;
                const std::uint32_t count = ++seen_[i];
                if (count < block.from || count > block.to)
                    continue;
                captures_.assign(captures.begin(), captures.end());
                answer = &block.actions;
            }
            if (!answer) {
                session_.faults.push_back("no answer to: " + line_);
                say("500 5.5.1 Unrecognized command", true);
            } else if (co_await perform(answer) == Next::over)
                co_return Next::over;
        }
    }

    void note(std::string_view who, std::string_view text)
    {
        session_.transcript.push_back(fmt::format("{}: {}", who, text));
        if (settings_.tell)
            settings_.tell(session_.transcript.back());
    }

    std::string filled(std::string_view text) const
    {
        std::string out;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto rest = text.substr(i);
            if (rest.starts_with("$host")) {
                out += script_.host;
                i += 4;
            } else if (rest.starts_with("$client")) {
                out += stream_->peer().ip.text();
                i += 6;
            } else if (rest.size() > 1 && rest[0] == '$' && is_digit(rest[1])) {
                const auto index = static_cast<std::size_t>(rest[1] - '0');
                if (index == 0)
                    out += line_;
                else if (index <= captures_.size())
                    out += captures_[index - 1];
                ++i;
            } else
                out += text[i];
        }
        return out;
    }

    void say(std::string text, bool whole_line)
    {
        note("S", text);
        output_ += text;
        if (whole_line)
            output_ += "\r\n";
    }

    awaitable<Next> flush()
    {
        if (output_.empty())
            co_return Next::go_on;
        if (spoken_to_)
            ++session_.turns;
        spoken_to_ = false;
        const std::string output = std::exchange(output_, {});
        stream_->expires_after(settings_.patience);
        std::string_view left = output;
        while (!left.empty()) {
            const std::size_t now = piece(left.size());
            if (auto written = co_await stream_->write(left.substr(0, now)); !written) {
                session_.ended = "failed";
                co_return Next::over;
            }
            left.remove_prefix(now);
            if (left.empty())
                break;
            if (now % 16 == 1)
                co_await sleep_for(std::chrono::milliseconds(now));
            else
                co_await asio::post(stream_->executor(), use_awaitable);    // what waits for it reads this piece alone
        }
        co_return Next::go_on;
    }

    std::size_t piece(std::size_t all)
    {
        if (settings_.pieces == 0)
            return all;
        cut_ = (cut_ == 0 ? settings_.pieces : cut_) * 1664525U + 1013904223U;
        const std::size_t size = 1 + (cut_ >> 16) % ((cut_ >> 28) < 8 ? 8 : 200);
        return std::min(size, all);
    }

    /// Waits for more input; what was kept is said first.
    awaitable<Next> more()
    {
        if (co_await flush() == Next::over)
            co_return Next::over;
        stream_->expires_after(settings_.patience);
        const std::size_t old = input_.size();
        input_.resize(old + 65536);
        auto got = co_await stream_->read_some(std::span(input_).subspan(old));
        input_.resize(old + (got ? *got : 0));
        if (!got || *got == 0) {
            session_.ended = got ? "client closed" : got.error().what().find("timed out") != std::string::npos ? "timeout" : "failed";
            stream_->close();
            co_return Next::over;
        }
        spoken_to_ = true;
        ++session_.flights;
        ++segments_;
        co_return Next::go_on;
    }

    awaitable<Next> line()
    {
        while (true) {
            if (script_.reads == Reads::group && group_left_ == 0)
                look_at_group();
            if (const auto end = input_.find("\r\n"); end != input_.npos) {
                line_ = input_.substr(0, end);
                input_.erase(0, end + 2);
                line_grouped_ = group_size_ > 1;
                if (group_left_ != 0)
                    --group_left_;
                if (script_.reads == Reads::segment && !input_.empty()) {
                    note("*", fmt::format("{} octets of the segment are lost", input_.size()));
                    input_.clear();
                }
                line_segment_ = segments_;
                note("C", line_);
                co_return Next::go_on;
            }
            if (input_.size() > 1U << 20) {
                session_.faults.emplace_back("a line of more than a megabyte");
                input_.clear();
            }
            if (co_await more() == Next::over)
                co_return Next::over;
        }
    }

    /// The lines that came together are a group: `forgets before QUIT` keeps only the last.
    void look_at_group()
    {
        std::size_t lines = 0, last = 0, at = 0;
        for (auto end = input_.find("\r\n"); end != input_.npos; end = input_.find("\r\n", at)) {
            last = at;
            at = end + 2;
            ++lines;
        }
        group_left_ = group_size_ = lines;
        if (script_.forgets_before.empty() || lines < 2 || at != input_.size())
            return;
        if (istarts_with(std::string_view(input_).substr(last), script_.forgets_before)) {
            note("*", fmt::format("{} commands of the group are forgotten", lines - 1));
            input_.erase(0, last);
            group_left_ = group_size_ = 1;
        }
    }

    awaitable<Next> want(const Action* action)
    {
        const unsigned before = segments_;
        if (co_await line() == Next::over)
            co_return Next::over;
        std::vector<std::string_view> captures;
        if (!matches(action->text, line_, &captures))
            session_.faults.push_back(fmt::format("line {}: wanted '{}', got '{}'", action->line, action->text, line_));
        else
            captures_.assign(captures.begin(), captures.end());
        if (action->op == Op::want_same_segment && line_segment_ != before)
            session_.faults.push_back(fmt::format("line {}: '{}' came in a segment of its own", action->line, line_));
        co_return Next::go_on;
    }

    awaitable<Next> content(std::uint64_t limit)
    {
        group_left_ = 0;
        for (std::size_t searched = 0;;) {
            if (limit != 0 && input_.size() >= limit) {
                input_.erase(0, limit);
                co_return Next::go_on;
            }
            if (input_.starts_with(".\r\n")) {
                input_.erase(0, 3);
                keep({});
                co_return Next::go_on;
            }
            if (const auto end = input_.find("\r\n.\r\n", searched); end != input_.npos) {
                keep(unstuffed(std::string_view(input_).substr(0, end + 2)));
                input_.erase(0, end + 5);
                co_return Next::go_on;
            }
            searched = input_.size() > 4 ? input_.size() - 4 : 0;
            if (input_.size() >= settings_.content_limit) {
                session_.faults.emplace_back("content over the limit");
                co_return Next::over;
            }
            if (co_await more() == Next::over)
                co_return Next::over;
        }
    }

    static std::string unstuffed(std::string_view octets)
    {
        std::string out;
        out.reserve(octets.size());
        bool line_start = true;
        for (std::size_t i = 0; i < octets.size(); ++i) {
            if (line_start && octets[i] == '.') {
                line_start = false;
                continue;
            }
            out += octets[i];
            line_start = octets[i] == '\n' && i > 0 && octets[i - 1] == '\r';
        }
        return out;
    }

    void keep(std::string octets)
    {
        note("*", fmt::format("{} octets of content", octets.size()));
        session_.contents.push_back(std::move(octets));
        session_.turn_of_content.push_back(session_.turns);
    }

    awaitable<Next> chunk()
    {
        const auto words = split(line_);
        const auto size = words.size() > 1 ? parse_number(words[1]) : std::nullopt;
        group_left_ = 0;
        if (!size || *size > settings_.content_limit) {
            session_.faults.push_back("a bad BDAT: " + line_);
            co_return Next::go_on;
        }
        while (input_.size() < *size)
            if (co_await more() == Next::over)
                co_return Next::over;
        keep(input_.substr(0, *size));
        input_.erase(0, *size);
        co_return Next::go_on;
    }

    awaitable<Next> silence()
    {
        output_.clear();
        while (co_await more() == Next::go_on)
            input_.clear();
        co_return Next::over;
    }

    awaitable<Next> handshake(std::string greeting)
    {
        if (!settings_.tls) {
            session_.faults.emplace_back("no TLS here");
            co_await end("closed");
            co_return Next::over;
        }
        auto secured = co_await settings_.tls(std::move(stream_), std::move(greeting));
        input_.clear();
        group_left_ = 0;
        if (!secured) {
            session_.ended = "TLS: " + secured.error().text();
            note("*", session_.ended);
            co_return Next::over;
        }
        stream_ = *std::move(secured);
        ++session_.handshakes;
        note("*", "TLS");
        co_return Next::go_on;
    }

    awaitable<void> end(std::string how)
    {
        if (co_await flush() == Next::over)
            co_return;
        (void)co_await stream_->shutdown();   // the client may be gone already
        stream_->close();
        session_.ended = std::move(how);
        note("*", "closed");
    }

    const Script& script_;
    const Settings& settings_;
    Session& session_;
    std::unique_ptr<net::Stream> stream_;
    std::string input_, output_, line_, state_ = "start";
    std::vector<std::string> captures_;
    std::vector<std::uint32_t> seen_;
    std::size_t group_left_ = 0, group_size_ = 0;
    bool line_grouped_ = false;
    std::uint32_t cut_ = 0;
    unsigned segments_ = 0, line_segment_ = 0;
    bool spoken_to_ = true;                 // the greeting is a turn as well: the client waits for it
};

}  // namespace

std::vector<std::string> Session::said() const
{
    std::vector<std::string> lines;
    for (const std::string& line : transcript)
        if (line.starts_with("C: "))
            lines.push_back(line.substr(3));
    return lines;
}

Peer::Peer(std::string_view script, Settings settings) : settings_(std::move(settings))
{
    auto parsed = Script::parse(script);
    if (!parsed)
        throw std::runtime_error(parsed.error().text());
    script_ = *std::move(parsed);
}

Peer::Peer(Script script, Settings settings) : script_(std::move(script)), settings_(std::move(settings)) {}

awaitable<void> Peer::play(std::unique_ptr<net::Stream> stream)
{
    Session& session = sessions_.emplace_back();
    Play play(script_, settings_, session, std::move(stream));
    co_await play.run();
}

std::vector<std::string> Peer::contents() const
{
    std::vector<std::string> all;
    for (const Session& session : sessions_)
        all.insert(all.end(), session.contents.begin(), session.contents.end());
    return all;
}

std::vector<std::string> Peer::faults() const
{
    std::vector<std::string> all;
    for (const Session& session : sessions_)
        all.insert(all.end(), session.faults.begin(), session.faults.end());
    return all;
}

}  // namespace posthorn::sim
