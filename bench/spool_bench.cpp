// What a message costs in the spool: enqueue and delivery, durable, in batches; what the file of a large one costs, written over or new; and how long a
// start with a million takes.
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

/// By twenty at once: a content of between half and one and a half MiB is written, synced with its name, read and gone; its file is removed, or kept for the next.
void content_file(benchmark::State& state)
{
    static std::unique_ptr<TemporaryFolder> folder;
    static std::unique_ptr<FileOps> files;
    static double cpu;
    if (state.thread_index() == 0) {
        folder = std::make_unique<TemporaryFolder>();
        std::filesystem::create_directory(folder->path() + "/" + std::string(incoming_folder));
        files = system_files(folder->path());
        cpu = cpu_seconds();
    }
    const std::string block(256 * 1024, 'x');
    int number = 0;
    for (auto _ : state) {
        ++number;
        const std::string id = queue_id(state.thread_index() * 1'000'000 + number);
        auto file = IncomingFile::create(*files, id);
        const std::size_t octets = (512 + static_cast<std::size_t>(state.thread_index() * 7919 + number * 104729) % 1024) * 1024;
        for (std::size_t at = 0; at < octets; at += block.size())
            (void)file->append(std::string_view(block).substr(0, octets - at));
        if (!file->sync())
            return state.SkipWithError("sync");
        for (std::size_t at = 0; at < octets; at += block.size())
            benchmark::DoNotOptimize(file->read(at, block.size()));
        if (state.range(0) == 1) {
            file->keep();
            {
                const IncomingFile closed = *std::move(file);
            }
            retire(*files, incoming_name(id));
        }
    }
    state.SetItemsProcessed(state.iterations());
    if (state.thread_index() == 0) {
        state.counters["cpu_us"] = benchmark::Counter((cpu_seconds() - cpu) * 1e6 / static_cast<double>(state.iterations() * state.threads()));
        files.reset();
        folder.reset();
    }
}
BENCHMARK(content_file)->ArgName("written_over")->Arg(0)->Arg(1)->Threads(20)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
