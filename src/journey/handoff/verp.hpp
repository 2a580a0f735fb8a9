// handoff/verp.hpp: variable envelope return paths: the reverse-path of each recipient's copy names that recipient, so that its bounce does.
//   list@ours.test to joe@there.test, "+=":  list+joe=there.test@ours.test                                  Postfix's VERP_README
// Shape    Envelope.verp holds the two delimiters; empty: none of this. Such a message goes out one recipient a delivery.
#pragma once

#include "handoff/words.pb.h"

#include <string>
#include <string_view>

namespace posthorn::handoff {

/// Two characters, both of `allowed` (verp_delimiter_filter).
bool are_verp_delimiters(std::string_view text, std::string_view allowed);

/// The reverse-path for this recipient, by its address before rewriting. The null reverse-path stays as it is.
std::string verp_sender(std::string_view delimiters, std::string_view sender, const Recipient& recipient);

}  // namespace posthorn::handoff
