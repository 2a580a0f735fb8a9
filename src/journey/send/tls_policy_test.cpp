// The policy table: its values and its keys. What becomes of mail by it is in tls_levels_test.cpp.
#include "send/tls_policy.hpp"

#include "tls/options.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

TlsPolicy good(std::string_view value)
{
    std::vector<std::string> remarks;
    auto made = parse_tls_policy(value, remarks);
    REQUIRE_MESSAGE(made.has_value(), (made ? std::string() : made.error().what()));
    CHECK(remarks.empty());
    return *std::move(made);
}

std::string wrong(std::string_view value)
{
    std::vector<std::string> remarks;
    const auto made = parse_tls_policy(value, remarks);
    return made ? "nothing" : made.error().what();
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("policy: a level and what it leaves open")
{
    CHECK(good("none").level == TlsLevel::none);
    CHECK(good(" MAY ").level == TlsLevel::may);
    CHECK(good("dane-only").level == TlsLevel::dane_only);
    const TlsPolicy secure = good(
        "secure match=nexthop:.example.test, Match=mx.test protocols=!TLSv1.1:TLSv1.2:TLSv1.3\tciphers=high exclude=aNULL:3DES servername=hostname "
        "tafile=/a.pem tafile=/b.pem connection_reuse=No enable_rpk=yes");
    CHECK(secure.level == TlsLevel::secure);
    CHECK(secure.match == Words{"nexthop", ".example.test", "mx.test"});       // each adds to those before
    CHECK(secure.protocols == "!TLSv1.1:TLSv1.2:TLSv1.3");
    CHECK(secure.ciphers == "high");
    CHECK(secure.exclude == "aNULL:3DES");
    CHECK(secure.server_name == "hostname");
    CHECK(secure.anchor_files == Words{"/a.pem", "/b.pem"});
    CHECK(secure.reuse == false);
    CHECK(good("encrypt protocols=TLSv1.2 protocols=TLSv1.3").protocols == "TLSv1.3");   // the last one counts
    CHECK(good("encrypt exclude=").exclude == "");
    CHECK(good("encrypt protocols=").protocols == "");
    CHECK(good("fingerprint match=AA:BB|CC:DD match=EE:FF").match == Words{"AA:BB", "CC:DD", "EE:FF"});
}

TEST_CASE("policy: what a domain asks by MTA-STS stands beside it, values with blanks in braces")
{
    const TlsPolicy policy =
        good("secure match=a.test policy_type=STS policy_domain=a.test policy_ttl=86400 { policy_string = version: STSv1 } "
             "{policy_string=mode: enforce} mx_host_pattern=mx.a.test {mx_host_pattern = *.a.test}\npolicy_failure=sts-webpki-invalid");
    CHECK(policy.match == Words{"a.test"});
    REQUIRE(policy.sts);
    CHECK(policy.sts->domain == "a.test");
    CHECK(policy.sts->patterns == Words{"mx.a.test", "*.a.test"});
    CHECK(policy.sts->failure == "sts-webpki-invalid");
    CHECK(!good("may policy_type=no-policy-found policy_domain=a.test").sts);
    CHECK(!good("secure match={a.test}").sts);
    CHECK(good("secure {match = a.test}").match == Words{"a.test"});
    CHECK(wrong("secure policy_type=tlsa") == "attribute \"policy_type\" has bad value: \"tlsa\"");
    CHECK(wrong("secure policy_type=sts policy_type=sts") == "attribute \"policy_type\" is specified multiple times");
    CHECK(wrong("secure policy_type=sts policy_domain=a..b") == "attribute \"policy_domain\" has bad value: \"a..b\"");
    CHECK(wrong("secure policy_type=sts policy_ttl=1d") == "attribute \"policy_ttl\" has bad value: \"1d\"");
    CHECK(wrong("secure policy_type=sts policy_failure=whatever") == "attribute \"policy_failure\" has bad value: \"whatever\"");
    CHECK(wrong("secure policy_type=sts mx_host_pattern=") == "attribute \"mx_host_pattern\" has empty value");
    CHECK(wrong("secure mx_host_pattern=a.test") == "attribute \"mx_host_pattern\" needs \"policy_type=sts\"");
    CHECK(wrong("may policy_type=no-policy-found policy_failure=validation-failure") == "attribute \"policy_failure\" needs \"policy_type=sts\"");
    CHECK(wrong("secure {match = a") == "missing '}' in \"{match = a\"");
    CHECK(wrong("secure {}") == "malformed attribute/value pair \"\": missing '=' after attribute name");
}

TEST_CASE("policy: what cannot be understood is said in Postfix's words, and is no policy")
{
    CHECK(wrong("") == "invalid empty policy");
    CHECK(wrong(" , ") == "invalid empty policy");
    CHECK(wrong("maybe") == "invalid security level \"maybe\"");
    CHECK(wrong("half-dane") == "invalid security level \"half-dane\"");
    CHECK(wrong("secure match") == "malformed attribute/value pair \"match\": missing '=' after attribute name");
    CHECK(wrong("secure =x") == "malformed attribute/value pair \"=x\": missing attribute name");
    CHECK(wrong("secure mach=x") == "invalid attribute name: \"mach\"");
    CHECK(wrong("may match=x") == "attribute \"match\" invalid at security level \"may\"");
    CHECK(wrong("dane match=x") == "attribute \"match\" invalid at security level \"dane\"");
    CHECK(wrong("secure match=") == "attribute \"match\" has empty value");
    CHECK(wrong("secure match=:") == "attribute \"match\" has empty value");
    CHECK(wrong("encrypt protocols=TLSv9") == "invalid TLS protocol list \"TLSv9\"");
    CHECK(wrong("encrypt ciphers=strong") == "invalid TLS cipher grade: \"strong\"");
    CHECK(wrong("encrypt ciphers=high ciphers=high") == "attribute \"ciphers\" is specified multiple times");
    CHECK(wrong("encrypt exclude=MD5 exclude=RC4") == "attribute \"exclude\" is specified multiple times");
    CHECK(wrong("encrypt exclude=+MD5") == "invalid TLS cipher exclusion: \"+MD5\"");
    CHECK(wrong("encrypt servername=a..b") == "attribute \"servername\" has bad value: \"a..b\"");
    CHECK(wrong("encrypt tafile=/x") == "attribute \"tafile\" invalid at security level \"encrypt\"");
    CHECK(wrong("encrypt connection_reuse=maybe") == "attribute \"connection_reuse\" has bad value: \"maybe\"");
    CHECK(wrong("encrypt connection_reuse") == "malformed attribute/value pair \"connection_reuse\": missing '=' after attribute name");
}

TEST_CASE("policy: with TLS disabled attributes decide nothing, and each is warned of")
{
    std::vector<std::string> remarks;
    const auto made = parse_tls_policy("none match=x nonsense", remarks);
    REQUIRE(made);
    CHECK(made->level == TlsLevel::none);
    CHECK(remarks == Words{"ignoring attribute \"match=x\" with TLS disabled", "ignoring attribute \"nonsense\" with TLS disabled"});
}

TEST_CASE("policy: the next hop as written is looked up, parents only of a domain")
{
    CHECK(policy_keys("a.b.example.test") == Words{"a.b.example.test", ".b.example.test", ".example.test", ".test"});
    CHECK(policy_keys("test") == Words{"test"});
    CHECK(policy_keys("[mx.example.test]:587") == Words{"[mx.example.test]:587"});
    CHECK(policy_keys("[mx.example.test]") == Words{"[mx.example.test]"});
    CHECK(policy_keys("example.test:25") == Words{"example.test:25"});
    CHECK(policy_keys("192.0.2.1") == Words{"192.0.2.1"});
    CHECK(policy_keys("private/dovecot-lmtp") == Words{"private/dovecot-lmtp"});
    CHECK(policy_keys("example.test.") == Words{"example.test."});
}

TEST_CASE("policy: a domain in letters of its own is looked up in both spellings, whichever the sender chose, and so are its parents")
{
    CHECK(policy_keys("b\u00fccher.example.test") == Words{"b\u00fccher.example.test", "xn--bcher-kva.example.test", ".example.test", ".test"});
    CHECK(policy_keys("mx.xn--bcher-kva.test") ==
          Words{"mx.xn--bcher-kva.test", "mx.b\u00fccher.test", ".xn--bcher-kva.test", ".b\u00fccher.test", ".test"});
    CHECK(policy_keys("[b\u00fccher.test]:25") == Words{"[b\u00fccher.test]:25"});
    CHECK(policy_keys("\xff.test") == Words{"\xff.test"});
}
