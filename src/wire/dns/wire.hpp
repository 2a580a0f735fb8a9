// dns/wire.hpp: names and numbers in DNS messages (RFC 1035 3.1, 4.1.4), for the record parser and the test server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::dns {

/// Reads front to back; after an overrun ok() is false and every value is zero or empty.
class Reader {
public:
    explicit Reader(std::string_view octets, std::size_t position = 0) : octets_(octets), position_(position) {}
    std::uint8_t u8();
    std::uint16_t u16();
    std::uint32_t u32();
    std::string_view take(std::size_t count);
    /// A name; follows compression pointers only backwards. Root is "".
    std::string name();
    std::size_t left() const { return ok_ ? octets_.size() - position_ : 0; }
    std::size_t position() const { return position_; }
    bool ok() const { return ok_; }

private:
    std::string_view octets_;
    std::size_t position_;
    bool ok_ = true;
};

void put_u16(std::string& out, unsigned value);
void put_u32(std::string& out, std::uint32_t value);
/// Without compression. False where a label or the name is too long or empty; "\ddd" and "\x" are understood.
bool put_name(std::string& out, std::string_view name);

}  // namespace posthorn::dns
