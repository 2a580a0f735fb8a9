// What is received from strangers is checked, and what was found stands in front of it.                                   RFC 8601
#include "base/strings.hpp"
#include "mailauth/results.hpp"
#include "milter/mail.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

/// Where it cannot be told whose mail this is, it is refused for now: our own must not be judged as a stranger's.
awaitable<void> Session::begin_checks(Content& content)
{
    transaction_->checks.reset();
    if (core_.outside.threads == nullptr || core_.options.filter)
        co_return;
    const auto exempt = co_await core_.outside.cleaner.exempt_client(content.envelope().client());
    if (!exempt) {
        core_.outside.log.warning("{}: not checked: {}", content.envelope().queue_id(), exempt.error().text());
        content.refuse(refusal_of(exempt.error()));
    }
    if (!exempt || *exempt)
        co_return;
    if (!asking_)
        asking_ = std::make_unique<TaskGroup>(core_.executor);
    Checks::Facts facts;
    facts.client = net::IpAddress::parse(facts_.client_address).value_or(net::IpAddress());
    facts.helo = facts_.helo.value_or("");
    facts.mail_from = facts_.sender.value_or("");
    facts.myhostname = core_.options.myhostname;
    if (spf_ && spf_->first == SpfAsked{.sender = facts.mail_from, .helo = facts.helo, .client_address = facts_.client_address})
        facts.spf = spf_->second;
    transaction_->checks = std::make_shared<Checks>(core_.options.checks, std::move(facts), core_.outside.names, core_.outside.clock, core_.ceiling,
                                                    *asking_, core_.outside.suffixes);
}

/// What becomes of it by its policy: other refusals are none of DMARC's.
void Session::report_dmarc(handoff::DmarcSeen seen, mailauth::DmarcPolicy asked)
{
    using mailauth::DmarcPolicy;
    const mailauth::CheckOptions& options = core_.options.checks;
    const DmarcPolicy done = asked == DmarcPolicy::reject && options.reject ? DmarcPolicy::reject
                             : asked != DmarcPolicy::none && options.hold   ? DmarcPolicy::quarantine
                                                                            : DmarcPolicy::none;
    handoff::DmarcRow& row = *seen.mutable_row();
    row.set_disposition(std::string(mailauth::dmarc_policy_name(done)));
    if (done != asked)
        row.set_reason("local_policy");
    core_.outside.dmarc_reports->tell(std::move(seen));
}

awaitable<void> Session::conclude_checks(Content& content)
{
    const std::string queue_id = content.envelope().queue_id();
    auto verdict = co_await transaction_->checks->conclude(*core_.outside.threads);
    transaction_->checks.reset();
    if (asking_->size() == 0)
        asking_.reset();
    core_.outside.log.info("{}: checked: {}", queue_id, printable(mailauth::results_for_log(verdict.findings), true));
    if (verdict.report && core_.outside.dmarc_reports != nullptr)
        report_dmarc(*std::move(verdict.report), verdict.asked);
    using mailauth::DmarcPolicy;
    if (verdict.asked == DmarcPolicy::reject && core_.options.checks.reject) {
        content.refuse(handoff::Refusal{550, "5.7.1", fmt::format("Error: refused as the DMARC policy of {} asks", printable(verdict.author))});
        co_return;
    }
    if (verdict.asked != DmarcPolicy::none && core_.options.checks.hold && !transaction_->effects.hold) {
        transaction_->effects.hold = true;
        log_about(queue_id, "hold", fmt::format("DMARC policy of {}", printable(verdict.author)));
    }
    Ceiling::Share share(core_.ceiling);
    auto loaded =
        co_await milter::Mail::load(content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); }, 0);
    if (loaded && !share.set(2 * (*loaded)->held()))
        loaded = Error{share.limit_text(), "4.3.1"};
    if (!loaded) {
        core_.outside.log.warning("{}: not checked: {}", queue_id, loaded.error().text());
        content.refuse(refusal_of(loaded.error()));
        co_return;
    }
    const std::string& id = core_.options.checks.service_id;
    const bool utf8 = content.envelope().smtputf8();
    const std::string field = mailauth::results_field(id, verdict.findings, utf8);
    co_await content.rewrite(field + mailauth::without_results_of(id, (*loaded)->head()), (*loaded)->old_head_size(), std::nullopt);
    if (const auto& body = core_.options.checks.sealed_body; body && !verdict.chain.empty())
        transaction_->sealing =
            std::make_unique<Sealing>(handoff::Proof(mailauth::results_text(id, verdict.findings, utf8), verdict.chain), verdict.chain_digest, *body);
}

}  // namespace posthorn::receive
