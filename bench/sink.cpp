// bench/sink: an SMTP server that takes everything, counts it, and checks every message.
//   sink [--slow MS] [--chunking] [--tls] COUNTERS ADDRESS:PORT
// COUNTERS is a file that holds SinkCounters of load.hpp. One thread, one write for all replies to what one read brought.
// --slow answers everything that much later; --chunking offers BDAT; --tls STARTTLS.
#include "wire.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace posthorn::bench {

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
    int fd = -1;
    Wire wire;
    std::string in, out;
    std::size_t scanned = 0;                      // of `in`, while in data
    std::uint16_t recipients = 0;
    bool in_data = false, leaving = false, wants_write = false, starts_tls = false;
    std::uint64_t number = 0;                     // of the connection: descriptors are used again
    std::size_t chunk_left = 0;
    bool chunk_last = false, in_chunk = false;
    std::string message;                          // BDAT so far
};

class Sink {
public:
    Sink(SinkCounters& counters, const sockaddr_in& where, std::chrono::milliseconds slow, bool chunking, bool tls)
        : counters_(counters), slow_(slow), chunking_(chunking), tls_(tls ? tls_context(true) : nullptr), epoll_(::epoll_create1(EPOLL_CLOEXEC)),
          listening_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    {
        const int on = 1;
        ::setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (::bind(listening_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 || ::listen(listening_, 4096) != 0)
            give_up_errno("listen");
        epoll_event event{.events = EPOLLIN, .data = {.fd = listening_}};
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listening_, &event);
    }

    [[noreturn]] void serve()
    {
        std::vector<epoll_event> events(256);
        for (;;) {
            const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), patience());
            for (int i = 0; i < ready; ++i) {
                if (events[i].data.fd == listening_)
                    accept_some();
                else if (const auto found = connections_.find(events[i].data.fd); found != connections_.end())
                    serve(*found->second, events[i].events);
            }
            answer_late_ones();
        }
    }

private:
    int patience() const
    {
        if (late_.empty())
            return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(late_.front().due - Clock::now()).count();
        return static_cast<int>(std::max<std::int64_t>(left, 0));
    }

    void answer_late_ones()
    {
        while (!late_.empty() && late_.front().due <= Clock::now()) {
            Late late = std::move(late_.front());
            late_.pop_front();
            const auto found = connections_.find(late.fd);
            if (found == connections_.end() || found->second->number != late.connection)
                continue;
            found->second->out += late.text;
            found->second->leaving = late.last;
            send(*found->second);
        }
    }

    void accept_some()
    {
        for (int i = 0; i < 64; ++i) {
            const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0)
                return;
            no_delay(fd);
            auto connection = std::make_unique<Connection>();
            connection->fd = fd;
            connection->wire = Wire(fd);
            connection->out = "220 sink.test ESMTP\r\n";
            epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
            ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
            connection->number = ++counters_.connections;
            counters_.most_open = std::max(counters_.most_open, ++counters_.open);
            Connection& kept = *(connections_[fd] = std::move(connection));
            reply(kept);
        }
    }

    void close(Connection& connection)
    {
        const int fd = connection.fd;
        --counters_.open;
        ::close(fd);
        connections_.erase(fd);
    }

    void serve(Connection& connection, std::uint32_t events)
    {
        if (events & EPOLLOUT)
            return send(connection);
        if (const int shaken = connection.wire.shaken(); shaken <= 0)
            return shaken < 0 ? close(connection) : void();
        do {
            const ssize_t got = receive(connection);
            if (got < 0 && (errno == EAGAIN || errno == EINTR))
                break;
            if (got <= 0)
                return close(connection);
            counters_.octets += static_cast<std::uint64_t>(got);
            take(connection);
        } while (connection.wire.pending());
        if (!connection.out.empty())
            reply(connection);
    }

    /// A large content goes where it belongs at once.
    ssize_t receive(Connection& connection)
    {
        std::string& in = connection.in;
        ssize_t got = 0;
        if (in.size() < room_.size() / 4) {
            got = connection.wire.receive(room_.data(), room_.size());
            in.append(room_.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
            return got;
        }
        const std::size_t before = in.size();
        in.resize_and_overwrite(before + room_.size(), [&](char* at, std::size_t) {
            got = connection.wire.receive(at + before, room_.size());
            return before + static_cast<std::size_t>(std::max<ssize_t>(got, 0));
        });
        return got;
    }

    void take(Connection& connection)
    {
        std::size_t at = 0;
        std::string_view in = connection.in;
        while (!connection.leaving) {
            if (connection.in_data) {
                const auto end = in.find("\r\n.\r\n", std::max(at, connection.scanned));
                if (end == std::string_view::npos) {
                    connection.scanned = std::max(at, in.size() < 4 ? 0 : in.size() - 4);
                    break;
                }
                message(connection, in.substr(at, end + 2 - at));
                at = end + 5;
                connection.in_data = false;
                connection.out += "250 2.0.0 Ok\r\n";
                continue;
            }
            if (connection.in_chunk) {
                const auto part = in.substr(at, connection.chunk_left);
                connection.message += part;
                at += part.size();
                connection.chunk_left -= part.size();
                if (connection.chunk_left > 0)
                    break;
                connection.in_chunk = false;
                if (connection.chunk_last)
                    message(connection, stuffed(std::exchange(connection.message, {})));
                connection.out += "250 2.0.0 Ok\r\n";
                continue;
            }
            const auto end = in.find('\n', at);
            if (end == std::string_view::npos)
                break;
            command(connection, in.substr(at, end + 1 - at));
            at = end + 1;
        }
        connection.in.erase(0, at);
        connection.scanned = connection.scanned > at ? connection.scanned - at : 0;
        if (connection.in.empty() && connection.in.capacity() > 4 * 1024 * 1024)
            connection.in.shrink_to_fit();
    }

    /// The hash is of the octets as DATA carries them.
    static std::string stuffed(std::string text)
    {
        for (std::size_t at = text.find("\r\n."); at != std::string::npos; at = text.find("\r\n.", at + 4))
            text.insert(at + 2, 1, '.');
        return text;
    }

    void command(Connection& connection, std::string_view line)
    {
        const auto is = [&](std::string_view verb) { return line.size() > verb.size() && ::strncasecmp(line.data(), verb.data(), verb.size()) == 0; };
        std::string& out = connection.out;
        if (is("RCPT")) {
            ++connection.recipients;
            out += "250 2.1.5 Ok\r\n";
        } else if (is("MAIL")) {
            connection.recipients = 0;
            out += "250 2.1.0 Ok\r\n";
        } else if (is("DATA")) {
            connection.in_data = true;
            out += "354 End data with <CR><LF>.<CR><LF>\r\n";
        } else if (is("BDAT ") && chunking_) {
            const auto rest = line.substr(5);
            const auto size = rest.substr(0, rest.find_first_of(" \r\n"));
            connection.chunk_left = number<std::size_t>(size, "BDAT");
            connection.chunk_last = rest.find("LAST") != std::string_view::npos || rest.find("last") != std::string_view::npos;
            connection.in_chunk = true;
        } else if (is("EHLO")) {
            out += "250-sink.test\r\n250-PIPELINING\r\n";
            if (chunking_)
                out += "250-CHUNKING\r\n";
            if (tls_ && !connection.wire.secured())
                out += "250-STARTTLS\r\n";
            out += "250 8BITMIME\r\n";
        } else if (is("STARTTLS") && tls_) {
            out += "220 2.0.0 Ready to start TLS\r\n";
            connection.starts_tls = true;
        } else if (is("QUIT")) {
            out += "221 2.0.0 Bye\r\n";
            connection.leaving = true;
        } else {
            out += "250 2.0.0 Ok\r\n";
        }
    }

    void message(Connection& connection, std::string_view text)
    {
        const auto blank = text.find("\r\n\r\n");
        const auto mark = text.substr(0, blank).find(mark_name);
        bool right = blank != std::string_view::npos && mark != std::string_view::npos;
        if (right) {
            unsigned long long run = 0, number = 0, hash = 0;
            right = std::sscanf(std::string(text.substr(mark + mark_name.size(), 64)).c_str(), "%llx %llx %llx", &run, &number, &hash) == 3 &&
                    number < most_messages && Hash{}.feed(text.substr(blank + 4)).value() == hash;
            if (right && run != counters_.run) {
                ++counters_.strangers;
            } else if (right) {
                counters_.seen[number] = static_cast<std::uint16_t>(counters_.seen[number] + connection.recipients);
                counters_.seen_recipients += connection.recipients;
            }
        }
        if (!right)
            ++counters_.changed;
        counters_.recipients += connection.recipients;
        ++counters_.messages;
    }

    void reply(Connection& connection)
    {
        if (slow_.count() == 0)
            return send(connection);
        late_.push_back({Clock::now() + slow_, connection.fd, connection.number, std::exchange(connection.out, {}), connection.leaving});
    }

    void send(Connection& connection)
    {
        if (!connection.wants_write)
            ++counters_.turns;
        const iovec piece{connection.out.data(), connection.out.size()};
        const ssize_t sent = connection.wire.send(&piece, 1);
        if (sent < 0 && errno != EAGAIN)
            return close(connection);
        connection.out.erase(0, sent < 0 ? 0 : static_cast<std::size_t>(sent));
        const bool more = !connection.out.empty();
        if (more != connection.wants_write) {
            connection.wants_write = more;
            epoll_event event{.events = more ? EPOLLOUT : EPOLLIN, .data = {.fd = connection.fd}};
            ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
        }
        if (!more && std::exchange(connection.starts_tls, false))
            connection.wire.secure(tls_, true);
        if (!more && connection.leaving)
            close(connection);
    }

    /// What one read brought is answered as a whole, each after its own time: a path that is so much longer.
    struct Late {
        Clock::time_point due;
        int fd;
        std::uint64_t connection;
        std::string text;
        bool last;
    };

    SinkCounters& counters_;
    std::chrono::milliseconds slow_;
    bool chunking_;
    SSL_CTX* tls_;
    int epoll_, listening_;
    std::vector<char> room_ = std::vector<char>(256 * 1024);
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
    std::deque<Late> late_;
};

}  // namespace

}  // namespace posthorn::bench

int main(int argc, char** argv)
{
    using namespace posthorn::bench;
    std::chrono::milliseconds slow{0};
    bool chunking = false, tls = false;
    std::vector<std::string> words;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--slow" && i + 1 < argc)
            slow = std::chrono::milliseconds{number<int>(argv[++i], "--slow")};
        else if (word == "--chunking")
            chunking = true;
        else if (word == "--tls")
            tls = true;
        else
            words.emplace_back(word);
    }
    if (words.size() != 2)
        give_up("usage: sink [--slow MS] [--chunking] [--tls] COUNTERS ADDRESS:PORT");
    Sink{*shared<SinkCounters>(words[0]), address(words[1]), slow, chunking, tls}.serve();
}
