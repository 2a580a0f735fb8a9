// admin/server.hpp: connections and what is said on them. One coroutine a connection; questions to others block on helper threads.
// Guests   have not yet asked anything they may ask: strangers, wrong Hosts and tokens, and who says nothing. They take no place from others: at most
//          guests_at_once, each with guest_time for its request; a new one takes the place of the oldest, of strangers first.
// Limits   connections that are no guests (past them 503), header and body (431, 413), the time of a request, of an answer and of silence (408, or the
//          end), questions being answered at once: what comes meanwhile waits its turn. A question that takes longer than `question` is 504.
// Ends     cancelled sessions say the answer that is under way, and end; finish() is for who is followed by another process on the same sockets.
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
#include <list>
#include <memory>
#include <optional>
#include <string>

namespace posthorn::admin {

struct ServerOptions {
    Limits limits;
    std::size_t connections = 50;  // that have asked something they may ask
    std::chrono::milliseconds timeout{30'000};
    std::chrono::milliseconds guest_time{2000};  // for the request of who has asked nothing yet, and of who is here at the end
    std::chrono::milliseconds question = longest_question;  // with its wait for a turn
};

class Server {
public:
    using Counters = std::function<awaitable<Result<process::InstanceCounters>>()>;

    Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log);
    Server(Server&&) = delete;

    static constexpr std::size_t guests_at_once = 20;

    /// The whole life of one connection.
    awaitable<void> serve(std::unique_ptr<net::Stream> stream);
    /// No new connection comes. Who is here may ask once more within guest_time, and is answered; returns when nobody is left.
    awaitable<void> finish();
    /// finish() waits for nobody but questions that are under way.
    void hurry();
    Access& access() { return access_; }

    std::size_t connections() const { return streams_.size(); }
    /// Answers by status.
    const observe::Tally<1>& answers() const { return answers_; }

private:
    struct Guest;
    struct Held;

    bool come_in(Guest& guest);
    awaitable<void> converse(net::Stream& stream);
    std::optional<Answer> refusal(const Request& request, const net::Stream& stream) const;
    awaitable<Answer> answer(Request request, net::Endpoint client);
    awaitable<Answer> asked(Asked question);
    awaitable<void> work_off(std::shared_ptr<Held> held);
    awaitable<void> say(net::Stream& stream, Answer answer, std::chrono::milliseconds timeout, bool keep_alive, bool head);

    Executor executor_;
    ServerOptions options_;
    Access access_;
    System& system_;
    Counters counters_;
    const Clock& clock_;
    observe::Log log_;
    Rates rates_;
    std::list<net::Stream*> streams_, idle_;  // all; those that say nothing between two requests
    std::list<Guest*> guests_;  // oldest first
    std::size_t places_ = 0, asking_ = 0;
    bool ending_ = false;
    Signal turn_, left_;
    TaskGroup questions_;
    observe::Tally<1> answers_{100};
    asio::thread_pool threads_{2};
};

}  // namespace posthorn::admin
