#include "admin/server.hpp"
#include "admin/testing.hpp"
#include "async/run.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

using namespace posthorn;
using namespace posthorn::admin;
using namespace std::chrono_literals;

namespace {

struct House {
    explicit House(ServerOptions options = {}, const char* clients = "192.0.2.0/24")
        : server(
              loop.get_executor(), options, *Access::make(access_words, config::parse_list(clients), config::parse_list("localhost")), system,
              [this] { return counted(); }, clock, observe::Log(sink, "postfix/admin"))
    {
    }
    awaitable<Result<process::InstanceCounters>> counted()
    {
        ++counted_times;
        while (hangs)
            co_await sleep_for(5ms);
        co_return process::InstanceCounters{};
    }
    /// What it says to this, until it ends the connection.
    std::string say(std::string request)
    {
        auto [client, served] = net::memory_pair(loop.get_executor());
        return posthorn::run(loop, converse(std::move(client), std::move(served), std::move(request)), 30s);
    }
    awaitable<std::string> converse(std::unique_ptr<net::MemoryStream> client, std::unique_ptr<net::MemoryStream> served, std::string request)
    {
        TaskGroup tasks(loop.get_executor());
        tasks.spawn(server.serve(std::move(served)));
        client->expires_after(60s);
        std::string heard;
        if (co_await client->write(request))
            for (std::array<char, 4096> room{};;) {
                const auto got = co_await client->read_some(room);
                if (!got || *got == 0)
                    break;
                heard.append(room.data(), *got);
            }
        client->close();
        co_await tasks.drained();
        co_return heard;
    }

    asio::io_context loop{1};
    SystemClock clock;
    ToldSystem system;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    int counted_times = 0;
    bool hangs = false;                                                // posthorn-master does not answer
    Server server;
};

std::string get(const char* path, const char* more = "Connection: close\r\n")
{
    return std::string("GET ") + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

const net::Endpoint stranger{net::IpAddress::v4({203, 0, 113, 5}), 40000}, client{net::IpAddress::v4({192, 0, 2, 1}), 40000};

/// Connections that are there together.
struct Crowd {
    explicit Crowd(House& of) : house(of), tasks(of.loop.get_executor()) {}
    net::MemoryStream& enters(const net::Endpoint& from = client)
    {
        auto [outside, served] = net::memory_pair(house.loop.get_executor(), {.first = from});
        tasks.spawn(house.server.serve(std::move(served)));
        outside->expires_after(60s);
        streams.push_back(std::move(outside));
        return *streams.back();
    }
    /// What it is told next.
    std::string hears(net::MemoryStream& stream) { return posthorn::run(house.loop, some_of(stream), 30s); }
    static awaitable<std::string> some_of(net::MemoryStream& stream)
    {
        std::string room(64 * 1024, '\0');
        const auto got = co_await stream.read_some(room);
        room.resize(got ? *got : 0);
        co_return room;
    }
    /// What it is told until its connection ends.
    std::string told(net::MemoryStream& stream) { return posthorn::run(house.loop, all_of(stream), 30s); }
    static awaitable<std::string> all_of(net::MemoryStream& stream)
    {
        std::string heard;
        for (std::array<char, 4096> room{};;) {
            const auto got = co_await stream.read_some(room);
            if (!got || *got == 0)
                co_return heard;
            heard.append(room.data(), *got);
        }
    }
    void says(net::MemoryStream& stream, std::string text) { CHECK(posthorn::run(house.loop, put(stream, std::move(text)), 30s)); }
    static awaitable<bool> put(net::MemoryStream& stream, std::string text)
    {
        const bool done = (co_await stream.write(text)).has_value();
        co_await sleep_for(20ms);                                      // it is read
        co_return done;
    }
    /// Until the server has ended all of them by itself.
    void over() { posthorn::run(house.loop, tasks.drained(), 30s); }
    void end() { posthorn::run(house.loop, leave(), 30s); }
    awaitable<void> leave()
    {
        for (const auto& stream : streams)
            stream->close();
        co_await tasks.drained();
        co_await house.server.finish();
    }

    House& house;
    TaskGroup tasks;
    std::vector<std::unique_ptr<net::MemoryStream>> streams;
};

std::size_t answers(const std::string& heard)
{
    std::size_t count = 0;
    for (auto at = heard.find("HTTP/1.1 "); at != heard.npos; at = heard.find("HTTP/1.1 ", at + 1))
        ++count;
    return count;
}

}  // namespace

TEST_CASE("server: requests one after the other on one connection, also those that came together")
{
    House house;
    const std::string heard = house.say(get("/api", "") + get("/nothing", "") + get("/metrics"));
    CHECK(answers(heard) == 3);
    CHECK(heard.starts_with("HTTP/1.1 200 "));
    CHECK(heard.find("HTTP/1.1 404 ") != heard.npos);
    CHECK(heard.find("posthorn_info{") != heard.npos);
    CHECK(house.counted_times == 1);                                   // the others need no counters
    CHECK(house.server.door().answers().counts() == std::map<observe::Tally<1>::Values, std::uint64_t>{{{"200"}, 2}, {{"404"}, 1}});
    CHECK(house.server.door().connections() == 0);
}

TEST_CASE("server: who may not ask is told so and nothing else, whatever he sends")
{
    House house({}, "203.0.113.0/24");
    CHECK(house.say(get("/metrics")).starts_with("HTTP/1.1 403 "));
    CHECK(house.counted_times == 0);
    House other;
    CHECK(other.say("GET /metrics HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 421 "));
    CHECK(other.counted_times == 0);
}

TEST_CASE("server: a change needs POST and the token, and is logged; a refused one too")
{
    House house;
    house.system.on_queue = [](const handoff::QueueCommand&) {
        handoff::QueueReply reply;
        reply.set_count(1);
        return reply;
    };
    const auto post = [&](const char* field) {
        return house.say(std::string("POST /api/queue/4gDq8v1Yc0z3D/delete HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n") + field + "\r\n");
    };
    CHECK(post("Authorization: Bearer 0123456789abcdef\r\n").starts_with("HTTP/1.1 403 "));
    REQUIRE(house.server.access().set_token("0123456789abcdef"));
    const std::string wrong_method =
        house.say(get("/api/queue/4gDq8v1Yc0z3D/delete", "Authorization: Bearer 0123456789abcdef\r\nConnection: close\r\n"));
    CHECK(wrong_method.starts_with("HTTP/1.1 405 "));
    CHECK(wrong_method.find("Allow: POST\r\n") != wrong_method.npos);
    CHECK(post("").starts_with("HTTP/1.1 401 "));
    CHECK(house.system.asked.empty());
    CHECK(post("Authorization: Bearer 0123456789abcdef\r\n").starts_with("HTTP/1.1 200 "));
    REQUIRE(house.system.asked.size() == 1);
    CHECK(house.sink->lines.back() == "postfix/admin: 4gDq8v1Yc0z3D: removed by client [192.0.2.1]");
    CHECK(house.sink->lines.front().starts_with(
        "postfix/admin: warning: client [192.0.2.1]: /api/queue/4gDq8v1Yc0z3D/delete: refused: there is no token"));
}

TEST_CASE("server: half a request, a large one and noise end their connection with a reason, and harm nobody")
{
    House house({.door = {.limits = {.header = 1024, .body = 100}, .connections = 50, .timeout = 300ms}});
    CHECK(house.say("GET / HTTP/1.1\r\nHost: loc").starts_with("HTTP/1.1 408 "));
    CHECK(house.say("").empty());                                      // silence: the end, and nothing to say
    std::string lines = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 10'000; ++i)
        lines += "X-Field: x\r\n";
    CHECK(house.say(lines).starts_with("HTTP/1.1 431 "));
    CHECK(house.say("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + std::string(50'000, 'x')).starts_with("HTTP/1.1 413 "));
    CHECK(house.say("EHLO there\r\nQUIT\r\n\r\n").starts_with("HTTP/1.1 400 "));
    CHECK(house.say(get("/a%00b")).starts_with("HTTP/1.1 400 "));
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 200 "));
    CHECK(house.server.door().connections() == 0);
}

TEST_CASE("server: past the limit of connections there is a word, and room again when one ends")
{
    House house({.door = {.limits = {}, .connections = 0, .timeout = 5s}});
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 503 "));
    House one({.door = {.limits = {}, .connections = 1, .timeout = 5s}});
    CHECK(one.say(get("/api")).starts_with("HTTP/1.1 200 "));
    CHECK(one.say(get("/api")).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("server: who connects and says nothing, or is not let in, takes no place from others and is gone after two seconds")
{
    House house({.door = {.limits = {}, .connections = 2, .timeout = 60s}});
    Crowd crowd(house);
    for (int i = 0; i < 50; ++i)
        crowd.enters(i % 2 == 0 ? client : stranger);
    const auto began = std::chrono::steady_clock::now();
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 200 "));
    CHECK(house.server.door().connections() <= http::Server::guests_at_once);
    auto& half = crowd.enters();
    crowd.says(half, "GET /api HT");
    // Strangers come and go; who may ask keeps his time.
    for (int i = 0; i < 50; ++i)
        crowd.enters(stranger);
    CHECK(house.server.door().connections() <= http::Server::guests_at_once);
    CHECK(crowd.told(half).starts_with("HTTP/1.1 408 "));
    crowd.over();
    CHECK(house.server.door().connections() == 0);
    CHECK(std::chrono::steady_clock::now() - began < 20s);
    crowd.end();
}

TEST_CASE("server: a stranger that keeps talking, and a wrong token or Host, have no place either")
{
    House house({.door = {.limits = {}, .connections = 1, .timeout = 60s}});
    REQUIRE(house.server.access().set_token("0123456789abcdef"));
    Crowd crowd(house);
    for (int i = 0; i < 5; ++i) {
        crowd.says(crowd.enters(stranger), "x");
        crowd.says(crowd.enters(), "GET /api HTTP/1.1\r\nHost: evil.test\r\n\r\n");
        crowd.says(crowd.enters(), "POST /api/flush HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n");
    }
    CHECK(house.server.door().connections() == 15);
    auto& welcome = crowd.enters();
    crowd.says(welcome, get("/api", ""));
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 503 "));        // its place is taken, as long as it likes
    welcome.close();
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 200 "));
    const auto began = std::chrono::steady_clock::now();
    crowd.over();
    CHECK(std::chrono::steady_clock::now() - began < 20s);
    CHECK(house.server.door().connections() == 0);
    crowd.end();
}

TEST_CASE("server: a question has its time, with that for its turn; then there is an error, and nothing of it stays behind")
{
    ServerOptions options;
    options.question = 300ms;
    House house(options);
    std::atomic<bool> stuck = true;
    house.system.on_queue = [&](const handoff::QueueCommand&) {
        while (stuck)
            std::this_thread::sleep_for(5ms);
        handoff::QueueReply reply;
        reply.set_count(1);
        return reply;
    };
    const std::string change = "POST /api/queue/4gDq8v1Yc0z3D/delete HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n"
                               "Connection: close\r\n\r\n";
    REQUIRE(house.server.access().set_token("0123456789abcdef"));
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 3; ++i) {                                      // two helper threads, and one that waits for its turn
        const std::string heard = house.say(change);
        CHECK(heard.starts_with("HTTP/1.1 504 "));
        CHECK(heard.find("there was no answer within 0.3 s") != heard.npos);
    }
    CHECK(std::chrono::steady_clock::now() - began < 20s);
    CHECK(house.server.door().connections() == 0);
    CHECK(house.sink->lines.empty());
    stuck = false;
    posthorn::run(house.loop, house.server.finish(), 30s);
    CHECK(house.say(change).starts_with("HTTP/1.1 200 "));
    // The third was told that nothing came of it, and nothing does.
    CHECK(house.system.asked.size() == 3);
    REQUIRE(house.sink->lines.size() == 3);
    CHECK(house.sink->lines.front() == "postfix/admin: 4gDq8v1Yc0z3D: removed by client [192.0.2.1], who was told that there was no answer in time");
    CHECK(house.sink->lines.back() == "postfix/admin: 4gDq8v1Yc0z3D: removed by client [192.0.2.1]");
    house.hangs = true;
    CHECK(house.say(get("/metrics")).starts_with("HTTP/1.1 504 "));
    house.hangs = false;
    CHECK(house.say(get("/metrics")).starts_with("HTTP/1.1 200 "));
    posthorn::run(house.loop, house.server.finish(), 30s);
}

TEST_CASE("server: who is there when another process takes over is answered, and then the connection ends")
{
    House house({.door = {.limits = {}, .connections = 10, .timeout = 60s, .guest_time = 25s}});
    Crowd crowd(house);
    auto& idle = crowd.enters();
    crowd.says(idle, get("/api", ""));
    auto& asks = crowd.enters();
    house.hangs = true;
    crowd.says(asks, get("/metrics", ""));
    auto& comes = crowd.enters();                                      // it has connected, and is about to ask
    auto& again = crowd.enters();
    crowd.says(again, get("/api", ""));
    CHECK(answers(crowd.hears(again)) == 1);                           // the first, however long it takes, is of the time before
    bool over = false;
    crowd.tasks.spawn([](House* of, bool* done) -> awaitable<void> {
        co_await of->server.finish();
        *done = true;
    }(&house, &over));
    crowd.says(comes, get("/api", ""));
    crowd.says(again, get("/nothing", ""));
    house.hangs = false;
    for (auto& [stream, status] : {std::pair{&asks, "HTTP/1.1 200 "}, {&comes, "HTTP/1.1 200 "}}) {
        const std::string heard = crowd.told(*stream);
        CHECK(heard.starts_with(status));
        CHECK(heard.find("Connection: close\r\n") != heard.npos);
    }
    const std::string last = crowd.told(again);
    CHECK(answers(last) == 1);
    CHECK(last.starts_with("HTTP/1.1 404 "));
    CHECK_FALSE(over);
    CHECK(answers(crowd.told(idle)) == 1);
    crowd.end();
    CHECK(over);
    CHECK(house.server.door().connections() == 0);
}
