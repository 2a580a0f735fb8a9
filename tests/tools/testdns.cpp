// posthorn-testdns ZONEFILE [PORT]: dns/test_server.hpp as a command, for whole-system tests and the demo.
// Prints "listening on [127.0.0.1]:PORT" and serves until SIGTERM or SIGINT; SIGHUP reads the zone file again.
#include "async/async.hpp"
#include "base/strings.hpp"
#include "dns/test_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace posthorn;

namespace {

std::string read_file(const char* path)
{
    std::ifstream file(path);
    if (!file)
        throw std::runtime_error(std::string("cannot read ") + path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

awaitable<void> serve(asio::io_context& loop, const char* path, std::uint16_t port)
{
    dns::TestServer server(loop.get_executor(), read_file(path), port);
    std::cout << "listening on " << server.endpoint().text() << std::endl;
    asio::signal_set signals(loop, SIGTERM, SIGINT, SIGHUP);
    while (co_await signals.async_wait(use_awaitable) == SIGHUP) {
        try {
            server.replace(read_file(path));
        } catch (const std::exception& error) {
            std::cerr << "posthorn-testdns: " << error.what() << ", the old zone stays\n";
        }
    }
    co_await server.close();
}

}  // namespace

int main(int count, char** words)
{
    const auto port = count == 3 ? parse_number(words[2]) : std::optional<std::uint64_t>(0);
    if (count < 2 || count > 3 || !port || *port > 65535) {
        std::cerr << "usage: posthorn-testdns ZONEFILE [PORT]\n";
        return 64;
    }
    int status = 0;
    asio::io_context loop;
    asio::co_spawn(loop, serve(loop, words[1], static_cast<std::uint16_t>(*port)), [&](std::exception_ptr failure) {
        try {
            if (failure)
                std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            std::cerr << "posthorn-testdns: " << error.what() << '\n';
            status = 1;
        }
    });
    loop.run();
    return status;
}
