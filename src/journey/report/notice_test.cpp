#include "report/notice.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::report;

namespace {

Options notice_options()
{
    Options made;
    made.myhostname = "mail.ours.test";
    made.myorigin = "ours.test";
    made.double_bounce_sender = "double-bounce@ours.test";
    made.bounce_notice_recipient = "bounces@ours.test";
    made.error_notice_recipient = "errors@ours.test";
    return made;
}

handoff::SessionNotice notice()
{
    handoff::SessionNotice made;
    made.set_client("client.test[192.0.2.1]");
    made.set_transcript("Out: 220 mail.ours.test ESMTP\nIn:  FOO\nOut: 500 5.5.2 Error: command not recognized\n");
    return made;
}

const WallTime now{std::chrono::seconds{1'795'226'084}};

}  // namespace

TEST_CASE("notice: mail to the postmaster, in Postfix's words")
{
    const handoff::EnqueueRequest mail = session_notice(notice(), notice_options(), "NEW1", now);
    CHECK(mail.envelope().sender() == "double-bounce@ours.test");
    REQUIRE(mail.envelope().recipients_size() == 1);
    CHECK(mail.envelope().recipients(0).address() == "errors@ours.test");
    CHECK(mail.envelope().purpose() == handoff::PURPOSE_NOTIFICATION);
    CHECK(mail.envelope().size() == mail.content().inline_octets().size());
    CHECK(mail.content().inline_octets() ==
          "Date: Sat, 21 Nov 2026 01:54:44 +0000\r\nFrom: Mail Delivery System <MAILER-DAEMON@ours.test>\r\nTo: Postmaster <errors@ours.test>\r\n"
          "Subject: Posthorn SMTP server: errors from client.test[192.0.2.1]\r\nMessage-Id: <20261121015444.NEW1@mail.ours.test>\r\n\r\n"
          "Transcript of session follows.\r\n\r\n Out: 220 mail.ours.test ESMTP\r\n In:  FOO\r\n Out: 500 5.5.2 Error: command not recognized\r\n"
          "\r\n\r\nFor other details, see the local mail logfile\r\n");
}

TEST_CASE("notice: who hears of mail that would have come back, and how a session was cut off")
{
    handoff::SessionNotice cut = notice();
    cut.set_bounce(true);
    cut.set_aborted("lost connection");
    const handoff::EnqueueRequest mail = session_notice(cut, notice_options(), "NEW1", now);
    CHECK(mail.envelope().recipients(0).address() == "bounces@ours.test");
    CHECK(mail.content().inline_octets().ends_with("recognized\r\n\r\nSession aborted, reason: lost connection\r\n\r\n"
                                                   "For other details, see the local mail logfile\r\n"));
}

TEST_CASE("notice: long lines are folded, controls cannot start a field, what has no spaces stays whole")
{
    handoff::SessionNotice wide = notice();
    wide.set_client("a\r\nBcc: b[192.0.2.1]");
    std::string words = "In:  NOOP";
    for (int i = 0; i < 30; ++i)
        words += " word";
    wide.set_transcript(words + "\nIn:  " + std::string(200, 'x') + "\n");
    const handoff::EnqueueRequest made = session_notice(wide, notice_options(), "NEW1", now);
    const std::string& text = made.content().inline_octets();
    CHECK(text.find("Subject: Posthorn SMTP server: errors from a??Bcc: b[192.0.2.1]\r\n") != text.npos);
    CHECK(text.find(" In:  NOOP word word word word word word word word word word word word word\r\n     word word") != text.npos);
    CHECK(text.find(std::string(200, 'x') + "\r\n") != text.npos);
}
