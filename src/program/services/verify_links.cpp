#include "services/verify_links.hpp"

#include "handoff/frames.hpp"
#include "handoff/frames.pb.h"
#include "services/programs.hpp"

namespace posthorn::services {

using handoff::Frame;

std::optional<Finding> VerifyLink::known(std::string_view address)
{
    const auto opinion = verify::opinion(cache_.find(address), false, clock_.wall(), options_.rules);
    return opinion.ask ? std::nullopt : std::optional{opinion.finding};
}

awaitable<Result<Finding>> VerifyLink::verify(std::string address, std::chrono::milliseconds patience)
{
    if (auto finding = known(address))
        co_return *std::move(finding);
    handoff::VerifyRequest request;
    request.set_address(std::move(address));
    request.set_patience(static_cast<std::uint32_t>(patience.count()));
    CO_TRY(const auto reply, co_await memory_.call<handoff::VerifyReply>(Frame::verify, std::move(request)));
    if (reply.kind() > static_cast<std::uint32_t>(Finding::Kind::in_progress))
        co_return Error{"memory answered with a kind that is none"};
    co_return Finding(static_cast<Finding::Kind>(reply.kind()), reply.text());
}

void VerifyLink::ask_ahead(std::string address)
{
    const auto channel = memory_.channel();
    if (!channel || known(address))
        return;                                                        // the question itself will wait for it
    handoff::VerifyRequest request;
    request.set_address(std::move(address));
    (void)channel->post(Frame::verify, request);
}

ProbeLink::ProbeLink(Executor executor) : qmgr_(executor, std::string(qmgr_socket), {.channel = {.name = "qmgr"}}) {}

awaitable<Result<verify::Prober::Answer>> ProbeLink::probe(std::string sender, std::string address)
{
    handoff::ProbeRequest request;
    request.set_sender(std::move(sender));
    request.set_address(std::move(address));
    CO_TRY(const auto reply, co_await qmgr_.call<handoff::ProbeReply>(Frame::probe, std::move(request)));
    if (!reply.not_asked().empty())
        co_return Error{std::string(reply.not_asked()), "4.3.2"};
    const handoff::Verdict& verdict = reply.verdict();
    const auto kind = verdict.outcome() == handoff::OUTCOME_DELIVERED ? Finding::Kind::deliverable
                      : verdict.outcome() == handoff::OUTCOME_UNDELIVERABLE || verdict.outcome() == handoff::OUTCOME_BOUNCED
                          ? Finding::Kind::undeliverable
                          : Finding::Kind::deferred;
    Answer answer(Finding(kind, verdict.text()), reply.final_address());
    answer.may_control = reply.control();
    answer.takes_all = verdict.takes_all();
    co_return answer;
}

}  // namespace posthorn::services
