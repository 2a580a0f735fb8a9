// milter/testing.hpp: a mail filter with a script, on a port of loopback, for the tests of whoever talks to filters.
#pragma once

#include "async/async.hpp"
#include "base/strings.hpp"
#include "milter/wire.hpp"
#include "net/listener.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

namespace posthorn::milter::testing {

inline std::string text(std::string_view octets)
{
    std::string data;
    append_text(data, octets);
    return data;
}
/// A packet of the filter's: "c", or "h" with its data.
inline std::string answer(char code, std::string_view data = {})
{
    std::string made;
    append_number(made, static_cast<std::uint32_t>(data.size() + 1));
    made += code;
    made += data;
    return made;
}
inline std::string numbered(std::uint32_t number, std::string_view data)
{
    std::string made;
    append_number(made, number);
    return made += data;
}

/// Answers with what the script says of the first event that begins so: packets as they are, "" not at all, "hang up" closes. Everything else
/// is answered "go on" where an answer is due.
struct Filter {
    explicit Filter(asio::io_context& on)
        : listener(on.get_executor(), *net::listen(net::Endpoint(net::IpAddress::loopback(), 0)),
                   [this](std::unique_ptr<net::Stream> stream) { return serve(std::move(stream)); })
    {
        port = listener.endpoint().port;                          // also once it is closed
        listener.start();
    }
    std::string place() const { return fmt::format("inet:127.0.0.1:{}", port); }

    awaitable<void> serve(std::unique_ptr<net::Stream> stream)
    {
        ++connections;
        std::string octets;
        std::array<char, 65536> room{};
        for (;;) {
            const auto got = co_await stream->read_some(room);
            if (!got || *got == 0) {
                ++ends;
                co_return;
            }
            ++reads;
            octets.append(room.data(), *got);
            std::string said;
            while (octets.size() >= 5) {
                std::uint32_t size = 0;
                for (int at = 0; at < 4; ++at)
                    size = size << 8 | static_cast<unsigned char>(octets[static_cast<std::size_t>(at)]);
                if (octets.size() < 4 + size)
                    break;
                const std::string one = octets.substr(4, size);
                octets.erase(0, 4 + size);
                const std::string reply = react(one);
                if (reply == "hang up")
                    co_return;
                said += reply;
            }
            if (!said.empty() && !co_await stream->write(said))
                co_return;
        }
    }
    std::string react(std::string_view packet)
    {
        const char code = packet.front();
        std::string words;
        std::string_view data = packet.substr(1);
        const auto texts = [](std::string_view of) {
            if (of.ends_with('\0'))
                of.remove_suffix(1);
            std::string made(of);
            for (char& c : made)
                c = c == '\0' ? '|' : c;
            return made;
        };
        bool due = true;
        switch (static_cast<Event>(code)) {
        case Event::negotiate: {
            offered = std::string(data);
            if (!negotiation.empty())
                return negotiation;
            std::string agreed;
            for (const std::uint32_t number : {version, actions, steps})
                append_number(agreed, number);
            return answer('O', agreed + macros_wanted);
        }
        case Event::macros: {
            // Names and values in turn.
            const auto pieces = split_exact(data.substr(1), '\0');
            words = fmt::format("MACRO {}", data.front());
            for (std::size_t at = 0; at + 1 < pieces.size(); at += 2)
                words += fmt::format(" {}={}", pieces[at], pieces[at + 1]);
            macros.push_back(words);
            return {};
        }
        case Event::connect: {
            const auto end = data.find('\0');
            const std::string_view rest = data.substr(end + 1);
            words = fmt::format("CONNECT {} {} {} {}", data.substr(0, end), rest.front(),
                                static_cast<unsigned char>(rest[1]) << 8 | static_cast<unsigned char>(rest[2]), texts(rest.substr(3)));
            due = (steps & step::mute_connect) == 0;
            break;
        }
        case Event::helo:
            words = "HELO " + texts(data);
            due = (steps & step::mute_helo) == 0;
            break;
        case Event::mail:
            words = "MAIL " + texts(data);
            due = (steps & step::mute_mail) == 0;
            break;
        case Event::recipient:
            words = "RCPT " + texts(data);
            due = (steps & step::mute_recipient) == 0;
            break;
        case Event::data:
            words = "DATA";
            due = (steps & step::mute_data) == 0;
            break;
        case Event::header:
            words = "HEADER " + texts(data);
            due = (steps & step::mute_header) == 0;
            break;
        case Event::end_of_header:
            words = "EOH";
            due = (steps & step::mute_end_of_header) == 0;
            break;
        case Event::body:
            words = fmt::format("BODY {}", data.size());
            bodies += data;
            due = (steps & step::mute_body) == 0;
            break;
        case Event::end_of_body: words = "EOB"; break;
        case Event::unknown: words = "UNKNOWN " + texts(data); break;
        case Event::abort:
            words = "ABORT";
            due = false;
            break;
        case Event::quit:
            words = "QUIT";
            due = false;
            break;
        }
        heard.push_back(words);
        for (const auto& [begin, reply] : script)
            if (words.starts_with(begin))
                return reply;
        return due ? answer('c') : std::string{};
    }
    std::string all_heard() const
    {
        std::string made;
        for (const std::string& one : heard)
            made += one + "\n";
        return made;
    }

    std::uint32_t version = 6, actions = action::all, steps = 0;
    std::string macros_wanted, negotiation, offered;
    std::vector<std::pair<std::string, std::string>> script;
    std::vector<std::string> heard, macros;
    std::string bodies;
    int connections = 0, reads = 0, ends = 0;
    std::uint16_t port = 0;
    net::Listener listener;
};

}  // namespace posthorn::milter::testing
