#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/scripted_dns.hpp"
#include "mailauth/spf.hpp"
#include "mailauth/spf_macro.hpp"
#include "mailauth/spf_record.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

const WallTime spf_now{std::chrono::seconds{1767225600}};

struct SpfCase {
    std::string client = "192.0.2.1", mail_from = "user@example.test", helo = "mail.example.test";
};

SpfFinding spf_of(ScriptedDns& dns, const SpfCase& one = {})
{
    asio::io_context loop;
    return run(loop,
               check_spf(SpfRequest(net::IpAddress::parse(one.client).value(), one.mail_from, one.helo, "mx.receiver.test", spf_now), dns.ask()));
}

std::string spf_result(std::string_view zone, const SpfCase& one = {})
{
    ScriptedDns dns(zone);
    return spf_of(dns, one).result;
}

/// Of a record of example.test, with what else the zone has.
std::string spf_result_of(std::string_view record, std::string_view zone = "", const SpfCase& one = {})
{
    return spf_result(fmt::format("example.test TXT {}\n{}", record, zone), one);
}

SpfValues spf_values()
{
    SpfValues values;
    values.local_part = "strong-bad";
    values.sender_domain = values.domain = "email.example.com";
    values.helo = "mail.example.org";
    values.receiver = "mx.receiver.test";
    values.address = net::IpAddress::parse("192.0.2.3").value();
    values.now = std::chrono::floor<std::chrono::seconds>(spf_now);
    return values;
}

}  // namespace

TEST_CASE("spf macros: the examples of RFC 7208 7.4")
{
    SpfValues values = spf_values();
    const std::pair<std::string_view, std::string_view> examples[] = {
        {"%{s}", "strong-bad@email.example.com"},
        {"%{o}", "email.example.com"},
        {"%{d}", "email.example.com"},
        {"%{d4}", "email.example.com"},
        {"%{d3}", "email.example.com"},
        {"%{d2}", "example.com"},
        {"%{d1}", "com"},
        {"%{dr}", "com.example.email"},
        {"%{d2r}", "example.email"},
        {"%{l}", "strong-bad"},
        {"%{l-}", "strong.bad"},
        {"%{lr}", "strong-bad"},
        {"%{lr-}", "bad.strong"},
        {"%{l1r-}", "strong"},
        {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
        {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
        {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
        {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
    };
    for (const auto& [text, expansion] : examples) {
        CHECK(is_domain_spec(text));
        CHECK_MESSAGE(expand_domain_spec(text, values) == expansion, text);
    }
    values.address = net::IpAddress::parse("2001:db8::cb01").value();
    CHECK(expand_domain_spec("%{ir}.%{v}._spf.%{d2}", values) ==
          "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
}

TEST_CASE("spf macros: upper case escapes, other delimiters part, %% %_ and %- stand for octets")
{
    SpfValues values = spf_values();
    values.local_part = "a b+c/d~e";
    CHECK(expand_explanation("%{L} %{l+/}%%%_%-.", values) == "a%20b%2Bc%2Fd~e a b.c.d~e% %20.");
    CHECK(expand_explanation("%{c} %{r} %{t} %{h} %{p}", values) == "192.0.2.3 mx.receiver.test 1767225600 mail.example.org unknown");
    values.local_part = "..a..";
    CHECK(expand_explanation("%{lr}|%{l2}", values) == "..a..|.");
    values.address = net::IpAddress::parse("2001:db8::1").value();
    CHECK(expand_explanation("%{c}", values) == "2001:db8::1");
}

TEST_CASE("spf macros: a name that is too long loses labels at its left, and is never longer than a name can be")
{
    SpfValues values = spf_values();
    values.local_part = std::string(200, 'x') + "." + std::string(60, 'y');
    const std::string name = expand_domain_spec("%{l}.aaaa.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}", values);
    CHECK(name.size() <= 253);
    CHECK(name.starts_with(std::string(60, 'y') + ".aaaa."));
    values.local_part = std::string(100, 'x');
    // A name of exactly 253 octets stays whole; of one more, the first label goes.
    const std::string rest = std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(28, 'c') + ".d";
    CHECK(expand_domain_spec("%{l}." + rest, values).size() == 253);
    CHECK(expand_domain_spec("%{l}e." + rest, values) == rest);
    // However often a value is named.
    std::string many;
    for (int i = 0; i < 2000; ++i)
        many += "%{l}.";
    CHECK(expand_domain_spec(many + "example.com", values).ends_with(".example.com"));
    CHECK(expand_explanation(many, values).size() == 400);
    // One label of more than 253 is no name at all.
    values.local_part = std::string(300, 'x');
    CHECK(expand_domain_spec("%{l}", values).empty());
}

TEST_CASE("spf macros: what is no macro-string, and what is no domain-spec")
{
    for (const std::string_view bad :
         {"%", "%a", "%{", "%{}", "%{d", "%{x}", "%{d0}", "%{d00}", "%{d.r}", "%{d!}", "%(d)", "a b", "a\tb", "\x80", "%{c}", "%{t}"})
        CHECK_MESSAGE(!is_macro_string(bad, false), bad);
    for (const std::string_view good : {"", "%{d}", "%{D127R.-+,/_=}", "a!\"#$&'()*~", "%%%_%-"})
        CHECK_MESSAGE(is_macro_string(good, false), good);
    CHECK(is_macro_string("why %{c} %{r} %{t}?", true));
    for (const std::string_view bad : {"", "example", ".", "a.", "a..", "a.1", "a.-b", "a.b-", "%{d}com", "%{d}.1", "a.b/c", "a.b_c", "a.b:c"})
        CHECK_MESSAGE(!is_domain_spec(bad), bad);
    for (const std::string_view good : {".com", "a.com", "a.com.", "a/b.com", "%{d}", "a.%{d}", "%{d}.a-1", "a%%", "_x.com", "a.1a"})
        CHECK_MESSAGE(is_domain_spec(good), good);
    CHECK(uses_macro("a.%{L}.%{d}", "ls"));
    CHECK(!uses_macro("%%{l}.%{d}", "ls"));
}

TEST_CASE("spf record: what is one")
{
    for (const std::string_view good : {"v=spf1", "v=spf1 ", "V=SPF1 -all"})
        CHECK(is_spf_record(good));
    for (const std::string_view bad : {"", "v=spf10", "v=spf1\t-all", " v=spf1", "v=spf2 ", "spf1"})
        CHECK(!is_spf_record(bad));
}

TEST_CASE("spf record: terms and what they say")
{
    const auto record = parse_spf_record("v=spf1 a/24//64 -MX:x.%{d}  ?ip4:192.0.2.0/25 ~ip6:2001:db8::/32 ptr exists:%{i}.x.test INCLUDE:a.test "
                                         "redirect=b.test exp=c.test moo.cow-1_2=a:b/c%{t} all=1 -all ");
    REQUIRE(record.has_value());
    using enum SpfMechanism::Kind;
    REQUIRE(record->mechanisms.size() == 8);
    CHECK(record->mechanisms[0] == SpfMechanism{.kind = a, .qualifier = '+', .domain_spec = {}, .prefix4 = 24, .prefix6 = 64});
    CHECK(record->mechanisms[1] == SpfMechanism{.kind = mx, .qualifier = '-', .domain_spec = "x.%{d}"});
    CHECK(record->mechanisms[2].prefix4 == 25);
    CHECK(record->mechanisms[3].prefix6 == 32);
    CHECK(record->mechanisms[3].qualifier == '~');
    CHECK(record->mechanisms[7] == SpfMechanism{.kind = all, .qualifier = '-', .domain_spec = {}});
    CHECK(record->redirect == "b.test");
    CHECK(record->exp == "c.test");
}

TEST_CASE("spf record: one syntax error anywhere is one of the record")
{
    for (const std::string_view term : {"all:",
                                        "all/8",
                                        "-all.",
                                        "include",
                                        "include:",
                                        "include:a",
                                        "include:a.test/24",
                                        "a:",
                                        "a/",
                                        "a/33",
                                        "a/024",
                                        "a//129",
                                        "a:/24",
                                        "a/24/64",
                                        "a//64/24",
                                        "a:b.test/",
                                        "mx:b.test:c",
                                        "mx:b.test/24//",
                                        "ptr:",
                                        "ptr/24",
                                        "ip4",
                                        "ip4:",
                                        "ip4/24",
                                        "ip4:1.2.3",
                                        "ip4:1.2.3.04",
                                        "ip4:1.2.3.4.5",
                                        "ip4:1.2.3.4/33",
                                        "ip4:1.2.3.4//32",
                                        "ip4:1.2.3.4:25",
                                        "ip4:::1",
                                        "ip6:1.2.3.4",
                                        "ip6:[::1]",
                                        "ip6:::1/129",
                                        "ip6:::1/",
                                        "ip6:::1//64",
                                        "exists",
                                        "exists:a.test/24",
                                        "exists:%(i).a.test",
                                        "exists:%{r}.a.test",
                                        "redirect=",
                                        "redirect=a",
                                        "exp=",
                                        "redirect:a.test",
                                        "-redirect=a.test",
                                        "=a",
                                        "1x=a",
                                        "x=%",
                                        "x=%{z}",
                                        "redirect=a.test redirect=b.test",
                                        "exp=a.test EXP=a.test",
                                        "ip5:1.2.3.4",
                                        "+-all",
                                        "-",
                                        "\x80",
                                        "a\tb",
                                        "exists:a.test\r"})
        CHECK_MESSAGE(!parse_spf_record("v=spf1 +all " + std::string(term)).has_value(), term);
    CHECK(!parse_spf_record("v=spf1 ip4:1.2.3.4" + std::string(1, '\0') + " -all").has_value());
    CHECK(parse_spf_record("v=spf1 x=" + std::string(8000, 'a')).has_value());
    CHECK(!parse_spf_record("v=spf1 x=" + std::string(9000, 'a')).has_value());
    CHECK(parse_spf_record("v=spf1 include:a").error().what() == "syntax error in the SPF record: include:a");
}

TEST_CASE("spf: results of qualifiers, of no match, and of no record")
{
    CHECK(spf_result_of("v=spf1 ip4:192.0.2.0/24 -all") == "pass");
    CHECK(spf_result_of("v=spf1 -ip4:192.0.2.1") == "fail");
    CHECK(spf_result_of("v=spf1 ~all") == "softfail");
    CHECK(spf_result_of("v=spf1 ?all") == "neutral");
    CHECK(spf_result_of("v=spf1") == "neutral");
    CHECK(spf_result_of("v=spf1 ip4:192.0.2.2 ip4:192.0.2.0/32") == "neutral");
    CHECK(spf_result_of("some text") == "none");
    CHECK(spf_result("other.test A 192.0.2.1") == "none");
    CHECK(spf_result("example.test A 192.0.2.1") == "none");
    CHECK(spf_result("example.test FAIL") == "temperror");
    CHECK(spf_result_of("v=spf1 -all", "example.test TXT v=spf1 -all") == "permerror");
    CHECK(spf_result_of("v=spf1 -all", "example.test TXT v=spf10 +all\nexample.test TXT \x80") == "fail");
    CHECK(spf_result_of("v=spf1 +all oops") == "permerror");
}

TEST_CASE("spf: a domain that is none has no record, and is not asked for")
{
    ScriptedDns dns("localhost TXT v=spf1 -all\n[192.0.2.9] TXT v=spf1 +all");
    for (const std::string_view sender : {"u@localhost", "u@a..test", "u@", "nobody", "@"})
        CHECK(spf_of(dns, {.mail_from = std::string(sender)}).result == "none");
    CHECK(spf_of(dns, {.mail_from = "u@" + std::string(64, 'a') + ".test"}).result == "none");
    CHECK(spf_of(dns, {.mail_from = "u@[192.0.2.9]"}).result == "none");
    CHECK(dns.asked.empty());
}

TEST_CASE("spf: addresses by a, in the client's family and up to the prefix")
{
    constexpr std::string_view zone = "example.test A 192.0.2.77\nexample.test AAAA 2001:db8::77\nh.test A 192.0.2.1";
    CHECK(spf_result_of("v=spf1 a -all", zone) == "fail");
    CHECK(spf_result_of("v=spf1 a/24 -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 a/25 -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 a/26 -all", zone) == "fail");
    CHECK(spf_result_of("v=spf1 a/0 -all", zone, {.client = "10.0.0.1"}) == "pass");
    CHECK(spf_result_of("v=spf1 a:h.test -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 a:H.TEST. -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 a//64 -all", zone, {.client = "2001:db8::1"}) == "pass");
    CHECK(spf_result_of("v=spf1 a/0 -all", zone, {.client = "2001:db8::1"}) == "fail");
    CHECK(spf_result_of("v=spf1 a:f.test -all", "f.test FAIL") == "temperror");
    CHECK(spf_result_of("v=spf1 a:gone.test -all", zone) == "fail");
}

TEST_CASE("spf: ip4 is for IPv4 and ip6 for IPv6")
{
    CHECK(spf_result_of("v=spf1 ip6:2001:db8::/32 -all", "", {.client = "2001:db8:1::1"}) == "pass");
    CHECK(spf_result_of("v=spf1 ip6:2001:db8::/33 -all", "", {.client = "2001:db8:8000::1"}) == "fail");
    CHECK(spf_result_of("v=spf1 ip6:::/0 -all") == "fail");
    CHECK(spf_result_of("v=spf1 ip4:0.0.0.0/0 -all", "", {.client = "2001:db8::1"}) == "fail");
    CHECK(spf_result_of("v=spf1 ip6:::ffff:192.0.2.1 -all") == "fail");          // RFC 7208 5: IPv4 is listed by ip4 alone
    CHECK(spf_result_of("v=spf1 ip4:192.0.2.1 -all", "", {.client = "::ffff:192.0.2.1"}) == "pass");
}

TEST_CASE("spf: hosts by mx, ten at most, and never by an implicit MX")
{
    std::string zone = "example.test A 192.0.2.1\n";
    CHECK(spf_result_of("v=spf1 mx -all", zone) == "fail");
    zone += "m.test MX .\n";
    CHECK(spf_result_of("v=spf1 mx:m.test -all", zone) == "fail");
    for (int i = 0; i < 10; ++i)
        zone += fmt::format("ten.test MX h{0}.test\nh{0}.test A 192.0.2.{1}\n", i, 10 - i);
    CHECK(spf_result_of("v=spf1 mx:ten.test -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 mx:ten.test -all", zone + "ten.test MX h0.test\n") == "permerror");
    CHECK(spf_result_of("v=spf1 mx:f.test -all", "f.test MX g.test\ng.test FAIL") == "temperror");
    // Without an address of the client's family no question was in vain but those.
    CHECK(spf_result_of("v=spf1 mx:ten.test -all", zone, {.client = "2001:db8::1"}) == "fail");
}

TEST_CASE("spf: names by ptr count where they lead back, ten at most; their failures are no match")
{
    std::string zone = "1.2.0.192.in-addr.arpa PTR other.test\n1.2.0.192.in-addr.arpa PTR mail.example.test\nmail.example.test A 192.0.2.1\n"
                       "other.test FAIL\n";
    CHECK(spf_result_of("v=spf1 ptr -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 ptr:mail.example.test -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 ptr:ample.test -all", zone) == "fail");
    CHECK(spf_result_of("v=spf1 ptr:x.mail.example.test -all", zone) == "fail");
    CHECK(spf_result_of("v=spf1 ptr -all", "1.2.0.192.in-addr.arpa PTR mail.example.test\nmail.example.test A 192.0.2.2") == "fail");
    CHECK(spf_result_of("v=spf1 ptr -all", "1.2.0.192.in-addr.arpa FAIL") == "fail");
    std::string many;
    for (int i = 0; i < 10; ++i)
        many += fmt::format("1.2.0.192.in-addr.arpa PTR n{0}.test\nn{0}.test A 192.0.2.1\n", i);
    CHECK(spf_result_of("v=spf1 ptr:n9.test -all", many) == "pass");
    CHECK(spf_result_of("v=spf1 ptr -all", many + zone) == "fail");
    // Looked up once, and in macros the domain's own name goes first, then one within it, then any.
    ScriptedDns dns(zone + "example.test TXT v=spf1 exists:%{p}.a.test exists:%{p1}.b.test ptr -all\n");
    CHECK(spf_of(dns).result == "pass");
    CHECK(std::ranges::count(dns.asked, "PTR 1.2.0.192.in-addr.arpa") == 1);
    CHECK(std::ranges::count(dns.asked, "A mail.example.test.a.test") == 1);
    CHECK(spf_result_of("v=spf1 exists:%{p}.a.test -all", many + "n0.test.a.test A 127.0.0.2") == "pass");
    CHECK(spf_result_of("v=spf1 exists:%{p}.a.test -all", "unknown.a.test A 127.0.0.2") == "pass");
    CHECK(spf_result_of("v=spf1 exists:%{p}.a.test -all", many + "1.2.0.192.in-addr.arpa PTR example.test\nexample.test A 192.0.2.1\n" +
                                                              "n0.test.a.test A 127.0.0.2") == "pass");   // the eleventh name is not looked at
    CHECK(spf_result_of("v=spf1 exists:%{p}.a.test -all",
                        "1.2.0.192.in-addr.arpa PTR n.test\nn.test A 192.0.2.1\n1.2.0.192.in-addr.arpa PTR Example.test\n"
                        "example.test A 192.0.2.1\nexample.test.a.test A 127.0.0.2") == "pass");
}

TEST_CASE("spf: exists asks for A, whatever the client's family")
{
    constexpr std::string_view zone = "1.2.0.192.user.example.test A 127.0.0.2\nx.test AAAA ::1\n"
                                      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.user.example.test A 127.0.0.2";
    CHECK(spf_result_of("v=spf1 exists:%{ir}.%{l}.%{d} -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 exists:%{ir}.%{l}.%{d} -all", zone, {.client = "2001:db8::1"}) == "pass");
    CHECK(spf_result_of("v=spf1 exists:x.test -all", zone, {.client = "2001:db8::1"}) == "fail");
    CHECK(spf_result_of("v=spf1 exists:f.test -all", "f.test FAIL") == "temperror");
}

TEST_CASE("spf: include matches where that record passes, and its errors are those of all")
{
    constexpr std::string_view zone = "p.test TXT v=spf1 +all\nf.test TXT v=spf1 -all\ns.test TXT v=spf1 ~all\nn.test TXT v=spf1\nt.test FAIL\n"
                                      "e.test TXT v=spf1 oops\nx.test TXT nothing";
    CHECK(spf_result_of("v=spf1 include:p.test -all", zone) == "pass");
    CHECK(spf_result_of("v=spf1 -include:p.test +all", zone) == "fail");
    CHECK(spf_result_of("v=spf1 include:f.test include:s.test include:n.test ~all", zone) == "softfail");
    CHECK(spf_result_of("v=spf1 include:t.test ~all", zone) == "temperror");
    CHECK(spf_result_of("v=spf1 include:e.test ~all", zone) == "permerror");
    CHECK(spf_result_of("v=spf1 include:x.test ~all", zone) == "permerror");
    CHECK(spf_result_of("v=spf1 include:gone.test ~all", zone) == "permerror");
    // %{d} is the included domain, %{o} the sender's.
    CHECK(spf_result_of("v=spf1 include:i.test -all", "i.test TXT v=spf1 exists:%{d}.%{o}.y.test\ni.test.example.test.y.test A 127.0.0.2") == "pass");
}

TEST_CASE("spf: redirect is for where nothing matched, and not beside all")
{
    constexpr std::string_view zone = "f.test TXT v=spf1 -all\np.test TXT v=spf1 +all";
    CHECK(spf_result_of("v=spf1 redirect=f.test", zone) == "fail");
    CHECK(spf_result_of("v=spf1 redirect=f.test ip4:192.0.2.1", zone) == "pass");
    CHECK(spf_result_of("v=spf1 redirect=f.test ?all", zone) == "neutral");
    CHECK(spf_result_of("v=spf1 redirect=gone.test", zone) == "permerror");
    CHECK(spf_result_of("v=spf1 redirect=%{l}", zone) == "permerror");
    CHECK(spf_result_of("v=spf1 redirect=r.test", "r.test TXT v=spf1 redirect=p.test\np.test TXT v=spf1 +all") == "pass");
}

TEST_CASE("spf: ten terms may ask, over all records; an eleventh is an error, and nothing goes in circles")
{
    std::string ten = "v=spf1", zone;
    for (int i = 0; i < 10; ++i) {
        ten += fmt::format(" a:h{}.test", i);
        zone += fmt::format("h{}.test A 198.51.100.1\n", i);
    }
    CHECK(spf_result_of(ten + " -all", zone) == "fail");
    CHECK(spf_result_of(ten + " a:h0.test -all", zone) == "permerror");
    CHECK(spf_result_of(ten + " redirect=h0.test", zone + "h0.test TXT v=spf1 -all") == "permerror");
    CHECK(spf_result_of("v=spf1 include:i.test -all", zone + "i.test TXT " + ten + "\n") == "permerror");
    ScriptedDns circle("example.test TXT v=spf1 include:example.test");
    CHECK(spf_of(circle).result == "permerror");
    CHECK(circle.asked.size() == 11);
    ScriptedDns redirected("example.test TXT v=spf1 redirect=example.test");
    CHECK(spf_of(redirected).result == "permerror");
    CHECK(redirected.asked.size() == 11);
    CHECK(spf_of(redirected).reason == "too many terms of SPF records ask the DNS");
}

TEST_CASE("spf: two terms may ask for what is not there, a third is an error")
{
    CHECK(spf_result_of("v=spf1 a:g1.test exists:g2.test -all") == "fail");
    CHECK(spf_result_of("v=spf1 a:g1.test exists:g2.test mx:g3.test -all") == "permerror");
    CHECK(spf_result_of("v=spf1 a:g1.test exists:g2.test ptr -all") == "permerror");
    CHECK(spf_result_of("v=spf1 a:e.test a:e.test a:e.test -all", "e.test TXT there") == "permerror");
}

TEST_CASE("spf: the empty reverse path is checked by the name of HELO, as its postmaster")
{
    ScriptedDns dns(
        "mail.example.test TXT v=spf1 exists:%{l}.%{o}.%{h} -all\npostmaster.mail.example.test.mail.example.test A 127.0.0.2\nexample.test TXT v=spf1 -all");
    const SpfFinding helo = spf_of(dns, {.mail_from = ""});
    CHECK(helo.result == "pass");
    CHECK(helo.properties == std::vector<Property>{{.type = "smtp", .name = "helo", .value = "mail.example.test"}});
    const SpfFinding mail = spf_of(dns);
    CHECK(mail.result == "fail");
    CHECK(mail.method == "spf");
    CHECK(mail.properties == std::vector<Property>{{.type = "smtp", .name = "mailfrom", .value = "user@example.test"}});
    CHECK(spf_of(dns, {.mail_from = "", .helo = "localhost"}).result == "none");
}

TEST_CASE("spf: the explanation of a fail, by the record that failed")
{
    ScriptedDns dns("example.test TXT v=spf1 include:i.test -all exp=why.%{d}\nwhy.example.test TXT %{i} is not of %{d}: http://x.test/?s=%{S}\n"
                    "i.test TXT v=spf1 -all exp=no.test\nno.test TXT never\n"
                    "r.test TXT v=spf1 redirect=i.test exp=why.example.test\n"
                    "two.test TXT v=spf1 -all exp=t.test\nt.test TXT one\nt.test TXT two\n"
                    "bad.test TXT v=spf1 -all exp=b.test\nb.test TXT %{z}\n"
                    "eight.test TXT v=spf1 -all exp=e.test\ne.test TXT \x80\n"
                    "soft.test TXT v=spf1 ~all exp=no.test\n"
                    "temp.test TXT v=spf1 -all exp=f.test\nf.test FAIL\n"
                    "p.test TXT v=spf1 -all exp=pp.test\npp.test TXT %{p} %{r} %{t} %{c}\n");
    const SpfFinding own = spf_of(dns);
    CHECK(own.explanation == "192.0.2.1 is not of example.test: http://x.test/?s=user%40example.test");
    CHECK(own.domain == "example.test");
    CHECK(spf_of(dns, {.mail_from = "u@r.test"}).explanation == "never");
    CHECK(spf_of(dns, {.mail_from = "u@r.test"}).domain == "i.test");
    for (const std::string_view domain : {"two.test", "bad.test", "eight.test", "temp.test"}) {
        CHECK(spf_of(dns, {.mail_from = "u@" + std::string(domain)}).result == "fail");
        CHECK(spf_of(dns, {.mail_from = "u@" + std::string(domain)}).explanation.empty());
    }
    CHECK(spf_of(dns, {.mail_from = "u@p.test"}).explanation == "unknown mx.receiver.test 1767225600 192.0.2.1");
    dns.asked.clear();
    CHECK(spf_of(dns, {.mail_from = "u@soft.test"}).result == "softfail");
    CHECK(dns.asked.size() == 1);
}

TEST_CASE("spf: internationalized senders: domains as A-labels, and no term with their local part")
{
    ScriptedDns dns("xn--bcher-kva.test TXT v=spf1 exists:%{l}.x.test exists:%{S}.x.test exists:%{o}.y.test -all exp=%{l}.z.test\n"
                    "xn--bcher-kva.test.y.test A 127.0.0.2\nr.test TXT v=spf1 redirect=%{l}.x.test");
    CHECK(spf_of(dns, {.mail_from = "j\xc3\xb6rg@b\xc3\xbc"
                                    "cher.test"})
              .result == "pass");
    CHECK(dns.asked == std::vector<std::string>{"TXT xn--bcher-kva.test", "A xn--bcher-kva.test.y.test"});
    CHECK(spf_of(dns, {.mail_from = "j\xc3\xb6rg@r.test"}).result == "neutral");
    CHECK(spf_of(dns, {.mail_from = "u@\xff.test"}).result == "none");
    // An explanation is ASCII, or it is none.
    ScriptedDns plain("a.test TXT v=spf1 -all exp=x.test\nx.test TXT no %{l} here\nb.test TXT v=spf1 -all exp=y.test\ny.test TXT no %{L} here");
    CHECK(spf_of(plain, {.mail_from = "j\xc3\xb6rg@a.test"}).explanation.empty());
    CHECK(spf_of(plain, {.mail_from = "j\xc3\xb6rg@b.test"}).explanation == "no j%C3%B6rg here");
}

TEST_CASE("spf: a name that cannot be one has no address, and is no record to include")
{
    CHECK(spf_result_of("v=spf1 a:%{l}..%{d} -all", "", {.mail_from = "u@example.test"}) == "fail");
    CHECK(spf_result_of("v=spf1 include:%{l}..%{d} -all") == "permerror");
}
