#include "services/report_link.hpp"

#include "services/programs.hpp"

namespace posthorn::services {

using handoff::Frame;

ReportLink::ReportLink(Executor executor)
    : link_(executor, std::string(reporter_socket), {.channel = {.name = "reporter"}}), tasks_(std::move(executor))
{
}

awaitable<void> ReportLink::close()
{
    co_await tasks_.drained();
    co_await link_.close();
}

handoff::TlsSeen seen_of(const send::TlsReport& report)
{
    handoff::TlsSeen seen;
    seen.set_domain(report.domain);
    seen.set_record(report.record);
    handoff::TlsPolicy& policy = *seen.mutable_policy();
    policy.set_type(report.policy == send::TlsReport::Policy::tlsa  ? "tlsa"
                    : report.policy == send::TlsReport::Policy::sts ? "sts"
                                                                    : "no-policy-found");
    policy.set_domain(report.policy_domain.empty() ? report.domain : report.policy_domain);
    for (const std::string& one : report.strings)
        policy.add_strings(one);
    for (const std::string& one : report.hosts)
        policy.add_hosts(one);
    if (!report.fault)
        return seen;
    handoff::TlsFailure& failure = *seen.mutable_failure();
    failure.set_type(std::string(send::fault_name(*report.fault)));
    failure.set_from(report.from);
    failure.set_host(report.host);
    failure.set_hello(report.hello);
    failure.set_to(report.to);
    failure.set_reason(report.reason);
    return seen;
}

void TlsReportLink::tell(const send::TlsReport& report)
{
    if (socket_)
        socket_->tell(report);
    if (link_ != nullptr)
        link_->tell(Frame::tls_seen, seen_of(report));
}

}  // namespace posthorn::services
