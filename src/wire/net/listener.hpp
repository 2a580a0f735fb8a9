// net/listener.hpp: listening sockets and the loop that accepts from them.
// Descriptors  master binds and passes; a service adopts. The socket is shared by all processes of the service: accept4 may
//              find nothing although it was readable.
// No descriptors left (EMFILE, ENFILE, ENOBUFS, ENOMEM): with a farewell, one that was kept back takes the connection, says it and
//              closes; without one, the connection waits in the kernel's queue while the loop rests a moment and tries again.
//              It never ends by itself and never spins. `trouble` is told at most once a second.
#pragma once

#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>

namespace posthorn::net {

/// /proc/sys/net/core/somaxconn, or 128.
int listen_backlog();

/// A bound, listening, non-blocking, close-on-exec socket with SO_REUSEADDR; IPv6 sockets take IPv6 only. A stale Unix socket
/// at the path is replaced, with the given mode, and so is a named pipe.
Result<Fd> listen(Endpoint endpoint, int backlog = listen_backlog(), unsigned unix_mode = 0666);
/// Where a socket listens (the port that 0 became).
Endpoint bound_at(const Fd& listening);

class Listener {
public:
    /// Takes one connection; runs in the listener's group. The stream is open; its task owns it.
    using Handler = std::function<awaitable<void>(std::unique_ptr<Stream>)>;
    /// "accept: Too many open files".
    using Trouble = std::function<void(Error)>;

    Listener(Executor executor, Fd listening, Handler handler, Trouble trouble = {}, std::string farewell = {});
    Listener(Listener&&) = delete;
    ~Listener();

    /// Starts accepting.
    void start();
    /// Stops accepting (the kernel's queue keeps what is not accepted); sessions go on.
    void pause();
    void resume() { start(); }
    /// Stops accepting and waits for the sessions to end by themselves.
    awaitable<void> drain();
    /// Asks the sessions to end and waits for the last.
    awaitable<void> close();
    std::size_t sessions() const;
    Endpoint endpoint() const;

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::net
