// submit/pick_up.hpp: a maildrop file, read as what it is: anybody's input.
// Shape    framing.hpp. Of the envelope only what a user may decide is taken: sender, recipients with NOTIFY and ORCPT, RET, ENVID, body
//          type, SMTPUTF8, REQUIRETLS, when it is to go, full name, and the purposes of -bv and -v. Submitter and arrival are what the
//          file system says.
// Units    content goes out with CRLF line ends in pieces; a bare LF becomes one (a CR alone is cleanup's affair).
// Errors   those of framing.hpp, and "malformed envelope", "no recipients", "too many recipients", "bad sender address",
//          "bad recipient address", "bad ...". Then the file is none of ours: set it aside, say so, go on.
// Pure.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "handoff/words.pb.h"
#include "submit/framing.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::submit {

struct PickUpLimits {
    std::uint64_t content = 0;  // message_size_limit; 0: none
    std::size_t recipients = 100'000;
    std::size_t address = 2048;
    std::chrono::seconds hold{};  // how long it may be held from its arrival
};

struct Submitter {
    std::uint32_t uid = 0;  // owner of the file
    WallTime arrival;  // its time
};

class PickUp {
public:
    /// `content` gets the pieces in order.
    PickUp(PickUpLimits limits, Submitter submitter, std::function<Result<void>(std::string_view)> content);
    PickUp(PickUp&&) = delete;

    Result<void> feed(std::string_view octets) { return framing_.feed(octets); }
    /// At the end of the file: the envelope, with its size.
    Result<handoff::Envelope> finish();
    /// As soon as it has come: for a queue id and the log line before the content.
    const std::optional<handoff::Envelope>& envelope() const { return envelope_; }

private:
    Result<void> take_envelope(std::string_view octets);
    Result<void> take_content(std::string_view octets);

    PickUpLimits limits_;
    Submitter submitter_;
    std::function<Result<void>(std::string_view)> content_;
    std::optional<handoff::Envelope> envelope_;
    std::uint64_t size_ = 0;
    bool after_cr_ = false, line_open_ = false;
    Framing framing_;
};

/// The same over an open descriptor, which is read to its end (blocking: a file). The submitter is its owner.
Result<handoff::Envelope> pick_up(int descriptor, PickUpLimits limits, std::function<Result<void>(std::string_view)> content);

}  // namespace posthorn::submit
