#include "smtp/xforward.hpp"

#include <doctest/doctest.h>

namespace posthorn::smtp {

using Lines = std::vector<std::string>;

TEST_CASE("XFORWARD says what was announced and nothing else, and of what is not known that it is not")
{
    Origin origin;
    origin.name = "client.test";
    origin.address = "192.0.2.1";
    origin.helo = "a+b=c";
    const Lines all{"NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT"};
    CHECK(xforward_commands(origin, all) == Lines{"XFORWARD NAME=client.test ADDR=192.0.2.1 PORT=[UNAVAILABLE] HELO=a+2Bb+3Dc IDENT=[UNAVAILABLE]"
                                                  " PROTO=[UNAVAILABLE] SOURCE=[UNAVAILABLE]"});
    CHECK(xforward_commands(origin, Lines{"HELO", "NOVEL"}) == Lines{"XFORWARD HELO=a+2Bb+3Dc"});
    CHECK(xforward_commands(origin, Lines{}).empty());
    origin.address = "2001:db8::1";
    CHECK(xforward_commands(origin, Lines{"ADDR"}) == Lines{"XFORWARD ADDR=IPv6:2001:db8::1"});
}

TEST_CASE("XFORWARD: what is not known may be left out; the host is told of apart from the message")
{
    Origin origin;
    const Lines all{"NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT"};
    CHECK(xforward_known(origin, all).empty());
    origin.address = "192.0.2.1";
    origin.ident = "Q1";
    origin.source = "REMOTE";
    CHECK(xforward_known(origin, all) == Lines{"XFORWARD ADDR=192.0.2.1", "XFORWARD IDENT=Q1 SOURCE=REMOTE"});
    CHECK(xforward_known(origin, Lines{"SOURCE"}) == Lines{"XFORWARD SOURCE=REMOTE"});
    CHECK(xforward_known(origin, Lines{"ADDR"}) == Lines{"XFORWARD ADDR=192.0.2.1"});
}

TEST_CASE("XFORWARD: no command is longer than a server must take, and no value breaks out of its line")
{
    Origin origin;
    origin.name = std::string(255, 'n');
    origin.helo = std::string(255, 'h');
    origin.ident = std::string(256, 'i');
    origin.protocol = "ESMTP\r\nQUIT";
    const auto commands = xforward_commands(origin, Lines{"NAME", "HELO", "IDENT", "PROTO"});
    CHECK(commands == Lines{"XFORWARD NAME=" + origin.name, "XFORWARD HELO=" + origin.helo + " IDENT=[UNAVAILABLE] PROTO=[UNAVAILABLE]"});
    origin.helo = std::string(255, '+');                             // three octets each in xtext
    CHECK(xforward_commands(origin, Lines{"HELO"}) == Lines{"XFORWARD HELO=[UNAVAILABLE]"});
    CHECK(xforward_known(origin, Lines{"HELO"}).empty());
}

}  // namespace posthorn::smtp
