#include "net/proxy_header.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn::net;
using namespace std::string_literals;

namespace {

std::string said(std::string_view octets)
{
    const ProxyParsed parsed = parse_proxy_header(octets);
    using State = ProxyParsed::State;
    if (parsed.state == State::more)
        return "more";
    if (parsed.state == State::bad)
        return "bad: " + std::string(parsed.problem);
    const ProxyHeader& header = parsed.header;
    if (header.local)
        return fmt::format("local {}", header.octets);
    return fmt::format("{}:{} {}:{} {}", header.client.text(), header.client_port, header.server.text(), header.server_port, header.octets);
}

const std::string second = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string v4 = second + "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x67\0\x19"s;

}  // namespace

TEST_CASE("proxy header: the first version is a line")
{
    CHECK(said("PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\nEHLO x") == "192.0.2.1:4711 192.0.2.2:25 40");
    CHECK(said("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n") == "2001:db8::1:4711 2001:db8::2:25 44");
    CHECK(said("PROXY UNKNOWN\r\n") == "local 15");
    CHECK(said("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n").starts_with("local "));
    CHECK(said("PROXY TCP4 2001:db8::1 192.0.2.2 4711 25\r\n") == "bad: unexpected client address syntax");
    CHECK(said("PROXY TCP4 192.0.2.1 nonsense 4711 25\r\n") == "bad: unexpected server address syntax");
    CHECK(said("PROXY TCP4 192.0.2.1 192.0.2.2 70000 25\r\n") == "bad: unexpected client port syntax");
    CHECK(said("PROXY TCP4 192.0.2.1 192.0.2.2 4711 -1\r\n") == "bad: unexpected server port syntax");
    CHECK(said("PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n") == "bad: unexpected protocol header");
    CHECK(said("EHLO client.test\r\n") == "bad: unexpected protocol header");
    CHECK(said("PROXY " + std::string(102, 'x')) == "bad: line too long");
}

TEST_CASE("proxy header: the second version is octets")
{
    CHECK(said(v4 + "EHLO x") == "192.0.2.1:4711 192.0.2.2:25 28");
    const std::string v6 =
        second + "\x21\x21\0\x26"s + "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\1\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\2\0\1\0\2??"s;
    CHECK(said(v6) == "2001:db8::1:1 2001:db8::2:2 54");
    CHECK(said(second + "\x20\0\0\0"s) == "local 16");
    CHECK(said(second + "\x31\x11\0\x0c"s) == "bad: unsupported protocol version");
    CHECK(said(second + "\x22\x11\0\0"s) == "bad: unsupported command");
    CHECK(said(second + "\x21\x11\0\4xxxx"s) == "bad: unsupported network protocol");
    CHECK(said(second + "\x21\x11\xff\xff"s) == "bad: header too long");
}

TEST_CASE("proxy header: as long as it may become one, more is waited for")
{
    const std::string line = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n";
    for (std::size_t size = 0; size < line.size(); ++size)
        CHECK(said(line.substr(0, size)) == "more");
    for (std::size_t size = 0; size < v4.size(); ++size)
        CHECK(said(v4.substr(0, size)) == "more");
}
