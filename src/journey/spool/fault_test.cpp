// What fails, fails at every operation in turn: EIO and "disk full" at each write, each sync, each name that changes.
#include "spool/crash_workload.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>

using namespace posthorn;
using namespace posthorn::spool;

namespace {

constexpr int steps = 12;
constexpr std::size_t full_for = 6;                // operations, until somebody made room

struct FaultOutcome {
    std::string violation;
    bool failed = false, started = true, reached = false;
    Operation at{};
};

/// One workload in which operation `number` fails. After a failure of the store: restart on the same kernel, then power loss.
FaultOutcome run_failing_at(std::size_t number, int error)
{
    RecordedFiles files;
    Expectations expected;
    FaultOutcome outcome;
    std::atomic<bool> reached = false;
    std::atomic<bool> over = false;                            // the writer thread may be in `before`: it is told, not taken away
    files.before = [&](const Operation& operation) {
        if (over)
            return 0;
        const bool shrinks = operation.kind == Operation::Kind::remove || operation.kind == Operation::Kind::truncate;
        const bool hit = operation.number == number || (error == ENOSPC && operation.number > number && operation.number < number + full_for &&
                                                        operation.kind != Operation::Kind::sync && operation.kind != Operation::Kind::sync_folder);
        if (operation.number == number) {
            outcome.at = operation;
            reached = true;
        }
        return !hit || (error == ENOSPC && shrinks) ? 0 : error;
    };
    {
        Workload workload(files, expected, 3);
        outcome.started = workload.start().has_value();
        for (int i = 0; outcome.started && i < steps; ++i)
            if (!workload.step())
                break;
        // Whoever waited out a full disk goes on without a restart.
        if (outcome.started && reached && error == ENOSPC && !workload.failed()) {
            over = true;
            // Who is refused tries again: what was on its way when room was made may fail yet, and whoever enters with it.
            bool entered = false;
            for (int tries = 0; tries < 3 && !entered; ++tries)
                entered = workload.on().get(workload.spool().enqueue(message_of(5000, 100))).has_value();
            if (!entered && !workload.failed())                // a sync that failed ends the store a moment later, whoever looked before
                outcome.violation = "there is room again, and enqueue fails";
            expected.note(5000, [entered](Expectations::Message& message) {
                message.octets = octets_of(5000, 100);
                message.enqueued = entered ? Expectations::Fate::sure : Expectations::Fate::asked;
            });
        }
        workload.stop();
        outcome.failed = workload.failed();
        outcome.reached = reached;
    }
    files.before = nullptr;
    if (outcome.violation.empty())
        outcome.violation = expected.compare(files);           // the process starts again
    if (outcome.violation.empty()) {
        expected.settle_fates(files);                          // whoever asks was_committed() now is told, and relies on it
        std::mt19937_64 random(number);
        for (int i = 0; i < 3 && outcome.violation.empty(); ++i)
            if (const auto disk = files.power_loss(random); !(outcome.violation = expected.compare(*disk)).empty())
                outcome.violation += ", after restart and power loss";
    }
    return outcome;
}

std::string name(const Operation& operation)
{
    constexpr const char* kinds[] = {"create", "write", "truncate", "sync", "remove", "rename", "link", "make folder", "sync folder"};
    return fmt::format("operation {}, {} {}", operation.number, kinds[static_cast<int>(operation.kind)], operation.name);
}

bool is_of_database(const Operation& operation) { return !operation.name.starts_with("incoming"); }
bool is_sync(const Operation& operation) { return operation.kind == Operation::Kind::sync || operation.kind == Operation::Kind::sync_folder; }

}  // namespace

TEST_CASE("fault: whichever operation fails with EIO, nothing acknowledged is lost and the store ends instead of trying again")
{
    std::size_t number = 1, ended = 0;
    for (;; ++number) {
        const FaultOutcome outcome = run_failing_at(number, EIO);
        if (!outcome.reached)
            break;
        INFO(name(outcome.at));
        CHECK(outcome.violation == "");
        if (is_of_database(outcome.at) && outcome.started && outcome.at.kind != Operation::Kind::remove) {
            CHECK(outcome.failed);
            ++ended;
        }
    }
    MESSAGE((number - 1) << " operations failed in turn, " << ended << " ended the store");
    CHECK(number > 100);
    CHECK(ended > 50);
}

TEST_CASE("fault: a full disk at any write refuses with 4.3.1, stores nothing, loses nothing, and passes by itself")
{
    std::size_t number = 1, waited = 0;
    for (;; ++number) {
        const FaultOutcome outcome = run_failing_at(number, ENOSPC);
        if (!outcome.reached)
            break;
        INFO(name(outcome.at));
        CHECK(outcome.violation == "");
        if (outcome.started && !is_sync(outcome.at)) {
            CHECK_FALSE(outcome.failed);
            ++waited;
        }
    }
    MESSAGE((number - 1) << " operations met a full disk, " << waited << " times the store went on");
    CHECK(waited > 50);
}
