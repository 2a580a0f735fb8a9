// reject_spf_fail: what the sender's domain says of the client.
#include "receive/policy/policy_test.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

void publish(FakeNames& names, std::string domain, std::string_view text)
{
    dns::Record record;
    record.type = dns::Type::txt;
    record.text = text;
    dns::Answer answer;
    answer.status = dns::Status::found;
    answer.records = {record};
    names.zone[{std::move(domain), dns::Type::txt}] = answer;
}

void publish_all(FakeNames& names)
{
    publish(names, "b.test", "v=spf1 -all");
    publish(names, "good.test", "v=spf1 ip4:192.0.2.1 -all");
    publish(names, "soft.test", "v=spf1 ~all");
    publish(names, "bad.test", "v=spf1 oops");
    publish(names, "why.test", "v=spf1 -all exp=x.why.test");
    publish(names, "x.why.test", "see http://why.test/?ip=%{i}");
    publish(names, "helo.test", "v=spf1 -all");
    names.zone[{"slow.test", dns::Type::txt}] = dns::Answer{};
}

struct SpfRow {
    std::string_view list, restrictions, client, sender, reply;
};

constexpr std::string_view refused = "550 5.7.23 <a@b.test>: Sender address rejected: 192.0.2.1 may not send mail of b.test (SPF)";
constexpr SpfRow spf_rows[] = {
    {"client", "reject_spf_fail", out, stranger, refused},
    {"helo", "reject_spf_fail", out, stranger, refused},
    {"sender", "reject_spf_fail", out, stranger, refused},
    {"recipient", "REJECT_SPF_FAIL", out, stranger, refused},
    {"sender", "warn_if_reject reject_spf_fail", out, stranger, ok},
    {"sender", "permit_mynetworks, reject_spf_fail", "192.0.2.100", stranger, ok},
    {"sender", "reject_spf_fail", out, "a@good.test", ok},
    {"sender", "reject_spf_fail", "192.0.2.7", "a@good.test",
     "550 5.7.23 <a@good.test>: Sender address rejected: 192.0.2.7 may not send mail of good.test (SPF)"},
    {"sender", "reject_spf_fail", out, "a@soft.test", ok},
    {"sender", "reject_spf_fail", out, "a@bad.test", ok},
    {"sender", "reject_spf_fail", out, "a@none.test", ok},
    {"sender", "reject_spf_fail", out, "a@slow.test", "451 4.4.3 <a@slow.test>: Sender address rejected: SPF records cannot be looked up now"},
    {"sender", "reject_spf_fail, reject", out, "a@slow.test", "554 5.7.1 <a@slow.test>: Sender address rejected: Access denied"},
    {"sender", "reject_spf_fail", out, "a@why.test",
     "550 5.7.23 <a@why.test>: Sender address rejected: 192.0.2.1 may not send mail of why.test (SPF); why.test explains: see http://why.test/?ip=192.0.2.1"},
    {"sender", "reject_spf_fail", out, "", "550 5.7.23 <helo.test>: Helo command rejected: 192.0.2.1 may not send mail of helo.test (SPF)"},
};

std::size_t spf_questions(const House& house, std::string_view name) { return static_cast<std::size_t>(std::ranges::count(house.names.asked, name)); }

}  // namespace

TEST_CASE("reject_spf_fail: a fail is refused with the domain's words, what cannot be known now is put off, others go on")
{
    for (const SpfRow& row : spf_rows) {
        CAPTURE(row.list);
        CAPTURE(row.restrictions);
        CAPTURE(row.sender);
        House house(options_of({{fmt::format("smtpd_{}_restrictions", row.list), std::string(row.restrictions)}}));
        publish_all(house.names);
        Talk talk(house, std::string(row.client));
        talk("EHLO helo.test");
        CHECK(talk(fmt::format("MAIL FROM:<{}>", row.sender)) == "250 2.1.0 Ok\r\n");
        CHECK(talk("RCPT TO:<user@example.test>") == std::string(row.reply) + "\r\n");
    }
}

TEST_CASE("reject_spf_fail: asked once for a transaction, and for each anew; not at all where another permits before")
{
    House house(options_of({{"smtpd_recipient_restrictions", "check_recipient_access inline:{other@example.test=OK}, reject_spf_fail"},
                            {"smtpd_data_restrictions", "reject_spf_fail"}}));
    publish_all(house.names);
    Talk talk(house);
    talk("EHLO h.test");
    talk("MAIL FROM:<a@good.test>");
    CHECK(talk("RCPT TO:<other@example.test>") == "250 2.1.5 Ok\r\n");
    CHECK(spf_questions(house, "good.test") == 0);
    CHECK(talk("RCPT TO:<user@example.test>\r\nRCPT TO:<postmaster@example.test>") == "250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
    CHECK(has(talk("DATA"), "354 "));
    CHECK(spf_questions(house, "good.test") == 1);
    CHECK(has(talk("Subject: x\r\n\r\nx\r\n."), "250 2.0.0 Ok"));
    talk("MAIL FROM:<a@good.test>");
    talk("RCPT TO:<user@example.test>");
    CHECK(spf_questions(house, "good.test") == 2);
    talk("RSET");
    talk("MAIL FROM:<a@b.test>");
    CHECK(has(talk("RCPT TO:<user@example.test>"), "550 5.7.23 "));
}

TEST_CASE("reject_spf_fail: smtpd_delay_reject = no: nothing is known before MAIL, and there it is said")
{
    House house(options_of({{"smtpd_delay_reject", "no"},
                            {"smtpd_client_restrictions", "reject_spf_fail"},
                            {"smtpd_helo_restrictions", "reject_spf_fail"},
                            {"smtpd_sender_restrictions", "reject_spf_fail"}}));
    publish_all(house.names);
    Talk talk(house);
    CHECK(has(talk.greeting, "220 "));
    CHECK(has(talk("EHLO helo.test"), "250 "));
    CHECK(talk("MAIL FROM:<a@b.test>") == std::string(refused) + "\r\n");
    CHECK(talk("MAIL FROM:<a@good.test>") == "250 2.1.0 Ok\r\n");
}

TEST_CASE("reject_spf_fail: after twenty seconds what is not answered is not known now")
{
    struct SlowNames final : Names {
        SlowNames(FakeNames& with, HandClock& turned) : names(with), clock(turned) {}
        awaitable<Result<std::vector<std::string>>> names_of(std::string address) override { return names.names_of(std::move(address)); }
        awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) override { return names.addresses_of(std::move(name)); }
        awaitable<Result<MailHost>> mail_host(std::string domain) override { return names.mail_host(std::move(domain)); }
        awaitable<dns::Answer> records(std::string name, dns::Type type) override
        {
            clock.advance(std::chrono::seconds(8));
            return names.records(std::move(name), type);
        }
        FakeNames& names;
        HandClock& clock;
    };
    House house(options_of({{"smtpd_sender_restrictions", "reject_spf_fail"}}));
    publish(house.names, "long.test", "v=spf1 include:b.test include:good.test include:soft.test -all");
    publish_all(house.names);
    SlowNames slow(house.names, house.clock);
    Outside outside(house.queue, house.cleaner, house.classes, slow, house.tables, house.folder, house.clock,
                    observe::Log(house.sink, "postfix/smtpd"));
    house.server = std::make_unique<Server>(house.loop.get_executor(), house.options, std::move(outside));
    Talk talk(house, "192.0.2.7");
    talk("EHLO h.test");
    talk("MAIL FROM:<a@long.test>");
    CHECK(has(talk("RCPT TO:<user@example.test>"), "451 4.4.3 "));
    CHECK(spf_questions(house, "good.test") == 1);
    CHECK(spf_questions(house, "soft.test") == 0);
}
