#include "moving/stream.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace posthorn::moving {

Result<void> Stream::say(const Said& said)
{
    const std::size_t size = said.ByteSizeLong();
    if (size > largest_frame)
        return Error{fmt::format("a message of {} octets beside its content is more than can be moved", size), "4.3.0"};
    frame_.assign({static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)});
    said.AppendToString(&frame_);
    for (std::size_t at = 0; at < frame_.size();) {
        const ssize_t written = ::write(out_, frame_.data() + at, frame_.size() - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return Error{fmt::format("lost {}: {}", other_, errno_text(errno)), "4.3.0"};
        at += static_cast<std::size_t>(written);
    }
    return {};
}

Result<void> Stream::fill(char* into, std::size_t count, bool begun)
{
    for (std::size_t at = 0; at < count;) {
        const ssize_t got = ::read(in_, into + at, count - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return Error{fmt::format("lost {}: {}", other_, errno_text(errno)), "4.3.0"};
        if (got == 0)
            return Error{fmt::format("lost {}: {}", other_, begun || at > 0 ? "it ended amid a message" : "it ended"), "4.3.0"};
        at += static_cast<std::size_t>(got);
    }
    return {};
}

Result<Said> Stream::hear()
{
    std::array<char, 4> head{};
    TRY_VOID(fill(head.data(), head.size(), false));
    std::size_t size = 0;
    for (const char octet : head)
        size = size << 8 | static_cast<unsigned char>(octet);
    // A shell that greets, an error in plain text: said as it is.
    if (size > largest_frame)
        return Error{
            fmt::format("{} says what is none of ours, beginning \"{}\"", other_, printable(std::string_view(head.data(), head.size()), true)),
            "4.3.0"};
    frame_.clear();
    while (frame_.size() < size) {                                  // as it comes: a length is quickly said
        const std::size_t before = frame_.size(), more = std::min(size - before, std::max<std::size_t>(before, 64 * 1024));
        frame_.resize(before + more);
        TRY_VOID(fill(frame_.data() + before, more, true));
    }
    Said said;
    if (!said.ParseFromString(frame_) || said.what_case() == Said::WHAT_NOT_SET)
        return Error{fmt::format("{} says what is not understood here: it may be of another version", other_), "4.3.0"};
    if (said.what_case() == Said::kFailed)
        return Error{fmt::format("{}: {}", other_, printable(said.failed(), true)), "4.3.0"};
    return said;
}

}  // namespace posthorn::moving
