#include "services/verify_links.hpp"

#include "handoff/frames.hpp"
#include "handoff/frames.pb.h"
#include "observe/asked.hpp"
#include "services/programs.hpp"

namespace posthorn::services {

using handoff::Frame;

namespace {

constexpr std::chrono::minutes tell_again{10};
constexpr std::size_t told_limit = 10'000;

}  // namespace

std::optional<Finding> VerifyLink::known(std::string_view address)
{
    const auto record = cache_.find(address);
    const auto opinion = verify::opinion(record, false, clock_.wall(), options_.rules);
    if (opinion.ask)
        return std::nullopt;
    if (record && options_.refresh_rate != 0 && verify::worth_refreshing(*record, clock_.wall(), options_.rules))
        tell_of_use(std::string(address));
    return opinion.finding;
}

/// A question that nobody waits for. Lost where memory is away; then the next use tells it.
void VerifyLink::tell_of_use(const std::string& address)
{
    const SteadyTime now = clock_.steady();
    if (const auto told = told_.find(address); told != told_.end() && now - told->second < tell_again)
        return;
    const auto channel = memory_.channel();
    if (!channel)
        return;
    if (told_.size() >= told_limit)
        told_.clear();
    told_.insert_or_assign(address, now);
    handoff::VerifyRequest request;
    request.set_address(address);
    (void)channel->post(Frame::verify, request);
}

awaitable<Result<Finding>> VerifyLink::verify(std::string address, std::chrono::milliseconds patience)
{
    if (auto finding = known(address))
        co_return *std::move(finding);
    handoff::VerifyRequest request;
    request.set_address(std::move(address));
    request.set_patience(static_cast<std::uint32_t>(patience.count()));
    observe::Question question(observe::Helper::verification, "addresses");
    const auto told = co_await memory_.call_again<handoff::VerifyReply>(Frame::verify, std::move(request));
    question.ended(told && told->kind() != static_cast<std::uint32_t>(Finding::Kind::in_progress));
    if (!told)
        co_return told.error();
    if (told->kind() > static_cast<std::uint32_t>(Finding::Kind::in_progress))
        co_return Error{"memory answered with a kind that is none"};
    co_return Finding(static_cast<Finding::Kind>(told->kind()), told->text());
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
