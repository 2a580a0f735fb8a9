#include "base/json.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

TEST_CASE("json: a text is a string of JSON, whatever its octets are")
{
    CHECK(json_text("") == "\"\"");
    CHECK(json_text("a\"b\\c/d") == R"("a\"b\\c/d")");
    CHECK(json_text("one\ntwo\r\tthree") == R"("one\ntwo\r\tthree")");
    CHECK(json_text(std::string_view("\0\x01\x7f", 3)) == "\"\\u0000\\u0001\\u007f\"");
    CHECK(json_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xaf") == "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xaf\"");
}

TEST_CASE("json: an octet that is no part of UTF-8 is replaced, its neighbours stay")
{
    CHECK(json_text("\xc3\xbc\xff!") == "\"\xc3\xbc\xef\xbf\xbd!\"");
    CHECK(json_text("\xc3") == "\"\xef\xbf\xbd\"");
    CHECK(json_text("\xc0\xaf") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");              // overlong
    CHECK(json_text("\xed\xa0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");      // half of a surrogate pair
}

TEST_CASE("json: members stand in one line, in their order")
{
    CHECK(json_object({}) == "{}");
    CHECK(json_object({{"name", "a"}, {"value", "b \"c\"\n"}}) == R"({"name": "a", "value": "b \"c\"\n"})");
}
