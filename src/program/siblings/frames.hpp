// siblings/frames.hpp: frames on a stream of octets.
// Shape    each Said by itself: its length in four octets, the first one the highest, and then the message.
// Errors   4.3.0: a frame that is too large, or none of ours: a shell that greets, an error in plain text. Nothing is read after one.
#pragma once

#include "base/error.hpp"
#include "siblings/said.pb.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::siblings {

inline constexpr std::size_t largest_frame = 1U << 20;

class Frames {
public:
    void feed(std::string_view octets) { octets_ += octets; }
    /// None: the next frame is not whole yet.
    std::optional<Result<Said>> next();

private:
    std::string octets_;
    std::size_t read_ = 0;
    bool failed_ = false;
};

std::string frame_of(const Said& said);

}  // namespace posthorn::siblings
