// async/readiness.hpp: waiting for a descriptor without a system call per wait.
// Asio's async_wait arms the descriptor with epoll_ctl every time and hands its result through a type-erased executor; a session
// waits once per flight, so that was the greater part of what its loop cost. Here the descriptor is registered once, edge
// triggered, and a wait that follows an attempt which found nothing is a pointer in a list.
// Contract   one waiter per direction. Spurious ends are possible: try, and wait again.
// `exhausted` true only if the last attempt in this direction gave EAGAIN and none was made since: the next edge is then certain to
//            come. False costs what async_wait costs.
// Cancelled  by cancel(), by close(), by the coroutine's own cancellation: gives ECANCELED.
// Ownership  of the descriptor it stays with the caller, who closes it after close(). One loop, one thread.
// Built on Asio's reactor, which is not part of its documented interface: the version is asserted in readiness.cpp.
#pragma once

#include "async/async.hpp"

#include <memory>

namespace posthorn {

class Readiness {
public:
    enum class Direction { read, write };

    Readiness(Executor executor, int descriptor);
    Readiness(Readiness&&) = delete;
    ~Readiness();

    /// 0, or an errno.
    awaitable<int> wait(Direction direction, bool exhausted);
    void cancel();
    void close();
    Executor executor() const { return executor_; }

private:
    struct Core;
    Executor executor_;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn
