// admin/server.hpp: connections and what is said on them. One coroutine a connection; questions to others block on helper threads.
// Limits   connections at once (past them 503), header and body (431, 413), the time of a request, of an answer and of silence (408, or the end),
//          questions being answered at once: what comes meanwhile waits its turn.
// Ends     close(): who waits is told nothing more; answers under way end with their deadline at the latest.
#pragma once

#include "admin/access.hpp"
#include "admin/http.hpp"
#include "admin/rates.hpp"
#include "admin/routes.hpp"
#include "admin/system.hpp"
#include "async/async.hpp"
#include "base/clock.hpp"
#include "net/stream.hpp"
#include "observe/counters.hpp"
#include "observe/log.hpp"

#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace posthorn::admin {

struct ServerOptions {
    Limits limits;
    std::size_t connections = 50;
    std::chrono::milliseconds timeout{30'000};
};

class Server {
public:
    using Counters = std::function<awaitable<Result<process::InstanceCounters>>()>;

    Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log);
    Server(Server&&) = delete;

    /// The whole life of one connection.
    awaitable<void> serve(std::unique_ptr<net::Stream> stream);
    Access& access() { return access_; }

    std::size_t connections() const { return open_; }
    /// Answers by status.
    const observe::Tally<1>& answers() const { return answers_; }

private:
    awaitable<void> converse(net::Stream& stream);
    awaitable<Answer> answer(Request request, net::Endpoint client, net::Endpoint local);
    awaitable<Answer> asked(Asked question);
    awaitable<bool> say(net::Stream& stream, Answer answer, bool keep_alive, bool head);

    Executor executor_;
    ServerOptions options_;
    Access access_;
    System& system_;
    Counters counters_;
    const Clock& clock_;
    observe::Log log_;
    Rates rates_;
    std::size_t open_ = 0, asking_ = 0;
    Signal turn_;
    observe::Tally<1> answers_{100};
    asio::thread_pool threads_{2};
};

}  // namespace posthorn::admin
