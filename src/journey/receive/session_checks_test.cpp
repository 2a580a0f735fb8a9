// Mail of strangers is checked, what was found stands in front of it, and is sealed.
#include "mailauth/params.hpp"
#include "mailauth/public_suffixes.hpp"
#include "mailauth/signature.hpp"
#include "milter/testing.hpp"
#include "receive/testing.hpp"
#include "tls/digest.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

/// 192.0.2.100 is exempt; 192.0.2.99 cannot be told. The mail of 192.0.2.50 is signed.
struct ExemptingCleaner final : handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        co_return handoff::Cleaned{std::move(envelope), added + head};
    }
    awaitable<Result<bool>> signed_client(handoff::Client client, handoff::Origin) override { co_return client.address() == "192.0.2.50"; }
    awaitable<Result<bool>> exempt_client(handoff::Client client) override
    {
        if (client.address() == "192.0.2.99")
            co_return Error{"mynetworks: table lookup problem", "4.3.0"};
        co_return client.address() == "192.0.2.100";
    }
    std::string added;
};

struct FakeSealer final : handoff::Signer {
    awaitable<Result<std::string>> sign(std::string, std::string, std::string, bool) override
    {
        ++signatures;
        co_return std::string("DKIM-Signature: x\r\n");
    }
    awaitable<Result<std::string>> seal(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body,
                                        handoff::Proof proof) override
    {
        asked.push_back(std::move(queue_id));
        heads.push_back(std::move(head));
        hashes.push_back(std::move(body_hash));
        relaxed = relaxed_body;
        proofs.push_back(std::move(proof));
        co_return answer;
    }
    Result<std::string> answer = std::string("ARC-Seal: x\r\n");
    int signatures = 0;
    std::vector<std::string> asked, heads, hashes;
    std::vector<handoff::Proof> proofs;
    bool relaxed = false;
};

/// Answers about `silent` never come. `asked_for` hears of each question first.
struct SlowNames final : Names {
    awaitable<Result<std::vector<std::string>>> names_of(std::string) override { co_return std::vector<std::string>{}; }
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string) override { co_return std::vector<std::string>{}; }
    awaitable<Result<MailHost>> mail_host(std::string) override { co_return MailHost::found; }
    awaitable<dns::Answer> records(std::string name, dns::Type type) override
    {
        asked.push_back(name);
        if (asked_for)
            asked_for(name);
        dns::Answer answer;
        if (silent) {
            while (!co_await cancelled())
                co_await sleep_for(std::chrono::hours{1});
            co_return answer;
        }
        answer.status = dns::Status::nxdomain;
        if (const auto found = zone.find(name); found != zone.end() && type == dns::Type::txt) {
            answer.status = dns::Status::found;
            dns::Record record;
            record.type = dns::Type::txt;
            record.text = found->second;
            answer.records.push_back(record);
        }
        co_return answer;
    }
    std::map<std::string, std::string> zone;
    std::vector<std::string> asked;
    std::function<void(const std::string&)> asked_for;
    bool silent = false;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

struct CheckingHouse : House {
    explicit CheckingHouse(Settings with = {}) : settings(std::move(with)), key(tls::SigningKey::parse(ed25519).value())
    {
        settings.emplace(settings.begin(), "mailauth_checks", "dkim spf");      // what comes later in the list counts
        options = options_of(settings);
        dns.zone = {{"s._domainkey.b.test", "k=ed25519; p=" + base64_encode(key.public_key())}, {"b.test", "v=spf1 ip4:192.0.2.1 -all"}};
    }
    ~CheckingHouse()
    {
        server.reset();
        threads.join();
    }
    void open()
    {
        Outside outside(queue, exempting, classes, dns, tables, folder, clock, observe::Log(sink, "postfix/smtpd"));
        outside.threads = &threads;
        outside.suffixes = &suffixes;
        outside.signer = &sealer;
        outside.dmarc_reports = dmarc_reports;
        server = std::make_unique<Server>(loop.get_executor(), options, std::move(outside));
    }
    /// The last line of what comes; threads may have to be waited for.
    std::string say(Talk& talk, std::string_view octets, std::chrono::milliseconds patience = std::chrono::seconds{10})
    {
        std::string all = talk.send(octets);
        for (const auto end = std::chrono::steady_clock::now() + patience; all.empty() && !talk.ended() && std::chrono::steady_clock::now() < end;) {
            loop.restart();
            loop.run_for(std::chrono::milliseconds{5});
            all = talk.receive();
        }
        const auto lines = lines_of(all);
        return lines.empty() ? "" : lines.back();
    }
    std::string send(std::string_view message, std::string address = "192.0.2.1")
    {
        if (!server)
            open();
        Talk talk(*this, std::move(address));
        say(talk, "EHLO client.test\r\n");
        say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
        return say(talk, std::string(message) + ".\r\n");
    }
    std::string signed_field(std::string_view head, std::string_view canonical_body, std::string_view forms = "relaxed/relaxed") const
    {
        mailauth::Signature signature;
        signature.fields = {"from"};
        const std::string field = fmt::format("DKIM-Signature: v=1; a=ed25519-sha256; c={}; d=b.test; s=s; h=from; bh={}; b=", forms,
                                              base64_encode(tls::digest(tls::Digest::sha256, std::string(canonical_body))));
        return mailauth::signed_field(field, key.sign(mailauth::octets_to_sign(head, signature, field)).value());
    }
    std::string stored(std::size_t i = 0)
    {
        const handoff::Content& content = queue.stored.at(i).second;
        return content.file().empty() ? content.inline_octets() : folder.files[content.file()];
    }

    static constexpr std::string_view ed25519 = "-----BEGIN PRIVATE KEY-----\n"
                                                "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                                "-----END PRIVATE KEY-----\n";
    Settings settings;
    tls::SigningKey key;
    DmarcReports* dmarc_reports = nullptr;
    SlowNames dns;
    ExemptingCleaner exempting;
    FakeSealer sealer;
    mailauth::PublicSuffixes suffixes;
    Helpers threads{1};
};

constexpr std::string_view from = "From: a@b.test\r\n";

/// The first set of a chain, by `sealer`, in front of `head`, whose body is `body`; the key is that of s._domainkey.b.test.
std::string sealed(const CheckingHouse& house, std::string_view sealer, std::string_view found, const std::string& head, const std::string& body)
{
    using mailauth::Canonical;
    const auto line = [](const std::string& field) { return mailauth::canonical_field(field, Canonical::relaxed) + "\r\n"; };
    const std::string results = fmt::format("ARC-Authentication-Results: i=1; {}; {}\r\n", sealer, found);
    mailauth::Signature what;
    what.fields = {"from"};
    std::string message = fmt::format("ARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed; d={}; s=s; h=from; bh={}; b=", sealer,
                                      base64_encode(tls::digest(tls::Digest::sha256, body)));
    message += base64_encode(house.key.sign(mailauth::octets_to_sign(head, what, message)).value()) + "\r\n";
    std::string seal = fmt::format("ARC-Seal: i=1; a=ed25519-sha256; cv=none; d={}; s=s; t=1; b=", sealer);
    seal += base64_encode(house.key.sign(line(results) + line(message) + mailauth::canonical_field(seal, Canonical::relaxed)).value()) + "\r\n";
    return seal + message + results + head;
}

}  // namespace

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

TEST_CASE("checks: what was found is sealed, over the message as it is stored")
{
    CheckingHouse house({{"arc_sign_selector", "s"}});
    CHECK(house.send(house.signed_field(from, "text\r\n") + std::string(from) + "\r\ntext\r\n").starts_with("250 2.0.0 Ok: queued as Q1"));
    REQUIRE(house.sealer.proofs.size() == 1);
    CHECK(house.sealer.asked[0] == "Q1");
    CHECK(house.stored() == "ARC-Seal: x\r\n" + house.sealer.heads[0] + "text\r\n");
    CHECK(house.queue.stored[0].first.size() == house.stored().size());
    CHECK(house.sealer.heads[0].starts_with("Authentication-Results: " + house.sealer.proofs[0].results + "\r\nReceived: "));
    CHECK(house.sealer.proofs[0].results.starts_with("mx.example.test;\r\n\tdkim=pass header.d=b.test"));
    CHECK(has(house.sealer.proofs[0].results, ";\r\n\tarc=none"));
    CHECK(house.sealer.proofs[0].chain == "none");
    mailauth::BodyHash hash(mailauth::Canonical::relaxed);
    hash.add("text\r\n");
    CHECK(house.sealer.hashes[0] == hash.finish());
    CHECK(house.sealer.relaxed);
    const std::string chained = sealed(house, "b.test", "dmarc=pass", std::string(from), "text\r\n");
    CHECK(house.send(chained + "\r\ntext\r\n").starts_with("250 "));
    CHECK(house.sealer.proofs[1].chain == "pass");
    CHECK(has(house.sealer.proofs[1].results, ";\r\n\tarc=pass header.oldest-pass=0"));
    CHECK(house.send(chained + "\r\nchanged\r\n").starts_with("250 "));
    CHECK(house.sealer.proofs[2].chain == "fail");
    // No set more is one that is not needed.
    house.sealer.answer = std::string();
    CHECK(house.send(chained + "\r\ntext\r\n").starts_with("250 "));
    CHECK(house.stored(3).starts_with("Authentication-Results: "));
    CHECK(house.sealer.signatures == 0);
}

TEST_CASE("checks: who is not checked is not sealed, and what is signed is our own")
{
    const std::string message = std::string(from) + "\r\ntext\r\n";
    CheckingHouse house({{"arc_sign_selector", "s"}, {"dkim_sign_maps", "static:s"}, {"dkim_canonicalization", "relaxed"}});
    CHECK(house.send(message, "192.0.2.50").starts_with("250 "));
    CHECK(house.stored().starts_with("DKIM-Signature: x\r\nAuthentication-Results: "));
    CHECK(house.sealer.proofs.empty());
    CHECK(house.send(message, "192.0.2.100").starts_with("250 "));
    CHECK(house.stored(1).starts_with("Received: "));
    CHECK(house.send(message).starts_with("250 "));
    CHECK(house.stored(2).starts_with("ARC-Seal: x\r\nAuthentication-Results: "));
    CHECK(house.sealer.signatures == 1);
    CHECK_FALSE(house.sealer.relaxed);
    CheckingHouse plain, unchecked({{"arc_sign_selector", "s"}, {"mailauth_checks", ""}}),
        overridden({{"arc_sign_selector", "s"}, {"receive_override_options", "no_milters"}});
    for (CheckingHouse* one : {&plain, &unchecked, &overridden}) {
        CHECK(one->send(message).starts_with("250 "));
        CHECK(one->sealer.proofs.empty());
        CHECK_FALSE(has(one->stored(), "arc="));
    }
}

TEST_CASE("checks: what should be sealed and cannot be now waits; what was not looked at, or is another chain by then, goes unsealed")
{
    const std::string message = std::string(from) + "\r\ntext\r\n";
    CheckingHouse house({{"arc_sign_selector", "s"}});
    house.sealer.answer = Error{"resolve cannot sign it", "4.3.5"};
    CHECK(house.send(message).starts_with("451 4.3.0 "));
    CHECK(house.logged("warning: Q1: not signed: resolve cannot sign it"));
    CHECK(house.queue.stored.empty());
    house.sealer.answer = std::string("ARC-Seal: x\r\n");
    house.exempting.added = "ARC-Seal: i=1; a=x\r\n";
    CHECK(house.send(message).starts_with("250 "));
    CHECK(house.logged("Q2: not sealed: its chain of seals was changed after it was checked"));
    CHECK(house.sealer.proofs.size() == 1);
    house.exempting.added.clear();
    std::string longer(from);
    while (longer.size() < 3 * Content::head_limit)
        longer += "X-Filler: " + std::string(500, 'x') + "\r\n";
    CHECK(house.send(longer + "\r\ntext\r\n").starts_with("250 "));
    CHECK(has(house.stored(1).substr(0, 400), "\tarc=fail reason=\"header is too long\""));
    CHECK(house.sealer.proofs.size() == 1);
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
