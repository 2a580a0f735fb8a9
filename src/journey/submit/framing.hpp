// submit/framing.hpp: the maildrop record.
// Shape    "PHdrop1\n", then the envelope (length u32, octets: handoff Envelope), then content in chunks (length u32, 1 to 64 Ki octets), then
//          a length of 0. Lengths big-endian. Nothing follows: a file without the end mark is a submission that was broken off.
// Units    octets; content has CRLF line ends.
// Errors   "not a maildrop record", "envelope too large", "chunk too large", "message file too big", "data after the end",
//          "broken off".
// Trust    none. This is all that postdrop looks at.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace posthorn::submit {

inline constexpr std::string_view record_magic = "PHdrop1\n";
inline constexpr std::size_t envelope_limit = 16 << 20;
inline constexpr std::size_t chunk_limit = 64 << 10;

std::string encode_head(std::string_view envelope);
/// As many chunks as it takes; an empty text gives none.
std::string encode_content(std::string_view octets);
std::string encode_end();

/// Takes a record in pieces of any size.
class Framing {
public:
    using Take = std::function<Result<void>(std::string_view octets)>;

    /// `content_limit` 0: none. `envelope` is called once, `content` for every piece; an Error of theirs ends it.
    Framing(std::uint64_t content_limit, Take envelope, Take content);
    Result<void> feed(std::string_view octets);
    /// True when the end mark has come.
    bool done() const { return state_ == State::end; }
    /// What is missing at the end of the file.
    Result<void> finish() const;

private:
    enum class State { magic, envelope_length, envelope, chunk_length, chunk, end };

    Result<void> turn();

    std::uint64_t content_limit_;
    Take envelope_, content_;
    State state_ = State::magic;
    std::string held_;              // of magic, a length, or the envelope
    std::size_t wanted_;
    std::uint64_t content_size_ = 0;
};

}  // namespace posthorn::submit
