#include "sim/random_peer.hpp"

#include "base/strings.hpp"

namespace posthorn::sim {

namespace {

constexpr unsigned commands_at_most = 200;

}  // namespace

/// One session.
struct RandomPeer::Talk {
    Talk(RandomPeer& who, std::unique_ptr<net::Stream> what) : peer(who), stream(std::move(what)) {}

    RandomPeer& peer;
    std::unique_ptr<net::Stream> stream;
    std::string input, output, line;
    bool over = false;

    awaitable<void> flush()
    {
        const std::string now = std::exchange(output, {});
        if (now.empty() || over)
            co_return;
        stream->expires_after(std::chrono::seconds(5));
        // Sometimes a reply is cut in two, with a moment between.
        const std::size_t cut = peer.chance(10) ? peer.below(static_cast<unsigned>(now.size())) : 0;
        if (cut != 0) {
            over = over || !co_await stream->write(std::string_view(now).substr(0, cut));
            co_await sleep_for(std::chrono::milliseconds(1));
        }
        over = over || !co_await stream->write(std::string_view(now).substr(cut));
    }

    awaitable<bool> more()
    {
        co_await flush();
        if (over)
            co_return false;
        stream->expires_after(std::chrono::seconds(5));
        char room[8192];
        auto got = co_await stream->read_some(room);
        if (!got || *got == 0)
            over = true;
        else
            input.append(room, *got);
        co_return !over;
    }

    awaitable<bool> next_line()
    {
        std::size_t end;
        while ((end = input.find("\r\n")) == input.npos)
            if (!co_await more())
                co_return false;
        line = input.substr(0, end);
        input.erase(0, end + 2);
        co_return true;
    }

    void say(const std::string& text)
    {
        output += text + "\r\n";
        if (text.size() >= 3 && text[0] == '5' && is_digit(text[1]) && is_digit(text[2]))
            peer.refusals_.push_back(text);
    }

    /// What a correct server says here, or some mischief instead.
    awaitable<void> answer(std::string right)
    {
        if (!peer.chance(peer.mischief_)) {
            say(right);
            co_return;
        }
        switch (peer.below(16)) {
        case 0: say("550 5.1.1 no such user"); break;
        case 1: say("451 4.3.0 later"); break;
        case 2: say("421 4.3.2 going down"); break;
        case 3: say("221 2.0.0 bye"); break;
        case 4: say("354 go ahead"); break;
        case 5:
            say("what?");
            say(right);
            break;
        case 6:
            say(right);
            say(right);
            break;                       // twice
        case 7: break;                                               // not at all
        case 8:
            say("250-first");
            say("550 then otherwise");
            break;
        case 9:
            output += right.substr(0, right.size() / 2);
            co_await flush();
            stream->close();
            over = true;
            break;
        case 10:
            co_await flush();
            stream->close();
            over = true;
            break;
        case 11:
            co_await flush();
            stream->abort();
            over = true;
            break;
        case 12:
            output += "550 5.1.1 cut";
            co_await flush();
            stream->close();
            over = true;
            break;   // no line end: not whole
        case 13:
            output += std::string(peer.below(9000), 'x');
            say("");
            say(right);
            break;
        case 14: say(fmt::format("{}", peer.below(1000))); break;
        default:
            input.clear();
            say(right);
            break;                  // forgets what it had read
        }
    }
};

awaitable<void> RandomPeer::play(std::unique_ptr<net::Stream> stream)
{
    ++sessions_;
    Talk talk(*this, std::move(stream));
    const bool pipelining = chance(80), chunking = chance(50);
    co_await talk.answer("220 random.test ESMTP");
    for (unsigned i = 0; i < commands_at_most && !talk.over; ++i) {
        if (!co_await talk.next_line())
            break;
        if (istarts_with(talk.line, "EHLO"))
            co_await talk.answer(
                fmt::format("250-random.test{}{}\r\n250 SIZE", pipelining ? "\r\n250-PIPELINING" : "", chunking ? "\r\n250-CHUNKING" : ""));
        else if (iequals(talk.line, "DATA")) {
            co_await talk.answer("354 go");
            co_await talk.flush();
            // Reads content only if it said so last; a client that sends it anyway is answered line by line.
            if (chance(90)) {
                std::size_t end;
                bool whole = true;
                while (!talk.input.starts_with(".\r\n") && (end = talk.input.find("\r\n.\r\n")) == talk.input.npos && whole)
                    whole = co_await talk.more();
                if (!whole)
                    break;
                if (talk.input.starts_with(".\r\n"))
                    talk.input.erase(0, 3);
                else
                    talk.input.erase(0, talk.input.find("\r\n.\r\n") + 5);
                ++contents_;
                co_await talk.answer("250 2.0.0 taken");
            }
        } else if (istarts_with(talk.line, "BDAT ")) {
            const auto words = split(talk.line);
            const auto size = words.size() > 1 ? parse_number(words[1]) : std::nullopt;
            if (!size)
                break;
            bool whole = true;
            while (whole && talk.input.size() < *size)
                whole = co_await talk.more();
            if (!whole)
                break;
            talk.input.erase(0, *size);
            ++contents_;
            co_await talk.answer("250 2.0.0 taken");
        } else if (iequals(talk.line, "QUIT")) {
            co_await talk.answer("221 bye");
            break;
        } else
            co_await talk.answer("250 2.0.0 ok");
    }
    co_await talk.flush();
    talk.stream->close();
}

}  // namespace posthorn::sim
