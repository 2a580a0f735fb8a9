// bench/source: an SMTP client that sends many messages, each with a mark and a hash (load.hpp), and says what became of them.
//   source [option ...] ADDRESS:PORT
//     --sessions N      at once (20)                     --messages N      in all (1000)
//     --per-session N   messages on one connection, 0: as many as there are (1)
//     --octets N        of a message (4096)              --recipients N    of a message (1)
//     --send HOW        turns: one command, one wait;  group: MAIL RCPT DATA together, content and QUIT together;
//                       ahead: the next group behind the content;
//                       chunks: MAIL RCPT BDAT and the content (RFC 3030), --unanswered of them before a reply has come (group)
//     --unanswered N    messages of a session, chunks (8)
//     --run N           of the marks (1)                 --to TEXT         recipient, %n: message, %r: recipient, %d: see below
//     --domains N       %d is the message number modulo N (1)
//     --tls 1           by STARTTLS (0)
// Prints one JSON object: seconds from the first connect to the last reply, what was accepted, refused and cut off, sessions,
// octets, and the times from the end of a message to its 250 (median, 99th percentile, longest) in milliseconds.
// One thread; what it costs by itself is measured against bench/sink (bench/suite says it).
#include "wire.hpp"

#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace posthorn::bench {

namespace {

using Clock = std::chrono::steady_clock;

enum class Send { turns, group, ahead, chunks };
enum class Awaits : std::uint8_t { greeting, ehlo, starttls, mail, rcpt, data, content, quit };

struct Options {
    std::size_t sessions = 20, messages = 1000, per_session = 1, octets = 4096, recipients = 1, domains = 1, unanswered = 8;
    unsigned run = 1;
    Send send = Send::group;
    bool tls = false;
    std::string to = "n%n.r%r@sink.test";
};

struct Session {
    int fd = -1;
    Wire wire;
    std::string in, out;
    std::size_t out_said = 0;                     // of `out`
    std::deque<Awaits> awaited;
    std::size_t message = 0, next = 0;            // in hand; begun behind it (ahead)
    std::size_t sent = 0;                         // messages on this connection
    std::size_t connection = 0;
    std::size_t recipients_said = 0;              // turns
    std::size_t unanswered = 0;                   // chunks
    Clock::time_point ended;                      // the last octet of the content was handed to the kernel
    bool has_next = false, wants_write = false, content_waits = false, refused = false, greeted = false, quit = false;
};

class Source {
public:
    Source(Options options, const sockaddr_in& where) : options_(std::move(options)), where_(where), epoll_(::epoll_create1(EPOLL_CLOEXEC))
    {
        // The body: lines of 78, some of which begin with a dot, and at its end the message's number.
        const std::size_t wanted = options_.octets > 400 ? options_.octets - 400 : 64;
        while (body_.size() < wanted) {
            std::string line =
                body_.size() % 7 == 0 ? "..A line that begins with a dot, and has to arrive so. " : "The quick brown fox jumps over the lazy dog. ";
            line.resize(std::min<std::size_t>(76, std::max<std::size_t>(wanted - body_.size(), 10)), 'x');
            body_ += line + "\r\n";
        }
        while (body_.size() % 32 != 0)
            body_.insert(0, 1, 'x');
        body_hash_.feed(body_);
        for (std::size_t at = 0, end = 0; at < body_.size(); at = end) {
            end = body_.find('\n', at) + 1;
            plain_body_ += std::string_view(body_).substr(at, end - at).substr(body_[at] == '.' ? 1 : 0);
        }
    }

    void run()
    {
        const auto start = Clock::now();
        for (std::size_t i = 0; i < options_.sessions && begun_ < options_.messages; ++i)
            sessions_.push_back(std::make_unique<Session>());
        for (const auto& session : sessions_)
            open(*session);
        std::vector<epoll_event> events(256);
        while (living_ > 0) {
            const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 60'000);
            if (ready == 0)
                give_up("source: nothing came for 60 s");
            for (int i = 0; i < ready; ++i)
                serve(*static_cast<Session*>(events[i].data.ptr), events[i].events);
        }
        report(std::chrono::duration<double>(Clock::now() - start).count());
    }

private:
    void open(Session& session)
    {
        if (begun_ >= options_.messages)
            return;
        session = Session{};
        session.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (session.fd < 0)
            give_up_errno("socket");
        session.wire = Wire(session.fd);
        no_delay(session.fd);
        if (::connect(session.fd, reinterpret_cast<const sockaddr*>(&where_), sizeof where_) != 0 && errno != EINPROGRESS)
            give_up_errno("connect");
        session.awaited.push_back(Awaits::greeting);
        session.message = begun_++;
        epoll_event event{.events = EPOLLIN, .data = {.ptr = &session}};
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, session.fd, &event);
        session.connection = ++connections_;
        ++living_;
    }

    void over(Session& session)
    {
        ::close(session.fd);
        session.fd = -1;
        session.wire = {};
        --living_;
        open(session);
    }

    void cut_off(Session& session)
    {
        if (session.awaited.empty() || session.awaited.front() != Awaits::quit)
            lost_ += options_.send == Send::chunks ? std::max<std::size_t>(session.unanswered, 1) : session.has_next ? 2 : 1;
        over(session);
    }

    void serve(Session& session, std::uint32_t events)
    {
        if (session.wants_write && (events & EPOLLOUT)) {
            push(session);
            if (session.fd < 0 || !(events & EPOLLIN))
                return;
        }
        if (const int shaken = session.wire.shaken(); shaken <= 0) {
            if (shaken < 0)
                give_up("source: the TLS handshake failed");
            return;
        }
        if (!session.out.empty())
            push(session);                        // what was to be said behind the handshake
        const std::size_t connection = session.connection;
        do
            take(session);
        while (session.fd >= 0 && session.connection == connection && session.wire.pending());
    }

    void take(Session& session)
    {
        const ssize_t got = session.wire.receive(room_.data(), room_.size());
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            return cut_off(session);
        session.in.append(room_.data(), static_cast<std::size_t>(got));
        std::size_t at = 0;
        const std::size_t connection = session.connection;
        for (std::size_t end = 0; (end = session.in.find('\n', at)) != std::string::npos; at = end + 1) {
            if (end - at >= 4 && session.in[at + 3] == '-')
                continue;
            if (session.awaited.empty())
                return cut_off(session);          // 421 on its own
            const Awaits what = session.awaited.front();
            session.awaited.pop_front();
            heard(session, what, session.in[at]);
            if (session.connection != connection || session.fd < 0)
                return;                           // it ended, and another began in its place
        }
        session.in.erase(0, at);
        if (options_.send == Send::chunks && session.greeted)
            send_chunks(session);
        if (!session.out.empty() || session.content_waits)
            push(session);
    }

    void heard(Session& session, Awaits what, char digit)
    {
        const bool ok = digit == '2' || digit == '3';
        switch (what) {
        case Awaits::greeting:
            if (!ok)
                return cut_off(session);
            say(session, "EHLO source.test\r\n", Awaits::ehlo);
            return;
        case Awaits::ehlo:
            if (options_.tls && !session.wire.secured())
                return say(session, "STARTTLS\r\n", Awaits::starttls);
            session.greeted = true;
            return options_.send == Send::chunks ? void() : begin(session, session.message);
        case Awaits::starttls:
            if (!ok)
                give_up("source: STARTTLS was refused");
            session.wire.secure(tls_, false);
            say(session, "EHLO source.test\r\n", Awaits::ehlo);
            return;
        case Awaits::mail:
            if (options_.send == Send::turns)
                say_recipient(session);
            return;
        case Awaits::rcpt:
            session.refused = session.refused || !ok;
            if (options_.send != Send::turns)
                return;
            if (session.recipients_said < options_.recipients)
                say_recipient(session);
            else
                say(session, "DATA\r\n", Awaits::data);
            return;
        case Awaits::data:
            if (digit == '3') {
                session.content_waits = true;
            } else {
                ++refused_;
                after(session);
            }
            return;
        case Awaits::content:
            if (ok) {
                ++accepted_;
                waits_.push_back(std::chrono::duration<float, std::milli>(Clock::now() - session.ended).count());
            } else {
                ++refused_;
            }
            after(session);
            return;
        case Awaits::quit: return over(session);
        }
    }

    bool may_go_on(const Session& session) const
    {
        return begun_ < options_.messages && (options_.per_session == 0 || session.sent < options_.per_session);
    }

    /// The reply to a content is there.
    void after(Session& session)
    {
        if (options_.send == Send::chunks) {
            --session.unanswered;
            return;                               // take() goes on when it has heard all there is
        }
        if (session.has_next) {
            session.message = session.next;
            session.has_next = false;
            return;
        }
        if (!session.awaited.empty())             // QUIT is on its way
            return;
        if (may_go_on(session)) {
            session.message = begun_++;
            return begin(session, session.message);
        }
        say(session, "QUIT\r\n", Awaits::quit);
    }

    void say(Session& session, std::string_view command, Awaits what)
    {
        session.out += command;
        session.awaited.push_back(what);
    }

    void begin(Session& session, std::size_t message)
    {
        ++session.sent;
        session.recipients_said = 0;
        session.refused = false;
        say(session, "MAIL FROM:<sender@source.test>\r\n", Awaits::mail);
        if (options_.send == Send::turns)
            return;
        for (std::size_t i = 0; i < options_.recipients; ++i)
            say_recipient(session, message);
        if (options_.send != Send::chunks)
            say(session, "DATA\r\n", Awaits::data);
    }

    void send_chunks(Session& session)
    {
        while (session.unanswered < options_.unanswered && (session.sent == 0 || may_go_on(session))) {
            const std::size_t message = session.sent == 0 ? session.message : begun_++;
            begin(session, message);
            char header[320], tail[24];
            const Frame frame = frame_of(message, header, tail);
            say(session, "BDAT " + std::to_string(frame.header.size() + plain_body_.size() + frame.tail.size()) + " LAST\r\n", Awaits::content);
            ((session.out += frame.header) += plain_body_) += frame.tail;
            ++session.unanswered;
        }
        if (!may_go_on(session) && !std::exchange(session.quit, true))
            say(session, "QUIT\r\n", Awaits::quit);
    }

    void say_recipient(Session& session) { say_recipient(session, session.message); }

    void say_recipient(Session& session, std::size_t message)
    {
        std::string& out = session.out;
        out += "RCPT TO:<";
        for (std::size_t i = 0; i < options_.to.size(); ++i) {
            if (options_.to[i] != '%' || i + 1 == options_.to.size()) {
                out += options_.to[i];
                continue;
            }
            const char which = options_.to[++i];
            const std::size_t value = which == 'n' ? message : which == 'r' ? session.recipients_said : message % options_.domains;
            out += std::to_string(value);
        }
        ++session.recipients_said;
        say(session, ">\r\n", Awaits::rcpt);
    }

    struct Frame {
        std::string_view header, tail;            // around the body
    };

    Frame frame_of(std::size_t message, std::span<char> header, std::span<char> tail) const
    {
        const int tail_size = std::snprintf(tail.data(), tail.size(), "%016zx\r\n", message);
        const std::uint64_t hash = Hash{body_hash_}.feed({tail.data(), static_cast<std::size_t>(tail_size)}).value();
        const int header_size =
            std::snprintf(header.data(), header.size(),
                          "X-Bench: %x %zx %llx\r\nFrom: <sender@source.test>\r\nTo: recipients:;\r\nSubject: message %zu of run %u\r\n"
                          "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%u.%zu@source.test>\r\n\r\n",
                          options_.run, message, static_cast<unsigned long long>(hash), message, options_.run, options_.run, message);
        return {{header.data(), static_cast<std::size_t>(header_size)}, {tail.data(), static_cast<std::size_t>(tail_size)}};
    }

    /// What waits, with as few system calls as the kernel allows.
    void push(Session& session)
    {
        if (session.wire.shaken() == 0)
            return;                               // the first flight of the handshake is out
        char header[320], tail[24];
        session.out.erase(0, session.content_waits ? std::exchange(session.out_said, 0) : 0);
        iovec pieces[4]{{session.out.data() + session.out_said, session.out.size() - session.out_said}};
        std::size_t count = 1;
        std::string behind;
        const bool content = std::exchange(session.content_waits, false);
        if (content) {
            const Frame frame = frame_of(session.message, header, tail);
            session.awaited.push_back(Awaits::content);
            std::string before = std::exchange(session.out, {});
            if (options_.send == Send::ahead && may_go_on(session)) {
                session.next = begun_++;
                session.has_next = true;
                begin(session, session.next);
            } else if (options_.send != Send::turns && !may_go_on(session)) {
                say(session, "QUIT\r\n", Awaits::quit);
            }
            behind = std::exchange(session.out, std::move(before));
            pieces[1] = {header, frame.header.size()};
            pieces[2] = {body_.data(), body_.size()};
            pieces[3] = {tail, frame.tail.size()};
            count = 4;
        }
        std::string last(tail, content ? pieces[3].iov_len : 0);
        if (content)
            last += ".\r\n";
        last += behind;
        if (content)
            pieces[3] = {last.data(), last.size()};
        const ssize_t sent = session.wire.send(pieces, count);
        if (sent < 0 && errno != EAGAIN)
            return cut_off(session);
        session.ended = Clock::now();
        octets_ += static_cast<std::uint64_t>(std::max<ssize_t>(sent, 0));
        std::size_t taken = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
        session.out_said += content ? 0 : taken;                    // what is left of a content stays where it is
        std::string rest;
        for (std::size_t i = 0; content && i < count; ++i) {
            const std::size_t of_this = std::min(taken, pieces[i].iov_len);
            rest.append(static_cast<const char*>(pieces[i].iov_base) + of_this, pieces[i].iov_len - of_this);
            taken -= of_this;
        }
        if (content || session.out_said == session.out.size()) {
            session.out = std::move(rest);
            session.out_said = 0;
        }
        const bool more = !session.out.empty();
        if (more != session.wants_write) {
            session.wants_write = more;
            epoll_event event{.events = more ? std::uint32_t{EPOLLIN | EPOLLOUT} : std::uint32_t{EPOLLIN}, .data = {.ptr = &session}};
            ::epoll_ctl(epoll_, EPOLL_CTL_MOD, session.fd, &event);
        }
    }

    void report(double seconds)
    {
        std::ranges::sort(waits_);
        const auto at = [&](double part) {
            return waits_.empty() ? 0.0 : static_cast<double>(waits_[static_cast<std::size_t>(part * static_cast<double>(waits_.size() - 1))]);
        };
        std::printf(
            "{\"seconds\": %.6f, \"accepted\": %zu, \"refused\": %zu, \"cut_off\": %zu, \"sessions\": %zu, \"octets\": %llu, \"wait_median_ms\": %.3f, "
            "\"wait_p99_ms\": %.3f, \"wait_longest_ms\": %.3f}\n",
            seconds, accepted_, refused_, lost_, connections_, static_cast<unsigned long long>(octets_), at(0.5), at(0.99), at(1.0));
    }

    Options options_;
    sockaddr_in where_;
    int epoll_;
    SSL_CTX* tls_ = options_.tls ? tls_context(false) : nullptr;
    std::string body_, plain_body_;               // dots stuffed, and not
    Hash body_hash_;
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<char> room_ = std::vector<char>(64 * 1024);
    std::vector<float> waits_;
    std::size_t begun_ = 0, living_ = 0, connections_ = 0, accepted_ = 0, refused_ = 0, lost_ = 0;
    std::uint64_t octets_ = 0;
};

}  // namespace

}  // namespace posthorn::bench

int main(int argc, char** argv)
{
    using namespace posthorn::bench;
    Options options;
    std::string where;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (!word.starts_with("--")) {
            where = word;
            continue;
        }
        if (++i == argc)
            give_up(word + " wants a value");
        const std::string_view value = argv[i];
        const auto count = [&] { return number<std::size_t>(value, word.c_str()); };
        if (word == "--sessions")
            options.sessions = count();
        else if (word == "--messages")
            options.messages = count();
        else if (word == "--per-session")
            options.per_session = count();
        else if (word == "--octets")
            options.octets = count();
        else if (word == "--recipients")
            options.recipients = count();
        else if (word == "--unanswered")
            options.unanswered = std::max<std::size_t>(count(), 1);
        else if (word == "--domains")
            options.domains = std::max<std::size_t>(count(), 1);
        else if (word == "--tls")
            options.tls = count() != 0;
        else if (word == "--run")
            options.run = number<unsigned>(value, "--run");
        else if (word == "--to")
            options.to = value;
        else if (word == "--send" && (value == "turns" || value == "group" || value == "ahead" || value == "chunks"))
            options.send = value == "turns" ? Send::turns : value == "group" ? Send::group : value == "ahead" ? Send::ahead : Send::chunks;
        else
            give_up("source: no such option: " + word + " " + std::string(value));
    }
    if (where.empty())
        give_up(
            "usage: source [--sessions N] [--messages N] [--per-session N] [--octets N] [--recipients N] [--send turns|group|ahead|chunks] [--unanswered N] [--run N] [--to TEXT] "
            "[--domains N] [--tls 0|1] ADDRESS:PORT");
    if (options.messages > most_messages)
        give_up("source: at most " + std::to_string(most_messages) + " messages");
    Source{std::move(options), address(where)}.run();
}
