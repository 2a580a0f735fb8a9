// ipc/frame.hpp: one frame on a Unix stream socket.
// Shape    16 octets of header, host byte order (both ends are one machine): payload length u32, kind u16, flags u8,
//          descriptors u8, id u64. Then the payload, protobuf-lite; a reply that failed carries text "status SP what" instead.
// Kind     what the payload is; numbered by the room that owns the .proto. Kinds are per service, not global.
// Id       non-zero for a request and its reply; zero for a notice, which has none.
// Descriptors  travel with the first octet of their frame (SCM_RIGHTS).
// Errors   a frame longer than the limit, unknown flags, an id where none may be: Malformed; the connection ends.
#pragma once

#include "base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace posthorn::ipc {

using Kind = std::uint16_t;

/// An argument that takes a Kind or an enumerator of the room's own list.
struct KindOf {
    constexpr KindOf(Kind number) : value(number) {}
    template <class Enum>
        requires std::is_enum_v<Enum>
    constexpr KindOf(Enum enumerator) : value(static_cast<Kind>(enumerator))
    {
    }
    Kind value;
};

enum class FrameType : std::uint8_t { notice = 0, request = 1, reply = 2, failure = 3 };

struct FrameHeader {
    std::uint32_t length = 0;
    Kind kind = 0;
    FrameType type = FrameType::notice;
    std::uint8_t descriptors = 0;
    std::uint64_t id = 0;
};

inline constexpr std::size_t frame_header_size = 16;
inline constexpr std::size_t descriptors_per_frame = 16;

void encode_header(const FrameHeader& header, char* room);

struct Frame {
    FrameHeader header;
    std::string_view payload;     // a view into the caller's buffer
};

/// The first frame of `octets`: none while it is not whole yet. `limit` is for the payload.
Result<std::optional<Frame>> next_frame(std::string_view octets, std::size_t limit);

}  // namespace posthorn::ipc
