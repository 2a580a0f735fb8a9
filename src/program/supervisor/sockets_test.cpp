#include "supervisor/sockets.hpp"

#include <doctest/doctest.h>

using namespace posthorn::supervisor;

namespace {
std::string places(std::string_view line, std::string_view interfaces, std::string_view protocols)
{
    const auto endpoints = inet_endpoints(line, interfaces, protocols);
    if (!endpoints)
        return endpoints.error().text();
    std::string text;
    for (const auto& endpoint : *endpoints)
        text += endpoint.text() + " ";
    return text;
}
}  // namespace

TEST_CASE("inet line: a host of its own outvotes inet_interfaces, a port may be a name or a number")
{
    CHECK(places("127.0.0.1:10025", "all", "ipv4") == "[127.0.0.1]:10025 ");
    CHECK(places("smtp", "192.0.2.1 192.0.2.2", "ipv4") == "[192.0.2.1]:25 [192.0.2.2]:25 ");
    CHECK(places("2525", "all", "ipv4") == "[0.0.0.0]:2525 ");
    CHECK(places("2525", "loopback-only", "ipv4") == "[127.0.0.1]:2525 ");
    CHECK(places("[::1]:25", "all", "all").find("[::1]:25") == 0);
}

TEST_CASE("inet line: what is wrong is named")
{
    CHECK(places("nosuchservice", "all", "ipv4") == "unknown service: nosuchservice/tcp");
    CHECK(places("99999", "all", "ipv4") == "bad port number: 99999");
    CHECK(places("25", "all", "ipx") == "bad inet_protocols value: ipx");
    CHECK(places("25", "", "ipv4") == "bad inet_interfaces parameter: empty");
    CHECK(places("25", "nosuchhost.invalid", "ipv4").starts_with("host not found: nosuchhost.invalid: "));
}
