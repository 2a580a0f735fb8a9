#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/params.hpp"
#include "mailauth/signer.hpp"
#include "message/header.hpp"
#include "tables/testing.hpp"
#include "tls/digest.hpp"
#include "tls/make_certificate.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <span>

using namespace posthorn;
using namespace posthorn::mailauth;
using tls::SigningKey;

namespace {

// RFC 8463 Appendix A.
constexpr std::string_view ed25519_key = "-----BEGIN PRIVATE KEY-----\n"
                                         "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                         "-----END PRIVATE KEY-----\n";
constexpr std::string_view rsa_public =
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
constexpr std::string_view example_head = "From: Joe SixPack <joe@football.example.com>\r\n"
                                          "To: Suzie Q <suzie@shopping.example.net>\r\n"
                                          "Subject: Is dinner ready?\r\n"
                                          "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
                                          "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
                                          "\r\n";
constexpr std::string_view example_body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n";

std::string hash_of(std::string_view body, Canonical how, std::size_t step = 1000)
{
    BodyHash hash(how);
    for (; !body.empty(); body.remove_prefix(std::min(step, body.size())))
        hash.add(body.substr(0, step));
    return hash.finish();
}

std::string hashed(std::string_view canonical) { return tls::digest(tls::Digest::sha256, canonical); }

struct SigningHouse : tables::Loop, tables::TestSite {
    Helpers threads{1};
    ~SigningHouse() { threads.join(); }

    static Options options(std::string sign_maps, std::string key_maps)
    {
        Options made;
        made.sign_maps = std::move(sign_maps);
        made.key_maps = std::move(key_maps);
        made.fields = {"from", "to", "subject"};
        made.oversigned = {"from"};
        return made;
    }
    Result<std::string> sign(Options options, std::string head)
    {
        Signer signer(std::move(options), tables, threads, clock, observe::Log{sink, "postfix/cleanup"});
        return run(loop, signer.sign("QID", std::move(head), hash_of("body\r\n", Canonical::relaxed), Canonical::relaxed));
    }
};

Options read(std::initializer_list<config::Assignment> written)
{
    const config::Site host{.host_name = "mail.example.test", .addresses = {}};
    const std::span<const config::ParamInfo> rooms[] = {mailauth::params};
    return Options::from(config::Snapshot(host, "/nonexistent", rooms).with(std::span(written.begin(), written.size()), "-o"));
}

/// b=, decoded, and the field without it.
std::pair<std::string, std::string> taken_apart(const std::string& field)
{
    const auto at = field.rfind("b=") + 2;
    std::string value;
    for (const char c : field.substr(at))
        if (!(message::is_blank(c) || c == '\r' || c == '\n'))
            value += c;
    return {base64_decode(value).value(), field.substr(0, at)};
}

}  // namespace

TEST_CASE("fields in canonical form, as RFC 6376 3.4.5 has them")
{
    CHECK(canonical_field("A: X\r\n", Canonical::relaxed) == "a:X");
    CHECK(canonical_field("B : Y\t\r\n\tZ  \r\n", Canonical::relaxed) == "b:Y Z");
    CHECK(canonical_field("B : Y\t\r\n\tZ  \r\n", Canonical::simple) == "B : Y\t\r\n\tZ  ");
    CHECK(canonical_field("Subject:\r\n", Canonical::relaxed) == "subject:");
    CHECK(canonical_field("Subject: \t a\t b\r\n  c\r\n", Canonical::relaxed) == "subject:a b c");
    CHECK(canonical_field("Subject:a\rb\nc", Canonical::relaxed) == "subject:a\rb\nc");
    CHECK(canonical_field("no colon", Canonical::relaxed) == "no colon:");
}

TEST_CASE("bodies in canonical form, however they come in")
{
    constexpr std::string_view body = " C \r\nD \t E\r\n\r\n\r\n";
    for (const std::size_t step : {1, 2, 3, 100}) {
        CHECK(hash_of(body, Canonical::relaxed, step) == hashed(" C\r\nD E\r\n"));
        CHECK(hash_of(body, Canonical::simple, step) == hashed(" C \r\nD \t E\r\n"));
        CHECK(hash_of("a\r\n \t\r\n\r\nb", Canonical::relaxed, step) == hashed("a\r\n\r\n\r\nb\r\n"));
        CHECK(hash_of("a\r\n \r\n", Canonical::simple, step) == hashed("a\r\n \r\n"));
        CHECK(hash_of("a\r\n \r\n", Canonical::relaxed, step) == hashed("a\r\n"));
        CHECK(hash_of("a\rb\n \r\r\n", Canonical::relaxed, step) == hashed("a\rb\n \r\r\n"));
        CHECK(hash_of("a\r", Canonical::simple, step) == hashed("a\r\r\n"));
    }
    CHECK(hash_of("", Canonical::relaxed) == hashed(""));
    CHECK(hash_of("\r\n\r\n", Canonical::relaxed) == hashed(""));
    CHECK(hash_of(" \r\n", Canonical::relaxed) == hashed(""));
    CHECK(hash_of("", Canonical::simple) == hashed("\r\n"));
    CHECK(hash_of("\r\n\r\n", Canonical::simple) == hashed("\r\n"));
}

TEST_CASE("the message of RFC 8463 has the signatures that are printed there")
{
    const std::string body_hash = hash_of(example_body, Canonical::relaxed);
    CHECK(base64_encode(body_hash) == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    Signature signature;
    signature.fields = {"from", "to", "subject", "date", "message-id", "from", "subject", "date"};
    const std::string first = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
                              " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
                              " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    const auto key = SigningKey::parse(ed25519_key);
    CHECK(base64_encode(key->sign(octets_to_sign(example_head, signature, first)).value()) ==
          "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
    const std::string second = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
                               " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n"
                               " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    CHECK(tls::is_signed_by(SigningKey::Kind::rsa, base64_decode(rsa_public).value(), octets_to_sign(example_head, signature, second),
                            base64_decode("F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGs"
                                          "geefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=")
                                .value()));
}

TEST_CASE("each field is signed as often as it is there, from the bottom up; those that must not be added once more")
{
    const std::string head = "To: a\r\nFROM: x\r\nto: b\r\nOther: y\r\n\r\nto: body\r\n";
    Signature signature;
    signature.fields = fields_to_sign(head, {"from", "to", "cc"}, {"from", "subject"});
    CHECK(signature.fields == std::vector<std::string>{"from", "from", "to", "to", "subject"});
    CHECK(octets_to_sign(head, signature, "DKIM-Signature: b=") == "from:x\r\nto:b\r\nto:a\r\ndkim-signature:b=");
    signature.header = Canonical::simple;
    CHECK(octets_to_sign(head, signature, "DKIM-Signature: b=") == "FROM: x\r\nto: b\r\nTo: a\r\nDKIM-Signature: b=");
}

TEST_CASE("the field: its tags, its lines, its end")
{
    Signature signature;
    signature.domain = "football.example.com";
    signature.selector = "brisbane";
    signature.header = Canonical::simple;
    signature.made_at = std::chrono::sys_seconds{std::chrono::seconds{1528637909}};
    signature.valid_for = std::chrono::seconds{100};
    signature.body_hash = std::string(32, 'x');
    signature.fields = {"from", "to"};
    const std::string field = unsigned_field(signature);
    CHECK(field == "DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed;\r\n\t d=football.example.com; s=brisbane; t=1528637909; x=1528638009;"
                   "\r\n\th=from:to;\r\n\tbh=eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=;\r\n\tb=");
    const std::string whole = signed_field(field, std::string(256, 'y'));
    CHECK(whole.starts_with(field));
    CHECK(whole.ends_with("\r\n"));
    CHECK(taken_apart(whole).first == std::string(256, 'y'));
    for (const std::string_view line : split(whole, "\n"))
        CHECK(line.size() <= 80);
    signature.fields.assign(60, "list-unsubscribe-post");
    for (const std::string_view line : split(unsigned_field(signature), "\n"))
        CHECK(line.size() <= 80);
}

TEST_CASE("the author is the first address of From:")
{
    CHECK(author_of("From: \"A, B\" <Joe@EXAMPLE.test>, x@y.test\r\n\r\n") == "Joe@example.test");
    CHECK(author_of("From: undisclosed:;\r\n\r\n").empty());
    CHECK(author_of("from: a\r\n\r\nFrom: a@b.test\r\n").empty());
    CHECK(author_of("To: a@b.test\r\n\r\n").empty());
}

TEST_CASE("who signs: the address, the domain, the domains above it; each with the key of its name")
{
    SigningHouse house;
    const std::string pem = house.write("ed.pem", ed25519_key), rsa = house.write("rsa.pem", tls::make_private_key("rsa", "1024").value());
    const std::string keys = "texthash:" + house.write("keys", fmt::format("m1._domainkey.example.test {0}\nm1._domainkey.other.test {0}\n"
                                                                           "202611._domainkey.example.test {1}\n",
                                                                           pem, rsa));
    const std::string maps = "texthash:" + house.write("sign", "example.test m1\n.example.test m1\nboth@example.test m1, 202611\n"
                                                               "not@example.test none\nother@sub.example.test other.test:m1\nlost.test m1\n");
    const auto signed_by = [&](std::string author) {
        const auto fields = house.sign(house.options(maps, keys), "From: " + author + "\r\nTo: b\r\nSubject: s\r\n\r\n");
        if (!fields)
            return fields.error().status() + " " + fields.error().text();
        std::string found;
        message::HeaderWalk walk(*fields);
        while (const auto field = walk.next()) {
            CHECK(field->is("DKIM-Signature"));
            const std::string text = message::unfold(field->body);
            const auto tag = [&](std::string_view name) {
                const auto at = text.find(name);
                return text.substr(at, text.find(';', at) - at);
            };
            found += tag("a=") + " " + tag("d=") + " " + tag("s=") + "|";
        }
        return found;
    };
    CHECK(signed_by("a@example.test") == "a=ed25519-sha256 d=example.test s=m1|");
    CHECK(house.said("QID: DKIM-Signature field added (s=m1, d=example.test)"));
    CHECK(signed_by("a@Sub.Example.test") == "a=ed25519-sha256 d=example.test s=m1|");
    CHECK(signed_by("both@example.test") == "a=ed25519-sha256 d=example.test s=m1|a=rsa-sha256 d=example.test s=202611|");
    CHECK(signed_by("other@sub.example.test") == "a=ed25519-sha256 d=other.test s=m1|");
    CHECK(signed_by("not@example.test").empty());
    CHECK(signed_by("a@stranger.test").empty());
    CHECK(signed_by("no address").empty());
    CHECK(signed_by("a@lost.test") == "4.3.5 dkim_key_maps: no key for m1._domainkey.lost.test");
}

TEST_CASE("what is signed can be verified by who has the public key")
{
    SigningHouse house;
    const std::string key_file = house.write("key", tls::make_private_key("rsa", "2048").value());
    const std::string head = "From: a@example.test\r\nSubject: one\r\n two\r\nTo: b@example.test\r\nTo: c\r\n\r\n";
    const std::string field =
        house.sign(house.options("static:s1", "texthash:" + house.write("keys", "s1._domainkey.example.test " + key_file)), head).value();
    const auto [octets, rest] = taken_apart(field);
    Signature signature;
    signature.fields = {"from", "from", "to", "to", "subject"};
    CHECK(message::unfold(rest).find("h=from:from:to:to:subject;") != std::string::npos);
    CHECK(message::unfold(rest).find("bh=" + base64_encode(hash_of("body\r\n", Canonical::relaxed))) != std::string::npos);
    std::ifstream stream(key_file);
    const std::string pem(std::istreambuf_iterator<char>(stream), {});
    const auto key = SigningKey::parse(pem);
    CHECK(tls::is_signed_by(key->kind(), key->public_key(), octets_to_sign(head, signature, rest), octets));
    CHECK_FALSE(tls::is_signed_by(key->kind(), key->public_key(), octets_to_sign("From: x@y.test\r\n" + head, signature, rest), octets));
}

TEST_CASE("what a table says wrong keeps the message here, and is named")
{
    SigningHouse house;
    const auto error = [&](std::string maps, std::string keys) {
        const auto made = house.sign(house.options(std::move(maps), std::move(keys)), "From: a@example.test\r\n\r\n");
        REQUIRE(!made);
        return made.error().status() + " " + made.error().text();
    };
    const std::string junk = house.write("junk", "no key");
    CHECK(error("static:s..1", "").starts_with("4.3.5 dkim_sign_maps: a@example.test: s..1 is no SELECTOR"));
    CHECK(error("static:d:s;1", "").starts_with("4.3.5 dkim_sign_maps: a@example.test: d:s;1 is no SELECTOR"));
    REQUIRE(::setenv("s1._domainkey.example.test", "no base64", 1) == 0);
    CHECK(error("static:s1", "environ:x").starts_with("4.3.5 dkim_key_maps: the value for s1._domainkey.example.test is no base64"));
    CHECK(error("static:s1", "texthash:" + house.write("keys", "s1._domainkey.example.test " + junk))
              .starts_with("4.3.5 dkim_key_maps: s1._domainkey.example.test: no private key"));
    // Nobody has the key of what is no name; an internationalized one has it under its A-labels.
    CHECK(house.sign(house.options("static:s1", ""), "From: a@[192.0.2.1]\r\n\r\n").value().empty());
    CHECK(house.sign(house.options("static:s1", ""), "From: a@b..test\r\n\r\n").value().empty());
    CHECK_FALSE(house.sign(house.options("static:s1", ""), "From: a@j\xc3\xb6rg.test\r\n\r\n"));
    CHECK_FALSE(house.sign(house.options("fail:x", ""), "From: a@example.test\r\n\r\n"));
    CHECK_FALSE(house.sign(house.options("static:s1", "fail:x"), "From: a@example.test\r\n\r\n"));
}

TEST_CASE("options: main.cf's words, and a word that means nothing is named")
{
    const Options plain = read({});
    CHECK(plain.sign_maps.empty());
    CHECK(plain.header == Canonical::relaxed);
    CHECK(plain.fields.front() == "from");
    CHECK(plain.oversigned == std::vector<std::string>{"from"});
    const Options other = read({{"dkim_canonicalization", "simple"}, {"dkim_sign_fields", "Subject, subject"}});
    CHECK(other.header == Canonical::simple);
    CHECK(other.body == Canonical::simple);
    CHECK(other.fields == std::vector<std::string>{"from", "subject"});
    CHECK(read({{"dkim_canonicalization", "simple / relaxed"}}).body == Canonical::relaxed);
    CHECK_THROWS_WITH_AS(read({{"dkim_canonicalization", "strict/relaxed"}}),
                         "bad configuration: dkim_canonicalization = strict/relaxed: expected relaxed or simple, for header/body", config::BadValue);
    CHECK_THROWS_WITH_AS(read({{"dkim_sign_fields", "From:"}}), "bad configuration: dkim_sign_fields: From: is no name of a field", config::BadValue);
}

TEST_CASE("nothing is hashed where nothing is signed")
{
    const config::Site host{.host_name = "mail.example.test", .addresses = {}};
    const std::span<const config::ParamInfo> rooms[] = {mailauth::params};
    const config::Assignment written[] = {{"dkim_sign_maps", "static:s1"}, {"dkim_canonicalization", "relaxed/simple"}};
    const config::Snapshot none(host, "/nonexistent", rooms);
    const config::Snapshot some = none.with(written, "-o");
    CHECK(signed_body(none, "") == std::nullopt);
    CHECK(signed_body(some, "no_header_body_checks") == Canonical::simple);
    CHECK(signed_body(some, "no_address_mappings, no_milters") == std::nullopt);
}
