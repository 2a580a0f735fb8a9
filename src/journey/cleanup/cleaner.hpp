// cleanup/cleaner.hpp: the chain, for whoever receives mail.
// Log      "QID: message-id=<...>" as postfix/cleanup, what checks found, and why a message was not accepted.
// Errors   a table that cannot answer: 451 4.3.0, and nothing was changed.
#pragma once

#include "cleanup/body.hpp"

namespace posthorn::cleanup {

class Cleaner final : public handoff::Cleaner {
public:
    /// `log` speaks as "postfix/cleanup".
    Cleaner(Options options, tables::Tables& tables, observe::Log log);

    awaitable<std::expected<handoff::Cleaned, Refusal>> clean(handoff::Envelope envelope, std::string head) override;
    awaitable<Result<bool>> local_client(handoff::Client client) override;
    awaitable<Result<bool>> signed_client(handoff::Client client, handoff::Origin origin) override;
    awaitable<Result<bool>> exempt_client(handoff::Client client) override;

    awaitable<std::expected<handoff::Envelope, Refusal>> changed(handoff::Envelope envelope, std::vector<milter::EnvelopeChange> changes) override;
    awaitable<std::expected<handoff::FieldsChecked, Refusal>> check_made(handoff::Envelope envelope, std::vector<std::string> fields) override;

    /// What a recipient becomes, completed and expanded, where there is no message: for the probe of an address. Logs what is wrong.
    /// An Error: a table or an alias does not allow an answer now.
    awaitable<Result<std::vector<std::string>>> expanded(std::string address);

    /// Recipients completed and expanded, as those of a message; logs what is wrong. 4.6.0: aliases that lead round in a circle, or nowhere.
    awaitable<std::expected<handoff::Envelope, Refusal>> rewritten(handoff::Envelope envelope) const;

private:
    friend class BodyCheck;
    struct Outcome {
        std::optional<Refusal> refusal;
        std::unique_ptr<Draft> draft;
    };
    Result<Outcome> decide(Lookups& lookups, const handoff::Envelope& envelope, std::unique_ptr<handoff::Client>& client,
                           const std::string& head) const;

    /// Logs and forgets what is to be said of them.
    void log_findings(const std::string& queue_id, Findings& findings) const;

    Options options_;
    Asked asked_;
    observe::Log log_;
};

}  // namespace posthorn::cleanup
