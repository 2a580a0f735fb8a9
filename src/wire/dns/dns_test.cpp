#include "async/run.hpp"
#include "config/expand.hpp"
#include "config/idna.hpp"
#include "dns/hosts.hpp"
#include "dns/idna.hpp"
#include "dns/resolver.hpp"
#include "dns/system_servers.hpp"
#include "dns/test_server.hpp"
#include "dns/wire.hpp"
#include "observe/testing.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <thread>

using namespace posthorn;
using namespace posthorn::dns;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view zone = R"(
    example.test.        600 MX 20 mx2.example.test.
    example.test.        600 MX 10 mx1.example.test.
    mx1.example.test.    A 192.0.2.1
    mx1.example.test.    A 192.0.2.2
    mx1.example.test.    AAAA 2001:db8::1
    mx2.example.test.    AAAA 2001:db8::2
    null.test.           MX 0 .
    odd.test.            MX 0 .
    odd.test.            MX 5 mx1.example.test.
    text.test.           TXT "v=spf1 -all" " and more"
    alias.test.          CNAME mx1.example.test.
    1.2.0.192.in-addr.arpa.   PTR mx1.example.test.
    4.3.2.10.in-addr.arpa.    PTR private.test.
    _smtp._tcp.test.     SRV 1 2 25 mx1.example.test.
    _25._tcp.mx1.example.test. TLSA 3 1 1 00ff10
    *.wild.test.         A 192.0.2.9
    *._report._dmarc.wild.test. TXT "v=DMARC1"
    xn--bcher-kva.test.  A 192.0.2.10
    short.test.          1 A 192.0.2.11
    cut.test.            A 192.0.2.12
    slow.test.           A 192.0.2.13
    v6down.test.         A 192.0.2.14
    @servfail broken.test.
    @refuse closed.test.
    @drop silent.test.
    @truncate cut.test.
    @delay 50 slow.test.
)";

struct World {
    explicit World(Options options = {}) : server(loop.get_executor(), zone)
    {
        options.servers = {server.endpoint()};
        resolver = std::make_unique<Resolver>(loop.get_executor(), clock, std::move(options));
    }
    ~World()
    {
        resolver.reset();
        run(loop, server.close());
    }
    Answer ask(std::string name, Type type) { return run(loop, resolver->query(std::move(name), type)); }

    asio::io_context loop;
    HandClock clock;
    TestServer server;
    std::unique_ptr<Resolver> resolver;
};

awaitable<void> ask_into(Resolver& resolver, std::string name, int& found) { found += (co_await resolver.query(std::move(name), Type::a)).found(); }

awaitable<void> note_status(Resolver& resolver, std::string name, Status& status)
{
    status = (co_await resolver.query(std::move(name), Type::a)).status;
}

}  // namespace

TEST_CASE("resolver: every type comes back as a value")
{
    World world;
    const Answer mx = run(world.loop, world.resolver->mx("Example.TEST."));
    REQUIRE(mx.records.size() == 2);
    CHECK(mx.records[0].host == "mx1.example.test");
    CHECK(mx.records[0].preference == 10);
    CHECK(mx.records[1].host == "mx2.example.test");
    CHECK(mx.ttl > 590s);
    CHECK(mx.ttl <= 600s);
    CHECK_FALSE(mx.secure);

    CHECK(world.ask("text.test", Type::txt).records.at(0).text == "v=spf1 -all and more");
    CHECK(run(world.loop, world.resolver->names(net::IpAddress::v4({192, 0, 2, 1}))).records.at(0).host == "mx1.example.test");
    CHECK(run(world.loop, world.resolver->names(net::IpAddress::v4({10, 2, 3, 4}))).records.at(0).host == "private.test");
    const Answer srv = world.ask("_smtp._tcp.test", Type::srv);
    CHECK(srv.records.at(0).port == 25);
    CHECK(srv.records.at(0).weight == 2);
    const Answer tlsa = world.ask("_25._tcp.mx1.example.test", Type::tlsa);
    CHECK(tlsa.records.at(0).usage == 3);
    CHECK(tlsa.records.at(0).text == std::string_view("\0\xff\x10", 3));
    const Answer alias = world.ask("alias.test", Type::aaaa);
    CHECK(alias.records.at(0).address.text() == "2001:db8::1");
    CHECK(alias.canonical_name == "mx1.example.test");
    CHECK(world.ask("alias.test", Type::cname).records.at(0).host == "mx1.example.test");
    CHECK(world.ask("any.wild.test", Type::a).records.at(0).address.text() == "192.0.2.9");
    // RFC 7489 7.1: whoever takes the reports of all domains says so by a wildcard, and the names asked for are domains themselves.
    CHECK(world.ask("mail.example.com._report._dmarc.wild.test", Type::txt).records.at(0).text == "v=DMARC1");
    CHECK(world.ask("_dmarc.sub.wild.test", Type::txt).records.empty());
    CHECK(world
              .ask(to_a_labels("b\xc3\xbc"
                               "cher.test")
                       .value(),
                   Type::a)
              .found());
    CHECK(world.ask("cut.test", Type::a).found());                    // over TCP
    CHECK(world.server.questions("cut.test", Type::a) == 2);
}

TEST_CASE("resolver: a name that does not exist, one without such records, a failing and a silent server are told apart")
{
    Options options;
    options.limit = 300ms;
    World world(options);
    const observe::AskedSince asked(observe::Helper::dns);
    CHECK(world.ask("nothing.test", Type::a).status == Status::nxdomain);
    CHECK(world.ask("example.test", Type::a).status == Status::nodata);
    CHECK(world.ask("broken.test", Type::a).status == Status::temporary);
    CHECK(world.ask("closed.test", Type::a).status == Status::temporary);
    const Answer silent = world.ask("silent.test", Type::a);
    CHECK(silent.status == Status::temporary);
    CHECK(silent.reason == "no answer in time");
    for (const auto name : {"", ".", "a..b", "with space.test", "\x80.test"})
        CHECK(world.ask(name, Type::a).status == Status::nxdomain);
    CHECK(world.ask(std::string(64, 'a') + ".test", Type::a).status == Status::nxdomain);

    const Error gone = lookup_error("nothing.test", Type::mx, world.ask("nothing.test", Type::mx));
    CHECK(gone.what() == "Host or domain name not found. Name service error for name=nothing.test type=MX: Host not found");
    CHECK(gone.status() == "5.4.4");
    const Error later = lookup_error("broken.test", Type::a, world.ask("broken.test", Type::a));
    CHECK(later.what() == "Host or domain name not found. Name service error for name=broken.test type=A: Host not found, try again");
    CHECK(later.status() == "4.4.3");
    CHECK(asked.count() == observe::AskedCount{7, 4, 0});      // what is no domain name was not asked
}

TEST_CASE("resolver: a null MX is one root alone; beside other hosts the root is dropped")
{
    World world;
    CHECK(is_null_mx(run(world.loop, world.resolver->mx("null.test"))));
    const Answer odd = run(world.loop, world.resolver->mx("odd.test"));
    CHECK_FALSE(is_null_mx(odd));
    CHECK(odd.records.size() == 1);
}

TEST_CASE("resolver: simultaneous questions share one lookup, answers are kept for their time and no longer")
{
    World world;
    TaskGroup tasks(world.loop.get_executor());
    int found = 0;
    for (int i = 0; i < 50; ++i)
        tasks.spawn(ask_into(*world.resolver, "slow.test", found));
    run(world.loop, tasks.drained());
    CHECK(found == 50);
    CHECK(world.server.questions("slow.test", Type::a) == 1);
    CHECK(world.resolver->counts().shared == 49);

    const auto asked = world.resolver->counts().asked;
    world.ask("SLOW.test", Type::a);
    CHECK(world.resolver->counts().asked == asked);
    world.clock.advance(299s);
    world.ask("slow.test", Type::a);
    CHECK(world.resolver->counts().asked == asked);
    world.clock.advance(2s);
    world.ask("slow.test", Type::a);
    CHECK(world.resolver->counts().asked == asked + 1);

    world.ask("nothing.test", Type::a);                               // absence is kept as well, failures are not
    world.ask("nothing.test", Type::a);
    CHECK(world.resolver->counts().asked == asked + 2);
    world.ask("broken.test", Type::a);
    world.ask("broken.test", Type::a);
    CHECK(world.resolver->counts().asked == asked + 4);
    world.resolver->forget();
    world.ask("nothing.test", Type::a);
    CHECK(world.resolver->counts().asked == asked + 5);
}

TEST_CASE("resolver: with DNSSEC a signed answer is secure, a forged one bogus, and neither passes for the other")
{
    // One key at the root signs all (Ed25519; valid until 2080). What bad.test says is not what was signed.
    static constexpr std::string_view anchor = ". IN DNSKEY 257 3 15 1v0AM3Rq+oWZRNX6We256qsbIi0OoEiAeFNesW+2lQA=";
    static constexpr std::string_view signed_zone = R"(
        . DNSKEY 257 3 15 1v0AM3Rq+oWZRNX6We256qsbIi0OoEiAeFNesW+2lQA=
        . RRSIG DNSKEY 15 0 300 3471292800 1577836800 52589 . fgOIO3gspwP5TfE3+/rg+UGQQAudRB54udsLYWjwbV9VJcgpjmnpON20HArlzyqbmfiab1UJSEkv/T1PV4rxCg==
        good.test. A 192.0.2.21
        good.test. RRSIG A 15 2 300 3471292800 1577836800 52589 . rbJjlWNHfcY624RabnZbEwvNwdlwGhPO8n6Q2SM6SPVQjxEx49UyFoBeDaLMFVRnLdDKX3TdPm1HJOCvg/w6Ag==
        bad.test. A 192.0.2.99
        bad.test. RRSIG A 15 2 300 3471292800 1577836800 52589 . 2bNDMmZy6l4wC5PS6Em47yrzvDoVxX9SjeHx8pWvwT5sbzmKnXmSs9/142kRKhCinY2OM8d6UkMQfvyA+ySwAQ==
        good.test. MX 10 good.test.
        good.test. RRSIG MX 15 2 300 3471292800 1577836800 52589 . dNSQ6jEs85GNvweNy17k+kZQSJc0OYc/RtL2noNNo9bcCMaRm+RvTUtyLMx8BppT242q6mig/LU0jpnihWH2DQ==
        _25._tcp.good.test. TLSA 3 1 1 00ff10
        _25._tcp.good.test. RRSIG TLSA 15 4 300 3471292800 1577836800 52589 . F09H3mr0CV4tdL9FikCAZ4DzFi3cdDkVZhkPC7onUW3eqVWU0k0YgYSI8wVkqD4OHfwAPgUbQ4lPhCHA0Mu+Ag==
        _25._tcp.bad.test. TLSA 3 1 1 00ff11
        _25._tcp.bad.test. RRSIG TLSA 15 4 300 3471292800 1577836800 52589 . ekGycsoC69alnz9HWWlI/2n9WCcnbx8o6UueaRpl7x3SfrQ7WrzEcHu40NuuSQqJ63EjxfaWD8u+RRMCUTPiDw==
    )";
    for (const bool validate : {true, false}) {
        Options options;
        options.dnssec = validate;
        options.trust_anchors = {std::string(anchor)};
        World world(options);
        world.server.replace(signed_zone);
        const Answer good = world.ask("good.test", Type::a);
        CHECK(good.found());
        CHECK(good.secure == validate);
        options.trust_anchors = {"no anchor at all"};
        if (validate)
            CHECK_THROWS_WITH(Resolver(world.loop.get_executor(), world.clock, options),
                              "DNS resolver: set-up or trust anchor: initialization failure");
        const Answer bad = world.ask("bad.test", Type::a);
        CHECK(bad.status == (validate ? Status::bogus : Status::found));
        CHECK_FALSE(bad.secure);
        if (validate) {
            CHECK(bad.records.empty());
            CHECK(bad.reason.find("validation failure") != std::string::npos);
            CHECK(lookup_error("bad.test", Type::a, bad).status() == "4.4.3");
        }
        const Answer mx = run(world.loop, world.resolver->mx("good.test"));
        CHECK(mx.found());
        CHECK(mx.secure == validate);
        const Answer tlsa = world.ask("_25._tcp.good.test", Type::tlsa);
        CHECK(tlsa.records.at(0).usage == 3);
        CHECK(tlsa.secure == validate);
        CHECK(world.ask("_25._tcp.bad.test", Type::tlsa).status == (validate ? Status::bogus : Status::found));
        // That it has no AAAA nobody signed: who keeps that answer back must not make its address one of an unsigned zone.
        CHECK(world.ask("good.test", Type::aaaa).status == (validate ? Status::bogus : Status::nodata));
        const Addresses both = run(world.loop, world.resolver->addresses("good.test", Families::both));
        CHECK(both.found());
        CHECK(both.secure == validate);
    }
}

TEST_CASE("resolver: name servers that pass no signatures on make answers unsigned, and say so, until something was validated")
{
    static constexpr std::string_view keys = ". DNSKEY 257 3 15 1v0AM3Rq+oWZRNX6We256qsbIi0OoEiAeFNesW+2lQA=\n", host = "good.test. A 192.0.2.21\n";
    static constexpr std::string_view signatures = R"(
        . RRSIG DNSKEY 15 0 300 3471292800 1577836800 52589 . fgOIO3gspwP5TfE3+/rg+UGQQAudRB54udsLYWjwbV9VJcgpjmnpON20HArlzyqbmfiab1UJSEkv/T1PV4rxCg==
        good.test. RRSIG A 15 2 300 3471292800 1577836800 52589 . rbJjlWNHfcY624RabnZbEwvNwdlwGhPO8n6Q2SM6SPVQjxEx49UyFoBeDaLMFVRnLdDKX3TdPm1HJOCvg/w6Ag==
    )";
    std::vector<std::string> remarks;
    Options options;
    options.dnssec = true;
    options.trust_anchors = {". IN DNSKEY 257 3 15 1v0AM3Rq+oWZRNX6We256qsbIi0OoEiAeFNesW+2lQA="};
    options.remark = [&](std::string text) { remarks.push_back(std::move(text)); };
    const std::string bare = std::string(keys) + std::string(host), whole = bare + std::string(signatures);
    SUBCASE("none are passed on")
    {
        World world(options);
        world.server.replace(bare);
        const Answer answer = world.ask("good.test", Type::a);
        CHECK(answer.found());
        CHECK_FALSE(answer.secure);
        CHECK(world.ask("good.test", Type::aaaa).status == Status::nodata);
        CHECK(world.ask("none.test", Type::mx).status == Status::nxdomain);
        const Addresses both = run(world.loop, world.resolver->addresses("good.test", Families::both));
        CHECK(both.found());
        CHECK_FALSE(both.secure);
        REQUIRE(remarks.size() == 1);
        CHECK(remarks.front().starts_with("DNSSEC validation is unavailable: the name servers pass no signatures on (DNSKEY of \".\"); "));
    }
    SUBCASE("the zone has no keys at all")
    {
        World world(options);
        world.server.replace(host);
        CHECK(world.ask("good.test", Type::a).found());
        CHECK(remarks.size() == 1);
    }
    SUBCASE("they were passed on before: who hides them now forges")
    {
        World world(options);
        world.server.replace(whole);
        CHECK(world.ask("good.test", Type::a).secure);
        world.server.replace(bare + "other.test. A 192.0.2.66\n");
        CHECK(world.ask("other.test", Type::a).status == Status::bogus);
        CHECK(remarks.empty());
    }
    SUBCASE("also when the keys that were validated are too old to be known")
    {
        World world(options);
        std::string short_lived = whole;
        for (std::size_t at = 0; (at = short_lived.find(". DNSKEY", at)) != std::string::npos; at += 10)
            short_lived.replace(at, 8, ". 1 DNSKEY");
        for (std::size_t at = 0; (at = short_lived.find(". RRSIG DNSKEY", at)) != std::string::npos; at += 16)
            short_lived.replace(at, 14, ". 1 RRSIG DNSKEY");
        world.server.replace(short_lived);
        CHECK(world.ask("good.test", Type::a).secure);
        std::this_thread::sleep_for(2100ms);                           // the library's clock is the machine's
        world.server.replace(bare + "other.test. A 192.0.2.66\n");
        CHECK(world.ask("other.test", Type::a).status == Status::bogus);
        CHECK(remarks.empty());
    }
    SUBCASE("the keys are signed, and a name is not: it is forged")
    {
        World world(options);
        world.server.replace(whole + "other.test. A 192.0.2.66\n");
        CHECK(world.ask("other.test", Type::a).status == Status::bogus);
        CHECK(remarks.empty());
    }
    SUBCASE("name servers that answer nothing are none of which anything is known")
    {
        options.limit = 300ms;
        World world(options);
        world.server.replace(bare + "@drop .\n");
        CHECK(world.ask("good.test", Type::a).status == Status::temporary);
        CHECK(remarks.empty());
    }
    SUBCASE("another resolver is asked anew")
    {
        World world(options);
        world.server.replace(bare);
        CHECK(world.ask("good.test", Type::a).found());
        World better(options);
        better.server.replace(whole);
        CHECK(better.ask("good.test", Type::a).secure);
        CHECK(remarks.size() == 1);
    }
}

TEST_CASE("resolver: closing while questions are under way answers them; a cancelled caller leaves at once")
{
    World world;
    TaskGroup tasks(world.loop.get_executor()), others(world.loop.get_executor());
    Status cancelled_one = Status::found, closed_one = Status::found;
    others.spawn(note_status(*world.resolver, "silent.test", cancelled_one));
    tasks.spawn(note_status(*world.resolver, "silent.test", closed_one));
    run(world.loop, sleep_for(10ms));
    run(world.loop, others.close());
    CHECK(cancelled_one == Status::temporary);
    CHECK(closed_one == Status::found);
    world.resolver.reset();
    run(world.loop, tasks.drained());
    CHECK(closed_one == Status::temporary);
}

TEST_CASE("resolver: a clock that is set back keeps no answer beyond its time")
{
    World world;
    CHECK(world.ask("slow.test", Type::a).found());
    world.clock.advance(301s);                                        // of our cache; the library has it for 300 s of real time
    CHECK(world.ask("slow.test", Type::a).found());
    CHECK(world.server.questions("slow.test", Type::a) == 1);
    TaskGroup tasks(world.loop.get_executor());
    int found = 0;
    tasks.spawn(ask_into(*world.resolver, "cut.test", found));
    world.clock.step_wall(-24h);
    world.clock.advance(301s);
    CHECK(world.ask("slow.test", Type::a).found());
    CHECK(world.server.questions("slow.test", Type::a) == 2);
    run(world.loop, tasks.drained());
    CHECK(found == 1);
    world.clock.advance(301s);
    world.clock.step_wall(24h);
    CHECK(world.ask("slow.test", Type::a).found());
    CHECK(world.server.questions("slow.test", Type::a) == 2);
}

TEST_CASE("resolver: a library that cannot be started anew for want of descriptors leaves the old one at work, and is started later")
{
    World world;
    CHECK(world.ask("slow.test", Type::a).found());
    ::rlimit usual{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
    const ::rlimit none{0, usual.rlim_max};
    world.clock.step_wall(-24h);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto meanwhile = run(world.loop, world.resolver->query("slow.test", Type::a));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
    CHECK(meanwhile.found());
    world.clock.advance(301s);
    CHECK(world.ask("slow.test", Type::a).found());
    CHECK(world.server.questions("slow.test", Type::a) == 2);         // what the old one had kept is gone
}

TEST_CASE("resolver: another resolv.conf is followed, with the questions that are under way; one that names nobody is not")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-dns-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    World world;
    TestServer other(world.loop.get_executor(), "example.test. A 192.0.2.77\nslow.test. A 192.0.2.78");
    const auto line_for = [](const TestServer& server) {
        return fmt::format("search x.test\nnameserver {}\n", server.endpoint().ip.text() + "@" + std::to_string(server.endpoint().port));
    };
    Options options;
    options.servers_file = folder + "/resolv.conf";
    std::ofstream(options.servers_file) << line_for(world.server);
    Resolver resolver(world.loop.get_executor(), world.clock, options);
    const auto ask = [&](std::string name) { return run(world.loop, resolver.query(std::move(name), Type::a)); };
    CHECK(ask("example.test").status == Status::nodata);
    TaskGroup tasks(world.loop.get_executor());
    int found = 0;
    tasks.spawn(ask_into(resolver, "slow.test", found));
    std::ofstream(options.servers_file) << "# being written\n";
    world.clock.advance(2s);
    CHECK(ask("short.test").found());
    std::ofstream(options.servers_file + ".new") << line_for(other);
    std::filesystem::rename(options.servers_file + ".new", options.servers_file);
    world.clock.advance(2s);
    CHECK(ask("example.test").found());
    run(world.loop, tasks.drained());
    CHECK(found == 1);
    std::filesystem::remove_all(folder);
    world.clock.advance(2s);
    CHECK(ask("example.test").found());
    run(world.loop, other.close());
}

TEST_CASE("system servers: a file that names nobody means this host at the start, none at all the root; later both leave what was read")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-dns-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    HandClock clock;
    const std::string path = folder + "/resolv.conf";
    using List = std::vector<std::string>;
    SystemServers root(clock, path);
    CHECK(root.list().empty());
    std::ofstream(path) << "# nameserver 192.0.2.1\nnameserver\nnameserver mx.test\nsearch x.test\n";
    SystemServers here(clock, path);
    CHECK(here.list() == List{"127.0.0.1"});
    CHECK_FALSE(root.refresh());
    std::ofstream(path) << "nameserver 192.0.2.53\nnameserver\tfe80::1%eth0\r\nnameserver 127.0.0.1@5353 # local\n";
    clock.advance(1s);
    for (SystemServers* const servers : {&root, &here}) {
        CHECK(servers->refresh());
        CHECK(servers->list() == List{"192.0.2.53", "fe80::1%eth0", "127.0.0.1@5353"});
        CHECK_FALSE(servers->refresh());
    }
    std::ofstream(path) << "\n";
    clock.advance(1s);
    CHECK_FALSE(root.refresh());
    std::filesystem::remove_all(folder);
    clock.advance(1s);
    CHECK_FALSE(root.refresh());
    CHECK(root.list().size() == 3);
}

TEST_CASE("addresses: both families at once, one failing family hides none, the hosts file in the order asked for")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-dns-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    const std::string hosts = folder + "/hosts";
    std::ofstream(hosts) << "# comment\n192.0.2.99 Native.test native  # tail\n2001:db8::99\tnative\nnot-an-address x\n";
    Options options;
    options.hosts_file = hosts;
    options.host_lookup = {Lookup::dns, Lookup::native};
    World world(options);
    const auto ask = [&](std::string host, Families families) { return run(world.loop, world.resolver->addresses(std::move(host), families)); };
    CHECK(ask("mx1.example.test", Families::both).list.size() == 3);
    CHECK(ask("mx1.example.test", Families::v6).list.size() == 1);
    CHECK(ask("mx2.example.test", Families::v4).status == Status::nodata);
    CHECK(ask("mx2.example.test", Families::both).list.at(0).text() == "2001:db8::2");
    CHECK(ask("native.test", Families::both).list.at(0).text() == "192.0.2.99");
    CHECK(ask("native", Families::both).list.size() == 2);
    CHECK(ask("native", Families::v6).list.at(0).text() == "2001:db8::99");
    CHECK(ask("nothing.test", Families::both).status == Status::nxdomain);
    CHECK(ask("broken.test", Families::both).status == Status::temporary);       // not "not found": the hosts file is not asked
    CHECK(run(world.loop, world.resolver->names(net::IpAddress::v4({192, 0, 2, 99}))).records.at(0).host == "Native.test");

    std::ofstream(hosts) << "192.0.2.100 native\n";
    world.clock.advance(2s);
    CHECK(ask("native", Families::both).list.at(0).text() == "192.0.2.100");
    std::filesystem::remove_all(folder);
    world.clock.advance(2s);
    CHECK(ask("native", Families::both).list.at(0).text() == "192.0.2.100");     // out of reach: what was read stays
}

TEST_CASE("cache: bounded in number and time, the least recently used go")
{
    HandClock clock;
    CacheLimits limits;
    limits.entries = 2;
    limits.most = 100s;
    Cache cache(clock, limits);
    const auto answer = [](Status status, std::chrono::seconds ttl) {
        auto made = std::make_shared<Answer>();
        made->status = status;
        made->ttl = ttl;
        return made;
    };
    cache.keep("a", answer(Status::found, 10000s));
    cache.keep("b", answer(Status::found, 0s));
    CHECK(cache.find("a"));
    CHECK(cache.find("b"));
    CHECK(cache.find("a"));
    cache.keep("c", answer(Status::nodata, 50s));
    CHECK_FALSE(cache.find("b"));
    CHECK(cache.find("a"));
    clock.advance(101s);
    CHECK_FALSE(cache.find("a"));
    CHECK_FALSE(cache.find("c"));
    cache.keep("t", answer(Status::temporary, 50s));
    CHECK_FALSE(cache.find("t"));
    CHECK(cache.size() == 0);
}

TEST_CASE("cache: bounded in octets, so that a zone of huge answers cannot fill the memory")
{
    HandClock clock;
    CacheLimits limits;
    limits.octets = 1 << 20;
    Cache cache(clock, limits);
    const auto huge = std::make_shared<Answer>();
    huge->status = Status::found;
    huge->ttl = 300s;
    for (int i = 0; i < 100; ++i) {
        Record record;
        record.type = Type::mx;
        record.host = std::string(250, 'a');
        huge->records.push_back(record);
    }
    for (int i = 0; i < 1000; ++i)
        cache.keep(std::to_string(i), huge);
    CHECK(cache.octets() <= limits.octets);
    CHECK(cache.size() > 10);
    CHECK(cache.size() < 50);
    CHECK(cache.find("999"));
    CHECK_FALSE(cache.find("0"));
    cache.keep("999", huge);                                          // the same again counts once
    const std::size_t before = cache.octets();
    cache.keep("999", huge);
    CHECK(cache.octets() == before);
    clock.advance(301s);
    for (int i = 0; i < 1000; ++i)
        CHECK_FALSE(cache.find(std::to_string(i)));
    CHECK(cache.octets() == 0);
}

TEST_CASE("wire: malformed names and records are refused wherever they are cut or looped")
{
    std::string rdata;
    put_u16(rdata, 10);
    REQUIRE(put_name(rdata, "mx.example.test"));
    CHECK(parse_rdata(Type::mx, rdata)->host == "mx.example.test");
    for (std::size_t cut = 0; cut < rdata.size(); ++cut)
        CHECK_FALSE(parse_rdata(Type::mx, std::string_view(rdata).substr(0, cut)));
    CHECK_FALSE(parse_rdata(Type::mx, rdata + "x"));
    CHECK_FALSE(parse_rdata(Type::ptr, std::string_view("\xc0\x00", 2)));       // a pointer to itself
    CHECK_FALSE(parse_rdata(Type::ptr, std::string_view("\x01"
                                                        "a\xc0\x00",
                                                        4)));
    CHECK_FALSE(parse_rdata(Type::ptr, std::string_view("\x50"
                                                        "a\x00",
                                                        3)));
    CHECK(parse_rdata(Type::ptr, std::string_view("\x03"
                                                  "a.b\x02\x01 \x00",
                                                  8))
              ->host == "a\\.b.\\001\\032");
    CHECK_FALSE(parse_rdata(Type::a, "abc"));
    CHECK_FALSE(parse_rdata(Type::txt, ""));
    CHECK_FALSE(parse_rdata(Type::txt, std::string_view("\x05"
                                                        "abc",
                                                        4)));
    std::string out;
    CHECK(put_name(out, "a\\.b.\\001\\032"));
    CHECK(Reader(out).name() == "a\\.b.\\001\\032");
    CHECK_FALSE(put_name(out, "a..b"));
    CHECK_FALSE(put_name(out, std::string(64, 'a')));
}

TEST_CASE("names: host names, IDN, servers")
{
    CHECK(is_hostname("mail-1.example.test"));
    CHECK(is_hostname("under_score.test"));
    for (const auto name : {"-a.test", "a-.test", "a..test", "192.0.2.1", "a b", "a\\032b", ""})
        CHECK_FALSE(is_hostname(name));
    CHECK(to_a_labels("B\xc3\xbc"
                      "cher.test")
              .value() == "xn--bcher-kva.test");
    CHECK(to_u_labels("xn--bcher-kva.test") == "b\xc3\xbc"
                                               "cher.test");
    CHECK(to_a_labels("_25._tcp.x").value() == "_25._tcp.x");
    CHECK_FALSE(to_a_labels("\xff.test"));
    const std::string_view sharp_s = "stra\xc3\x9f"
                                     "e.test";
    CHECK(to_a_labels(sharp_s).value() == "xn--strae-oqa.test");
    config::convert_as_idna2003(true);
    CHECK(to_a_labels(sharp_s).value() == "strasse.test");
    CHECK(config::expand("${domain_to_ascii{$name}}", [&](std::string_view) { return std::optional(sharp_s); }).value() == "strasse.test");
    config::convert_as_idna2003(false);
    CHECK(to_a_labels(sharp_s).value() == "xn--strae-oqa.test");
    CHECK(parse_server("192.0.2.53")->port == 53);
    CHECK(parse_server("127.0.0.1@5353")->port == 5353);
    CHECK(parse_server("[2001:db8::53]:5353")->text() == "[2001:db8::53]:5353");
    CHECK(parse_server("2001:db8::53")->text() == "[2001:db8::53]:53");
    CHECK(parse_server("ns.test").error().what() == "bad DNS server \"ns.test\": need an address, address@port or [address]:port");
    CHECK(parse_server("192.0.2.1@0").error().what() == "bad DNS server \"192.0.2.1@0\": bad port");
    CHECK(TestZone::parse("a.test. MX x y").error().what() == "bad zone line: a.test. MX x y");
}
