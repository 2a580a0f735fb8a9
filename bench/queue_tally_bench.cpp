// What the running numbers of the queue cost qmgr: memory and time a message, and a scrape's question over a million of them.
// `build/release/bench/queue_tally_bench`
#include "services/queue_tally.hpp"

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <random>
#include <string>

using namespace posthorn;
using namespace posthorn::services;

namespace {

using Place = QueueTally::Place;
const WallTime bench_now{std::chrono::hours{500'000}};

/// Deferred messages of five days, for 1000 destinations.
void fill(QueueTally& tally, std::size_t messages)
{
    std::mt19937 random(1);
    for (std::size_t key = 1; key <= messages; ++key) {
        tally.arrived(key, bench_now - std::chrono::minutes(random() % 7200), Place::deferred);
        tally.failed(key,
                     {"domain" + std::to_string(random() % 1000) + ".test", "no-answer", "smtp:a.test", "connect: Connection refused", bench_now});
    }
}

/// Counter "bytes" is the heap per message.
void remember_deferred(benchmark::State& state)
{
    const auto messages = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
        QueueTally tally;
        fill(tally, messages);
        state.counters["bytes"] = static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd - before) / static_cast<double>(messages);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(messages) * state.iterations());
}
BENCHMARK(remember_deferred)->Arg(1'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

/// A message that is delivered at the first try, beside so many that wait.
void one_delivered(benchmark::State& state)
{
    QueueTally tally;
    fill(tally, static_cast<std::size_t>(state.range(0)));
    QueueTally::Key key = 1'000'000'000;
    for (auto _ : state) {
        tally.arrived(++key, bench_now, Place::active);
        tally.gone(key);
    }
}
BENCHMARK(one_delivered)->Arg(0)->Arg(1'000'000);

/// One that is deferred, tried again, and goes.
void one_deferred(benchmark::State& state)
{
    QueueTally tally;
    fill(tally, static_cast<std::size_t>(state.range(0)));
    QueueTally::Key key = 1'000'000'000;
    for (auto _ : state) {
        tally.arrived(++key, bench_now, Place::active);
        tally.failed(key, {"domain7.test", "no-answer", "smtp:a.test", "connect: Connection refused", bench_now});
        tally.moved(key, Place::deferred);
        tally.tried(key);
        tally.moved(key, Place::active);
        tally.gone(key);
    }
}
BENCHMARK(one_deferred)->Arg(0)->Arg(1'000'000);

/// What a scrape asks: ages of all places.
void scrape(benchmark::State& state)
{
    QueueTally tally;
    fill(tally, static_cast<std::size_t>(state.range(0)));
    for (auto _ : state)
        for (const Place place : {Place::active, Place::deferred, Place::hold})
            benchmark::DoNotOptimize(tally.ages(place, bench_now));
}
BENCHMARK(scrape)->Arg(1'000)->Arg(1'000'000);

}  // namespace

BENCHMARK_MAIN();
