#include "services/tls_files.hpp"

#include "tls/testing.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include <sys/mman.h>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;

namespace {

Fd file_of(const std::string& text)
{
    Fd file(::memfd_create("pem", MFD_CLOEXEC));
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return file;
}

}  // namespace

TEST_CASE("tls files: a renewed certificate is served without a reload once its key has come too; half of a pair changes nothing, and says so")
{
    asio::io_context loop;
    const auto sink = std::make_shared<observe::MemorySink>();
    const tls::Pem old = tls::leaf("old.test"), renewed = tls::leaf("new.test");
    const auto files = std::make_shared<TableFiles>();
    files->changed("/cert", file_of(old.certificate));
    files->changed("/key", file_of(old.key));
    tls::Options options;
    options.certificates = {{"/cert", "/key"}};
    const auto server = tls::Context::server(options, tls::files({{"/cert", old.certificate}, {"/key", old.key}})).value();
    TaskGroup tasks(loop.get_executor());
    TlsFiles follower(loop.get_executor(), server, files, observe::Log(sink, "postfix/smtpd"), 10ms);
    tasks.spawn(follower.follow());
    const auto served = [&] { return tls::meet(loop, tls::client_context(), server).client->facts.peer_cn; };
    const auto logged = [&](std::string_view text) {
        return std::ranges::any_of(sink->lines, [&](const std::string& line) { return line.find(text) != line.npos; });
    };
    const auto wait_for = [&](std::string_view text) {
        for (int i = 0; i < 1000 && !logged(text); ++i) {
            loop.restart();
            loop.run_for(10ms);
        }
        return logged(text);
    };
    files->changed("/other", file_of("x"));
    files->changed("/cert", file_of(renewed.certificate));
    CHECK(wait_for("warning: TLS: cannot load certificate/key data from /cert: "));
    CHECK(served() == "old.test");
    files->changed("/key", file_of(renewed.key));
    CHECK(wait_for("TLS: keys and certificates were read again: /cert, /key"));
    CHECK(served() == "new.test");
    run(loop, tasks.close());
}

TEST_CASE("tls files: a server that started without its key has TLS once the key has come, by the ticket keys it was given meanwhile")
{
    asio::io_context loop;
    const auto sink = std::make_shared<observe::MemorySink>();
    const auto files = std::make_shared<TableFiles>();
    tls::Options options;
    options.chain_files = {"/nonexistent/chain"};
    options.ask_certificate = true;
    const auto server = tls::Context::without_files(options);
    CHECK_FALSE(server->has_certificate());
    CHECK_FALSE(tls::meet(loop, tls::client_context(), server).server);
    TaskGroup tasks(loop.get_executor());
    TlsFiles follower(loop.get_executor(), server, files, observe::Log(sink, "postfix/smtpd"), 1ms);
    tasks.spawn(follower.follow());
    const auto lines = [&](std::size_t count) {
        for (int i = 0; i < 1000 && sink->lines.size() < count; ++i) {
            loop.restart();
            loop.run_for(10ms);
        }
        return sink->lines.size() == count;
    };
    files->changed("/nonexistent/chain", file_of("half of it"));
    REQUIRE(lines(1));
    CHECK(sink->lines[0].ends_with("warning: TLS: cannot load certificate/key data from /nonexistent/chain: no private key; it stays disabled"));
    CHECK_FALSE(server->has_certificate());
    const auto keys = tls::TicketKeys::random();
    server->set_ticket_keys(keys);
    files->changed("/nonexistent/chain", file_of(tls::leaf("mx.test").chain()));
    REQUIRE(lines(2));
    CHECK(server->has_certificate());

    tls::Options asks, own;
    asks.ask_certificate = true;
    const auto other = tls::server_context(tls::leaf("mx.test"), asks);
    other->set_ticket_keys(keys);
    own.chain_files = {"own"};
    const auto client = tls::Context::client(own, tls::files({{"own", tls::leaf("client.test").chain()}})).value();
    HandClock clock;
    tls::ConnectOptions connecting("mx.test");
    connecting.sessions = std::make_shared<tls::MemorySessionStore>(clock);
    connecting.session_key = "smtp:192.0.2.2:25";
    for (const auto& [context, resumed] : {std::pair(server, false), std::pair(other, true)}) {
        auto met = tls::meet(loop, client, context, connecting);
        REQUIRE(met.server);
        CHECK(met.server->facts.certificate_fingerprint.size() == 95);
        CHECK(met.server->facts.resumed == resumed);
        run(loop, met.server->stream->write(std::string_view("220\r\n"))).value();
        char room[100];
        CHECK(run(loop, met.client->stream->read_some(room)).value() == 5);
    }
    run(loop, tasks.close());
}
