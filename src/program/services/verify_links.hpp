// services/verify_links.hpp: the ways of a question about an address: smtpd asks memory, memory asks qmgr.
#pragma once

#include "base/clock.hpp"
#include "handoff/interfaces.hpp"
#include "ipc/client.hpp"
#include "verify/desk.hpp"

#include <unordered_map>

namespace posthorn::services {

using handoff::Finding;

/// In smtpd. `memory` is a started client of the memory process. What the cache's file knows, and is not to be asked anew, needs no question;
/// where it is soon to be asked anew, memory hears that it is in use.
class VerifyLink final : public handoff::Verifier {
public:
    VerifyLink(ipc::Client& memory, verify::Options options, const Clock& clock, observe::Log log)
        : memory_(memory), options_(std::move(options)), clock_(clock), cache_(options_.map, clock, std::move(log))
    {
    }
    awaitable<Result<handoff::Finding>> verify(std::string address, std::chrono::milliseconds patience) override;
    void ask_ahead(std::string address) override;
    std::optional<std::string> probe_sender(std::string_view address) const override { return options_.sender.plain(address, clock_.wall()); }

private:
    std::optional<Finding> known(std::string_view address);
    void tell_of_use(const std::string& address);

    ipc::Client& memory_;
    verify::Options options_;
    const Clock& clock_;
    verify::CacheReader cache_;
    std::unordered_map<std::string, SteadyTime> told_;    // addresses whose use memory heard of
};

/// In memory. The connection to qmgr is its own.
class ProbeLink final : public verify::Prober {
public:
    explicit ProbeLink(Executor executor);
    void start() { qmgr_.start(); }
    awaitable<void> close() { return qmgr_.close(); }
    awaitable<Result<Answer>> probe(std::string sender, std::string address) override;

private:
    ipc::Client qmgr_;
};

}  // namespace posthorn::services
