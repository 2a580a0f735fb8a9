// moving/taking.hpp: the side of the dialogue that messages come to. What it reads is another machine's: bounded, and a mistake in it ends the dialogue.
// Promise  what is answered as taken is on stable storage; what was taken before is not taken again.
// Errors   what broke it off; the other side has been told, as far as it still listens.
#pragma once

#include "moving/sides.hpp"
#include "moving/stream.hpp"

#include <memory>
#include <string>
#include <vector>

namespace posthorn::moving {

inline constexpr std::size_t largest_batch = 1000;  // messages
inline constexpr std::size_t largest_batch_octets = 48U << 20;  // without what is in files

class Taking {
public:
    Taking(ComingQueue& queue, Stream& other, std::string version, std::string name)
        : queue_(queue), other_(other), version_(std::move(version)), name_(std::move(name))
    {
    }

    /// Until the source ends it.
    Result<void> run();
    std::uint64_t taken() const { return taken_; }
    const std::string& source_name() const { return source_name_; }

private:
    struct Coming {
        handoff::MovingMessage message;
        std::unique_ptr<ContentFile> file;
        std::uint64_t missing = 0;
    };

    Result<void> dialogue();
    Result<void> introduce();
    Result<void> receive(handoff::MovingMessage message);
    Result<void> receive(std::string_view piece);
    Result<void> take();
    Result<std::string> new_id();
    handoff::TakeOver question(handoff::TakeOver::Step step) const;

    ComingQueue& queue_;
    Stream& other_;
    std::string version_, name_, source_, source_name_;
    std::vector<std::string> ids_;  // given by the queue, not used yet
    std::vector<Coming> batch_;
    std::size_t octets_ = 0;
    std::uint64_t taken_ = 0;
};

}  // namespace posthorn::moving
