#include "tls/core.hpp"
#include "tls/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tls;
using namespace std::chrono_literals;

namespace {

/// Two names of its own, one whose table is away, one whose chain is none.
awaitable<Result<std::optional<std::string>>> chain_for(std::string name, int* asked)
{
    ++*asked;
    if (name == "away.test")
        co_return Error{"table away", "4.3.0"};
    if (name == "broken.test")
        co_return std::string("no PEM");
    if (name == "one.test" || name == "two.test")
        co_return leaf(name, name == "one.test" ? KeyKind::rsa2048 : KeyKind::p256).chain();
    co_return std::nullopt;
}

awaitable<void> accept_by_name(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, int* asked,
                               std::optional<Result<Secured>>* outcome)
{
    FindChain find = [asked](std::string name) { return chain_for(std::move(name), asked); };
    outcome->emplace(co_await accept(std::move(context), std::move(lower), {}, {}, std::move(find)));
}

struct Talk {
    Talk(std::shared_ptr<Context> client_side, std::shared_ptr<Context> server_side, ConnectOptions wish)
    {
        auto [a, b] = net::memory_pair(loop.get_executor());
        a->expires_after(10s);
        b->expires_after(10s);
        TaskGroup group(loop.get_executor());
        std::optional<Result<Secured>> accepted;
        group.spawn(accept_by_name(std::move(server_side), std::move(b), &asked, &accepted));
        client.emplace(run(loop, connect(std::move(client_side), std::move(a), std::move(wish))));
        run(loop, group.drained());
        server = std::move(accepted);
        if (*client && *server) {
            run(loop, (*server)->stream->write(std::string_view("x"))).value();
            CHECK(read_text(loop, *(*client)->stream) == "x");        // and the ticket before it
        }
    }
    const Facts& facts() const { return (*client)->facts; }

    asio::io_context loop;
    int asked = 0;
    std::optional<Result<Secured>> client, server;
};

}  // namespace

TEST_CASE("a server with several names shows each client the certificate of the name it asks for, and of no other name")
{
    const auto own = server_context(leaf("default.test", KeyKind::p256));
    const SystemClock clock;
    for (const char* const protocols : {"TLSv1.3", "TLSv1.2"}) {
        CAPTURE(protocols);
        Options options;
        options.protocols = protocols;
        const auto side = client_context(options, true);
        const Talk one(side, own, ConnectOptions("one.test"));
        REQUIRE(*one.client);
        CHECK(one.facts().peer_cn == "one.test");
        CHECK(one.facts().trust == Trust::trusted);
        CHECK((*one.server)->facts.sni == "one.test");
        CHECK(summary((*one.server)->facts, "client[192.0.2.1]")
                  .starts_with("Anonymous TLS connection established from client[192.0.2.1] to one.test: TLSv1."));
        const Talk other(side, own, ConnectOptions("other.test"));
        CHECK(other.facts().peer_cn == "default.test");
        CHECK((*other.server)->facts.sni.empty());
        CHECK(other.asked == 1);
        const Talk nameless(side, own, {});
        CHECK(nameless.facts().peer_cn == "default.test");
        CHECK(nameless.asked == 0);

        // A table that cannot answer, and a chain that cannot be used: no certificate of somebody else.
        const Talk refused(side, own, ConnectOptions("away.test"));
        CHECK(!*refused.client);
        CHECK(refused.server->error().evidence() == "table away");
        const Talk broken(side, own, ConnectOptions("broken.test"));
        CHECK(!*broken.client);
        CHECK(broken.server->error().evidence().find("SNI data for broken.test: no private key") != std::string::npos);

        // What a client keeps of one name is not good for another.
        ConnectOptions keeps("one.test");
        keeps.sessions = std::make_shared<MemorySessionStore>(clock);
        keeps.session_key = "all the same";
        CHECK(!Talk(side, own, keeps).facts().resumed);
        CHECK(Talk(side, own, keeps).facts().resumed);
        keeps.sni = "two.test";
        const Talk two(side, own, keeps);
        CHECK(!two.facts().resumed);
        CHECK(two.facts().peer_cn == "two.test");
        keeps.sni = "other.test";
        CHECK(!Talk(side, own, keeps).facts().resumed);
    }
}

TEST_CASE("the extension server_name: one name of a host, whole, or none")
{
    using namespace std::string_view_literals;
    const auto name = [](std::string_view octets) { return server_name_in({reinterpret_cast<const unsigned char*>(octets.data()), octets.size()}); };
    CHECK(name("\0\6\0\0\3abc"sv) == "abc");
    CHECK(name("\0\x0a\1\0\1x\0\0\3abc"sv) == "abc");             // another kind of name before it
    for (const std::string_view wrong : {""sv, "\0"sv, "\0\0"sv, "\0\6\0\0\3ab"sv, "\0\5\0\0\3ab"sv, "\0\3\0\0\0"sv, "\0\7\0\0\3abc"sv})
        CHECK(name(wrong).empty());
}
