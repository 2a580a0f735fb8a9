// Mail of strangers is checked, and what was found stands in front of it.
#include "mailauth/params.hpp"
#include "milter/testing.hpp"
#include "receive/checking_testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("checks: what was found stands in front of our own field, and what others said in our name is gone")
{
    CheckingHouse house;
    const std::string head = house.signed_field(from, "text\r\n") + "Authentication-Results: MX.example.test; dkim=pass\r\n" + std::string(from) +
                             "Authentication-Results: other.test; dkim=pass\r\n";
    CHECK(house.send(head + "\r\ntext  \r\n").starts_with("250 2.0.0 Ok: queued as Q1"));
    const std::string octets = house.stored();
    CHECK(octets.starts_with(
        "Authentication-Results: mx.example.test;\r\n\tdkim=pass header.d=b.test header.s=s header.a=ed25519-sha256\r\n\theader.b="));
    CHECK(has(octets, ";\r\n\tspf=pass smtp.mailfrom=a@b.test\r\nReceived: from client.test"));
    CHECK_FALSE(has(octets, "MX.example.test"));
    CHECK(octets.ends_with("\r\nFrom: a@b.test\r\nAuthentication-Results: other.test; dkim=pass\r\n\r\ntext  \r\n"));
    CHECK(house.queue.stored[0].first.size() == octets.size());
    CHECK(has(house.whole_log(), "Q1: checked: dkim=pass header.d=b.test header.s=s header.a=ed25519-sha256 header.b="));
    CHECK(has(house.whole_log(), " spf=pass smtp.mailfrom=a@b.test\n"));
    // The session goes on, and each message is looked at by itself.
    CHECK(house.send(head + "\r\nother\r\n").starts_with("250 "));
    CHECK(has(house.stored(1), "\tdkim=fail reason=\"body hash did not verify\" header.d=b.test"));
    CHECK(house.send(std::string(from) + "\r\ntext\r\n", "192.0.2.7").starts_with("250 "));
    CHECK(has(house.stored(2), "\tdkim=none;\r\n\tspf=fail"));
}

TEST_CASE("checks: a content in a file, one without an empty line, one of nothing, one with dots in front")
{
    CheckingHouse house;
    std::string body;
    for (int line = 0; line < 40'000; ++line)
        body += "0123456789 \r\n";
    std::string canonical;
    for (int line = 0; line < 40'000; ++line)
        canonical += "0123456789\r\n";
    const std::string head = house.signed_field(from, canonical) + std::string(from) + "\r\n";
    CHECK(house.send(head + body).starts_with("250 "));
    CHECK(has(house.stored().substr(0, 200), "\tdkim=pass header.d=b.test"));
    CHECK(house.stored().ends_with("\r\n" + head + body));
    CHECK(house.folder.synced.contains(house.queue.stored[0].second.file()));
    CHECK(house.send(house.signed_field(from, "") + std::string(from)).starts_with("250 "));
    CHECK(has(house.stored(1), "\tdkim=pass header.d=b.test"));
    CHECK(house.send(house.signed_field(from, "no field\r\n\r\nx\r\n") + std::string(from) + "no field\r\n\r\nx\r\n").starts_with("250 "));
    CHECK(has(house.stored(2), "\tdkim=pass header.d=b.test"));
    CHECK(house.send(house.signed_field(from, ".x\r\n") + std::string(from) + "\r\n..x\r\n").starts_with("250 "));
    CHECK(has(house.stored(3), "\tdkim=pass header.d=b.test"));
    CHECK(house.send("").starts_with("250 "));
    CHECK(has(house.stored(4), "\tdkim=none;"));
    CHECK(house.send("\r\nDKIM-Signature: in the body\r\n").starts_with("250 "));
    CHECK(has(house.stored(5), "\tdkim=none;"));
}

TEST_CASE("checks: BDAT, whose last line end the client left out")
{
    CheckingHouse house;
    house.open();
    Talk talk(house);
    house.say(talk, "EHLO client.test\r\n");
    house.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\n");
    const std::string octets = house.signed_field(from, "text\r\n") + std::string(from) + "\r\nte";
    CHECK(house.say(talk, fmt::format("BDAT {}\r\n{}", octets.size(), octets)).starts_with("250 "));
    CHECK(house.say(talk, "BDAT 2 LAST\r\nxt").starts_with("250 "));
    CHECK(has(house.stored(), "\tdkim=pass header.d=b.test"));
    // A CR at the end is held back until it is known that no LF comes; then it is stored as a space, which the simple form has.
    const std::string with_cr = house.signed_field(from, "text \r\n", "relaxed/simple") + std::string(from) + "\r\ntext\r";
    house.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\n");
    CHECK(house.say(talk, fmt::format("BDAT {} LAST\r\n{}", with_cr.size(), with_cr)).starts_with("250 "));
    CHECK(house.stored(1).ends_with("\r\ntext \r\n"));
    CHECK(has(house.stored(1), "\tdkim=pass header.d=b.test"));
}

TEST_CASE("checks: the DNS is asked when the head is there, while the body comes in")
{
    CheckingHouse house;
    house.open();
    Talk talk(house);
    house.say(talk, "EHLO client.test\r\n");
    house.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
    talk.send(house.signed_field(from, "text\r\n") + std::string(from));
    CHECK(house.dns.asked.empty());
    talk.send("\r\nte");
    CHECK(house.dns.asked == std::vector<std::string>{"s._domainkey.b.test", "b.test"});
    CHECK(house.say(talk, "xt\r\n.\r\n").starts_with("250 "));
    CHECK(house.dns.asked.size() == 2);
    CHECK(has(house.stored(), "\tdkim=pass header.d=b.test"));
}

TEST_CASE("checks: our own are not checked, nobody is where nothing is asked for, nor where mail comes back from filters")
{
    CheckingHouse house;
    const std::string message = "Authentication-Results: mx.example.test; dkim=pass\r\n\r\ntext\r\n";
    CHECK(house.send(message, "192.0.2.100").starts_with("250 "));
    CHECK(house.stored().starts_with("Received: "));
    CHECK(house.stored().ends_with("\r\n" + message));
    CHECK(house.send(message, "192.0.2.99").starts_with("451 4.3.0 "));
    CHECK(house.logged("warning: Q2: not checked: mynetworks: table lookup problem"));
    CheckingHouse off({{"mailauth_checks", ""}}), overridden({{"receive_override_options", "no_milters"}});
    for (CheckingHouse* one : {&off, &overridden}) {
        CHECK(one->send(message).starts_with("250 "));
        CHECK(one->stored().starts_with("Received: "));
        CHECK(one->stored().ends_with("\r\n" + message));
        CHECK(one->dns.asked.empty());
    }
}

TEST_CASE("checks: what is not answered in time is not known now; a client that goes meanwhile is gone")
{
    CheckingHouse house({{"mailauth_timeout", "1s"}});
    house.dns.silent = true;
    const std::string message = house.signed_field(from, "text\r\n") + std::string(from) + "\r\ntext\r\n";
    CHECK(house.send(message).starts_with("250 "));
    CHECK(has(house.stored(), "\tdkim=temperror reason=\"key unavailable\" header.d=b.test"));
    CHECK(has(house.stored(), ";\r\n\tspf=temperror "));
    {
        Talk talk(house);
        house.say(talk, "EHLO client.test\r\n");
        house.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
        talk.send(message);
        talk.hang_up();
        CHECK(talk.ended());
    }
    CHECK(house.queue.stored.size() == 1);
}

TEST_CASE("checks: DMARC, and what the author's domain asks for is done where the administrator wants that")
{
    const std::string good = std::string(from) + "\r\ntext\r\n";
    const auto asking = [](Settings with, std::string record) {
        with.emplace_back("mailauth_checks", "dmarc");
        auto house = std::make_unique<CheckingHouse>(std::move(with));
        house->dns.zone["_dmarc.b.test"] = std::move(record);
        return house;
    };
    const auto plain = asking({}, "v=DMARC1; p=reject");
    CHECK(plain->send(good).starts_with("250 "));
    CHECK(has(plain->stored(), "\tdkim=none;\r\n\tspf=pass smtp.mailfrom=a@b.test;\r\n\tdmarc=pass header.from=b.test"));
    CHECK(std::ranges::count(plain->dns.asked, "_dmarc.b.test") == 1);
    // A failure alone changes nothing.
    CHECK(plain->send(good, "192.0.2.7").starts_with("250 "));
    CHECK(has(plain->stored(1), "\tdmarc=fail"));
    CHECK_FALSE(plain->queue.stored[1].first.hold());

    const auto strict = asking({{"dmarc_reject", "yes"}}, "v=DMARC1; p=reject");
    CHECK(strict->send(good).starts_with("250 "));
    CHECK(strict->send(good, "192.0.2.7") == "550 5.7.1 Error: refused as the DMARC policy of b.test asks");
    CHECK(has(strict->whole_log(),
              ": reject: END-OF-MESSAGE from unknown[192.0.2.7]: 550 5.7.1 Error: refused as the DMARC policy of b.test asks; from=<a@b.test>"));
    CHECK(strict->queue.stored.size() == 1);
    strict->dns.zone["_dmarc.b.test"] = "v=DMARC1; p=quarantine";
    CHECK(strict->send(good, "192.0.2.7").starts_with("250 "));
    CHECK_FALSE(strict->queue.stored[1].first.hold());

    for (const std::string_view policy : {"quarantine", "reject"}) {
        const auto held = asking({{"dmarc_quarantine", "hold"}}, fmt::format("v=DMARC1; p={}", policy));
        CHECK(held->send(good, "192.0.2.7").starts_with("250 "));
        CHECK(held->queue.stored.at(0).first.hold());
        CHECK(has(held->whole_log(), "Q1: hold: END-OF-MESSAGE from unknown[192.0.2.7]: DMARC policy of b.test; from=<a@b.test>"));
        CHECK(held->send(good).starts_with("250 "));
        CHECK_FALSE(held->queue.stored.at(1).first.hold());
    }

    // What cannot be known now refuses nobody.
    const auto later = asking({{"dmarc_reject", "yes"}, {"mailauth_timeout", "1s"}}, "v=DMARC1; p=reject");
    later->dns.silent = true;
    CHECK(later->send(good, "192.0.2.7").starts_with("250 "));
    CHECK(has(later->stored(), "\tdmarc=temperror"));
}

TEST_CASE("checks: what mail proved is told for the author's report, with what was done; of who asks for none nothing is")
{
    struct Told final : DmarcReports {
        void tell(handoff::DmarcSeen seen) override { all.push_back(std::move(seen)); }
        std::vector<handoff::DmarcSeen> all;
    };
    const std::string good = std::string(from) + "\r\ntext\r\n";
    struct Row {
        std::string_view what, record, client;
        Settings with;
        std::string_view told;             // spf, disposition, reason; empty: nothing
    };
    for (const Row& row : std::initializer_list<Row>{
             {"it passed", "v=DMARC1; p=reject; rua=mailto:r@b.test", "192.0.2.1", {{"dmarc_reject", "yes"}}, "pass none "},
             {"it is refused", "v=DMARC1; p=reject; rua=mailto:r@b.test", "192.0.2.7", {{"dmarc_reject", "yes"}}, "fail reject "},
             {"it is put aside", "v=DMARC1; p=quarantine; rua=mailto:r@b.test", "192.0.2.7", {{"dmarc_quarantine", "hold"}}, "fail quarantine "},
             {"it is put aside where it was to be refused",
              "v=DMARC1; p=reject; rua=mailto:r@b.test",
              "192.0.2.7",
              {{"dmarc_quarantine", "hold"}},
              "fail quarantine local_policy"},
             {"nothing is done", "v=DMARC1; p=reject; rua=mailto:r@b.test", "192.0.2.7", {}, "fail none local_policy"},
             {"nothing is to be done", "v=DMARC1; p=none; rua=mailto:r@b.test", "192.0.2.7", {{"dmarc_reject", "yes"}}, "fail none "},
             {"it is not of the sample",
              "v=DMARC1; p=reject; pct=0; rua=mailto:r@b.test",
              "192.0.2.7",
              {{"dmarc_quarantine", "hold"}},
              "fail quarantine sampled_out"},
             {"nobody wants to know", "v=DMARC1; p=reject", "192.0.2.7", {{"dmarc_reject", "yes"}}, ""},
         }) {
        CAPTURE(row.what);
        Settings with = row.with;
        with.emplace_back("mailauth_checks", "dmarc");
        CheckingHouse house(std::move(with));
        house.dns.zone["_dmarc.b.test"] = row.record;
        Told told;
        house.dmarc_reports = &told;
        house.send(good, std::string(row.client));
        REQUIRE(told.all.size() == (row.told.empty() ? 0 : 1));
        if (row.told.empty())
            continue;
        const handoff::DmarcSeen& seen = told.all.front();
        CHECK(seen.domain() == "b.test");
        CHECK(seen.record() == row.record);
        CHECK(fmt::format("{} {} {}", seen.row().spf() ? "pass" : "fail", seen.row().disposition(), seen.row().reason()) == row.told);
        CHECK(seen.row().source() == row.client);
        CHECK(seen.row().header_from() == "b.test");
        CHECK(seen.row().envelope_from() == "b.test");
        CHECK(seen.row().spf_domain() == "b.test");
        CHECK(seen.row().spf_scope() == "mfrom");
        CHECK(seen.row().spf_result() == (seen.row().spf() ? "pass" : "fail"));
        CHECK_FALSE(seen.row().dkim());
        CHECK(seen.row().signatures_size() == 0);
    }
}

TEST_CASE("checks: ARC seals, and mail that fails DMARC here is believed where somebody trusted says that it had passed")
{
    const auto make = [](Settings with) {
        auto house = std::make_unique<CheckingHouse>(std::move(with));
        house->dns.zone["_dmarc.b.test"] = "v=DMARC1; p=reject";
        house->dns.zone["s._domainkey.list.test"] = house->dns.zone["s._domainkey.b.test"];
        return house;
    };
    const auto plain = make({{"mailauth_checks", "arc"}});
    const std::string head(from), body = "text\r\n", found = "dmarc=pass header.from=b.test";
    CHECK(plain->send(sealed(*plain, "list.test", found, head, body) + "\r\n" + body).starts_with("250 "));
    CHECK(plain->stored().starts_with("Authentication-Results: mx.example.test;\r\n\tarc=pass header.oldest-pass=0\r\n"));
    CHECK(plain->send(sealed(*plain, "list.test", found, head, body) + "\r\nother\r\n").starts_with("250 "));
    CHECK(has(plain->stored(1), "\tarc=fail reason="));
    CHECK(plain->send(head + "\r\n" + body).starts_with("250 "));
    CHECK(has(plain->stored(2), "mx.example.test;\r\n\tarc=none\r\n"));

    const auto trusting = [&](std::string sealers) {
        return make({{"mailauth_checks", "dmarc"}, {"dmarc_reject", "yes"}, {"mailauth_trusted_sealers", std::move(sealers)}});
    };
    const auto message = [&](const CheckingHouse& house, std::string_view says) {
        return sealed(house, "list.test", says, head, body) + "\r\n" + body;
    };
    const auto house = trusting("other.test, list.test");
    CHECK(house->send(message(*house, found), "192.0.2.7").starts_with("250 "));
    CHECK(has(house->stored(), "\tarc=pass header.oldest-pass=0;\r\n\tdmarc=fail reason=\"it passed where list.test sealed it\""));
    CHECK_FALSE(house->queue.stored[0].first.hold());
    // They say nothing, or of somebody else; the seal is broken; somebody else's seal; no seal.
    for (const std::string& other : {message(*house, "dmarc=fail header.from=b.test"), message(*house, "dmarc=pass header.from=c.test"),
                                     message(*house, found) + "more\r\n", head + "\r\n" + body})
        CHECK(house->send(other, "192.0.2.7").starts_with("550 5.7.1 "));
    // A sealer's word is for one author.
    house->dns.zone["_dmarc.c.test"] = "v=DMARC1; p=none";
    CHECK(house->send("From: x@c.test\r\n" + message(*house, found), "192.0.2.7").starts_with("550 5.7.1 "));
    const auto below = trusting(".test"), stranger = trusting("xlist.test, .list.test");
    CHECK(below->send(message(*below, found), "192.0.2.7").starts_with("250 "));
    CHECK(stranger->send(message(*stranger, found), "192.0.2.7").starts_with("550 5.7.1 "));
    CHECK_THROWS_AS(options_of({{"mailauth_trusted_sealers", "lmdb:/etc/sealers"}}), config::BadValue);
}

TEST_CASE("checks: SPF that a restriction has asked for is not asked for again")
{
    CheckingHouse house({{"smtpd_sender_restrictions", "reject_spf_fail"}, {"mailauth_checks", "spf"}});
    CHECK(house.send(std::string(from) + "\r\ntext\r\n").starts_with("250 "));
    CHECK(has(house.stored(), "\tspf=pass smtp.mailfrom=a@b.test\r\n"));
    CHECK(house.dns.asked == std::vector<std::string>{"b.test"});
}

TEST_CASE("SPF: all questions together have 20 seconds, also one that is never answered; a mail that was put off for that is asked about anew")
{
    for (const bool early : {false, true}) {
        CAPTURE(early);
        CheckingHouse house(
            {{"smtpd_sender_restrictions", early ? "reject_spf_fail, reject" : "reject_spf_fail"}, {"smtpd_delay_reject", early ? "no" : "yes"}});
        house.dns.zone["b.test"] = "v=spf1 include:c.test -all";
        house.dns.zone["c.test"] = "v=spf1 ip4:192.0.2.1 -all";
        house.dns.asked_for = [&](const std::string& name) {
            if (name == "b.test" && !house.dns.silent)
                house.clock.advance(std::chrono::milliseconds{19'950});
            else
                house.dns.silent = true;
        };
        house.open();
        Talk talk(house);
        house.say(talk, "EHLO client.test\r\n");
        const std::string about = "<a@b.test>: Sender address rejected: SPF records cannot be looked up now";
        const std::string put_off = house.say(talk, "MAIL FROM:<a@b.test>\r\n");
        if (early) {                                            // refused already at MAIL
            CHECK(put_off.starts_with("554 5.7.1 "));
            CHECK(house.dns.asked == std::vector<std::string>{"b.test", "c.test"});
            house.dns.asked_for = {};
            house.dns.silent = false;
            CHECK(house.say(talk, "MAIL FROM:<a@b.test>\r\n").starts_with("554 5.7.1 "));
            CHECK(house.dns.asked.size() == 4);
            continue;
        }
        CHECK(put_off == "250 2.1.0 Ok");
        CHECK(house.say(talk, "RCPT TO:<user@example.test>\r\n") == "451 4.4.3 " + about);
        CHECK(house.dns.asked == std::vector<std::string>{"b.test", "c.test"});
        // Whoever asks again within the transaction does not wait again.
        CHECK(house.say(talk, "RCPT TO:<other@example.test>\r\n") == "451 4.4.3 " + about);
        CHECK(house.dns.asked.size() == 2);
        house.dns.asked_for = {};
        house.dns.silent = false;
        CHECK(house.say(talk, "RSET\r\n") == "250 2.0.0 Ok");
        CHECK(house.say(talk, "MAIL FROM:<a@b.test>\r\n") == "250 2.1.0 Ok");
        CHECK(house.say(talk, "RCPT TO:<user@example.test>\r\n") == "250 2.1.5 Ok");
    }
}

TEST_CASE("checks: a head that has no end in time proves nothing")
{
    CheckingHouse house;
    std::string message = house.signed_field(from, "text\r\n") + std::string(from);
    while (message.size() < 3 * Content::head_limit)
        message += "X-Filler: " + std::string(500, 'x') + "\r\n";
    CHECK(house.send(message + "\r\ntext\r\n").starts_with("250 "));
    CHECK(has(house.stored().substr(0, 200), "\tdkim=permerror reason=\"header is too long\";"));
    // And is no way around what the author's domain asks for.
    CheckingHouse strict({{"mailauth_checks", "dmarc"}, {"dmarc_reject", "yes"}});
    strict.dns.zone["_dmarc.b.test"] = "v=DMARC1; p=reject";
    CHECK(strict.send(message + "\r\ntext\r\n", "192.0.2.7").starts_with("550 5.7.1 "));
    CHECK(strict.send(message + "\r\ntext\r\n").starts_with("250 "));
}

TEST_CASE("checks: words of main.cf, and one that means nothing is named")
{
    const mailauth::CheckOptions made =
        options_of({{"mailauth_checks", "DKIM, spf"}, {"mailauth_service_id", "example.test"}, {"dkim_verify_limit", "3"}}).checks;
    CHECK((made.dkim && made.spf && made.any()));
    CHECK(made.service_id == "example.test");
    CHECK(made.dkim_limit == 3);
    CHECK_FALSE(options_of().checks.any());
    CHECK(options_of().checks.service_id == "mx.example.test");
    CHECK_THROWS_AS(options_of({{"mailauth_checks", "dkim, virus"}}), config::BadValue);
    CHECK_THROWS_AS(options_of({{"dmarc_quarantine", "bin"}}), config::BadValue);
    const mailauth::CheckOptions all = options_of({{"mailauth_checks", "dmarc"}, {"dmarc_quarantine", "hold"}, {"dmarc_reject", "yes"}}).checks;
    CHECK((all.dkim && all.spf && all.dmarc && all.reject && all.hold));
}

TEST_CASE("checks: Milters see the field, and not our own Received")
{
    CheckingHouse house;
    milter::testing::Filter filter(house.loop);
    house.settings.emplace_back("smtpd_milters", filter.place());
    house.options = options_of(house.settings);
    house.open();
    {
        Talk talk(house);
        if (talk.greeting.empty())
            house.say(talk, "");
        house.say(talk, "HELO client.test\r\n");
        house.say(talk, "MAIL FROM:<a@b.test>\r\n");
        house.say(talk, "RCPT TO:<user@example.test>\r\n");
        house.say(talk, "DATA\r\n");
        CHECK(house.say(talk, "Subject: s\r\n\r\nbody\r\n.\r\n").starts_with("250 "));
        house.say(talk, "QUIT\r\n");
    }
    run_until(house.loop, [&] { return filter.ends == 1; });
    CHECK(has(filter.all_heard(), "DATA\nHEADER Authentication-Results|mx.example.test;"));
    CHECK_FALSE(has(filter.all_heard(), "HEADER Received"));
    run(house.loop, filter.listener.close());
}
