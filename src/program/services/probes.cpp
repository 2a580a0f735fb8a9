#include "services/probes.hpp"

#include "handoff/delivery_log.hpp"
#include "handoff/frames.hpp"
#include "route/resolve.hpp"
#include "services/own_transports.hpp"
#include "services/queue_manager.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

namespace posthorn::services {

using handoff::Frame;
using namespace std::chrono_literals;

Probes::Probes(Executor executor, Resolver& resolver, Workers& workers, Numbers numbers, Options options, const Clock& clock, observe::Log log)
    : executor_(executor), resolver_(resolver), workers_(workers), numbers_(std::move(numbers)), options_(std::move(options)), clock_(clock),
      log_(std::move(log)), tasks_(executor)
{
}

awaitable<Result<handoff::ProbeReply>> Probes::probe(handoff::ProbeRequest request)
{
    handoff::RouteRequest question;
    question.set_sender(request.sender());
    question.add_addresses(request.address());
    question.set_verify(true);
    CO_TRY(const auto routes, co_await resolver_.route(std::move(question)));
    if (routes.retry() || routes.routes_size() != 1)
        co_return Error{fmt::format("address resolver failure: {}", routes.text()), "4.3.0"};
    handoff::Route route = routes.routes(0);
    if (numbers_.choose)
        numbers_.choose(route);

    handoff::Recipient recipient;
    recipient.set_address(route.address());
    if (route.address() != request.address())
        recipient.set_original(request.address());
    handoff::ProbeReply reply;
    reply.set_final_address(route.address());
    reply.set_control(routes.control_size() == 1 && routes.control(0));
    if (const auto order = numbers_.ordered ? numbers_.ordered(route, route.address(), request.sender()) : std::nullopt) {
        const handoff::Verdict& verdict = *reply.mutable_verdict() = decided_here({handoff::OUTCOME_DEFERRED, "4.3.2", *order});
        log_own(verdict, recipient, "retry", numbers_.queue_id());
        co_return reply;
    }
    if (const auto own = own_transport(route, handoff::PURPOSE_VERIFY_ADDRESS)) {
        const handoff::Verdict& verdict = *reply.mutable_verdict() = decided_here(*own);
        // What has become several addresses goes no further than cleanup, says Postfix.
        const bool several = route.transport() == "discard" && route.nexthop() == several_recipients;
        log_own(verdict, recipient, several ? "cleanup" : route.transport(), numbers_.queue_id());
        co_return reply;
    }
    const auto waiting = std::make_shared<Waiting>(executor_, std::move(recipient), route);
    const SiteKey key{route.transport() + " " + route.site(), request.sender()};
    Site& site = sites_[key];
    if (site.waiting.size() >= options_.pending) {
        if (!std::exchange(site.over_budget, true))
            log_.warning("{} addresses of {} wait for a probe: no more are asked about (address_verify_site_pending_limit)", site.waiting.size(),
                         route.nexthop());
        reply.set_not_asked("Too many address verification requests for this destination");
        co_return reply;
    }
    site.waiting.push_back(waiting);
    if (site.running < options_.sessions) {
        ++site.running;
        tasks_.spawn(run(key));
    }
    while (true) {
        if (const auto& ended = waiting->verdict) {
            CO_TRY(*reply.mutable_verdict(), *ended);
            co_return reply;
        }
        if (co_await cancelled())
            co_return Error{"the queue manager ends", "4.3.2"};
        co_await waiting->ended.wait();
    }
}

/// One after the other as long as somebody waits.
awaitable<void> Probes::run(SiteKey key)
{
    co_await asio::post(executor_, use_awaitable);            // what arrived together goes together
    for (;;) {
        Site& site = sites_.at(key);
        site.over_budget = site.over_budget && !site.waiting.empty();
        std::vector<std::shared_ptr<Waiting>> together;
        while (!site.waiting.empty() && together.size() < options_.addresses) {
            together.push_back(std::move(site.waiting.front()));
            site.waiting.pop_front();
        }
        if (together.empty())
            break;
        handoff::DeliveryRequest request = request_for(together, key.second);
        const std::string queue_id = request.envelope().queue_id();
        log_.info("{}: from=<{}>, size=0, nrcpt={} (queue active)", queue_id, smtp::external_address(key.second), together.size());
        const Result<handoff::Verdicts> verdicts = co_await ask(std::move(request));
        log_.info("{}: removed", queue_id);
        for (std::size_t at = 0; at < together.size(); ++at) {
            Waiting& one = *together[at];
            one.verdict = Error{"the delivery process gave no verdict", "4.3.0"};
            if (!verdicts)
                one.verdict = verdicts.error();
            else
                for (const handoff::Verdict& verdict : verdicts->verdicts())
                    if (verdict.recipient() == at)
                        one.verdict = verdict;
            one.ended.notify_all();
        }
        if (co_await cancelled())
            break;
    }
    const auto found = sites_.find(key);
    if (--found->second.running == 0 && found->second.waiting.empty())
        sites_.erase(found);
}

awaitable<Result<handoff::Verdicts>> Probes::ask(handoff::DeliveryRequest request)
{
    const std::string site = request.route().site();
    if (numbers_.silent)
        if (auto why = numbers_.silent(site))
            co_return Error{"delivery temporarily suspended: " + *why, "4.4.1"};
    handoff::VerdictsStored stored;
    stored.add_attempts(request.attempt());
    // A process that is about to end hands back what it has not begun; the one that takes over is connected within moments.
    for (int tries = 0; tries < 50; ++tries) {
        std::shared_ptr<ipc::Channel> worker = workers_.worker_for(request.route().transport(), request.route().site(), request.connections());
        for (const SteadyTime end = clock_.steady() + options_.worker_patience; !worker && clock_.steady() < end && !co_await cancelled();) {
            co_await sleep_for(100ms);
            worker = workers_.worker_for(request.route().transport(), request.route().site(), request.connections());
        }
        if (!worker)
            break;
        auto verdicts = co_await worker->call<handoff::Verdicts>(Frame::deliver, request);
        if (worker->is_open())
            (void)worker->post(Frame::verdicts_stored, stored);
        if (verdicts && verdicts->has_shaping() && numbers_.heard)
            numbers_.heard(verdicts->shaping(), site);
        if (verdicts && !verdicts->elsewhere().empty() && !request.passed_on()) {
            request.set_passed_on(true);
            *request.mutable_route() = route::passed_on(request.route(), verdicts->elsewhere());
            if (numbers_.choose)
                numbers_.choose(*request.mutable_route());
            const auto own = own_transport(request.route(), handoff::PURPOSE_VERIFY_ADDRESS);
            if (!own)
                continue;
            handoff::Verdicts made;
            for (const handoff::Recipient& recipient : request.envelope().recipients()) {
                *made.add_verdicts() = decided_here(*own);
                made.mutable_verdicts()->rbegin()->set_recipient(recipient.index());
                log_own(*made.verdicts().rbegin(), recipient, request.route().transport(), request.envelope().queue_id());
            }
            co_return made;
        }
        if (!verdicts || !verdicts->handed_back())
            co_return verdicts;
        co_await sleep_for(20ms);
    }
    co_return Error{fmt::format("mail transport unavailable: {}", request.route().transport()), "4.3.0"};
}

handoff::DeliveryRequest Probes::request_for(const std::vector<std::shared_ptr<Waiting>>& together, const std::string& sender)
{
    handoff::DeliveryRequest request;
    const std::int64_t now = clock_.wall().time_since_epoch().count();
    request.set_attempt(numbers_.attempt());
    request.set_probe(true);
    request.set_active_since(now);
    request.set_connections(static_cast<std::uint32_t>(options_.sessions));
    *request.mutable_route() = together.front()->route;
    request.mutable_content();                                    // a probe has none
    handoff::Envelope& envelope = *request.mutable_envelope();
    envelope.set_queue_id(numbers_.queue_id());
    envelope.set_arrival(now);
    envelope.set_sender(sender);
    envelope.set_purpose(handoff::PURPOSE_VERIFY_ADDRESS);
    for (std::uint32_t at = 0; at < together.size(); ++at) {
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient = together[at]->recipient;
        recipient.set_index(at);
    }
    return request;
}

handoff::Verdict Probes::decided_here(const OwnVerdict& own) const
{
    handoff::Verdict verdict;
    verdict.set_outcome(own.outcome == handoff::OUTCOME_BOUNCED ? handoff::OUTCOME_UNDELIVERABLE : own.outcome);
    verdict.set_status(own.status);
    verdict.set_text(own.text);
    verdict.set_relay("none");
    verdict.set_finished(clock_.wall().time_since_epoch().count());
    return verdict;
}

void Probes::log_own(const handoff::Verdict& verdict, const handoff::Recipient& recipient, std::string_view transport, std::string_view queue_id)
{
    const handoff::DeliveryTimes times{.arrival = verdict.finished(), .active = verdict.finished(), .finished = verdict.finished()};
    log_.as(fmt::format("{}/{}", options_.syslog_name, transport))
        .write(observe::Level::info,
               handoff::delivery_line(queue_id, recipient, verdict, times, handoff::status_word(verdict.outcome(), true, options_.failures_cached)));
}

}  // namespace posthorn::services
