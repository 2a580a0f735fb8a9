// smtpd_delivery_answer_domains: whose mail waits for what delivery says, and what the client then hears.
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

std::string envelope_for(std::string_view recipients)
{
    std::string text = "MAIL FROM:<a@b.test>\r\n";
    for (const std::string_view recipient : split(recipients, ","))
        text += "RCPT TO:" + std::string(recipient) + "\r\n";
    return text + "DATA\r\n";
}

/// Whether the client of such a mail waits.
bool waits(House& house, std::string_view recipients)
{
    Talk talk(house, "192.0.2.100");                           // who may relay
    REQUIRE(talk("EHLO c.test").starts_with("250"));
    REQUIRE(talk.send(envelope_for(recipients)).find("354") != std::string::npos);
    house.queue.patiences.clear();
    CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 Ok: queued"));
    return !house.queue.patiences.empty();
}

}  // namespace

TEST_CASE("delivery answer: mail all of whose recipients are of the domains waits, and no other")
{
    House plain{Options{}};
    CHECK_FALSE(waits(plain, "<user@example.test>"));
    House house(options_of({{"smtpd_delivery_answer_domains", "example.test, .relay.test"}}));
    CHECK(waits(house, "<user@example.test>"));
    CHECK(house.queue.patiences == std::vector<std::chrono::milliseconds>{std::chrono::seconds{30}});
    CHECK(waits(house, "<user@EXAMPLE.test>"));
    CHECK(waits(house, "<user@example.test>,<u@in.relay.test>"));
    CHECK_FALSE(waits(house, "<user@example.test>,<u@relay.test>"));
    CHECK_FALSE(waits(house, "<u@relay.test>"));
    // Who wants to hear nothing has no say; of nobody else there is none.
    CHECK_FALSE(waits(house, "<user@example.test> NOTIFY=NEVER"));
    House shorter(options_of({{"smtpd_delivery_answer_domains", "example.test"}, {"smtpd_delivery_answer_time_limit", "5s"}}));
    CHECK(waits(shorter, "<user@example.test>"));
    CHECK(shorter.queue.patiences == std::vector<std::chrono::milliseconds>{std::chrono::seconds{5}});
    House never(options_of({{"smtpd_delivery_answer_domains", "example.test"}, {"smtpd_delivery_answer_time_limit", "0"}}));
    CHECK_FALSE(waits(never, "<user@example.test>"));
}

TEST_CASE("delivery answer: mail on hold waits for nobody; a table that fails costs nobody the mail")
{
    House held(options_of({{"smtpd_delivery_answer_domains", "example.test"}, {"smtpd_client_restrictions", "check_client_access static:HOLD"}}));
    CHECK_FALSE(waits(held, "<user@example.test>"));
    CHECK(held.queue.stored.back().first.hold());
    House failing(options_of({{"smtpd_delivery_answer_domains", "fail:away"}}));
    CHECK_FALSE(waits(failing, "<user@example.test>"));
    CHECK(has(failing.whole_log(), "warning: smtpd_delivery_answer_domains: "));
}

TEST_CASE("delivery answer: a refusal is the reply to the content, at its place, and no trouble of ours; the session goes on")
{
    const std::string expected = "550 5.7.1 No, thank you\r\n";
    for (const bool chunk : {false, true}) {
        CAPTURE(chunk);
        House house(options_of({{"smtpd_delivery_answer_domains", "example.test"}}));
        house.queue.answer = handoff::Refusal(550, "5.7.1", "No, thank you");
        Talk talk(house);
        REQUIRE(talk("EHLO c.test").starts_with("250"));
        if (chunk) {
            const std::string mail = "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nBDAT 15 LAST\r\nSubject: x\r\n\r\nx";
            const std::string replies = talk.send(mail + mail + "NOOP\r\n");
            const std::string one = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" + expected;
            CHECK(replies == one + one + "250 2.0.0 Ok\r\n");
        } else {
            REQUIRE(talk.send(envelope_for("<user@example.test>")).find("354") != std::string::npos);
            CHECK(talk("Subject: x\r\n\r\nx\r\n.") == expected);
        }
        CHECK(has(house.whole_log(), ": reject: END-OF-MESSAGE from "));
        CHECK(has(house.whole_log(), ": 550 5.7.1 No, thank you; from=<a@b.test> to=<user@example.test> proto=ESMTP"));
        CHECK_FALSE(has(house.whole_log(), "warning: "));
        CHECK(house.queue.stored.empty());
        house.queue.answer.reset();
        CHECK(talk.send(envelope_for("<user@example.test>")).find("354") != std::string::npos);
        CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 Ok: queued"));
    }
}
