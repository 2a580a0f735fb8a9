#include "receive/policy/policy_test.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

// "client address|helo|sender|recipient" through a server with these settings: the reply that refused, or RCPT's.
std::string reply_to(House& house, std::string_view address, std::string_view helo, std::string_view sender, std::string_view recipient)
{
    Talk talk(house, std::string(address));
    std::string reply = talk.greeting;
    const auto last = [](const std::string& text) {
        const auto lines = lines_of(text);
        return lines.empty() ? std::string{} : lines.back();
    };
    if (!reply.starts_with("220"))
        return last(reply);
    if (!helo.empty()) {
        reply = talk(fmt::format("EHLO {}", helo));
        if (!reply.starts_with("250"))
            return last(reply);
    }
    reply = talk(fmt::format("MAIL FROM:<{}>", sender));
    if (!reply.starts_with("250"))
        return last(reply);
    return last(talk(fmt::format("RCPT TO:<{}>", recipient)));
}

struct PolicyRow {
    std::string_view list, restrictions;      // one list; the others as Postfix's defaults
    std::string_view client, helo, sender, recipient, reply;
};

constexpr std::string_view in = "192.0.2.100", nameless = "192.0.2.7";

// Replies checked against Debian's Postfix 3.7 where it can be asked.
constexpr PolicyRow policy_rows[] = {
    // Plain words.
    {"client", "permit", out, "h.test", stranger, me, ok},
    {"client", "reject", out, "h.test", stranger, me, "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "defer", out, "h.test", stranger, me, "450 4.3.2 <client.test[192.0.2.1]>: Client host rejected: Try again later"},
    {"helo", "reject", out, "h.test", stranger, me, "554 5.7.1 <h.test>: Helo command rejected: Access denied"},
    {"sender", "reject", out, "h.test", stranger, me, "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "reject", out, "h.test", "", me, "554 5.7.1 <>: Sender address rejected: Access denied"},
    {"recipient", "reject", out, "h.test", stranger, me, "554 5.7.1 <user@example.test>: Recipient address rejected: Access denied"},
    {"sender", "permit, reject", out, "h.test", stranger, me, ok},
    {"sender", "warn_if_reject reject", out, "h.test", stranger, me, ok},
    {"sender", "warn_if_reject reject, defer", out, "h.test", stranger, me, "450 4.3.2 <a@b.test>: Sender address rejected: Try again later"},
    {"sender", "defer_if_permit", out, "h.test", stranger, me, "450 4.7.0 <a@b.test>: Sender address rejected: defer_if_permit requested"},
    {"sender", "defer_if_permit, permit", out, "h.test", stranger, me, "450 4.7.0 <a@b.test>: Sender address rejected: defer_if_permit requested"},
    {"sender", "defer_if_permit, reject", out, "h.test", stranger, me, "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "defer_if_reject, reject", out, "h.test", stranger, me, "450 4.7.0 <a@b.test>: Sender address rejected: defer_if_reject requested"},
    {"sender", "defer_if_reject", out, "h.test", stranger, me, ok},
    {"sender", "defer_if_reject", out, "h.test", stranger, "nobody@example.test",
     "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table"},
    {"sender", "defer_if_permit", out, "h.test", stranger, "nobody@example.test",
     "450 4.7.0 <a@b.test>: Sender address rejected: defer_if_permit requested"},
    {"sender", "reject", out, "h.test", stranger, "postmaster", ok},
    // The client.
    {"client", "permit_mynetworks, reject", in, "h.test", stranger, me, ok},
    {"client", "permit_mynetworks, reject", out, "h.test", stranger, me, "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "permit_sasl_authenticated, reject", in, "h.test", stranger, me,
     "554 5.7.1 <inside.test[192.0.2.100]>: Client host rejected: Access denied"},
    {"client", "reject_unknown_client_hostname", out, "h.test", stranger, me, ok},
    {"client", "reject_unknown_client_hostname", nameless, "h.test", stranger, me,
     "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]"},
    {"client", "reject_unknown_client_hostname", "192.0.2.66", "h.test", stranger, me,
     "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.66]"},
    {"client", "reject_unknown_reverse_client_hostname", "192.0.2.66", "h.test", stranger, me, ok},
    {"client", "reject_unknown_reverse_client_hostname", nameless, "h.test", stranger, me,
     "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.7]"},
    {"client", "reject_plaintext_session", out, "h.test", stranger, me, "450 4.7.1 Session encryption is required"},
    {"client", "check_client_access inline:{192.0.2=REJECT}", out, "h.test", stranger, me,
     "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "check_client_access inline:{client.test=DEFER}", out, "h.test", stranger, me,
     "450 4.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "check_client_access inline:{test=REJECT}", out, "h.test", stranger, me,
     "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "check_client_access inline:{unknown=REJECT}", nameless, "h.test", stranger, me,
     "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied"},
    {"client", "inline:{192.0.2.1=REJECT}", out, "h.test", stranger, me, "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "check_client_access inline:{192.0.2.1=OK}, reject", out, "h.test", stranger, me, ok},
    {"client", "check_client_access inline:{192.0.2.1=DUNNO, 192.0.2=REJECT}", out, "h.test", stranger, me, ok},
    // HELO.
    {"helo", "reject_invalid_helo_hostname", out, "a..b", stranger, me, "501 5.5.2 <a..b>: Helo command rejected: Invalid name"},
    {"helo", "reject_invalid_helo_hostname", out, "[1.2.3", stranger, me, "501 5.5.2 <[1.2.3>: Helo command rejected: invalid ip address"},
    {"helo", "reject_invalid_helo_hostname", out, "[192.0.2.1]", stranger, me, ok},
    {"helo", "reject_invalid_helo_hostname", out, "foo_bar", stranger, me, ok},
    {"helo", "reject_invalid_helo_hostname", out, "", stranger, me, ok},
    {"helo", "reject_non_fqdn_helo_hostname", out, "cl", stranger, me, "504 5.5.2 <cl>: Helo command rejected: need fully-qualified hostname"},
    {"helo", "reject_non_fqdn_helo_hostname", out, "cl.test", stranger, me, ok},
    {"helo", "reject_unknown_helo_hostname", out, "absent.test", stranger, me, "450 4.7.1 <absent.test>: Helo command rejected: Host not found"},
    {"helo", "reject_unknown_helo_hostname", out, "slow.test", stranger, me, "450 4.7.1 <slow.test>: Helo command rejected: Host not found"},
    {"helo", "reject_unknown_helo_hostname", out, "slow.test", stranger, "x@elsewhere.test", "454 4.7.1 <x@elsewhere.test>: Relay access denied"},
    {"helo", "check_helo_access inline:{hb.test=REJECT}", out, "x.hb.test", stranger, me,
     "554 5.7.1 <x.hb.test>: Helo command rejected: Access denied"},
    // Senders.
    {"sender", "reject_non_fqdn_sender", out, "h.test", "a@b", me, "504 5.5.2 <a@b>: Sender address rejected: need fully-qualified address"},
    {"sender", "reject_non_fqdn_sender", out, "h.test", "", me, ok},
    {"sender", "reject_unknown_sender_domain", out, "h.test", "a@nx.invalid", me,
     "450 4.1.8 <a@nx.invalid>: Sender address rejected: Domain not found"},
    {"sender", "reject_unknown_sender_domain", out, "h.test", "a@null.test", me,
     "550 5.7.27 <a@null.test>: Sender address rejected: Domain null.test does not accept mail (nullMX)"},
    {"sender", "reject_unknown_sender_domain", out, "h.test", "a@slow.test", me,
     "450 4.1.8 <a@slow.test>: Sender address rejected: Domain not found"},
    {"sender", "reject_unknown_sender_domain", out, "h.test", "a@example.test", me, ok},
    {"sender", "reject_unknown_sender_domain", out, "h.test", "a@fail.test", me, "451 4.3.0 <a@fail.test>: Temporary lookup failure"},
    {"sender", "reject_unlisted_sender", out, "h.test", "no@example.test", me,
     "550 5.1.0 <no@example.test>: Sender address rejected: User unknown in local recipient table"},
    {"sender", "reject_unlisted_sender", out, "h.test", "x@alias.test", me,
     "550 5.1.7 <x@alias.test>: Sender address rejected: User unknown in virtual alias table"},
    {"sender", "reject_unlisted_sender", out, "h.test", stranger, me, ok},
    // Recipients, in the recipient list or any other.
    {"recipient", "reject_non_fqdn_recipient", out, "h.test", stranger, "user@example", "454 4.7.1 <user@example>: Relay access denied"},
    {"sender", "reject_non_fqdn_recipient", out, "h.test", stranger, "user@example",
     "504 5.5.2 <user@example>: Recipient address rejected: need fully-qualified address"},
    {"recipient", "reject_unknown_recipient_domain", in, "h.test", stranger, "a@nx.invalid",
     "450 4.1.2 <a@nx.invalid>: Recipient address rejected: Domain not found"},
    {"recipient", "reject_unknown_recipient_domain", in, "h.test", stranger, "completed",
     "450 4.1.2 <completed>: Recipient address rejected: Domain not found"},
    {"recipient", "reject_unknown_recipient_domain", in, "h.test", stranger, "a@null.test",
     "556 5.1.10 <a@null.test>: Recipient address rejected: Domain null.test does not accept mail (nullMX)"},
    {"recipient", "", out, "h.test", stranger, "x@alias.test",
     "550 5.1.1 <x@alias.test>: Recipient address rejected: User unknown in virtual alias table"},
    {"recipient", "", out, "h.test", stranger, "x@box.test",
     "550 5.1.1 <x@box.test>: Recipient address rejected: User unknown in virtual mailbox table"},
    {"recipient", "", out, "h.test", stranger, "nobody@relay.test",
     "550 5.1.1 <nobody@relay.test>: Recipient address rejected: User unknown in relay recipient table"},
    {"recipient", "", out, "h.test", stranger, "moved@example.test",
     "550 5.1.6 <moved@example.test>: Recipient address rejected: User has moved to new@elsewhere.test"},
    {"recipient", "", out, "h.test", stranger, "x@fail.test", "451 4.3.0 <x@fail.test>: Temporary lookup failure"},
    {"recipient", "", out, "h.test", stranger, "any@relay.test", ok},
    // access(5) results.
    {"sender", "check_sender_access inline:{{a@b.test = REJECT go away}}", out, "h.test", stranger, me,
     "554 5.7.1 <a@b.test>: Sender address rejected: go away"},
    {"sender", "check_sender_access inline:{{a@b.test = REJECT 5.7.9 go}}", out, "h.test", stranger, me,
     "554 5.7.9 <a@b.test>: Sender address rejected: go"},
    {"sender", "check_sender_access inline:{{a@b.test = DEFER later please}}", out, "h.test", stranger, me,
     "450 4.7.1 <a@b.test>: Sender address rejected: later please"},
    {"sender", "check_sender_access inline:{{a@b.test = DEFER_IF_PERMIT}}", out, "h.test", stranger, me,
     "450 4.7.1 <a@b.test>: Sender address rejected: Service unavailable"},
    {"sender", "check_sender_access inline:{{a@b.test = DEFER_IF_REJECT}}, reject", out, "h.test", stranger, me,
     "450 4.7.1 <a@b.test>: Sender address rejected: Service unavailable"},
    {"sender", "check_sender_access inline:{{b.test = 550 nope}}", out, "h.test", stranger, me,
     "550 5.7.1 <a@b.test>: Sender address rejected: nope"},
    {"sender", "check_sender_access inline:{{a@ = 550 5.9.9 nope}}", out, "h.test", stranger, me,
     "550 5.9.9 <a@b.test>: Sender address rejected: nope"},
    {"sender", "check_sender_access inline:{{<> = REJECT}}", out, "h.test", "", me, "554 5.7.1 <>: Sender address rejected: Access denied"},
    {"sender", "check_sender_access inline:{{a@b.test = 421 go}}", out, "h.test", stranger, me, "421 4.7.1 <a@b.test>: Sender address rejected: go"},
    {"sender", "check_sender_access inline:{{a@b.test = HANGUP}}", out, "h.test", stranger, me, ""},
    {"sender", "check_sender_access inline:{{a@b.test = 1234567}}, reject", out, "h.test", stranger, me, ok},
    {"sender", "check_sender_access inline:{{a@b.test = blah}}", out, "h.test", stranger, me, "451 4.3.5 Server configuration error"},
    // What is wrong with a list of restrictions counts when its turn comes; a table anywhere in it at once.
    {"sender", "check_sender_access inline:{{a@b.test = permit, blah}}", out, "h.test", stranger, me, ok},
    {"sender", "check_sender_access inline:{{a@b.test = reject, blah}}", out, "h.test", stranger, me,
     "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_access inline:{{a@b.test = permit, inline:{x=y}}}", out, "h.test", stranger, me, "451 4.3.5 Server configuration error"},
    {"sender", "check_sender_access inline:{{a@b.test = 250 ok}}", out, "h.test", stranger, me, "451 4.3.5 Server configuration error"},
    {"sender", "check_sender_access inline:{{a@b.test = check_sender_access inline:{x=y}}}", out, "h.test", stranger, me,
     "451 4.3.5 Server configuration error"},
    {"sender", "check_sender_access inline:{{a@b.test = reject_non_fqdn_recipient, reject}}", out, "h.test", stranger, me,
     "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_access inline:{{a@b.test = strict}}", out, "h.test", stranger, me,
     "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "strict", out, "h.test", stranger, me, "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_access fail:broken", out, "h.test", stranger, me,
     "451 4.3.5 <a@b.test>: Sender address rejected: Server configuration error"},
    {"sender", "warn_if_reject check_sender_access fail:broken", out, "h.test", stranger, me,
     "451 4.3.5 <a@b.test>: Sender address rejected: Server configuration error"},
    // One without a domain is asked for with that of myorigin, and said as it was said.
    {"sender", "check_sender_access inline:{{user@example.test = REJECT}}", out, "h.test", "user", me,
     "554 5.7.1 <user>: Sender address rejected: Access denied"},
    {"recipient", "check_recipient_access inline:{{example.test = REJECT}}", out, "h.test", stranger, "user",
     "554 5.7.1 <user>: Recipient address rejected: Access denied"},
    // What a later refusal becomes is whatever put a permission off, where something did; whichever came first.
    {"recipient", "check_sender_access inline:{{a@b.test = DEFER_IF_PERMIT}}, check_recipient_access inline:{{user@ = DEFER_IF_REJECT}}, reject", out,
     "h.test", stranger, me, "450 4.7.1 <a@b.test>: Sender address rejected: Service unavailable"},
    {"recipient", "check_sender_access inline:{{a@b.test = DEFER_IF_REJECT}}, check_recipient_access inline:{{user@ = DEFER_IF_PERMIT}}, reject", out,
     "h.test", stranger, me, "450 4.7.1 <user@example.test>: Recipient address rejected: Service unavailable"},
    {"recipient", "check_recipient_access inline:{{user@ = REJECT not here}}", out, "h.test", stranger, me,
     "554 5.7.1 <user@example.test>: Recipient address rejected: not here"},
    {"recipient", "check_recipient_access inline:{{user+x@example.test = REJECT}, {user@example.test = OK}}", out, "h.test", stranger,
     "user+x@example.test", "554 5.7.1 <user+x@example.test>: Recipient address rejected: Access denied"},
};

}  // namespace

TEST_CASE("restrictions: one list at a time, row by row, as Postfix answers")
{
    CHECK(std::size(policy_rows) >= 60);
    for (const PolicyRow& row : policy_rows) {
        CAPTURE(row.list);
        CAPTURE(row.restrictions);
        CAPTURE(row.recipient);
        House house(options_of({{fmt::format("smtpd_{}_restrictions", row.list), std::string(row.restrictions)},
                                {"smtpd_restriction_classes", "strict"},
                                {"strict", "reject_non_fqdn_sender, reject"},
                                {"recipient_delimiter", "+"}}));
        CHECK(reply_to(house, row.client, row.helo, row.sender, row.recipient) == row.reply);
    }
}

TEST_CASE("restrictions: where mynetworks cannot be asked, the reply is about what its list is about")
{
    for (const auto& [list, about] :
         {std::pair("client", "client.test[192.0.2.1]"), std::pair("sender", "a@b.test"), std::pair("relay", "user@example.test")}) {
        House house(options_of({{fmt::format("smtpd_{}_restrictions", list), "permit_mynetworks, reject"}}));
        house.classes.broken = true;
        CHECK(reply_to(house, out, "h.test", stranger, me) == fmt::format("451 4.3.0 <{}>: Temporary lookup failure", about));
        // Why was said where the list was asked.
        CHECK(house.whole_log().find("warning: ") == std::string::npos);
    }
}

TEST_CASE("restrictions: a table of access that fails is said as Postfix says it")
{
    House house(options_of({{"smtpd_sender_restrictions", "check_sender_access fail:broken"}}));
    CHECK(reply_to(house, out, "h.test", stranger, me).starts_with("451 4.3.5 "));
    CHECK(house.logged("warning: fail:broken is unavailable. Application error"));
    CHECK(house.logged("warning: fail:broken lookup error for \"a@b.test\""));
}

TEST_CASE("restrictions: with smtpd_delay_reject = no each list speaks at its own command")
{
    const auto with = [](std::string list) {
        return options_of({{"smtpd_delay_reject", "no"}, {fmt::format("smtpd_{}_restrictions", list), "permit_mynetworks, reject"}});
    };
    {
        House house(with("client"));
        Talk talk(house);
        CHECK(talk.greeting == "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied\r\n");
        CHECK(talk("EHLO x") == "503 5.7.0 Error: access denied for client.test[192.0.2.1]\r\n");
        CHECK(talk("MAIL FROM:<>") == "503 5.7.0 Error: access denied for client.test[192.0.2.1]\r\n");
        CHECK(talk("QUIT") == "221 2.0.0 Bye\r\n");
        CHECK(house.logged(
            "NOQUEUE: reject: CONNECT from client.test[192.0.2.1]: 554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied; proto=SMTP"));
    }
    {
        House house(with("helo"));
        CHECK(reply_to(house, "192.0.2.1", "h.test", "a@b.test", "user@example.test") == "554 5.7.1 <h.test>: Helo command rejected: Access denied");
    }
    {
        House house(with("sender"));
        CHECK(reply_to(house, "192.0.2.1", "h.test", "a@b.test", "user@example.test") ==
              "554 5.7.1 <a@b.test>: Sender address rejected: Access denied");
        CHECK(house.logged("NOQUEUE: reject: MAIL from client.test[192.0.2.1]: 554 5.7.1 <a@b.test>: Sender address rejected: Access denied; "
                           "from=<a@b.test> proto=ESMTP helo=<h.test>"));
    }
}

TEST_CASE("restrictions: data and end-of-data lists, and their log lines")
{
    House house(options_of({{"smtpd_data_restrictions", "check_sender_access inline:{{dt@s.test = REJECT no data}}"},
                            {"smtpd_end_of_data_restrictions", "check_sender_access inline:{{et@s.test = reject}}"}}));
    Talk talk(house);
    talk("EHLO x");
    talk.send("MAIL FROM:<dt@s.test>\r\nRCPT TO:<user@example.test>\r\n");
    CHECK(talk("DATA") == "554 5.7.1 <dt@s.test>: Sender address rejected: no data\r\n");
    CHECK(house.logged("Q1: reject: DATA from client.test[192.0.2.1]: 554 5.7.1 <dt@s.test>: Sender address rejected: no data; "
                       "from=<dt@s.test> to=<user@example.test> proto=ESMTP helo=<x>"));
    talk("RSET");
    CHECK(talk.send("MAIL FROM:<dt@s.test>\r\nRCPT TO:<user@example.test>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n") ==
          "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n554 5.7.1 <dt@s.test>: Sender address rejected: no data\r\n250 2.0.0 Ok\r\n");
    talk("RSET");
    talk.send("MAIL FROM:<et@s.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
    CHECK(talk.send("a: b\r\n\r\n.\r\n") == "554 5.7.1 <et@s.test>: Sender address rejected: Access denied\r\n");
    CHECK(house.queue.asked == 0);
}

TEST_CASE("restrictions: reject_multi_recipient_bounce looks at all recipients of the null sender")
{
    House house(options_of({{"smtpd_data_restrictions", "reject_multi_recipient_bounce"}}));
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n")
              .ends_with("550 5.5.3 <>: Recipient address rejected: Multi-recipient bounce\r\n"));
    talk("RSET");
    CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n").ends_with("354 End data with <CR><LF>.<CR><LF>\r\n"));
}

TEST_CASE("restrictions: unverified addresses are refused, deferred or let pass as the codes and actions say")
{
    const std::string dots = "host h[192.0.2.9] said: 550 5.1.1 No such user (in reply to RCPT TO command)" + std::string(250 - 76, '.');
    struct Case {
        Settings settings;
        std::string_view sender, recipient;
        std::string reply;
    };
    const std::pair<std::string, std::string> recipients{"smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient"};
    const std::pair<std::string, std::string> senders{"smtpd_sender_restrictions", "reject_unverified_sender"};
    const Case cases[] = {
        {{recipients}, stranger, "good@relay.test", std::string(ok)},
        {{recipients}, stranger, "good@b.test", "454 4.7.1 <good@b.test>: Relay access denied"},
        {{recipients}, stranger, "bad@relay.test", "450 4.1.1 <bad@relay.test>: Recipient address rejected: unverified address: " + dots},
        {{recipients, {"unverified_recipient_reject_code", "550"}},
         stranger,
         "bad@relay.test",
         "550 5.1.1 <bad@relay.test>: Recipient address rejected: undeliverable address: " + dots},
        {{recipients, {"unverified_recipient_reject_code", "250"}}, stranger, "bad@relay.test", std::string(ok)},
        {{recipients, {"unverified_recipient_reject_code", "550"}, {"unverified_recipient_reject_reason", "not here"}},
         stranger,
         "bad@relay.test",
         "550 5.1.1 <bad@relay.test>: Recipient address rejected: undeliverable address: not here"},
        {{recipients},
         stranger,
         "slow@relay.test",
         "450 4.1.1 <slow@relay.test>: Recipient address rejected: unverified address: connect to h[192.0.2.9]:25: Connection timed out"},
        {{recipients, {"unverified_recipient_defer_code", "250"}}, stranger, "slow@relay.test", std::string(ok)},
        {{recipients},
         stranger,
         "new@relay.test",
         "450 4.1.1 <new@relay.test>: Recipient address rejected: unverified address: Address verification in progress"},
        {{recipients}, stranger, "none@relay.test", "450 4.1.1 <none@relay.test>: Recipient address rejected: address verification problem"},
        // defer_if_permit: a later refusal counts more; with "defer" it ends here.
        {{{"smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient, reject"}},
         stranger,
         "slow@relay.test",
         "554 5.7.1 <slow@relay.test>: Recipient address rejected: Access denied"},
        {{{"smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient, reject"},
          {"unverified_recipient_tempfail_action", "defer"}},
         stranger,
         "slow@relay.test",
         "450 4.1.1 <slow@relay.test>: Recipient address rejected: unverified address: connect to h[192.0.2.9]:25: Connection timed out"},
        {{senders}, "good@b.test", me, std::string(ok)},
        {{senders}, "", me, std::string(ok)},
        {{senders}, "bad@b.test", me, "450 4.1.7 <bad@b.test>: Sender address rejected: unverified address: " + dots},
        {{senders, {"unverified_sender_reject_code", "553"}},
         "bad@b.test",
         me,
         "553 5.1.7 <bad@b.test>: Sender address rejected: undeliverable address: " + dots},
        {{{"smtpd_sender_restrictions", "warn_if_reject reject_unverified_sender"}}, "bad@b.test", me, std::string(ok)},
        // The sender of our probes: as a recipient it is asked about by nobody, as a sender it loses its time.
        {{recipients}, "", "double-bounceX1@mx.example.test", std::string(ok)},
    };
    for (const Case& row : cases) {
        House house(options_of(row.settings));
        CAPTURE(row.recipient);
        CHECK(reply_to(house, out, "h.test", row.sender, row.recipient) == row.reply);
    }
}

TEST_CASE("restrictions: recipients of one group are verified together, and only those whom the restrictions would ask about")
{
    House house(options_of({{"smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient"}}));
    Talk talk(house, std::string(out));
    talk("EHLO h.test");
    const std::string replies = talk("MAIL FROM:<a@b.test>\r\nRCPT TO:<good@relay.test>\r\nRCPT TO:<a@foreign.test>\r\nRCPT TO:<new@relay.test>\r\n"
                                     "RCPT TO:<slow@relay.test>\r\nRSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<good@box.test>");
    CHECK(house.verifier.ahead == std::vector<std::string>{"good@relay.test", "new@relay.test", "slow@relay.test"});
    CHECK(house.verifier.asked == std::vector<std::string>{"good@relay.test", "new@relay.test", "slow@relay.test", "good@box.test"});
    // The rehearsal has neither answered nor logged anything.
    CHECK(lines_of(replies).size() == 8);
    const std::string log = house.whole_log();
    CHECK(log.find("Relay access denied") == log.rfind("Relay access denied"));
    CHECK(house.queue.ids == 1);
}

TEST_CASE("restrictions: how long a probe is waited for follows the poll parameters, and stress cuts it off")
{
    const auto patience = [](Settings settings) {
        settings.emplace_back("smtpd_sender_restrictions", "reject_unverified_sender");
        House house(options_of(settings));
        reply_to(house, out, "h.test", "good@b.test", me);
        REQUIRE(house.verifier.patiences.size() == 1);
        return house.verifier.patiences.front();
    };
    using namespace std::chrono_literals;
    CHECK(patience({}) == 9s);
    CHECK(patience({{"address_verify_poll_count", "5"}, {"address_verify_poll_delay", "2s"}}) == 10s);
    CHECK(patience({{"address_verify_poll_count", "1"}}) == 0s);
    CHECK(patience({{"stress", "yes"}}) == 0s);
}

TEST_CASE("access results: hold, discard, redirect, bcc, prepend, filter and notes reach the queue and the log")
{
    House house(options_of(
        {{"smtpd_sender_restrictions",
          "check_sender_access inline:{{hold@s.test = HOLD}, {disc@s.test = DISCARD bad one}, {redir@s.test = REDIRECT new@example.test},"
          " {bcc@s.test = BCC copy@example.test}, {prep@s.test = PREPEND X-Foo: bar}, {filt@s.test = FILTER scan:[127.0.0.1]:10025},"
          " {warn@s.test = WARN see this}, {info@s.test = INFO}, {badr@s.test = REDIRECT nowhere}, {wir@s.test = warn_if_reject reject}}"}}));
    const auto mail = [&](std::string_view sender) {
        Talk talk(house);
        talk("EHLO cl.test");
        talk.send(fmt::format("MAIL FROM:<{}@s.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", sender));
        return talk.send("a: b\r\n\r\n.\r\n");
    };
    const auto line = [](std::string_view what, std::string_view text, std::string_view sender) {
        return fmt::format("NOQUEUE: {}: RCPT from client.test[192.0.2.1]: {}; from=<{}@s.test> to=<user@example.test> proto=ESMTP helo=<cl.test>",
                           what, text, sender);
    };
    CHECK(mail("hold") == "250 2.0.0 Ok: queued as Q1\r\n");
    CHECK(house.queue.stored.back().first.hold());
    CHECK(house.logged(line("hold", "<hold@s.test>: Sender address triggers HOLD action", "hold")));
    CHECK(mail("disc") == "250 2.0.0 Ok: queued as Q2\r\n");
    CHECK(house.queue.stored.size() == 1);
    CHECK(house.logged(line("discard", "<disc@s.test>: Sender address bad one", "disc")));
    CHECK(mail("redir") == "250 2.0.0 Ok: queued as Q3\r\n");
    CHECK(house.queue.stored.back().first.redirect() == "new@example.test");
    CHECK(house.logged(line("redirect", "<redir@s.test>: Sender address triggers REDIRECT new@example.test", "redir")));
    CHECK(mail("bcc") == "250 2.0.0 Ok: queued as Q4\r\n");
    REQUIRE(house.queue.stored.back().first.recipients_size() == 2);
    CHECK(house.queue.stored.back().first.recipients(1).address() == "copy@example.test");
    CHECK(house.queue.stored.back().second.inline_octets().find("\tfor <user@example.test>") != std::string::npos);
    CHECK(house.logged(line("bcc", "<bcc@s.test>: Sender address triggers BCC copy@example.test", "bcc")));
    CHECK(mail("prep") == "250 2.0.0 Ok: queued as Q5\r\n");
    CHECK(house.queue.stored.back().second.inline_octets().starts_with("X-Foo: bar\r\nReceived: "));
    CHECK(mail("filt") == "250 2.0.0 Ok: queued as Q6\r\n");
    CHECK(house.queue.stored.back().first.filter() == "scan:[127.0.0.1]:10025");
    CHECK(house.logged(line("filter", "<filt@s.test>: Sender address triggers FILTER scan:[127.0.0.1]:10025", "filt")));
    CHECK(mail("warn") == "250 2.0.0 Ok: queued as Q7\r\n");
    CHECK(house.logged(line("warn", "see this", "warn")));
    CHECK(mail("info") == "250 2.0.0 Ok: queued as Q8\r\n");
    CHECK(house.logged(line("info", "", "info")));
    CHECK(mail("badr") == "250 2.0.0 Ok: queued as Q9\r\n");
    CHECK(house.queue.stored.back().first.redirect().empty());
    CHECK(mail("wir") == "250 2.0.0 Ok: queued as Q10\r\n");
    CHECK(house.logged(line("reject_warning", "554 5.7.1 <wir@s.test>: Sender address rejected: Access denied", "wir")));
}

TEST_CASE("relay: strangers say no way beyond a domain we relay for, unless allow_untrusted_routing lets them")
{
    const auto asked = [](std::string_view allowed, std::string_view recipient) {
        House house(options_of({{"smtpd_relay_restrictions", "reject_unauth_destination"}, {"allow_untrusted_routing", std::string(allowed)}}));
        Talk talk(house, "203.0.113.9");
        talk("HELO x");
        talk("MAIL FROM:<a@b.test>");
        return talk(fmt::format("RCPT TO:<{}>", recipient)).substr(0, 3);
    };
    CHECK(asked("no", "user@relay.test") == "250");
    CHECK(asked("no", "user%elsewhere.test@relay.test") == "554");
    CHECK(asked("yes", "user%elsewhere.test@relay.test") == "250");
    CHECK(asked("yes", "user@elsewhere.test") == "554");
}

TEST_CASE("relay: no client from outside can send to others, whatever the lists, as long as Postfix's rule is kept")
{
    constexpr std::string_view relay_lists[] = {"",
                                                "permit_mynetworks, reject_unauth_destination",
                                                "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
                                                "reject_unauth_destination",
                                                "permit_mynetworks, reject",
                                                "permit_auth_destination, reject",
                                                "permit_mynetworks, permit_tls_clientcerts, permit_inet_interfaces, defer_unauth_destination"};
    constexpr std::string_view recipient_lists[] = {"",
                                                    "permit_mynetworks, reject_unauth_destination",
                                                    "reject_unauth_destination",
                                                    "permit_mynetworks, reject_unauth_destination, permit",
                                                    "permit_sasl_authenticated, permit_mynetworks, defer_unauth_destination",
                                                    "check_recipient_access fail:broken, reject_unauth_destination"};
    constexpr std::string_view recipients[] = {"x@elsewhere.test",
                                               "user%elsewhere.test@example.test",
                                               "elsewhere.test!user@example.test",
                                               "\"user@elsewhere.test\"@example.test",
                                               "user%elsewhere.test@relay.test",
                                               "@example.test:user@elsewhere.test",
                                               "x@fail.test",
                                               "user@[192.0.2.9]"};
    for (const auto relay : relay_lists) {
        for (const auto recipient_list : recipient_lists) {
            for (const bool relay_first : {true, false}) {
                CAPTURE(relay);
                CAPTURE(recipient_list);
                const Settings settings{{"smtpd_relay_restrictions", std::string(relay)},
                                        {"smtpd_recipient_restrictions", std::string(recipient_list)},
                                        {"smtpd_relay_before_recipient_restrictions", relay_first ? "yes" : "no"}};
                if (relay.empty() && recipient_list.empty()) {
                    CHECK_THROWS_AS(options_of(settings), config::BadValue);
                    continue;
                }
                House house(options_of(settings));
                for (const auto recipient : recipients) {
                    CAPTURE(recipient);
                    const std::string reply = reply_to(house, "192.0.2.1", "h.test", "a@b.test", recipient);
                    CHECK((reply.starts_with("4") || reply.starts_with("5")));
                }
                house.classes.broken = true;
                const std::string reply = reply_to(house, "192.0.2.100", "h.test", "a@b.test", "x@elsewhere.test");
                CHECK((reply.starts_with("4") || reply.starts_with("5")));
            }
        }
    }
}

TEST_CASE("relay: a configuration in which nothing ends foreign mail does not start")
{
    struct Case {
        std::string_view relay, recipient;
        bool starts;
    };
    constexpr Case cases[] = {
        {"", "", false},
        {"permit", "", false},
        {"permit_mynetworks", "permit_mynetworks", false},
        {"permit_mynetworks, permit, reject_unauth_destination", "", false},
        {"warn_if_reject reject_unauth_destination", "", false},
        {"warn_if_reject reject_unauth_destination, reject", "", true},
        {"", "reject", true},
        {"", "guard", true},
        {"soft", "", false},
        {"defer_if_permit", "", true},
        {"permit_mynetworks, permit_sasl_authenticated", "check_recipient_access inline:{x=reject}", false},
    };
    for (const Case& one : cases) {
        CAPTURE(one.relay);
        CAPTURE(one.recipient);
        const Settings settings{{"smtpd_relay_restrictions", std::string(one.relay)},
                                {"smtpd_recipient_restrictions", std::string(one.recipient)},
                                {"smtpd_restriction_classes", "guard, soft"},
                                {"guard", "permit_mynetworks, reject_unauth_destination"},
                                {"soft", "warn_if_reject reject"}};
        if (one.starts)
            CHECK_NOTHROW(options_of(settings));
        else
            CHECK_THROWS_WITH_AS(options_of(settings),
                                 "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
                                 "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains",
                                 config::BadValue);
    }
}

TEST_CASE("options: wrong values are refused with parameter and word")
{
    struct Case {
        std::string_view name, value, message;
    };
    constexpr Case cases[] = {
        {"smtpd_sender_restrictions", "rejct_non_fqdn_sender", "smtpd_sender_restrictions: unknown smtpd restriction: \"rejct_non_fqdn_sender\""},
        {"smtpd_recipient_restrictions", "check_recipient_access",
         "smtpd_recipient_restrictions: restriction check_recipient_access requires a lookup table (type:name) behind it"},
        {"smtpd_recipient_restrictions", "check_recipient_access reject",
         "smtpd_recipient_restrictions: restriction check_recipient_access requires a lookup table (type:name) behind it"},
        {"smtpd_recipient_restrictions", "check_ccert_access { }",
         "smtpd_recipient_restrictions: restriction check_ccert_access requires a lookup table (type:name) behind it"},
        {"smtpd_client_restrictions", "reject_rbl_client", "smtpd_client_restrictions: restriction reject_rbl_client requires domain name argument"},
        {"smtpd_client_restrictions", "reject_rbl_client zen.test=127.0.0",
         "smtpd_client_restrictions: reject_rbl_client zen.test=127.0.0: bad address pattern \"127.0.0\": expected four numbers or [lists] with dots between them"},
        {"smtpd_client_restrictions", "sleep, permit", "smtpd_client_restrictions: restriction sleep must be followed by number"},
        {"smtpd_client_restrictions", "check_policy_service permit",
         "smtpd_client_restrictions: restriction check_policy_service must be followed by transport:server"},
        {"smtpd_client_restrictions", "check_policy_service inet:localhost",
         "smtpd_client_restrictions: check_policy_service inet:localhost: \"inet:localhost\": expected inet:host:port or unix:path"},
        {"smtpd_client_restrictions", "check_policy_service { inet:localhost:1, timeout=never }",
         "smtpd_client_restrictions: check_policy_service { inet:localhost:1, timeout=never }: timeout = never: expected a time of at least one second"},
        {"smtpd_client_restrictions", "check_ccert_access { inline:{a=OK}, { search_order = subject } }",
         "smtpd_client_restrictions: check_ccert_access: unknown key \"subject\" in search_order"},
        {"smtpd_client_restrictions", "permit, warn_if_reject", "smtpd_client_restrictions: warn_if_reject at the end has nothing to warn about"},
        {"smtpd_client_restrictions", "loop", "smtpd_client_restrictions: restriction class loop contains itself"},
        {"smtpd_forbid_bare_newline", "maybe", "bad configuration: smtpd_forbid_bare_newline = maybe: expected no, note, normalize, yes or reject"},
        {"smtpd_tls_security_level", "strong", "invalid TLS level \"strong\" in smtpd_tls_security_level"},
        {"access_map_reject_code", "777", "bad configuration: access_map_reject_code = 777: expected a reply code 2xx, 4xx or 5xx"},
        {"unknown_address_tempfail_action", "reject",
         "bad configuration: unknown_address_tempfail_action = reject: expected defer_if_permit or defer"},
    };
    for (const Case& one : cases) {
        CAPTURE(one.name);
        std::string message;
        try {
            Settings settings{{std::string(one.name), std::string(one.value)}};
            if (one.value == "loop")
                settings.insert(settings.end(), {{"smtpd_restriction_classes", "loop"}, {"loop", "permit_mynetworks, loop"}});
            options_of(settings);
        } catch (const config::BadValue& error) {
            message = error.what();
        }
        CHECK(message == one.message);
    }
}

TEST_CASE("options: Postfix's defaults, and stress changes what it changes")
{
    const Options options = options_of();
    CHECK(options.calm.timeout.count() == 300);
    CHECK(options.stressed.timeout.count() == 10);
    CHECK(options.calm.hard_error_limit == 20);
    CHECK(options.stressed.hard_error_limit == 1);
    CHECK(options.stressed.junk_command_limit == 1);
    CHECK_FALSE(options.calm.per_request_deadline);
    CHECK(options.stressed.per_request_deadline);
    CHECK(options.message_size_limit == 10240000);
    CHECK(options.policy.lists.relay.size() == 3);
    CHECK(options.policy.lists.recipient.empty());
    CHECK(options.forbid_bare_newline == BareNewline::normalize);
    CHECK(options.bare_newline_exclusions == "192.0.2.100");
    CHECK_FALSE(options.always_stressed);
    CHECK(options_of({{"stress", "yes"}}).always_stressed);
}
