// The same on TCP loopback, with content from files, and full buffers in both directions.
#include "peers/book.hpp"
#include "send/content.hpp"
#include "send/world_test.hpp"

#include "net/listener.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fcntl.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

/// An open file with this content, already without a name.
Fd file_of(const std::string& octets)
{
    char name[] = "/tmp/posthorn-send-XXXXXX";
    Fd file(::mkstemp(name));
    ::unlink(name);
    for (std::size_t at = 0; at < octets.size();) {
        const ssize_t put = ::write(file.get(), octets.data() + at, octets.size() - at);
        REQUIRE(put > 0);
        at += static_cast<std::size_t>(put);
    }
    return file;
}

struct Run {
    handoff::Verdicts verdicts;
    bool over = false;
};

awaitable<void> deliver(Agent* agent, net::Listener* listener, handoff::DeliveryRequest what, Fd content, Run* run)
{
    run->verdicts = co_await agent->deliver(std::move(what), std::move(content));
    co_await agent->drain();
    co_await listener->close();
    run->over = true;
}

Run over_tcp(sim::Peer& peer, handoff::DeliveryRequest what, Fd content = {}, peers::Peers* knowledge = nullptr)
{
    asio::io_context loop(1);
    SystemClock clock;
    TableNames names;
    auto log = std::make_shared<observe::MemorySink>();
    auto listening = net::listen({net::IpAddress::loopback(), 0});
    REQUIRE(listening.has_value());
    net::Listener listener(loop.get_executor(), *std::move(listening),
                           [&](std::unique_ptr<net::Stream> stream) { return peer.play(std::move(stream)); });
    listener.start();
    what.mutable_route()->set_nexthop("[127.0.0.1]:" + std::to_string(listener.endpoint().port));
    Surroundings around(loop.get_executor(), clock, observe::Log(log, "postfix/smtp"), names);
    around.peers = knowledge;
    Agent agent({}, std::move(around));
    Run run;
    asio::co_spawn(loop, deliver(&agent, &listener, std::move(what), std::move(content), &run), [](std::exception_ptr failure) {
        if (failure)
            std::rethrow_exception(failure);
    });
    loop.run();
    REQUIRE(run.over);
    return run;
}

std::string lines(std::size_t octets)
{
    std::string text = "Subject: large\r\n\r\n";
    while (text.size() < octets)
        text += ".line with a dot in front, " + std::to_string(text.size()) + "\r\n";
    return text;
}

}  // namespace

TEST_CASE("tcp: content from a file arrives octet for octet, by DATA and by BDAT, empty, small and larger than every buffer")
{
    for (const char* name : {"data-only", "bdat"})
        for (const std::size_t octets : {std::size_t{0}, std::size_t{5000}, std::size_t{3} << 20}) {
            const std::string text = octets == 0 ? std::string() : lines(octets);
            sim::Peer peer(sim::peer_text(name));
            const Run run = over_tcp(peer, request({"user@example.test"}, ""), file_of(text));
            CHECK_MESSAGE(run.verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, run.verdicts.verdicts(0).text());
            REQUIRE(peer.contents().size() == 1);
            CHECK(peer.contents().front() == text);
        }
}

TEST_CASE("tcp: of a large file a trusted peer gets the header first, the rest behind the recipients' answers, and all of it once")
{
    SystemClock clock;
    auto rules = std::make_shared<peers::Rules>();
    REQUIRE(rules->add("/./ bdat-first\n", "rules"));
    std::string endless;                    // a header that ends in no buffer
    while (endless.size() < 200'000)
        endless += "X-More: " + std::string(90, 'x') + "\r\n";
    for (const std::string& text : {lines(200'000), endless}) {
        peers::Book book(clock, {}, rules);
        sim::Peer peer(sim::peer_text("bdat"));
        const Run run = over_tcp(peer, request({"user@example.test"}, ""), file_of(text), &book);
        CHECK_MESSAGE(run.verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, run.verdicts.verdicts(0).text());
        REQUIRE(peer.contents().size() == 2);
        CHECK(peer.contents()[0].size() <= 16384);
        CHECK(peer.contents()[0] + peer.contents()[1] == text);
    }
}

TEST_CASE("tcp: a thousand recipients go in one flight, their answers are read while it is written")
{
    std::vector<std::string> recipients;
    for (int i = 0; i < 1000; ++i)
        recipients.push_back(std::string(100, 'u') + std::to_string(i) + "@example.test");
    sim::Peer peer(sim::peer_text("data-only"));
    const Run run = over_tcp(peer, request(recipients));
    REQUIRE(run.verdicts.verdicts_size() == 1000);
    for (const auto& verdict : run.verdicts.verdicts())
        CHECK(verdict.outcome() == handoff::OUTCOME_DELIVERED);
}

TEST_CASE("memory: a peer that answers at length before it reads on cannot deadlock the client")
{
    // Every reply is longer than what the stream holds in one direction, and so is the group of commands.
    std::string reply;
    for (int i = 0; i < 20; ++i)
        reply += " S 250-" + std::string(60, 'r') + "\n";
    World world("S 220 p\non EHLO *\n S 250-p\n S 250 PIPELINING\non MAIL*\n" + reply + " S 250 ok\n flush\non RCPT*\n" + reply +
                " S 250 ok\n flush\non DATA\n S 354 go\n content\n S 250 taken\non RSET\n S 250 ok\non QUIT\n S 221 bye\n close");
    world.memory.capacity = 300;
    std::vector<std::string> recipients;
    for (int i = 0; i < 40; ++i)
        recipients.push_back("recipient" + std::to_string(i) + "@example.test");
    const auto verdicts = world.run(request(recipients));
    for (const auto& verdict : verdicts.verdicts())
        CHECK_MESSAGE(verdict.outcome() == handoff::OUTCOME_DELIVERED, verdict.text());
}

TEST_CASE("content: a file that became shorter says so, and does not end early in silence")
{
    const std::string text = lines(1 << 20);
    Fd file = file_of(text);
    const Fd other(::dup(file.get()));
    Content content = *Content::of(std::move(file));
    REQUIRE(::ftruncate(other.get(), 300000) == 0);
    char room[100];
    CHECK(content.size() == text.size());
    CHECK(*content.read(299990, room) == 10);
    CHECK(*content.read(300000, room) == 0);
    CHECK(content.to_7bit().error().what() == "message file is shorter than its size");
}
