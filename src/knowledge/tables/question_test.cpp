#include "tables/question.hpp"

#include "tables/key_value.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

std::string expanded(const std::string& text, std::string_view value, std::string_view key)
{
    const auto parsed = Template::parse(text);
    if (!parsed)
        return "error: " + parsed.error().what();
    return parsed->expand(value, key, [](std::string_view piece) { return "<" + std::string(piece) + ">"; }).value_or("none");
}

}  // namespace

TEST_CASE("template: each expansion takes what value or key have; what they have not makes all of it empty")
{
    CHECK(expanded("k='%s'", "u@d.test", "u@d.test") == "k='<u@d.test>'");
    CHECK(expanded("%u at %d", "u@d.test", "u@d.test") == "<u> at <d.test>");
    CHECK(expanded("%u", "bare", "bare") == "<bare>");
    CHECK(expanded("%d", "bare", "bare") == "none");
    CHECK(expanded("%u", "@d.test", "@d.test") == "none");
    CHECK(expanded("%1.%2.%3", "u@a.b.test", "u@a.b.test") == "<test>.<b>.<a>");
    CHECK(expanded("%4", "u@a.b.test", "u@a.b.test") == "none");
    CHECK(expanded("%s for %S, %U, %D", "value", "u@d.test") == "<value> for <u@d.test>, <u>, <d.test>");
    CHECK(expanded("100%%", "x", "x") == "100%");
    CHECK(expanded("%s", "", "x") == "none");
    CHECK(expanded("a%b", "x", "x").starts_with("error: \"%b\" is no part of a template"));
    CHECK(expanded("a%", "x", "x").starts_with("error: \"%\""));
}

TEST_CASE("memcache and redis: answers as they come in pieces, and what is none")
{
    const auto measured = [](auto measure, const std::string& whole) {
        for (std::size_t size = 0; size < whole.size(); ++size)
            CHECK(measure(whole.substr(0, size)).value() == 0);
        CHECK(measure(whole).value() == whole.size());
    };
    const auto memcache = [](std::string_view octets) { return measure_memcache(octets, 100, 50); };
    measured(memcache, "VALUE key 0 5\r\nab\r\nc\r\nEND\r\n");
    measured(memcache, "END\r\n");
    CHECK(text(memcache_answer("VALUE key 0 5\r\nab\r\nc\r\nEND\r\n")) == "ab\r\nc");
    CHECK(text(memcache_answer("END\r\n")) == "none");
    CHECK(text(memcache_answer("SERVER_ERROR out of memory\r\n")) == "error: unusable answer \"SERVER_ERROR out of memory\"");
    CHECK_FALSE(memcache("VALUE key 0 101\r\n").has_value());
    CHECK_FALSE(memcache("VALUE key 0 x\r\n").has_value());
    CHECK_FALSE(memcache("VALUE key 0 2\r\nabcEND\r\n..").has_value());
    CHECK_FALSE(memcache(std::string(60, 'x')).has_value());

    const auto redis = [](std::string_view octets) { return measure_redis(octets, 100); };
    measured(redis, "$5\r\nab\r\nc\r\n");
    measured(redis, "$-1\r\n");
    measured(redis, "-ERR unknown command\r\n");
    CHECK(text(redis_answer("$5\r\nab\r\nc\r\n")) == "ab\r\nc");
    CHECK(text(redis_answer("$-1\r\n")) == "none");
    CHECK(text(redis_answer("-WRONGTYPE no string\r\n")) == "error: WRONGTYPE no string");
    CHECK(text(redis_answer("*0\r\n")) == "error: unusable answer \"*0\"");
    CHECK_FALSE(redis("$-2\r\n").has_value());
    CHECK_FALSE(redis("$101\r\n").has_value());
    CHECK_FALSE(redis("$2\r\nabcd").has_value());
}
