#include "siblings/frames.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::siblings {

namespace {

constexpr std::size_t head_octets = 4, quoted_octets = 100;

}  // namespace

std::optional<Result<Said>> Frames::next()
{
    const std::string_view rest = std::string_view(octets_).substr(read_);
    if (failed_ || rest.size() < head_octets)
        return std::nullopt;
    std::size_t size = 0;
    for (const char octet : rest.substr(0, head_octets))
        size = size << 8 | static_cast<unsigned char>(octet);
    if (size > largest_frame) {
        failed_ = true;
        return Error{fmt::format("it says what is none of ours: \"{}\"", printable(trim(rest.substr(0, quoted_octets)), true)), "4.3.0"};
    }
    if (rest.size() < head_octets + size)
        return std::nullopt;
    Said said;
    if (!said.ParseFromArray(rest.data() + head_octets, static_cast<int>(size))) {
        failed_ = true;
        return Error{"it says what is not understood here: it may be of another version", "4.3.0"};
    }
    read_ += head_octets + size;
    if (read_ == octets_.size() || read_ > largest_frame) {
        octets_.erase(0, read_);
        read_ = 0;
    }
    return said;
}

std::string frame_of(const Said& said)
{
    const std::size_t size = said.ByteSizeLong();
    std::string frame{static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)};
    said.AppendToString(&frame);
    return frame;
}

}  // namespace posthorn::siblings
