// What a message costs in the spool: enqueue and delivery, durable, in batches; and how long a start with a million takes.
#include "spool/ledger.hpp"
#include "spool/opening.hpp"
#include "spool/test_messages.hpp"

#include <benchmark/benchmark.h>

#include <sys/resource.h>

#include <chrono>

using namespace posthorn;
using namespace posthorn::spool;

namespace {

double cpu_seconds()
{
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Insert one batch in a commit, remove it in the next; checkpoints included.
void insert_and_remove(benchmark::State& state)
{
    const auto batch = static_cast<int>(state.range(0));
    const auto size = static_cast<std::size_t>(state.range(1));
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    SystemClock clock;
    auto opening = open_queue(*files, {}, clock, silent_log());
    if (!opening)
        return state.SkipWithError(opening.error().text().c_str());
    Ledger& ledger = *opening->ledger;
    int number = 0;
    std::vector<NewMessageRef> messages;
    std::vector<Lease> leases;
    double cpu = 0;
    std::uint64_t done = 0;
    for (auto _ : state) {
        state.PauseTiming();
        messages.clear();
        leases.clear();
        for (int i = 0; i < batch; ++i)
            messages.push_back(message_of(++number, size));
        state.ResumeTiming();
        const double start = cpu_seconds();
        ledger.begin();
        for (const NewMessageRef& message : messages)
            leases.push_back(*ledger.enqueue(*message));
        ledger.commit(clock.wall());
        ledger.begin();
        for (const Lease lease : leases) {
            Settlement settlement;
            settlement.lease = lease;
            settlement.attempt = 1;
            settlement.verdicts.emplace_back().set_outcome(handoff::OUTCOME_DELIVERED);
            benchmark::DoNotOptimize(ledger.settle(settlement));
        }
        ledger.commit(clock.wall());
        if (ledger.log_octets() > 16 << 20)
            ledger.checkpoint();
        cpu += cpu_seconds() - start;
        done += static_cast<std::uint64_t>(batch);
    }
    state.counters["cpu_us_per_message"] = cpu * 1e6 / static_cast<double>(done);
    state.SetItemsProcessed(static_cast<std::int64_t>(done));
}
BENCHMARK(insert_and_remove)->ArgsProduct({{1, 32, 256}, {4096}})->Unit(benchmark::kMicrosecond);
BENCHMARK(insert_and_remove)->Args({32, 65536})->Unit(benchmark::kMicrosecond);

/// Deferred messages, as after a night without the network: from opening to the last one scheduled.
void start_with_deferred(benchmark::State& state)
{
    const auto count = static_cast<int>(state.range(0));
    TemporaryFolder folder;
    const auto files = system_files(folder.path());
    SystemClock clock;
    {
        auto opening = open_queue(*files, {}, clock, silent_log());
        if (!opening)
            return state.SkipWithError(opening.error().text().c_str());
        Ledger& ledger = *opening->ledger;
        for (int number = 1; number <= count;) {
            ledger.begin();
            for (int i = 0; i < 1000 && number <= count; ++i, ++number) {
                Settlement settlement;
                settlement.lease = *ledger.enqueue(*message_of(number, 1000));
                settlement.attempt = 1;
                settlement.verdicts.emplace_back().set_outcome(handoff::OUTCOME_DEFERRED);
                settlement.verdicts.back().set_text("connect to mx.example.net[192.0.2.25]:25: Connection timed out");
                settlement.verdicts.back().set_status("4.4.1");
                settlement.verdicts.back().set_relay("none");
                benchmark::DoNotOptimize(ledger.settle(settlement));
            }
            ledger.commit(clock.wall());
            if (ledger.log_octets() > 16 << 20)
                ledger.checkpoint();
        }
        ledger.checkpoint(true);
    }
    for (auto _ : state) {
        auto opening = open_queue(*files, {}, clock, silent_log());
        std::uint64_t after = 0, seen = 0;
        for (bool done = false; !done;) {
            auto page = opening->ledger->load(after, 5000);
            seen += page.entries.size();
            after = page.next;
            done = page.done;
        }
        if (seen != static_cast<std::uint64_t>(count))
            state.SkipWithError("not all were read");
    }
    state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(start_with_deferred)->Arg(1000)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
