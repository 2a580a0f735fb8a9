// tools/delay_line.hpp: a listening socket whose connections reach their target over a long line.
// Time      every octet arrives half a round trip after it was sent, in both directions, ends of streams too; order and pace are kept,
//           bandwidth is not limited. The target is connected to one and a half round trips after the client's SYN, as it would
//           accept with the client's ACK: a greeting arrives at 2 RTT, and what a client says before it arrives with its own ACK.
// Bounded   `room` octets on the way in one direction; a sender waits beyond it, as for a window.
// Refusals  the kernel has accepted before the target is asked: a target that cannot be reached closes, it does not refuse.
#pragma once

#include "net/listener.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

namespace posthorn::tools {

class DelayLine {
public:
    /// One read of either side: connection number from 1, who spoke, when (in round trips since the connection was accepted), what.
    using Tell = std::function<void(unsigned connection, bool client, double at, std::string_view octets)>;

    DelayLine(Executor executor, Fd listening, net::Endpoint target, std::chrono::microseconds round_trip, Tell tell = {});

    void start() { listener_.start(); }
    net::Endpoint endpoint() const { return listener_.endpoint(); }
    awaitable<void> close() { return listener_.close(); }

    static constexpr std::size_t room = std::size_t{16} << 20;

private:
    struct Half;
    awaitable<void> carry(std::unique_ptr<net::Stream> client);
    awaitable<void> take(Half* half);
    awaitable<void> give(Half* half);

    Executor executor_;
    net::Endpoint target_;
    std::chrono::microseconds half_;
    Tell tell_;
    unsigned connections_ = 0;
    net::Listener listener_;
};

}  // namespace posthorn::tools
