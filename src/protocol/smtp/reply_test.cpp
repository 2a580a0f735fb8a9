#include <doctest/doctest.h>

#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

using namespace posthorn::smtp;

namespace {
Reply parse(std::string_view octets, ReplyLimits limits = {})
{
    ReplyParser parser{limits};
    auto result = parser.feed(octets);
    REQUIRE(result);
    REQUIRE(*result);
    CHECK(octets.empty());
    return **result;
}
}  // namespace

TEST_CASE("reply: each line of what we write carries code and status, and it reads back")
{
    const Reply reply{550, "5.1.1", "no such\nuser"};
    CHECK(reply.wire() == "550-5.1.1 no such\r\n550 5.1.1 user\r\n");
    CHECK(parse(reply.wire()) == reply);
    CHECK(reply.logged() == "550-5.1.1 no such 550 5.1.1 user");
    CHECK(reply.text() == "no such user");
    CHECK(reply.status() == "5.1.1");
    CHECK(Reply{250, "", "mx.test\nPIPELINING"}.wire() == "250-mx.test\r\n250 PIPELINING\r\n");
}

TEST_CASE("reply: text of ours cannot start a line that nobody meant") { CHECK(Reply{550, "5.7.1", "a\r250 b"}.wire() == "550 5.7.1 a 250 b\r\n"); }

TEST_CASE("reply: no line of ours is longer than a client has to expect (RFC 5321 4.5.3.1.5)")
{
    const auto longest = [](std::string_view replies) {
        std::size_t most = 0;
        for (std::size_t begin = 0; begin < replies.size();) {
            const std::size_t end = replies.find("\r\n", begin);
            REQUIRE(end != std::string_view::npos);
            most = std::max(most, end + 2 - begin);
            begin = end + 2;
        }
        return most;
    };
    const std::string just = "550 5.7.1 " + std::string(500, 'a') + "\r\n";
    CHECK(within_line_limit("250 2.1.0 Ok\r\n" + just) == "250 2.1.0 Ok\r\n" + just);

    std::string words;
    for (int i = 0; i < 300; ++i)
        words += "word ";
    words += "end";
    const std::string several = within_line_limit("250 2.1.0 Ok\r\n550 5.7.1 " + words + "\r\n250 2.0.0 Ok\r\n");
    CHECK(longest(several) <= 512);
    CHECK(several.starts_with("250 2.1.0 Ok\r\n550-5.7.1 word "));
    CHECK(several.ends_with("end\r\n250 2.0.0 Ok\r\n"));
    std::string_view replies = std::string_view(several).substr(14);
    ReplyParser parser;
    const auto refused = parser.feed(replies);
    REQUIRE((refused && *refused));
    CHECK((*refused)->text() == words);
    CHECK((*refused)->status() == "5.7.1");
    CHECK(replies == "250 2.0.0 Ok\r\n");

    // No space, no enhanced code, characters of several octets; each line of a reply that has several.
    std::string umlauts = "x";
    for (int i = 0; i < 400; ++i)
        umlauts += "\xc3\xa4";
    const std::string cut = within_line_limit("451-" + umlauts + "\r\n451 " + umlauts + "\r\n");
    CHECK(longest(cut) <= 512);
    CHECK(cut.find("\xc3\r\n") == std::string::npos);
    std::string joined;
    for (const std::string& line : parse(cut).lines)
        joined += line;
    CHECK(joined == umlauts + umlauts);

    const std::string challenge = "334 " + std::string(2000, 'A') + "\r\n";
    CHECK(within_line_limit(challenge) == challenge);
}

TEST_CASE("reply: the pieces in which it arrives do not matter, and what follows it is left")
{
    const std::string_view octets = "250-a\r\n250 b\r\n354 go\r\n";
    for (std::size_t cut = 0; cut <= octets.size(); ++cut) {
        CAPTURE(cut);
        ReplyParser parser;
        std::vector<Reply> replies;
        for (std::string_view piece : {octets.substr(0, cut), octets.substr(cut)})
            while (auto reply = *parser.feed(piece))
                replies.push_back(*reply);
        REQUIRE(replies.size() == 2);
        CHECK(replies[0].lines == std::vector<std::string>{"a", "b"});
        CHECK(replies[1].code == 354);
        CHECK_FALSE(parser.amid());
    }
}

TEST_CASE("reply: an enhanced code that disagrees with the first digit is not believed")
{
    CHECK(parse("550 4.1.1 x\r\n").status() == "5.0.0");
    CHECK(parse("550 x\r\n").status() == "5.0.0");
    CHECK(parse("550-5.1.1 x\r\n550 y\r\n").status() == "5.1.1");
    CHECK(parse("550-5.1.1 x\r\n550 5.2.2 y\r\n").status() == "5.2.2");
    CHECK(parse("354 3.0.0 go\r\n").status().empty());
    CHECK(parse("550 5.1.1\r\n").status() == "5.1.1");
    CHECK(parse("550 5.1.1234 x\r\n").status() == "5.0.0");
    CHECK(parse("550 5.1.1x\r\n").status() == "5.0.0");
    CHECK_FALSE(parse("150 x\r\n").valid());
}

TEST_CASE("reply: what is no reply line is counted as garbage, and told")
{
    const Reply reply = parse("hello\r\n\r\n25 x\r\n2500 y\r\n250 Ok\r\n");
    CHECK(reply.code == 250);
    CHECK(reply.garbage == 4);
    CHECK(reply.garbage_line == "hello");
}

TEST_CASE("reply: bare LF, a missing space, no text and mixed codes are read and marked")
{
    CHECK(parse("250 Ok\n").irregular);
    CHECK(parse("250Ok\r\n").irregular);
    CHECK(parse("250Ok\r\n").lines.front() == "Ok");
    CHECK(parse("250\r\n").lines.front().empty());
    CHECK_FALSE(parse("250\r\n").irregular);
    const Reply mixed = parse("250-a\r\n550 b\r\n");
    CHECK(mixed.mixed_codes);
    CHECK(mixed.code == 550);
}

TEST_CASE("reply: no peer makes it grow without bound")
{
    const Reply longline = parse("250 " + std::string(10000, 'x') + "\r\n", {.line = 100});
    CHECK(longline.lines.front().size() == 96);
    CHECK(longline.cut);
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += "250-x\r\n";
    const Reply manylines = parse(many + "250 last\r\n", {.lines = 10});
    CHECK(manylines.lines.size() == 10);
    CHECK(manylines.lines.back() == "last");
    CHECK(manylines.cut);

    ReplyParser parser{{.octets = 1000}};
    std::string_view octets = many;
    CHECK_FALSE(parser.feed(octets));
    CHECK_FALSE(parser.feed(octets));
    std::string_view endless(many.data(), 900);
    ReplyParser other{{.octets = 1000}};
    CHECK(other.feed(endless));
    endless = std::string_view(many.data(), 900);
    CHECK_FALSE(other.feed(endless));
}

TEST_CASE("EHLO: keywords and their arguments")
{
    const Features peer = parse_ehlo(parse("250-mx.test Hello\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-AUTH=LOGIN PLAIN\r\n"
                                           "250-auth plain CRAM-MD5\r\n250-XXXXXXXA\r\n250-LIMITS RCPTMAX=20 MAILMAX=5\r\n250-XFOO bar\r\n"
                                           "250-X_PIPE_CONNECT\r\n250-XFORWARD NAME ADDR\r\n250 8BITMIME\r\n"));
    CHECK(peer.host == "mx.test");
    CHECK(peer.keywords == KeywordSet{Keyword::pipelining, Keyword::size, Keyword::auth, Keyword::limits, Keyword::pipe_connect, Keyword::xforward,
                                      Keyword::eight_bit_mime});
    CHECK(peer.size == 10240000);
    CHECK(peer.auth == std::vector<std::string>{"LOGIN", "PLAIN", "CRAM-MD5"});
    CHECK(peer.masked == 1);
    CHECK(peer.limits == Limits{.mail_max = 5, .rcpt_max = 20});
    CHECK(peer.unknown == std::vector<std::string>{"XFOO bar"});
    const Features less = peer.without({Keyword::size, Keyword::auth, Keyword::pipelining, Keyword::xforward, Keyword::limits});
    CHECK_FALSE(less.has(Keyword::pipelining));
    CHECK(less.size == 0);
    CHECK(less.auth.empty());
    CHECK(less.xforward.empty());
    CHECK(less.limits == Limits{});
    CHECK(less.has(Keyword::eight_bit_mime));
    CHECK(parse_ehlo(Reply{}).keywords.empty());
}

TEST_CASE("EHLO: the vocabulary of the discard lists")
{
    const DiscardList list = parse_discard_list("Pipelining, 8bitmime\tsilent-discard verp foo");
    CHECK(list.keywords == KeywordSet{Keyword::pipelining, Keyword::eight_bit_mime, Keyword::silent_discard, Keyword::verp});
    CHECK(list.silent());
    CHECK(list.unknown == std::vector<std::string>{"foo"});
    CHECK(text(list.keywords) == "PIPELINING 8BITMIME VERP");
    CHECK(parse_discard_list("").keywords.empty());
    CHECK(name(Keyword::silent_discard) == "silent-discard");
    CHECK(KeywordSet::of_bits(list.keywords.bits()) == list.keywords);
}

TEST_CASE("greeting: the host, the word ESMTP, and the mark of a PIX firewall")
{
    CHECK(parse_greeting(parse("220 mx.test esmtp ready\r\n")).esmtp);
    CHECK(parse_greeting(parse("220 mx.test esmtp ready\r\n")).host == "mx.test");
    CHECK_FALSE(parse_greeting(parse("220 mx.test SMTP\r\n")).esmtp);
    CHECK(parse_greeting(parse("220 **********0*2****\r\n")).masked);
    CHECK_FALSE(parse_greeting(parse("220 mx ***\r\n")).masked);
}
