// What a delivery is said to wait for while it is under way (Agent::progress).
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// As it is told of this delivery after a while: by then it waits for what the peer does not do.
awaitable<void> ask_later(World* world, std::uint64_t attempt, std::string* told)
{
    co_await sleep_for(100ms);
    if (const auto now = world->agent->progress(attempt)) {
        *told = now->waits_for;
        const auto waited = world->clock.steady() - now->since;
        CHECK(waited > 20ms);                       // since it began to, not since it is asked
        CHECK(waited < 60s);
    }
}

std::string told_amid(World& world, handoff::DeliveryRequest one)
{
    std::string told = "nothing";
    const std::uint64_t attempt = one.attempt();
    asio::co_spawn(world.loop, ask_later(&world, attempt, &told), asio::detached);
    world.run(std::move(one));
    CHECK(!world.agent->progress(attempt).has_value());
    return told;
}

class SlowLookup final : public Lookup {
public:
    awaitable<Result<std::optional<std::string>>> find(std::string) override
    {
        co_await sleep_for(400ms);
        co_return std::nullopt;
    }
};

}  // namespace

TEST_CASE("progress: of a session, what is waited for of its peer, in the words of the log")
{
    for (const auto& [script, expected] : {
             std::pair{"silent-greeting", "receiving the initial server greeting"},
             std::pair{"like data-only\non EHLO*\n  silence\n", "performing the EHLO handshake"},
             std::pair{"like data-only\non RCPT*\n  flush\n  silence\n", "sending RCPT TO"},
             std::pair{"like data-only\non DATA\n  S 354 go\n  content\n  silence\n", "sending end of data -- message may be sent more than once"},
         }) {
        CAPTURE(expected);
        World world(script);
        auto& limits = world.options.timeouts;
        limits.helo = limits.rcpt = limits.data_done = seconds(1);
        CHECK(told_amid(world, mail()) == "192.0.2.2[192.0.2.2]:25, " + std::string(expected));
    }
}

TEST_CASE("progress: before a session, the table, the name or the connection that it waits for")
{
    {
        World world("data-only");
        world.names.mx_of["example.test"] = {{10, "mx.example.test"}};
        world.names.addresses_of["mx.example.test"] = {"192.0.2.2"};
        world.names.takes = 400ms;
        CHECK(told_amid(world, request({"user@example.test"}, "x\r\n", "example.test")) == "the DNS: the servers of example.test");
    }
    {
        World world("data-only");
        world.connect_takes = 400ms;
        CHECK(told_amid(world, mail()) == "a connection to 192.0.2.2[192.0.2.2]:25");
    }
    {
        World world("data-only");
        SlowLookup slow;
        world.tls_policy = &slow;
        CHECK(told_amid(world, mail()) == "what TLS has to be with [192.0.2.2]: smtp_tls_policy_maps, the domain's MTA-STS policy");
    }
}

TEST_CASE("progress: who rides behind another mail is told so; who was given beyond the sessions waits for one of them")
{
    World world("like data-only\non RCPT TO:<slow@example.test>*\n  silence\n");
    world.options.timeouts.rcpt = seconds(1);
    auto slow = request({"slow@example.test"}), second = request({"user@example.test"});
    second.set_attempt(8);
    slow.set_connections(1);
    second.set_connections(1);
    std::string told;
    asio::co_spawn(world.loop, ask_later(&world, 8, &told), asio::detached);
    std::vector<handoff::DeliveryRequest> both;
    both.push_back(std::move(slow));
    both.push_back(std::move(second));
    world.run(std::move(both));
    CHECK(told == "a session with its site: all that may be open are at work");
}
