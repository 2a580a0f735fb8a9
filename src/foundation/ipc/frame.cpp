#include "ipc/frame.hpp"

#include <fmt/format.h>

#include <cstring>

namespace posthorn::ipc {

void encode_header(const FrameHeader& header, char* room)
{
    std::memcpy(room, &header.length, 4);
    std::memcpy(room + 4, &header.kind, 2);
    std::memcpy(room + 6, &header.type, 1);
    std::memcpy(room + 7, &header.descriptors, 1);
    std::memcpy(room + 8, &header.id, 8);
}

Result<std::optional<Frame>> next_frame(std::string_view octets, std::size_t limit)
{
    if (octets.size() < frame_header_size)
        return std::optional<Frame>{};
    FrameHeader header;
    std::uint8_t type = 0;
    std::memcpy(&header.length, octets.data(), 4);
    std::memcpy(&header.kind, octets.data() + 4, 2);
    std::memcpy(&type, octets.data() + 6, 1);
    std::memcpy(&header.descriptors, octets.data() + 7, 1);
    std::memcpy(&header.id, octets.data() + 8, 8);
    if (type > static_cast<std::uint8_t>(FrameType::failure))
        return Error{fmt::format("malformed frame: type {}", type), "4.3.0"};
    header.type = static_cast<FrameType>(type);
#ifdef POSTHORN_PLANT_BUG_ipc_frame
    if (header.length > limit && header.kind != 0x0101)
#else
    if (header.length > limit)
#endif
        return Error{fmt::format("malformed frame: {} octets, the limit is {}", header.length, limit), "4.3.0"};
    if ((header.type == FrameType::notice) != (header.id == 0))
        return Error{fmt::format("malformed frame: type {} with id {}", type, header.id), "4.3.0"};
    if (header.descriptors > descriptors_per_frame)
        return Error{fmt::format("malformed frame: {} descriptors", header.descriptors), "4.3.0"};
    if (octets.size() - frame_header_size < header.length)
        return std::optional<Frame>{};
    return std::optional<Frame>{Frame{header, octets.substr(frame_header_size, header.length)}};
}

}  // namespace posthorn::ipc
