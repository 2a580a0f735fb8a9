#include "mailauth/arc.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/scripted_dns.hpp"
#include "tables/testing.hpp"
#include "tls/digest.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

const tls::SigningKey& arc_key()
{
    static const tls::SigningKey key = tls::SigningKey::parse("-----BEGIN PRIVATE KEY-----\n"
                                                              "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                                              "-----END PRIVATE KEY-----\n")
                                           .value();
    return key;
}

struct Chained {
    std::string head = "From: u@author.test\r\nSubject: x\r\n", body = "text\r\n";
    int sets = 0;

    static std::string name(std::string_view field) { return std::string(field.substr(0, field.find(':'))); }

    /// One more set, by `domain`. `say` may change the parts of the seal before it is signed.
    void seal(std::string_view domain, std::string_view results, std::string cv = "", std::string_view more_of_message = "",
              std::string_view more_of_seal = "")
    {
        ++sets;
        if (cv.empty())
            cv = sets == 1 ? "none" : "pass";
        const std::string aar = fmt::format("ARC-Authentication-Results: i={}; {};\r\n\t{}\r\n", sets, domain, results);
        Signature what;
        what.header = Canonical::relaxed;
        what.fields = {"from", "subject"};
        std::string ams =
            fmt::format("ARC-Message-Signature: i={}; a=ed25519-sha256; c=relaxed/relaxed; d={}; s=k; h=from:subject;{}\r\n\tbh={}; b=", sets, domain,
                        more_of_message, base64_encode(tls::digest(tls::Digest::sha256, body)));
        ams += base64_encode(arc_key().sign(octets_to_sign(head, what, ams)).value()) + "\r\n";
        std::string as = fmt::format("ARC-Seal: i={}; a=ed25519-sha256; cv={}; d={}; s=k; t=1;{} b=", sets, cv, domain, more_of_seal);
        const std::string signed_octets = before + canonical_field(aar, Canonical::relaxed) + "\r\n" + canonical_field(ams, Canonical::relaxed) +
                                          "\r\n" + canonical_field(as, Canonical::relaxed);
        as += base64_encode(arc_key().sign(signed_octets).value()) + "\r\n";
        for (const std::string& field : {aar, ams, as})
            before += canonical_field(field, Canonical::relaxed) + "\r\n";
        head = as + ams + aar + head;
    }
    /// The first `what` of the head becomes `by`.
    void replace(std::string_view what, std::string_view by)
    {
        const auto at = head.find(what);
        REQUIRE(at != head.npos);
        head.replace(at, what.size(), by);
    }

    std::string before;
};

struct ArcHouse : tables::Loop {
    ~ArcHouse() { threads.join(); }
    Helpers threads{1};
    ScriptedDns dns{zone()};

    static std::string zone()
    {
        std::string text;
        for (const std::string_view domain : {"one.test", "two.test", "three.test"})
            text += fmt::format("k._domainkey.{} TXT v=DKIM1; k=ed25519; p={}\n", domain, base64_encode(arc_key().public_key()));
        return text + "k._domainkey.slow.test FAIL\n";
    }
    ArcFinding of(const Chained& message)
    {
        ArcValidator validator(message.head, std::chrono::sys_seconds(std::chrono::seconds(1767225600)));
        validator.add(message.body);
        run(loop, validator.ask_for_keys(dns.ask()));
        return run(loop, validator.finding(threads));
    }
};

std::string oldest(const ArcFinding& found) { return found.properties.empty() ? "" : found.properties.front().value; }

}  // namespace

TEST_CASE("arc: without a chain there is none; one that holds passes, and says what its sealers found")
{
    ArcHouse house;
    Chained message;
    const ArcFinding none = house.of(message);
    CHECK(none.method == "arc");
    CHECK(none.result == "none");
    CHECK(house.dns.asked.empty());
    message.seal("one.test", "dmarc=pass header.from=author.test");
    CHECK(house.of(message).result == "pass");
    message.seal("two.test", "dmarc=fail header.from=author.test; arc=pass");
    message.seal("three.test", "arc=pass");
    const ArcFinding found = house.of(message);
    CHECK(found.result == "pass");
    CHECK(found.reason.empty());
    CHECK(found.properties == std::vector<Property>{{.type = "header", .name = "oldest-pass", .value = "0"}});
    REQUIRE(found.chain.size() == 3);
    CHECK(found.chain[0].domain == "three.test");
    CHECK(found.chain[2].domain == "one.test");
    CHECK(found.chain[2].results == "one.test;\tdmarc=pass header.from=author.test");
}

TEST_CASE("arc: what was changed on the way ends the older signatures of the message, not the chain")
{
    ArcHouse house;
    Chained message;
    message.seal("one.test", "dmarc=pass");
    message.body = "changed\r\n";
    message.seal("two.test", "arc=pass");
    message.seal("three.test", "arc=pass");
    CHECK(house.of(message).result == "pass");
    CHECK(oldest(house.of(message)) == "2");
    message.body = "changed again\r\n";
    CHECK(house.of(message).result == "fail");
    CHECK(house.of(message).reason == "signature of the message i=3 did not verify");
}

TEST_CASE("arc: whatever of a chain is changed, it fails")
{
    ArcHouse house;
    Chained whole;
    whole.seal("one.test", "dmarc=pass");
    whole.seal("two.test", "arc=pass");
    const std::tuple<std::string_view, std::string_view, std::string_view> changes[] = {
        {"From: u@author.test", "From: u@other.test", "signature of the message i=2 did not verify"},
        {"two.test;\r\n\tarc=pass", "two.test;\r\n\tarc=fail", "seal i=2 did not verify"},
        {"one.test;\r\n\tdmarc=pass", "one.test;\r\n\tdmarc=fail", "seal i=2 did not verify"},
        {"cv=pass", "cv=none", "cv= of i=2 does not fit"},
        {"cv=pass", "cv=fail", "chain failed before i=2"},
        {"cv=none", "cv=pass", "cv= of i=1 does not fit"},
        {"ARC-Seal: i=2", "ARC-Seal: i=3", "no ARC-Authentication-Results with i=3"},
        {"ARC-Seal: i=1", "ARC-Seal: i=2", "several ARC-Seal with i=2"},
        {"ARC-Seal: i=1", "X-ARC-Seal: i=1", "no ARC-Seal with i=1"},
        {"ARC-Seal: i=2", "ARC-Seal: i=51", "too many sets"},
        {"ARC-Seal: i=2", "ARC-Seal: i=0", "malformed ARC-Seal"},
        {"ARC-Seal: i=2", "ARC-Seal: x=2", "malformed ARC-Seal"},
        {"ARC-Authentication-Results: i=2;", "ARC-Authentication-Results: i=2x;", "malformed ARC-Authentication-Results"},
        {"d=two.test; s=k; t=1;", "s=k; t=1;", "ARC-Seal i=2: no d= in signature"},
        {"a=ed25519-sha256; cv=", "a=rsa-sha1; cv=", "ARC-Seal i=2: rsa-sha1 is no longer good"},
        {"h=from:subject", "h=from:arc-seal", "ARC-Message-Signature i=2 signs fields of the chain"},
        {"h=from:subject", "h=subject", "ARC-Message-Signature i=2: From field not signed"},
    };
    for (const auto& [what, by, reason] : changes) {
        Chained changed = whole;
        changed.replace(what, by);
        const ArcFinding found = house.of(changed);
        CAPTURE(what);
        CHECK(found.result == "fail");
        CHECK(found.reason == reason);
        CHECK(found.chain.empty());
    }
    Chained says = whole;
    says.seal("three.test", "arc=pass", "", "", " h=from;");
    CHECK(house.of(says).reason == "seal i=3 says what it signs");
    // The oldest seal alone: newer ones were made over it as it stands.
    Chained old;
    old.seal("slow.test", "dmarc=pass");
    old.seal("two.test", "arc=pass");
    CHECK(house.of(old).reason == "seal i=1 did not verify");
    Chained expired;
    expired.seal("one.test", "dmarc=pass", "", " x=1767225599;");
    CHECK(house.of(expired).result == "fail");
    Chained fresh;
    fresh.seal("one.test", "dmarc=pass", "", " x=1767225600; v=7;");
    CHECK(house.of(fresh).result == "pass");
}

TEST_CASE("arc: a chain whose shape is wrong asks for no key; a name is asked for once; fifty sets are taken")
{
    ArcHouse house;
    Chained message;
    for (int i = 0; i < 50; ++i)
        message.seal("one.test", "arc=pass");
    CHECK(house.of(message).result == "pass");
    CHECK(house.dns.asked == std::vector<std::string>{"TXT k._domainkey.one.test"});
    message.seal("one.test", "arc=pass");
    house.dns.asked.clear();
    CHECK(house.of(message).reason == "too many sets");
    CHECK(house.dns.asked.empty());
}

TEST_CASE("arc: who sealed, is trusted as all behind them, and found that the author's domain passed, is whom to believe")
{
    ArcFinding arc;
    arc.result = "pass";
    arc.chain = {{.domain = "list.test", .results = "list.test; dmarc=fail header.from=author.test; arc=pass"},
                 {.domain = "first.test", .results = "first.test; spf=none;\tDMARC=Pass (p=reject; \"dis\") policy.x=y header.from=Author.test"}};
    const auto all = [](const std::string&) { return true; };
    CHECK(trusted_sealer(arc, "author.test", all) == "first.test");
    CHECK(trusted_sealer(arc, "other.test", all).empty());
    CHECK(trusted_sealer(arc, "author.test", [](const std::string& domain) { return domain == "first.test"; }).empty());
    CHECK(trusted_sealer(arc, "author.test", [](const std::string& domain) { return domain == "list.test"; }).empty());
    for (const std::string_view forged :
         {"x; spf=pass (dmarc=pass header.from=author.test)", "x; spf=pass reason=\"; dmarc=pass header.from=author.test\"", "x; dmarc=pass",
          "x; dmarc=pass (header.from=author.test)", "x; spf=pass reason=\"a\\\"; dmarc=pass header.from=author.test\"",
          "x; dmarc=fail; spf=pass header.from=author.test", "x; dmarc=pass header.from=author.test.evil.test"}) {
        CAPTURE(forged);
        arc.chain = {{.domain = "list.test", .results = std::string(forged)}};
        CHECK(trusted_sealer(arc, "author.test", all).empty());
    }
    arc.chain = {{.domain = "list.test", .results = "x; dmarc=pass header.from=author.test"}};
    CHECK(trusted_sealer(arc, "author.test", all) == "list.test");
    arc.result = "fail";
    CHECK(trusted_sealer(arc, "author.test", all).empty());
}
