// services/trial_link.hpp: what a stricter setting would have refused, and let pass, in two processes.
// TrialLink   in smtpd and smtp: gathers for a second and tells memory. Nothing waits for it: what memory does not take, or what is more than
//             `waiting` of a second, is lost and counted. What passed is told as a number alone.
// TrialDesk   in memory: keeps it (trials/book.hpp) in the file `trials` of the data directory, written some seconds after something changed and at the
//             end, whole or not at all; a kill loses those seconds. A file that is damaged is set aside and said.
#pragma once

#include "base/clock.hpp"
#include "handoff/trials.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "observe/log.hpp"
#include "services/kept_file.hpp"
#include "trials/book.hpp"

#include <map>
#include <string>
#include <utility>

namespace posthorn::services {

class TrialLink final : public handoff::TrialListener {
public:
    static constexpr int waiting = 500;

    /// `memory` has been started before anything is told, and outlives it.
    TrialLink(Executor executor, ipc::Client& memory);
    /// What was gathered is told first.
    awaitable<void> close();
    void tell(handoff::TrialSeen seen) override;
    std::uint64_t dropped() const { return dropped_; }

private:
    awaitable<void> send_soon();

    ipc::Client& memory_;
    Signal closing_;
    TaskGroup tasks_;
    handoff::TrialsSeen gathered_;
    std::map<std::pair<bool, std::string>, std::pair<std::uint64_t, std::uint64_t>> passed_;  // by what was tried; with nothing to hold them against
    bool under_way_ = false, ends_ = false;
    std::uint64_t dropped_ = 0;
};

using TrialFile = Kept<handoff::Trials>;
inline constexpr KeptFile::Form trial_file{"trials", 64 << 20};

class TrialDesk {
public:
    static constexpr std::chrono::milliseconds write_interval{5'000};

    /// Reads the file: blocks; after the process is confined.
    TrialDesk(const std::string& data_directory, const Clock& clock, observe::Log log, Executor executor, ipc::Dispatcher& dispatcher);
    /// Writes until cancelled; write_out() is due after it.
    awaitable<void> run();
    awaitable<void> write_out();
    /// Of an operator. FORGET: it is gone from the file, too.
    awaitable<Result<handoff::Trials>> command(handoff::TrialsCommand command);

private:
    awaitable<Result<void>> write();

    observe::Log log_;
    trials::Book book_;
    std::unique_ptr<spool::FileOps> files_;
    TrialFile file_;
    Signal change_;
    bool in_trouble_ = false;
};

}  // namespace posthorn::services
