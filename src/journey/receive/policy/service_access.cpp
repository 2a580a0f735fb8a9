// check_policy_service: a policy server decides, in the words of an access table.                    SMTPD_POLICY_README
#include "receive/policy/judge.hpp"

namespace posthorn::receive::policy {

awaitable<Judge::Step> Judge::policy_service(const Restriction& restriction, const Subject& subject, int depth)
{
    if (court_.rehearsal())                   // greylisting counts: who is asked twice answers wrongly
        co_return Step::dunno;
    Service* const service = law_.service(restriction.argument);
    if (!service)
        co_return refuse(451, "4.3.5", "Server configuration error", true);
    co_await court_.before_wait();
    const ServiceSpec& spec = service->spec();
    const auto action = co_await service->ask(request_text(facts_, court_.session_facts(), spec.limits.context),
                                              [this](const std::string& text) { court_.log_warning(text); });
    if (action)
        co_return co_await access_result(*action, spec.name, "policy query", subject, depth);
    cannot_tell();
    // The default action may name restrictions, policy services among them; one that fails in turn ends it.
    const bool within = std::exchange(default_action_, true);
    const Step step = co_await access_result(within ? std::string(ServiceLimits::last_resort) : spec.limits.default_action, spec.name, "policy query",
                                             subject, depth);
    default_action_ = within;
    co_return step;
}

}  // namespace posthorn::receive::policy
