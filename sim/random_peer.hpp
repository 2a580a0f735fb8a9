// sim/random_peer.hpp: a server that does anything, by a seed. For the tests that hold whatever a peer does.
// Mostly    it is a correct server; now and then it refuses, defers, lies about its position, says garbage, cuts a reply in two,
//           merges or repeats replies, says nothing for a while, closes or resets: at any command, in any order.
// Keeps     whether any whole 5yz line was said (never: then no bounce is right), and what was accepted with 250 after content.
// Bounded   it ends by itself after `commands_at_most` commands.
#pragma once

#include "net/stream.hpp"

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace posthorn::sim {

class RandomPeer {
public:
    explicit RandomPeer(std::uint64_t seed, unsigned mischief_percent = 15) : random_(seed), mischief_(mischief_percent) {}

    awaitable<void> play(std::unique_ptr<net::Stream> stream);

    /// Lines of code 5yz that went out whole.
    const std::vector<std::string>& refusals() const { return refusals_; }
    unsigned contents() const { return contents_; }
    unsigned sessions() const { return sessions_; }

private:
    struct Talk;
    unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
    bool chance(unsigned percent) { return below(100) < percent; }

    std::mt19937_64 random_;
    unsigned mischief_;
    std::vector<std::string> refusals_;
    unsigned contents_ = 0, sessions_ = 0;
};

}  // namespace posthorn::sim
