// send/content.hpp: the message of one request: octets at hand, or an open file read piece by piece.
// Stored form   RFC 5322 with CRLF line ends, last line ended, not dot-stuffed (handoff/words.proto).
// Owns          the descriptor; the octets belong to the request, which outlives it.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::send {

class Content {
public:
    Content() = default;
    explicit Content(std::string_view octets) : octets_(octets), size_(octets.size()) {}
    /// The size is the file's. An Error where it cannot be told.
    static Result<Content> of(Fd file);
    /// For a peer without 8BITMIME: quoted-printable where octets above 127 were. Content of files is converted up to
    /// `conversion_limit` octets, as a whole; an Error beyond it, or where the header has such octets.
    Result<Content> to_7bit() const;
    static constexpr std::uint64_t conversion_limit = 64U << 20;

    /// The whole header with its empty line; an Error where it is longer than `head_limit`.
    static constexpr std::size_t head_limit = 1U << 20;
    Result<std::string> head() const;
    /// Everything from `offset` on; an Error where it is more than conversion_limit.
    Result<std::string> rest(std::uint64_t offset) const;
    /// Another message in its place.
    void replace(std::string whole);
    /// Another header in place of the first `octets`.
    void replace_head(std::size_t octets, std::string head);
    /// The header with its empty line, or as much of the message as a first chunk of moderate size may have; never all of it.
    Result<std::string> header() const;
    /// An octet above 127, whatever was said of the message. A file that cannot be read: see below.
    bool has_8bit() const;
    /// A line of more octets than `limit` (0: none). A file that cannot be read has none: who sends it will find out.
    bool has_line_over(std::size_t limit) const;

    std::uint64_t size() const { return size_; }
    bool in_memory() const { return !file_; }
    std::string_view octets() const { return owned_.empty() ? octets_ : std::string_view(owned_); }
    /// From the file; 0 only at its end.
    Result<std::size_t> read(std::uint64_t offset, std::span<char> room) const;

private:
    bool any(const std::function<bool(std::string_view)>& found) const;

    std::string_view octets_;
    std::string owned_;                     // of a conversion
    Fd file_;
    std::string head_;                      // of a file whose header was replaced; the file counts from skipped_
    std::uint64_t skipped_ = 0;
    std::uint64_t size_ = 0;
};

}  // namespace posthorn::send
