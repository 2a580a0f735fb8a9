// Address probes for a group of RCPT commands: all that are in the input are asked about together, so that they cost one wait.
#include "receive/session.hpp"

namespace posthorn::receive {

namespace {

constexpr std::size_t group_limit = 50;

/// Plays the restrictions through without consequences: notes which addresses they would have verified.
class Rehearsal final : public policy::Court, public handoff::Verifier {
public:
    explicit Rehearsal(policy::Court& real) : real_(real) {}
    void log_what(std::string_view, std::string_view) override {}
    void log_warning(std::string_view) override {}
    awaitable<void> before_wait() override { return real_.before_wait(); }      // what is decided leaves, rehearsal or not
    policy::SessionFacts session_facts() const override { return real_.session_facts(); }
    awaitable<std::shared_ptr<const mailauth::SpfFinding>> spf() override { return real_.spf(); }      // asked once, now or later
    bool rehearsal() const override { return true; }

    awaitable<Result<handoff::Finding>> verify(std::string address, std::chrono::milliseconds) override
    {
        addresses.push_back(std::move(address));
        co_return handoff::Finding(handoff::Finding::Kind::deliverable, "");
    }
    void ask_ahead(std::string) override {}
    std::optional<std::string> probe_sender(std::string_view) const override { return std::nullopt; }

    std::vector<std::string> addresses;

private:
    policy::Court& real_;
};

}  // namespace

/// `recipient`: of the RCPT in hand. Those behind it are judged as if all before them were accepted; the lines stay in the input.
awaitable<void> Session::verify_group(std::string recipient)
{
    if (transaction_->rehearsed > 0) {
        --transaction_->rehearsed;
        co_return;
    }
    if (!core_.law.verifies_recipients() || core_.outside.verifier == nullptr || !core_.command_filter.empty())
        co_return;
    std::vector<std::string> group{std::move(recipient)};
    std::string_view rest = input_.view();
    for (auto end = rest.find('\n'); end != rest.npos && group.size() < group_limit; end = rest.find('\n')) {
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        const smtp::Command command = smtp::split_command(line);
        if (!command.verb || command.verb->id != smtp::VerbId::rcpt)
            break;
        if (const auto parsed = smtp::parse_rcpt(std::string(command.arguments), command_options()))
            group.push_back(parsed->forward_path.text());
        else
            break;
    }
    if (group.size() == 1)
        co_return;
    transaction_->rehearsed = group.size() - 1;
    Rehearsal rehearsal(*this);
    policy::Facts facts = facts_;
    policy::Effects effects;
    for (const std::string& address : group) {
        facts.recipient = address;
        policy::Judge judge(core_.law, facts, effects, rehearsal, &rehearsal);
        co_await judge.recipient();
        ++facts.recipients;
    }
    for (std::string& address : rehearsal.addresses)
        core_.outside.verifier->ask_ahead(std::move(address));
}

}  // namespace posthorn::receive
