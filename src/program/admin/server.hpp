// admin/server.hpp: questions to others block on helper threads, and are answered over HTTP.
// Limits   beside those of http/server.hpp, questions being answered at once: what comes meanwhile waits its turn. A question that takes longer than
//          `question` is 504.
#pragma once

#include "admin/rates.hpp"
#include "admin/routes.hpp"
#include "admin/system.hpp"
#include "async/async.hpp"
#include "base/clock.hpp"
#include "http/server.hpp"
#include "net/stream.hpp"
#include "observe/log.hpp"

#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace posthorn::admin {

using http::Access;
using http::Request;

inline constexpr http::AccessWords access_words{"admin_clients", "admin_hosts", "admin_token_file", "nothing can be changed"};

struct ServerOptions {
    http::ServerOptions door;
    std::chrono::milliseconds question = longest_question;  // with its wait for a turn
};

class Server final : http::Desk {
public:
    using Counters = std::function<awaitable<Result<process::InstanceCounters>>()>;

    Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log);
    Server(Server&&) = delete;

    /// The whole life of one connection.
    awaitable<void> serve(std::unique_ptr<net::Stream> stream) { return door_.serve(std::move(stream)); }
    /// As http::Server's; questions are at their end, too.
    awaitable<void> finish();
    void hurry() { door_.hurry(); }
    Access& access() { return door_.access(); }
    const http::Server& door() const { return door_; }

private:
    struct Held;

    std::optional<Answer> refusal(const Request& request, const net::Stream& stream) override;
    awaitable<Answer> answer(Request request, const net::Stream& stream, http::Weight* weight) override;
    awaitable<Answer> asked(Asked question);
    awaitable<void> work_off(std::shared_ptr<Held> held);

    Executor executor_;
    ServerOptions options_;
    System& system_;
    Counters counters_;
    const Clock& clock_;
    observe::Log log_;
    Rates rates_;
    std::size_t asking_ = 0;
    Signal turn_;
    TaskGroup questions_;
    http::Server door_;
    asio::thread_pool threads_{2};
};

}  // namespace posthorn::admin
