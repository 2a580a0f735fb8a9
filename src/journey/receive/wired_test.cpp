#include "receive/wired.hpp"

#include "async/run.hpp"
#include "dns/test_server.hpp"
#include "receive/client_name.hpp"
#include "spool/recorded_files.hpp"
#include "tls/make_certificate.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace posthorn;
using namespace posthorn::receive;

namespace {

struct Folder {
    Folder()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "receive-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
        std::filesystem::create_directory(path / "incoming");
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};

awaitable<std::string> write_one(IncomingFolder& folder, bool keep)
{
    auto file = co_await folder.create("Q1");
    CHECK(file.has_value());
    CHECK((co_await (*file)->append(std::string(100'000, 'x'))).has_value());
    CHECK((co_await (*file)->append("end\r\n")).has_value());
    CHECK((co_await (*file)->sync()).has_value());
    if (keep)
        (*file)->keep();
    co_return (*file)->name();
}

awaitable<Result<void>> sync_one(IncomingFolder& folder)
{
    auto file = co_await folder.create("Q1");
    CHECK((co_await (*file)->append(std::string(100'000, 'x'))).has_value());
    co_return co_await (*file)->sync();
}

struct Handshake {
    std::optional<Result<Secured>> server;
    std::optional<Result<tls::Secured>> client;
};

awaitable<void> accept_into(Handshake& shake, TlsServer& server, std::unique_ptr<net::Stream> stream)
{
    shake.server.emplace(co_await server.accept(std::move(stream), "h.test[192.0.2.1]"));
}

awaitable<void> connect_into(Handshake& shake, std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> stream)
{
    shake.client.emplace(co_await tls::connect(context, std::move(stream), tls::ConnectOptions{}));
}

}  // namespace

TEST_CASE("incoming files: written and synced on a thread, removed when the queue did not take them")
{
    Folder folder;
    const auto files = spool::system_files(folder.path.string());
    asio::thread_pool threads(1);
    asio::io_context loop;
    SpoolFolder incoming(*files, threads);
    const std::string kept = run(loop, write_one(incoming, true));
    CHECK(std::filesystem::file_size(folder.path / "incoming" / std::filesystem::path(kept).filename()) == 100'005);
    std::filesystem::remove_all(folder.path / "incoming");
    std::filesystem::create_directory(folder.path / "incoming");
    run(loop, write_one(incoming, false));
    CHECK(std::filesystem::is_empty(folder.path / "incoming"));
    threads.join();
}

TEST_CASE("incoming files: synced are the octets and the name, or neither")
{
    using Kind = spool::Operation::Kind;
    for (const Kind fails : {Kind::sync, Kind::sync_folder}) {
        spool::RecordedFiles files;
        files.make_folder("incoming");
        files.before = [&](const spool::Operation& operation) { return operation.kind == fails ? EIO : 0; };
        asio::thread_pool threads(1);
        asio::io_context loop;
        SpoolFolder incoming(files, threads);
        const auto synced = run(loop, sync_one(incoming));
        REQUIRE(!synced);
        CHECK(synced.error().status() == "4.3.0");
        threads.join();
    }
}

TEST_CASE("TLS: the log line and the Received: text are Postfix's")
{
    Folder folder;
    const std::string chain = folder.path / "chain.pem";
    std::ofstream(chain) << tls::make_certificate(tls::CertificateWish{"mx.example.test"}).chain();
    tls::Options options;
    options.chain_files = {chain};
    auto context = tls::Context::server(options);
    REQUIRE(context.has_value());
    auto client = tls::Context::client({});
    REQUIRE(client.has_value());
    TlsServer server(*context);
    asio::io_context loop;
    auto [outer, inner] = net::memory_pair(loop.get_executor());
    outer->expires_after(std::chrono::seconds(10));
    inner->expires_after(std::chrono::seconds(10));
    Handshake shake;
    asio::co_spawn(loop, connect_into(shake, *client, std::move(outer)), asio::detached);
    run(loop, accept_into(shake, server, std::move(inner)));
    REQUIRE(shake.server.has_value());
    REQUIRE(shake.server->has_value());
    const Secured& secured = **shake.server;
    CHECK(secured.log_line.starts_with("Anonymous TLS connection established from h.test[192.0.2.1]: TLSv1.3 with cipher "));
    CHECK(secured.facts.received_text.starts_with("TLSv1.3 with cipher "));
    CHECK(secured.facts.received_text.find(" bits)\r\n\t key-exchange X25519 server-signature ECDSA") != std::string::npos);
    while (!shake.client)
        loop.run_one();
}

TEST_CASE("names: a client is called what this machine's own file calls it, and that has to lead back; the DNS has the others")
{
    Folder folder;
    const std::string hosts = folder.path / "hosts";
    std::ofstream(hosts) << "127.0.0.1 localhost here.test\n192.0.2.5 listed.test\n192.0.2.6 elsewhere.test\n192.0.2.7 elsewhere.test\n";
    asio::io_context loop;
    HandClock clock;
    dns::TestServer server(loop.get_executor(), "7.2.0.192.in-addr.arpa. PTR dns.test\n8.2.0.192.in-addr.arpa. PTR dns.test\ndns.test. A 192.0.2.8\n"
                                                "9.2.0.192.in-addr.arpa. PTR listed.test\nlisted.test. A 192.0.2.9\n");
    {
        dns::Options options;
        options.servers = {server.endpoint()};
        dns::Resolver resolver(loop.get_executor(), clock, options);
        DnsNames names(resolver, clock, hosts);
        const auto sink = std::make_shared<observe::MemorySink>();
        const auto name_of = [&](std::string address) {
            return run(loop, look_up_client(names, std::move(address), observe::Log(sink, "postfix/smtpd"))).name;
        };
        CHECK(name_of("127.0.0.1") == "localhost");
        CHECK(name_of("192.0.2.5") == "listed.test");
        CHECK(name_of("192.0.2.7") == "elsewhere.test");           // one of its two
        CHECK(name_of("192.0.2.8") == "dns.test");
        CHECK(name_of("192.0.2.9") == "unknown");                  // the file says who listed.test is
    }
    run(loop, server.close());
}

TEST_CASE("names: whether localhost is a domain of mail is asked of the DNS; its addresses are known without")
{
    asio::io_context loop;
    HandClock clock;
    const auto with = [&](std::string zone, auto asked) {
        dns::TestServer server(loop.get_executor(), std::move(zone));
        {
            dns::Options options;
            options.servers = {server.endpoint()};
            dns::Resolver resolver(loop.get_executor(), clock, options);
            DnsNames names(resolver, clock, "/nonexistent");
            asked([&](std::string domain) { return run(loop, names.mail_host(std::move(domain))).value(); });
            CHECK(run(loop, resolver.addresses("localhost")).list.size() == 2);
        }
        run(loop, server.close());
    };
    with("good.test. MX 10 mx.good.test\nsix.test. AAAA 2001:db8::1\nempty.test. TXT x\n", [](auto host_of) {
        CHECK(host_of("localhost") == MailHost::absent);
        CHECK(host_of("localhost.") == MailHost::absent);
        CHECK(host_of("good.test") == MailHost::found);
        CHECK(host_of("six.test") == MailHost::found);
        CHECK(host_of("empty.test") == MailHost::absent);
    });
    with("localhost. A 127.0.0.1\n", [](auto host_of) { CHECK(host_of("localhost") == MailHost::found); });
}
