#include "sim/peer_main.hpp"

#include "base/strings.hpp"
#include "net/listener.hpp"
#include "sim/engine.hpp"
#include "sim/peers.hpp"
#include "sim/tls_server.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>

namespace posthorn::sim {

namespace {

constexpr int ok = 0, usage = 64, no_input = 66, unavailable = 69, bad_data = 65;

int list()
{
    for (const PeerFile& file : peer_files()) {
        const auto script = Script::parse(file.text, file.name);
        if (script)
            fmt::print("{:<24} {}\n{:24} gets: {}\n", file.name, script->product, "", script->expect);
    }
    return ok;
}

int say_usage()
{
    fmt::print(stderr, "usage: peer --list\n       peer NAME [--port N] [--address A] [--sessions N] [--quiet]\n"
                       "       peer --script FILE [--port N] ...\n");
    return usage;
}

}  // namespace

int peer_main(int argc, char** argv)
{
    std::string name, script_file, address = "127.0.0.1";
    std::uint64_t port = 0, limit = 0;
    bool quiet = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const bool takes = word == "--port" || word == "--address" || word == "--sessions" || word == "--script";
        if (takes && i + 1 == argc)
            return say_usage();
        if (word == "--list")
            return list();
        if (word == "--quiet")
            quiet = true;
        else if (word == "--address")
            address = argv[++i];
        else if (word == "--script")
            script_file = argv[++i];
        else if (takes) {
            const auto number = parse_number(argv[++i]);
            if (!number || (word == "--port" && *number > 65535))
                return say_usage();
            (word == "--port" ? port : limit) = *number;
        } else if (word.starts_with('-') || !name.empty())
            return say_usage();
        else
            name = word;
    }
    std::string text(peer_text(name));
    if (!script_file.empty()) {
        std::ifstream file(script_file, std::ios::binary);
        if (!file) {
            fmt::print(stderr, "peer: cannot open {}\n", script_file);
            return no_input;
        }
        text.assign(std::istreambuf_iterator<char>(file), {});
        name = script_file;
    } else if (name.empty())
        return say_usage();
    if (text.empty()) {
        fmt::print(stderr, "peer: no peer is called {}; peer --list\n", name);
        return usage;
    }
    auto script = Script::parse(text, name);
    if (!script) {
        fmt::print(stderr, "peer: {}\n", script.error().text());
        return bad_data;
    }
    const auto ip = net::IpAddress::parse(address);
    if (!ip)
        return say_usage();

    asio::io_context loop(1);
    auto listening = net::listen({*ip, static_cast<std::uint16_t>(port)});
    if (!listening) {
        fmt::print(stderr, "peer: {}\n", listening.error().text());
        return unavailable;
    }
    Settings settings;
    settings.patience = std::chrono::minutes(10);
    settings.tls = tls_server(script->host);
    if (!quiet)
        settings.tell = [](const std::string& line) {
            fmt::print("{}\n", line);
            std::fflush(stdout);
        };
    Peer peer(*std::move(script), std::move(settings));
    std::uint64_t taken = 0;
    net::Listener* accepting = nullptr;
    net::Listener listener(loop.get_executor(), *std::move(listening), [&](std::unique_ptr<net::Stream> stream) -> awaitable<void> {
        if (limit != 0 && ++taken >= limit)
            accepting->pause();
        return peer.play(std::move(stream));
    });
    accepting = &listener;
    asio::signal_set stop(loop, SIGINT, SIGTERM);
    fmt::print("* {} listens at {}\n", name, listener.endpoint().text());
    std::fflush(stdout);
    // Not a race between the signal and the clock: both come at once to who had no processor for a while, and the loser is forgotten.
    bool stopped = false;
    stop.async_wait([&](const boost::system::error_code& error, int) { stopped = !error; });
    asio::co_spawn(
        loop,
        [](asio::signal_set& signals, net::Listener& server, std::uint64_t sessions, std::uint64_t& begun, bool& told) -> awaitable<void> {
            // Ends with a signal, or when the asked number of sessions is over.
            while (!told && (sessions == 0 || begun < sessions))
                co_await sleep_for(std::chrono::milliseconds(50));
            if (told)
                co_return co_await server.close();
            signals.clear();                                   // from here on a signal ends the process
            co_await server.drain();
        }(stop, listener, limit, taken, stopped),
        [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
    listener.start();
    loop.run();
    return ok;
}

}  // namespace posthorn::sim
