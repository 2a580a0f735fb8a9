#include "http/server.hpp"

#include "async/run.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <array>

using namespace posthorn;
using namespace posthorn::http;
using namespace std::chrono_literals;

namespace {

constexpr AccessWords words_here{"c", "h", "t", "nothing is told"};

/// Says the size of what it was told; refuses "/no".
struct Counter final : Desk {
    std::optional<Answer> refusal(const Request& request, const net::Stream&) override
    {
        return request.target == "/no" ? std::optional(error_answer(401, "no")) : std::nullopt;
    }
    awaitable<Answer> answer(Request request, const net::Stream&, Weight*) override
    {
        co_return Answer(200, "text/plain", std::to_string(request.body.size()));
    }
    struct Share final : Weight {
        explicit Share(Counter& of) : counter(of) {}
        ~Share() override { counter.held -= mine; }
        bool set(std::size_t octets) override
        {
            if (counter.held - mine + octets > counter.limit)
                return false;
            counter.held = counter.held - mine + octets;
            mine = octets;
            counter.most = std::max(counter.most, counter.held);
            return true;
        }
        Counter& counter;
        std::size_t mine = 0;
    };
    std::unique_ptr<Weight> weigh() override { return std::make_unique<Share>(*this); }
    std::size_t held = 0, most = 0, limit = 1 << 20;
};

struct Door {
    explicit Door(ServerOptions options = {.limits = {.header = 1024, .body = 1 << 20}})
        : server(loop.get_executor(), options, *Access::make(words_here, config::parse_list("192.0.2.0/24"), config::parse_list("a")), desk, clock)
    {
    }
    /// What it says to these pieces, each of which follows a moment after the one before.
    std::string say(std::vector<std::string> pieces) { return posthorn::run(loop, talk(std::move(pieces)), 30s); }
    awaitable<std::string> talk(std::vector<std::string> pieces)
    {
        auto [client, served] = net::memory_pair(loop.get_executor());
        TaskGroup tasks(loop.get_executor());
        tasks.spawn(server.serve(std::move(served)));
        tasks.spawn([](net::Stream* stream, std::vector<std::string>* all) -> awaitable<void> {
            for (const std::string& piece : *all) {
                if (!co_await stream->write(piece))
                    co_return;
                co_await sleep_for(20ms);
            }
        }(client.get(), &pieces));
        client->expires_after(60s);
        std::string heard;
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
    Counter desk;
    Server server;
};

std::string post(const char* target, std::size_t size, const char* more = "")
{
    return "POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " + std::to_string(size) + "\r\n" + more +
           "\r\n";
}

}  // namespace

TEST_CASE("server: a body comes whole, in whatever pieces, and what is refused by its header need not send it")
{
    Door door;
    std::vector<std::string> pieces{post("/", 500'000)};
    for (int i = 0; i < 5; ++i)
        pieces.emplace_back(100'000, 'x');
    CHECK(door.say(pieces).ends_with("\r\n\r\n500000"));
    CHECK(door.desk.most > 500'000);
    CHECK(door.say({post("/no", 500'000)}).starts_with("HTTP/1.1 401 "));
    CHECK(door.say({"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\n"}).starts_with("HTTP/1.1 421 "));
    CHECK(door.say({post("/", (1 << 20) + 1)}).starts_with("HTTP/1.1 413 "));
    CHECK(door.desk.held == 0);
}

TEST_CASE("server: who may ask has the time of a request for its body, a guest little for its header")
{
    Door door({.limits = {.header = 1024, .body = 1 << 20}, .timeout = 10min, .guest_time = 100ms});
    std::vector<std::string> slow{post("/", 10)};
    for (int i = 0; i < 10; ++i)
        slow.emplace_back("x");
    CHECK(door.say(slow).ends_with("\r\n\r\n10"));                     // 200 ms
    CHECK(door.say({"POST / HTTP/1.1\r\nHost: a\r\n"}).starts_with("HTTP/1.1 408 "));
}

TEST_CASE("server: leave to send the body is given where it is asked for, and only to who may ask (RFC 9110 10.1.1)")
{
    Door door;
    CHECK(door.say({post("/", 5, "Expect: 100-continue\r\n"), "hello"}).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "));
    CHECK(door.say({post("/no", 5, "Expect: 100-continue\r\n")}).starts_with("HTTP/1.1 401 "));
    CHECK(door.say({post("/", 5, "Expect: 100-continue\r\n") + "hello"}).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("server: past the memory there is a word with the time to come again, and all is given back")
{
    Door door;
    door.desk.limit = 300'000;
    const std::string heard = door.say({post("/", 500'000), std::string(500'000, 'x')});
    CHECK(heard.starts_with("HTTP/1.1 503 "));
    CHECK(heard.find("Retry-After: 1\r\n") != heard.npos);
    CHECK(door.desk.held == 0);
    CHECK(door.say({post("/", 1000), std::string(1000, 'x')}).starts_with("HTTP/1.1 200 "));
    CHECK(door.desk.held == 0);
}
