#include <doctest/doctest.h>

#include "message/compose.hpp"
#include "message/encoded_word.hpp"
#include "message/header.hpp"

using namespace posthorn;
using namespace posthorn::message;
using namespace std::chrono_literals;

TEST_CASE("compose: a field is folded at white space, and unfolds to what it was")
{
    std::string body;
    for (int i = 0; i < 40; ++i)
        body += "word" + std::to_string(i) + " ";
    body.pop_back();
    const std::string text = field("X-Long", body);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find("\r\n", at);
        CHECK(end - at <= 78);
        at = end + 2;
    }
    HeaderWalk walk{text};
    const auto back = walk.next();
    REQUIRE(back);
    CHECK(back->name == "X-Long");
    CHECK(unfold(back->body) == body);
    CHECK_FALSE(walk.next());
    CHECK(field("A", "") == "A:\r\n");
    CHECK(field("A", "b") == "A: b\r\n");
    CHECK(field("A", std::string(100, 'x') + " y") == "A: " + std::string(100, 'x') + "\r\n y\r\n");
}

TEST_CASE("compose: no value starts a field of its own")
{
    CHECK(field("A", "x\r\nBcc: y") == "A: x  Bcc: y\r\n");
    CHECK(quote_phrase("a\r\nb") == "\"a  b\"");
}

TEST_CASE("compose: dates have the zone of the place, and Postfix's form")
{
    const Time time{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 9h + 44min + 9s};
    CHECK(date(time, 0min, "UTC") == "Sat, 21 Nov 2026 09:44:09 +0000 (UTC)");
    CHECK(date(time, 60min, "CET") == "Sat, 21 Nov 2026 10:44:09 +0100 (CET)");
    CHECK(date(time, -210min) == "Sat, 21 Nov 2026 06:14:09 -0330");
    CHECK(date(time, 900min) == "Sun, 22 Nov 2026 00:44:09 +1500");
    const Time first{std::chrono::sys_days{std::chrono::year{2027} / 1 / 1} + 30min};
    CHECK(date(first, -60min) == "Thu, 31 Dec 2026 23:30:00 -0100");
    CHECK(date(first, 0min) == "Fri, 1 Jan 2027 00:30:00 +0000");
    CHECK(message_id(time, "4bXYZ", "mx.test") == "<20261121094409.4bXYZ@mx.test>");
}

TEST_CASE("compose: names are atoms, quoted, or encoded")
{
    const smtp::Mailbox mailbox{"a b", "c.test"};
    CHECK(named_address("", mailbox) == "\"a b\"@c.test");
    CHECK(named_address("", {}) == "<>");
    CHECK(named_address("John Smith", mailbox) == "John Smith <\"a b\"@c.test>");
    CHECK(named_address("Smith, \"J\"", mailbox) == "\"Smith, \\\"J\\\"\" <\"a b\"@c.test>");
    CHECK(named_address("J\u00f6rg", mailbox) == "=?utf-8?Q?J=C3=B6rg?= <\"a b\"@c.test>");
    CHECK(named_address("J\u00f6rg", mailbox, true) == "J\u00f6rg <\"a b\"@c.test>");
    // In another character set it is never text of SMTPUTF8 mail.
    CHECK(named_address("J\xf6rg", mailbox, true, "iso-8859-1") == "=?iso-8859-1?Q?J=F6rg?= <\"a b\"@c.test>");
    CHECK(commented_address("J\xf6rg", mailbox, false, "iso-8859-1") == "\"a b\"@c.test (=?iso-8859-1?Q?J=F6rg?=)");
    CHECK(named_address("Joe", mailbox, false, "iso-8859-1") == "Joe <\"a b\"@c.test>");
    for (const char* name : {"utf-8", "ISO-8859-15", "x!y"})
        CHECK(is_charset_name(name));
    for (const char* name : {"", "utf 8", "utf-8?Q?x", "a=b", "a.b", "\xc3\xa4", "x\r\n"})
        CHECK_FALSE(is_charset_name(name));
}

TEST_CASE("encoded words: encoded in pieces of 75 octets that cut no character, and decoded to what they were")
{
    std::string text;
    for (int i = 0; i < 30; ++i)
        text += "\u00e9\u4e2d\U0001F600 x";
    const std::string encoded = encode_words(text);
    for (std::size_t at = 0; at < encoded.size();) {
        const std::size_t end = std::min(encoded.find(' ', at), encoded.size());
        CHECK(end - at <= 75);
        CHECK(decode_words(encoded.substr(at, end - at)).find("\xEF\xBF\xBD") == std::string::npos);
        at = end + 1;
    }
    CHECK(decode_words(encoded) == text);
    CHECK(encode_words("plain text") == "plain text");
    CHECK(decode_words(encode_words("=?utf-8?Q?x?=")) == "=?utf-8?Q?x?=");
}

TEST_CASE("encoded words: the examples of RFC 2047 8, and what is none stays as it is")
{
    CHECK(decode_words("=?ISO-8859-1?Q?a?=") == "a");
    CHECK(decode_words("=?ISO-8859-1?Q?a?= b") == "a b");
    CHECK(decode_words("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=") == "ab");
    CHECK(decode_words("=?ISO-8859-1?Q?a?=    =?ISO-8859-1?Q?b?=") == "ab");
    CHECK(decode_words("=?ISO-8859-1?Q?a_b?=") == "a b");
    CHECK(decode_words("=?iso-8859-1?q?Andr=E9?= Pirard") == "Andr\u00e9 Pirard");
    CHECK(decode_words("=?utf-8*en?B?w6k=?=") == "\u00e9");
    CHECK(decode_words("=?utf-8?Q?a=0D=0AX?=") == "a  X");
    for (std::string_view same :
         {"=?", "=?utf-8?Q?a", "=?utf-8?X?a?=", "=?utf-8?Q?=Z1?=", "=?koi8-r?Q?a?=", "=?utf-8?Q?a b?=", "=?utf-8?B?!?=", "a =b"})
        CHECK(decode_words(same) == same);
}
