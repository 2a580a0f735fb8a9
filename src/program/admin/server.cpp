#include "admin/server.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::admin {

namespace {

constexpr std::size_t questions_at_once = 2;                   // one for each helper thread
constexpr std::size_t read_octets = 4096;

std::string name_of(const net::Endpoint& client) { return client.is_unix() ? "unix" : client.ip.text(); }

}  // namespace

Server::Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log)
    : executor_(executor), options_(options), access_(std::move(access)), system_(system), counters_(std::move(counters)), clock_(clock),
      log_(std::move(log)), turn_(executor)
{
}

awaitable<void> Server::serve(std::unique_ptr<net::Stream> stream)
{
    ++open_;
    co_await converse(*stream);
    --open_;
    stream->close();
}

awaitable<bool> Server::say(net::Stream& stream, Answer answer, bool keep_alive, bool head)
{
    answers_.add({std::to_string(answer.status)});
    const std::string text = on_the_wire(answer, keep_alive, head);
    stream.expires_after(options_.timeout);
    if (!co_await stream.write(text))
        co_return false;
    if (!keep_alive) {
        // What the client still sends is read, or a reset would take the answer from it.
        (void)co_await stream.shutdown();
        std::array<char, read_octets> rest{};
        for (std::size_t all = 0; all < options_.limits.body + options_.limits.header;) {
            const auto got = co_await stream.read_some(rest);
            if (!got || *got == 0)
                break;
            all += *got;
        }
    }
    co_return keep_alive;
}

awaitable<void> Server::converse(net::Stream& stream)
{
    stream.expires_after(options_.timeout);
    if (!access_.admits(stream.peer())) {
        (void)co_await say(stream, error_answer(403, "this address is none of admin_clients"), false, false);
        co_return;
    }
    if (open_ > options_.connections) {
        (void)co_await say(stream, error_answer(503, "too many connections"), false, false);
        co_return;
    }
    std::string pending;                                       // behind the request before
    for (bool go_on = true; go_on && !co_await cancelled();) {
        Reader reader(options_.limits);
        stream.expires_after(options_.timeout);                // of the whole request
        pending.erase(0, reader.feed(pending));
        while (!reader.whole() && !reader.refused()) {
            std::array<char, read_octets> room{};
            const auto got = co_await stream.read_some(room);
            if (!got || *got == 0) {
                if (reader.begun() && !got && clock_.steady() >= stream.deadline())
                    (void)co_await say(stream, error_answer(408, "the request did not come in time"), false, false);
                co_return;
            }
            pending.append(room.data(), *got);
            pending.erase(0, reader.feed(pending));
        }
        if (const auto status = reader.refused()) {
            (void)co_await say(stream, error_answer(*status, *status == 400 ? "this is no HTTP request" : "the request is too large"), false, false);
            co_return;
        }
        Request request = reader.take();
        const bool head = request.method == "HEAD", keep_alive = request.keep_alive;
        Answer made = co_await answer(std::move(request), stream.peer(), stream.local());
        go_on = co_await say(stream, std::move(made), keep_alive, head);
    }
}

awaitable<Answer> Server::answer(Request request, net::Endpoint client, net::Endpoint local)
{
    if (auto refusal = access_.refuses_host(request, local))
        co_return *std::move(refusal);
    auto target = parse_target(request.target);
    if (!target)
        co_return error_answer(400, target.error().text());
    const auto route = route_of(*target);
    if (!route)
        co_return error_answer(404, "there is nothing at this path; /api lists what there is");
    if (route->changes ? request.method != "POST" : request.method != "GET" && request.method != "HEAD") {
        Answer refusal = error_answer(405, route->changes ? "this path takes POST" : "this path takes GET");
        refusal.fields.emplace_back("Allow", route->changes ? "POST" : "GET, HEAD");
        co_return refusal;
    }
    if (route->changes)
        if (auto refusal = access_.refuses_change(request)) {
            log_.warning("client [{}]: {}: refused: {}", name_of(client), printable(request.target, true),
                         access_.has_token() ? "no token, or not the right one" : "there is no token");
            co_return *std::move(refusal);
        }
    Asked question{*std::move(target), *route, name_of(client)};
    co_return co_await asked(std::move(question));
}

awaitable<Answer> Server::asked(Asked question)
{
    while (asking_ >= questions_at_once) {
        if (co_await cancelled())
            co_return error_answer(503, "the service ends");
        co_await turn_.wait();
    }
    ++asking_;
    Result<process::InstanceCounters> counters = process::InstanceCounters{};
    if (needs_counters(question.route.place)) {
        counters = co_await counters_();
        if (counters)
            rates_.see(*counters, clock_.steady());
    }
    Answer made = co_await on_thread(threads_, [this, &question, &counters, rates = rates_] {
        try {
            return answer_to(question, system_, counters, rates);
        } catch (const std::exception& wrong) {
            return error_answer(500, wrong.what());
        }
    });
    --asking_;
    turn_.notify_all();
    if (!made.log.empty())
        log_.info("{}", made.log);
    co_return made;
}

}  // namespace posthorn::admin
