// services/verify_links.hpp: the ways of a question about an address: smtpd asks memory, memory asks qmgr.
#pragma once

#include "base/clock.hpp"
#include "handoff/interfaces.hpp"
#include "ipc/client.hpp"
#include "verify/desk.hpp"

namespace posthorn::services {

/// In smtpd. `memory` is a started client of the memory process.
class VerifyLink final : public handoff::Verifier {
public:
    VerifyLink(ipc::Client& memory, verify::ProbeSender sender, const Clock& clock) : memory_(memory), sender_(std::move(sender)), clock_(clock) {}
    awaitable<Result<handoff::Finding>> verify(std::string address, std::chrono::milliseconds patience) override;
    void ask_ahead(std::string address) override;
    std::optional<std::string> probe_sender(std::string_view address) const override { return sender_.plain(address, clock_.wall()); }

private:
    ipc::Client& memory_;
    verify::ProbeSender sender_;
    const Clock& clock_;
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
