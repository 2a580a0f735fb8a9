// spool/store_test.hpp: the stores that the conformance suite is asked of, each as one harness. For tests.
#pragma once

#include "spool/memory_store.hpp"
#include "spool/spool.hpp"
#include "spool/test_messages.hpp"

#include <doctest/doctest.h>

namespace posthorn::spool {

using namespace std::chrono_literals;

/// The store is reopened by a new process, which finds what the old one left.
class OnSqlite : public LoopHarness {
public:
    explicit OnSqlite(std::chrono::microseconds slow_sync = 1h) : slow_sync_(slow_sync) { open(); }
    ~OnSqlite() { spool_.reset(); }
    Store& store() { return *spool_; }
    FileOps& files() { return *files_; }
    void reopen()
    {
        spool_.reset();
        open();
    }

private:
    void open()
    {
        Options options;
        options.slow_sync = slow_sync_;
        auto opened = Spool::open(*files_, options, loop.get_executor(), clock, silent_log(), {});
        REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().text()));
        spool_ = std::move(*opened);
    }

    const std::chrono::microseconds slow_sync_;
    TemporaryFolder folder_;
    std::unique_ptr<FileOps> files_ = system_files(folder_.path());
    std::unique_ptr<Spool> spool_;
};

/// The same with commits that overlap.
class OnSlowDisk : public OnSqlite {
public:
    OnSlowDisk() : OnSqlite(0us) {}
};

/// The store is taken over by the other node.
class OnTwoNodes : public LoopHarness {
public:
    OnTwoNodes() { files_->make_folder(incoming_folder); }
    Store& store() { return nodes_.node(current_); }
    FileOps& files() { return *files_; }
    void reopen()
    {
        nodes_.fail_over(current_);
        nodes_.rejoin(current_);
        current_ = 1 - current_;
    }

private:
    TemporaryFolder folder_;
    std::unique_ptr<FileOps> files_ = system_files(folder_.path());
    TwoNodes nodes_{loop.get_executor(), *files_};
    std::uint32_t current_ = 0;
};

template <class Harness>
std::vector<StoredMessage> everything(Harness& on, std::size_t limit = 3)
{
    std::vector<StoredMessage> all;
    for (std::uint64_t after = 0;;) {
        auto page = on.get(on.store().list(after, limit));
        REQUIRE(page);
        std::ranges::move(page->entries, std::back_inserter(all));
        after = page->next;
        if (page->done)
            return all;
    }
}

/// The lease of today: after a reopening the old one is stale.
template <class Harness>
Lease lease_of(Harness& on, int number)
{
    auto found = on.get(on.store().find(queue_id(number)));
    REQUIRE(found);
    REQUIRE(*found);
    return **found;
}

inline handoff::Verdict verdict(std::uint32_t recipient, handoff::Outcome outcome, std::string text = "reason")
{
    handoff::Verdict made;
    made.set_recipient(recipient);
    made.set_outcome(outcome);
    made.set_status(outcome == handoff::OUTCOME_DEFERRED ? "4.4.1" : "2.0.0");
    made.set_text(std::move(text));
    return made;
}

inline Settlement settlement(Lease lease, std::uint64_t attempt, std::vector<handoff::Verdict> verdicts)
{
    Settlement made;
    made.lease = lease;
    made.attempt = attempt;
    made.verdicts = std::move(verdicts);
    made.next_try = WallTime{1h};
    return made;
}

}  // namespace posthorn::spool

#define ON_EVERY_STORE(name) TEST_CASE_TEMPLATE(name, Harness, OnSqlite, OnSlowDisk, OnTwoNodes)
