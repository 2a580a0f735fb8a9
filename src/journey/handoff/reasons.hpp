// handoff/reasons.hpp: why a delivery failed, in one of a few words: what numbers are gathered by.                                   RFC 3463
// The words are a closed set, made of the enhanced status code: texts of peers are no labels. An unknown code has the word of its subject.
#pragma once

#include "handoff/words.pb.h"

#include <string>
#include <string_view>

namespace posthorn::handoff {

/// "no-answer", "mailbox-full" ...; "other" where the text is no enhanced status code.
std::string_view reason_of(std::string_view status);
/// The same; "greylisted" where the peer's time is known.
std::string_view reason_of(const Verdict& verdict);

/// "4.7.x": class and subject of a status; "other" where it is none. RFC 3463 has 2, 4 and 5, and the subjects 0 to 7.
std::string status_class(std::string_view status);

}  // namespace posthorn::handoff
