#include "tester/check.hpp"

#include "base/strings.hpp"
#include "net/connect.hpp"
#include "tester/report.hpp"
#include "tls/tls.hpp"

#include <netdb.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

namespace posthorn::tester {

namespace {

constexpr int ok = 0, broken = 1, usage = 64, unavailable = 69;

int say_usage(std::string_view wrong = {})
{
    if (!wrong.empty())
        fmt::print(stderr, "check: {}\n", wrong);
    fmt::print(stderr, "usage: posthorn check HOST[:PORT] [--from ADDRESS] [--to ADDRESS] [--helo NAME] [--starttls] [--timeout SECONDS]\n"
                       "                      [--transcripts] [--report] [--json]\n");
    return usage;
}

/// "host", "host:port", "[2001:db8::1]:port".
std::optional<std::pair<std::string, std::string>> host_and_port(std::string_view text)
{
    std::string_view host = text, port = "25";
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == text.npos)
            return std::nullopt;
        host = text.substr(1, end - 1);
        if (end + 1 < text.size()) {
            if (text[end + 1] != ':')
                return std::nullopt;
            port = text.substr(end + 2);
        }
    } else if (const auto colon = text.find(':'); colon != text.npos && text.find(':', colon + 1) == text.npos) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
    }
    const auto number = parse_number(port);
    if (host.empty() || !number || *number == 0 || *number > 65535)
        return std::nullopt;
    return std::pair{std::string(host), std::string(port)};
}

Result<std::vector<net::Endpoint>> endpoints(const std::string& host, const std::string& port)
{
    ::addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list); code != 0)
        return Error{fmt::format("{}: {}", host, ::gai_strerror(code))};
    std::vector<net::Endpoint> found;
    for (const ::addrinfo* at = list; at != nullptr; at = at->ai_next) {
        ::sockaddr_storage raw{};
        std::memcpy(&raw, at->ai_addr, at->ai_addrlen);
        found.push_back(net::Endpoint::from(raw, at->ai_addrlen));
    }
    ::freeaddrinfo(list);
    return found;
}

awaitable<Result<std::unique_ptr<net::Stream>>> dial(std::vector<net::Endpoint> where, std::chrono::milliseconds patience)
{
    const Executor executor = co_await asio::this_coro::executor;
    Result<std::unique_ptr<net::Stream>> last = Error{"no address"};
    for (const net::Endpoint& endpoint : where) {
        last = co_await net::connect(executor, endpoint, net::ConnectOptions(patience));
        if (last)
            break;
    }
    co_return last;
}

awaitable<Result<std::unique_ptr<net::Stream>>> secure(std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> stream, std::string name,
                                                       std::chrono::milliseconds patience)
{
    stream->expires_after(patience);
    CO_TRY(auto secured, co_await tls::connect(std::move(context), std::move(stream), tls::ConnectOptions(std::move(name))));
    co_return std::move(secured.stream);
}

std::string own_name()
{
    char name[256] = {};
    return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

}  // namespace

int check(std::span<char*> args)
{
    Question question;
    question.helo = own_name();
    bool json = false, transcripts = false, report = false;
    std::string target;
    for (std::size_t at = 1; at < args.size() && args[at] != nullptr; ++at) {
        const std::string_view word = args[at];
        const bool takes = word == "--from" || word == "--to" || word == "--helo" || word == "--timeout";
        if (takes && (at + 1 >= args.size() || args[at + 1] == nullptr))
            return say_usage(fmt::format("{} needs a value", word));
        if (word == "--from")
            question.from = args[++at];
        else if (word == "--to")
            question.to = args[++at];
        else if (word == "--helo")
            question.helo = args[++at];
        else if (word == "--timeout") {
            const auto seconds = parse_number(args[++at]);
            if (!seconds || *seconds == 0 || *seconds > 3600)
                return say_usage(fmt::format("--timeout {}: a number of seconds from 1 to 3600", args[at]));
            question.patience = std::chrono::seconds{static_cast<long>(*seconds)};
        } else if (word == "--starttls")
            question.starttls = true;
        else if (word == "--json")
            json = true;
        else if (word == "--transcripts")
            transcripts = true;
        else if (word == "--report")
            report = true;
        else if (word.starts_with('-'))
            return say_usage(fmt::format("unknown option {}", word));
        else if (!target.empty())
            return say_usage("one host at a time");
        else
            target = word;
    }
    if (target.empty())
        return say_usage("which host?");
    const auto place = host_and_port(target);
    if (!place)
        return say_usage(fmt::format("{}: expected HOST, HOST:PORT or [ADDRESS]:PORT", target));
    for (const std::string* value : {&question.from, &question.to, &question.helo})
        if (value->find_first_of("\r\n<> ") != std::string::npos)
            return say_usage("addresses and names are written without <>, space and line ends");
    question.host = target;
    if (question.to.empty())
        question.to = "postmaster@" + place->first;

    const auto where = endpoints(place->first, place->second);
    if (!where) {
        fmt::print(stderr, "check: {}\n", where.error().text());
        return unavailable;
    }
    const auto context = tls::Context::client(tls::Options{});
    if (!context) {
        fmt::print(stderr, "check: {}\n", context.error().text());
        return unavailable;
    }
    asio::io_context loop(1);
    std::optional<Result<Examination>> found;
    asio::co_spawn(loop,
                   examine(
                       question, [where = *where, &question] { return dial(where, question.patience); },
                       [context = *context, &question, name = place->first](std::unique_ptr<net::Stream> stream) {
                           return secure(context, std::move(stream), net::IpAddress::parse(name) ? "" : name, question.patience);
                       }),
                   [&](std::exception_ptr failure, Result<Examination> result) {
                       if (failure)
                           std::rethrow_exception(failure);
                       found = std::move(result);
                   });
    loop.run();
    if (!*found) {
        fmt::print(stderr, "check: {}: {}\n", target, found->error().text());
        return unavailable;
    }
    const Examination& examination = **found;
    if (json)
        fmt::print("{}", as_json(examination, question));
    else if (report)
        fmt::print("{}", examination.kept() ? "nothing to report: every rule that could be tested is kept\n" : bug_report(examination, question));
    else
        fmt::print("{}", as_text(examination, question, transcripts));
    return examination.kept() ? ok : broken;
}

}  // namespace posthorn::tester
