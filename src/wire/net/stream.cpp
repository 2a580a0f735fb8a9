#include "net/stream.hpp"

#include <climits>

namespace posthorn::net {

namespace {

/// Attempts in a row that did not wait, after which others get their turn on the loop.
constexpr int turn_attempts = 64;

Error timed_out() { return Error{"conversation timed out", "4.4.2"}; }

}  // namespace

bool Stream::past_deadline() const
{
    const SteadyTime at = deadline();
    return at != SteadyTime::max() && std::chrono::steady_clock::now() >= at;
}

/// A peer that is faster than we are must not keep the loop for itself.
awaitable<void> Stream::breathe()
{
    without_wait_ = 0;
    co_await asio::post(executor(), use_awaitable);
}

awaitable<Result<std::size_t>> Stream::read_some(std::span<char> room)
{
    if (++without_wait_ > turn_attempts)
        co_await breathe();
    if (past_deadline())
        co_return timed_out();
    for (;;) {
        const Io io = try_read(room);
        switch (io.state) {
        case Io::State::done: co_return io.octets;
        case Io::State::end: co_return std::size_t{0};
        case Io::State::failed: co_return failure();
        case Io::State::again: break;
        }
        without_wait_ = 0;
        CO_TRY_VOID(co_await wait(Direction::read));
    }
}

awaitable<Result<void>> Stream::wait_readable()
{
    if (has_buffered())
        co_return Result<void>{};
    co_return co_await wait(Direction::read);
}

awaitable<Result<void>> Stream::write(std::string_view text)
{
    iovec piece{const_cast<char*>(text.data()), text.size()};
    co_return co_await write_all({&piece, 1});
}

awaitable<Result<void>> Stream::write(std::span<const std::string_view> pieces)
{
    constexpr std::size_t at_once = 64;
    iovec some[at_once];
    for (std::size_t first = 0; first < pieces.size(); first += at_once) {
        const std::size_t count = std::min(at_once, pieces.size() - first);
        for (std::size_t i = 0; i < count; ++i)
            some[i] = {const_cast<char*>(pieces[first + i].data()), pieces[first + i].size()};
        CO_TRY_VOID(co_await write_all({some, count}));
    }
    co_return Result<void>{};
}

awaitable<Result<void>> Stream::write_all(std::span<iovec> pieces)
{
    if (++without_wait_ > turn_attempts)
        co_await breathe();
    if (past_deadline())
        co_return timed_out();
    std::size_t next = 0;
    for (;;) {
        while (next < pieces.size() && pieces[next].iov_len == 0)
            ++next;
        const Io io = next < pieces.size() ? try_write(pieces.subspan(next)) : try_flush();
        if (io.state == Io::State::failed || io.state == Io::State::end)
            co_return failure();
        if (io.state == Io::State::again) {
            without_wait_ = 0;
            CO_TRY_VOID(co_await wait(Direction::write));
            continue;
        }
        if (next == pieces.size())
            co_return Result<void>{};
        for (std::size_t octets = io.octets; octets > 0;) {
            iovec& piece = pieces[next];
            const std::size_t taken = std::min(octets, piece.iov_len);
            piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
            piece.iov_len -= taken;
            octets -= taken;
            if (piece.iov_len == 0)
                ++next;
        }
    }
}

}  // namespace posthorn::net
