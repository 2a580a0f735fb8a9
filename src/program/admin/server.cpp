#include "admin/server.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::admin {

namespace {

constexpr std::size_t questions_at_once = 2;                   // one for each helper thread
constexpr std::size_t read_octets = 4096;
constexpr std::chrono::milliseconds farewell{2000};            // what comes behind the last request is read for so long

std::string name_of(const net::Endpoint& client) { return client.is_unix() ? "unix" : client.ip.text(); }

/// In the list while it lives.
class Entered {
public:
    Entered(std::list<net::Stream*>& list, net::Stream& stream) : list_(list), at_(list.insert(list.end(), &stream)) {}
    Entered(Entered&&) = delete;
    ~Entered() { list_.erase(at_); }

private:
    std::list<net::Stream*>& list_;
    std::list<net::Stream*>::iterator at_;
};

class Counted {
public:
    explicit Counted(std::size_t& count) : count_(count) { ++count_; }
    Counted(Counted&&) = delete;
    ~Counted() { --count_; }

private:
    std::size_t& count_;
};

}  // namespace

struct Server::Guest {
    Guest(Server& server, net::Stream& of, bool unknown) : house(server), stream(of), stranger(unknown) {}
    Guest(Guest&&) = delete;
    ~Guest() { house.guests_.remove(this); }
    Server& house;
    net::Stream& stream;
    const bool stranger;                                       // none of admin_clients
};

/// A question outlives who asked it and waits no more: its thread cannot be called back.
struct Server::Held {
    Held(const Executor& executor, Asked question) : asked(std::move(question)), answered(executor) {}
    const Asked asked;
    std::optional<Answer> answer;
    bool given_up = false;
    Signal answered;
};

Server::Server(Executor executor, ServerOptions options, Access access, System& system, Counters counters, const Clock& clock, observe::Log log)
    : executor_(executor), options_(options), access_(std::move(access)), system_(system), counters_(std::move(counters)), clock_(clock),
      log_(std::move(log)), turn_(executor), left_(executor), questions_(executor)
{
}

awaitable<void> Server::serve(std::unique_ptr<net::Stream> stream)
{
    {
        const Entered entered(streams_, *stream);
        co_await converse(*stream);
    }
    stream->close();
    left_.notify_all();
}

awaitable<void> Server::finish()
{
    ending_ = true;
    for (const SteadyTime end = clock_.steady() + options_.guest_time; !streams_.empty() && clock_.steady() < end;)
        (void)co_await left_.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - clock_.steady()));
    for (net::Stream* const stream : std::list(idle_))         // they leave the list
        stream->close();
    while (!streams_.empty())
        co_await left_.wait();
    co_await questions_.drained();
}

void Server::hurry()
{
    for (net::Stream* const stream : std::list(streams_))
        stream->close();
}

/// False: there is no room for it.
bool Server::come_in(Guest& guest)
{
    if (guests_.size() >= guests_at_once) {
        auto leaves = std::ranges::find_if(guests_, &Guest::stranger);
        if (leaves == guests_.end() && guest.stranger)
            return false;
        if (leaves == guests_.end())
            leaves = guests_.begin();
        net::Stream& its = (*leaves)->stream;
        guests_.erase(leaves);
        its.close();
    }
    guests_.push_back(&guest);
    return true;
}

awaitable<void> Server::say(net::Stream& stream, Answer answer, std::chrono::milliseconds timeout, bool keep_alive, bool head)
{
    answers_.add({std::to_string(answer.status)});
    const std::string text = on_the_wire(answer, keep_alive, head);
    stream.expires_after(timeout);
    if (!co_await stream.write(text) || keep_alive)
        co_return;
    // What the client still sends is read, or a reset would take the answer from it.
    (void)co_await stream.shutdown();
    stream.expires_after(std::min(timeout, farewell));
    std::array<char, read_octets> rest{};
    for (std::size_t all = 0; all < options_.limits.body + options_.limits.header;) {
        const auto got = co_await stream.read_some(rest);
        if (!got || *got == 0)
            break;
        all += *got;
    }
}

awaitable<void> Server::converse(net::Stream& stream)
{
    std::optional<Guest> guest;
    std::optional<Counted> place;
    guest.emplace(*this, stream, !access_.admits(stream.peer()));
    if (!come_in(*guest))
        co_return;
    const auto patience = [&] { return guest || ending_ ? std::min(options_.timeout, options_.guest_time) : options_.timeout; };
    const auto last_words = [&](Answer answer, bool head = false) { return say(stream, std::move(answer), patience(), false, head); };
    if (guest->stranger)
        co_return co_await last_words(error_answer(403, "this address is none of admin_clients"));
    std::string pending;                                       // behind the request before
    for (bool go_on = true; go_on && !co_await cancelled();) {
        Reader reader(options_.limits);
        stream.expires_after(patience());                      // of the whole request
        pending.erase(0, reader.feed(pending));
        while (!reader.whole() && !reader.refused()) {
            std::array<char, read_octets> room{};
            std::optional<Entered> idle;
            if (!guest && !reader.begun())
                idle.emplace(idle_, stream);
            const auto got = co_await stream.read_some(room);
            if (!got || *got == 0) {
                if (reader.begun() && !got && clock_.steady() >= stream.deadline())
                    co_await last_words(error_answer(408, "the request did not come in time"));
                co_return;
            }
            pending.append(room.data(), *got);
            pending.erase(0, reader.feed(pending));
        }
        if (const auto status = reader.refused())
            co_return co_await last_words(error_answer(*status, *status == 400 ? "this is no HTTP request" : "the request is too large"));
        Request request = reader.take();
        const bool head = request.method == "HEAD";
        if (auto refused = refusal(request, stream))
            co_return co_await last_words(*std::move(refused), head);
        if (guest) {
            if (places_ >= options_.connections)
                co_return co_await last_words(error_answer(503, "too many connections"), head);
            guest.reset();
            place.emplace(places_);
        }
        const bool keep_alive = request.keep_alive;
        Answer made = co_await answer(std::move(request), stream.peer());
        go_on = keep_alive && !ending_;
        co_await say(stream, std::move(made), options_.timeout, go_on, head);
        go_on = go_on && stream.is_open();
    }
}

/// Of what this client may not ask.
std::optional<Answer> Server::refusal(const Request& request, const net::Stream& stream) const
{
    if (auto refused = access_.refuses_host(request, stream.local()))
        return refused;
    const auto target = parse_target(request.target);
    const auto route = target ? route_of(*target) : std::nullopt;
    if (!route || !route->changes || request.method != "POST")
        return {};
    auto refused = access_.refuses_change(request);
    if (refused)
        log_.warning("client [{}]: {}: refused: {}", name_of(stream.peer()), printable(request.target, true),
                     access_.has_token() ? "no token, or not the right one" : "there is no token");
    return refused;
}

awaitable<Answer> Server::answer(Request request, net::Endpoint client)
{
    auto target = parse_target(request.target);
    if (!target)
        co_return error_answer(400, target.error().text());
    const auto route = route_of(*target);
    if (!route)
        co_return error_answer(404, "there is nothing at this path; /api lists what there is");
    if (route->changes ? request.method != "POST" : request.method != "GET" && request.method != "HEAD") {
        Answer refused = error_answer(405, route->changes ? "this path takes POST" : "this path takes GET");
        refused.fields.emplace_back("Allow", route->changes ? "POST" : "GET, HEAD");
        co_return refused;
    }
    Asked question{*std::move(target), *route, name_of(client)};
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
    co_return error_answer(504, fmt::format("there was no answer within {:g} s", std::chrono::duration<double>(options_.question).count()));
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
                return error_answer(500, wrong.what());
            }
        });
    }
    turn_.notify_all();
    if (const std::optional<Answer>& answer = held->answer; answer && !answer->log.empty())
        log_.info("{}{}", answer->log, held->given_up ? ", who was told that there was no answer in time" : "");
    held->answered.notify_all();
}

}  // namespace posthorn::admin
