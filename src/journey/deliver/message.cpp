#include "deliver/message.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::deliver {

Result<Message> Message::of(Fd file)
{
    struct stat status{};
    if (::fstat(file.get(), &status) != 0)
        return system_error("message file", errno);
    Message message;
    message.size_ = static_cast<std::uint64_t>(status.st_size);
    message.file_ = std::make_shared<const Fd>(std::move(file));
    return message;
}

Result<std::size_t> Message::read(std::uint64_t offset, std::span<char> room) const
{
    if (octets_)
        return offset >= octets_->size() ? 0 : std::string_view(*octets_).substr(static_cast<std::size_t>(offset)).copy(room.data(), room.size());
    while (true) {
        const ssize_t got = ::pread(file_->get(), room.data(), room.size(), static_cast<off_t>(offset));
        if (got == 0 && offset < size_)
            return Error{"message file is shorter than its size", "4.3.0"};
        if (got >= 0)
            return static_cast<std::size_t>(got);
        if (errno != EINTR)
            return system_error("message file", errno);
    }
}

Result<std::string> Message::head() const
{
    std::string text;
    while (text.size() < size_ && text.size() < head_limit) {
        const std::size_t before = text.size();
        text.resize(std::min<std::uint64_t>(size_, before + 16 * 1024));
        TRY(const std::size_t got, read(before, std::span(text).subspan(before)));
        text.resize(before + got);
        if (text.starts_with("\r\n"))
            return std::string("\r\n");
        if (const auto end = text.find("\r\n\r\n", before < 3 ? 0 : before - 3); end != text.npos) {
            text.resize(end + 4);
            break;
        }
    }
    return text;
}

bool was_delivered_to(std::string_view head, std::string_view address)
{
    const std::string quoted = smtp::external_address(address);
    message::HeaderWalk walk(head);
    while (const auto field = walk.next())
        if (field->is("Delivered-To"))
            if (const std::string value = message::unfold(field->body); iequals(value, address) || iequals(value, quoted))
                return true;
    return false;
}

}  // namespace posthorn::deliver
