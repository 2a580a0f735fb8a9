// AUTH, against a server that speaks Dovecot's protocol in memory.
#include "receive/testing.hpp"
#include "sasl/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr const char *joe = "AGpvZQBzZWNyZXQ=", *bad = "AGpvZQB3cm9uZw==";

struct Submission {
    explicit Submission(std::vector<std::pair<std::string, std::string>> more = {}) : house(options_of(all(std::move(more))))
    {
        house.auth_connector = dovecot.connector(house.loop);
    }
    Submission(Submission&&) = delete;
    ~Submission() { dovecot.end(); }
    static std::vector<std::pair<std::string, std::string>> all(std::vector<std::pair<std::string, std::string>> more)
    {
        more.insert(more.begin(), {{"smtpd_sasl_auth_enable", "yes"},
                                   {"smtpd_sasl_type", "dovecot"},
                                   {"smtpd_sasl_path", "private/auth"},
                                   {"smtpd_relay_restrictions", "permit_sasl_authenticated, reject_unauth_destination"}});
        return more;
    }
    sasl::testing::FakeDovecot dovecot;
    House house;
};

}  // namespace

TEST_CASE("AUTH is offered as Dovecot has it, by the options; who has authenticated may relay, and log, envelope and Received: say who it is")
{
    Submission s({{"smtpd_sasl_authenticated_header", "yes"}, {"broken_sasl_auth_clients", "yes"}});
    Talk talk(s.house);
    const std::string hello = talk("EHLO client.test");
    CHECK(has(hello, "\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n250-AUTH=PLAIN LOGIN CRAM-MD5\r\n"));
    CHECK(
        has(talk("MAIL FROM:<joe@example.test>") + talk("RCPT TO:<other@elsewhere.test>"), "554 5.7.1 <other@elsewhere.test>: Relay access denied"));
    talk("RSET");
    CHECK(talk(std::string("AUTH PLAIN ") + joe) == "235 2.7.0 Authentication successful\r\n");
    CHECK(talk(std::string("AUTH PLAIN ") + joe) == "503 5.5.1 Error: already authenticated\r\n");
    CHECK(talk("MAIL FROM:<joe@example.test> AUTH=joe@example.test").starts_with("250"));
    CHECK(talk("RCPT TO:<other@elsewhere.test>").starts_with("250"));
    CHECK(talk("DATA").starts_with("354"));
    CHECK(talk("Subject: x\r\n\r\nhello\r\n.").starts_with("250"));
    REQUIRE(s.house.queue.stored.size() == 1);
    const handoff::Envelope& envelope = s.house.queue.stored.front().first;
    CHECK(envelope.client().sasl_method() == "PLAIN");
    CHECK(envelope.client().sasl_username() == "joe");
    CHECK(envelope.client().sasl_sender() == "joe@example.test");
    CHECK(has(s.house.cleaner.heads.front(), "\r\n\t(Authenticated sender: joe)\r\n\tby mx.example.test (Posthorn) with ESMTPA id "));
    CHECK(has(s.house.whole_log(), "client=client.test[192.0.2.1], sasl_method=PLAIN, sasl_username=joe, sasl_sender=joe@example.test\n"));
    CHECK(!has(s.house.whole_log(), joe));
    CHECK(s.dovecot.heard[2] ==
          std::string("AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.2\trip=192.0.2.1\tlport=25\trport=40000\tresp=") + joe);
    talk("QUIT");
    CHECK(has(s.house.whole_log(), " auth=1/2 "));
}

TEST_CASE("AUTH: FUTURERELEASE is offered to who may authenticate, and taken from who has")
{
    Submission submission({{"smtpd_future_release_limit", "1h"}, {"smtpd_future_release_clients", ""}});
    Talk talk(submission.house);
    CHECK(has(talk("EHLO x"), "\r\n250-FUTURERELEASE 3600 "));
    CHECK(talk("MAIL FROM:<joe@example.test> HOLDFOR=60") == "550 5.7.1 Error: HOLDFOR and HOLDUNTIL are not for this client\r\n");
    CHECK(talk(std::string("AUTH PLAIN ") + joe).starts_with("235 "));
    CHECK(talk("MAIL FROM:<joe@example.test> HOLDFOR=60").starts_with("250 "));
}

TEST_CASE("AUTH: responses, refusals in Postfix's words, and what fail2ban reads")
{
    Submission s;
    Talk talk(s.house);
    CHECK(talk("AUTH PLAIN") == "334 \r\n");
    CHECK(talk(joe).starts_with("235"));
    const auto fresh = [&](std::initializer_list<std::string> lines) {
        Talk other(s.house);
        other("EHLO client.test");
        std::string last;
        for (const std::string& line : lines)
            last = other(line);
        return last;
    };
    CHECK(fresh({"AUTH LOGIN", "am9l"}) == "334 UGFzc3dvcmQ6\r\n");
    CHECK(fresh({"AUTH LOGIN", "am9l", "c2VjcmV0"}) == "235 2.7.0 Authentication successful\r\n");
    CHECK(fresh({"auth login", "am9l", "bm8="}) == "535 5.7.8 Error: authentication failed: (reason unavailable)\r\n");
    CHECK(has(s.house.whole_log(),
              "warning: client.test[192.0.2.1]: SASL login authentication failed: (reason unavailable), sasl_username=(unavailable)\n"));
    CHECK(fresh({std::string("AUTH PLAIN ") + bad}) == "535 5.7.8 Error: authentication failed: (reason unavailable)\r\n");
    CHECK(has(s.house.whole_log(), "warning: client.test[192.0.2.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=joe\n"));
    CHECK(fresh({"AUTH CRAM-MD5", "x"}) == "535 5.7.8 Error: authentication failed: no such user\r\n");
    CHECK(fresh({"AUTH PLAIN AGpvZQB0ZW1wZmFpbA=="}) == "454 4.7.0 Temporary authentication failure: (reason unavailable)\r\n");
    CHECK(fresh({"AUTH NTLM"}) == "535 5.7.8 Error: authentication failed: Invalid authentication mechanism\r\n");
    CHECK(fresh({"AUTH"}) == "501 5.5.4 Syntax: AUTH mechanism\r\n");
    CHECK(fresh({"AUTH PLAIN a b"}) == "501 5.5.4 Syntax: AUTH mechanism\r\n");
    CHECK(fresh({"AUTH LOGIN", "*"}) == "501 5.7.0 Authentication aborted\r\n");
    CHECK(has(s.house.whole_log(), "warning: client.test[192.0.2.1]: SASL LOGIN authentication aborted\n"));
    CHECK(s.dovecot.heard.back().starts_with("CANCEL\t"));
    CHECK(fresh({"MAIL FROM:<a@example.test>", "AUTH PLAIN x"}) == "503 5.5.1 Error: MAIL transaction in progress\r\n");
    CHECK(fresh({"AUTH LOGIN", std::string(12289, 'a')}) == "500 5.5.6 SASL response limit exceeded\r\n");
    CHECK(fresh({"AUTH LOGIN", std::string(12288, 'a')}) == "334 UGFzc3dvcmQ6\r\n");
    CHECK(s.dovecot.connections == 1);
}

TEST_CASE("AUTH: options and networks decide what is offered, and what is not offered is not taken")
{
    const auto offered = [](std::vector<std::pair<std::string, std::string>> more) {
        Submission s(std::move(more));
        Talk talk(s.house);
        const std::string hello = talk("EHLO client.test");
        const auto at = hello.find("250-AUTH");
        return at == std::string::npos ? std::string() : hello.substr(at + 4, hello.find('\r', at) - at - 4);
    };
    CHECK(offered({{"smtpd_sasl_security_options", "noanonymous, noplaintext"}}) == "AUTH CRAM-MD5");
    CHECK(offered({{"smtpd_sasl_mechanism_filter", "!login, static:rest"}}) == "AUTH PLAIN CRAM-MD5");
    CHECK(offered({{"smtpd_sasl_mechanism_filter", "plain"}}) == "AUTH PLAIN");
    CHECK(offered({{"smtpd_sasl_exceptions_networks", "192.0.2.0/24"}}).empty());
    CHECK(offered({{"smtpd_discard_ehlo_keywords", "auth"}}).empty());
    CHECK(offered({{"smtpd_sasl_security_options", "forward_secrecy"}}).empty());
    CHECK(offered({{"smtpd_tls_auth_only", "yes"}}).empty());
    CHECK(offered({{"smtpd_tls_security_level", "encrypt"}}).empty());
    CHECK(offered({{"smtpd_enforce_tls", "yes"}}).empty());
    CHECK(offered({{"smtpd_tls_security_level", "may"}}) == "AUTH PLAIN LOGIN CRAM-MD5");
    Submission s({{"smtpd_sasl_mechanism_filter", "plain"}});
    Talk talk(s.house);
    talk("EHLO client.test");
    CHECK(talk("AUTH LOGIN").starts_with("334"));             // not announced, and not refused
    Submission careful({{"smtpd_sasl_security_options", "noanonymous, noplaintext"}});
    Talk plain(careful.house);
    plain("EHLO client.test");
    CHECK(plain(std::string("AUTH PLAIN ") + joe).starts_with("535 5.7.8"));
    Submission tls({{"smtpd_tls_auth_only", "yes"}});
    Talk clear(tls.house);
    clear("EHLO client.test");
    CHECK(clear(std::string("AUTH PLAIN ") + joe) == "503 5.5.1 Error: authentication not enabled\r\n");
    CHECK(tls.dovecot.connections == 0);
    Submission hidden({{"smtpd_discard_ehlo_keywords", "auth"}});
    Talk other(hidden.house);
    other("EHLO client.test");
    CHECK(other(std::string("AUTH PLAIN ") + joe) == "503 5.5.1 Error: authentication not enabled\r\n");
}

TEST_CASE("AUTH: with Dovecot away mail goes on, AUTH is not offered until it is back, and a login meanwhile may come again")
{
    Submission s;
    s.dovecot.away = true;
    Talk talk(s.house);
    CHECK(!has(talk("EHLO client.test"), "AUTH"));
    CHECK(has(s.house.whole_log(), "warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory\n"));
    CHECK(talk(std::string("AUTH PLAIN ") + joe) == "454 4.7.0 Temporary authentication failure: Can't connect to authentication server\r\n");
    CHECK(talk("MAIL FROM:<a@example.test>").starts_with("250"));
    talk("RSET");
    s.dovecot.away = false;
    CHECK(has(talk("EHLO client.test"), "AUTH PLAIN"));
    CHECK(talk(std::string("AUTH PLAIN ") + joe).starts_with("235"));
}

TEST_CASE("AUTH: reject_sender_login_mismatch and the refusal's log line know the login; a client that goes amid AUTH leaves nothing behind")
{
    Submission s({{"smtpd_sender_login_maps", "inline:{joe@example.test=joe, eve@example.test=eve}"},
                  {"smtpd_sender_restrictions", "reject_sender_login_mismatch"}});
    Talk talk(s.house);
    talk("EHLO client.test");
    talk("MAIL FROM:<joe@example.test>");
    CHECK(has(talk("RCPT TO:<user@example.test>"), "553 5.7.1 <joe@example.test>: Sender address rejected: not logged in"));
    talk("RSET");
    talk(std::string("AUTH PLAIN ") + joe);
    talk("MAIL FROM:<eve@example.test>");
    CHECK(has(talk("RCPT TO:<user@example.test>"), "553 5.7.1 <eve@example.test>: Sender address rejected: not owned by user joe"));
    CHECK(has(s.house.whole_log(), "proto=ESMTP helo=<client.test> sasl_method=PLAIN sasl_username=joe\n"));
    talk("RSET");
    talk("MAIL FROM:<joe@example.test>");
    CHECK(talk("RCPT TO:<a@elsewhere.test>").starts_with("250"));
    Talk gone(s.house);
    gone("EHLO client.test");
    gone("AUTH LOGIN");
    gone.hang_up();
    CHECK(gone.ended());
    s.house.settle();
    CHECK(s.dovecot.heard.back().starts_with("CANCEL\t"));
    CHECK(has(s.house.whole_log(), "lost connection after AUTH from client.test[192.0.2.1]\n"));
}

TEST_CASE("AUTH: a session that is logged line by line shows no secrets")
{
    Submission s({{"debug_peer_list", "192.0.2.1"}});
    Talk talk(s.house);
    talk("EHLO client.test");
    talk("AUTH LOGIN");
    talk("am9l");
    talk("c2VjcmV0");
    CHECK(!has(s.house.whole_log(), "c2VjcmV0"));
    CHECK(!has(s.house.whole_log(), "am9l"));
    CHECK(has(s.house.whole_log(), "AUTH (arguments are not logged)"));
}

TEST_CASE("AUTH: what a client says too early is logged without its password")
{
    for (const auto& [before, octets, shown] :
         {std::array<std::string, 3>{"", "EHLO x\r\nauth PLAIN AGpvZQBzZWNyZXQ=\r\nMAIL FROM:<a@b.test>\r\n", ""},
          {"EHLO x", "NOOP\r\nRSET\r\n AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n", "RSET\\r\\n"},
          {"HELO x", "AUTH LOGIN\r\nam9l\r\nc2VjcmV0\r\n", ""}}) {
        CAPTURE(octets);
        Submission s;
        Talk talk(s.house);
        if (!before.empty())
            talk(before);
        CHECK(has(talk.send(octets), "554 5.5.0 Error: SMTP protocol synchronization\r\n"));
        for (const char* secret : {"AGpvZQBzZWNyZXQ=", "am9l", "c2VjcmV0"})
            CHECK(!has(s.house.whole_log(), secret));
        CHECK(has(s.house.whole_log(), " from client.test[192.0.2.1]: " + shown + "(what AUTH says is not logged)\n"));
    }
}

TEST_CASE("AUTH: RSET and EHLO keep a login, STARTTLS forgets it; under TLS other options count")
{
    struct Acceptor final : TlsAcceptor {
        awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string) override
        {
            co_return Secured(std::move(stream), "", TlsFacts());
        }
    } acceptor;
    Submission s({{"smtpd_tls_security_level", "may"}, {"smtpd_sasl_tls_security_options", "noanonymous, forward_secrecy"}});
    s.house.tls = &acceptor;
    const auto relays = [](Talk& talk) {
        talk("MAIL FROM:<joe@example.test>");
        const bool taken = talk("RCPT TO:<a@elsewhere.test>").starts_with("250");
        talk("RSET");
        return taken;
    };
    Talk talk(s.house);
    talk("EHLO client.test");
    CHECK(!relays(talk));
    CHECK(talk(std::string("AUTH PLAIN ") + joe).starts_with("235"));
    CHECK(relays(talk));
    talk("EHLO client.test");
    CHECK(relays(talk));
    CHECK(talk("STARTTLS").starts_with("220"));
    CHECK(!has(talk("EHLO client.test"), "AUTH"));
    CHECK(!relays(talk));
    CHECK(talk(std::string("AUTH PLAIN ") + joe).starts_with("535"));
}

TEST_CASE("AUTH: configurations that cannot be are refused by name")
{
    const auto refusal = [](std::vector<std::pair<std::string, std::string>> written) {
        try {
            (void)options_of(std::move(written));
        } catch (const config::BadValue& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(refusal({{"smtpd_sasl_auth_enable", "yes"}, {"smtpd_sasl_type", "kerberos"}}) ==
          "bad configuration: smtpd_sasl_type = kerberos: unsupported SASL server implementation");
    CHECK(refusal({{"smtpd_sasl_security_options", "noplain"}}) ==
          "bad configuration: smtpd_sasl_security_options: unknown security option \"noplain\"");
    CHECK(refusal(Submission::all({{"smtpd_sasl_path", "inet:host:x"}})) ==
          "bad configuration: smtpd_sasl_path = inet:host:x: expected a path, unix:path or inet:host:port");
    CHECK(options_of(Submission::all({{"smtpd_sasl_path", "inet:12345"}})).sasl.server.port == 12345);
    CHECK(options_of(Submission::all({{"smtpd_sasl_path", "unix:/run/auth"}})).sasl.server.path == "/run/auth");
}
