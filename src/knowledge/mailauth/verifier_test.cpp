#include "mailauth/verifier.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/dkim_key.hpp"
#include "tables/testing.hpp"
#include "tls/digest.hpp"
#include "tls/make_certificate.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

using namespace posthorn;
using namespace posthorn::mailauth;
using tls::SigningKey;

namespace {

constexpr std::string_view plain_head = "From: Joe SixPack <joe@football.example.com>\r\n"
                                        "To: Suzie Q <suzie@shopping.example.net>\r\n"
                                        "Subject: Is dinner ready?\r\n"
                                        "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
                                        "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
constexpr std::string_view plain_body = "Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
// RFC 6376 A.2, the key of its Appendix C.
constexpr std::string_view rfc6376_signature = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
                                               "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
                                               "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
                                               "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                               "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
                                               "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
                                               "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
                                               "      4bmp/YzhwvcubU4=;\r\n"
                                               "Received: from client1.football.example.com  [192.0.2.1]\r\n"
                                               "      by submitserver.example.com with SUBMISSION;\r\n"
                                               "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n";
constexpr std::string_view rfc6376_key =
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5"
    "ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
// RFC 8463 A.3.
constexpr std::string_view rfc8463_signatures =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n";
constexpr std::string_view rfc8463_ed25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
constexpr std::string_view rfc8463_rsa =
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3Fu"
    "tACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

const SigningKey& a_key()
{
    static const SigningKey key = SigningKey::parse("-----BEGIN PRIVATE KEY-----\n"
                                                    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                                    "-----END PRIVATE KEY-----\n")
                                      .value();
    return key;
}

/// What is signed by whom, and the zone that answers for it.
struct VerifyingHouse : tables::Loop {
    ~VerifyingHouse() { threads.join(); }

    /// `field`: without b=; `body`: hashed for {bh}.
    std::string signed_by(const SigningKey& key, std::string field, std::string_view head, const std::vector<std::string>& names,
                          Canonical how = Canonical::relaxed)
    {
        Signature signature;
        signature.header = how;
        signature.fields = names;
        field = "DKIM-Signature: " + field + "; b=";
        const std::string octets = octets_to_sign(head, signature, field);
        return field + base64_encode(key.sign(octets).value()) + "\r\n";
    }
    /// Over plain_head and plain_body with a_key(): tags beside a=, bh= and b=.
    std::string plain(std::string_view tags, std::string_view bh = {}, std::string_view h = "from")
    {
        std::vector<std::string> names;
        for (const std::string_view name : split_exact(h, ':'))
            names.emplace_back(name);
        const std::string field = fmt::format("v=1; a=ed25519-sha256; c=relaxed/relaxed; {}; h={}; bh={}", tags, h, bh.empty() ? body_hash() : bh);
        return signed_by(a_key(), field, plain_head, names);
    }
    static std::string body_hash(std::string_view canonical = plain_body)
    {
        return base64_encode(tls::digest(tls::Digest::sha256, std::string(canonical)));
    }

    awaitable<dns::Answer> answer(std::string name, dns::Type type)
    {
        CHECK(type == dns::Type::txt);
        asked.push_back(name);
        dns::Answer answer;
        answer.status = dns::Status::nxdomain;
        if (const auto said = status.find(name); said != status.end())
            answer.status = said->second;
        for (auto [at, end] = zone.equal_range(name); at != end; ++at) {
            answer.status = dns::Status::found;
            dns::Record record;
            record.type = dns::Type::txt;
            record.text = at->second;
            answer.records.push_back(record);
        }
        co_return answer;
    }
    std::vector<Finding> findings(std::string head, std::string_view body, std::size_t step = 1000)
    {
        DkimVerifier verifier(std::move(head), {limit}, now);
        run(loop, verifier.ask_for_keys([this](std::string name, dns::Type type) { return answer(std::move(name), type); }));
        for (; !body.empty(); body.remove_prefix(std::min(step, body.size())))
            verifier.add(body.substr(0, step));
        return run(loop, verifier.findings(threads));
    }
    /// "pass|fail: reason"
    std::string verdicts(std::string head, std::string_view body = plain_body)
    {
        std::string made;
        for (const Finding& finding : findings(std::move(head), body))
            made += (made.empty() ? "" : "|") + finding.result + (finding.reason.empty() ? "" : ": " + finding.reason);
        return made;
    }
    std::string verdict_of(std::string_view tags, std::string_view body = plain_body)
    {
        return verdicts(plain(tags) + std::string(plain_head), body);
    }

    Helpers threads{1};
    std::multimap<std::string, std::string> zone{{"s._domainkey.example.com", "k=ed25519; p=" + base64_encode(a_key().public_key())},
                                                 {"brisbane._domainkey.example.com", std::string(rfc6376_key)},
                                                 {"brisbane._domainkey.football.example.com", std::string(rfc8463_ed25519)},
                                                 {"test._domainkey.football.example.com", std::string(rfc8463_rsa)}};
    std::map<std::string, dns::Status> status;
    std::vector<std::string> asked;
    std::size_t limit = 10;
    std::chrono::sys_seconds now{std::chrono::seconds{1'600'000'000}};
};

}  // namespace

TEST_CASE("verify: the messages of RFC 6376 and RFC 8463 pass, in pieces of any size, and not with an octet changed")
{
    VerifyingHouse house;
    const std::string old = std::string(rfc6376_signature) + std::string(plain_head);
    CHECK(house.verdicts(old) == "pass");
    CHECK(house.verdicts(old, "Hi!\r\n") == "fail: body hash did not verify");
    const std::string both = std::string(rfc8463_signatures) + std::string(plain_head);
    CHECK(house.verdicts(both) == "pass|pass");
    CHECK(house.findings(both, plain_body, 1) == house.findings(both, plain_body, 1000));
    CHECK(house.verdicts(std::string(both).replace(both.find("dinner"), 6, "supper")) ==
          "fail: signature did not verify|fail: signature did not verify");
    const Finding first = house.findings(both, plain_body)[0];
    CHECK(first == Finding{"dkim",
                           "pass",
                           "",
                           {{"header", "d", "football.example.com"},
                            {"header", "i", "@football.example.com"},
                            {"header", "s", "brisbane"},
                            {"header", "a", "ed25519-sha256"},
                            {"header", "b", "/gCrinpc"}}});
    CHECK(house.findings(std::string(plain_head), plain_body).empty());
}

TEST_CASE("verify: what the field says must be understood, else it is neutral")
{
    VerifyingHouse house;
    const auto parsed = [](std::string_view body) {
        const auto field = parse_signature(body);
        return field ? std::string() : field.error().result + ": " + field.error().reason;
    };
    constexpr std::string_view good = "v=1; a=rsa-sha256; d=example.com; s=s; h=from; bh=YQ==; b=YQ==";
    CHECK(parsed(good).empty());
    const auto with = [&](std::string_view what, std::string_view in_place_of) {
        std::string made(good);
        return parsed(made.replace(made.find(in_place_of), in_place_of.size(), what));
    };
    const auto and_more = [&](std::string_view more) { return parsed(std::string(good) + "; " + std::string(more)); };
    CHECK(with("v=2", "v=1") == "neutral: unknown version of signature");
    CHECK(with("x=9999999999", "v=1") == "neutral: unknown version of signature");
    CHECK(with("a=dsa-sha256", "a=rsa-sha256") == "neutral: unknown algorithm");
    CHECK(with("A=RSA-SHA256", "a=rsa-sha256") == "neutral: no a= in signature");
    CHECK(with("z=", "bh=YQ==") == "neutral: no bh= in signature");
    CHECK(with("d=", "d=example.com") == "neutral: no d= in signature");
    CHECK(with("d=a..b", "d=example.com") == "neutral: malformed domain or selector");
    CHECK(with("s=a b", "s=s") == "neutral: malformed domain or selector");
    CHECK(with("s=202611", "s=s").empty());
    CHECK(with("b=Y", "b=YQ==") == "neutral: malformed b= or bh= in signature");
    CHECK(with("b=Y\r\n Q ==", "b=YQ==").empty());
    CHECK(with("h=to:subject", "h=from") == "permerror: From field not signed");
    CHECK(with("h=to : FROM", "h=from").empty());
    CHECK(parsed(std::string(good) + "; s=s") == "neutral: duplicate tag");
    CHECK(parsed("no tags at all") == "neutral: malformed tag list");
    CHECK(and_more("c=relaxed/other") == "neutral: unknown canonicalization");
    CHECK(and_more("c=relaxed").empty());
    CHECK(parse_signature(std::string(good) + "; c=relaxed")->body == Canonical::simple);
    CHECK(parse_signature(good)->header == Canonical::simple);
    CHECK(and_more("q=http") == "neutral: unknown way to ask for the key");
    CHECK(and_more("q=http : dns/txt").empty());
    CHECK(and_more("l=-1") == "neutral: malformed l= in signature");
    CHECK(and_more("x=soon") == "neutral: malformed x= in signature");
    CHECK(and_more("t=5; x=5") == "neutral: malformed t= in signature");
    CHECK(and_more("i=@example.org") == "permerror: identity is not of the signing domain");
    CHECK(and_more("i=@badexample.com") == "permerror: identity is not of the signing domain");
    CHECK(and_more("i=example.com") == "permerror: identity is not of the signing domain");
    CHECK(and_more("i=joe@Sub.Example.com").empty());
    CHECK(parse_signature("v=1; a=rsa-sha256; d=b\xc3\xbc"
                          "cher.example; s=S; h=from; bh=YQ==; b=YQ==")
              ->domain == "xn--bcher-kva.example");
    // Nobody is asked for the key of what is no signature.
    CHECK(house.verdicts("DKIM-Signature: v=1\r\n" + std::string(plain_head)) == "neutral: no a= in signature");
    CHECK(house.asked.empty());
}

TEST_CASE("verify: the value of b= is taken out, wherever it stands, and what is around it")
{
    CHECK(without_signature("DKIM-Signature: v=1; b=ab\r\n\tcd\r\n") == "DKIM-Signature: v=1; b=");
    CHECK(without_signature("DKIM-Signature: b = ab ; bh=b=\r\n") == "DKIM-Signature: b =; bh=b=");
    CHECK(without_signature("DKIM-Signature: bh=x;\r\n b=ab;\r\n v=1") == "DKIM-Signature: bh=x;\r\n b=;\r\n v=1");
    VerifyingHouse house;
    const std::string field = house.plain("d=example.com; s=s");
    const std::size_t at = field.rfind("b=") + 2;
    const std::string folded = field.substr(0, at) + "\r\n\t " + field.substr(at, 20) + "\r\n " + field.substr(at + 20);
    CHECK(house.verdicts(folded + std::string(plain_head)) == "pass");
}

TEST_CASE("verify: which fields are signed, how often, and which are not there")
{
    VerifyingHouse house;
    const std::string once = house.plain("d=example.com; s=s", {}, "from:subject");
    CHECK(house.verdicts(once + std::string(plain_head)) == "pass");
    // One more of a name is another matter below than above: from the bottom up.
    CHECK(house.verdicts(once + "Subject: other\r\n" + std::string(plain_head)) == "pass");
    CHECK(house.verdicts(once + std::string(plain_head) + "Subject: other\r\n") == "fail: signature did not verify");
    const std::string more = house.plain("d=example.com; s=s", {}, "from:from:subject:subject:x-none");
    CHECK(house.verdicts(more + std::string(plain_head)) == "pass");
    CHECK(house.verdicts("From: x@y.test\r\n" + more + std::string(plain_head)) == "fail: signature did not verify");
    CHECK(house.verdicts("X-None: 1\r\n" + more + std::string(plain_head)) == "fail: signature did not verify");
    // A signature signs other signatures, not itself.
    const std::string head = "DKIM-Signature: other\r\n" + std::string(plain_head);
    const std::string over =
        house.signed_by(a_key(), "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=s; h=from:dkim-signature; bh=" + house.body_hash(), head,
                        {"from", "dkim-signature"});
    CHECK(house.verdicts(over + head) == "pass|neutral: malformed tag list");
    CHECK(house.verdicts("DKIM-Signature: other\r\n" + over + std::string(plain_head)) == "pass|neutral: malformed tag list");
    CHECK(house.verdicts(over + std::string(plain_head)) == "fail: signature did not verify");
}

TEST_CASE("verify: part of a body (l=), an empty one, line ends that are none")
{
    VerifyingHouse house;
    const std::string body(plain_body);
    const auto part = [&](std::size_t length, std::string_view bh_of) {
        return house.plain(fmt::format("d=example.com; s=s; l={}", length), house.body_hash(bh_of)) + std::string(plain_head);
    };
    CHECK(house.body_hash("") != house.body_hash("Hi.\r\n"));
    CHECK(house.verdicts(part(5, "Hi.\r\n")) == "pass: only 5 octets of the body are signed");
    CHECK(house.verdicts(part(5, "Hi.\r\n"), "Hi.\r\nBuy this\r\n") == "pass: only 5 octets of the body are signed");
    CHECK(house.verdicts(part(5, "Hi.\r\n"), "Hi.\r\n") == "pass");
    CHECK(house.verdicts(part(5, "Hi.\r\n"), "Hi.\r\n\r\n\r\n") == "pass");
    CHECK(house.verdicts(part(5, "Hi.\r\n"), "Ho.\r\n") == "fail: body hash did not verify");
    CHECK(house.verdicts(part(6, "Hi.\r\n"), "Hi.\r\n") == "fail: body is shorter than it was signed");
    CHECK(house.verdicts(part(0, ""), "x\r\n") == "pass: only 0 octets of the body are signed");
    const auto of = [&](std::string_view canonical) {
        return house.plain("d=example.com; s=s", house.body_hash(canonical)) + std::string(plain_head);
    };
    CHECK(house.verdicts(of(""), "") == "pass");
    CHECK(house.verdicts(of(""), "\r\n \r\n") == "pass");
    CHECK(house.verdicts(of("a\rb\n c\r\n"), "a\rb\n  c \r\n") == "pass");
    CHECK(house.verdicts(of("a\r\r\n"), "a\r") == "pass");
    // Two forms and a length at once, of one body.
    house.zone.emplace("s._domainkey.example.org", house.zone.find("s._domainkey.example.com")->second);
    const std::string simple =
        house.signed_by(a_key(), "v=1; a=ed25519-sha256; c=simple/simple; d=example.org; s=s; h=from; bh=" + house.body_hash("a  b \r\n"), plain_head,
                        {"from"}, Canonical::simple);
    CHECK(house.verdicts(simple + part(1, "a") + "", "a  b \r\n") == "pass: only 1 octets of the body are signed|pass");
    // A body of a million empty lines and a word.
    std::string lines;
    for (int i = 0; i < 1'000'000; ++i)
        lines += "\r\n";
    lines += "word\r\n";
    CHECK(house.verdicts(of(lines), lines) == "pass");
}

TEST_CASE("verify: too old, too weak, no longer good")
{
    VerifyingHouse house;
    CHECK(house.verdict_of("d=example.com; s=s; t=1; x=1600000000") == "pass");
    CHECK(house.verdict_of("d=example.com; s=s; t=1; x=1599999999") == "policy: signature expired");
    CHECK(house.verdict_of("d=example.com; s=s; x=99999999999999") == "pass");
    std::string sha1 = house.plain("d=example.com; s=s");
    sha1.replace(sha1.find("ed25519-sha256"), 14, "rsa-sha1");
    CHECK(house.verdicts(sha1 + std::string(plain_head)) == "permerror: rsa-sha1 is no longer good");
    // 512 bits: nobody's key, but it is read before anything is verified.
    house.zone.emplace("weak._domainkey.example.com",
                       "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMrgYVPpVpGqPG7DnSd6Dpvd2fZLQNmdHO6hDSMWMcFqXaTbbKBHLOfHqLZhFgXHvQJ5sZ7N1fVnpXFvU"
                       "vK2o6ECAwEAAQ==");
    const std::string weak =
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=weak; h=from; bh=" + house.body_hash() + "; b=YQ==\r\n";
    CHECK(house.verdicts(weak + std::string(plain_head)) == "policy: key of 512 bits");
    const auto key = SigningKey::parse(tls::make_private_key("rsa", "1024").value()).value();
    house.zone.emplace("r._domainkey.example.com", "p=" + base64_encode(key.public_key()));
    const std::string strong =
        house.signed_by(key, "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=r; h=from; bh=" + house.body_hash(), plain_head, {"from"});
    CHECK(house.verdicts(strong + std::string(plain_head)) == "pass");
}

TEST_CASE("verify: what the key's record says, and whether there is one")
{
    VerifyingHouse house;
    const std::string p = "p=" + base64_encode(a_key().public_key());
    const auto with_record = [&](std::string record, std::string_view more = "", std::string_view body = plain_body) {
        house.zone.erase("s._domainkey.example.com");
        house.zone.emplace("s._domainkey.example.com", std::move(record));
        return house.verdict_of("d=example.com; s=s" + std::string(more), body);
    };
    CHECK(with_record("v=DKIM1; k=ed25519; h=sha1:sha256; s=other:email; t=s:y; n=a note; x=1; " + p) == "pass");
    CHECK(with_record("k=ed25519; s=*; " + p) == "pass");
    CHECK(with_record("k=ed25519; v=DKIM1; " + p) == "permerror: unknown version of key");
    CHECK(with_record("v=DKIM2; k=ed25519; " + p) == "permerror: unknown version of key");
    CHECK(with_record("k=rsa; " + p) == "permerror: key is not for this algorithm");
    CHECK(with_record(p) == "permerror: key is not for this algorithm");
    CHECK(with_record("k=other; " + p) == "permerror: unknown kind of key");
    CHECK(with_record("k=ed25519; h=sha1; " + p) == "permerror: key is not for this algorithm");
    CHECK(with_record("k=ed25519; s=tlsrpt; " + p) == "permerror: key is not for mail");
    CHECK(with_record("k=ed25519; p=") == "permerror: key revoked");
    CHECK(with_record("k=ed25519") == "permerror: malformed key");
    CHECK(with_record("k=ed25519; p=%") == "permerror: malformed key");
    CHECK(with_record("k=ed25519; p=YQ==") == "permerror: malformed key");
    CHECK(with_record("v=spf1 -all") == "permerror: unknown version of key");
    // i= below d= is good unless the key says otherwise.
    CHECK(with_record("k=ed25519; " + p, "; i=@sub.example.com") == "pass");
    CHECK(with_record("k=ed25519; t=s; " + p, "; i=@sub.example.com") == "permerror: identity is not of the signing domain");
    CHECK(with_record("k=ed25519; t=s; " + p, "; i=joe@EXAMPLE.com") == "pass");
    // A key in test proves what it proves, and a failure means nothing.
    CHECK(with_record("k=ed25519; t=y; " + p, "", "other\r\n") == "neutral: key in test: body hash did not verify");
    // Of several records the first that is a key.
    house.zone.emplace("s._domainkey.example.com", "k=rsa; p=");
    house.zone.erase("s._domainkey.example.com");
    house.zone.emplace("s._domainkey.example.com", "v=spf1 -all");
    house.zone.emplace("s._domainkey.example.com", "k=ed25519; " + p);
    CHECK(house.verdict_of("d=example.com; s=s") == "pass");
    house.zone.erase("s._domainkey.example.com");
    CHECK(house.verdict_of("d=example.com; s=s") == "permerror: no key for signature");
    for (const auto status : {dns::Status::nodata, dns::Status::nxdomain, dns::Status::temporary, dns::Status::bogus}) {
        house.status["s._domainkey.example.com"] = status;
        const bool later = status == dns::Status::temporary || status == dns::Status::bogus;
        CHECK(house.verdict_of("d=example.com; s=s") == (later ? "temperror: key unavailable" : "permerror: no key for signature"));
    }
}

TEST_CASE("verify: so many signatures and no more, the author's first")
{
    VerifyingHouse house;
    std::string head;
    for (const std::string_view domain : {"a.test", "sub.football.example.com", "b.test", "example.com", "football.example.com"})
        head += house.plain(fmt::format("d={}; s=s", domain));
    head += plain_head;
    const auto domains = [&](std::size_t limit) {
        house.limit = limit;
        house.asked.clear();
        std::string made;
        for (const Finding& finding : house.findings(head, plain_body))
            made += finding.properties[0].value + " ";
        CHECK(house.asked.size() == std::min<std::size_t>(limit, 5));
        return made;
    };
    CHECK(domains(10) == "football.example.com sub.football.example.com example.com a.test b.test ");
    CHECK(domains(2) == "football.example.com sub.football.example.com ");
    CHECK(domains(1) == "football.example.com ");
}

TEST_CASE("verify: keys that were not asked for are not known now")
{
    VerifyingHouse house;
    DkimVerifier verifier(house.plain("d=example.com; s=s") + std::string(plain_head), {10}, house.now);
    CHECK(verifier.any());
    CHECK(verifier.held() > plain_head.size());
    verifier.add(plain_body);
    const auto findings = run(house.loop, verifier.findings(house.threads));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].result == "temperror");
}
