#include "tls/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tls;
using namespace std::chrono_literals;

TEST_CASE("tls: a session is resumed by another process that has the ticket keys, also those before; without them a full handshake follows")
{
    for (const char* protocols : {"TLSv1.2", "TLSv1.3"}) {
        asio::io_context loop;
        HandClock clock;
        const Pem pem = leaf("mx.test");
        Options options;
        options.protocols = protocols;
        const auto keys = TicketKeys::from_octets(TicketKeys::random().octets()).value();
        const auto first = server_context(pem), second = server_context(pem), stranger = server_context(pem);
        first->set_ticket_keys(keys);
        second->set_ticket_keys(TicketKeys::from_octets(keys.rotated().octets()).value());
        ConnectOptions connecting("mx.test");
        auto store = std::make_shared<MemorySessionStore>(clock);
        connecting.sessions = store;
        connecting.session_key = "smtp:192.0.2.2:25";
        const auto talk = [&](const std::shared_ptr<Context>& server) {
            auto met = meet(loop, client_context(options), server, connecting);
            REQUIRE(met.client);
            run(loop, met.server->stream->write(std::string_view("220\r\n"))).value();
            CHECK(read_text(loop, *met.client->stream) == "220\r\n");                  // TLS 1.3: the ticket comes with it
            CHECK(met.client->facts.resumed == met.server->facts.resumed);
            return met.client->facts.resumed;
        };
        CHECK_FALSE(talk(first));
        CHECK(store->size() == 1);
        CHECK(talk(first));
        CHECK(talk(second));                                          // rotated: sealed by the keys before
        CHECK(talk(second));
        CHECK_FALSE(talk(stranger));
        clock.advance(3601s);
        CHECK_FALSE(talk(stranger));                                  // its own ticket, but too old for the store
    }
    CHECK(TicketKeys::from_octets("short").error().what() == "TLS ticket keys of 5 octets");
}

TEST_CASE("tls: a session brings the client's certificate along only where the same authorities judge it")
{
    for (const char* protocols : {"TLSv1.2", "TLSv1.3"}) {
        asio::io_context loop;
        HandClock clock;
        const Pem pem = leaf("mx.test"), own = leaf("client.test");
        Options mine;
        mine.protocols = protocols;
        mine.certificates = {{"cert", "key"}};
        const auto client = Context::client(mine, files({{"cert", own.certificate}, {"key", own.key}})).value();
        const auto keys = TicketKeys::random();
        const auto server = [&](const char* authorities, bool asks) {
            Options options;
            options.ask_certificate = asks;
            options.ca_file = authorities;
            auto made = server_context(pem, options);
            made->set_ticket_keys(keys);
            return made;
        };
        ConnectOptions connecting("mx.test");
        connecting.sessions = std::make_shared<MemorySessionStore>(clock);
        connecting.session_key = "smtp:192.0.2.2:25";
        const auto talk = [&](const std::shared_ptr<Context>& with) {
            auto met = meet(loop, client, with, connecting);
            REQUIRE(met.client);
            run(loop, met.server->stream->write(std::string_view("220\r\n"))).value();
            CHECK(read_text(loop, *met.client->stream) == "220\r\n");
            return std::pair(met.server->facts.trust, met.server->facts.resumed);
        };
        CHECK(talk(server("ca", true)) == std::pair(Trust::trusted, false));
        CHECK(talk(server("ca", true)) == std::pair(Trust::trusted, true));
        CHECK(talk(server("", true)) == std::pair(Trust::untrusted, false));       // knows no authority
        CHECK(talk(server("ca", false)) == std::pair(Trust::absent, false));       // asks for none
        CHECK(talk(server("", false)) == std::pair(Trust::absent, true));          // neither does this one
        CHECK(talk(server("ca", true)) == std::pair(Trust::trusted, false));
    }
}

TEST_CASE("tls: a session whose client's certificate has expired is not resumed")
{
    asio::io_context loop;
    HandClock clock;
    Options asking;
    asking.ask_certificate = true;
    asking.ca_file = "ca";
    const auto server = server_context(leaf("mx.test"), asking);
    ConnectOptions connecting("mx.test");
    connecting.sessions = std::make_shared<MemorySessionStore>(clock);
    for (const std::string protocols : {"TLSv1.2", "TLSv1.3"})
        for (const bool expired : {false, true}) {
            CAPTURE(protocols);
            const Pem own = leaf("client.test", KeyKind::p256, expired ? -60s : 60s);
            Options mine;
            mine.protocols = protocols;
            mine.certificates = {{"cert", "key"}};
            const auto client = Context::client(mine, files({{"cert", own.certificate}, {"key", own.key}})).value();
            connecting.session_key = protocols + (expired ? " expired" : "");
            for (const bool again : {false, true}) {
                auto met = meet(loop, client, server, connecting);
                REQUIRE(met.client);
                run(loop, met.server->stream->write(std::string_view("220\r\n"))).value();
                CHECK(read_text(loop, *met.client->stream) == "220\r\n");
                CHECK(met.server->facts.trust == (expired ? Trust::untrusted : Trust::trusted));
                CHECK(met.server->facts.resumed == (again && !expired));
            }
        }
}
