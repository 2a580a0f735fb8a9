// PIPECONNECT and LIMITS as a server: who may speak before the greeting, and what is announced.
#include "receive/ehlo_reply.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::string_view early =
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n";

}  // namespace

TEST_CASE("PIPECONNECT: a listed client is told of it, may speak before the greeting, and is answered as if it had waited")
{
    House house(options_of({{"smtpd_pipe_connect_hosts", "192.0.2.0/24"}}));
    std::string waited, ahead;
    {
        Talk talk(house);
        waited = talk.greeting;
        CHECK(has(talk("EHLO client.test"), "PIPECONNECT\r\n"));
        talk("QUIT");
    }
    {
        Talk talk(house);
        waited += talk(early.substr(0, early.find("\r\n")));
        waited += talk.send(early.substr(early.find("\r\n") + 2));
        CHECK(has(talk.send("Subject: x\r\n\r\nlate\r\n.\r\n"), "250 2.0.0 Ok: queued as"));
    }
    Talk talk(house, "192.0.2.1", nullptr, std::string(early));
    ahead = talk.greeting;
    CHECK(ahead == waited);
    CHECK(ahead.ends_with("354 End data with <CR><LF>.<CR><LF>\r\n"));
    CHECK(has(talk.send("Subject: x\r\n\r\nearly\r\n.\r\n"), "250 2.0.0 Ok: queued as"));
    CHECK(house.queue.stored.size() == 2);
    CHECK(!has(house.whole_log(), "improper command pipelining"));
}

TEST_CASE("PIPECONNECT: nobody else is told, and input before the greeting is refused as before")
{
    for (const char* list : {"", "198.51.100.0/24"}) {
        House house(options_of({{"smtpd_pipe_connect_hosts", list}}));
        Talk polite(house);
        CHECK(!has(polite("EHLO client.test"), "PIPECONNECT"));
        Talk talk(house, "192.0.2.1", nullptr, std::string(early));
        CHECK(talk.greeting == "554 5.5.0 Error: SMTP protocol synchronization\r\n");
        CHECK(talk.ended());
        CHECK(house.queue.stored.empty());
    }
}

TEST_CASE("PIPECONNECT: while the keyword is discarded, clients that remember the offer are served as before, and nobody learns of it anew")
{
    House house(options_of({{"smtpd_pipe_connect_hosts", "192.0.2.0/24"}, {"smtpd_discard_ehlo_keywords", "pipeconnect"}}));
    Talk talk(house, "192.0.2.1", nullptr, std::string(early));
    CHECK(!has(talk.greeting, "PIPECONNECT"));
    CHECK(talk.greeting.ends_with("354 End data with <CR><LF>.<CR><LF>\r\n"));
    CHECK(has(talk.send("Subject: x\r\n\r\nearly\r\n.\r\n"), "250 2.0.0 Ok: queued as"));
}

TEST_CASE("PIPECONNECT: only EHLO opens the way: HELO, and content behind DATA, are held to wait even here")
{
    House house(options_of({{"smtpd_pipe_connect_hosts", "192.0.2.0/24"}}));
    {
        Talk talk(house, "192.0.2.1", nullptr, "HELO client.test\r\nMAIL FROM:<a@b.test>\r\n");
        CHECK(talk.greeting.ends_with("554 5.5.0 Error: SMTP protocol synchronization\r\n"));
        CHECK(talk.ended());
    }
    Talk talk(house, "192.0.2.1", nullptr, std::string(early) + "Subject: too early\r\n\r\n.\r\n");
    CHECK(talk.greeting.ends_with("554 5.5.0 Error: SMTP protocol synchronization\r\n"));
    CHECK(talk.ended());
    CHECK(house.queue.stored.empty());
}

TEST_CASE("PIPECONNECT is not announced without PIPELINING, nor where it is discarded")
{
    const Options options;
    CHECK(has(ehlo_reply(options, {}, {.pipe_connect = true}), "PIPECONNECT\r\n"));
    CHECK(!has(ehlo_reply(options, {smtp::Keyword::pipelining}, {.pipe_connect = true}), "PIPECONNECT"));
    CHECK(!has(ehlo_reply(options, {smtp::Keyword::pipe_connect}, {.pipe_connect = true}), "PIPECONNECT"));
}

TEST_CASE("LIMITS: announced where the configuration limits more than clients may expect, and kept")
{
    const auto limits_of = [](std::vector<std::pair<std::string, std::string>> settings, smtp::KeywordSet discarded = {}) {
        const std::string text = ehlo_reply(options_of(std::move(settings)), discarded, {});
        const auto at = text.find("LIMITS");
        return at == text.npos ? std::string() : text.substr(at, text.find("\r\n", at) - at);
    };
    CHECK(limits_of({}).empty());
    CHECK(limits_of({{"smtpd_recipient_limit", "50"}}) == "LIMITS RCPTMAX=50");
    CHECK(limits_of({{"smtpd_session_mail_limit", "3"}}) == "LIMITS MAILMAX=3");
    CHECK(limits_of({{"smtpd_session_mail_limit", "3"}, {"smtpd_recipient_limit", "50"}}) == "LIMITS RCPTMAX=50 MAILMAX=3");
    CHECK(limits_of({{"smtpd_recipient_limit", "50"}}, {smtp::Keyword::limits}).empty());

    House house(options_of({{"smtpd_session_mail_limit", "2"}}));
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
    talk("RSET");
    CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
    talk("RSET");
    CHECK(talk("MAIL FROM:<a@b.test>") == "421 4.7.0 mx.example.test Error: too many messages in one session\r\n");
    CHECK(talk.ended());
}
