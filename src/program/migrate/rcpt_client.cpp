// The SMTP client of answers.hpp: XCLIENT, EHLO, MAIL, RCPT; never content.
#include "base/fd.hpp"
#include "migrate/answers.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <numeric>
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

}  // namespace

std::vector<std::string> rcpt_answers(int port, const std::vector<RcptQuestion>& questions)
{
    std::vector<std::string> answers(questions.size());
    std::vector<std::size_t> order(questions.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto same = [&](std::size_t a, std::size_t b) {
        return questions[a].client == questions[b].client && questions[a].sender == questions[b].sender;
    };
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
        return std::tie(questions[a].client, questions[a].sender, a) < std::tie(questions[b].client, questions[b].sender, b);
    });
    for (std::size_t at = 0; at < order.size();) {
        std::size_t end = at + 1;
        while (end < order.size() && end - at < 100 && same(order[at], order[end]))
            ++end;
        const RcptQuestion& first = questions[order[at]];
        Session session(port);
        std::string said = session.reply();
        if (good(said)) {
            const bool six = first.client.address.find(':') != std::string::npos;
            said = session.say(fmt::format("XCLIENT NAME={} ADDR={}{}", first.client.name, six ? "IPV6:" : "", first.client.address));
        }
        if (good(said))
            said = session.say("EHLO client.example");
        if (good(said))
            said = session.say(fmt::format("MAIL FROM:<{}>", first.sender));
        for (; at < end; ++at) {
            // Whatever ended the session before is the answer to the rest of it.
            if (good(said) && session.open())
                answers[order[at]] = session.say(fmt::format("RCPT TO:<{}>", questions[order[at]].recipient));
            else
                answers[order[at]] = good(said) ? "lost connection" : said;
        }
        if (session.open())
            (void)session.say("QUIT");
    }
    return answers;
}

}  // namespace posthorn::migrate
