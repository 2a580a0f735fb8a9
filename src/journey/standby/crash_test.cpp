// The proof of the copy: after every operation on the second machine's disk its power is cut, what is left is promoted, and must be the queue: nothing that was acknowledged is
// missing, nothing that had left is there. Meanwhile the line breaks, and the copy catches up.
// POSTHORN_SPOOL_SEEDS=n runs n seeds instead of one (nightly); POSTHORN_SPOOL_SEED starts elsewhere.
#include "spool/crash_workload.hpp"
#include "standby/mirror.hpp"
#include "standby/mirrored_files.hpp"
#include "standby/pair_testing.hpp"
#include "standby/replica.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>

using namespace posthorn;
using namespace posthorn::standby;

namespace {

std::uint64_t asked_for(const char* variable, std::uint64_t otherwise)
{
    const char* text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct CopyOutcome {
    std::vector<std::string> violations;
    std::size_t operations = 0, promoted = 0, breaks = 0;
};

using Lying = std::function<bool(const spool::Operation&)>;

CopyOutcome copy_and_crash(std::uint64_t seed, int steps, const Lying& lying, std::size_t enough)
{
    spool::Expectations expected;
    CopyOutcome outcome;
    std::mt19937_64 random(seed * 7907 + 3), cuts(seed * 7919 + 5);  // of the second machine's thread, and of this one
    MachinePair pair({});
    pair.there.lying = lying;
    std::atomic<bool> was_whole = false;
    pair.there.after = [&](const spool::Operation& operation) {
        ++outcome.operations;
        // Each way in is looked at; of the many writes of one commit every third.
        if (outcome.violations.size() >= enough || (operation.kind == spool::Operation::Kind::write && outcome.operations % 3 != 0))
            return;
        const auto disk = pair.there.power_loss(random);
        const auto now = promote(*disk, "second.test", pair.clock);
        if (!now) {  // before it was whole for the first time, and not after that
            if (was_whole)
                outcome.violations.push_back(
                    fmt::format("seed {}, operation {} ({}): not promoted: {}", seed, operation.number, operation.name, now.error().text()));
            return;
        }
        was_whole = true;
        ++outcome.promoted;
        if (const std::string violation = expected.compare(*disk); !violation.empty())
            outcome.violations.push_back(fmt::format("seed {}, operation {} ({}): {}", seed, operation.number, operation.name, violation));
    };
    {
        spool::Workload workload(pair.files(), expected, seed, &pair.here);
        workload.answered = [&] { pair.wait_for_both(); };
        pair.start();
        const auto started = workload.start();
        REQUIRE_MESSAGE(started, (started ? "" : started.error().text()));
        for (int i = 0; i < steps && outcome.violations.size() < enough; ++i) {
            workload.step();
            if (cuts() % 12 == 0) {
                pair.cut();
                ++outcome.breaks;
            }
        }
        workload.stop();
    }
    CHECK(pair.wait_for(Mirror::State::in_step));
    pair.stop();
    pair.there.after = nullptr;
    CHECK(expected.compare(pair.here) == "");
    const auto now = promote(pair.there, "second.test", pair.clock);
    CHECK_MESSAGE(now, (now ? "" : now.error().text()));
    CHECK(expected.compare(pair.there) == "");
    return outcome;
}

bool copy_notices(const std::string& what, const Lying& lying)
{
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const CopyOutcome outcome = copy_and_crash(seed, 60, lying, 1);
        if (!outcome.violations.empty()) {
            MESSAGE(what << " was noticed: " << outcome.violations.front());
            return true;
        }
    }
    return false;
}

}  // namespace

TEST_CASE("copy: the second machine's power is cut after every operation, and what is promoted is the queue")
{
    const std::uint64_t first = asked_for("POSTHORN_SPOOL_SEED", 50), seeds = asked_for("POSTHORN_SPOOL_SEEDS", 1);
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const CopyOutcome outcome = copy_and_crash(seed, seeds > 1 ? 150 : 70, {}, 5);
        for (const std::string& violation : outcome.violations)
            FAIL_CHECK(violation);
        MESSAGE("seed " << seed << ": " << outcome.operations << " operations there, promoted " << outcome.promoted << " times, line cut "
                        << outcome.breaks << " times");
        CHECK(outcome.promoted > 300);
        CHECK(outcome.breaks > 2);
    }
}

TEST_CASE("copy: a log that the second machine does not sync is noticed")
{
    CHECK(copy_notices("the copy's missing sync of the log", [](const spool::Operation& op) {
        return op.kind == spool::Operation::Kind::sync && op.name == "spool.db-wal" && op.number > 150;
    }));
}

TEST_CASE("copy: a journal that is not synced before it is done is noticed")
{
    CHECK(copy_notices("the journal's missing sync",
                       [](const spool::Operation& op) { return op.kind == spool::Operation::Kind::sync && op.name == journal_name; }));
}
