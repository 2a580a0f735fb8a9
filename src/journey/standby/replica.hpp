// standby/replica.hpp: the copy's end, on its disk.
// Promised at any moment the folder holds what can be promoted, once it has: what comes while a whole copy catches up with its queue goes into a journal
//          first, and is done when all of it is there. In step, what is done so far is what the queue's machine could hold after a loss of power.
// Durable  what take() says is on stable storage.
// Input    anybody's: names that lead elsewhere, files that grow without bound and numbers that go down are refused (4.3.0).
// Owns     the lock of the queue in this folder; `files` must outlive it.
#pragma once

#include "spool/file_ops.hpp"
#include "standby/holdings.hpp"
#include "standby/lineage.hpp"
#include "standby/standby.pb.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace posthorn::standby {

class Replica {
public:
    /// A copy, or an empty folder that is to hold one. Error: a queue of its own is here, or somebody has it open.
    static Result<std::unique_ptr<Replica>> open(spool::FileOps& files, const Clock& clock);

    /// The queue that speaks may write here: from here on it does. Error: it is another one.
    Result<void> begin(const Lineage& queue);
    /// There is a copy that could be promoted.
    bool whole() const { return mark_.progress != Progress::partial; }

    /// Does what is said. What is durable from here on, where that is more than it was; `more`: more has come already, and a sync may be shared with it.
    Result<std::optional<std::uint64_t>> take(const Operations& said, bool more);
    /// It is what the queue is, and is told of every change.
    bool in_step() const { return in_step_; }
    /// While it is: noted now and then, and at the end.
    Result<void> note_in_step();

private:
    Replica(spool::FileOps& files, const Clock& clock) : files_(files), clock_(clock) {}

    Result<void> finish_journal();
    Result<void> write_journal(const Operations& said);
    Result<void> arrive();
    Result<void> make(const Operation& operation);
    Result<spool::File*> file_of(const std::string& name);
    Result<void> sync();

    spool::FileOps& files_;
    const Clock& clock_;
    std::unique_ptr<spool::File> lock_, journal_;
    std::uint64_t journal_octets_ = 0;
    CopyMark mark_;
    bool in_step_ = false;
    std::uint64_t number_ = 0, durable_ = 0, syncs_wanted_ = 0;
    unsigned shared_ = 0;
    std::map<std::string, std::unique_ptr<spool::File>, std::less<>> open_;
    std::set<std::string, std::less<>> unsynced_, folders_;  // folders: "" and "incoming"
};

/// The copy becomes the queue of this machine: its epoch goes up, and a queue can be opened here. What it is now. Error: there is none, or it was never whole.
Result<Lineage> promote(spool::FileOps& files, std::string_view host, const Clock& clock);

}  // namespace posthorn::standby
