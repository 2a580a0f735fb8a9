// services/sasl_link.hpp: smtpd asks the sasl process, which has Cyrus SASL's library, about clients that authenticate.
// Link     in smtpd. What is offered is asked once: another file of options comes with another generation of both. Where the process does not answer,
//          nobody waits for it a second time within `pause`.
// Desk     in sasl: one talk for each client's AUTH, by the number that its connection gave it; who loses the connection gives up its talks.
// Bounds   of the desk: `threads` at once wait for plugins and saslauthd, `most_waiting` for a thread; more are told to come again.
#pragma once

#include "config/snapshot.hpp"
#include "ipc/client.hpp"
#include "observe/log.hpp"
#include "process/control.hpp"
#include "sasl/asked.pb.h"
#include "sasl/cyrus.hpp"

#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace posthorn::services {

/// The kinds of frames on the sasl process's socket.
enum class SaslFrame : std::uint16_t { hello = 1, offers, step, end };

/// How a client of the sasl process begins: with one of its own generation, or of a newer one.
ipc::Client::OnConnect sasl_hello(std::uint64_t generation);

/// The place that a configuration of smtpd stands for.
sasl::asked::Place sasl_place(const config::Snapshot& snapshot, bool chroot);

class SaslLink final : public sasl::Authenticator {
public:
    /// `client` is a started client of the sasl process that lives longer than all exchanges.
    /// `want`: has the supervisor start it.
    SaslLink(ipc::Client& client, sasl::asked::Place place, std::function<void()> want, observe::Log log);

    awaitable<Result<std::vector<sasl::Offer>>> offers() override;
    std::unique_ptr<sasl::Exchange> exchange() override;
    bool judges_mechanisms() const override { return true; }

    static constexpr std::chrono::seconds pause{10};

private:
    ipc::Client& client_;
    sasl::asked::Place place_;
    std::function<void()> want_;
    observe::Log log_;
    std::vector<sasl::Offer> known_;
    std::chrono::steady_clock::time_point not_before_{};
    std::uint64_t last_ = 0;
};

class SaslDesk {
public:
    /// Opens the library for what `configs` (of lines of smtpd) name. Errors name the parameter or the library.
    static Result<std::unique_ptr<SaslDesk>> open(std::span<const config::Snapshot> configs, const process::Start& start);
    SaslDesk(SaslDesk&&) = delete;

    bool asks_network() const { return asks_network_; }
    /// What plugins open while they are asked.
    const std::vector<std::string>& paths() const { return paths_; }

    /// The frames of one connection.
    ipc::Channel::Handler handler(TaskGroup& tasks);

private:
    struct Talks;
    SaslDesk() = default;
    Result<std::size_t> site_of(const sasl::asked::Place& place) const;
    awaitable<void> step(std::shared_ptr<Talks> talks, sasl::asked::Step step, ipc::Responder responder);

    static constexpr std::size_t threads = 32, most_waiting = 200, most_talks = 10'000;
    std::uint64_t generation_ = 0;
    std::map<std::string, std::size_t> sites_;  // a place's octets -> of the library's sites
    std::vector<std::string> paths_;
    bool asks_network_ = false;
    std::size_t under_way_ = 0;
    std::unique_ptr<sasl::Cyrus> cyrus_;
    asio::thread_pool threads_{threads};
};

}  // namespace posthorn::services
