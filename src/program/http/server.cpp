#include "http/server.hpp"

#include "base/counted.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace posthorn::http {

namespace {

constexpr std::size_t read_octets = 4096, body_octets = 64 * 1024;
constexpr std::chrono::milliseconds farewell{2000};            // what comes behind the last request is read for so long

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

}  // namespace

std::string name_of(const net::Endpoint& client) { return client.is_unix() ? "unix" : client.ip.text(); }

struct Server::Guest {
    Guest(Server& server, net::Stream& of, bool unknown) : house(server), stream(of), stranger(unknown) {}
    Guest(Guest&&) = delete;
    ~Guest() { house.guests_.remove(this); }
    Server& house;
    net::Stream& stream;
    const bool stranger;                                       // none of the clients that are admitted
};

Server::Server(Executor executor, ServerOptions options, Access access, Desk& desk, const Clock& clock)
    : options_(options), access_(std::move(access)), desk_(desk), clock_(clock), left_(executor)
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
    for (const SteadyTime end = clock_.steady() + options_.guest_time; !streams_.empty() && !dismissed_ && clock_.steady() < end;)
        (void)co_await left_.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - clock_.steady()));
    for (net::Stream* const stream : std::list(idle_))         // they leave the list
        stream->close();
    while (!streams_.empty())
        co_await left_.wait();
}

void Server::hurry()
{
    for (net::Stream* const stream : std::list(streams_))
        stream->close();
}

void Server::dismiss()
{
    ending_ = dismissed_ = true;
    for (net::Stream* const stream : std::list(idle_))
        stream->close();
    for (Guest* const guest : std::list(guests_))
        guest->stream.close();
    left_.notify_all();
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

/// One connection.
struct Server::Visit {
    std::optional<Guest> guest;                                // until it has asked something it may ask
    std::optional<Counted> place;
    std::string pending;                                       // behind the request before
    std::unique_ptr<Weight> weight;                            // of the request in hand; none: it is not counted
};

std::chrono::milliseconds Server::patience(const Visit& visit) const
{
    return visit.guest || ending_ ? std::min(options_.timeout, options_.guest_time) : options_.timeout;
}

awaitable<void> Server::last_words(net::Stream& stream, const Visit& visit, Answer answer, bool head)
{
    co_await say(stream, std::move(answer), patience(visit), false, head);
}

/// By its header: none, it may be asked, and who asks is no guest any more.
std::optional<Answer> Server::admit(const Request& request, const net::Stream& stream, Visit& visit)
{
    if (auto refused = access_.refuses_host(request, stream.local()))
        return refused;
    if (auto refused = desk_.refusal(request, stream))
        return refused;
    if (!visit.guest)
        return {};
    if (places_ >= options_.connections)
        return error_answer(503, "too many connections");
    visit.guest.reset();
    visit.place.emplace(places_);
    return {};
}

/// A whole request that may be asked. False: the connection has had its last words.
awaitable<bool> Server::read(net::Stream& stream, Visit& visit, Reader& reader)
{
    bool admitted = false;
    std::vector<char> large;                                   // bodies come in larger pieces
    visit.weight = desk_.weigh();
    for (visit.pending.erase(0, reader.feed(visit.pending));;) {
        if (const auto status = reader.refused()) {
            co_await last_words(stream, visit, error_answer(*status, *status == 400 ? "this is no HTTP request" : "the request is too large"));
            co_return false;
        }
        if (reader.head_done() && !admitted) {
            const Request head = reader.head();
            if (auto refused = admit(head, stream, visit)) {
                co_await last_words(stream, visit, *std::move(refused), head.method == "HEAD");
                co_return false;
            }
            admitted = true;
            stream.expires_after(options_.timeout);
            if (reader.waits_for_leave() && !co_await stream.write(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")))
                co_return false;
        }
        if (visit.weight && !visit.weight->set(reader.held() + visit.pending.capacity() + large.size())) {
            Answer full = error_answer(503, "there is no memory left for this request");
            full.fields.emplace_back("Retry-After", "1");
            co_await last_words(stream, visit, std::move(full));
            co_return false;
        }
        if (reader.whole())
            co_return true;
        if (admitted && large.empty())
            large.resize(body_octets);
        std::array<char, read_octets> small{};
        const std::span<char> room = large.empty() ? std::span<char>(small) : std::span<char>(large);
        std::optional<Entered> idle;
        if (!visit.guest && !reader.begun())
            idle.emplace(idle_, stream);
        const auto got = co_await stream.read_some(room);
        if (!got || *got == 0) {
            if (reader.begun() && !got && clock_.steady() >= stream.deadline())
                co_await last_words(stream, visit, error_answer(408, "the request did not come in time"));
            co_return false;
        }
        visit.pending.append(room.data(), *got);
        visit.pending.erase(0, reader.feed(visit.pending));
    }
}

awaitable<void> Server::converse(net::Stream& stream)
{
    Visit visit;
    visit.guest.emplace(*this, stream, !access_.admits(stream.peer()));
    if (!come_in(*visit.guest))
        co_return;
    if (visit.guest->stranger)
        co_return co_await last_words(stream, visit, error_answer(403, fmt::format("this address is none of {}", access_.words().clients)));
    for (bool go_on = true; go_on && !co_await cancelled();) {
        Reader reader(options_.limits);
        stream.expires_after(patience(visit));                 // of the header, and where nothing is said
        if (!co_await read(stream, visit, reader))
            co_return;
        Request request = reader.take();
        const bool head = request.method == "HEAD", keep_alive = request.keep_alive;
        Answer made = co_await desk_.answer(std::move(request), stream, visit.weight.get());
        visit.weight.reset();
        go_on = keep_alive && !ending_;
        co_await say(stream, std::move(made), options_.timeout, go_on, head);
        go_on = go_on && stream.is_open();
    }
}

}  // namespace posthorn::http
