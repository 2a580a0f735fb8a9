// tables/server.hpp: questions to a server that tables ask over a socket: tcp, socketmap, memcache, redis.
// Shape     "inet:host:port", "inet:[::1]:port", "unix:/path"; hosts are names, looked up as the system does (also /etc/hosts).
// Sharing   connections are kept between questions, for `idle_time`, one question at a time on each; at most `connections` at once,
//           further questions wait for one of them. One on which something came unasked is not used again.
// Errors    "connect to TEXT: Connection refused", "read from TEXT: ...", all 4.3.0. A kept connection that was lost meanwhile is
//           replaced once, without a word; so is one that ends after a question before its answer began.
#pragma once

#include "base/clock.hpp"
#include "net/stream.hpp"

#include <functional>
#include <vector>

namespace posthorn::tables {

struct ServerLimits {
    std::chrono::milliseconds connect{30'000}, answer{100'000};
    std::chrono::seconds idle_time{60};
    std::size_t answer_octets = 100'000;
    std::size_t connections = 20;
};

class Server {
public:
    /// `text` is checked here; host names are looked up when a connection is made, and once here, while the process may read files.
    static Result<std::shared_ptr<Server>> open(std::string_view text, const ServerLimits& limits = {});

    /// How many octets the answer at the front of `octets` has; 0: more has to come. An Error ends the connection.
    using Measure = std::function<Result<std::size_t>(std::string_view octets)>;
    /// The answer, whole. `opening`: what a fresh connection says first, and the measure of the answer to it, which `accept` judges.
    awaitable<Result<std::string>> ask(std::string question, Measure measure);

    struct Opening {
        std::string question;
        Measure measure;
        std::function<Result<void>(std::string_view answer)> accept;
    };
    void set_opening(Opening opening) { opening_ = std::move(opening); }

    const std::string& text() const { return text_; }

private:
    struct Kept {
        std::unique_ptr<net::Stream> stream;
        SteadyTime since;
    };
    struct Turn;

    explicit Server(std::string text, const ServerLimits& limits) : text_(std::move(text)), limits_(limits) {}
    awaitable<Result<std::unique_ptr<net::Stream>>> connect();
    awaitable<std::vector<net::Endpoint>> endpoints();
    awaitable<Result<std::string>> exchange(net::Stream& stream, const std::string& question, const Measure& measure, bool& answered);
    std::unique_ptr<net::Stream> take_kept();
    Error trouble(std::string_view doing, const Error& error) const;

    std::string text_, host_, service_, path_;
    ServerLimits limits_;
    Opening opening_;
    std::vector<net::Endpoint> known_;       // of the last look-up that found something
    std::vector<Kept> kept_;
    std::size_t open_ = 0;
    std::unique_ptr<Signal> turn_;
};

}  // namespace posthorn::tables
