#include <doctest/doctest.h>

#include "smtp/path.hpp"

using namespace posthorn::smtp;

namespace {
std::string lenient(std::string_view text)
{
    const auto path = parse_path(text);
    return path ? path->text() : "bad";
}
std::string strict(std::string_view text)
{
    const auto path = parse_path(text, {.strict = true});
    return path ? path->text() : "bad";
}
}  // namespace

TEST_CASE("path: what both modes take, as Debian's Postfix answers")
{
    const std::pair<std::string_view, std::string_view> rows[] = {{"<>", ""},
                                                                  {"<a>", "a"},
                                                                  {"<a@b.test>", "a@b.test"},
                                                                  {"<\"a b\"@c.test>", "a b@c.test"},
                                                                  {"<a..b@c.test>", "a..b@c.test"},
                                                                  {"<.a@c.test>", ".a@c.test"},
                                                                  {"<a.@c.test>", "a.@c.test"},
                                                                  {"<a@c.test.>", "a@c.test"},
                                                                  {"<a@b@c.test>", "a@b@c.test"},
                                                                  {"<@x.test:a@b.test>", "a@b.test"},
                                                                  {"<@x.test,@y.test:a@b.test>", "a@b.test"},
                                                                  {"<a@[1.2.3.4]>", "a@[1.2.3.4]"},
                                                                  {"<a@[ipv6:::1]>", "a@[ipv6:::1]"},
                                                                  {"<a\\@b@c.test>", "a@b@c.test"},
                                                                  {"<\"a\\\"b\"@c.test>", "a\"b@c.test"},
                                                                  {"<a!b>", "a!b"},
                                                                  {"<a%b@c.test>", "a%b@c.test"},
                                                                  {"< a@b.test >", "a@b.test"},
                                                                  {"<a @b.test>", "a@b.test"},
                                                                  {"<\"a\".\"b\"@c.test>", "a.b@c.test"},
                                                                  {"<a@b_c.test>", "a@b_c.test"},
                                                                  {"<a@1.test>", "a@1.test"},
                                                                  {"<a:b@c.test>", "a:b@c.test"},
                                                                  {"<:a@c.test>", "a@c.test"},
                                                                  {"<[a]@b.test>", "[a]@b.test"},
                                                                  {"<j\u00e9@b\u00e9.test>", "j\u00e9@b\u00e9.test"}};
    for (const auto& [text, meaning] : rows) {
        CAPTURE(text);
        CHECK(lenient(text) == meaning);
        CHECK(strict(text) == meaning);
    }
}

TEST_CASE("path: what both modes refuse")
{
    for (std::string_view text : {"<a@b.test>SIZE=100",
                                  "<a b@c.test>",
                                  "<a@c..test>",
                                  "<a@.test>",
                                  "<a@>",
                                  "<a@[::1]>",
                                  "<a@[foo]>",
                                  "<a@-b.test>",
                                  "<a@b->",
                                  "<a@c.test",
                                  "<\"a@c.test>",
                                  "<a,b@c.test>",
                                  "<a;b@c.test>",
                                  "<a@1.2.3.4>",
                                  "<a@123>",
                                  "<a@[256.1.1.1]>",
                                  "<a@[]>",
                                  "<a@b/c.test>",
                                  "<a@[1.2.3.4]x>",
                                  "<\"a\"b@c.test>",
                                  "<a\\>",
                                  "<a@b.test..>",
                                  "<@>",
                                  "<a@xn--.test>",
                                  "<a@[IPv6:1.2.3.4]>",
                                  "",
                                  "<\xff@b.test>",
                                  "<a@b.test>,<c@d.test>",
                                  "a,b",
                                  "<a@b\"c\".test>",
                                  "<a\r@b.test>"}) {
        CAPTURE(text);
        CHECK(lenient(text) == "bad");
        CHECK(strict(text) == "bad");
    }
}

TEST_CASE("path: strict_rfc821_envelopes refuses what is only tolerated")
{
    const std::pair<std::string_view, std::string_view> rows[] = {{"a@b.test", "a@b.test"},      {"a", "a"},
                                                                  {"<a(b)@c.test>", "a@c.test"}, {"(hi)<a@c.test>", "a@c.test"},
                                                                  {"a@c.test>", "a@c.test"},     {"<@b.test>", "@b.test"},
                                                                  {"<\"\"@b.test>", "@b.test"},  {"group:a@b.test;", "a@b.test"},
                                                                  {"John<a@c.test>", "a@c.test"}};
    for (const auto& [text, meaning] : rows) {
        CAPTURE(text);
        CHECK(lenient(text) == meaning);
        CHECK(strict(text) == "bad");
    }
    CHECK(lenient("<<a@c.test>>") == "a@c.test");
}

TEST_CASE("path: a host name has labels of 1 to 63 octets and 255 in all")
{
    CHECK(is_valid_hostname(std::string(63, 'b') + ".test"));
    CHECK_FALSE(is_valid_hostname(std::string(64, 'b') + ".test"));
    std::string name;
    while (name.size() < 250)
        name += "abcdefghi.";
    CHECK(is_valid_hostname(name + "abcde"));
    CHECK_FALSE(is_valid_hostname(name + "abcdef"));
}

TEST_CASE("path: the local part is quoted exactly where it is no dot-string, and reads back")
{
    for (std::string_view local : {"a", "a.b", "a b", "a..b", ".a", "a.", "a@b", "a\"b", "a\\b", "j\u00e9", "", "a\tb", "(c)", "a,b"}) {
        CAPTURE(local);
        const Mailbox mailbox{std::string(local), "b.test"};
        const auto back = parse_path("<" + mailbox.quoted() + ">");
        REQUIRE(back);
        CHECK(*back == mailbox);
    }
    CHECK(quote_local("a.b") == "a.b");
    CHECK(external_address("a b@x.test") == "\"a b\"@x.test");
    CHECK(external_address("a@b\"c@x.test") == "\"a@b\\\"c\"@x.test");
    for (const char* same : {"", "a@x.test", "a.b", "a@[127.0.0.1]", "MAILER-DAEMON"})
        CHECK(external_address(same) == same);
    CHECK(quote_local("a..b") == "\"a..b\"");
    CHECK(Mailbox{}.quoted().empty());
    CHECK(mailbox_of("a@b@c.test") == Mailbox{"a@b", "c.test"});
    CHECK(literal_address("[IPv6:2001:db8::1]") == "2001:db8::1");
    CHECK(literal_address("[192.0.2.1]") == "192.0.2.1");
}

TEST_CASE("path: the length limit is an option")
{
    const std::string text = "<" + std::string(250, 'a') + "@b.test>";
    CHECK(parse_path(text));
    CHECK_FALSE(parse_path(text, {.max_length = 254}));
}
