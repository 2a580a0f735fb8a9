#include "receive/reject_text.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace posthorn;
using namespace posthorn::receive;

namespace {
const FooterFacts facts{
    .client_address = "192.0.2.1", .server_name = "mx.example.test", .client_port = 40000, .now = WallTime{std::chrono::seconds{1357314120}}};

std::string footed(std::string_view reply, std::string_view footer)
{
    const auto made = with_footer(reply, footer, facts);
    return made ? *made : "error: " + made.error().text();
}
}  // namespace

TEST_CASE("reject footer: a line of its own with code and enhanced code, or behind the text")
{
    CHECK(footed("550 5.1.1 no such user", "call us") == "550-5.1.1 no such user\r\n550 5.1.1 call us");
    CHECK(footed("550 5.1.1 no such user", "\\c. Call us") == "550 5.1.1 no such user. Call us");
    CHECK(footed("450 wait", "one\\ntwo") == "450-wait\r\n450-one\r\n450 two");
    CHECK(footed("550-5.7.1 first\r\n550 5.7.1 second", "third") == "550-5.7.1 first\r\n550-5.7.1 second\r\n550 5.7.1 third");
    CHECK(footed("550-5.7.1 first\r\n550 5.7.1 second", "\\c, and\\nmore") == "550-5.7.1 first\r\n550-5.7.1 second, and\r\n550 5.7.1 more");
    CHECK(footed("500", "x") == "500-\r\n500 x");
    CHECK(footed("550 no", "") == "550 no");
}

TEST_CASE("reject footer: names of this session alone; what is not known leaves the reply as it was")
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    CHECK(footed("550 no", "\\c; $localtime, $client_address:${client_port} and $(server_name) $$5") ==
          "550 no; Jan  4 15:42:00, 192.0.2.1:40000 and mx.example.test $5");
    CHECK(footed("550 no", "ask $sender") == "error: unknown macro name \"sender\"");
    CHECK(footed("550 no", "ask ${client_address").starts_with("error: "));
    CHECK(footed("550 no", "a\r\n250 b").find("\r\n250") == std::string::npos);              // no footer begins a reply of its own
}

TEST_CASE("reject filter: a result is a reply of class 4 or 5 in one line")
{
    CHECK(*filtered_reply("550 5.1.1 away") == "550 5.1.1 away");
    CHECK(*filtered_reply(" 450 later ") == "450 later");
    CHECK(filtered_reply("450 a\r\n250 b")->find('\n') == std::string::npos);
    for (const char* wrong : {"", "250 ok", "354 go", "5501 x", "55", "later", "550-5.1.1 x"})
        CHECK_MESSAGE(!filtered_reply(wrong).has_value(), wrong);
}
