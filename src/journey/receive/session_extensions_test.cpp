#include "base/timestamp.hpp"
#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("client: the name must lead back to the address")
{
    struct Row {
        std::string address, line;
    };
    const Row rows[] = {
        {"192.0.2.1", "connect from client.test[192.0.2.1]"},
        {"192.0.2.7", "connect from unknown[192.0.2.7]"},
        {"192.0.2.66", "connect from unknown[192.0.2.66]"},
        {"2001:db8::7", "connect from unknown[2001:db8::7]"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.address);
        House house;
        Talk talk(house, row.address);
        CHECK(house.logged(row.line));
        CHECK(house.logged("warning: hostname liar.test does not resolve to address 192.0.2.66") == (row.address == "192.0.2.66"));
    }
}

TEST_CASE("client: a name that the DNS could not tell is never refused for good")
{
    const auto answers = [](std::string_view restriction, const std::string& address, std::string_view claims = {}) {
        House house(options_of({{"smtpd_client_restrictions", std::string(restriction)},
                                {"unknown_client_reject_code", "550"},
                                {"smtpd_authorized_xclient_hosts", "192.0.2.1"}}));
        Talk talk(house, address);
        talk("EHLO x");
        if (!claims.empty()) {
            CHECK(talk(fmt::format("XCLIENT {}", claims)).starts_with("220 "));
            talk("EHLO x");
        }
        talk("MAIL FROM:<a@b.test>");
        return talk("RCPT TO:<user@example.test>").substr(0, 3);
    };
    constexpr std::string_view confirmed = "reject_unknown_client_hostname", reverse = "reject_unknown_reverse_client_hostname";
    CHECK(answers(confirmed, "192.0.2.7") == "550");                // no name
    CHECK(answers(confirmed, "192.0.2.66") == "550");               // another's
    CHECK(answers(confirmed, "192.0.2.68") == "450");               // no answer to the PTR question
    CHECK(answers(confirmed, "192.0.2.69") == "450");               // nor to that for its addresses
    CHECK(answers(reverse, "192.0.2.7") == "550");
    CHECK(answers(reverse, "192.0.2.68") == "450");
    CHECK(answers(reverse, "192.0.2.69") == "250");
    CHECK(answers(confirmed, "192.0.2.1", "NAME=[UNAVAILABLE] ADDR=192.0.2.200") == "550");
    CHECK(answers(confirmed, "192.0.2.1", "NAME=[TEMPUNAVAIL] ADDR=192.0.2.200") == "450");
    CHECK(answers(reverse, "192.0.2.1", "NAME=x.test REVERSE_NAME=[TEMPUNAVAIL] ADDR=192.0.2.200") == "450");
}

TEST_CASE("strict_smtputf8: neither address may be beyond ASCII where SMTPUTF8 was not asked for")
{
    House house(options_of({{"strict_smtputf8", "yes"}}));
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("MAIL FROM:<\xc3\xbc@b.test>") == "553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n");
    CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
    CHECK(talk("RCPT TO:<\xc3\xbc@relay.test>") == "553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n");
    talk("RSET");
    talk("MAIL FROM:<a@b.test> SMTPUTF8");
    CHECK(talk("RCPT TO:<\xc3\xbc@relay.test>") == "250 2.1.5 Ok\r\n");
}

TEST_CASE("EHLO: keywords are hidden from all, or from clients that a table names")
{
    House house(options_of({{"smtpd_discard_ehlo_keywords", "dsn, chunking"},
                            {"smtpd_discard_ehlo_keyword_address_maps", "inline:{{192.0.2.9 = silent-discard pipelining}}"}}));
    Talk talk(house);
    const std::string all = talk("EHLO x");
    CHECK(all.find("DSN") == std::string::npos);
    CHECK(all.find("CHUNKING") == std::string::npos);
    CHECK(all.find("PIPELINING") != std::string::npos);
    CHECK(house.logged("discarding EHLO keywords: DSN CHUNKING"));
    Talk other(house, "192.0.2.9");
    const std::string few = other("EHLO x");
    CHECK(few.find("PIPELINING") == std::string::npos);
    CHECK(few.find("DSN") != std::string::npos);
    CHECK(std::ranges::count_if(house.log(), [](const std::string& line) { return line.starts_with("discarding"); }) == 1);
}

TEST_CASE("EHLO: an unknown keyword among those to hide is ignored, and said at start")
{
    House house(options_of({{"smtpd_discard_ehlo_keywords", "dsn, burl"}}));
    Talk talk(house);
    const std::string reply = talk("EHLO x");
    CHECK(reply.find("DSN") == std::string::npos);
    CHECK(reply.find("CHUNKING") != std::string::npos);
    CHECK(house.logged("warning: smtpd_discard_ehlo_keywords: unknown EHLO keyword \"burl\" is ignored"));
}

TEST_CASE("XVERP: a return path for each recipient, for clients that are authorized, with delimiters that are allowed")
{
    House house(options_of({{"smtpd_authorized_verp_clients", "192.0.2.1"}, {"default_verp_delimiters", "-+"}}));
    Talk other(house, "192.0.2.9");
    CHECK(other("EHLO x").find("XVERP") == std::string::npos);
    CHECK(other("MAIL FROM:<list@ours.test> XVERP") == "555 5.5.4 Unsupported option: XVERP\r\n");
    Talk talk(house);
    CHECK(talk("EHLO x").find("250-XVERP\r\n") != std::string::npos);
    CHECK(talk("MAIL FROM:<> XVERP") == "503 5.5.4 Error: XVERP requires non-null sender\r\n");
    CHECK(talk("MAIL FROM:<list@ours.test> XVERP=+@") == "501 5.5.4 Error: XVERP needs two characters from -=+\r\n");
    CHECK(talk("MAIL FROM:<list@ours.test> XVERP=+") == "501 5.5.4 Error: XVERP needs two characters from -=+\r\n");
    for (const auto& [asked, taken] : {std::pair{"XVERP", "-+"}, {"XVERP=+=", "+="}}) {
        CHECK(talk(fmt::format("MAIL FROM:<list@ours.test> {}", asked)).starts_with("250 "));
        CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
        CHECK(talk("DATA").starts_with("354 "));
        CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 "));
        CHECK(house.queue.stored.back().first.verp() == taken);
    }
}

TEST_CASE("FUTURERELEASE: who may use it is not asked for where nobody can")
{
    for (const char* header : {"", "X-Schedule"}) {
        House house(options_of({{"smtpd_future_release_clients", "texthash:/nonexistent/table"}, {"scheduling_header", header}}));
        Talk talk(house);
        talk("EHLO x");
        CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
        const bool asked =
            std::ranges::any_of(house.sink->lines, [](const std::string& line) { return line.find("smtpd_future_release_clients") != line.npos; });
        CHECK(asked == (*header != '\0'));
    }
}

TEST_CASE("FUTURERELEASE: offered with its two bounds to who may use it; what is asked for goes with the mail, beyond the bounds it is refused")
{
    House house(options_of({{"smtpd_future_release_limit", "1h"}, {"smtpd_future_release_clients", "192.0.2.1"}}));
    Talk other(house, "192.0.2.9");
    CHECK(other("EHLO x").find("FUTURERELEASE") == std::string::npos);
    CHECK(other("MAIL FROM:<a@b.test> HOLDFOR=60") == "555 5.5.4 Unsupported option: HOLDFOR=60\r\n");
    Talk talk(house);
    const WallTime now = std::chrono::floor<std::chrono::seconds>(house.clock.wall()), last = now + std::chrono::hours{1};
    CHECK(talk("HELO x").starts_with("250 "));
    CHECK(talk("MAIL FROM:<a@b.test> HOLDFOR=60") == "555 5.5.4 Unsupported option: HOLDFOR=60\r\n");
    CHECK(talk("EHLO x").find(fmt::format("250-FUTURERELEASE 3600 {}\r\n", timestamp(last))) != std::string::npos);
    CHECK(talk("MAIL FROM:<a@b.test> HOLDFOR=0") == "501 5.5.4 Bad HOLDFOR parameter syntax\r\n");
    CHECK(talk("MAIL FROM:<a@b.test> HOLDFOR=3601") == "501 5.5.4 Error: HOLDFOR is more than 3600\r\n");
    CHECK(talk(fmt::format("MAIL FROM:<a@b.test> HOLDUNTIL={}", timestamp(last + std::chrono::seconds{1}))) ==
          fmt::format("501 5.5.4 Error: HOLDUNTIL is later than {}\r\n", timestamp(last)));
    const auto stored = [&](std::string_view parameters) {
        CHECK(talk(fmt::format("MAIL FROM:<a@b.test>{}", parameters)).starts_with("250 "));
        CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
        CHECK(talk("DATA").starts_with("354 "));
        CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 "));
        return house.queue.stored.back().first;
    };
    const handoff::Envelope until = stored(" HOLDUNTIL=" + timestamp(last));
    CHECK(until.release().not_before() == last.time_since_epoch().count());
    CHECK(until.release().request() == "until;" + timestamp(last));
    const handoff::Envelope interval = stored(" HOLDFOR=3600");
    CHECK(interval.release().not_before() == interval.arrival() + 3'600'000'000);
    CHECK(interval.release().request() == "for;3600");
    CHECK_FALSE(stored("").has_release());
}

TEST_CASE("FUTURERELEASE: not where it is switched off, discarded, or a filter takes the mail")
{
    for (const auto& settings : {std::vector<std::pair<std::string, std::string>>{},
                                 {{"smtpd_future_release_limit", "1h"}, {"smtpd_discard_ehlo_keywords", "futurerelease"}},
                                 {{"smtpd_future_release_limit", "1h"}, {"smtpd_proxy_filter", "127.0.0.1:1"}}}) {
        std::vector<std::pair<std::string, std::string>> all = settings;
        all.emplace_back("smtpd_future_release_clients", "192.0.2.1");
        House house(options_of(all));
        Talk talk(house);
        CHECK(talk("EHLO x").find("FUTURERELEASE") == std::string::npos);
        CHECK(talk("MAIL FROM:<a@b.test> HOLDFOR=60").starts_with("555 5.5.4 "));
    }
}

namespace {

struct Acceptor final : TlsAcceptor {
    awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string peer) override
    {
        ++handshakes;
        if (failure)
            co_return *failure;
        TlsFacts facts;
        facts.received_text = "TLSv1.3 with cipher X (256/256 bits)";
        facts.certificate = certificate;
        co_return Secured(std::move(stream), "Anonymous TLS connection established from " + peer + ": TLSv1.3 with cipher X (256/256 bits)",
                          std::move(facts));
    }
    bool available() const override { return has_certificate; }
    bool has_certificate = true;
    int handshakes = 0;
    std::optional<Error> failure;
    ClientCertificate certificate;
};

}  // namespace

TEST_CASE("STARTTLS: plain text sent ahead is dropped, the session starts over, and encrypt demands it")
{
    Acceptor acceptor;
    House house(options_of({{"smtpd_tls_security_level", "encrypt"}, {"smtpd_tls_loglevel", "1"}, {"smtpd_tls_received_header", "yes"}}));
    house.tls = &acceptor;
    SUBCASE("all goes well")
    {
        Talk talk(house);
        CHECK(talk("EHLO x").find("250-STARTTLS") != std::string::npos);
        CHECK(talk("MAIL FROM:<>") == "530 5.7.0 Must issue a STARTTLS command first\r\n");
        CHECK(talk("NONSENSE") == "500 5.5.2 Error: command not recognized\r\n");
        CHECK(talk.send("STARTTLS\r\nMAIL FROM:<injected@b.test>\r\nRCPT TO:<user@example.test>\r\n") == "220 2.0.0 Ready to start TLS\r\n");
        CHECK(acceptor.handshakes == 1);
        CHECK(house.logged("Anonymous TLS connection established from client.test[192.0.2.1]: TLSv1.3 with cipher X (256/256 bits)"));
        CHECK(talk("EHLO x").find("STARTTLS") == std::string::npos);
        CHECK(talk("STARTTLS") == "554 5.5.1 Error: TLS already active\r\n");
        CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n") == "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
        talk("DATA");
        CHECK(talk.send("a: b\r\n\r\n.\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
        CHECK(house.queue.stored[0].first.client().protocol() == "ESMTPS");
        CHECK(house.queue.stored[0].second.inline_octets().starts_with(
            "Received: from x (client.test [192.0.2.1])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n"
            "\t(No client certificate requested)\r\n\tby mx.example.test (Posthorn) with ESMTPS id Q1\r\n\tfor <user@example.test>; "));
    }
    SUBCASE("without a certificate it is offered all the same, and says whose fault it is; what forwards clients' names waits for it as mail does")
    {
        acceptor.has_certificate = false;
        Talk talk(house);
        CHECK(talk("EHLO x").find("250-STARTTLS") != std::string::npos);
        CHECK(talk("STARTTLS") == "454 4.7.0 TLS not available due to local problem\r\n");
        CHECK(talk("XFORWARD NAME=x") == "530 5.7.0 Must issue a STARTTLS command first\r\n");
        House opportunistic(options_of({{"smtpd_tls_security_level", "may"}}));
        opportunistic.tls = &acceptor;
        Talk other(opportunistic);
        CHECK(other("EHLO x").find("STARTTLS") == std::string::npos);
    }
    SUBCASE("the octets of a chunk are no commands, wherever BDAT is refused")
    {
        Talk talk(house);
        talk("EHLO x");
        CHECK(talk.send("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n") == "530 5.7.0 Must issue a STARTTLS command first\r\n250 2.0.0 Ok\r\n");
    }
    SUBCASE("a handshake that fails ends the session")
    {
        acceptor.failure = Error{"lost connection", "4.4.2"};
        {
            Talk talk(house);
            talk("EHLO x");
            CHECK(talk("STARTTLS") == "220 2.0.0 Ready to start TLS\r\n");
            CHECK(talk.ended());
        }
        CHECK(house.logged("SSL_accept error from client.test[192.0.2.1]: lost connection"));
        acceptor.failure = Error{"Cannot start TLS: handshake failure", "4.7.5"}.after("error:0A00010B:SSL routines::wrong version number");
        Talk talk(house);
        talk("EHLO x");
        talk("STARTTLS");
        CHECK(house.logged("SSL_accept error from client.test[192.0.2.1]: -1"));
        CHECK(house.logged("warning: TLS library problem: error:0A00010B:SSL routines::wrong version number"));
    }
}

TEST_CASE("TLS: where a certificate is required nobody goes on without one that is trusted; the Received: field says what was asked and shown")
{
    Acceptor acceptor;
    const auto certificate = [&](std::string subject, bool trusted) {
        acceptor.certificate.subject = std::move(subject);
        acceptor.certificate.issuer = "Some CA";
        acceptor.certificate.fingerprint = "AA:BB";
        acceptor.certificate.trusted = trusted;
    };
    SUBCASE("required")
    {
        for (const bool wrapper : {false, true}) {
            CAPTURE(wrapper);
            acceptor.certificate = {};
            House house(options_of({{"smtpd_tls_req_ccert", "yes"},
                                    {"smtpd_tls_received_header", "yes"},
                                    {"smtpd_tls_wrappermode", wrapper ? "yes" : "no"},
                                    {"smtpd_tls_security_level", wrapper ? "" : "encrypt"}}));
            house.tls = &acceptor;
            const auto secured = [&](Talk& talk) {
                if (wrapper)
                    return talk.greeting;
                talk("EHLO x");
                const std::string replies = talk("STARTTLS");
                return replies.substr(replies.find('\n') + 1);
            };
            {
                Talk none(house);
                CHECK(secured(none) == "421 4.7.1 mx.example.test Error: No client certificate presented\r\n");
                CHECK(none.ended());
                CHECK(house.logged("NOQUEUE: abort: TLS from client.test[192.0.2.1]: No client certificate presented"));
            }
            certificate("client.test", false);
            {
                Talk unknown(house);
                CHECK(secured(unknown) == "421 4.7.1 mx.example.test Error: Client certificate not trusted\r\n");
                CHECK(unknown.ended());
                CHECK(house.logged("NOQUEUE: abort: TLS from client.test[192.0.2.1]: Client certificate not trusted"));
            }
            certificate("client.test", true);
            Talk talk(house);
            secured(talk);
            talk("EHLO x");
            talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n");
            talk("DATA");
            CHECK(talk.send("a: b\r\n\r\n.\r\n").starts_with("250 "));
            CHECK(house.queue.stored.back().second.inline_octets().find("\r\n\t(Client CN \"client.test\", Issuer \"Some CA\" (verified OK))\r\n") !=
                  std::string::npos);
            CHECK_FALSE(house.logged("warning: Can't require client certs unless TLS is required"));
        }
    }
    SUBCASE("only asked for")
    {
        House house(options_of({{"smtpd_tls_ask_ccert", "yes"},
                                {"smtpd_tls_req_ccert", "yes"},
                                {"smtpd_tls_received_header", "yes"},
                                {"smtpd_tls_security_level", "may"}}));
        house.tls = &acceptor;
        const auto received = [&] {
            Talk talk(house);
            talk("EHLO x");
            CHECK(talk("STARTTLS").starts_with("220 "));
            talk("EHLO x");
            talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n");
            talk("DATA");
            CHECK(talk.send("a: b\r\n\r\n.\r\n").starts_with("250 "));
            return house.queue.stored.back().second.inline_octets();
        };
        CHECK(received().find("\r\n\t(Client did not present a certificate)\r\n") != std::string::npos);
        CHECK(house.logged("warning: Can't require client certs unless TLS is required"));
        certificate("a\r\nX: \"b\") (c\\\xc3\xa4" + std::string(300, 'd'), false);
        CHECK(received().find("\r\n\t(Client CN \"a??X: ?b?? ?c???" + std::string(240, 'd') + "\", Issuer \"Some CA\" (not verified))\r\n") !=
              std::string::npos);
    }
}

TEST_CASE("ETRN: for domains that are configured, by whoever the restrictions let through")
{
    House house(options_of({{"fast_flush_domains", "relay.test"}}));
    std::vector<std::string> flushed;
    house.flush_site = [&](std::string domain) -> awaitable<Result<void>> {
        flushed.push_back(domain);
        return [](std::string d) -> awaitable<Result<void>> {
            if (d == "relay.test")
                co_return Result<void>{};
            co_return Error{"queue manager is gone", "4.3.0"};
        }(domain);
    };
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("ETRN relay.test") == "250 Queuing started\r\n");
    CHECK(talk("ETRN other.test") == "459 <other.test>: service unavailable\r\n");
    CHECK(talk("ETRN a..b") == "501 Error: invalid parameter syntax\r\n");
    CHECK(talk("ETRN @sub.relay.test") == "458 Unable to queue messages\r\n");
    CHECK(flushed == std::vector<std::string>{"relay.test", "sub.relay.test"});
}

TEST_CASE("transcripts: sessions of the clients in debug_peer_list are logged line by line, others are not, passwords and content never")
{
    House house(options_of({{"debug_peer_list", "!192.0.2.7, example.org, 192.0.2.0/24"}}));
    {
        Talk talk(house);
        talk("EHLO client.test");
        talk("AUTH PLAIN AHVzZXIAc2VjcmV0");
        talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
        talk.send("Subject: x\r\n\r\nthe content\r\n.\r\n");
    }
    for (const char* line :
         {"> client.test[192.0.2.1]: 220 mx.example.test ESMTP Posthorn", "< client.test[192.0.2.1]: EHLO client.test",
          "> client.test[192.0.2.1]: 250-PIPELINING", "< client.test[192.0.2.1]: AUTH (arguments are not logged)",
          "< client.test[192.0.2.1]: RCPT TO:<user@example.test>", "> client.test[192.0.2.1]: 354 End data with <CR><LF>.<CR><LF>"})
        CHECK_MESSAGE(house.logged(line), line);
    CHECK(house.whole_log().find("the content") == std::string::npos);
    CHECK(house.whole_log().find("AHVzZXIAc2VjcmV0") == std::string::npos);
    Talk other(house, "192.0.2.7");
    other("EHLO other.test");
    CHECK(house.whole_log().find("[192.0.2.7]: EHLO") == std::string::npos);
}
