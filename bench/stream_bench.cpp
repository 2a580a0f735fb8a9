// What a line and its reply cost on a socket pair, both ends on this one thread: bare stream, and inside TLS. And a TLS handshake,
// fresh and resumed (both ends).
#include "async/run.hpp"
#include "net/stream.hpp"
#include "tls/make_certificate.hpp"
#include "tls/tls.hpp"

#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <cstdlib>

using namespace posthorn;

namespace {

std::pair<std::unique_ptr<net::Stream>, std::unique_ptr<net::Stream>> pair(asio::io_context& loop)
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        std::abort();
    return {net::socket_stream(loop.get_executor(), Fd(ends[0])), net::socket_stream(loop.get_executor(), Fd(ends[1]))};
}

awaitable<void> answer(net::Stream& stream, int times)
{
    char room[512];
    for (int i = 0; i < times; ++i) {
        stream.expires_after(std::chrono::minutes(5));
        if (!co_await stream.wait_readable() || !co_await stream.read_some(room) || !co_await stream.write(std::string_view("250 2.1.0 Ok\r\n")))
            std::abort();
    }
}

awaitable<void> ask(net::Stream& stream, int times)
{
    char room[512];
    for (int i = 0; i < times; ++i) {
        stream.expires_after(std::chrono::minutes(5));
        if (!co_await stream.write(std::string_view("MAIL FROM:<sender@example.test>\r\n")) || !co_await stream.read_some(room))
            std::abort();
    }
}

void talk(benchmark::State& state, asio::io_context& loop, net::Stream& client, net::Stream& server)
{
    constexpr int times = 1000;
    TaskGroup group(loop.get_executor());
    for (auto _ : state) {
        group.spawn(answer(server, times));
        run(loop, ask(client, times));
        run(loop, group.drained());
    }
    state.SetItemsProcessed(state.iterations() * times);
}

std::shared_ptr<tls::Context> server_context()
{
    static const std::string chain = tls::make_certificate(tls::CertificateWish("mx.test")).chain();
    tls::Options options;
    options.chain_files = {"chain"};
    return tls::Context::server(options, [](const std::string&) -> Result<std::string> { return chain; }).value();
}

awaitable<void> accept_into(std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> lower, tls::Secured& out)
{
    out = (co_await tls::accept(std::move(context), std::move(lower))).value();
}

std::pair<tls::Secured, tls::Secured> shake_hands(asio::io_context& loop, const std::shared_ptr<tls::Context>& client,
                                                  const std::shared_ptr<tls::Context>& server, tls::ConnectOptions options = {})
{
    auto [a, b] = pair(loop);
    TaskGroup group(loop.get_executor());
    tls::Secured accepted;
    group.spawn(accept_into(server, std::move(b), accepted));
    auto connected = run(loop, tls::connect(client, std::move(a), std::move(options))).value();
    run(loop, group.drained());
    return {std::move(connected), std::move(accepted)};
}

void plain_line(benchmark::State& state)
{
    asio::io_context loop{1};
    auto [client, server] = pair(loop);
    talk(state, loop, *client, *server);
}

void tls_line(benchmark::State& state)
{
    asio::io_context loop{1};
    auto [client, server] = shake_hands(loop, tls::Context::client({}).value(), server_context());
    talk(state, loop, *client.stream, *server.stream);
}

void tls_handshake(benchmark::State& state)
{
    asio::io_context loop{1};
    SystemClock clock;
    const auto client = tls::Context::client({}).value();
    const auto server = server_context();
    tls::ConnectOptions options("mx.test");
    if (state.range(0)) {
        options.sessions = std::make_shared<tls::MemorySessionStore>(clock);
        options.session_key = "mx.test";
    }
    for (auto _ : state) {
        auto [one, other] = shake_hands(loop, client, server, options);
        TaskGroup group(loop.get_executor());
        group.spawn(answer(*other.stream, 1));
        run(loop, ask(*one.stream, 1));                               // TLS 1.3: the ticket comes with the first reply
        run(loop, group.drained());
    }
}

BENCHMARK(plain_line);
BENCHMARK(tls_line);
BENCHMARK(tls_handshake)->ArgName("resumed")->Arg(0)->Arg(1);

}  // namespace

BENCHMARK_MAIN();
