#include "tables/cidr.hpp"
#include "tables/patterns.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace posthorn;
using namespace posthorn::tables;

TEST_CASE("cidr: the first rule that matches gives the value, with negation, conditions and both families")
{
    TestSite site;
    const auto spec =
        "cidr:" + site.write("c", "10.1.2.3 one\n10.1.0.0/16 sixteen\n!10.0.0.0/8 other4\n10.0.0.0/8 eight\n"
                                  "2001:db8::/32 v6\n[::1] loop\nif ::/0\nif !fe80::/10\n2000::/3 global\nendif\nfe80::/10 link\nendif\n");
    CHECK(site.get(spec, "10.1.2.3") == "one");
    CHECK(site.get(spec, "10.1.2.4") == "sixteen");
    CHECK(site.get(spec, "10.2.0.0") == "eight");
    CHECK(site.get(spec, "192.0.2.1") == "other4");
    CHECK(site.get(spec, "0.0.0.0") == "other4");
    CHECK(site.get(spec, "255.255.255.255") == "other4");
    CHECK(site.get(spec, "2001:DB8::5") == "v6");
    CHECK(site.get(spec, "::1") == "loop");
    CHECK(site.get(spec, "2a00::1") == "global");
    CHECK(site.get(spec, "fe80::1") == "link");
    CHECK(site.get(spec, "::2") == "none");
    CHECK(site.get(spec, "[::1]") == "none");
    CHECK(site.get(spec, "host.test") == "none");
    CHECK(site.sink->lines.empty());
    CHECK(site.get("cidr:{{10.0.0.0/8 a b}, {!10.0.0.0/8 c}}", "10.1.1.1") == "a b");
}

TEST_CASE("cidr: a rule that is wrong is left out, and said with its line")
{
    TestSite site;
    const auto file = site.write(
        "c", "1.2.3.4/24 badbits\n300.1.1.1 bad\nendif\n1.2.3.4\n10.0.0.0/33 x\nif 1.0.0.0/8 text\nfoo x\n::1/x y\nif 1.0.0.0/8\n1.2.3.4 in\n");
    CHECK(site.get("cidr:" + file, "1.2.3.4") == "in");
    const auto said = [&](int line, std::string_view text) { return site.said(fmt::format("warning: cidr map {}, line {}: {}", file, line, text)); };
    CHECK(said(1, "non-null host address bits in \"1.2.3.4/24\", perhaps you should use \"1.2.3.0/24\" instead: skipping this rule"));
    CHECK(said(2, "bad address pattern: \"300.1.1.1\": skipping this rule"));
    CHECK(said(3, "ENDIF without IF: skipping this rule"));
    CHECK(said(4, "no lookup result: skipping this rule"));
    CHECK(said(5, "bad mask length in \"10.0.0.0/33\": skipping this rule"));
    CHECK(said(6, "bad mask value in \"1.0.0.0/8 text\": skipping this rule"));
    CHECK(said(7, "bad address pattern: \"foo\": skipping this rule"));
    CHECK(said(8, "bad mask value in \"::1/x\": skipping this rule"));
    CHECK(said(9, "IF has no matching ENDIF"));
}

TEST_CASE("cidr: cutting rules into ranges answers as walking through them does")
{
    std::mt19937 random(7);
    struct Rule {
        std::uint32_t first, last;
        bool negated;
    };
    for (int round = 0; round < 40; ++round) {
        std::vector<Rule> rules;
        std::vector<LogicalLine> lines;
        for (int i = 0; i < 60; ++i) {
            const unsigned length = 20 + random() % 13;
            const std::uint32_t mask = length == 32 ? 0 : 0xffffffffU >> length;
            const std::uint32_t first = (0x0a000000U | (random() & 0xfff)) & ~mask;
            const bool negated = random() % 40 == 0;
            rules.push_back({first, first | mask, negated});
            lines.push_back(
                {fmt::format("{}{}.{}.{}.{}/{} {}", negated ? "!" : "", first >> 24, first >> 16 & 255, first >> 8 & 255, first & 255, length, i),
                 i});
        }
        DirectOpener opener;
        Warnings warnings;
        const auto parsed = CidrRules::parse(lines, "x", {}, opener, warnings);
        REQUIRE(parsed);
        CHECK(warnings.empty());
        for (int ask = 0; ask < 500; ++ask) {
            const std::uint32_t address = 0x0a000000U | (random() & 0x1fff);
            std::string want = "none";
            for (std::size_t i = 0; i < rules.size() && want == "none"; ++i)
                if ((address >= rules[i].first && address <= rules[i].last) != rules[i].negated)
                    want = std::to_string(i);
            const std::string* got = (*parsed)->find({false, address});
            REQUIRE((got != nullptr ? *got : "none") == want);
        }
    }
}

TEST_CASE("patterns: the first rule that matches gives its result with $1 filled in; regexp and pcre alike")
{
    TestSite site;
    const auto file = site.write(
        "r",
        "/^(.*)@(.*)\\.test$/ $2 $1 ${1}x $(2) $$\nif /abc/\n!/b+c/ never\nif !/x/\n/c$/ C\nendif\nendif\n!/n/ no n\n|a/n| slash\n/Case/i case\n");
    for (const std::string type : {"regexp:", "pcre:"}) {
        const std::string spec = type + file;
        CHECK(site.get(spec, "U@Host.TEST") == "Host U Ux Host $");
        CHECK(site.get(spec, "abc") == "C");
        CHECK(site.get(spec, "zz") == "no n");
        CHECK(site.get(spec, "a/n") == "slash");
        CHECK(site.get(spec, "nCase") == "case");
        CHECK(site.get(spec, "ncase") == "none");
    }
    CHECK(site.sink->lines.empty());
    CHECK(site.get("pcre:{{/^a (.)/ x $1}, {/b/ y}}", "a q") == "x q");
}

TEST_CASE("patterns: every way to write a rule wrong is said in Postfix's words, and costs that rule only")
{
    TestSite site;
    const auto file = site.write(
        "r",
        "!/foo/ nofoo $1\n/unbalanced(/ x\n/nores/\nbare text\n/a/z flags\nendif\n/x/ $1\n/(x)/ $3 and $x\nif /q/ result\n/q/ good\n/noend\n/(z)/ ${1\n"
        "!/y/ $0\n/y/ ${1}-$2\n");
    for (const std::string type : {"regexp", "pcre"}) {
        CHECK(site.get(type + ":" + file, "q") == "good");
        const auto said = [&](int line, std::string_view text) {
            return site.said(fmt::format("warning: {} map {}, line {}: {}", type, file, line, text));
        };
        CHECK(said(1, "$number found in negative match replacement text: skipping this rule"));
        CHECK(said(2, type == "pcre" ? "error in regex at offset 11: missing closing parenthesis" : "Unmatched ( or \\("));
        CHECK(said(3, "no replacement text: using empty string"));
        CHECK(said(4, "ignoring unrecognized request"));
        CHECK(said(5, "unknown regexp option \"z\": skipping this rule"));
        CHECK(said(6, "ignoring ENDIF without matching IF"));
        CHECK(said(7, "out of range replacement index \"1\": skipping this rule"));
        CHECK(said(8, "non-numeric replacement index \"x\""));
        CHECK(said(8, "bad replacement syntax: skipping this rule"));
        CHECK(said(9, "ignoring extra text after IF statement: \"result\""));
        CHECK(said(9, "IF has no matching ENDIF"));
        CHECK(said(11, type == "pcre" ? "no closing regexp delimiter \"/\": ignoring this rule"
                                      : "no closing regexp delimiter \"/\": skipping this rule"));
        CHECK(said(12, "bad replacement syntax: skipping this rule"));
        CHECK(said(13, type == "pcre" ? "out of range replacement index \"0\"" : "out-of-range replacement index \"0\""));
        CHECK(said(13, "bad replacement syntax: skipping this rule"));
        CHECK(said(14, "out of range replacement index \"2\": skipping this rule"));
    }
    site.get("regexp:{{/(x)/ $1}}", "x", Flags{.substitute = false});
    CHECK(site.said("regular expression substitution is not allowed: skipping this rule"));
}

TEST_CASE("regexp: matching is leftmost-longest, pcre: leftmost-first")
{
    TestSite site;
    CHECK(site.get("regexp:{{/(a|ab)(c|bcd)?/ $1}}", "abcd") == "a");          // the whole is longest with a+bcd
    CHECK(site.get("regexp:{{/(a|ab)/ $1}}", "ab") == "ab");
    CHECK(site.get("pcre:{{/(a|ab)/ $1}}", "ab") == "a");
}

TEST_CASE("regexp: the text looked for first is one that every match contains")
{
    using Texts = std::vector<std::string>;
    CHECK((required_literals("^Subject: .*viagra", true) == Texts{"subject: ", "viagra"}));
    CHECK((required_literals("abc?d", true) == Texts{"ab", "d"}));
    CHECK(required_literals("abc|def", true).empty());
    CHECK((required_literals("(abc|def)gh", true) == Texts{"gh"}));
    CHECK((required_literals("ab+c{2}def", true) == Texts{"ab", "def"}));
    CHECK((required_literals("[abc]x[]z]yy\\.w", false) == Texts{"x", "yy.w"}));
    CHECK((required_literals("a\\bq", false) == Texts{"a", "q"}));
    CHECK((required_literals("[[:alpha:]]+@x", false) == Texts{"@x"}));
    CHECK((required_literals("(a[)]b)c", false) == Texts{"c"}));
    CHECK((required_literals("xa+?b", false) == Texts{"x", "b"}));     // (a+)?, not the lazy "+?" of Perl
    CHECK((required_literals("xa+{0,1}+b", false) == Texts{"x", "b"}));
    // and no match is lost by it
    TestSite site;
    for (const auto& [pattern, subject] : std::vector<std::pair<std::string, std::string>>{{"ab*c", "xacx"},
                                                                                           {"a{0}b", "b"},
                                                                                           {"foo(bar)?baz", "foobaz"},
                                                                                           {"x[a-z]?y", "xy"},
                                                                                           {"^FOO.bar$", "foo-BAR"},
                                                                                           {"a+b", "aab"},
                                                                                           {"^foo-+?bar", "foobar"},
                                                                                           {"\\<we", "we"}})
        CHECK(site.get("regexp:{{/" + pattern + "/ hit}}", subject) == "hit");
}

TEST_CASE("pcre: a match that runs away ends at its limit as an error that passes, soon")
{
    TestSite site;
    const auto started = std::chrono::steady_clock::now();
    const std::string result = site.get("pcre:{{/^(a+)+$/ x}}", std::string(40, 'a') + "b");
    CHECK(result.starts_with("error: pcre: "));
    CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds{5});
}

TEST_CASE("patterns: keys that are not UTF-8 are not there; with UTF-8, letters match as letters")
{
    TestSite site;
    CHECK(site.get("pcre:{{/^.$/ one}}", "\xc3\xb6") == "one");
    CHECK(site.get("pcre:{{/^.$/ one}}", "\xff") == "none");
    CHECK(site.get("regexp:{{/./ one}}", "\xff") == "none");
    CHECK(site.get("pcre:{{/^.$/ one}}", "\xff", Flags{.utf8 = false}) == "one");
}
