// exim/spool_writer.hpp: a message as Exim keeps it, made of one of ours: what spool_message.hpp reads.
// Shape    -H with the variables that Exim needs to go on with it; -D with lines that end in LF. Exim itself works out the rest when it tries the message.
// Errors   what Exim has no way to say: REQUIRETLS, BINARYMIME, a content filter, VERP, an address verification, a line end in an address. Pure.
#pragma once

#include "base/error.hpp"
#include "handoff/words.pb.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::exim {

/// "1tGhmS-000GtA-2Q": the form that Exims of all versions read. Unique by sequence and `choice`, below 3844. `seconds`: since the epoch.
std::string message_id(std::int64_t seconds, std::uint64_t sequence, unsigned choice);

/// Content behind the header, which comes in pieces of any size.
class BodyWriter {
public:
    std::string content(std::string_view octets);
    /// A last line that has no end gets one.
    std::string end();
    std::uint64_t lines() const { return lines_; }
    std::uint64_t zeros() const { return zeros_; }
    std::uint64_t longest() const { return longest_; }

private:
    void put(std::string& out, char c);

    bool pending_ = false;  // a CR
    std::uint64_t lines_ = 0, zeros_ = 0, longest_ = 0, line_ = 0;
};

/// Whose files Exim's are.
struct Owner {
    std::string name;
    std::uint32_t uid = 0, gid = 0;
};

/// -H. `header`: up to the empty line, with CRLF. `frozen`: since when, in seconds; 0: it is not.
Result<std::string> spool_head(std::string_view id, const Owner& owner, const handoff::Envelope& envelope, std::string_view header,
                               const BodyWriter& body, std::int64_t frozen);

}  // namespace posthorn::exim
