#include "http/target.hpp"

#include <doctest/doctest.h>

using namespace posthorn::http;
using Path = std::vector<std::string>;

TEST_CASE("target: path and query in pieces, decoded once")
{
    const auto target = parse_target("/api/queue/4gDq8v1Yc0z3D?limit=10&of=a%40b.test+c&empty=&bare");
    REQUIRE(target);
    CHECK(target->path == Path{"api", "queue", "4gDq8v1Yc0z3D"});
    CHECK(target->word("limit") == "10");
    CHECK(target->word("of") == "a@b.test c");
    CHECK(target->word("empty") == "");
    CHECK(target->word("bare") == "");
    CHECK_FALSE(target->word("other"));
    CHECK(parse_target("/")->path.empty());
    CHECK(parse_target("/?a=b")->word("a") == "b");
    CHECK(parse_target("/why/%25%2541")->path == Path{"why", "%%41"});
    CHECK(parse_target("/why/a+b")->path == Path{"why", "a+b"});
    CHECK(parse_target("/why/smtp%3A%2Fvar%2Fx")->path == Path{"why", "smtp:/var/x"});
}

TEST_CASE("target: what is no path of ours is refused, with the reason")
{
    for (const char* wrong : {"", "*", "api", "http://a.test/", "/a//b", "/a/", "/./a", "/../etc/passwd", "/%2e%2e/etc", "/a%", "/a%4", "/a%zz",
                              "/a%00b", "/a%0d%0ab", "/?a=1&a=2", "/?a=%0a"}) {
        CAPTURE(wrong);
        const auto target = parse_target(wrong);
        REQUIRE_FALSE(target);
        CHECK_FALSE(target.error().what().empty());
    }
}

TEST_CASE("target: what is escaped for a link comes back as it was")
{
    for (const char* word : {"4gDq8v1Yc0z3D", "user@b.test", "[192.0.2.1]:25", "a/b", "smtp:x y", "\"><script>", "..a", "\xc3\xa9"})
        CHECK(parse_target("/why/" + escaped(word))->path.back() == word);
    CHECK(escaped("a.b-c_d~") == "a.b-c_d~");
    CHECK(escaped("\"<>& ") == "%22%3C%3E%26%20");
}
