#include "tables/network.hpp"

#include "base/strings.hpp"

#include <arpa/inet.h>

#include <fmt/format.h>

#include <array>

namespace posthorn::tables {

namespace {

std::string text_of(const Address& address)
{
    std::array<unsigned char, 16> octets{};
    const std::size_t count = address.v6 ? 16 : 4;
    for (std::size_t i = 0; i < count; ++i)
        octets[i] = static_cast<unsigned char>(address.bits >> (8 * (count - 1 - i)));
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, octets.data(), text.data(), text.size());
    return text.data();
}

std::string_view without_brackets(std::string_view text)
{
    if (text.size() > 2 && text.front() == '[' && text.back() == ']')
        return text.substr(1, text.size() - 2);
    return text;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text)
{
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (text.empty() || text.size() >= buffer.size())
        return std::nullopt;
    std::ranges::copy(text, buffer.begin());
    std::array<unsigned char, 16> octets{};
    const bool v6 = text.find(':') != text.npos;
    if (::inet_pton(v6 ? AF_INET6 : AF_INET, buffer.data(), octets.data()) != 1)
        return std::nullopt;
    Address address{v6};
    for (std::size_t i = 0; i < (v6 ? 16U : 4U); ++i)
        address.bits = address.bits << 8 | octets[i];
    return address;
}

Result<Network> parse_network(std::string_view text)
{
    std::string_view host = text, mask;
    bool has_mask = false;
    if (const std::size_t slash = text.find('/'); slash != text.npos) {
        host = text.substr(0, slash);
        mask = text.substr(slash + 1);
        has_mask = true;
    }
    const bool bracketed = host.starts_with('[');
    const auto address = parse_address(without_brackets(host));
    if (!address || (bracketed && !address->v6))
        return Error{fmt::format("bad address pattern: \"{}\"", printable(text))};
    const unsigned width = address->v6 ? 128 : 32;
    unsigned length = width;
    if (has_mask) {
        const auto number = parse_number(mask);
        if (!number)
            return Error{fmt::format("bad mask value in \"{}\"", printable(text))};
        if (*number > width)
            return Error{fmt::format("bad mask length in \"{}\"", printable(text))};
        length = static_cast<unsigned>(*number);
    }
    const Bits all = address->v6 ? ~Bits{0} : Bits{0xffffffff};
    const Bits host_bits = length == width ? 0 : length == 0 ? all : all >> length;
    if ((address->bits & host_bits) != 0)
        return Error{fmt::format("non-null host address bits in \"{}\", perhaps you should use \"{}/{}\" instead", text,
                                 text_of({address->v6, address->bits & ~host_bits}), length)};
    return Network{address->v6, address->bits, address->bits | host_bits};
}

}  // namespace posthorn::tables
