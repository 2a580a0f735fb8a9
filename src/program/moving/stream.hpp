// moving/stream.hpp: what is said between two commands, over a pipe, a socket, or whatever a command such as ssh makes of them.
// Shape    each Said by itself: its length in four octets, the first one the highest, and then the message.
// Errors   4.3.0: the other end is gone, a frame that is too large or none of ours. After one nothing more is said.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "moving/said.pb.h"

#include <cstddef>
#include <string>

namespace posthorn::moving {

inline constexpr std::size_t largest_frame = 64U << 20;
inline constexpr std::size_t largest_piece = 1U << 20;

/// Blocks. Descriptors may be the same.
class Stream {
public:
    /// `other`: what the other end is called in errors.
    Stream(int in, int out, std::string other) : in_(in), out_(out), other_(std::move(other)) {}

    Result<void> say(const Said& said);
    /// What `failed` says is an Error.
    Result<Said> hear();

private:
    Result<void> fill(char* into, std::size_t count, bool begun);

    int in_, out_;
    std::string other_, frame_;
};

}  // namespace posthorn::moving
