// What was found beside Debian's Postfix (tests/compat/restrictions.py), in small.
#include "receive/policy/access_result.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

std::string last(const std::string& text)
{
    const auto lines = lines_of(text);
    return lines.empty() ? "" : lines.back();
}

std::string answer(House& house, std::string_view recipient = "user@example.test", std::string_view sender = "a@b.test")
{
    Talk talk(house);
    talk("EHLO h.test");
    talk(fmt::format("MAIL FROM:<{}>", sender));
    return last(talk(fmt::format("RCPT TO:<{}>", recipient)));
}

}  // namespace

TEST_CASE("access results: a bare number permits, whatever it looks like; with text it is a reply")
{
    using Action = policy::AccessResult::Action;
    CHECK(policy::parse_access_result("450").action == Action::ok);
    CHECK(policy::parse_access_result("550 ").action == Action::ok);
    CHECK(policy::parse_access_result("12345").action == Action::ok);
    CHECK(policy::parse_access_result("550 no").action == Action::code);
    CHECK(policy::parse_access_result("200 fine").action == Action::restrictions);
}

TEST_CASE("access results: a status about an address is said of the address in question")
{
    for (const auto& [status, sender, recipient] : {std::tuple{"5.1.1", "5.1.0", "5.1.1"},
                                                    {"5.1.2", "5.1.8", "5.1.2"},
                                                    {"4.1.3", "4.1.7", "4.1.3"},
                                                    {"5.1.6", "5.1.0", "5.1.6"},
                                                    {"5.1.7", "5.1.7", "5.1.3"},
                                                    {"5.1.8", "5.1.8", "5.1.2"},
                                                    {"5.1.10", "5.1.0", "5.1.0"},
                                                    {"5.7.9", "5.7.9", "5.7.9"},
                                                    {"4.2.1", "4.2.1", "4.2.1"}}) {
        CAPTURE(status);
        CHECK(policy::status_about(status, "Sender address") == sender);
        CHECK(policy::status_about(status, "Recipient address") == recipient);
    }
    House house(options_of({{"smtpd_recipient_restrictions", "check_recipient_access inline:{{user@example.test = 550 5.1.8 no}}"}}));
    CHECK(answer(house) == "550 5.1.2 <user@example.test>: Recipient address rejected: no");
}

TEST_CASE("access results: what lacks its text is told with the key, and does nothing")
{
    for (const auto& [result, complaint] : {std::pair{"FILTER", "has FILTER entry without value"},
                                            {"FILTER smtp", "requires transport:destination"},
                                            {"REDIRECT nobody", "requires user@domain target"},
                                            {"BCC nobody", "requires user@domain target"},
                                            {"PREPEND", "requires header: text"},
                                            {"PREPEND no header", "requires header: text"}}) {
        CAPTURE(result);
        const std::string table = fmt::format("inline:{{{{user@example.test = {}}}}}", result);
        House house(options_of({{"smtpd_recipient_restrictions", "check_recipient_access " + table}}));
        CHECK(answer(house) == "250 2.1.5 Ok");
        CHECK(house.logged(fmt::format("warning: access table {} entry \"user@example.test\" {}", table, complaint)));
    }
    House late(options_of({{"smtpd_end_of_data_restrictions", "check_recipient_access inline:{{user@example.test = PREPEND X-A: b}}"}}));
    Talk talk(late);
    talk.send("EHLO h.test\r\n");
    talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
    talk.send("Subject: x\r\n\r\n.\r\n");
    CHECK(late.whole_log().find("action PREPEND must be used before END-OF-MESSAGE") != std::string::npos);
}

TEST_CASE("access results: what is prepended is one line, whatever the table says")
{
    House house(options_of({{"smtpd_recipient_restrictions", "check_recipient_access inline:{{user@example.test = PREPEND X-A: b\rX-B: c}}"}}));
    Talk talk(house);
    talk.send("EHLO h.test\r\n");
    talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
    CHECK(talk.send("Subject: x\r\n\r\n.\r\n").starts_with("250 "));
    CHECK(house.queue.stored.at(0).second.inline_octets().starts_with("X-A: b X-B: c\r\nReceived: "));
}

TEST_CASE("access results: words with what they ask for behind them, and both deferrals by access_map_defer_code")
{
    const auto reply = [](std::string_view result) {
        House house(
            options_of({{"smtpd_recipient_restrictions", fmt::format("check_recipient_access inline:{{{{user@example.test = {}}}}}, reject", result)},
                        {"access_map_defer_code", "451"}}));
        return answer(house);
    };
    CHECK(reply("reject_rbl_client list.test, permit") == "250 2.1.5 Ok");
    CHECK(reply("sleep 0, permit") == "250 2.1.5 Ok");
    CHECK(reply("DEFER_IF_REJECT") == "451 4.7.1 <user@example.test>: Recipient address rejected: Service unavailable");
    CHECK(reply("sleep, permit") == "451 4.3.5 Server configuration error");
}

TEST_CASE("restrictions: without smtpd_delay_reject, what is put off at CONNECT, HELO or MAIL is said at RCPT")
{
    for (const auto& [list, text] : {std::pair{"client", "450 4.7.0 <client.test[192.0.2.1]>: Client host rejected: defer_if_permit requested"},
                                     {"helo", "450 4.7.0 <h.test>: Helo command rejected: defer_if_permit requested"},
                                     {"sender", "450 4.7.0 <a@b.test>: Sender address rejected: defer_if_permit requested"}}) {
        CAPTURE(list);
        House house(options_of({{fmt::format("smtpd_{}_restrictions", list), "defer_if_permit"}, {"smtpd_delay_reject", "no"}}));
        Talk talk(house);
        CHECK(talk.greeting.starts_with("220 "));
        CHECK(last(talk("EHLO h.test")).starts_with("250 "));
        CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
        CHECK(last(talk("RCPT TO:<user@example.test>")) == text);
        CHECK(last(talk("RCPT TO:<x@elsewhere.test>")) == "454 4.7.1 <x@elsewhere.test>: Relay access denied");
    }
}

TEST_CASE("smtpd_log_access_permit_actions: words and tables' OK, with where it stands")
{
    House house(options_of({{"smtpd_log_access_permit_actions", "static:all"},
                            {"smtpd_client_restrictions", "check_client_access inline:{client.test=OK}"},
                            {"smtpd_recipient_restrictions", "permit_auth_destination"}}));
    CHECK(answer(house) == "250 2.1.5 Ok");
    const std::string log = house.whole_log();
    CHECK(log.find("permit: RCPT from client.test[192.0.2.1]: action=OK for Client host=client.test[192.0.2.1] from inline:{client.test=OK};") !=
          std::string::npos);
    CHECK(log.find("action=permit_auth_destination for Recipient address=user@example.test ;") != std::string::npos);
}

TEST_CASE("restrictions: who said no HELO is not asked about it")
{
    House house(options_of({{"smtpd_helo_restrictions", "reject"}}));
    Talk talk(house);
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
    talk("RSET");
    talk("HELO h.test");
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>") == "554 5.7.1 <h.test>: Helo command rejected: Access denied\r\n");
}

TEST_CASE("clients' limits: refused in Postfix's words, given back at the end, and not asked of exceptions")
{
    struct Fake final : Rates {
        awaitable<Result<Count>> count(Event event, std::string client) override
        {
            asked.emplace_back(event, client);
            if (broken)
                co_return Error{"memory is not connected"};
            if (event == Event::connect)
                open.insert(client);
            co_return Count{static_cast<std::uint32_t>(open.size()), ++counts[event]};
        }
        void disconnected(std::string client) override
        {
            const auto at = open.find(client);
            CHECK(at != open.end());
            if (at != open.end())
                open.erase(at);
        }
        std::vector<std::pair<Event, std::string>> asked;
        std::map<Event, std::uint32_t> counts;
        std::multiset<std::string> open;
        bool broken = false;
    } rates;
    House house(options_of({{"smtpd_client_connection_count_limit", "2"},
                            {"smtpd_client_message_rate_limit", "1"},
                            {"smtpd_client_recipient_rate_limit", "1"},
                            {"smtpd_client_ipv4_prefix_length", "20"},
                            {"smtpd_authorized_xclient_hosts", "198.51.100.7"},
                            {"mynetworks", "192.0.2.100"}}));
    Outside outside(house.queue, house.cleaner, house.classes, house.names, house.tables, house.folder, house.clock,
                    observe::Log(house.sink, "postfix/smtpd"));
    outside.rates = &rates;
    house.server = std::make_unique<Server>(house.loop.get_executor(), house.options, std::move(outside));
    {
        Talk one(house), two(house), three(house);
        CHECK(one.greeting.starts_with("220"));
        CHECK(two.greeting.starts_with("220"));
        CHECK(three.greeting == "421 4.7.0 mx.example.test Error: too many connections from 192.0.2.1\r\n");
        CHECK(rates.asked.front().second == "smtp:192.0.0.0/20");
        one("EHLO h.test");
        CHECK(one("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
        CHECK(one("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
        CHECK(one("RCPT TO:<other@example.test>") == "450 4.7.1 Error: too many recipients from 192.0.2.1\r\n");
        one("RSET");
        CHECK(one("MAIL FROM:<a@b.test>") == "450 4.7.1 Error: too much mail from 192.0.2.1\r\n");
        const std::size_t before = rates.asked.size();
        Talk inside(house, "192.0.2.100");
        CHECK(inside.greeting.starts_with("220"));
        CHECK(rates.asked.size() == before);
    }
    CHECK(rates.open.empty());
    {
        Talk proxy(house, "198.51.100.7");                         // what it counts as does not hang on whom it speaks for
        CHECK(proxy("XCLIENT ADDR=203.0.113.9").starts_with("220 "));
        CHECK(rates.open.empty());
    }
    CHECK(rates.open.empty());
    CHECK(house.logged("warning: Connection concurrency limit exceeded: 3 from client.test[192.0.2.1] for service smtp"));
    CHECK(house.logged("warning: Message delivery request rate limit exceeded: 2 from client.test[192.0.2.1] for service smtp"));
    rates.broken = true;
    Talk away(house);
    CHECK(away.greeting.starts_with("220"));
}

TEST_CASE("access results: HOLD is said once of a mail, and a routed address is looked up as what it is routed to")
{
    House house(
        options_of({{"smtpd_recipient_restrictions", "check_recipient_access inline:{{example.test=HOLD}, {elsewhere.test=REJECT routed}}"}}));
    Talk talk(house);
    talk("EHLO client.test");
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
    CHECK(talk("RCPT TO:<other@example.test>") == "250 2.1.5 Ok\r\n");
    CHECK(talk("RCPT TO:<user%elsewhere.test@example.test>").starts_with("454 4.7.1 <user%elsewhere.test@example.test>: Relay access denied"));
    const std::string log = house.whole_log();
    const auto first = log.find("hold: RCPT from");
    CHECK(first != std::string::npos);
    CHECK(log.find("hold: RCPT from", first + 1) == std::string::npos);
    House relay(options_of({{"smtpd_relay_restrictions",
                             "check_recipient_access inline:{{example.test=DUNNO}, {elsewhere.test=REJECT routed}}, reject_unauth_destination"}}));
    Talk other(relay);
    other("EHLO client.test");
    other("MAIL FROM:<a@b.test>");
    CHECK(other("RCPT TO:<user%elsewhere.test@example.test>") ==
          "554 5.7.1 <user%elsewhere.test@example.test>: Recipient address rejected: routed\r\n");
    CHECK(other("RCPT TO:<elsewhere.test!user@example.test>") ==
          "554 5.7.1 <elsewhere.test!user@example.test>: Recipient address rejected: routed\r\n");
}

TEST_CASE("access results: OK for a domain is not OK for what its host may send elsewhere")
{
    const auto asked = [](std::string_view allowed, std::string_view recipient) {
        House house(
            options_of({{"smtpd_relay_restrictions", ""},
                        {"smtpd_recipient_restrictions", "check_recipient_access inline:{{relay.test=OK}, {u%else.test@relay.test=OK}}, reject"},
                        {"allow_untrusted_routing", std::string(allowed)}}));
        Talk talk(house, "203.0.113.9");
        talk("HELO x");
        talk("MAIL FROM:<a@b.test>");
        return talk(fmt::format("RCPT TO:<{}>", recipient)).substr(0, 3);
    };
    CHECK(asked("no", "u@relay.test") == "250");
    CHECK(asked("no", "u%else.test@relay.test") == "554");
    CHECK(asked("yes", "u%else.test@relay.test") == "250");
    CHECK(asked("no", "u%relay.test@example.test") == "250");
}

TEST_CASE("access results: without smtpd_delay_reject, what tables ask for at CONNECT, HELO or MAIL is done to the mail")
{
    const auto mail = [](Talk& talk, std::string_view sender) {
        CHECK(talk(fmt::format("MAIL FROM:<{}>", sender)) == "250 2.1.0 Ok\r\n");
        talk.send("RCPT TO:<user@example.test>\r\nDATA\r\n");
        CHECK(talk("Subject: x\r\n\r\n.").starts_with("250 "));
    };
    for (const auto& [list, table] : {std::pair{"client", "check_client_access inline:{{client.test = HOLD}}"},
                                      {"helo", "check_helo_access inline:{{h.test = HOLD}}"},
                                      {"sender", "check_sender_access inline:{{a@b.test = HOLD}}"}}) {
        CAPTURE(list);
        House house(options_of({{fmt::format("smtpd_{}_restrictions", list), table}, {"smtpd_delay_reject", "no"}}));
        Talk talk(house);
        talk("EHLO h.test");
        mail(talk, "a@b.test");
        mail(talk, "c@b.test");
        talk("EHLO other.test");
        mail(talk, "c@b.test");
        REQUIRE(house.queue.stored.size() == 3);
        const std::string_view which = list;
        CHECK(house.queue.stored[0].first.hold());
        CHECK(house.queue.stored[1].first.hold() == (which != "sender"));
        CHECK(house.queue.stored[2].first.hold() == (which == "client"));
    }
}

TEST_CASE("access results: what is to be discarded is held to no list any more, and nobody gets it")
{
    for (const char* delay : {"yes", "no"}) {
        CAPTURE(delay);
        House house(options_of({{"smtpd_sender_restrictions", "check_sender_access inline:{{a@b.test = DISCARD}}"}, {"smtpd_delay_reject", delay}}));
        Talk talk(house);
        talk("EHLO h.test");
        CHECK(talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<nobody@example.test>\r\n") ==
              "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
        talk("DATA");
        CHECK(talk("Subject: x\r\n\r\n.").starts_with("250 2.0.0 Ok: queued as"));
        CHECK(house.queue.stored.empty());
        talk("MAIL FROM:<c@b.test>");
        CHECK(last(talk("RCPT TO:<x@elsewhere.test>")) == "454 4.7.1 <x@elsewhere.test>: Relay access denied");
    }
}

TEST_CASE("unlisted: who answers for the mail system itself is known, as recipient and as sender")
{
    House house(options_of({{"smtpd_reject_unlisted_sender", "yes"}}));
    CHECK(answer(house, "MAILER-DAEMON@example.test") == "250 2.1.5 Ok");
    CHECK(answer(house, "user@example.test", "Postmaster@example.test") == "250 2.1.5 Ok");
    CHECK(answer(house, "mailer-daemon@box.test").starts_with("550 5.1.1 "));
}
