#include "receive/claims.hpp"
#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("claims: attributes are checked, and what is wrong is named in the reply")
{
    const auto said = [](ClaimKind kind, std::string_view text) {
        const auto claims = parse_claims(kind, text);
        if (!claims)
            return claims.error();
        std::string all;
        for (const Claim& claim : *claims)
            all += claim.name + "=" + claim.value.value_or("-") + " ";
        return all;
    };
    CHECK(said(ClaimKind::xclient, "name=a.test ADDR=ipv6:2001:DB8:0::1 port=25 helo=x+2By LOGIN=u") ==
          "NAME=a.test ADDR=2001:db8::1 PORT=25 HELO=x+y LOGIN=u ");
    CHECK(said(ClaimKind::xclient, "NAME=[unavailable] ADDR=[TEMPUNAVAIL]") == "NAME=- ADDR=- ");
    CHECK(said(ClaimKind::xclient, "") == "501 5.5.4 Syntax: XCLIENT attribute=value...");
    CHECK(said(ClaimKind::xclient, "NAME") == "501 5.5.4 Error: attribute=value expected");
    CHECK(said(ClaimKind::xclient, "IDENT=x") == "501 5.5.4 Bad XCLIENT attribute name: IDENT");
    CHECK(said(ClaimKind::xforward, "LOGIN=x") == "501 5.5.4 Bad XFORWARD attribute name: LOGIN");
    CHECK(said(ClaimKind::xclient, "NAME=+zz") == "501 5.5.4 Bad attribute value syntax: +zz");
    CHECK(said(ClaimKind::xclient, "HELO=a+0D+0Ab") == "501 5.5.4 Bad attribute value syntax: a+0D+0Ab");
    CHECK(said(ClaimKind::xclient, "NAME=-a") == "501 5.5.4 Bad hostname syntax: -a");
    CHECK(said(ClaimKind::xclient, "ADDR=1.2.3") == "501 5.5.4 Bad address syntax: 1.2.3");
    CHECK(said(ClaimKind::xclient, "ADDR=[1.2.3.4]") == "501 5.5.4 Bad address syntax: [1.2.3.4]");
    CHECK(said(ClaimKind::xclient, "PORT=70000") == "501 5.5.4 Bad port syntax: 70000");
    CHECK(said(ClaimKind::xclient, "PROTO=UUCP") == "501 5.5.4 Bad protocol syntax: UUCP");
    CHECK(said(ClaimKind::xforward, "SOURCE=AFAR") == "501 5.5.4 Bad source syntax: AFAR");
}

TEST_CASE("XCLIENT: who is listed speaks for another, from the greeting on; then that one is judged")
{
    House house(options_of(
        {{"smtpd_authorized_xclient_hosts", "192.0.2.1"}, {"smtpd_client_restrictions", "check_client_access inline:{203.0.113.9=REJECT}, permit"}}));
    Talk talk(house);
    CHECK(talk("EHLO x").find("250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT\r\n") != std::string::npos);
    CHECK(talk("XCLIENT ADDR=nonsense") == "501 5.5.4 Bad address syntax: nonsense\r\n");
    CHECK(talk("XCLIENT NAME=far.test ADDR=203.0.113.9 HELO=helo.test LOGIN=someone").starts_with("220 "));
    // It is not listed any more, and where it comes from counts.
    CHECK(talk("XCLIENT NAME=x.test") == "550 5.7.0 Error: insufficient authorization\r\n");
    CHECK(talk("EHLO y").find("XCLIENT") == std::string::npos);
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("554 5.7.1 <far.test[203.0.113.9]>: Client host rejected"));
}

TEST_CASE("XCLIENT: an address without a name does not keep the name of who speaks for it; not amid a mail, and not by others")
{
    House house(options_of({{"smtpd_authorized_xclient_hosts", "192.0.2.1"}}));
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("XCLIENT ADDR=192.0.2.200").starts_with("220 "));
    talk("EHLO y");
    talk("MAIL FROM:<a@b.test>");
    talk("RCPT TO:<user@example.test>");
    CHECK(house.whole_log().find("client=unknown[192.0.2.200]") != std::string::npos);
    Talk amid(house);
    amid("EHLO x");
    amid("MAIL FROM:<a@b.test>");
    CHECK(amid("XCLIENT ADDR=192.0.2.200") == "503 5.5.1 Error: MAIL transaction in progress\r\n");
    Talk other(house, "192.0.2.9");
    CHECK(other("EHLO x").find("XCLIENT") == std::string::npos);
    CHECK(other("XCLIENT ADDR=192.0.2.200") == "550 5.7.0 Error: insufficient authorization\r\n");
}

TEST_CASE("XCLIENT LOGIN: the login counts where there are logins, and the log names it")
{
    for (const std::string logins : {"yes", "no"}) {
        House house(options_of({{"smtpd_authorized_xclient_hosts", "192.0.2.1"},
                                {"smtpd_sasl_auth_enable", logins},
                                {"smtpd_relay_restrictions", "permit_sasl_authenticated, reject_unauth_destination"}}));
        Talk talk(house);
        talk("XCLIENT LOGIN=fred");
        talk("EHLO y");
        talk("MAIL FROM:<a@b.test>");
        CHECK((talk("RCPT TO:<x@elsewhere.test>") == "250 2.1.5 Ok\r\n") == (logins == "yes"));
        CHECK((house.whole_log().find("client=client.test[192.0.2.1], sasl_method=XCLIENT, sasl_username=fred\n") != std::string::npos) ==
              (logins == "yes"));
        talk("RSET");
        talk("XCLIENT ADDR=192.0.2.200");                       // whose login was not said
        talk("EHLO y");
        talk("MAIL FROM:<a@b.test>");
        CHECK(talk("RCPT TO:<x@elsewhere.test>") == "554 5.7.1 <x@elsewhere.test>: Relay access denied\r\n");
    }
}

TEST_CASE("XFORWARD: who hands on a stranger's mail may not schedule it; mail of our own keeps what it says")
{
    House house(options_of(
        {{"smtpd_authorized_xforward_hosts", "192.0.2.1"}, {"smtpd_future_release_clients", "192.0.2.1"}, {"scheduling_header", "X-Schedule"}}));
    const auto may = [&](std::string_view said) {
        Talk talk(house);
        talk("EHLO x");
        if (!said.empty())
            CHECK(talk(fmt::format("XFORWARD {}", said)).starts_with("250 "));
        talk("MAIL FROM:<a@b.test>");
        talk("RCPT TO:<user@example.test>");
        talk("DATA");
        CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 "));
        return house.queue.stored.back().first.may_schedule();
    };
    CHECK(may(""));
    CHECK(may("NAME=ours.test ADDR=192.0.2.3 SOURCE=LOCAL"));
    CHECK_FALSE(may("NAME=far.test ADDR=203.0.113.9 SOURCE=REMOTE"));
    CHECK_FALSE(may("NAME=far.test ADDR=203.0.113.9"));
}

TEST_CASE("XFORWARD: what a filter knows of a mail is in the log of that mail, and decides nothing")
{
    House house(options_of({{"smtpd_authorized_xforward_hosts", "192.0.2.1"}}));
    Talk talk(house);
    CHECK(talk("EHLO x").find("250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n") != std::string::npos);
    CHECK(talk("XFORWARD NAME=far.test ADDR=203.0.113.9 IDENT=ABC123") == "250 2.0.0 Ok\r\n");
    talk("MAIL FROM:<a@b.test>");
    talk("RCPT TO:<user@example.test>");
    CHECK(house.whole_log().find("client=client.test[192.0.2.1], orig_queue_id=ABC123, orig_client=far.test[203.0.113.9]\n") != std::string::npos);
    talk("RSET");
    talk("MAIL FROM:<a@b.test>");
    talk("RCPT TO:<user@example.test>");
    CHECK(house.whole_log().ends_with("client=client.test[192.0.2.1]\n"));
    Talk other(house, "192.0.2.9");
    other("EHLO x");
    CHECK(other("XFORWARD NAME=far.test") == "550 5.7.0 Error: insufficient authorization\r\n");
}

TEST_CASE("PROXY: the balancer's header says who the client is; without one nobody is served")
{
    House house(options_of({{"smtpd_upstream_proxy_protocol", "haproxy"}}));
    {
        Talk talk(house, "192.0.2.9", nullptr, "PROXY TCP4 192.0.2.1 192.0.2.250 4711 25\r\n");
        CHECK(talk.greeting.starts_with("220 "));
        CHECK(house.logged("connect from client.test[192.0.2.1]"));
    }
    {
        Talk talk(house, "192.0.2.9", nullptr, "PROXY UNKNOWN\r\n");
        CHECK(talk.greeting.starts_with("220 "));
    }
    {
        Talk talk(house, "192.0.2.9", nullptr, "PROX");
        CHECK(talk.greeting.empty());
        CHECK(talk.send("Y UNKNOWN\r\n").starts_with("220 "));
    }
    {
        Talk talk(house, "192.0.2.9", nullptr, "EHLO x\r\n");
        CHECK(talk.greeting.empty());
        CHECK(talk.ended());
        CHECK(house.logged("warning: haproxy read: unexpected protocol header"));
    }
    {
        // What comes with the header in one segment is the beginning of TLS, where TLS begins at once.
        struct Acceptor final : TlsAcceptor {
            awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string) override
            {
                std::array<char, 100> room{};
                if (const auto got = co_await stream->read_some(room))
                    seen.assign(room.data(), *got);
                co_return Secured(std::move(stream), "", TlsFacts());
            }
            std::string seen;
        } acceptor;
        House wrapped(options_of({{"smtpd_upstream_proxy_protocol", "haproxy"}, {"smtpd_tls_wrappermode", "yes"}}));
        wrapped.tls = &acceptor;
        Talk talk(wrapped, "192.0.2.9", nullptr, "PROXY TCP4 192.0.2.1 192.0.2.250 4711 465\r\nClientHello");
        CHECK(acceptor.seen == "ClientHello");
        CHECK(talk.greeting.starts_with("220 "));
        CHECK(talk("NOOP") == "250 2.0.0 Ok\r\n");
    }
    CHECK_THROWS_WITH(options_of({{"smtpd_upstream_proxy_protocol", "nginx"}}), "parameter smtpd_upstream_proxy_protocol: unknown protocol: nginx");
}
