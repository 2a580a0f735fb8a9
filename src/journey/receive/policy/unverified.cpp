// reject_unverified_sender, reject_unverified_recipient: whether the next host takes mail for an address. ADDRESS_VERIFICATION_README
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

namespace {

constexpr std::size_t reason_limit = 250;

}  // namespace

awaitable<Judge::Step> Judge::unverified(std::optional<std::string> address, std::string_view title, bool is_sender)
{
    if (!address || address->empty())                        // mail from <> has nobody to ask about
        co_return Step::dunno;
    const Unverified& settings = is_sender ? law_.settings.unverified_sender : law_.settings.unverified_recipient;
    const std::string_view status = is_sender ? "4.1.7" : "4.1.1";
    const auto defer = [&](int code, std::string text) {
        if (settings.tempfail == TempfailAction::defer)
            return refuse(code, status, std::move(text));
        defer_if(if_permit_, code, status, std::move(text));
        return Step::dunno;
    };
    co_await court_.before_wait();
    Result<handoff::Finding> finding = Error{"no process verifies addresses"};
    if (verifier_ != nullptr)
        finding = co_await verifier_->verify(*address, facts_.verify_patience);
    if (!finding) {
        cannot_tell();
        court_.log_warning(fmt::format("verify service failure: {}", finding.error().text()));
        co_return defer(450, fmt::format("<{}>: {} rejected: address verification problem", *address, title));
    }
    using Kind = handoff::Finding::Kind;
    if (finding->kind == Kind::deliverable)
        co_return Step::dunno;
    if (finding->kind != Kind::undeliverable)
        cannot_tell();
    const int code = finding->kind == Kind::undeliverable ? settings.reject : settings.defer;
    const std::string_view reason =
        settings.reason.empty() ? std::string_view(finding->text).substr(0, reason_limit) : std::string_view(settings.reason);
    switch (code / 100) {
    case 2: co_return Step::dunno;
    case 4: co_return defer(code, fmt::format("<{}>: {} rejected: unverified address: {}", *address, title, reason));
    default: co_return refuse(code, status, fmt::format("<{}>: {} rejected: undeliverable address: {}", *address, title, reason));
    }
}

}  // namespace posthorn::receive::policy
