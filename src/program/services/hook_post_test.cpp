#include "services/hook_post.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;

TEST_CASE("hook: one object to a request, or an array; the authorization is a field")
{
    const auto url = net::parse_http_url("http://hook.test:8080/take?a=b");
    REQUIRE(url);
    const std::vector<std::string_view> one{"{\"n\":1}"}, two{"{\"n\":1}", "{\"n\":2}"};
    CHECK(
        hook_request(*url, "", one, false) ==
        "POST /take?a=b HTTP/1.1\r\nHost: hook.test:8080\r\nUser-Agent: Posthorn\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"n\":1}");
    CHECK(hook_request(*url, "Bearer x", two, true) ==
          "POST /take?a=b HTTP/1.1\r\nHost: hook.test:8080\r\nUser-Agent: Posthorn\r\nContent-Type: "
          "application/json\r\nAuthorization: Bearer x\r\nContent-Length: 17\r\n\r\n[{\"n\":1},{\"n\":2}]");
    CHECK(hook_request(*url, "", one, true).ends_with("Content-Length: 9\r\n\r\n[{\"n\":1}]"));
}

TEST_CASE("hook: the authorization is one line of a file, and nothing that would be another field")
{
    const auto value = authorization_value(" Bearer secret\n");
    REQUIRE(value);
    CHECK(*value == "Bearer secret");
    CHECK(authorization_value("")->empty());
    for (const std::string& bad : {std::string("a\r\nX-Other: b"), std::string("gr\xc3\xbc\xc3\x9f"), std::string(9000, 'x')})
        CHECK_FALSE(authorization_value(bad));
}
