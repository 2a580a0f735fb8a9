#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/arc.hpp"
#include "mailauth/arc_sets.hpp"
#include "mailauth/params.hpp"
#include "mailauth/results.hpp"
#include "mailauth/scripted_dns.hpp"
#include "mailauth/signer.hpp"
#include "message/header.hpp"
#include "tables/testing.hpp"
#include "tls/make_certificate.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <span>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

struct Passed {
    std::string head = "DKIM-Signature: v=1; a=x; b=\r\nFrom: u@author.test\r\nSubject: x\r\n\ty\r\nTo: l@list.test\r\n", body = "text\r\n";

    /// The first `what` of the head becomes `by`.
    Passed with(std::string_view what, std::string_view by) const
    {
        Passed changed = *this;
        const auto at = head.find(what);
        REQUIRE(at != head.npos);
        changed.head.replace(at, what.size(), by);
        return changed;
    }
};

/// Of each kind of key one for all domains.
struct SealingHouse : tables::Loop, tables::TestSite {
    static constexpr std::string_view ed_pem = "-----BEGIN PRIVATE KEY-----\n"
                                               "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                               "-----END PRIVATE KEY-----\n";
    ~SealingHouse() { threads.join(); }
    Helpers threads{1};
    tls::SigningKey ed = tls::SigningKey::parse(ed_pem).value();
    ScriptedDns dns{""};
    Options options;

    SealingHouse()
    {
        const std::string rsa_pem = tls::make_private_key("rsa", "1024").value();
        const std::string ed_file = write("ed.pem", ed_pem), rsa_file = write("rsa.pem", rsa_pem);
        std::string keys, zone;
        for (const std::string_view domain : {"one.test", "two.test", "three.test"}) {
            keys += fmt::format("k._domainkey.{0} {1}\nr._domainkey.{0} {2}\n", domain, ed_file, rsa_file);
            zone += fmt::format("k._domainkey.{0} TXT v=DKIM1; k=ed25519; p={1}\nr._domainkey.{0} TXT v=DKIM1; p={2}\n", domain,
                                base64_encode(ed.public_key()), base64_encode(tls::SigningKey::parse(rsa_pem)->public_key()));
        }
        dns = ScriptedDns(zone);
        options.key_maps = "texthash:" + write("keys", keys);
        options.fields = {"from", "to", "subject"};
        options.oversigned = {"from"};
        options.seal_selector = "k";
    }
    Result<std::string> set_for(std::string_view domain, const Passed& mail, const ArcFinding& found)
    {
        Options by = options;
        by.seal_domain = domain;
        Signer signer(by, tables, threads, clock, observe::Log{sink, "postfix/cleanup"});
        BodyHash hash(Canonical::relaxed);
        hash.add(mail.body);
        return run(loop, signer.seal("QID", mail.head, hash.finish(), Canonical::relaxed, results_text(domain, {found}, false), found.result));
    }
    /// Checks it as it is, and seals it; what was added.
    std::string seal(std::string_view domain, Passed& mail)
    {
        std::string set = set_for(domain, mail, of(mail)).value();
        mail.head = set + mail.head;
        return set;
    }
    ArcFinding of(const Passed& mail)
    {
        ArcValidator validator(mail.head, std::chrono::sys_seconds(std::chrono::seconds(1767225600)));
        validator.add(mail.body);
        run(loop, validator.ask_for_keys(dns.ask()));
        return run(loop, validator.finding(threads));
    }
};

/// Names of the fields, in their order.
std::vector<std::string> names_in(std::string_view head)
{
    std::vector<std::string> names;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next())
        names.emplace_back(field->name);
    return names;
}

/// h= of the newest signature of the message.
std::string signed_names(std::string_view head)
{
    const std::string text = message::unfold(message::find_field(head, "ARC-Message-Signature")->body);
    const auto at = text.find("h=");
    return text.substr(at, text.find(';', at) - at);
}

Options words(std::initializer_list<config::Assignment> written)
{
    const config::Site host{.host_name = "mail.example.test", .addresses = {}};
    const std::span<const config::ParamInfo> rooms[] = {mailauth::params};
    return Options::from(config::Snapshot(host, "/nonexistent", rooms).with(std::span(written.begin(), written.size()), "-o"));
}

}  // namespace

TEST_CASE("arc seal: a chain of three, which says at each place what was found there, and passes")
{
    SealingHouse house;
    Passed mail;
    const std::string set = house.seal("one.test", mail);
    CHECK(names_in(set) == std::vector<std::string>{"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"});
    CHECK(set.starts_with("ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=one.test; s=k; t="));
    CHECK(set.find("\r\nARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed;") != set.npos);
    CHECK(set.ends_with("\r\nARC-Authentication-Results: i=1; one.test;\r\n\tarc=none\r\n"));
    CHECK(house.said("QID: ARC-Seal field added (i=1, cv=none, s=k, d=one.test)"));
    house.options.seal_selector = "r";
    CHECK(house.seal("two.test", mail).starts_with("ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=two.test; s=r; t="));
    house.options.header = Canonical::simple;
    CHECK(house.seal("three.test", mail).find("\r\nARC-Message-Signature: i=3; a=rsa-sha256; c=simple/relaxed;") != mail.head.npos);
    const ArcFinding found = house.of(mail);
    CHECK(found.result == "pass");
    CHECK(found.reason.empty());
    CHECK(found.properties == std::vector<Property>{{.type = "header", .name = "oldest-pass", .value = "0"}});
    REQUIRE(found.chain.size() == 3);
    CHECK(found.chain[0].domain == "three.test");
    CHECK(found.chain[1].results == "two.test;\tarc=pass header.oldest-pass=0");
    CHECK(found.chain[2].results == "one.test;\tarc=none");
    for (const std::string_view line : split(mail.head, "\n"))
        CHECK(line.size() <= 80);
}

TEST_CASE("arc seal: what is changed behind it breaks the chain, what may come and go does not")
{
    SealingHouse house;
    Passed mail;
    mail.head = "Authentication-Results: one.test; arc=none\r\n" + mail.head;
    house.seal("one.test", mail);
    house.seal("two.test", mail);
    CHECK(house.of(mail).result == "pass");
    Passed changed = mail;
    changed.body += "-- the list\r\n";
    CHECK(house.of(changed).reason == "signature of the message i=2 did not verify");
    for (const auto& [what, by] : {std::pair("Subject: x", "Subject: [l] x"), std::pair("DKIM-Signature: v=1; a=x; b=\r\n", ""),
                                   std::pair("From: u", "From: x@y.test\r\nFrom: u"), std::pair("To: l", "To: m")})
        CHECK(house.of(mail.with(what, by)).reason == "signature of the message i=2 did not verify");
    CHECK(house.of(mail.with("i=1; one.test;\r\n\tarc=none", "i=1; one.test;\r\n\tarc=pass")).reason == "seal i=2 did not verify");
    CHECK(house.of(mail.with("Authentication-Results: one.test; arc=none\r\n", "")).result == "pass");
    changed = mail;
    changed.head = "DKIM-Signature: v=1; a=y\r\nReceived: from x\r\nAuthentication-Results: z\r\nSubject: w\r\n" + mail.head;
    CHECK(house.of(changed).result == "pass");
}

TEST_CASE("arc seal: a chain that failed gets one set more, which signs itself alone, and then none")
{
    SealingHouse house;
    Passed mail;
    house.seal("one.test", mail);
    mail.body = "changed\r\n";
    const std::string set = house.seal("two.test", mail);
    CHECK(set.starts_with("ARC-Seal: i=2; a=ed25519-sha256; cv=fail; d=two.test; "));
    CHECK(house.of(mail).reason == "chain failed before i=2");
    const ArcFields fields = ArcSets(set).sets.at(1);
    const std::string_view seal = fields.body[of_seal];
    std::string signature;
    for (const std::string_view piece : split(seal.substr(seal.rfind("b=") + 2), " \t\r\n"))
        signature += piece;
    CHECK(tls::is_signed_by(house.ed.kind(), house.ed.public_key(),
                            arc_octets(fields.whole[of_results], fields.whole[of_message], without_signature(fields.whole[of_seal])),
                            base64_decode(signature).value()));
    CHECK(house.seal("three.test", mail).empty());
    CHECK(house.said("QID: no ARC-Seal field added: the chain had failed before"));
    // Whatever is wrong with it: the number is one more than the highest that is there.
    ArcFinding failed;
    failed.result = "fail";
    for (const auto& [head, instance] :
         {std::pair("ARC-Seal: x\r\n", 1), std::pair("ARC-Message-Signature: i=7; a=b\r\nARC-Seal: i=3; cv=fail\r\n", 8)}) {
        Passed broken;
        broken.head = head + broken.head;
        CHECK(house.set_for("one.test", broken, failed)->starts_with(fmt::format("ARC-Seal: i={}; a=ed25519-sha256; cv=fail; ", instance)));
    }
}

TEST_CASE("arc seal: fifty sets are enough")
{
    SealingHouse house;
    Passed mail;
    for (int i = 0; i < 49; ++i)
        house.seal("one.test", mail);
    CHECK(house.seal("one.test", mail).starts_with("ARC-Seal: i=50; a=ed25519-sha256; cv=pass; "));
    CHECK(house.of(mail).result == "pass");
    CHECK(house.seal("one.test", mail).empty());
    CHECK(house.said("QID: no ARC-Seal field added: the chain has 50 sets"));
    Passed more;
    more.head = "ARC-Seal: i=51; a=x\r\n" + more.head;
    CHECK(house.seal("one.test", more).empty());
}

TEST_CASE("arc seal: the signature of the message covers DKIM's fields and signatures, never results and seals")
{
    SealingHouse house;
    Passed mail;
    mail.head = "DKIM-Signature: v=1; a=y; b=\r\n" + mail.head;
    house.seal("one.test", mail);
    CHECK(signed_names(mail.head) == "h=from:from:to:subject:dkim-signature:dkim-signature");
    house.options.fields = {"from", "authentication-results", "arc-seal", "dkim-signature", "arc-message-signature"};
    house.options.oversigned = {"arc-authentication-results", "dkim-signature"};
    mail.head = "Authentication-Results: x\r\n" + mail.head;
    house.seal("two.test", mail);
    CHECK(signed_names(mail.head) == "h=from:dkim-signature:dkim-signature:dkim-signature");
    CHECK(house.of(mail).result == "pass");
}

TEST_CASE("arc seal: without its key the message waits")
{
    SealingHouse house;
    Passed mail;
    const auto lost = house.set_for("lost.test", mail, house.of(mail));
    REQUIRE(!lost);
    CHECK(lost.error().status() == "4.3.5");
    CHECK(lost.error().text() == "dkim_key_maps: no key for k._domainkey.lost.test");
    house.options.key_maps = "fail:x";
    CHECK_FALSE(house.set_for("one.test", mail, house.of(mail)));
}

TEST_CASE("arc seal: a chain is told from another")
{
    SealingHouse house;
    Passed mail;
    CHECK(arc_digest(mail.head).empty());
    house.seal("one.test", mail);
    const std::string one = arc_digest(mail.head);
    CHECK(one.size() == 32);
    CHECK(house.of(mail).digest == one);
    CHECK(arc_digest(mail.with("To: l", "To: m").head) == one);
    CHECK(arc_digest(mail.with("ARC-Seal: i=1", "X-Seal: i=1").head) != one);
    house.seal("one.test", mail);
    CHECK(arc_digest(mail.head) != one);
}

TEST_CASE("arc seal: words of main.cf, and one that means nothing is named")
{
    CHECK(words({}).seal_selector.empty());
    const Options some = words({{"arc_sign_selector", "2026.s1"}});
    CHECK(some.seal_selector == "2026.s1");
    CHECK(some.seal_domain == "example.test");
    CHECK(words({{"arc_sign_selector", "s"}, {"arc_sign_domain", "Other.test"}}).seal_domain == "other.test");
    CHECK_THROWS_WITH_AS(words({{"arc_sign_selector", "s, t"}}), "bad configuration: arc_sign_selector = s, t: expected the selector of a key",
                         config::BadValue);
    CHECK_THROWS_WITH_AS(words({{"arc_sign_selector", "s"}, {"arc_sign_domain", "a b"}}),
                         "bad configuration: arc_sign_domain = a b: expected a domain", config::BadValue);
}
