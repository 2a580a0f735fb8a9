// The plan of one message: how long it takes to decide what is said in which flight.
#include "send/plan.hpp"

#include <benchmark/benchmark.h>

using namespace posthorn::send;

namespace {

void plan_of(benchmark::State& state)
{
    const Offer offer{.pipelining = true, .chunking = state.range(1) != 0};
    const std::vector<Mail> mails{Mail(static_cast<std::uint32_t>(state.range(0)), 4096)};
    const posthorn::peers::Known known;
    for (auto _ : state) {
        Plan made = plan(Dialogue{.mails = mails, .end = false}, offer, known, PlanOptions{});
        benchmark::DoNotOptimize(made.data());
    }
}
BENCHMARK(plan_of)->Args({1, 0})->Args({1, 1})->Args({50, 0});

}  // namespace

BENCHMARK_MAIN();
