// services/transcripts.hpp: transcripts of outbound sessions, in two processes.
// TranscriptLink     in every smtp and lmtp process, which may write no file: sends them to memory. Nothing waits for that: what memory
//                    does not take in time is dropped and counted. Of good sessions a few per second are enough.
// TranscriptKeeper   in memory: the one writer, on a thread of its own. A full disk costs transcripts, and is said once.
#pragma once

#include "handoff/transcript.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "observe/ring.hpp"
#include "process/service.hpp"
#include "send/transcript.hpp"

#include <memory>
#include <vector>

namespace posthorn::services {

class TranscriptLink final : public send::Transcripts {
public:
    TranscriptLink(process::Service& service, const Clock& clock);
    /// Null: none are wanted.
    send::Transcripts* transcripts() { return wanted_ ? this : nullptr; }
    void start();
    awaitable<void> close();
    std::uint64_t dropped() const { return dropped_; }

private:
    void take(handoff::Transcript transcript) override;
    bool wants_good() override;
    awaitable<void> tell(handoff::Transcript transcript);

    const Clock& clock_;
    bool wanted_, good_wanted_;
    std::string service_;
    ipc::Client link_;
    TaskGroup tasks_;
    std::size_t on_the_way_ = 0;
    unsigned good_ = 0;                     // in the second that began at good_since_
    SteadyTime good_since_{};
    std::uint64_t dropped_ = 0;
};

struct TranscriptLimits {
    observe::RingLimits failed, good;
    static TranscriptLimits from(const config::Snapshot& snapshot);
};

class TranscriptKeeper {
public:
    /// After the process is confined.
    TranscriptKeeper(const Executor& executor, std::string folder, TranscriptLimits limits, const Clock& clock, observe::Log log);
    void serve(ipc::Dispatcher& dispatcher);
    void take(handoff::Transcript transcript);
    /// Until cancelled; then write_out() is due.
    awaitable<void> run();
    void write_out();
    void limit(TranscriptLimits limits) { limits_ = limits; }

    std::uint64_t stored() const { return stored_; }
    std::uint64_t dropped() const { return dropped_; }

    static constexpr std::size_t waiting_octets = 4 << 20;

private:
    struct Waiting {
        bool failed;
        WallTime when;
        std::string octets;
    };
    struct Written {
        std::uint64_t stored = 0, dropped = 0;
        std::optional<Error> trouble;
    };
    Written write(const std::vector<Waiting>& batch, TranscriptLimits limits);
    void note(const Written& written);

    std::string folder_;
    TranscriptLimits limits_;
    const Clock& clock_;
    observe::Log log_;
    std::vector<Waiting> waiting_;
    std::size_t octets_ = 0;
    std::uint64_t stored_ = 0, dropped_ = 0;
    bool in_trouble_ = false;
    Signal wake_;
    std::unique_ptr<observe::Ring> failed_, good_;      // of the thread
    asio::thread_pool thread_{1};
};

}  // namespace posthorn::services
