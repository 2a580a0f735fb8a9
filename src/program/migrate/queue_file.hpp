// migrate/queue_file.hpp: a queue file of Postfix's, as postcat(1) shows it: envelope, message, what was extracted from the message.
// Shape    records: a type (one octet), a length (7 bits an octet, least significant first, the eighth bit: there is more), that many octets. T (arrival) or C (sizes)
//          first; A (name=value), F, S, O and R (a recipient; D: done with) ...; M; N (a line) and L (a piece of one) ...; X; A, L (content filter),
//          > (redirect) ...; E. p: go on at that offset (0: here).
// Units    octets. Content has CRLF line ends.
// Errors   "queue file, octet N: what": an unknown order, lengths past the end, offsets that lead in a circle, no sender, no end.
// Trust    none: a maildrop file is anybody's. Pure.
#pragma once

#include "base/error.hpp"
#include "handoff/words.pb.h"
#include "migrate/take_content.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::migrate {

struct QueueFile {
    handoff::Envelope envelope;  // recipients: those that are open; without queue id, message id and hops
    std::uint32_t done = 0;  // recipients that are done with
    bool cleaned = false;  // false: of the maildrop, before cleanup
};

Result<QueueFile> read_queue_file(std::string_view file, const TakeContent& content);

/// A file that Postfix's queue manager takes, in three parts; the sizes in the first record are known at the end: sizes() goes to offset 0.
class QueueFileWriter {
public:
    /// The envelope up to the start of the message. Error: Postfix has no way to say this (REQUIRETLS, BODY_BINARY, a line end in an address).
    Result<std::string> begin(const handoff::Envelope& envelope);
    /// Content in pieces of any size.
    std::string content(std::string_view octets);
    std::string end(const handoff::Envelope& envelope);
    /// As long as the record that begin() made.
    std::string sizes() const;

private:
    std::uint64_t data_offset_ = 0, content_length_ = 0, recipients_ = 0;
    bool smtputf8_ = false;
    std::string line_;  // begun
    bool pending_ = false, long_line_ = false;
};

}  // namespace posthorn::migrate
