#include "send/content.hpp"

#include "message/header.hpp"
#include "message/to_7bit.hpp"
#include "smtp/data.hpp"

#include <sys/stat.h>

#include <cerrno>

namespace posthorn::send {

Result<Content> Content::of(Fd file)
{
    struct stat status{};
    if (::fstat(file.get(), &status) != 0)
        return system_error("message file", errno);
    Content content;
    content.size_ = static_cast<std::uint64_t>(status.st_size);
    content.file_ = std::move(file);
    return content;
}

Result<std::string> Content::head() const
{
    if (in_memory()) {
        const auto end = octets().find("\r\n\r\n");
        return std::string(octets().substr(0, octets().starts_with("\r\n") ? 2 : end == std::string_view::npos ? octets().size() : end + 4));
    }
    std::string text;
    for (std::uint64_t at = 0; at < size_;) {
        std::string piece(16 * 1024, '\0');
        TRY(const std::size_t got, read(at, piece));
        if (got == 0)
            break;
        text.append(piece, 0, got);
        at += got;
        if (text.starts_with("\r\n"))
            return std::string("\r\n");
        if (const auto end = text.find("\r\n\r\n"); end != text.npos) {
            text.resize(end + 4);
            return text;
        }
        if (text.size() > head_limit)
            return Error("message header is too long", "5.6.0");
    }
    return text;
}

Result<std::string> Content::rest(std::uint64_t offset) const
{
    if (in_memory())
        return std::string(octets().substr(static_cast<std::size_t>(offset)));
    if (size_ - offset > conversion_limit)
        return Error("message is too large to be inspected", "5.6.3");
    std::string text(static_cast<std::size_t>(size_ - offset), '\0');
    for (std::size_t at = 0; at < text.size();) {
        TRY(const std::size_t got, read(offset + at, std::span(text).subspan(at)));
        if (got == 0)
            return Error("message file is shorter than its size", "4.3.0");
        at += got;
    }
    return text;
}

void Content::replace(std::string whole)
{
    file_ = Fd{};
    head_.clear();
    owned_ = std::move(whole);
    octets_ = {};
    size_ = owned_.size();
}

void Content::replace_head(std::size_t octets, std::string head)
{
    size_ = size_ - octets + head.size();
    if (in_memory()) {
        std::string whole = std::move(head);
        whole += this->octets().substr(octets);
        owned_ = std::move(whole);
        return;
    }
    skipped_ += octets;
    head_ = std::move(head);
}

Result<std::size_t> Content::read(std::uint64_t offset, std::span<char> room) const
{
    if (offset < head_.size())
        return std::string_view(head_).substr(static_cast<std::size_t>(offset)).copy(room.data(), room.size());
    offset = offset - head_.size() + skipped_;
    while (true) {
        const ssize_t got = ::pread(file_.get(), room.data(), room.size(), static_cast<off_t>(offset));
        if (got >= 0)
            return static_cast<std::size_t>(got);
        if (errno != EINTR)
            return system_error("message file", errno);
    }
}

Result<std::string> Content::header() const
{
    constexpr std::uint64_t chunk = 16 * 1024;
    std::string start(static_cast<std::size_t>(std::min(chunk, size_ / 2)), '\0');
    if (in_memory())
        start = octets().substr(0, start.size());
    for (std::size_t at = 0; !in_memory() && at < start.size();) {
        TRY(const std::size_t got, read(at, std::span(start).subspan(at)));
        if (got == 0)
            return Error("message file is shorter than its size", "4.3.0");
        at += got;
    }
    if (const auto end = start.find("\r\n\r\n"); end != start.npos)
        start.resize(end + 4);
    return start;
}

bool Content::any(const std::function<bool(std::string_view)>& found) const
{
    if (in_memory())
        return found(octets());
    std::string room(64 * 1024, '\0');
    for (std::uint64_t at = 0; at < size_;) {
        const auto got = read(at, room);
        if (!got || *got == 0)
            return false;
        if (found(std::string_view(room).substr(0, *got)))
            return true;
        at += *got;
    }
    return false;
}

bool Content::has_8bit() const { return any(message::has_8bit); }

bool Content::has_line_over(std::size_t limit) const
{
    if (limit == 0 || size_ <= limit)
        return false;
    smtp::LongLines lines(limit);
    return any([&](std::string_view piece) { return lines.feed(piece); });
}

Result<Content> Content::to_7bit() const
{
    std::string whole;
    if (!in_memory()) {
        if (size_ > conversion_limit)
            return Error("message is too large for conversion to 7bit", "5.6.3");
        whole.resize(size_);
        for (std::size_t at = 0; at < whole.size();) {
            TRY(const std::size_t got, read(at, std::span(whole).subspan(at)));
            if (got == 0)
                return Error("message file is shorter than its size", "4.3.0");
            at += got;
        }
    }
    Content made;
    made.owned_.reserve(size_ + size_ / 8);
    const message::Conversion done =
        message::to_7bit(in_memory() ? octets() : std::string_view(whole), [&](std::string_view piece) { made.owned_ += piece; });
    if (done.header_8bit)
        return Error("message header has 8-bit octets", "5.6.7");
    made.size_ = made.owned_.size();
    return made;
}

}  // namespace posthorn::send
