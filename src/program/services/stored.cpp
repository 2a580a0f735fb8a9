#include "services/stored.hpp"

#include "message/header.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::services {

std::size_t head_size(std::string_view text)
{
    if (text.starts_with("\r\n"))
        return 2;
    const std::size_t end = text.find("\r\n\r\n");
    return end == text.npos ? text.size() : end + 4;
}

bool HeadSearch::ends_in(std::string_view text)
{
    const std::size_t from = seen_ - std::min<std::size_t>(seen_, 3);
    seen_ = text.size();
    if (text.starts_with("\r\n") || text.find("\r\n\r\n", from) != text.npos)
        return true;
    if (text.size() <= look_beyond_)
        return false;
    look_beyond_ = std::max(look_beyond_, std::min(longest_header, text.size() + text.size() / 4));
    return message::ended_by_no_field(text);
}

Result<std::size_t> Stored::read(std::uint64_t offset, std::span<char> into) const
{
    if (!file_) {
        const std::string_view rest = std::string_view(octets_).substr(std::min<std::uint64_t>(offset, octets_.size()));
        return rest.copy(into.data(), into.size());
    }
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t count = ::pread(file_.get(), into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("read", errno);
        if (count == 0)
            break;
        got += static_cast<std::size_t>(count);
    }
    return got;
}

Result<std::string> Stored::head(std::size_t much) const
{
    std::string text;
    HeadSearch search(much);
    for (std::size_t piece = 64 << 10; text.size() <= longest_header; piece = text.size()) {
        const std::size_t before = text.size();
        text.resize(before + piece);
        TRY(const std::size_t got, read(before, std::span(text).subspan(before)));
        text.resize(before + got);
        if (search.ends_in(text) || got < piece) {
            text.resize(head_size(text));
            return text;
        }
    }
    return Error{"header section too long", "5.3.4"};
}

Result<void> Stored::rest(std::uint64_t offset, const std::function<Result<void>(std::string_view)>& take) const
{
    std::string piece(64 << 10, '\0');
    for (;;) {
        TRY(const std::size_t got, read(offset, piece));
        if (got == 0)
            return {};
        TRY_VOID(take(std::string_view(piece).substr(0, got)));
        offset += got;
    }
}

}  // namespace posthorn::services
