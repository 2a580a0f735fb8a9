// The SMTP client of answers.hpp: XCLIENT, EHLO, MAIL, RCPT; never content.
#include "base/fd.hpp"
#include "base/strings.hpp"
#include "migrate/answers.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <span>
#include <thread>
#include <tuple>

namespace posthorn::migrate {

namespace {

class Session {
public:
    explicit Session(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        const timeval limit{100, 0};                               // an answer may wait for names
        if (!socket_ || ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
            ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            socket_.reset();
    }

    /// The reply, its lines joined by " / "; "lost connection" where there is none.
    std::string say(const std::string& line)
    {
        const std::string out = line + "\r\n";
        if (!socket_ || ::send(socket_.get(), out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size()))
            return lose();
        return reply();
    }
    std::string reply()
    {
        std::string whole;
        for (;;) {
            std::size_t end;
            while ((end = have_.find('\n')) == have_.npos) {
                char piece[4096];
                const ssize_t got = socket_ ? ::recv(socket_.get(), piece, sizeof piece, 0) : 0;
                if (got <= 0 || have_.size() > 65536)
                    return lose();
                have_.append(piece, static_cast<std::size_t>(got));
            }
            std::string line = have_.substr(0, end);
            have_.erase(0, end + 1);
            if (line.ends_with('\r'))
                line.pop_back();
            whole += (whole.empty() ? "" : " / ") + line;
            if (line.size() < 4 || line[3] != '-')
                return whole;
        }
    }
    bool open() const { return static_cast<bool>(socket_); }

private:
    std::string lose()
    {
        socket_.reset();
        return "lost connection";
    }
    Fd socket_;
    std::string have_;
};

bool good(const std::string& reply) { return reply.starts_with('2'); }

/// What is the same for all recipients of a session.
auto session_key(const RcptQuestion& question)
{
    return std::tie(question.service, question.client, question.helo, question.esmtp, question.login, question.sender);
}

std::string claim(const RcptQuestion& question)
{
    const bool six = question.client.address.find(':') != std::string::npos;
    std::string line = fmt::format("XCLIENT NAME={} ADDR={}{}", question.client.name, six ? "IPV6:" : "", question.client.address);
    if (!question.login.empty())
        line += " LOGIN=" + smtp::xtext_encode(question.login);
    return line;
}

/// The reply to RCPT of each of these, which are of one session; `at` says where their answers are.
void ask(int port, const std::vector<RcptQuestion>& questions, std::span<const std::size_t> at, std::vector<std::string>& answers)
{
    const RcptQuestion& first = questions[at.front()];
    const bool utf8 = !is_ascii(first.sender) || std::ranges::any_of(at, [&](std::size_t i) { return !is_ascii(questions[i].recipient); });
    Session session(port);
    std::string said = session.reply();
    if (good(said))
        said = session.say(claim(first));
    if (good(said))
        said = session.say((first.esmtp ? "EHLO " : "HELO ") + first.helo);
    if (good(said))
        said = session.say(fmt::format("MAIL FROM:<{}>{}", first.sender, utf8 ? " SMTPUTF8" : ""));
    for (const std::size_t i : at) {
        // Whatever ended the session before is the answer to the rest of it.
        if (good(said) && session.open())
            answers[i] = session.say(fmt::format("RCPT TO:<{}>", questions[i].recipient));
        else
            answers[i] = good(said) ? "lost connection" : said;
    }
    if (session.open())
        (void)session.say("QUIT");
}

}  // namespace

std::vector<std::string> rcpt_answers(const Ports& ports, const std::vector<RcptQuestion>& questions, AskingManner manner)
{
    std::vector<std::string> answers(questions.size());
    std::vector<std::size_t> order(questions.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple_cat(session_key(questions[i]), std::tuple(i)); });
    std::vector<std::span<const std::size_t>> sessions;
    for (std::size_t at = 0, end = 0; at < order.size(); at = end) {
        // The null sender writes to one: what asks for more is refused as that (reject_multi_recipient_bounce).
        const std::size_t most = questions[order[at]].sender.empty() ? 1 : 100;
        for (end = at + 1; end < order.size() && end - at < most && session_key(questions[order[at]]) == session_key(questions[order[end]]);)
            ++end;
        sessions.push_back(std::span(order).subspan(at, end - at));
    }
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        for (std::size_t at; (at = next++) < sessions.size();) {
            if (manner.end && std::chrono::steady_clock::now() > *manner.end)
                return;
            if (const auto port = ports.find(questions[sessions[at].front()].service); port != ports.end())
                ask(port->second, questions, sessions[at], answers);
            else
                for (const std::size_t i : sessions[at])
                    answers[i] = "nobody listens: master.cf has no such line";
        }
    };
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < std::min(manner.sessions_at_once, sessions.size()); ++i)
        others.emplace_back(work);
    work();
    others.clear();
    return answers;
}

}  // namespace posthorn::migrate
