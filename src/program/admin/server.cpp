#include "admin/server.hpp"

#include "base/counted.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::admin {

namespace {

constexpr std::size_t questions_at_once = 2;                   // one for each helper thread

}  // namespace

/// A question outlives who asked it and waits no more: its thread cannot be called back.
struct Server::Held {
    Held(const Executor& executor, Asked question) : asked(std::move(question)), answered(executor) {}
    const Asked asked;
    std::optional<Answer> answer;
    bool given_up = false;
    Signal answered;
};

Server::Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log)
    : executor_(executor), options_(options), system_(system), counters_(std::move(counters)), clock_(clock), log_(std::move(log)), turn_(executor),
      questions_(executor), door_(executor, options.door, std::move(access), *this, clock)
{
}

awaitable<void> Server::finish()
{
    co_await door_.finish();
    co_await questions_.drained();
}

/// What changes something needs the token.
std::optional<Answer> Server::refusal(const Request& request, const net::Stream& stream)
{
    const auto target = http::parse_target(request.target);
    const auto route = target ? route_of(*target) : std::nullopt;
    if (!route || !route->changes || request.method != "POST")
        return {};
    auto refused = access().refuses_token(request);
    if (refused)
        log_.warning("client [{}]: {}: refused: {}", http::name_of(stream.peer()), printable(request.target, true),
                     access().has_token() ? "no token, or not the right one" : "there is no token");
    return refused;
}

awaitable<Answer> Server::answer(Request request, const net::Stream& stream, http::Weight*)
{
    auto target = http::parse_target(request.target);
    if (!target)
        co_return http::error_answer(400, target.error().text());
    const auto route = route_of(*target);
    if (!route)
        co_return http::error_answer(404, "there is nothing at this path; /api lists what there is");
    if (route->changes ? request.method != "POST" : request.method != "GET" && request.method != "HEAD") {
        Answer refused = http::error_answer(405, route->changes ? "this path takes POST" : "this path takes GET");
        refused.fields.emplace_back("Allow", route->changes ? "POST" : "GET, HEAD");
        co_return refused;
    }
    Asked question{*std::move(target), *route, http::name_of(stream.peer())};
    co_return co_await asked(std::move(question));
}

awaitable<Answer> Server::asked(Asked question)
{
    const auto held = std::make_shared<Held>(executor_, std::move(question));
    questions_.spawn(work_off(held));
    for (const SteadyTime end = clock_.steady() + options_.question; !held->answer && clock_.steady() < end;)
        (void)co_await held->answered.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - clock_.steady()));
    if (std::optional<Answer>& answer = held->answer; answer)
        co_return *std::move(answer);
    held->given_up = true;
    turn_.notify_all();                                        // if it still waits for its turn, it is not asked at all
    co_return http::error_answer(504, fmt::format("there was no answer within {:g} s", std::chrono::duration<double>(options_.question).count()));
}

awaitable<void> Server::work_off(std::shared_ptr<Held> held)
{
    while (asking_ >= questions_at_once && !held->given_up)
        co_await turn_.wait();
    if (held->given_up)
        co_return;
    {
        const Counted asking(asking_);
        Result<process::InstanceCounters> counters = process::InstanceCounters{};
        if (needs_counters(held->asked.route.place)) {
            counters = co_await counters_();
            if (counters)
                rates_.see(*counters, clock_.steady());
        }
        held->answer = co_await on_thread(threads_, [this, held, &counters, rates = rates_] {
            try {
                return answer_to(held->asked, system_, counters, rates);
            } catch (const std::exception& wrong) {
                return http::error_answer(500, wrong.what());
            }
        });
    }
    turn_.notify_all();
    if (const std::optional<Answer>& answer = held->answer; answer && !answer->log.empty())
        log_.info("{}{}", answer->log, held->given_up ? ", who was told that there was no answer in time" : "");
    held->answered.notify_all();
}

}  // namespace posthorn::admin
