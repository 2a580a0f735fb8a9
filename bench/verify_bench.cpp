// A cache of a million verified addresses: what a lookup costs the process that asks, and how long the writer's loop stands still while
// the cache is cleaned. `build/release/bench/verify_bench`
#include "tables/build.hpp"
#include "verify/cache.hpp"

#include <benchmark/benchmark.h>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <filesystem>
#include <random>

using namespace posthorn;
using namespace posthorn::verify;
using handoff::Finding;

namespace {

/// Every tenth record has expired.
struct Million {
    explicit Million(std::size_t addresses)
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "verify-bench-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
        map = "lmdb:" + (folder / "cache").string();
        auto builder = tables::build("lmdb", (folder / "cache").string(), {});
        const WallTime now = clock.wall();
        for (std::size_t i = 0; i < addresses; ++i)
            (*builder)->put("user" + std::to_string(i) + "@example.com",
                            to_text(Record(Finding::Kind::deliverable, i % 10 == 0 ? now - std::chrono::days{40} : now, "250 2.1.5 Recipient OK")));
        (void)(*builder)->commit();
    }
    Million(Million&&) = delete;
    ~Million() { std::filesystem::remove_all(folder); }
    SystemClock clock;
    std::filesystem::path folder;
    std::string map;
    observe::Log log{std::make_shared<observe::MemorySink>(), "bench"};
};

void lookup(benchmark::State& state)
{
    const auto addresses = static_cast<std::size_t>(state.range(0));
    const Million cache(addresses);
    CacheReader reader(cache.map, cache.clock, cache.log);
    std::mt19937 random(1);
    std::size_t found = 0, asked = 0;
    for (auto _ : state) {
        found += reader.find("user" + std::to_string(random() % (2 * addresses)) + "@example.com").has_value();
        ++asked;
    }
    state.counters["found"] = static_cast<double>(found) / static_cast<double>(asked);
}
BENCHMARK(lookup)->Arg(1'000)->Arg(1'000'000);

awaitable<void> watch(const bool& over, double& longest)
{
    const Executor executor = co_await asio::this_coro::executor;
    auto last = std::chrono::steady_clock::now();
    while (!over) {
        co_await asio::post(executor, use_awaitable);
        const auto now = std::chrono::steady_clock::now();
        longest = std::max(longest, std::chrono::duration<double, std::milli>(now - last).count());
        last = now;
    }
}

/// Counter "stall_ms": the longest time between two turns of the loop while the cleanup runs.
void cleanup(benchmark::State& state)
{
    double stall = 0;
    for (auto _ : state) {
        state.PauseTiming();
        const Million made(static_cast<std::size_t>(state.range(0)));
        Cache cache(made.map, made.clock, made.log);
        asio::io_context loop(1);
        bool done = false;
        state.ResumeTiming();
        asio::co_spawn(loop, cache.cleanup(Rules{}), [&](std::exception_ptr, Result<Cache::Cleaned>) { done = true; });
        asio::co_spawn(loop, watch(done, stall), asio::detached);
        loop.run();
    }
    state.counters["stall_ms"] = stall;
}
BENCHMARK(cleanup)->Arg(1'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
