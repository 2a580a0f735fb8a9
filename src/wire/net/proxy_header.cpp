#include "net/proxy_header.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::net {

namespace {

using State = ProxyParsed::State;
using namespace std::string_view_literals;

constexpr std::string_view signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t first_line_limit = 107;

ProxyParsed bad(std::string_view problem) { return {State::bad, {}, problem}; }

std::optional<std::uint16_t> port_of(std::string_view text)
{
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != text.npos)
        return std::nullopt;
    unsigned value = 0;
    for (const char c : text)
        value = value * 10 + static_cast<unsigned>(c - '0');
    return value > 65535 ? std::nullopt : std::optional(static_cast<std::uint16_t>(value));
}

/// Only as the balancer writes them: no brackets, no prefix.
std::optional<IpAddress> address_of(std::string_view text, bool v6)
{
    if (text.find_first_not_of("0123456789abcdefABCDEF:.") != text.npos)
        return std::nullopt;
    const auto made = IpAddress::parse(text);
    return made && made->is_v6() == v6 ? made : std::nullopt;
}

ProxyParsed first(std::string_view octets)
{
    const std::size_t end = octets.substr(0, first_line_limit).find("\r\n");
    if (end == octets.npos) {
        if (octets.size() >= first_line_limit)
            return bad("line too long");
        return {};
    }
    ProxyParsed made{State::done, {}, {}};
    made.header.octets = end + 2;
    const auto words = split(octets.substr(0, end), " ");
    if (words.size() >= 2 && words[1] == "UNKNOWN") {
        made.header.local = true;
        return made;
    }
    if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6"))
        return bad("unexpected protocol header");
    const bool v6 = words[1] == "TCP6";
    const auto client = address_of(words[2], v6), server = address_of(words[3], v6);
    if (!client)
        return bad("unexpected client address syntax");
    if (!server)
        return bad("unexpected server address syntax");
    const auto client_port = port_of(words[4]), server_port = port_of(words[5]);
    if (!client_port)
        return bad("unexpected client port syntax");
    if (!server_port)
        return bad("unexpected server port syntax");
    made.header.client = *client;
    made.header.server = *server;
    made.header.client_port = *client_port;
    made.header.server_port = *server_port;
    return made;
}

unsigned octet(std::string_view octets, std::size_t at) { return static_cast<unsigned char>(octets[at]); }

template <std::size_t Size>
std::array<std::uint8_t, Size> taken(std::string_view octets, std::size_t at)
{
    std::array<std::uint8_t, Size> made{};
    for (std::size_t i = 0; i < Size; ++i)
        made[i] = static_cast<std::uint8_t>(octet(octets, at + i));
    return made;
}

std::uint16_t number(std::string_view octets, std::size_t at) { return static_cast<std::uint16_t>(octet(octets, at) << 8 | octet(octets, at + 1)); }

ProxyParsed second(std::string_view octets)
{
    constexpr std::size_t fixed = 16;
    if (octets.size() < fixed)
        return {};
    if (octet(octets, 12) >> 4 != 2)
        return bad("unsupported protocol version");
    const unsigned command = octet(octets, 12) & 15U, family = octet(octets, 13);
    const std::size_t length = number(octets, 14);
    if (fixed + length > proxy_header_limit)
        return bad("header too long");
    if (command > 1)
        return bad("unsupported command");
#ifndef POSTHORN_PLANT_BUG_proxy_header  // without it addresses are read beyond the end (scripts/fuzz-planted)
    if (octets.size() < fixed + length)
        return {};
#endif
    ProxyParsed made{State::done, {}, {}};
    made.header.octets = fixed + length;
    if (command == 0) {
        made.header.local = true;
        return made;
    }
    if (family == 0x11 && length >= 12) {
        made.header.client = IpAddress::v4(taken<4>(octets, fixed));
        made.header.server = IpAddress::v4(taken<4>(octets, fixed + 4));
        made.header.client_port = number(octets, fixed + 8);
        made.header.server_port = number(octets, fixed + 10);
    } else if (family == 0x21 && length >= 36) {
        made.header.client = IpAddress::v6(taken<16>(octets, fixed));
        made.header.server = IpAddress::v6(taken<16>(octets, fixed + 16));
        made.header.client_port = number(octets, fixed + 32);
        made.header.server_port = number(octets, fixed + 34);
    } else {
        return bad("unsupported network protocol");
    }
    return made;
}

}  // namespace

ProxyParsed parse_proxy_header(std::string_view octets)
{
    const auto begins = [&](std::string_view with) { return octets.substr(0, with.size()) == with.substr(0, octets.size()); };
    if (begins("PROXY "))
        return first(octets);
    if (begins(signature))
        return second(octets);
    return bad("unexpected protocol header");
}

}  // namespace posthorn::net
