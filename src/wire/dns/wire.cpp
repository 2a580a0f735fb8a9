#include "dns/wire.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <iterator>

namespace posthorn::dns {

std::string_view Reader::take(std::size_t count)
{
    if (left() < count) {
        ok_ = false;
        return {};
    }
    const auto taken = octets_.substr(position_, count);
    position_ += count;
    return taken;
}

std::uint8_t Reader::u8()
{
    const auto octet = take(1);
    return ok_ ? static_cast<std::uint8_t>(octet[0]) : std::uint8_t{0};
}

std::uint16_t Reader::u16()
{
    const unsigned high = u8(), low = u8();
    return ok_ ? static_cast<std::uint16_t>(high << 8 | low) : std::uint16_t{0};
}

std::uint32_t Reader::u32()
{
    const std::uint32_t high = u16(), low = u16();
    return ok_ ? high << 16 | low : 0;
}

std::string Reader::name()
{
    std::string name;
    std::size_t octets = 0;
    std::optional<std::size_t> back;                                  // where to go on after a pointer
    for (std::size_t lowest = position_;;) {
        const std::uint8_t length = u8();
        if (!ok_)
            return {};
        if (length == 0)
            break;
        if ((length & 0xc0) == 0xc0) {
            const std::size_t target = static_cast<std::size_t>(length & 0x3f) << 8 | u8();
            if (!ok_ || target >= lowest) {                           // forward or to itself: a loop
                ok_ = false;
                return {};
            }
            if (!back)
                back = position_;
            lowest = position_ = target;
            continue;
        }
        octets += length + 1U;
        const auto label = length > 63 ? std::string_view{} : take(length);
        if (label.empty() || octets > 254) {
            ok_ = false;
            return {};
        }
        if (!name.empty())
            name += '.';
        for (const char c : label) {
            if (c == '.' || c == '\\')
                name.append({'\\', c});
            else if (c > ' ' && c < 127)
                name += c;
            else
                fmt::format_to(std::back_inserter(name), "\\{:03}", static_cast<unsigned char>(c));
        }
    }
    if (back)
        position_ = *back;
    return name;
}

void put_u16(std::string& out, unsigned value)
{
    out += static_cast<char>(value >> 8);
    out += static_cast<char>(value);
}

void put_u32(std::string& out, std::uint32_t value)
{
    put_u16(out, value >> 16);
    put_u16(out, value & 0xffff);
}

bool put_name(std::string& out, std::string_view name)
{
    if (name == ".")
        name = {};
    const std::size_t start = out.size();
    while (!name.empty()) {
        std::string label;
        std::size_t i = 0;
        for (; i < name.size() && name[i] != '.'; ++i) {
            if (name[i] != '\\' || i + 1 == name.size()) {
                label += name[i];
            } else if (const auto number = name.size() - i > 3 ? parse_number(name.substr(i + 1, 3)) : std::nullopt; number && *number < 256) {
                label += static_cast<char>(*number);
                i += 3;
            } else {
                label += name[++i];
            }
        }
        if (label.empty() || label.size() > 63)
            return false;
        out += static_cast<char>(label.size());
        out += label;
        name.remove_prefix(std::min(i + 1, name.size()));
    }
    out += '\0';
    return out.size() - start <= 255;
}

}  // namespace posthorn::dns
