#include "config/server_spec.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using config::parse_server_spec;
using Settings = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("server spec: a name alone, or in braces with settings, however these are spaced and grouped")
{
    CHECK(parse_server_spec(" inet:host:10 ").value().name == "inet:host:10");
    CHECK(parse_server_spec("inet:host:10").value().settings.empty());
    const auto spec = parse_server_spec("{ unix:/run/x, timeout=10s, a = b, c= d, { default_action = DUNNO or not }, e={ f g } }");
    REQUIRE(spec);
    CHECK(spec->name == "unix:/run/x");
    CHECK(spec->settings == Settings{{"timeout", "10s"}, {"a", "b"}, {"c", "d"}, {"default_action", "DUNNO or not"}, {"e", "f g"}});
    CHECK(parse_server_spec("{x a}").error().text() == "\"a\": expected name=value");
    CHECK(parse_server_spec("{}").error().text() == "{}: expected inet:host:port or unix:path");
}

TEST_CASE("server spec: ports are numbers of their range, or known names")
{
    CHECK(config::tcp_port("1") == 1);
    CHECK(config::tcp_port("65535") == 65535);
    // Few systems' services(5) know all of these, and some none.
    CHECK(config::tcp_port("lmtp") == 24);
    CHECK(config::tcp_port("smtps") == 465);
    CHECK(config::tcp_port("submissions") == 465);
    for (const char* const none : {"", "0", "65536", "-1", "1x", "no-such-service-name"}) {
        CAPTURE(none);
        CHECK_FALSE(config::tcp_port(none));
    }
}
