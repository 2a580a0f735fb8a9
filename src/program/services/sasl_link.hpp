// services/sasl_link.hpp: smtpd asks the sasl process, which has Cyrus SASL's library, about clients that authenticate.
// Link     in smtpd. What is offered is asked once: another file of options comes with another generation of both. Where the process does not answer,
//          nobody waits for it a second time within `pause`.
// Desk     in sasl: one talk for each client's AUTH, by the number that its connection gave it; who loses the connection gives up its talks.
// Bounds   of the desk: `threads` at once wait for plugins and saslauthd, `waiting` for a thread; more are told to come again.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "ipc/client.hpp"
#include "observe/log.hpp"
#include "process/control.hpp"
#include "sasl/asked.pb.h"
#include "sasl/cyrus.hpp"

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
    SaslLink(ipc::Client& client, sasl::asked::Place place, std::function<void()> want, const Clock& clock, observe::Log log);

    awaitable<Result<std::vector<sasl::Offer>>> offers() override;
    std::unique_ptr<sasl::Exchange> exchange() override;
    bool judges_mechanisms() const override { return true; }

    static constexpr std::chrono::seconds pause{10};

private:
    ipc::Client& client_;
    sasl::asked::Place place_;
    std::function<void()> want_;
    const Clock& clock_;
    observe::Log log_;
    std::vector<sasl::Offer> known_;
    SteadyTime not_before_{};
    std::uint64_t last_ = 0;
};

struct SaslBounds {
    std::size_t threads = 32, waiting = 200;
    std::size_t talks = 10'000;  // of a connection, begun and not at their end
};

class SaslDesk {
public:
    /// Opens the library for what `configs` (of lines of smtpd) name. Errors name the parameter or the library.
    static Result<std::unique_ptr<SaslDesk>> open(std::span<const config::Snapshot> configs, const process::Start& start, SaslBounds bounds = {});
    SaslDesk(SaslDesk&&) = delete;

    bool asks_network() const { return asks_network_; }
    /// What plugins open while they are asked.
    const std::vector<std::string>& paths() const { return paths_; }

    /// The frames of one connection.
    ipc::Channel::Handler handler(TaskGroup& tasks);

private:
    struct Talks;
    explicit SaslDesk(SaslBounds bounds) : bounds_(bounds), threads_(bounds.threads) {}
    Result<std::size_t> site_of(const sasl::asked::Place& place) const;
    awaitable<void> step(std::shared_ptr<Talks> talks, sasl::asked::Step step, ipc::Responder responder);

    const SaslBounds bounds_;
    std::uint64_t generation_ = 0;
    std::map<std::string, std::size_t> sites_;  // a place's octets -> of the library's sites
    std::vector<std::string> paths_;
    bool asks_network_ = false;
    std::size_t under_way_ = 0;
    std::unique_ptr<sasl::Cyrus> cyrus_;
    Helpers threads_;
};

/// What a confined sasl process may read of `paths`. A file that is not there yet may come: its folder, where that has nothing of `ours` in it
/// (folders of the mail system's: who asks about passwords sees no mail).
std::vector<std::string> sasl_readable(std::span<const std::string> paths, std::span<const std::string> ours);

}  // namespace posthorn::services
