#include "tables/server.hpp"

#include "base/strings.hpp"
#include "net/connect.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <fmt/format.h>

#include <netdb.h>

#include <charconv>

namespace posthorn::tables {

namespace {

/// "host:service", "[::1]:service", without the kind in front.
std::optional<std::pair<std::string_view, std::string_view>> host_and_service(std::string_view text)
{
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos || colon == 0 || colon + 1 == text.size())
        return std::nullopt;
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    return std::pair{host, text.substr(colon + 1)};
}

std::optional<net::Endpoint> numeric(const std::string& host, std::string_view service)
{
    std::uint16_t port = 0;
    const auto [end, wrong] = std::from_chars(service.data(), service.data() + service.size(), port);
    const auto address = net::IpAddress::parse(host);
    if (wrong != std::errc{} || end != service.data() + service.size() || port == 0 || !address)
        return std::nullopt;
    return net::Endpoint(*address, port);
}

/// Blocks.
std::vector<net::Endpoint> look_up(const std::string& host, const std::string& service)
{
    ::addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    std::vector<net::Endpoint> endpoints;
    if (::getaddrinfo(host.c_str(), service.c_str(), &hints, &found) != 0)
        return endpoints;
    for (const ::addrinfo* at = found; at != nullptr; at = at->ai_next) {
        sockaddr_storage raw{};
        std::memcpy(&raw, at->ai_addr, at->ai_addrlen);
        endpoints.push_back(net::Endpoint::from(raw, at->ai_addrlen));
    }
    ::freeaddrinfo(found);
    return endpoints;
}

}  // namespace

Result<std::shared_ptr<Server>> Server::open(std::string_view text, const ServerLimits& limits)
{
    std::shared_ptr<Server> made(new Server(std::string(text), limits));
    if (text.starts_with("unix:")) {
        made->path_ = text.substr(5);
        if (made->path_.empty())
            return Error{fmt::format("bad server \"{}\"; need \"inet:host:port\" or \"unix:/path\"", text), "4.3.0"};
        return made;
    }
    const auto parts = host_and_service(text.starts_with("inet:") ? text.substr(5) : text);
    if (!parts)
        return Error{fmt::format("bad server \"{}\"; need \"inet:host:port\" or \"unix:/path\"", text), "4.3.0"};
    made->host_ = parts->first;
    made->service_ = parts->second;
    if (const auto endpoint = numeric(made->host_, made->service_))
        made->known_ = {*endpoint};
    else
        made->known_ = look_up(made->host_, made->service_);
    return made;
}

/// One of the connections that may be open at once.
struct Server::Turn {
    explicit Turn(Server& owner) : server(owner) { ++server.open_; }
    Turn(Turn&&) = delete;
    ~Turn()
    {
        --server.open_;
        if (server.turn_)
            server.turn_->notify_all();
    }
    Server& server;
};

Error Server::trouble(std::string_view doing, const Error& error) const
{
    return Error{fmt::format("{} {}: {}", doing, text_, error.what()), "4.3.0"};
}

std::unique_ptr<net::Stream> Server::take_kept()
{
    const SteadyTime oldest = std::chrono::steady_clock::now() - limits_.idle_time;
    std::erase_if(kept_, [oldest](const Kept& kept) { return kept.since < oldest; });
    while (!kept_.empty()) {
        auto stream = std::move(kept_.back().stream);
        kept_.pop_back();
        char unasked;
        if (stream->try_read({&unasked, 1}).state == net::Io::State::again)
            return stream;
    }
    return nullptr;
}

awaitable<std::vector<net::Endpoint>> Server::endpoints()
{
    if (!path_.empty())
        co_return std::vector{net::Endpoint::unix(path_)};
    if (numeric(host_, service_))
        co_return known_;
    asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
    auto [wrong, found] = co_await resolver.async_resolve(host_, service_, asio::as_tuple(use_awaitable));
    if (!wrong) {
        known_.clear();
        for (const auto& entry : found) {
            const auto& endpoint = entry.endpoint();
            sockaddr_storage raw{};
            std::memcpy(&raw, endpoint.data(), endpoint.size());
            known_.push_back(net::Endpoint::from(raw, static_cast<socklen_t>(endpoint.size())));
        }
    }
    co_return known_;                                            // what was known last serves where names cannot be asked now
}

awaitable<Result<std::unique_ptr<net::Stream>>> Server::connect()
{
    const Executor executor = co_await asio::this_coro::executor;
    Error last{"host or service not found"};
    for (net::Endpoint& endpoint : co_await endpoints()) {
        auto stream = co_await net::connect(executor, std::move(endpoint), net::ConnectOptions(limits_.connect));
        if (!stream) {
            last = std::move(stream).error();
            continue;
        }
        if (opening_.measure) {
            bool answered = false;
            auto answer = co_await exchange(**stream, opening_.question, opening_.measure, answered);
            CO_TRY_VOID(answer ? opening_.accept(*answer) : Result<void>{std::move(answer).error()});
        }
        co_return std::move(*stream);
    }
    co_return trouble("connect to", last);
}

awaitable<Result<std::string>> Server::exchange(net::Stream& stream, const std::string& question, const Measure& measure, bool& answered)
{
    stream.expires_after(limits_.answer);
    if (auto written = co_await stream.write(question); !written)
        co_return trouble("write to", written.error());
    std::string octets;
    for (char room[4096];;) {
        auto got = co_await stream.read_some(room);
        if (!got || *got == 0)
            co_return trouble("read from", got ? Error{"connection closed by the server"} : got.error());
        answered = true;
        octets.append(room, *got);
        auto size = measure(octets);
        if (!size)
            co_return trouble("read from", size.error());
        if (*size != 0 && *size < octets.size())
            co_return trouble("read from", Error{"more than one answer to a question"});
        if (*size == octets.size())
            co_return octets;
        if (octets.size() > limits_.answer_octets)
            co_return trouble("read from", Error{fmt::format("an answer of more than {} octets", limits_.answer_octets)});
    }
}

awaitable<Result<std::string>> Server::ask(std::string question, Measure measure)
{
    if (!turn_)
        turn_ = std::make_unique<Signal>(co_await asio::this_coro::executor);
    for (const SteadyTime until = std::chrono::steady_clock::now() + limits_.answer; open_ >= limits_.connections;) {
        if (std::chrono::steady_clock::now() >= until || co_await cancelled())
            co_return trouble("connect to", Error{"all connections are busy"});
        co_await turn_->wait_for(std::chrono::milliseconds(1000));
    }
    const Turn turn(*this);
    for (bool again = true;; again = false) {
        auto stream = take_kept();
        const bool kept = stream != nullptr;
        if (!kept) {
            auto fresh = co_await connect();
            if (!fresh)
                co_return std::move(fresh).error();
            stream = std::move(*fresh);
        }
        bool answered = false;
        auto answer = co_await exchange(*stream, question, measure, answered);
        if (answer) {
            kept_.push_back({std::move(stream), std::chrono::steady_clock::now()});
            co_return answer;
        }
        if (kept && !answered)
            continue;                                            // every kept connection may have been lost; each is tried once
        if (answered || !again || stream->deadline() <= std::chrono::steady_clock::now())
            co_return answer;
    }
}

}  // namespace posthorn::tables
