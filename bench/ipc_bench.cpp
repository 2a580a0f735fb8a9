// What a request and its reply of 4 KiB cost, both ends together (both run on this one thread). Budget: about 5 µs under load
// (design.md section 3). `alone`: one call at a time; `load`: 64 callers.
#include "async/run.hpp"
#include "ipc/channel.hpp"
#include "ipc/dispatcher.hpp"
#include "ipc/ipc.pb.h"

#include <benchmark/benchmark.h>

using namespace posthorn;
using namespace posthorn::ipc;

namespace {

awaitable<Result<Octets>> echo(Octets request) { co_return request; }

struct Pair {
    Pair() : tasks(loop.get_executor()), dispatcher(tasks)
    {
        dispatcher.on_now<Octets, Octets>(1, [](const Octets& request) -> Result<Octets> { return request; });
        dispatcher.on<Octets, Octets>(2, [](Octets request) { return echo(std::move(request)); });
        auto [a, b] = Channel::socket_pair().value();
        client = Channel::open(loop.get_executor(), std::move(a));
        server = Channel::open(loop.get_executor(), std::move(b), {}, dispatcher.handler());
    }
    ~Pair()
    {
        client->close();
        server->close();
        run(loop, tasks.close());
    }

    asio::io_context loop{1};
    TaskGroup tasks;
    Dispatcher dispatcher;
    std::shared_ptr<Channel> client, server;
};

awaitable<void> call_many(std::shared_ptr<Channel> channel, Kind kind, Octets request, int calls)
{
    for (int i = 0; i < calls; ++i)
        if (!co_await channel->call<Octets>(kind, request))
            std::abort();
}

void call(benchmark::State& state)
{
    const Kind kind = static_cast<Kind>(state.range(0));
    const int callers = static_cast<int>(state.range(1));
    constexpr int calls = 200;
    Pair pair;
    Octets request;
    request.set_data(std::string(4096, 'x'));
    for (auto _ : state) {
        for (int i = 0; i < callers; ++i)
            pair.tasks.spawn(call_many(pair.client, kind, request, calls));
        run(pair.loop, pair.tasks.drained());
    }
    state.SetItemsProcessed(state.iterations() * callers * calls);
    state.counters["us_per_call"] = benchmark::Counter(static_cast<double>(state.iterations() * callers * calls) / 1e6,
                                                       benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.counters["frames_per_write"] = static_cast<double>(pair.client->counts().frames_out) / static_cast<double>(pair.client->counts().writes);
}

// Kind 1 is answered at once, kind 2 by a task of its own.
BENCHMARK(call)->ArgNames({"kind", "callers"})->Args({1, 1})->Args({2, 1})->Args({1, 64})->Args({2, 64});

}  // namespace

BENCHMARK_MAIN();
