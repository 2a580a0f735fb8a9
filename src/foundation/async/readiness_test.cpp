#include "async/readiness.hpp"
#include "async/run.hpp"
#include "base/fd.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <cerrno>

using namespace posthorn;
using namespace std::chrono_literals;
using Direction = Readiness::Direction;

namespace {

struct Pair {
    Pair()
    {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        here = Fd(ends[0]);
        there = Fd(ends[1]);
    }
    bool empty() const
    {
        char octet = 0;
        return ::recv(here.get(), &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    Fd here, there;
};

awaitable<void> note(Readiness& readiness, Direction direction, bool exhausted, std::vector<int>& seen)
{
    seen.push_back(co_await readiness.wait(direction, exhausted));
}

}  // namespace

TEST_CASE("readiness: what was there before the wait counts, and so does what comes after an attempt that found nothing")
{
    asio::io_context loop;
    Pair pair;
    Readiness readiness(loop.get_executor(), pair.here.get());
    REQUIRE(::send(pair.there.get(), "a", 1, 0) == 1);
    run(loop, sleep_for(1ms));                                       // its edge is spent, nobody waited
    CHECK(run(loop, readiness.wait(Direction::read, false)) == 0);
    char room[8];
    REQUIRE(::recv(pair.here.get(), room, sizeof room, 0) == 1);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(pair.empty());
        std::vector<int> seen;
        TaskGroup group(loop.get_executor());
        group.spawn(note(readiness, Direction::read, true, seen));
        run(loop, sleep_for(2ms));
        CHECK(seen.empty());
        REQUIRE(::send(pair.there.get(), "b", 1, 0) == 1);
        run(loop, group.drained());
        CHECK(seen == std::vector<int>{0});
        REQUIRE(::recv(pair.here.get(), room, sizeof room, 0) == 1);
    }
    CHECK(run(loop, readiness.wait(Direction::write, false)) == 0);
    REQUIRE(pair.empty());
    pair.there.reset();                                              // the end of the stream is an edge too
    CHECK(run(loop, readiness.wait(Direction::read, true)) == 0);
}

TEST_CASE("readiness: a full socket is waited for in the other direction, while a reader waits in its own")
{
    asio::io_context loop;
    Pair pair;
    Readiness readiness(loop.get_executor(), pair.here.get());
    const std::string much(1 << 16, 'x');
    while (::send(pair.here.get(), much.data(), much.size(), 0) > 0) {
    }
    REQUIRE(errno == EAGAIN);
    REQUIRE(pair.empty());
    std::vector<int> read, write;
    TaskGroup group(loop.get_executor());
    group.spawn(note(readiness, Direction::read, true, read));
    group.spawn(note(readiness, Direction::write, true, write));
    run(loop, sleep_for(2ms));
    CHECK(write.empty());
    std::string room(1 << 20, '\0');
    while (::recv(pair.there.get(), room.data(), room.size(), 0) > 0) {
    }
    for (int i = 0; i < 100 && write.empty(); ++i)
        run(loop, sleep_for(1ms));
    CHECK(write == std::vector<int>{0});
    CHECK(read.empty());
    run(loop, group.close());
    CHECK(read == std::vector<int>{ECANCELED});
}

TEST_CASE("readiness: cancel and close end the wait; after close there is none")
{
    asio::io_context loop;
    Pair pair;
    std::vector<int> seen;
    Readiness readiness(loop.get_executor(), pair.here.get());
    TaskGroup group(loop.get_executor());
    for (const bool exhausted : {false, true}) {
        group.spawn(note(readiness, Direction::read, exhausted, seen));
        run(loop, sleep_for(1ms));
        readiness.cancel();
        run(loop, group.drained());
    }
    CHECK(seen == std::vector<int>{ECANCELED, ECANCELED});
    group.spawn(note(readiness, Direction::read, true, seen));
    run(loop, sleep_for(1ms));
    readiness.close();
    run(loop, group.drained());
    CHECK(seen.back() == ECANCELED);
    CHECK(run(loop, readiness.wait(Direction::read, true)) == EBADF);
    readiness.cancel();
}
