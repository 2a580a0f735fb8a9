// services/stored.hpp: a message that lies here already, in octets or in a file, and where its head ends.
// Units    octets. A head of more than longest_header is an Error (5.3.4).
// Blocks where it reads a file: for a helper thread.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::services {

inline constexpr std::size_t longest_header = 16 << 20;  // as much as sendmail -t reads of it

/// With the empty line; without one all of `text`.
std::size_t head_size(std::string_view text);

/// Is the end of the header in a text that grows? Much of it without an empty line is looked at line by line: the first one that is no field is
/// the body's. Pieces are as small as their sender likes, so what was seen is not looked at for each again.
class HeadSearch {
public:
    explicit HeadSearch(std::size_t much) : look_beyond_(much) {}
    bool ends_in(std::string_view text);

private:
    std::size_t seen_ = 0, look_beyond_;
};

/// A message, or what follows its head.
class Stored {
public:
    Stored(std::string octets, Fd file) : octets_(std::move(octets)), file_(std::move(file)) {}

    /// `into` from `offset`; fewer octets at the end only.
    Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const;
    /// Up to the empty line, or to the first line that is no field where `much` has none.
    Result<std::string> head(std::size_t much) const;
    Result<void> rest(std::uint64_t offset, const std::function<Result<void>(std::string_view)>& take) const;

private:
    std::string octets_;
    Fd file_;
};

}  // namespace posthorn::services
