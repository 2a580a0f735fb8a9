// standby/line.hpp: what is said between a queue and its copy, over a pipe, a socket, or whatever a command such as ssh makes of them.
// Shape    each Said by itself: its length in four octets, the first one the highest, and then the message.
// Errors   4.3.0: the other end is gone or silent, a frame that is too large or none of ours. 4.4.2: it ended between two frames. After one nothing more is said.
// Text     where a command such as ssh says in words why it cannot, that is the error's text.
// Threads  one may say while another hears.
#pragma once

#include "base/error.hpp"
#include "standby/standby.pb.h"

#include <chrono>
#include <cstddef>
#include <string>

namespace posthorn::standby {

inline constexpr std::size_t largest_frame = 8U << 20;

class Line {
public:
    /// `other`: what the other end is called in errors. The descriptors are blocking, and not owned.
    Line(int in, int out, std::string other) : in_(in), out_(out), other_(std::move(other)) {}

    Result<void> say(const Said& said);
    /// Waits that long for it to begin, and as long again for each of its parts. What `failed` says is an Error.
    Result<Said> hear(std::chrono::milliseconds patience);
    /// Whether more has come already.
    bool more() const;

private:
    Error in_words(std::string text);
    Result<void> fill(char* into, std::size_t count, bool begun, std::chrono::milliseconds patience);

    int in_, out_;
    std::string other_, said_, heard_;
};

}  // namespace posthorn::standby
