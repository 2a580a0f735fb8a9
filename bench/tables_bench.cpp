// What a lookup costs: networks, patterns, a database. The first match wins, so a table is asked with keys from all over it.
#include "tables/build.hpp"
#include "tables/lookups.hpp"
#include "tables/testing.hpp"

#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include <random>

using namespace posthorn;

namespace {

std::string address(std::mt19937& random)
{
    return fmt::format("{}.{}.{}.{}", 1 + random() % 223, random() % 256, random() % 256, 1 + random() % 254);
}

void ask(benchmark::State& state, tables::Table& table, const std::vector<std::string>& keys)
{
    if (const auto broken = table.broken())
        return state.SkipWithError(broken->what().c_str());
    std::size_t at = 0, hits = 0;
    for (auto _ : state) {
        const auto answer = table.find(keys[at++ % keys.size()]);
        hits += answer && *answer ? 1 : 0;
        benchmark::DoNotOptimize(hits);
    }
    state.counters["hits"] = benchmark::Counter(static_cast<double>(hits), benchmark::Counter::kAvgIterations);
}

void cidr(benchmark::State& state)
{
    tables::TestSite site;
    std::mt19937 random(1);
    std::string text;
    std::vector<std::string> keys;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        const std::string one = address(random);
        text += fmt::format("{}/32 v{}\n", one, i);
        keys.push_back(i % 2 == 0 ? one : address(random));
    }
    std::ranges::shuffle(keys, random);
    ask(state, *site.tables.open("cidr:" + site.write("table", text)), keys);
}
BENCHMARK(cidr)->Arg(10'000)->Arg(100'000);

void regexp(benchmark::State& state)
{
    tables::TestSite site;
    std::mt19937 random(1);
    std::string text;
    std::vector<std::string> keys;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        text += fmt::format("/^user{}[a-z]*@(host|mail){}\\.example\\.com$/ r{}\n", i, i % 7, i);
        keys.push_back(fmt::format("user{}abc@host{}.example.com", random() % static_cast<unsigned>(state.range(0)), random() % 7));
    }
    ask(state, *site.tables.open("regexp:" + site.write("table", text)), keys);
}
BENCHMARK(regexp)->Arg(1000)->Unit(benchmark::kMicrosecond);

void texthash(benchmark::State& state)
{
    tables::TestSite site;
    std::string text;
    std::vector<std::string> keys;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        text += fmt::format("user{}@example.com v{}\n", i, i);
        keys.push_back(fmt::format("user{}@example.com", i * 7919 % (2 * state.range(0))));
    }
    ask(state, *site.tables.open("texthash:" + site.write("table", text)), keys);
}
BENCHMARK(texthash)->Arg(100'000);

}  // namespace

BENCHMARK_MAIN();
