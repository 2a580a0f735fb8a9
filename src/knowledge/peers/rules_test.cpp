#include "peers/params.hpp"

#include "base/fd.hpp"

#include <doctest/doctest.h>

#include <cstdio>

#include <unistd.h>

using namespace posthorn;
using namespace posthorn::peers;

namespace {

Rules of(std::string_view text)
{
    Rules rules;
    const auto added = rules.add(text, "rules");
    REQUIRE_MESSAGE(added.has_value(), (added ? "" : added.error().text()));
    return rules;
}
std::string trouble(std::string_view text)
{
    Rules rules;
    const auto added = rules.add(text, "rules");
    CHECK(rules.size() == 0);
    return added ? "no error" : added.error().text();
}
Meeting greeted(std::string greeting, std::string ehlo = {}) { return {{"192.0.2.2", "h", "s"}, std::move(greeting), std::move(ehlo)}; }

}  // namespace

TEST_CASE("rules: the first line that matches counts, of the greeting's and of the EHLO reply's each")
{
    const Rules rules = of("# what is known\n"
                           "/^220 [^ ]*\\.bigfish\\.com Microsoft ESMTP/   quit-alone\n"
                           "\n"
                           "/Microsoft/  no-rset,\n"
                           "    mails-per-session=50 bdat-first\n"
                           "ehlo /^250[- ]CHUNKING$/m  no-bdat-over(65536) !early\n"
                           "ehlo !/PIPELINING/ dot-alone\n");
    CHECK(rules.size() == 4);
    CHECK(rules.words_for(greeted("220 VA3EHSMHS018.bigfish.com Microsoft ESMTP MAIL Service ready")).quirks.text() == "quit-alone");
    const RuleWords exchange = rules.words_for(greeted("220 mail MICROSOFT ESMTP"));
    CHECK(exchange.quirks.text() == "no-rset");
    CHECK(exchange.limits.mails_per_session == 50);
    CHECK(exchange.bdat_first == true);
    const RuleWords both = rules.words_for(greeted("220 x.bigfish.com Microsoft ESMTP", "250-x\n250-PIPELINING\n250 CHUNKING"));
    CHECK(both.quirks.text() == "quit-alone no-bdat-over(65536)");
    CHECK(both.early == false);
    CHECK(rules.words_for(greeted("220 x", "250-x\n250 SIZE")).quirks.text() == "dot-alone");
    CHECK(rules.words_for(greeted("220 x")).empty());
}

TEST_CASE("rules: what the administrator's file says stands before what is shipped, and `none` and `!` deny")
{
    Rules rules = of("/bigfish/ none\n/other/ !quit-alone\n");
    REQUIRE(rules.add("/bigfish|other/ quit-alone", "shipped"));
    CHECK(rules.words_for(greeted("220 x.bigfish.com")).empty());
    CHECK(rules.words_for(greeted("220 other")).not_quirks.text() == "quit-alone");
    CHECK(rules.words_for(greeted("220 other")).quirks.empty());
}

TEST_CASE("rules: every error names file, line and what is wrong, and nothing of the file is taken")
{
    CHECK(trouble("/a/ quit-alone\n/b/ quit\n") == "rules, line 2: unknown word 'quit'");
    CHECK(trouble("\n\nhello") == "rules, line 3: a pattern is wanted: /pattern/ words");
    CHECK(trouble("/abc quit-alone") == "rules, line 1: no closing '/'");
    CHECK(trouble("/a(/ quit-alone") == "rules, line 1: the pattern is wrong at offset 2: missing closing parenthesis");
    CHECK(trouble("/a/q quit-alone") == "rules, line 1: unknown flag 'q'");
    CHECK(trouble("// quit-alone") == "rules, line 1: the pattern is empty");
    CHECK(trouble("/a/") == "rules, line 1: no word behind the pattern");
    CHECK(trouble("/a/ none quit-alone") == "rules, line 1: 'none' stands alone");
    CHECK(trouble("/a/ quit-alone !quit-alone") == "rules, line 1: a quirk is both claimed and denied");
    CHECK(trouble("/a/ sessions=0") == "rules, line 1: 'sessions=0': a number from 1 to 1000000 is wanted");
    CHECK(trouble("/a/ no-bdat-over") == "rules, line 1: unknown word 'no-bdat-over'");
    CHECK(trouble("  /a/ quit-alone") == "rules, line 1: a line that continues none");
    CHECK(trouble("/" + std::string(2001, 'a') + "/ quit-alone") == "rules, line 1: the pattern is too long");
    CHECK(trouble(std::string(65537, '#')) == "rules: larger than 65536 octets");
    std::string many;
    for (int i = 0; i <= 1000; ++i)
        many += "/a/ quit-alone\n";
    CHECK(trouble(many) == "rules, line 1001: more than 1000 rules");
}

TEST_CASE("rules: a delimiter of one's own, and one that is escaped")
{
    const Rules rules = of("/a\\/b/ quit-alone\n|x/y| no-rset\n");
    CHECK(rules.words_for(greeted("220 a/b")).quirks.text() == "quit-alone");
    CHECK(rules.words_for(greeted("220 x/y")).quirks.text() == "no-rset");
}

TEST_CASE("rules: a pattern that never ends claims nothing, and a greeting of any octets is read")
{
    const Rules rules = of("/^(a+)+$/ quit-alone\n!/(b+)+[cd]$/ no-rset");
    CHECK(rules.words_for(greeted(std::string(5000, 'a') + "!")).quirks.text() == "no-rset");
    CHECK(rules.words_for(greeted("220 " + std::string(5000, 'b'))).quirks.empty());   // beyond the limit: not even its negation is claimed
    CHECK(rules.words_for(greeted(std::string("220 \0\xff\xfe", 7))).quirks.text() == "no-rset");
}

TEST_CASE("rules: the shipped file knows the seed's hosts by their greetings, and no correct server")
{
    std::vector<std::string> troubles;
    const auto rules = load_rules("shipped", troubles);
    CHECK(troubles.empty());
    REQUIRE(rules);
    const auto quirks = [&](std::string greeting, std::string ehlo = {}) {
        return rules->words_for(greeted(std::move(greeting), std::move(ehlo))).quirks.text();
    };
    CHECK(quirks("220 VA3EHSMHS018.bigfish.com Microsoft ESMTP MAIL Service ready at Sun, 28 Nov 2010 19:01:22 +0000") == "quit-alone");
    CHECK(quirks("220 DB3EHSMHS006.bigfish.com Microsoft ESMTP MAIL Service ready at Sun, 28 Nov 2010 07:47:08 +0000") == "quit-alone");
    CHECK(quirks("220 DB3EHSMHS003.bigfish.com Microsoft ESMTP MAIL Service ready at Sun, 28 Nov 2010 07:27:55 +0000") == "quit-alone");
    CHECK(quirks("220 exchange.example.com Microsoft ESMTP MAIL Service ready at Sun, 28 Nov 2010 02:41:13 -0500").empty());
    CHECK(quirks("220 mail7.exchange.microsoft.com Microsoft ESMTP MAIL Service ready at Sat, 27 Nov 2010 23:43:19 -0800").empty());
    CHECK(quirks("220 mail.bigfish.com.example.test ESMTP Postfix").empty());
    CHECK(quirks("220 ********************************") == "no-bdat");
    CHECK(quirks("220 2*2").empty());
    CHECK(quirks("220 mail.example.com ESMTP", "250-mail.example.com\n250-SIZE\n250 XXXXXXXA") == "no-bdat");
    CHECK(quirks("220 mail.example.com ESMTP", "250-mail.example.com\n250-XCLIENT NAME\n250 CHUNKING").empty());
}

TEST_CASE("rules: files stand in the order they are named; one that is missing or wrong is left out, and said")
{
    const std::string path = "/tmp/posthorn-rules-test." + std::to_string(::getpid());
    const auto write = [&](std::string_view text) {
        std::FILE* const file = std::fopen(path.c_str(), "w");
        REQUIRE(file);
        std::fwrite(text.data(), 1, text.size(), file);
        std::fclose(file);
    };
    write("/bigfish/ none\n");
    std::vector<std::string> troubles;
    const auto rules = load_rules(path + ", shipped /nonexistent/rules", troubles);
    CHECK(troubles == std::vector<std::string>{"smtp_peer_rules: open /nonexistent/rules: No such file or directory: the file is not used"});
    CHECK(rules->words_for(greeted("220 VA3EHSMHS018.bigfish.com Microsoft ESMTP MAIL Service ready")).empty());
    write("/bigfish/ nonsense\n");
    troubles.clear();
    CHECK(load_rules(path, troubles) == nullptr);
    CHECK(troubles == std::vector<std::string>{"smtp_peer_rules: " + path + ", line 1: unknown word 'nonsense': the file is not used"});
    ::unlink(path.c_str());
}
