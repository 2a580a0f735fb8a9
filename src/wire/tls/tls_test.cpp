#include "base/strings.hpp"
#include "tls/core.hpp"
#include "tls/testing.hpp"

#include <doctest/doctest.h>
#include <malloc.h>

using namespace posthorn;
using namespace posthorn::tls;
using namespace std::chrono_literals;

namespace {

awaitable<void> write_big(net::Stream& stream, std::string text) { (void)co_await stream.write(text); }

awaitable<Result<std::string>> read_exactly(net::Stream& stream, std::size_t size)
{
    std::string all;
    char room[30000];
    while (all.size() < size) {
        CO_TRY(const std::size_t got, co_await stream.read_some(room));
        if (got == 0)
            break;
        all.append(room, got);
    }
    co_return all;
}

}  // namespace

TEST_CASE("tls: a server's greeting comes with its first flight in TLS 1.3, before the client has finished, and behind the handshake in TLS 1.2")
{
    for (const char* protocols : {"TLSv1.3", "TLSv1.2"}) {
        CAPTURE(protocols);
        asio::io_context loop;
        Options options;
        options.protocols = protocols;
        auto [a, b] = net::memory_pair(loop.get_executor());
        auto* const server_end = b.get();
        a->expires_after(10s);
        b->expires_after(10s);
        const std::size_t before = server_end->segments_written();
        TaskGroup group(loop.get_executor());
        std::optional<Result<Secured>> accepted;
        group.spawn([](auto context, auto lower, auto* outcome) -> awaitable<void> {
            outcome->emplace(co_await accept(std::move(context), std::move(lower), {}, "220 mx.test ESMTP\r\n"));
        }(server_context(leaf("mx.test")), std::unique_ptr<net::Stream>(std::move(b)), &accepted));
        auto connected = run(loop, connect(client_context(options), std::move(a), ConnectOptions("mx.test")));
        REQUIRE(connected);
        // TLS 1.2: hello to done, then Finished with the ticket and the greeting.
        CHECK(server_end->segments_written() - before == (std::string_view(protocols) == "TLSv1.3" ? 1 : 2));
        CHECK(accepted.has_value() == (std::string_view(protocols) == "TLSv1.2"));
        char room[100];
        const net::Io got = connected->stream->try_read(room);        // it is there: nothing was waited for
        REQUIRE(got.state == net::Io::State::done);
        CHECK(std::string_view(room, got.octets) == "220 mx.test ESMTP\r\n");
        run(loop, group.drained());
        REQUIRE(*accepted);
        run(loop, connected->stream->write(std::string_view("EHLO client\r\n"))).value();
        CHECK(read_text(loop, *(*accepted)->stream) == "EHLO client\r\n");
        run(loop, (*accepted)->stream->write(std::string_view("250 mx.test\r\n"))).value();
        CHECK(read_text(loop, *connected->stream) == "250 mx.test\r\n");
    }
}

TEST_CASE("tls: both protocols and every kind of key carry text both ways, and the log line is Postfix's to the letter")
{
    struct Expected {
        KeyKind kind;
        const char* protocols;
        const char* line;
    };
    for (const auto& [kind, protocols, line] :
         {Expected{KeyKind::rsa2048, ">=TLSv1.2",
                   "Untrusted TLS connection established to mx.test[192.0.2.2]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
                   "(256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"},
          Expected{KeyKind::p256, "TLSv1.3",
                   "Untrusted TLS connection established to mx.test[192.0.2.2]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
                   "(256/256 bits) key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256"},
          Expected{KeyKind::ed25519, "TLSv1.3",
                   "Untrusted TLS connection established to mx.test[192.0.2.2]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
                   "(256/256 bits) key-exchange X25519 server-signature Ed25519"},
          Expected{KeyKind::rsa2048, "!TLSv1.3",
                   "Untrusted TLS connection established to mx.test[192.0.2.2]:25: TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 "
                   "(256/256 bits)"}}) {
        asio::io_context loop;
        Options options;
        options.protocols = protocols;
        auto [client, server, a, b] = meet(loop, client_context(options), server_context(leaf("mx.test", kind)), ConnectOptions("mx.test"));
        REQUIRE(client);
        REQUIRE(server);
        CHECK(summary(client->facts, "mx.test[192.0.2.2]:25") == line);
        CHECK(client->facts.peer_cn == "mx.test");
        CHECK(client->facts.issuer_cn == "Test CA");
        CHECK(client->facts.why == "unable to get local issuer certificate");
        CHECK(client->facts.certificate_fingerprint.size() == 95);
        CHECK(client->facts.sni == "mx.test");
        CHECK(summary(server->facts, "client[192.0.2.1]").starts_with("Anonymous TLS connection established from client[192.0.2.1]: TLSv1."));

        run(loop, client->stream->write(std::string_view("EHLO client\r\n"))).value();
        CHECK(read_text(loop, *server->stream) == "EHLO client\r\n");
        const std::string_view pieces[] = {"250-mx.test\r\n", "250 PIPELINING\r\n"};
        const auto before = b->segments_written();
        run(loop, server->stream->write(std::span<const std::string_view>(pieces))).value();
        CHECK(b->segments_written() == before + 1);                   // one record, one segment
        CHECK(read_text(loop, *client->stream) == "250-mx.test\r\n250 PIPELINING\r\n");
    }
}

TEST_CASE("tls: a handshake takes the flights the protocol needs and no more")
{
    asio::io_context loop;
    auto fresh = meet(loop, client_context(), server_context(leaf("mx.test")));
    CHECK(fresh.client_end->flights_written() == 2);                  // hello; finished
    CHECK(fresh.server_end->flights_written() == 2);                  // hello to finished; ticket
    Options old;
    old.protocols = "TLSv1.2";
    auto [client, server, a, b] = meet(loop, client_context(old), server_context(leaf("mx.test")));
    CHECK(a->flights_written() == 2);
    CHECK(b->flights_written() == 2);
    CHECK(b->segments_written() == 2);
}

TEST_CASE("tls: certificates are untrusted, trusted, verified; names by RFC 9525; must_verify turns that into an error")
{
    asio::io_context loop;
    const auto server = server_context(leaf("mx.test"));
    ConnectOptions options("mx.test");
    CHECK(meet(loop, client_context({}, true), server, options).client->facts.trust == Trust::trusted);
    options.names = {"other.test", "MX.test"};
    {
        const auto met = meet(loop, client_context({}, true), server, options);
        CHECK(met.client->facts.trust == Trust::verified);
        CHECK(met.client->facts.matched_name == "mx.test");
        const Facts& facts = met.client->facts;
        CHECK(facts.issuer_organization.empty());
        const auto now = std::chrono::system_clock::now();
        CHECK(facts.issued < now);
        CHECK(facts.issued > now - std::chrono::hours{2});
        CHECK(facts.expires > now + std::chrono::hours{23});
        CHECK(facts.expires <= now + std::chrono::hours{24});
        CHECK(summary(met.client->facts, "h[a]:25").starts_with("Verified TLS connection established to h[a]:25: "));
        CHECK(summary(met.client->facts, "h[a]:25", true).starts_with("Verified TLS connection reused to h[a]:25: "));
    }
    options.must_verify = true;
    CHECK(meet(loop, client_context({}, true), server, options).client.has_value());
    CHECK(meet(loop, client_context(), server, options).client.error().what() == "Server certificate not trusted");
    options.names = {"other.test"};
    {
        const auto met = meet(loop, client_context({}, true), server, options);
        CHECK(met.client.error().what() == "Server certificate not verified");
        CHECK(met.client.error().status() == "4.7.5");
    }
    options.must_verify = false;
    {
        const auto met = meet(loop, client_context({}, true), server, options);
        CHECK(trouble(met.client->facts, "mx.test[192.0.2.2]:25") ==
              "certificate verification failed for mx.test[192.0.2.2]:25: certificate bears none of the names expected: other.test");
    }
    const auto expired = server_context(leaf("mx.test", KeyKind::p256, -60s));
    std::string why = meet(loop, client_context({}, true), expired, options).client->facts.why;
    CHECK(why == "certificate has expired");

    for (const auto& [id, host, fits] : {std::tuple{"mx.test", "MX.TEST.", true},
                                         {"*.example.test", "mx.example.test", true},
                                         {"*.example.test", "a.mx.example.test", false},
                                         {"*.example.test", "example.test", false},
                                         {"*.test", "example.test", false},
                                         {"m*.example.test", "mx.example.test", false},
                                         {"*.*.test", "a.b.test", false},
                                         {"", "", false},
                                         {"*.example.test", ".example.test", false}})
        CHECK(name_matches(id, host) == fits);
    CHECK_FALSE(name_matches(std::string_view("mx.test\0.evil", 13), "mx.test"));
}

TEST_CASE("tls: the server sees the client's certificate if it asks; without one the client stays anonymous")
{
    asio::io_context loop;
    Options asking;
    asking.ask_certificate = true;
    asking.ca_file = "ca";
    const auto server = server_context(leaf("mx.test"), asking);
    Options mine;
    mine.certificates = {{"cert", "key"}};
    const Pem own = leaf("client.test");
    const auto client = Context::client(mine, files({{"cert", own.certificate}, {"key", own.key}})).value();
    const auto met = meet(loop, client, server);
    CHECK(met.server->facts.trust == Trust::trusted);
    CHECK(met.server->facts.peer_cn == "client.test");
    const std::string line = summary(met.server->facts, "client[192.0.2.1]");
    CHECK(line.ends_with(
        " key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256 client-signature ECDSA (P-256) client-digest SHA256"));
    CHECK(meet(loop, client_context(), server).server->facts.trust == Trust::absent);
}

TEST_CASE(
    "tls: a client's certificate that is for servers alone is trusted where that is wanted; none that is for something else, and none of a stranger's")
{
    const auto met_with = [](std::string purposes, bool wanted, bool strange = false) {
        asio::io_context loop;
        Options asking;
        asking.ask_certificate = true;
        asking.trust_server_certificates = wanted;
        asking.ca_file = "ca";
        CertificateWish wish("client.test");
        wish.purposes = std::move(purposes);
        CertificateWish other("Other CA");
        other.authority = true;
        const Pem stranger = make_certificate(other), own = make_certificate(wish, strange ? &stranger : &authority());
        Options mine;
        mine.certificates = {{"cert", "key"}};
        const auto client = Context::client(mine, files({{"cert", own.certificate}, {"key", own.key}})).value();
        return meet(loop, client, server_context(leaf("mx.test"), asking)).server->facts.trust;
    };
    CHECK(met_with("serverAuth", false) == Trust::untrusted);
    CHECK(met_with("serverAuth", true) == Trust::trusted);
    CHECK(met_with("clientAuth", true) == Trust::trusted);
    CHECK(met_with("", true) == Trust::trusted);
    CHECK(met_with("emailProtection", true) == Trust::untrusted);
    CHECK(met_with("serverAuth", true, true) == Trust::untrusted);
}

TEST_CASE("tls: the ClientHello fits into the smallest segment a path may have, whatever the server's name: what drops larger ones lets it pass")
{
    constexpr std::size_t smallest_segment = 1280 - 40 - 20;            // IPv6 (RFC 8200 5), TCP
    std::string longest(253, 'm');
    for (std::size_t at = 60; at < longest.size(); at += 61)
        longest[at] = '.';
    for (const std::string& name : {std::string("mx.test"), longest}) {
        asio::io_context loop;
        auto [a, b] = net::memory_pair(loop.get_executor());
        a->expires_after(10s);
        b->expires_after(10s);
        TaskGroup group(loop.get_executor());
        group.spawn([](std::unique_ptr<net::Stream> lower, std::string server) -> awaitable<void> {
            CHECK_FALSE(co_await connect(client_context(), std::move(lower), ConnectOptions(std::move(server))));
        }(std::move(a), name));
        const auto head = run(loop, read_exactly(*b, 5)).value();
        REQUIRE(head.size() >= 5);
        CHECK(head[0] == 0x16);                                         // a handshake record, all of it one ClientHello
        const std::size_t octets = 5 + (static_cast<unsigned char>(head[3]) << 8 | static_cast<unsigned char>(head[4]));
        CHECK(octets > name.size());
        CHECK(octets <= smallest_segment);
        b->close();
        run(loop, group.drained());
    }
}

namespace {

awaitable<void> take_turn(Turns& turns, Executor executor, int& taken)
{
    co_await turns.wait(executor);
    ++taken;
}

}  // namespace

TEST_CASE("tls: handshakes take turns: a few per turn of the loop, the others behind what is ready, and all of them come")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    Turns turns(3);
    int taken = 0;
    for (int i = 0; i < 20; ++i)
        group.spawn(take_turn(turns, loop.get_executor(), taken));
    std::vector<int> seen;
    const auto look = [&](auto self) -> void {
        seen.push_back(taken);
        if (group.size() > 0)
            asio::post(loop, [self] { self(self); });
    };
    asio::post(loop, [&] { look(look); });
    loop.run_for(5s);
    CHECK(taken == 20);
    for (std::size_t i = 1; i < seen.size(); ++i)
        CHECK(seen[i] - seen[i - 1] <= 3);
    CHECK(seen.size() >= 6);
}

TEST_CASE("tls: the end is an end only with close_notify; a truncated stream is a lost connection")
{
    for (const char* protocols : {"TLSv1.2", "TLSv1.3"}) {
        asio::io_context loop;
        Options options;
        options.protocols = protocols;
        {
            auto met = meet(loop, client_context(options), server_context(leaf("mx.test")));
            run(loop, met.client->stream->write(std::string_view("QUIT\r\n"))).value();
            run(loop, met.client->stream->shutdown()).value();
            CHECK(read_text(loop, *met.server->stream) == "QUIT\r\n");
            char room[10];
            CHECK(run(loop, met.server->stream->read_some(room)).value() == 0);
            run(loop, met.server->stream->write(std::string_view("221\r\n"))).value();       // the other way is open yet
            CHECK(read_text(loop, *met.client->stream) == "221\r\n");
        }
        {
            auto met = meet(loop, client_context(options), server_context(leaf("mx.test")));
            met.client_end->close();
            CHECK(read_text(loop, *met.server->stream) == "lost connection/end of stream without close_notify");
        }
        {
            auto met = meet(loop, client_context(options), server_context(leaf("mx.test")));
            run(loop, met.client_end->write(std::string_view("\x17\x03\x03\x00\x20garbage garbage garbage garbage!", 37))).value();
            CHECK(read_text(loop, *met.server->stream).starts_with("lost connection/error:"));
        }
    }
}

TEST_CASE("tls: garbage, plain text and a common protocol missing end a handshake with OpenSSL's reason; a silent peer with a timeout")
{
    asio::io_context loop;
    const auto accept_after = [&](std::string_view text) {
        auto [a, b] = net::memory_pair(loop.get_executor());
        run(loop, a->write(text)).value();
        b->expires_after(50ms);
        auto outcome = run(loop, accept(server_context(leaf("mx.test")), std::move(b)));
        REQUIRE_FALSE(outcome);
        return outcome.error();
    };
    const Error plain = accept_after("EHLO client.test\r\nMAIL FROM:<a@test>\r\n");
    CHECK(plain.what() == "Cannot start TLS: handshake failure");
    CHECK(plain.status() == "4.7.5");
    CHECK(plain.evidence().find("wrong version number") != std::string::npos);
    const auto lines = handshake_failed(Role::server, "client[192.0.2.1]", plain);
    CHECK(lines.info == "SSL_accept error from client[192.0.2.1]: -1");
    REQUIRE(lines.warnings.size() == 1);
    CHECK(lines.warnings[0].starts_with("TLS library problem: error:0A00010B:SSL routines::wrong version number"));
    CHECK(handshake_failed(Role::client, "mx[192.0.2.2]:25", Error{"conversation timed out", "4.4.2"}).info ==
          "SSL_connect error to mx[192.0.2.2]:25: Connection timed out");
    CHECK(handshake_failed(Role::client, "x", Error{"Cannot start TLS: handshake failure"}.after("error:1:a; b; error:2:c")).warnings.size() == 2);
    CHECK(accept_after(std::string(20000, '\xff')).what() == "Cannot start TLS: handshake failure");
    CHECK(accept_after("").what() == "conversation timed out");
    CHECK(accept_after("\x16\x03\x01").what() == "conversation timed out");

    Options oldest, newest;
    oldest.protocols = "TLSv1.2";
    newest.protocols = "TLSv1.3";
    const auto unmet = meet(loop, client_context(oldest), server_context(leaf("mx.test"), newest));
    CHECK(unmet.client.error().evidence().find("alert protocol version") != std::string::npos);
    CHECK(unmet.server.error().evidence().find("unsupported protocol") != std::string::npos);

    auto [a, b] = net::memory_pair(loop.get_executor());
    b->close();
    a->expires_after(1s);
    CHECK(run(loop, connect(client_context(), std::move(a))).error().what() == "lost connection");
}

TEST_CASE("tls: whichever I/O step fails, both sides end in order")
{
    const auto server = server_context(leaf("mx.test"));
    const auto client = client_context();
    for (const auto kind : {net::Faults::Kind::reset, net::Faults::Kind::end, net::Faults::Kind::timeout})
        for (int step = 0, steps = 1; step <= steps; ++step) {
            asio::io_context loop;
            net::MemoryOptions memory;
            memory.faults = std::make_shared<net::Faults>();
            memory.faults->fail_at = step;
            memory.faults->kind = kind;
            auto met = meet(loop, client, server, {}, memory);
            steps = memory.faults->steps;
            for (const auto& error :
                 {met.client.has_value() ? Error{"", "4.4.2"} : met.client.error(), met.server.has_value() ? Error{"", "4.4.2"} : met.server.error()})
                CHECK((error.status() == "4.4.2" || error.status() == "4.7.5"));
            CHECK((step < steps || (met.client && met.server)));
        }
}

TEST_CASE("tls: more than every buffer goes through a narrow stream, both ways at once, in segments of any size")
{
    asio::io_context loop;
    net::MemoryOptions memory;
    memory.capacity = 3000;
    auto met = meet(loop, client_context(), server_context(leaf("mx.test")), {}, memory);
    REQUIRE(met.client);
    TaskGroup group(loop.get_executor());
    std::string big;
    for (int i = 0; i < 300'000; ++i)
        big += static_cast<char>('a' + i % 19);
    group.spawn(write_big(*met.client->stream, big));
    group.spawn(write_big(*met.server->stream, "x" + big));
    CHECK((run(loop, read_exactly(*met.server->stream, big.size())).value() == big));
    CHECK((run(loop, read_exactly(*met.client->stream, big.size() + 1)).value() == "x" + big));
    run(loop, group.drained());
}

TEST_CASE("tls: what was read before the handshake is not lost in wrapper mode")
{
    asio::io_context loop;
    auto [a, b] = net::memory_pair(loop.get_executor());
    a->expires_after(5s);
    b->expires_after(5s);
    auto* raw = b.get();
    TaskGroup group(loop.get_executor());
    std::optional<Result<Secured>> accepted;
    // The hello is taken off the stream first, then handed over.
    auto peek = [](net::Stream* stream, std::unique_ptr<net::Stream> owned, std::shared_ptr<Context> context,
                   std::optional<Result<Secured>>* out) -> awaitable<void> {
        char room[100];
        const auto got = co_await stream->read_some(room);
        out->emplace(co_await accept(std::move(context), std::move(owned), std::string(room, got.value())));
    };
    group.spawn(peek(raw, std::move(b), server_context(leaf("mx.test")), &accepted));
    const auto connected = run(loop, connect(client_context(), std::move(a)));
    run(loop, group.drained());
    CHECK(connected.has_value());
    CHECK(accepted->has_value());
}

namespace {

awaitable<void> read_to_end(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, std::string& outcome)
{
    auto secured = co_await accept(std::move(context), std::move(lower));
    REQUIRE(secured);
    char room[100];
    for (;;) {
        const auto got = co_await secured->stream->read_some(room);
        if (!got || *got == 0) {
            outcome = got ? "end" : got.error().evidence();
            co_return;
        }
    }
}

}  // namespace

namespace {

/// A client that can say more than ours does: OpenSSL's own, over one end of a pair in memory.
struct RawClient {
    explicit RawClient(net::Stream& stream) : lower(stream)
    {
        SSL_set_bio(ssl.get(), in, out);
        SSL_set_connect_state(ssl.get());
    }
    /// What it has to say, as it stands.
    std::string said()
    {
        std::string text(static_cast<std::size_t>(BIO_pending(out)), '\0');
        BIO_read(out, text.data(), static_cast<int>(text.size()));
        return text;
    }
    bool send(asio::io_context& loop) { return run(loop, lower.write(said())).has_value(); }
    void shake_hands(asio::io_context& loop)
    {
        char room[4000];
        while (SSL_do_handshake(ssl.get()) != 1) {
            send(loop);
            BIO_write(in, room, static_cast<int>(run(loop, lower.read_some(room)).value()));
        }
        send(loop);
    }
    void update_keys(int how)
    {
        SSL_key_update(ssl.get(), how);
        SSL_do_handshake(ssl.get());
    }

    net::Stream& lower;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    const SslCtx ctx{SSL_CTX_new(TLS_client_method())};
    const Ssl ssl{SSL_new(ctx.get())};
};

}  // namespace

TEST_CASE("tls: a peer that asks for key updates without end and reads none of the answers is given up, not kept in memory")
{
    asio::io_context loop;
    net::MemoryOptions narrow;
    narrow.capacity = 8000;
    narrow.keep_segments = false;
    auto [a, b] = net::memory_pair(loop.get_executor(), narrow);
    TaskGroup group(loop.get_executor());
    std::string outcome;
    group.spawn(read_to_end(server_context(leaf("mx.test")), std::move(b), outcome));
    RawClient client(*a);
    client.shake_hands(loop);
    for (int i = 0; i < 40'000 && outcome.empty(); ++i) {
        client.update_keys(SSL_KEY_UPDATE_REQUESTED);
        client.send(loop);
    }
    run(loop, group.drained());
    CHECK(outcome == "the peer asks for answers and takes none");
}

TEST_CASE("tls: a peer that sends key updates faster than they are opened does not keep the loop: an attempt takes so much and no more")
{
    asio::io_context loop;
    net::MemoryOptions wide;
    wide.capacity = 8 << 20;
    wide.keep_segments = false;
    auto [a, b] = net::memory_pair(loop.get_executor(), wide);
    a->expires_after(std::chrono::minutes(2));                        // 20 000 key updates, on any machine
    b->expires_after(std::chrono::minutes(2));
    TaskGroup group(loop.get_executor());
    std::optional<Result<Secured>> server;
    group.spawn(accept_into(server_context(leaf("mx.test")), std::move(b), server));
    RawClient client(*a);
    client.shake_hands(loop);
    run(loop, group.drained());
    REQUIRE(server->has_value());
    net::Stream& stream = *(*server)->stream;

    for (int i = 0; i < 10'000; ++i)
        client.update_keys(SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_write(client.ssl.get(), "QUIT\r\n", 6);
    const std::string all = client.said();
    REQUIRE(run(loop, a->write(all)));
    int attempts = 0;
    char room[100];
    net::Io io = net::Io::again();
    while (io.state == net::Io::State::again && ++attempts < 1000)
        io = stream.try_read(room);
    REQUIRE(io.state == net::Io::State::done);
    CHECK(std::string_view(room, io.octets) == "QUIT\r\n");
    CHECK(static_cast<std::size_t>(attempts) >= all.size() / (64 * 1024));

    for (int i = 0; i < 10'000; ++i)
        client.update_keys(SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_write(client.ssl.get(), "NOOP\r\n", 6);
    client.send(loop);
    CHECK(read_text(loop, stream) == "NOOP\r\n");                       // whoever waits is called again for the rest
}

#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
TEST_CASE("tls: an idle session takes no more than 40 KiB on either side")
{
    asio::io_context loop;
    const auto server = server_context(leaf("mx.test"));
    const auto client = client_context();
    constexpr std::size_t count = 50;
    std::vector<Both> sessions;
    sessions.reserve(count);
    sessions.push_back(meet(loop, client, server));                   // what is made once
    const std::size_t before = ::mallinfo2().uordblks;
    while (sessions.size() < count)
        sessions.push_back(meet(loop, client, server));
    for (Both& both : sessions) {
        run(loop, both.server->stream->write(std::string_view("220 x\r\n"))).value();
        CHECK(read_text(loop, *both.client->stream) == "220 x\r\n");
    }
    const std::size_t each = (::mallinfo2().uordblks - before) / (count - 1) / 2;
    MESSAGE("octets per idle session and side, the memory stream's included: ", each);
    CHECK(each < 40 * 1024);
}
#endif
