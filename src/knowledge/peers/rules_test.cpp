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

TEST_CASE("rules: hosts and replies have words of their own, and no others")
{
    const Rules rules = of("host /\\.big\\.test$/ site=Big sessions=5 mails-per-session=50 rate=10/s no-rset\n"
                           "host /^small/ rate=30/m\n"
                           "/^220 .*big/ mails-per-session=20\n"
                           "reply /^4.*TSS04/ suspend=2h slower\n"
                           "reply /^554 5\\.7\\.1 .*later/ temporary\n"
                           "reply /busy/ fewer-sessions\n"
                           "reply /greylist/ greylist=15m\n"
                           "domain /^(shop|store)\\.test$/ rate=1/s connects=6/m mails-per-session=3 !no-rset\n"
                           "domain /^far\\.test$/ site=far sessions=1\n");
    CHECK(rules.profile_for("mx1.big.test", "") == Profile{"big", 5, std::chrono::milliseconds(100)});
    CHECK(rules.profile_for("small.test", "") == Profile{"", 0, std::chrono::seconds(2)});
    CHECK(rules.profile_for("mx1.big.test.example", "") == Profile{});
    // What a domain's line says outvotes the host's, word by word.
    CHECK(rules.profile_for("mx1.big.test", "shop.test") == Profile{"big", 5, std::chrono::seconds(1), std::chrono::seconds(10)});
    CHECK(rules.profile_for("mx1.big.test", "far.test") == Profile{"far", 1, std::chrono::milliseconds(100)});
    CHECK(rules.profile_for("", "far.test") == Profile{"far", 1});
    CHECK(rules.profile_for("shop.test", "mx1.big.test") == Profile{});
    Meeting meeting = greeted("220 x big");
    CHECK(rules.words_for(meeting).limits.mails_per_session == 20);
    meeting.host = "mx1.big.test";
    const RuleWords words = rules.words_for(meeting);
    CHECK(words.quirks.text() == "no-rset");
    CHECK(words.limits.sessions == 5);
    CHECK(words.limits.mails_per_session == 20);        // the greeting comes after the name
    meeting.domain = "store.test";
    CHECK(rules.words_for(meeting).limits.mails_per_session == 3);
    CHECK(rules.words_for(meeting).not_quirks.text() == "no-rset");
    const Advice silence = rules.advice_for("421-4.7.0 [TSS04] Messages\n421 4.7.0 deferred", "");
    CHECK(silence.suspend == std::chrono::hours(2));
    CHECK(silence.slower);
    CHECK(rules.advice_for("554 5.7.1 Reputation too low, try later", "").temporary);
    CHECK(rules.advice_for("554 5.7.1 Spam", "") == Advice{});
    CHECK(rules.advice_for("450 greylisted", "").wait == std::chrono::minutes(15));
    CHECK(!rules.advice_for("450 x", "").later());
    const Rules by_site = of("reply@Big /later/ suspend=1h\nreply /later/ slower\n");
    CHECK(by_site.advice_for("421 later", "big").suspend == std::chrono::hours(1));
    CHECK(by_site.advice_for("421 later", "bigger") == by_site.advice_for("421 later", ""));
    CHECK(by_site.advice_for("421 later", "").slower);
    CHECK(trouble("reply@ /a/ slower") == "rules, line 1: '': the name of a site is wanted behind reply@");
    CHECK(trouble("reply@a/b /a/ slower") == "rules, line 1: 'a/b': the name of a site is wanted behind reply@");
    CHECK(trouble("host@big /a/ sessions=1") == "rules, line 1: a pattern is wanted: /pattern/ words");

    CHECK(trouble("/a/ slower") == "rules, line 1: 'slower' is a word for replies: reply /pattern/ slower");
    CHECK(trouble("host /a/ suspend=2h") == "rules, line 1: 'suspend=2h' is a word for replies: reply /pattern/ suspend=2h");
    CHECK(trouble("reply /a/ quit-alone") == "rules, line 1: 'quit-alone' is no word for a reply");
    CHECK(trouble("reply /a/ sessions=5") == "rules, line 1: 'sessions=5' is no word for a reply");
    CHECK(trouble("/a/ site=x") == "rules, line 1: 'site=x' is a word for hosts and domains: host /pattern/ site=x");
    CHECK(trouble("ehlo /a/ rate=1/s") == "rules, line 1: 'rate=1/s' is a word for hosts and domains: host /pattern/ rate=1/s");
    CHECK(trouble("reply /a/ suspend") == "rules, line 1: 'suspend': a time is wanted, as in suspend=2h");
    for (const char* time : {"0", "", "x", "-1", "8d", "1w", "99999999999999999999"})
        CHECK(trouble(std::string("reply /a/ suspend=") + time) ==
              std::string("rules, line 1: 'suspend=") + time + "': a time is wanted, as in 90s, 15m or 2h");
    CHECK(trouble("reply /a/ greylist=2d") == "rules, line 1: 'greylist=2d': a time is wanted, as in 90s, 15m or 2h");
    for (const char* rate : {"10", "0/s", "10/d", "/s", "10/ss", "x/s"})
        CHECK(trouble(std::string("host /a/ rate=") + rate) ==
              std::string("rules, line 1: 'rate=") + rate + "': a rate is wanted, as in 10/s, 600/m or 1000/h");
    CHECK(trouble("domain /a/ connects=1/d") == "rules, line 1: 'connects=1/d': a rate is wanted, as in 10/s, 600/m or 1000/h");
    CHECK(trouble("greeting /a/ connects=1/s") == "rules, line 1: 'connects=1/s' is a word for hosts and domains: host /pattern/ connects=1/s");
    CHECK(trouble("domain /a/ suspend=2h") == "rules, line 1: 'suspend=2h' is a word for replies: reply /pattern/ suspend=2h");
    CHECK(trouble("host /a/ site=a/b") == "rules, line 1: 'site=a/b': a name of letters, digits, '-', '.' and '_' is wanted");
    CHECK(trouble("reply /a/ none slower") == "rules, line 1: 'none' stands alone");
    CHECK(trouble("reply /a/ !slower") == "rules, line 1: 'slower' cannot be denied: a rule before it with none does that");
}

TEST_CASE("rules: what the shipped file says of large receivers and their replies, line by line")
{
    std::vector<std::string> troubles;
    const auto rules = load_rules("shipped", troubles);
    CHECK(troubles.empty());
    REQUIRE(rules);
    const auto host = [&](std::string name) {
        Meeting meeting = greeted("220 x ESMTP");
        meeting.host = std::move(name);
        const RuleWords words = rules->words_for(meeting);
        const Profile profile = rules->profile_for(meeting.host, "");
        return fmt::format("{} {}/{} {}", profile.site, words.limits.mails_per_session, profile.sessions, profile.interval.count());
    };
    for (const char* google : {"aspmx.l.google.com", "alt4.aspmx.l.google.com", "gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com",
                               "smtp.google.com", "aspmx2.googlemail.com"}) {
        CAPTURE(google);
        CHECK(host(google) == "google 50/5 0");
    }
    CHECK(host("mta5.am0.yahoodns.net") == "yahoo 20/0 0");
    CHECK(host("mx1.mail.yahoo.co.jp") == "yahoo-japan 20/2 100000");
    CHECK(host("outlook-com.olc.protection.outlook.com") == "outlook 50/5 0");
    CHECK(host("example-com.mail.protection.outlook.com") == " 50/5 0");
    CHECK(host("example-com.o-v1.mx.microsoft") == " 50/5 0");
    CHECK(host("mx01.mail.icloud.com") == "icloud 5/10 0");
    CHECK(host("mx2h1.comcast.net") == "comcast 1000/25 0");
    CHECK(host("eu-smtp-inbound-1.mimecast.com") == " 100/10 0");
    CHECK(host("smtp-in.orange.fr") == "orange 100/2 0");
    CHECK(host("mx00.emig.gmx.net") == "gmx 20/4 0");
    CHECK(host("mx-ha02.web.de") == "gmx 20/4 0");
    CHECK(host("smtp.mailgun.org") == " 3/0 0");
    for (const char* other : {"mx.example.com", "aspmx.l.google.com.example.org", "notyahoodns.net", "mail.example-gmx.net", "google.com"}) {
        CAPTURE(other);
        CHECK(host(other) == " 0/0 0");
    }
    const auto says = [&](std::string_view reply) {
        const Advice advice = rules->advice_for(reply, "");
        std::string text;
        text += advice.slower ? "slower " : "";
        text += advice.fewer ? "fewer " : "";
        text += advice.greylist ? "greylist " : "";
        text += advice.temporary ? "temporary " : "";
        return text + (advice.suspend.count() != 0 ? std::to_string(advice.suspend.count()) : "");
    };
    CHECK(says("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints") == "7200");
    CHECK(says("421 4.7.0 [TS01] Messages temporarily deferred") == "7200");
    CHECK(says("421 4.1.0 192.0.2.1 Throttled - try again later. RL000001") == "slower ");
    CHECK(says("421-4.7.28 Gmail has detected an unusual rate of email originating from your\n421 4.7.28 SPF domain") == "slower ");
    CHECK(says("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77713)") == "slower ");
    CHECK(says("421 4.7.0 Too many concurrent connections from your address") == "fewer ");
    CHECK(says("450 4.7.0 Too many sessions from 192.0.2.1") == "fewer ");
    CHECK(says("452 4.5.3 rate limit exceeded") == "slower ");
    CHECK(says("450 4.2.0 <u@y>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/y.html") == "greylist ");
    CHECK(says("451 4.7.1 Greylisting in action, please come back in 00:05:00") == "greylist ");
    CHECK(says("450 4.7.1 Graylisted") == "greylist ");
    for (const char* other : {"450 4.2.1 mailbox busy", "451 4.3.0 lookup failure", "452 4.2.2 Over quota", "421 4.4.2 timeout", "550 5.1.1 unknown",
                              "554 5.7.1 Greylisted for ever", "550 5.7.28 unusual rate", "452 4.5.3 Too many recipients"}) {
        CAPTURE(other);
        CHECK(says(other).empty());
    }
}
