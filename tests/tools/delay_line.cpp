#include "delay_line.hpp"

#include "net/connect.hpp"

#include <deque>
#include <string>

namespace posthorn::tools {

namespace {

struct Chunk {
    SteadyTime due;
    std::string octets;                 // none: the end of the stream
};

awaitable<void> sleep_until(Executor executor, SteadyTime when)
{
    asio::steady_timer timer(executor, when);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(use_awaitable, ignored));
}

}  // namespace

/// One direction of a connection.
struct DelayLine::Half {
    Half(const Executor& executor, unsigned number, bool of_client, SteadyTime at_accept)
        : changed(executor), connection(number), client(of_client), accepted(at_accept)
    {
    }
    net::Stream* from = nullptr;
    net::Stream* to = nullptr;
    std::deque<Chunk> chunks;
    std::size_t octets = 0;
    Signal changed;
    unsigned connection;
    bool client;
    SteadyTime accepted;
    bool broken = false;                // nobody takes what still comes
};

DelayLine::DelayLine(Executor executor, Fd listening, net::Endpoint target, std::chrono::microseconds round_trip, Tell tell)
    : executor_(executor), target_(std::move(target)), half_(round_trip / 2), tell_(std::move(tell)),
      listener_(executor, std::move(listening), [this](std::unique_ptr<net::Stream> stream) { return carry(std::move(stream)); })
{
}

awaitable<void> DelayLine::take(Half* half)
{
    std::string room_for(65536, '\0');
    while (!half->broken) {
        auto got = co_await half->from->read_some(room_for);
        const SteadyTime now = std::chrono::steady_clock::now();
        const std::size_t octets = got ? *got : 0;
        if (octets != 0 && tell_)
            tell_(half->connection, half->client, std::chrono::duration<double>(now - half->accepted) / std::chrono::duration<double>(half_ * 2),
                  std::string_view(room_for).substr(0, octets));
        half->chunks.push_back({now + half_, room_for.substr(0, octets)});
        half->octets += octets;
        half->changed.notify_all();
        if (octets == 0)
            co_return;
        while (half->octets > room && !half->broken)
            co_await half->changed.wait();
    }
}

awaitable<void> DelayLine::give(Half* half)
{
    while (true) {
        while (half->chunks.empty()) {
            if (co_await cancelled())
                co_return;
            co_await half->changed.wait();
        }
        const Chunk chunk = std::move(half->chunks.front());
        half->chunks.pop_front();
        co_await sleep_until(executor_, chunk.due);
        if (chunk.octets.empty()) {
            (void)co_await half->to->shutdown();    // it may be gone already
            co_return;
        }
        half->octets -= chunk.octets.size();
        half->changed.notify_all();
        if (!co_await half->to->write(std::string_view(chunk.octets))) {
            half->broken = true;
            half->from->close();
            half->changed.notify_all();
            co_return;
        }
    }
}

awaitable<void> DelayLine::carry(std::unique_ptr<net::Stream> client)
{
    const SteadyTime accepted = std::chrono::steady_clock::now();
    const unsigned number = ++connections_;
    Half there(executor_, number, true, accepted), back(executor_, number, false, accepted);
    TaskGroup tasks(executor_);
    client->expires_never();
    there.from = back.to = client.get();
    tasks.spawn(take(&there));
    co_await sleep_until(executor_, accepted + half_ * 3);
    auto target = co_await net::connect(executor_, target_);
    if (target && !co_await cancelled()) {
        (*target)->expires_never();
        there.to = back.from = target->get();
        tasks.spawn(give(&there));
        tasks.spawn(take(&back));
        tasks.spawn(give(&back));
        co_await tasks.drained();
    } else {
        co_await sleep_until(executor_, std::chrono::steady_clock::now() + half_);
        client->close();
    }
    co_await tasks.close();
}

}  // namespace posthorn::tools
