// http/server.hpp: connections, and requests on them one after the other. One coroutine a connection; a Desk answers.
// Guests   have not yet asked anything they may ask: strangers, wrong Hosts and tokens, and who says nothing. They take no place from others: at most
//          guests_at_once, each with guest_time for its request; a new one takes the place of the oldest, of strangers first.
// Refused  by its header alone: what a client may not ask is refused before its body has come, and who may ask has the whole time for it.
// Limits   connections that are no guests (past them 503), header and body (431, 413), the time of a request, of an answer and of silence (408, or the
//          end).
// Ends     cancelled sessions say the answer that is under way, and end; finish() is for who is followed by another process on the same sockets.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "http/access.hpp"
#include "http/message.hpp"
#include "net/stream.hpp"
#include "observe/counters.hpp"

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>

namespace posthorn::http {

struct ServerOptions {
    Limits limits;
    std::size_t connections = 50;  // that have asked something they may ask
    std::chrono::milliseconds timeout{30'000};
    std::chrono::milliseconds guest_time{2000};  // for the request of who has asked nothing yet, and of who is here at the end
};

/// Memory that a request holds; given back when it goes.
class Weight {
public:
    virtual ~Weight() = default;
    /// False: there is no room, and nothing has changed. The request is answered 503 then.
    virtual bool set(std::size_t octets) = 0;
};

/// Answers requests of clients that are admitted and whose Host is ours. Outlives the server.
class Desk {
public:
    virtual ~Desk() = default;
    /// Why this client may not ask it; none: it may.
    virtual std::optional<Answer> refusal(const Request& request, const net::Stream& stream) = 0;
    /// `weight`: of weigh(), for what answering it takes beside its body.
    virtual awaitable<Answer> answer(Request request, const net::Stream& stream, Weight* weight) = 0;
    /// Where memory is counted: of one request. None: it is not.
    virtual std::unique_ptr<Weight> weigh() { return nullptr; }
};

/// "192.0.2.1"; "unix" of a Unix socket.
std::string name_of(const net::Endpoint& client);

class Server {
public:
    Server(Executor executor, ServerOptions options, Access access, Desk& desk, const Clock& clock);
    Server(Server&&) = delete;

    static constexpr std::size_t guests_at_once = 20;

    /// The whole life of one connection.
    awaitable<void> serve(std::unique_ptr<net::Stream> stream);
    /// No new connection comes. Who is here may ask once more within guest_time, and is answered; returns when nobody is left.
    awaitable<void> finish();
    /// finish() waits for nobody but answers that are under way.
    void hurry();
    /// finish() waits for nobody who has nothing under way: who has asked nothing, or says nothing now, goes. Answers are still taken along.
    void dismiss();
    Access& access() { return access_; }
    const Access& access() const { return access_; }

    std::size_t connections() const { return streams_.size(); }
    /// Answers by status.
    const observe::Tally<1>& answers() const { return answers_; }

private:
    struct Guest;
    struct Visit;

    bool come_in(Guest& guest);
    awaitable<void> converse(net::Stream& stream);
    awaitable<bool> read(net::Stream& stream, Visit& visit, Reader& reader);
    std::optional<Answer> admit(const Request& request, const net::Stream& stream, Visit& visit);
    std::chrono::milliseconds patience(const Visit& visit) const;
    awaitable<void> last_words(net::Stream& stream, const Visit& visit, Answer answer, bool head = false);
    awaitable<void> say(net::Stream& stream, Answer answer, std::chrono::milliseconds timeout, bool keep_alive, bool head);

    ServerOptions options_;
    Access access_;
    Desk& desk_;
    const Clock& clock_;
    std::list<net::Stream*> streams_, idle_;  // all; those that say nothing between two requests
    std::list<Guest*> guests_;  // oldest first
    std::size_t places_ = 0;
    bool ending_ = false, dismissed_ = false;
    Signal left_;
    observe::Tally<1> answers_{100};
};

}  // namespace posthorn::http
