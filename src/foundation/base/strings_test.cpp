#include "base/strings.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

TEST_CASE("strings: case folds in ASCII only")
{
    CHECK(iequals("MAIL from", "mail FROM"));
    CHECK_FALSE(iequals("\xc3\x84", "\xc3\xa4"));
    CHECK(iends_with("mx.Example.COM", ".example.com"));
    CHECK_FALSE(istarts_with("EH", "EHLO"));
}

TEST_CASE("strings: split drops empty pieces, split_exact keeps them")
{
    CHECK(split("  a, b\t,c ", " ,\t") == std::vector<std::string_view>{"a", "b", "c"});
    CHECK(split_exact("a::b:", ':') == std::vector<std::string_view>{"a", "", "b", ""});
}

TEST_CASE("strings: a number is whole, unsigned and fits")
{
    CHECK(parse_number("18446744073709551615") == 18446744073709551615ull);
    CHECK_FALSE(parse_number("18446744073709551616"));
    CHECK_FALSE(parse_number(""));
    CHECK_FALSE(parse_number("-1"));
    CHECK_FALSE(parse_number("12k"));
}

TEST_CASE("strings: what the network sent becomes one clean log line")
{
    CHECK(printable("250 ok\r\n\x1b[31m") == "250 ok???[31m");
    CHECK(printable("gr\xc3\xbc\xc3\x9f", true) == "gr\xc3\xbc\xc3\x9f");
    CHECK(printable("\xc3\xbc") == "??");
    CHECK(printable("\xc0\xaf", true) == "??");       // an overlong slash
    CHECK_FALSE(is_valid_utf8("\xed\xa0\x80"));        // a surrogate
}

TEST_CASE("strings: base64 as RFC 4648 section 10 has it")
{
    for (auto [plain, coded] : {std::pair{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}}) {
        CHECK(base64_encode(plain) == coded);
        CHECK(base64_decode(coded) == plain);
    }
    CHECK_FALSE(base64_decode("Zg="));
    CHECK_FALSE(base64_decode("Z=g="));
}
