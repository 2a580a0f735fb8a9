#include "whatif/mail_log.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

using namespace posthorn;
using whatif::LogQuestion;
using whatif::LogQuestions;

namespace {

/// Each line with what syslog writes in front.
std::string as_logged(std::initializer_list<std::string_view> lines)
{
    std::string text;
    for (const std::string_view line : lines)
        text += fmt::format("Nov 27 10:00:00 mx {}\n", line);
    return text;
}

LogQuestions read(std::string_view text)
{
    whatif::MailLog log;
    log.feed(text);
    return log.take();
}

std::string shown(const LogQuestion& one)
{
    return fmt::format("{}{} {}[{}] {}{} {} <{}> <{}> +{} -{} {}", one.tag, one.local ? " local" : "", one.client.name, one.client.address,
                       one.esmtp ? "" : "HELO:", one.helo.empty() ? "-" : one.helo, one.login.empty() ? "-" : one.login, one.sender, one.recipient,
                       one.accepted, one.refused, one.refusal.empty() ? "-" : one.refusal);
}

std::vector<std::string> shown(const LogQuestions& found)
{
    std::vector<std::string> lines;
    for (const LogQuestion& one : found.questions)
        lines.push_back(shown(one));
    std::ranges::sort(lines);
    return lines;
}

using Shown = std::vector<std::string>;

}  // namespace

TEST_CASE("log: who was refused has client, HELO, login, sender, recipient and the reply")
{
    const auto found = read(
        as_logged({"postfix/smtpd[7]: NOQUEUE: reject: RCPT from mail.test[192.0.2.7]: 554 5.7.1 <u@far.test>: Relay access denied; from=<s@x.test> "
                   "to=<u@far.test> proto=ESMTP helo=<h.test>",
                   "postfix/submission/smtpd[8]: 4C3: reject: RCPT from unknown[2001:DB8::1]:40001: 450 4.1.8 <>: no; from=<> to=<a b@c.test> "
                   "proto=SMTP helo=<x> sasl_method=PLAIN sasl_username=joe",
                   "postfix/smtpd[7]: NOQUEUE: reject: RCPT from mail.test[192.0.2.7]: 554 5.7.1 <u@far.test>: Go away; from=<s@x.test> "
                   "to=<u@far.test> proto=ESMTP helo=<h.test>"}));
    CHECK(shown(found) == Shown{"postfix/smtpd mail.test[192.0.2.7] h.test - <s@x.test> <u@far.test> +0 -2 554 5.7.1 <u@far.test>: Go away",
                                "postfix/submission/smtpd [UNAVAILABLE][2001:db8::1] HELO:x joe <> <a b@c.test> +0 -1 450 4.1.8 <>: no"});
    CHECK(found.not_asked.empty());
}

TEST_CASE("log: whose mail was taken has client and login, the sender, and each recipient as it was given, once, however often it was tried")
{
    const auto found = read(
        as_logged({"postfix/smtpd[7]: 4Cx1: client=mail.test[192.0.2.7], sasl_method=PLAIN, sasl_username=joe, sasl_sender=j@x.test",
                   "postfix/cleanup[3]: 4Cx1: message-id=<a@b>", "postfix/qmgr[2]: 4Cx1: from=<s@x.test>, size=300, nrcpt=2 (queue active)",
                   "postfix/smtp[9]: 4Cx1: to=<u@far.test>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred (x)",
                   "postfix/local[9]: 4Cx1: to=<me@here.test>, orig_to=<root@here.test>, relay=local, delay=1, status=sent (ok)",
                   "postfix/local[9]: 4Cx1: to=<you@here.test>, orig_to=<root@here.test>, relay=local, delay=1, status=sent (ok)",
                   "postfix/qmgr[2]: 4Cx1: from=<s@x.test>, size=300, nrcpt=2 (queue active)",
                   "postfix/smtp[9]: 4Cx1: to=<u@far.test>, relay=h[192.0.2.9]:25, delay=1, delays=0/0/0/1, tls=may, dsn=2.0.0, status=sent (250 Ok)",
                   "postfix/qmgr[2]: 4Cx1: removed", "postfix/smtp[9]: 4Cx1: to=<late@far.test>, relay=none, status=sent (of nobody any more)"}));
    CHECK(shown(found) == Shown{"postfix/smtpd mail.test[192.0.2.7] - joe <s@x.test> <root@here.test> +1 -0 -",
                                "postfix/smtpd mail.test[192.0.2.7] - joe <s@x.test> <u@far.test> +1 -0 -"});
}

TEST_CASE("log: what was taken has the HELO of the same client's refusals, and is one question with those")
{
    const auto found = read(as_logged(
        {"postfix/smtpd[7]: NOQUEUE: reject: RCPT from a.test[192.0.2.7]: 450 4.2.0 <u@h.test>: Greylisted; from=<s@x.test> "
         "to=<u@h.test> proto=SMTP helo=<h.test>",
         "postfix/smtpd[7]: 1A: client=a.test[192.0.2.7]", "postfix/qmgr[2]: 1A: from=<s@x.test>, size=1, nrcpt=1 (queue active)",
         "postfix/smtp[9]: 1A: to=<u@h.test>, relay=none, status=sent (x)", "postfix/smtpd[7]: 1B: client=b.test[192.0.2.8]",
         "postfix/qmgr[2]: 1B: from=<s@x.test>, size=1, nrcpt=1 (queue active)", "postfix/smtp[9]: 1B: to=<u@h.test>, relay=none, status=sent (x)"}));
    CHECK(shown(found) == Shown{"postfix/smtpd a.test[192.0.2.7] HELO:h.test - <s@x.test> <u@h.test> +1 -1 450 4.2.0 <u@h.test>: Greylisted",
                                "postfix/smtpd b.test[192.0.2.8] - - <s@x.test> <u@h.test> +1 -0 -"});
}

TEST_CASE("log: local mail has no client; times may be of either kind, line ends too, and ids may be given again")
{
    const auto found =
        read("2026-11-27T10:00:00.123456+01:00 mx postfix/pickup[1]: 1A: uid=0 from=<root>\r\n"
             "2026-11-27T10:00:00.123456+01:00 mx postfix/qmgr[2]: 1A: from=<root@h.test>, size=1, nrcpt=1 (queue active)\r\n"
             "2026-11-27T10:00:00.123456+01:00 mx postfix/smtp[2]: 1A: to=<u@far.test>, orig_to=<admin>, relay=none, status=sent (x)\r\n"
             "2026-11-27T10:00:01.123456+01:00 mx postfix/smtpd[1]: 1A: client=a.test[192.0.2.7]\n"
             "2026-11-27T10:00:01.123456+01:00 mx postfix/qmgr[2]: 1A: from=<>, size=1, nrcpt=1 (queue active)\n"
             "2026-11-27T10:00:01.123456+01:00 mx postfix/smtp[2]: 1A: to=<v@far.test>, relay=none, status=sent (x)");
    CHECK(shown(found) == Shown{"postfix/pickup local [UNAVAILABLE][] - - <root@h.test> <admin> +1 -0 -",
                                "postfix/smtpd a.test[192.0.2.7] - - <> <v@far.test> +1 -0 -"});
}

TEST_CASE("log: what is no question at RCPT is counted by its reason")
{
    const auto found = read(
        as_logged({"postfix/postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:4: 550 5.7.1 x; from=<a@b>, to=<c@d>, proto=ESMTP, helo=<e>",
                   "postfix/smtpd[1]: NOQUEUE: reject: CONNECT from a.test[192.0.2.1]: 554 5.7.1 x; proto=SMTP",
                   "postfix/smtpd[1]: NOQUEUE: reject: MAIL from a.test[192.0.2.1]: 554 5.7.1 x; from=<a@b> proto=ESMTP helo=<e>",
                   "postfix/smtpd[1]: 1A: reject: DATA from a.test[192.0.2.1]: 554 5.7.1 x; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                   "postfix/smtpd[1]: NOQUEUE: milter-reject: RCPT from a.test[192.0.2.1]: 554 5.7.1 x; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                   "postfix/cleanup[1]: 1B: milter-reject: END-OF-MESSAGE from a.test[192.0.2.1]: 5.7.1 x; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                   "postfix/cleanup[1]: 1C: reject: header Subject: x from a.test[192.0.2.1]; from=<a@b> to=<c@d> proto=ESMTP helo=<e>: 5.7.1 x",
                   "postfix/smtpd[1]: 1D: client=localhost[127.0.0.1], orig_queue_id=1A, orig_client=a.test[192.0.2.1]",
                   "postfix/smtpd[1]: 1E: client=a.test[192.0.2.1]",
                   "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[here]: 554 5.7.1 x; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                   "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 5.7.1 x; from=<a@b> to=<> proto=ESMTP helo=<e>",
                   "postfix/smtpd[1]: NOQUEUE: reject_warning: RCPT from a.test[192.0.2.1]: 554 x; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                   "postfix/smtpd[1]: NOQUEUE: client=a.test[192.0.2.1]", "postfix/smtpd[1]: connect from a.test[192.0.2.1]",
                   "postfix/smtp[1]: 1F: to=<c@d>, relay=none, status=sent (of a mail that began before)"}));
    CHECK(found.questions.empty());
    const std::map<std::string, std::uint64_t> expected{{"an address, a client or a login that the log does not have whole", 2},
                                                        {"brought back by a content filter", 1},
                                                        {"refused at DATA or at the end of the mail", 1},
                                                        {"refused before RCPT, or at another command", 2},
                                                        {"refused by a Milter", 2},
                                                        {"refused by postscreen, before the server", 1},
                                                        {"refused for what was in the mail", 1},
                                                        {"taken, and not delivered to anybody in this log", 1}};
    CHECK(found.not_asked == expected);
}

TEST_CASE("log: what strangers say is no line of its own, no other client, and fits a line of SMTP")
{
    const auto found = read(as_logged(
        {"postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 5.7.1 <\"; from=<z@z> to=<z@z> proto=SMTP helo=<z>\"@d>: x; "
         "from=<a@b> to=<\"; from=<z@z> to=<z@z> proto=SMTP helo=<z>\"@d> proto=ESMTP helo=<e>",
         "postfix/smtpd[1]: NOQUEUE: reject: RCPT from -bad..name[192.0.2.2]: 554 5.7.1 x; from=<a@b> to=<c@d> proto=ESMTP helo=<two words>",
         "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.4]: 554 x; from=<\"; from=<z@z\"@q> to=<c@d> proto=ESMTP helo=<e>",
         "postfix/cleanup[1]: 1A: message-id=<x postfix/smtpd[1]: NOQUEUE: reject: RCPT from evil.test[192.0.2.3]: 5; from=<> to=<y@z> proto=X>",
         "postfix/smtpd[1]: warning: postfix/pickup[1]: 1A: uid=0 from=<root>", "sshd[1]: 1A: client=a.test[192.0.2.1]"}));
    CHECK(shown(found) == Shown{"postfix/smtpd [UNAVAILABLE][192.0.2.2] - - <a@b> <c@d> +0 -1 554 5.7.1 x"});
    CHECK(found.not_asked.at("an address, a client or a login that the log does not have whole") == 2);
}

TEST_CASE("log: the most frequent come first, those that are alike in an order of their own; pieces do not matter")
{
    std::string text;
    for (int i = 0; i < 40; ++i)
        for (int times = i < 3 ? 5 - i : 1; times > 0; --times)
            text += as_logged({fmt::format(
                "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 x; from=<a@b> to=<u{:02}@d.test> proto=ESMTP helo=<e>", i)});
    const auto whole = read(text);
    REQUIRE(whole.questions.size() == 40);
    CHECK(whole.questions[0].recipient == "u00@d.test");
    CHECK(whole.questions[1].recipient == "u01@d.test");
    CHECK(whole.questions[2].refused == 3);
    Shown rest;
    for (std::size_t i = 3; i < whole.questions.size(); ++i)
        rest.push_back(whole.questions[i].recipient);
    CHECK_FALSE(std::ranges::is_sorted(rest));  // a sample is not of the night alone

    whatif::MailLog log;
    for (const char octet : text)
        log.feed({&octet, 1});
    const auto pieces = log.take();
    CHECK(shown(pieces) == shown(whole));
    CHECK(pieces.questions[5].recipient == whole.questions[5].recipient);
}

TEST_CASE("log: a line of any length is one line, and the next one is read")
{
    const auto found = read(
        as_logged({fmt::format("postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 {}; from=<a@b> to=<c@d> proto=ESMTP helo=<e>",
                               std::string(100'000, 'x')),
                   "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 y; from=<a@b> to=<c@d> proto=ESMTP helo=<e>"}));
    CHECK(shown(found) == Shown{"postfix/smtpd a.test[192.0.2.1] e - <a@b> <c@d> +0 -1 554 y"});
    CHECK(found.not_asked.at("an address, a client or a login that the log does not have whole") == 1);
}
