// services/local_milters.hpp: mail that came by no SMTP session is shown to Milters (non_smtpd_milters), and signed (mailauth/signer.hpp).
// Shape    the filters are told of a session that there was not: CONNECT and HELO of a client that is localhost[127.0.0.1], or who spoke QMQP; MAIL, each
//          RCPT, DATA, the message.
// Log      as postfix/cleanup: "QID: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 5.7.1 ...; from=<> to=<>".
#pragma once

#include "async/async.hpp"
#include "handoff/interfaces.hpp"
#include "mailauth/signer.hpp"
#include "milter/chain.hpp"
#include "observe/log.hpp"

#include <memory>
#include <optional>
#include <string>

namespace posthorn::services {

using handoff::Shown;

class LocalMilters final : public handoff::Filters {
public:
    LocalMilters(Executor executor, handoff::Cleaner& cleaner, observe::Log log);
    ~LocalMilters() override;

    void reconfigure(milter::Options options, std::string myhostname, std::uint64_t message_size_limit);
    /// None: nothing is signed. It lives until another takes its place, and as long as what it was begun with.
    void sign_by(std::shared_ptr<mailauth::Signer> signer) { signer_ = std::move(signer); }
    bool any() const { return !options_->other.empty() || signer_; }
    awaitable<std::expected<Shown, handoff::Refusal>> show(handoff::Envelope envelope, std::uint64_t size, Read read) override;

private:
    struct Visit;
    awaitable<std::optional<handoff::Refusal>> tell(Visit& visit);
    std::optional<handoff::Refusal> heed(Visit& visit, std::string_view where, const milter::Verdict& verdict);
    awaitable<milter::Verdict> check(Visit& visit, milter::Mail& mail);
    awaitable<std::optional<handoff::Refusal>> ask(Visit& visit, const std::string& queue_id);
    awaitable<Result<std::string>> signature(std::string queue_id, const milter::Mail& mail) const;
    awaitable<Result<std::unique_ptr<net::Stream>>> connect(const milter::Spec& spec);

    Executor executor_;
    handoff::Cleaner& cleaner_;
    std::string myhostname_;
    observe::Log log_;
    std::shared_ptr<const milter::Options> options_ = std::make_shared<const milter::Options>();
    std::shared_ptr<mailauth::Signer> signer_;
    std::uint64_t size_limit_ = 0;
    Helpers names_{1};  // looks up hosts
};

/// Is one of them on another socket than a Unix one?
bool asks_network(const milter::Options& options);

}  // namespace posthorn::services
