#include "receive/policy/service.hpp"

#include "async/run.hpp"
#include "net/listener.hpp"
#include "observe/testing.hpp"
#include "receive/policy/dns_list.hpp"
#include "receive/policy/judge.hpp"
#include "receive/testing.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>

using namespace posthorn;
using namespace posthorn::receive;
using policy::DnsList, policy::Facts, policy::parse_service, policy::request_text, policy::Service, policy::SessionFacts;

namespace {

/// Answers requests with what `answer` says; an empty answer closes the connection instead.
struct PolicyServer {
    explicit PolicyServer(asio::io_context& on, net::Endpoint at)
        : listener(on.get_executor(), *net::listen(std::move(at)), [this](std::unique_ptr<net::Stream> stream) { return serve(std::move(stream)); })
    {
        listener.start();
    }
    awaitable<void> serve(std::unique_ptr<net::Stream> stream)
    {
        ++connections;
        std::string text;
        std::array<char, 4096> room{};
        for (;;) {
            while (text.find("\n\n") == std::string::npos) {
                const auto got = co_await stream->read_some(room);
                if (!got || *got == 0)
                    co_return;
                text.append(room.data(), *got);
            }
            const auto end = text.find("\n\n") + 2;
            requests.push_back(text.substr(0, end));
            text.erase(0, end);
            const std::string reply = answer(requests.size());
            if (reply.empty())
                co_return;
            if (!co_await stream->write(reply))
                co_return;
            if (!unasked.empty()) {
                co_await sleep_for(std::chrono::milliseconds{5});
                (void)co_await stream->write(unasked);
            }
            ++said;
            if (close_after)
                co_return;
        }
    }
    std::function<std::string(std::size_t)> answer = [](std::size_t) { return "action=DUNNO\n\n"; };
    bool close_after = false;
    std::string unasked;                      // said a moment after each answer
    int connections = 0, said = 0;
    std::vector<std::string> requests;
    net::Listener listener;
};

struct ServiceRig {
    ServiceRig() : server(loop, net::Endpoint(net::IpAddress::loopback(), 0)) {}
    ~ServiceRig()
    {
        service.reset();
        run(loop, server.listener.close());
    }
    Service& with(std::string settings = {})
    {
        auto spec = parse_service(fmt::format("{{ inet:127.0.0.1:{}, retry_delay=1s, {} }}", server.listener.endpoint().port, settings));
        REQUIRE_MESSAGE(spec.has_value(), spec.error().text());
        spec->limits.retry_delay = std::chrono::seconds{0};
        service = std::make_unique<Service>(loop.get_executor(), *spec, names);
        return *service;
    }
    std::string ask(Service& asked, std::string request = "request=smtpd_access_policy\n\n")
    {
        const auto action = run(loop, asked.ask(std::move(request), [this](std::string line) { warnings.push_back(std::move(line)); }));
        return action ? *action : "ERROR " + action.error().text();
    }
    asio::io_context loop;
    receive::testing::FakeNames names;
    PolicyServer server;
    std::unique_ptr<Service> service;
    std::vector<std::string> warnings;
};

}  // namespace

TEST_CASE("policy service: one connection for all requests; what an action says is handed on")
{
    ServiceRig rig;
    Service& service = rig.with();
    rig.server.answer = [](std::size_t count) { return count == 2 ? "action=REJECT 5.7.9 go away \n\n" : "x=y\naction=DUNNO\n\n"; };
    CHECK(rig.ask(service) == "DUNNO");
    CHECK(rig.ask(service) == "REJECT 5.7.9 go away");
    CHECK(rig.ask(service) == "DUNNO");
    CHECK(rig.server.connections == 1);
    CHECK(service.idle_connections() == 1);
    CHECK(rig.warnings.empty());
}

TEST_CASE("policy service: a connection ends with its number of requests; a server that closes after each is asked anew, without a pause")
{
    ServiceRig rig;
    Service& limited = rig.with("request_limit=2");
    for (int i = 0; i < 5; ++i)
        CHECK(rig.ask(limited) == "DUNNO");
    CHECK(rig.server.connections == 3);
    rig.server.connections = 0;
    rig.server.close_after = true;
    Service& service = rig.with("try_limit=1");
    for (int i = 0; i < 3; ++i)
        CHECK(rig.ask(service) == "DUNNO");
    CHECK(rig.server.connections == 3);
    CHECK(rig.warnings.empty());
}

TEST_CASE("policy service: what a server says without being asked is not taken for its answer to the next question")
{
    ServiceRig rig;
    Service& service = rig.with();
    const auto all_said = [&](int count) {
        for (int i = 0; i < 1000 && rig.server.said < count; ++i) {
            rig.loop.restart();
            rig.loop.run_for(std::chrono::milliseconds{5});
        }
        return rig.server.said == count;
    };
    for (const auto& [answer, unasked] :
         {std::pair{"action=DUNNO\n\n", "action=REJECT stale\n\n"}, {"action=DUNNO\n\n\n", ""}, {"action=DUNNO\n\nact", "ion=REJECT stale\n\n"}}) {
        rig.server.connections = rig.server.said = 0;
        rig.server.answer = [text = std::string(answer)](std::size_t) { return text; };
        rig.server.unasked = unasked;
        for (int i = 1; i <= 3; ++i) {
            CHECK(rig.ask(service) == "DUNNO");
            CHECK(all_said(i));
        }
        CHECK(rig.server.connections == 3);
    }
    CHECK(rig.warnings.empty());
}

TEST_CASE("policy service: failures are repeated as often as try_limit says, and told")
{
    ServiceRig rig;
    Service& service = rig.with("try_limit=3");
    rig.server.answer = [](std::size_t count) { return count < 3 ? "" : "action=OK\n\n"; };
    const observe::AskedSince asked(observe::Helper::policy);
    CHECK(rig.ask(service) == "OK");
    CHECK(asked.count() == observe::AskedCount{1, 0, 0});
    CHECK(rig.server.requests.size() == 3);
    const auto place = fmt::format("127.0.0.1:{}", rig.server.listener.endpoint().port);
    CHECK(rig.warnings == std::vector<std::string>(2, "problem talking to server " + place + ": Connection reset by peer"));
    rig.warnings.clear();
    rig.server.answer = [](std::size_t) { return ""; };
    CHECK(rig.ask(service) == "ERROR Connection reset by peer");
    CHECK(rig.warnings.size() == 3);
    CHECK(asked.count() == observe::AskedCount{2, 1, 0});

    const std::string no_action = "ERROR the reply has no action";
    for (const auto& [reply, outcome] : {std::pair<std::string, std::string>{"\n\n", no_action},
                                         {"actionless=1\n\n", no_action},
                                         {"action=\n\n", "ERROR the reply has an empty action"},
                                         {"what is this\n\n", "ERROR malformed reply line \"what is this\""},
                                         {"action=a\r\n\r\n", "a"},
                                         {std::string(70000, 'x'), "ERROR the reply has no end"}}) {
        rig.server.answer = [text = reply](std::size_t) { return text; };
        CHECK(rig.ask(rig.with("try_limit=1")) == outcome);
    }
}

TEST_CASE("policy service: nobody listens; a name is looked up; a Unix socket")
{
    ServiceRig rig;
    auto spec = *parse_service("inet:127.0.0.1:1");
    spec.limits.try_limit = 1;
    Service nobody(rig.loop.get_executor(), spec, rig.names);
    CHECK(rig.ask(nobody) == "ERROR Connection refused");
    CHECK(rig.warnings ==
          std::vector<std::string>{"connect to 127.0.0.1:1: Connection refused", "problem talking to server 127.0.0.1:1: Connection refused"});
    rig.warnings.clear();
    rig.names.addresses["policy.test"] = "127.0.0.1";
    spec.host = "policy.test";
    spec.port = rig.server.listener.endpoint().port;
    Service named(rig.loop.get_executor(), spec, rig.names);
    CHECK(rig.ask(named) == "DUNNO");
    spec.host = "absent.test";
    Service absent(rig.loop.get_executor(), spec, rig.names);
    CHECK(rig.ask(absent) == "ERROR Host not found");

    const std::string path = fmt::format("/tmp/posthorn-policy-{}", ::getpid());
    PolicyServer beside(rig.loop, net::Endpoint::unix(path));
    Service local(rig.loop.get_executor(), *parse_service("unix:" + path), rig.names);
    CHECK(rig.ask(local, "a=b\n\n") == "DUNNO");
    CHECK(beside.requests == std::vector<std::string>{"a=b\n\n"});
    ::unlink(path.c_str());
    run(rig.loop, beside.listener.close());
}

TEST_CASE("policy service: many sessions ask at the same time, each on a connection of its own, and never more than the most")
{
    ServiceRig rig;
    Service& service = rig.with();
    int done = 0, most = 0;
    rig.server.answer = [&](std::size_t) {
        most = std::max(most, rig.server.connections);
        return "action=DUNNO\n\n";
    };
    constexpr int sessions = 250;
    for (int i = 0; i < sessions; ++i)
        asio::co_spawn(rig.loop, service.ask("a=b\n\n", [&](std::string line) { rig.warnings.push_back(std::move(line)); }),
                       [&](std::exception_ptr, Result<std::string> action) { done += action.has_value() && *action == "DUNNO"; });
    for (int round = 0; round < 10000 && done < sessions; ++round) {
        rig.loop.restart();
        rig.loop.run_one_for(std::chrono::milliseconds{100});
    }
    CHECK(done == sessions);
    CHECK(most <= static_cast<int>(Service::most_connections));
    CHECK(rig.warnings.empty());
}

TEST_CASE("policy service: how it is written")
{
    const auto parsed = parse_service("{ inet:[::1]:10023, timeout=10s, try_limit = 3, request_limit=5 max_idle=2m, max_ttl=1h, retry_delay=2s, "
                                      "{ default_action = 451 4.3.5 Not now }, policy_context=submission }");
    REQUIRE(parsed.has_value());
    CHECK(parsed->name == "inet:[::1]:10023");
    CHECK(parsed->host == "::1");
    CHECK(parsed->port == 10023);
    CHECK(parsed->limits.timeout == std::chrono::seconds{10});
    CHECK(parsed->limits.try_limit == 3);
    CHECK(parsed->limits.request_limit == 5);
    CHECK(parsed->limits.max_idle == std::chrono::seconds{120});
    CHECK(parsed->limits.max_ttl == std::chrono::hours{1});
    CHECK(parsed->limits.retry_delay == std::chrono::seconds{2});
    CHECK(parsed->limits.default_action == "451 4.3.5 Not now");
    CHECK(parsed->limits.context == "submission");
    const auto socket = parse_service("unix:private/policyd-spf");
    REQUIRE(socket.has_value());
    CHECK(socket->is_unix);
    CHECK(socket->path == "private/policyd-spf");
    CHECK(parse_service("inet:localhost:smtp")->port == 25);
    for (const std::string_view wrong : {"inet:", "inet:host", "inet:host:0", "inet:host:70000", "inet:host:no-such-port", "unix:", "{}",
                                         "{ inet:h:1, timeout=0 }", "{ inet:h:1, timeout=x }", "{ inet:h:1, try_limit=0 }",
                                         "{ inet:h:1, nonsense=1 }", "{ inet:h:1, timeout }", "{ inet:h:1, default_action= }"}) {
        CAPTURE(wrong);
        CHECK_FALSE(parse_service(wrong).has_value());
    }
}

TEST_CASE("policy request: all attributes in order; what is not known is empty; no value ends a line")
{
    Facts facts;
    facts.client_name = "client.test";
    facts.client_reverse_name = "rev.test";
    facts.client_address = "192.0.2.1";
    facts.helo = "h\n\n.test";
    facts.sender = "a@b.test";
    facts.recipient = "user@example.test";
    facts.recipients = 2;
    SessionFacts session;
    session.state = "RCPT";
    session.esmtp = true;
    session.client_port = 40000;
    session.server_address = "192.0.2.2";
    session.server_port = 25;
    session.queue_id = "ABC";
    session.instance = "1.2.3";
    session.size = 12345;
    session.encryption_protocol = "TLSv1.3";
    session.encryption_cipher = "TLS_AES_256_GCM_SHA384";
    session.encryption_keysize = 256;
    session.certificate = {"Some One", "An Issuer", "AA:BB", "CC:DD", true};
    session.compatibility_level = "3.11";
    session.mail_version = "3.11.0";
    CHECK(request_text(facts, session, "ctx") ==
          "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.1\nclient_name=client.test\n"
          "client_port=40000\nreverse_client_name=rev.test\nserver_address=192.0.2.2\nserver_port=25\nhelo_name=h??.test\nsender=a@b.test\n"
          "recipient=user@example.test\nrecipient_count=0\nqueue_id=ABC\ninstance=1.2.3\nsize=12345\netrn_domain=\nstress=\nsasl_method=\n"
          "sasl_username=\nsasl_sender=\nccert_subject=Some+20One\nccert_issuer=An+20Issuer\nccert_fingerprint=AA:BB\n"
          "ccert_pubkey_fingerprint=CC:DD\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n"
          "policy_context=ctx\ncompatibility_level=3.11\nmail_version=3.11.0\n\n");
    session.state = "BDAT";
    session.stress = true;
    const std::string data = request_text(facts, session, "");
    CHECK(data.find("\nprotocol_state=DATA\n") != std::string::npos);
    CHECK(data.find("\nrecipient_count=2\n") != std::string::npos);
    CHECK(data.find("\nstress=yes\n") != std::string::npos);
    CHECK(request_text(Facts{}, SessionFacts{}, "").starts_with("request=smtpd_access_policy\nprotocol_state=CONNECT\nprotocol_name=SMTP\n"));
}

TEST_CASE("DNS lists: domains, patterns, what is asked")
{
    const auto plain = *DnsList::parse("list.test");
    CHECK(plain.query_for(*net::IpAddress::parse("192.0.2.7")) == "7.2.0.192.list.test");
    CHECK(plain.query_for(*net::IpAddress::parse("2001:db8::1")) == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.test");
    CHECK(*plain.query_for("a@b.test") == "b.test.list.test");
    CHECK(*plain.query_for("b.test") == "b.test.list.test");
    for (const std::string_view skipped : {"", "a@", "a@[192.0.2.1]", "192.0.2.1", "a@b.7", "a@7"})
        CHECK_FALSE(plain.query_for(skipped).has_value());
    CHECK(plain.counts(*net::IpAddress::parse("10.1.2.3")));
    const auto some = *DnsList::parse("list.test=127.0.[0;2..3].[2;4..8;10]");
    CHECK(some.domain() == "list.test");
    for (const auto& [answer, counts] : {std::pair{"127.0.0.2", true},
                                         {"127.0.0.3", false},
                                         {"127.0.2.4", true},
                                         {"127.0.3.8", true},
                                         {"127.0.3.9", false},
                                         {"127.0.1.2", false},
                                         {"127.1.0.2", false},
                                         {"128.0.0.2", false},
                                         {"127.0.0.10", true},
                                         {"::1", false}}) {
        CAPTURE(answer);
        CHECK(some.counts(*net::IpAddress::parse(answer)) == counts);
    }
    for (const std::string_view wrong : {"", "=127.0.0.1", "a=", "a=127.0.0", "a=127.0.0.256", "a=127.0.0.1.2", "a=127.0.0.[1", "a=127.0.0.[]",
                                         "a=127.0.0.[5..2]", "a=127.0.0.[1,2]", "a=127.0.0.x", "a=127..0.1", "a=[1]2.0.0.1"}) {
        CAPTURE(wrong);
        CHECK_FALSE(DnsList::parse(wrong).has_value());
    }
}
