// moving/giving.hpp: the side of the dialogue that messages leave.
// Steps    who are we; what of earlier is there; then batches: offered by our qmgr (which holds them from then on), sent, answered, removed here.
// Errors   what broke it off. Messages of the batch under way stay bound for that target, and are settled when the two meet again; all others are where they were.
#pragma once

#include "moving/sides.hpp"
#include "moving/stream.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace posthorn::moving {

struct Given {
    std::uint64_t moved = 0;
    std::uint64_t settled = 0;  // of those: of earlier, and found to be there
    std::vector<std::string> refused;  // "QUEUE-ID: why": they stay here
    std::vector<std::string> still_delivered;  // ids: in hand here all the time that was given; they stay here
};

class Giving {
public:
    struct Limits {
        std::size_t batch = 500;
        std::chrono::milliseconds pause{200};  // before a message in delivery is asked for again
        std::chrono::seconds patience{600};  // for deliveries under way, without another message moved
    };
    Giving(LeavingQueue& queue, Stream& other, std::string version, std::string name, Limits limits)
        : queue_(queue), other_(other), version_(std::move(version)), name_(std::move(name)), limits_(limits)
    {
    }

    /// Until then nothing is bound for anywhere.
    Result<void> begin();
    /// The other queue's host, after begin().
    const std::string& target_name() const { return target_name_; }
    /// These queue ids; those that are gone are passed over. `stopped` is asked between batches.
    Result<void> move(std::vector<std::string> queue_ids, const std::function<bool()>& stopped);
    Result<void> end();
    const Given& given() const { return given_; }

private:
    handoff::HandOver question(handoff::HandOver::Step step) const;
    Result<bool> send(const handoff::MovingMessage& message);
    Result<void> left(const std::vector<handoff::TakenMessage>& there);
    Result<void> stay(const std::vector<std::string>& queue_ids);
    Result<std::vector<std::string>> batch(std::vector<std::string> queue_ids, bool& moved);

    LeavingQueue& queue_;
    Stream& other_;
    std::string version_, name_, target_, target_name_;
    Limits limits_;
    Given given_;
};

}  // namespace posthorn::moving
