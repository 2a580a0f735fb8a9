// A million deferred messages: what remembering and re-reading them costs. `build/release/bench/schedule_bench`
#include "schedule/deferred.hpp"
#include "schedule/scheduler.hpp"

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <random>

using namespace posthorn;
using namespace posthorn::schedule;

namespace {

/// Fills the index with state.range(0) messages; counter "bytes" is the heap per message.
void remember(benchmark::State& state)
{
    const auto messages = static_cast<std::size_t>(state.range(0));
    HandClock clock;
    for (auto _ : state) {
        const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
        Deferred deferred;
        std::mt19937 random(1);
        for (std::size_t i = 0; i < messages; ++i)
            deferred.put(i + 1, clock.wall() + std::chrono::seconds(random() % 4000));
        state.counters["bytes"] = static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd - before) / static_cast<double>(messages);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(messages) * state.iterations());
}
BENCHMARK(remember)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

/// One message through the scheduler: activate, next, finished.
void one_message(benchmark::State& state)
{
    HandClock clock;
    Scheduler scheduler({.transport = [](std::string_view) { return TransportOptions{}; }}, clock);
    const auto sites = static_cast<std::size_t>(state.range(0));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < sites; ++i)
        names.push_back("smtp:site" + std::to_string(i) + ".test");
    MessageKey message = 0;
    for (auto _ : state) {
        const std::string& site = names[message % sites];
        scheduler.activate(++message, {{0, "smtp", site, "user@site.test"}});
        const auto request = scheduler.next();
        benchmark::DoNotOptimize(scheduler.finished(request->attempt, SiteNews::answered));
    }
}
BENCHMARK(one_message)->Arg(1)->Arg(10'000);

}  // namespace

BENCHMARK_MAIN();
