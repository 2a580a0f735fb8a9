#include "report/compose.hpp"

#include "base/strings.hpp"
#include "message/compose.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::report;
using handoff::ReportRequest;

namespace {

ReportRequest request(ReportRequest::Kind kind = ReportRequest::FAILURE)
{
    ReportRequest made;
    made.set_kind(kind);
    made.set_now(1'795'226'084'000'000);
    made.add_queue_ids("NEW1");
    made.add_queue_ids("NEW2");
    made.set_header("From: a@ours.test\r\nSubject: hi\r\n\r\nthe body\r\n");
    made.set_whole(true);
    handoff::Envelope& envelope = *made.mutable_envelope();
    envelope.set_queue_id("OLD");
    envelope.set_sender("a@ours.test");
    envelope.set_arrival(1'795'226'000'000'000);
    envelope.set_message_id("<m@ours.test>");
    for (std::uint32_t i = 0; i < 2; ++i) {
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient.set_index(i);
        recipient.set_address(fmt::format("u{}@there.test", i));
        handoff::Verdict& verdict = *made.add_verdicts();
        verdict.set_recipient(i);
        verdict.set_outcome(handoff::OUTCOME_BOUNCED);
        verdict.set_status("5.1.1");
        verdict.set_text("host mx.there.test[192.0.2.1] said: 550 5.1.1 No such user (in reply to RCPT TO command)");
        verdict.set_remote_mta("mx.there.test");
        verdict.set_diagnostic("550 5.1.1 No such user");
        if (kind == ReportRequest::DELAY)
            made.add_gives_up(made.envelope().arrival() + 5 * 86'400'000'000);
    }
    if (kind == ReportRequest::DELAY)
        made.set_warned_after(14400);
    return made;
}

Options options()
{
    Options made;
    made.myhostname = "mail.ours.test";
    made.myorigin = "ours.test";
    made.double_bounce_sender = "double-bounce@ours.test";
    made.bounce_notice_recipient = made.double_bounce_notice_recipient = made.delay_notice_recipient = "postmaster@ours.test";
    made.parameter = [](std::string_view name) -> std::optional<std::string> {
        if (name == "myhostname")
            return "mail.ours.test";
        if (name == "delay_warning_time")
            return "14400";
        if (name == "maximal_queue_lifetime")
            return "432000";
        return std::nullopt;
    };
    return made;
}

bool has(std::string_view text, std::string_view piece) { return text.find(piece) != text.npos; }

}  // namespace

TEST_CASE("report: a bounce goes to the sender from <>, names every failed recipient and returns the message")
{
    const auto reply = compose(request(), options());
    REQUIRE(reply.messages_size() == 1);
    const auto& envelope = reply.messages(0).envelope();
    CHECK(envelope.sender().empty());
    CHECK(envelope.recipients(0).address() == "a@ours.test");
    CHECK(envelope.queue_id() == "NEW1");
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(envelope.size() == text.size());
    CHECK(has(text, "From: Mail Delivery System <MAILER-DAEMON@ours.test>\r\n"));
    CHECK(has(text, "Subject: Undelivered Mail Returned to Sender\r\n"));
    CHECK(has(text, "Auto-Submitted: auto-replied\r\n"));
    CHECK(has(text, "<u0@there.test>: host mx.there.test[192.0.2.1] said: 550 5.1.1 No such user"));
    CHECK(has(
        text,
        "Final-Recipient: rfc822; u1@there.test\r\nOriginal-Recipient: rfc822;u1@there.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.there.test\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"));
    CHECK(has(text, "Content-Type: message/rfc822\r\n"));
    CHECK(has(text, "\r\nthe body\r\n"));
    CHECK(reply.log(0) == "OLD: sender non-delivery notification: NEW1");
    for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '\n')
            REQUIRE(text[i - 1] == '\r');
}

TEST_CASE("report: of mail that was to go later it says what was asked for (RFC 4865 5.1.2)")
{
    ReportRequest plain = request();
    const auto text = [&] { return compose(plain, options()).messages(0).content().inline_octets(); };
    CHECK_FALSE(has(text(), "Future-Release-Request"));
    plain.mutable_envelope()->mutable_release()->set_not_before(1);                    // by a field of its header
    CHECK_FALSE(has(text(), "Future-Release-Request"));
    plain.mutable_envelope()->mutable_release()->set_request("for;3600");
    CHECK(has(text(), "\r\nFuture-Release-Request: for;3600\r\n\r\nFinal-Recipient: "));
}

TEST_CASE("report: the boundary opens three parts and closes once")
{
    const auto reply = compose(request(), options());
    const std::string& text = reply.messages(0).content().inline_octets();
    const std::string boundary = "\r\n--OLD.1795226084/mail.ours.test";
    int count = 0;
    for (std::size_t at = text.find(boundary); at != text.npos; at = text.find(boundary, at + 1))
        ++count;
    CHECK(count == 4);
    CHECK(text.ends_with(boundary + "--\r\n"));
}

TEST_CASE("report: RET=HDRS, and reports of success or delay, return the header alone")
{
    auto headers = request();
    headers.set_whole(false);
    for (const auto& made : {headers, request(ReportRequest::DELAY)}) {
        const auto reply = compose(made, options());
        REQUIRE(reply.messages_size() == 1);
        CHECK_FALSE(has(reply.messages(0).content().inline_octets(), "the body"));
        CHECK(has(reply.messages(0).content().inline_octets(), "text/rfc822-headers"));
    }
}

TEST_CASE("report: of mail that requires TLS it requires it too, and has the header alone, whoever reads it; unless it is not to be redacted")
{
    Options made = options();
    made.notify.bounce = made.notify.double_bounce = made.notify.delay = true;
    for (const bool redacted : {true, false})
        for (const bool required : {true, false})
            for (const auto kind : {ReportRequest::FAILURE, ReportRequest::DELAY, ReportRequest::SUCCESS}) {
                CAPTURE(redacted);
                CAPTURE(required);
                made.redact_requiretls = redacted;
                auto what = request(kind);
                what.mutable_envelope()->set_requiretls(required);
                for (auto& recipient : *what.mutable_envelope()->mutable_recipients())
                    recipient.set_notify(handoff::NOTIFY_SUCCESS | handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY);
                for (auto& verdict : *what.mutable_verdicts())
                    verdict.set_outcome(kind == ReportRequest::FAILURE ? handoff::OUTCOME_BOUNCED
                                        : kind == ReportRequest::DELAY ? handoff::OUTCOME_DEFERRED
                                                                       : handoff::OUTCOME_DELIVERED);
                const auto reply = compose(what, made);
                REQUIRE(reply.messages_size() >= 1);
                for (const auto& letter : reply.messages()) {
                    CHECK(letter.envelope().requiretls() == required);
                    CHECK(!letter.envelope().tls_optional());
                }
                const bool whole = kind == ReportRequest::FAILURE && !(required && redacted);
                CHECK(has(reply.messages(0).content().inline_octets(), "the body") == whole);
                CHECK(has(reply.messages(0).content().inline_octets(), "Subject: hi"));
                CHECK(!has(reply.messages(0).content().inline_octets(), "TLS-Required"));
            }
    auto lost = request();                                                    // mail from <>: the postmaster sees what it was
    lost.mutable_envelope()->clear_sender();
    lost.mutable_envelope()->set_requiretls(true);
    made.redact_requiretls = true;
    REQUIRE(compose(lost, made).messages_size() == 1);
    CHECK(!has(compose(lost, made).messages(0).content().inline_octets(), "the body"));
}

TEST_CASE("report: of mail that does not insist on TLS it does not either, and says so")
{
    auto what = request();
    what.mutable_envelope()->set_tls_optional(true);
    const auto reply = compose(what, options());
    CHECK(reply.messages(0).envelope().tls_optional());
    CHECK(has(reply.messages(0).content().inline_octets(), "\r\nTLS-Required: no\r\nMIME-Version: 1.0\r\n"));
    CHECK(has(reply.messages(0).content().inline_octets(), "the body"));
}

TEST_CASE("report: NOTIFY decides who hears, recipient by recipient")
{
    auto made = request();
    made.mutable_envelope()->mutable_recipients(0)->set_notify(handoff::NOTIFY_NEVER);
    made.mutable_envelope()->mutable_recipients(1)->set_notify(handoff::NOTIFY_SUCCESS);
    CHECK(compose(made, options()).messages_size() == 0);                     // nobody asked to hear of failure
    made.set_kind(ReportRequest::SUCCESS);
    const auto reply = compose(made, options());
    REQUIRE(reply.messages_size() == 1);
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(has(text, "u1@there.test"));
    CHECK_FALSE(has(text, "u0@there.test"));
    CHECK(has(text, "Action: relayed\r\n"));
}

TEST_CASE("report: never a loop: mail from <> is reported to the postmaster alone, and only where notify_classes says so")
{
    auto made = request();
    made.mutable_envelope()->set_sender("");
    CHECK(compose(made, options()).messages_size() == 0);
    Options told = options();
    told.notify.double_bounce = true;
    const auto reply = compose(made, told);
    REQUIRE(reply.messages_size() == 1);
    CHECK(reply.messages(0).envelope().sender() == "double-bounce@ours.test");
    CHECK(reply.messages(0).envelope().recipients(0).address() == "postmaster@ours.test");
    CHECK(reply.log(0) == "OLD: postmaster non-delivery notification: NEW1");

    // The class bounce is both (postconf(5)).
    told.notify = {.bounce = true};
    CHECK(compose(made, told).messages_size() == 1);
    CHECK(has(compose(made, told).messages(0).content().inline_octets(), "the body"));

    // And when that one comes back, nothing more is sent, whatever the classes say.
    made.mutable_envelope()->set_sender("Double-Bounce@ours.test");
    told.notify = {.bounce = true, .double_bounce = true, .delay = true};
    CHECK(compose(made, told).messages_size() == 0);
}

TEST_CASE("report: the postmaster's copy is a message of its own")
{
    Options told = options();
    told.notify.bounce = true;
    const auto reply = compose(request(), told);
    REQUIRE(reply.messages_size() == 2);
    CHECK(reply.messages(1).envelope().queue_id() == "NEW2");
    CHECK(has(reply.messages(1).content().inline_octets(), "Subject: Postmaster Copy: Undelivered Mail\r\n"));
    // The postmaster has a use for the header; what people write to each other is not for him.
    CHECK(has(reply.messages(1).content().inline_octets(), "Subject: hi\r\n"));
    CHECK_FALSE(has(reply.messages(1).content().inline_octets(), "the body"));
    CHECK(has(reply.messages(0).content().inline_octets(), "the body"));
}

TEST_CASE("report: a delay warning says how long, until when, and that nothing need be done")
{
    const auto reply = compose(request(ReportRequest::DELAY), options());
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(has(text, "Action: delayed\r\n"));
    CHECK(has(text, "more than 4 hour(s)"));
    CHECK(has(text, "within 5 day(s)"));
    CHECK(has(text, "Will-Retry-Until: "));
}

TEST_CASE("report: a delay warning tells the times of its mail, which a table may have made others than main.cf's")
{
    auto made = request(ReportRequest::DELAY);
    made.set_warned_after(7200);
    made.set_gives_up(0, made.envelope().arrival() + 86'400'000'000);
    made.set_gives_up(1, made.envelope().arrival() + 10 * 86'400'000'000);
    Options at_utc = options();
    const auto reply = compose(made, at_utc);
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(has(text, "more than 2 hour(s)"));
    CHECK(has(text, "within 10 day(s)"));
    const auto until = [&](std::int64_t when) {
        return fmt::format("Will-Retry-Until: {}\r\n", message::date(WallTime{std::chrono::microseconds{when}}, std::chrono::minutes{0}));
    };
    const std::size_t first = text.find(until(made.gives_up(0))), second = text.find(until(made.gives_up(1)));
    CHECK(first != text.npos);
    CHECK((second != text.npos && first < second));
}

TEST_CASE("report: an SMTPUTF8 message gets a global report (RFC 6533)")
{
    auto made = request();
    made.mutable_envelope()->set_smtputf8(true);
    made.mutable_envelope()->mutable_recipients(0)->set_address("gr\xc3\xbc\xc3\x9f@there.test");
    const auto reply = compose(made, options());
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(reply.messages(0).envelope().smtputf8());
    CHECK(reply.messages(0).envelope().body() == handoff::BODY_8BIT);
    CHECK(has(text, "report-type=global-delivery-status"));
    CHECK(has(text, "Final-Recipient: utf-8; gr\xc3\xbc\xc3\x9f@there.test\r\n"));
    CHECK(has(text, "Content-Type: message/global\r\n"));
}

TEST_CASE("report: addresses stand in fields as RFC 5322 wants them, quoted where they need it")
{
    auto made = request();
    made.mutable_envelope()->set_sender("a, b@ours.test");
    made.mutable_envelope()->mutable_recipients(0)->set_address("u 0@there.test");
    made.mutable_envelope()->mutable_recipients(1)->set_original("u\"1@here.test");
    const auto reply = compose(made, options());
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(reply.messages(0).envelope().recipients(0).address() == "a, b@ours.test");
    CHECK(has(text, "\r\nTo: \"a, b\"@ours.test\r\n"));
    CHECK(has(text, "X-Postfix-Sender: rfc822; \"a, b\"@ours.test\r\n"));
    CHECK(has(text, "Return-Path: <\"a, b\"@ours.test>\r\n"));
    CHECK(has(text, "Final-Recipient: rfc822; \"u 0\"@there.test\r\nOriginal-Recipient: rfc822;\"u 0\"@there.test\r\n"));
    CHECK(has(text, "Original-Recipient: rfc822;\"u\\\"1\"@here.test\r\n"));
}

TEST_CASE("report: a part with 8-bit octets is said so, and so is the whole")
{
    auto made = request();
    made.mutable_envelope()->set_sender("gr\xc3\xbc\xc3\x9f@ours.test");                  // let through without SMTPUTF8, as by Postfix
    const auto reply = compose(made, options());
    const std::string& text = reply.messages(0).content().inline_octets();
    CHECK(has(text.substr(0, text.find("\r\n\r\n") + 2), "\r\nContent-Transfer-Encoding: 8bit\r\n"));
    CHECK(has(text, "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
    CHECK(has(text, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"));
}

TEST_CASE("report: a reply with line ends and controls cannot add a field")
{
    auto made = request();
    made.mutable_verdicts(0)->set_diagnostic("550 no\r\nAction: delivered\r\n");
    const auto reply = compose(made, options());
    CHECK_FALSE(has(reply.messages(0).content().inline_octets(), "\r\nAction: delivered"));
}

TEST_CASE("template: bounce_template_file replaces words and subject, parameters are filled in")
{
    const auto templates = parse_templates(
        "# ours\nfailure_template = <<EOT\nSubject: Sorry\nCharset: utf-8\n\nHost $myhostname, ${delay_warning_time_hours} h, $$5, $unknown\nEOT\n",
        "b.cf");
    REQUIRE(templates);
    CHECK(templates->failure.subject == "Sorry");
    CHECK(templates->delay.subject == built_in_templates().delay.subject);
    CHECK(expand_template(templates->failure.text, options().parameter) == "Host mail.ours.test, 4 h, $5, $unknown\n");
}

TEST_CASE("template: errors name file and line")
{
    const auto message = [](std::string_view text) { return parse_templates(text, "b.cf").error().text(); };
    CHECK(message("what\n") == "b.cf, line 1: \"what\": expected \"failure_template = <<WORD\", or delay_, success_, verify_template");
    CHECK(message("\nfailure_template = <<E\nSubject: x\n\ntext\n") == "b.cf, line 2: the end \"E\" of failure_template is missing");
    CHECK(message("failure_template = <<E\nColour: red\n\ntext\nE\n") ==
          "b.cf, line 2: unknown header \"colour\"; known are Charset, From, Subject, Postmaster-Subject");
    CHECK(message("failure_template = <<E\nSubject: x\n\nE\n") == "b.cf, line 3: the template has no text");
    CHECK(message("failure_template = <<E\n\ngr\xc3\xbc\xc3\x9f\nE\n").find("not us-ascii") != std::string::npos);
}
