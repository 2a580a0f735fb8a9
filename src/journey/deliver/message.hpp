// deliver/message.hpp: the message of one request, read piece by piece, however large.
// Stored form   RFC 5322 with CRLF line ends, last line ended (handoff/words.proto).
// Owns          the octets, or the descriptor of the content file; copies share it. Reading may be done in a child process as well.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::deliver {

class Message {
public:
    explicit Message(std::string octets) : octets_(std::make_shared<std::string>(std::move(octets))), size_(octets_->size()) {}
    static Result<Message> of(Fd file);

    std::uint64_t size() const { return size_; }
    /// -1: it is in memory.
    int descriptor() const { return file_ ? file_->get() : -1; }
    /// 0 only at the end.
    Result<std::size_t> read(std::uint64_t offset, std::span<char> room) const;
    /// The header, as far as it is within a bound: fields behind it are not looked at.
    static constexpr std::size_t head_limit = 1U << 20;
    Result<std::string> head() const;

private:
    Message() = default;
    std::shared_ptr<const std::string> octets_;
    std::shared_ptr<const Fd> file_;
    std::uint64_t size_ = 0;
};

/// Has its header a Delivered-To: of this address? Then it has been here before. Compared without case, as it stands there and quoted.
bool was_delivered_to(std::string_view head, std::string_view address);

}  // namespace posthorn::deliver
