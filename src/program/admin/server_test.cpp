#include "admin/server.hpp"
#include "admin/testing.hpp"
#include "async/run.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <array>

using namespace posthorn;
using namespace posthorn::admin;
using namespace std::chrono_literals;

namespace {

struct House {
    explicit House(ServerOptions options = {}, const char* clients = "192.0.2.0/24")
        : server(
              loop.get_executor(), options, *Access::make(config::parse_list(clients), config::parse_list("localhost")), system,
              [this] { return counted(); }, clock, observe::Log(sink, "postfix/admin"))
    {
    }
    awaitable<Result<process::InstanceCounters>> counted()
    {
        ++counted_times;
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
        client->expires_after(20s);
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
    Server server;
};

std::string get(const char* path, const char* more = "Connection: close\r\n")
{
    return std::string("GET ") + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

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
    CHECK(house.server.answers().counts() == std::map<observe::Tally<1>::Values, std::uint64_t>{{{"200"}, 2}, {{"404"}, 1}});
    CHECK(house.server.connections() == 0);
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
    House house({.limits = {.header = 1024, .body = 100}, .connections = 50, .timeout = 300ms});
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
    CHECK(house.server.connections() == 0);
}

TEST_CASE("server: past the limit of connections there is a word, and room again when one ends")
{
    House house({.limits = {}, .connections = 0, .timeout = 5s});
    CHECK(house.say(get("/api")).starts_with("HTTP/1.1 503 "));
    House one({.limits = {}, .connections = 1, .timeout = 5s});
    CHECK(one.say(get("/api")).starts_with("HTTP/1.1 200 "));
    CHECK(one.say(get("/api")).starts_with("HTTP/1.1 200 "));
}
