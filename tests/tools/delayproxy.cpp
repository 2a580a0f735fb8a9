// posthorn-delayproxy [--show] RTT LISTEN=TARGET ...: TCP over a line of this round trip, for whole-system tests and benchmarks.
//     posthorn-delayproxy 100ms 127.0.0.1:0=127.0.0.1:2525
// RTT      a number with us, ms or s; 0ms passes octets on as they come.
// LISTEN   ADDRESS:PORT, port 0: the kernel chooses. TARGET: ADDRESS:PORT. IPv6 addresses in brackets.
// Prints   "listening on [127.0.0.1]:PORT" for each, in their order, and serves until SIGTERM or SIGINT. --show: a line for
//          every read as well, "1 > 2.00 28 EHLO client.test": connection, direction (> from the client), round trips since
//          the connection was accepted, octets, the first line of them.
#include "delay_line.hpp"

#include "base/strings.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <cstdio>
#include <vector>

using namespace posthorn;

namespace {

std::optional<std::chrono::microseconds> parse_time(std::string_view text)
{
    std::uint64_t unit = 1;
    if (text.ends_with("ms"))
        unit = 1000;
    else if (!text.ends_with("us")) {
        if (!text.ends_with('s'))
            return std::nullopt;
        unit = 1'000'000;
    }
    text.remove_suffix(unit == 1'000'000 ? 1 : 2);
    const auto number = parse_number(text);
    if (!number || *number > 3600)
        return std::nullopt;
    return std::chrono::microseconds(*number * unit);
}

std::optional<net::Endpoint> parse_endpoint(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == text.npos)
        return std::nullopt;
    const auto ip = net::IpAddress::parse(text.substr(0, colon));
    const auto port = parse_number(text.substr(colon + 1));
    if (!ip || !port || *port > 65535)
        return std::nullopt;
    return net::Endpoint(*ip, static_cast<std::uint16_t>(*port));
}

void show(unsigned connection, bool client, double at, std::string_view octets)
{
    fmt::print("{} {} {:.2f} {} {}\n", connection, client ? '>' : '<', at, octets.size(),
               printable(octets.substr(0, octets.find_first_of("\r\n")).substr(0, 80)));
    std::fflush(stdout);
}

awaitable<void> serve(asio::io_context& loop, std::vector<std::unique_ptr<tools::DelayLine>>& lines)
{
    asio::signal_set signals(loop, SIGTERM, SIGINT);
    co_await signals.async_wait(use_awaitable);
    for (const auto& line : lines)
        co_await line->close();
}

}  // namespace

int main(int count, char** words)
{
    const bool showing = count > 1 && std::string_view(words[1]) == "--show";
    const int first = showing ? 2 : 1;
    const auto round_trip = count > first + 1 ? parse_time(words[first]) : std::nullopt;
    if (!round_trip) {
        fmt::print(stderr, "usage: posthorn-delayproxy [--show] RTT LISTEN=TARGET ...\n"
                           "       posthorn-delayproxy 100ms 127.0.0.1:0=127.0.0.1:2525\n");
        return 64;
    }
    asio::io_context loop(1);
    std::vector<std::unique_ptr<tools::DelayLine>> lines;
    for (int i = first + 1; i < count; ++i) {
        const std::string_view word = words[i];
        const auto equals = word.find('=');
        const auto from = equals == word.npos ? std::nullopt : parse_endpoint(word.substr(0, equals));
        const auto to = equals == word.npos ? std::nullopt : parse_endpoint(word.substr(equals + 1));
        if (!from || !to) {
            fmt::print(stderr, "posthorn-delayproxy: \"{}\" is not ADDRESS:PORT=ADDRESS:PORT\n", word);
            return 64;
        }
        auto listening = net::listen(*from);
        if (!listening) {
            fmt::print(stderr, "posthorn-delayproxy: {}\n", listening.error().text());
            return 69;
        }
        lines.push_back(std::make_unique<tools::DelayLine>(loop.get_executor(), *std::move(listening), *to, *round_trip,
                                                           showing ? tools::DelayLine::Tell(show) : tools::DelayLine::Tell()));
        lines.back()->start();
        fmt::print("listening on {}\n", lines.back()->endpoint().text());
    }
    std::fflush(stdout);
    asio::co_spawn(loop, serve(loop, lines), [](std::exception_ptr failure) {
        if (failure)
            std::rethrow_exception(failure);
    });
    loop.run();
    return 0;
}
