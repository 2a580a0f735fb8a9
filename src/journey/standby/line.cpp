#include "standby/line.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace posthorn::standby {

namespace {

constexpr std::size_t longest_words = 300;                 // of an error of the other end

/// 1: something to read, or its end; 0: not within that time; -1: errno.
int wait_readable(int fd, std::chrono::milliseconds patience)
{
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
        constexpr std::chrono::milliseconds at_once{60'000};       // poll(2) takes an int
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        const int ready = ::poll(&poll, 1, static_cast<int>(std::clamp(left, std::chrono::milliseconds{0}, at_once).count()));
        if (ready > 0 || (ready < 0 && errno != EINTR) || (ready == 0 && left <= at_once))
            return ready;
    }
}

}  // namespace

Result<void> Line::say(const Said& said)
{
    const std::size_t size = said.ByteSizeLong();
    if (size > largest_frame)
        return Error{fmt::format("a frame of {} octets is more than can be said", size), "4.3.0"};
    said_.assign({static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)});
    said.AppendToString(&said_);
    for (std::size_t at = 0; at < said_.size();) {
        const ssize_t written = ::write(out_, said_.data() + at, said_.size() - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return Error{fmt::format("lost {}: {}", other_, errno_text(errno)), "4.3.0"};
        at += static_cast<std::size_t>(written);
    }
    return {};
}

Result<void> Line::fill(char* into, std::size_t count, bool begun, std::chrono::milliseconds patience)
{
    for (std::size_t at = 0; at < count;) {
        if (const int ready = wait_readable(in_, patience); ready == 0)
            return Error{fmt::format("lost {}: it was silent for {} s", other_, std::chrono::duration_cast<std::chrono::seconds>(patience).count()),
                         "4.3.0"};
        const ssize_t got = ::read(in_, into + at, count - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return Error{fmt::format("lost {}: {}", other_, errno_text(errno)), "4.3.0"};
        if (got == 0)
            return begun || at > 0 ? Error{fmt::format("lost {}: it ended amid a frame", other_), "4.3.0"}
                                   : Error{fmt::format("lost {}: it ended", other_), "4.4.2"};
        at += static_cast<std::size_t>(got);
    }
    return {};
}

bool Line::more() const { return wait_readable(in_, std::chrono::milliseconds{0}) > 0; }

/// Its first line, as far as it comes within a second.
Error Line::in_words(std::string text)
{
    while (text.size() < longest_words && text.find('\n') == text.npos) {
        char octet = 0;
        if (wait_readable(in_, std::chrono::seconds{1}) <= 0 || ::read(in_, &octet, 1) != 1)
            break;
        text += octet;
    }
    return Error{fmt::format("{} says \"{}\"", other_, printable(std::string_view(text).substr(0, text.find_first_of("\r\n")), true)), "4.3.0"};
}

Result<Said> Line::hear(std::chrono::milliseconds patience)
{
    std::array<char, 4> head{};
    TRY_VOID(fill(head.data(), head.size(), false, patience));
    std::size_t size = 0;
    for (const char octet : head)
        size = size << 8 | static_cast<unsigned char>(octet);
    if (size > largest_frame)
        return in_words(std::string(head.data(), head.size()));
    heard_.clear();
    while (heard_.size() < size) {                                  // as it comes: a length is quickly said
        const std::size_t before = heard_.size(), more = std::min(size - before, std::max<std::size_t>(before, 64 * 1024));
        heard_.resize(before + more);
        TRY_VOID(fill(heard_.data() + before, more, true, patience));
    }
    Said said;
    if (!said.ParseFromString(heard_) || said.what_case() == Said::WHAT_NOT_SET)
        return Error{fmt::format("{} says what is not understood here: it may be of another version", other_), "4.3.0"};
    if (said.what_case() == Said::kFailed)
        return Error{fmt::format("{}: {}", other_, printable(said.failed().substr(0, longest_words), true)), "4.3.0"};
    return said;
}

}  // namespace posthorn::standby
