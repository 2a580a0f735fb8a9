// handoff/made_fields.hpp: header fields that mail filters made are shown to the cleaner (milter_header_checks), wherever the mail came in.
#pragma once

#include "handoff/interfaces.hpp"
#include "milter/mail.hpp"

namespace posthorn::handoff {

struct MadeFields {
    std::optional<Refusal> refusal;
    bool discard = false;
};
/// Those that no one has looked at yet. What is found changes the header of `mail`, and the envelope.
awaitable<MadeFields> check_made_fields(Cleaner& cleaner, Envelope* envelope, milter::Mail& mail);

}  // namespace posthorn::handoff
