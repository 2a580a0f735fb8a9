#include "handoff/redirect.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::handoff {

void redirect(Envelope& envelope)
{
    if (envelope.redirect().empty() || envelope.recipients_size() == 0)
        return;
    std::ranges::sort(*envelope.mutable_recipients(), {}, [](const Recipient& one) { return to_lower(one.address()); });
    envelope.mutable_recipients()->DeleteSubrange(1, envelope.recipients_size() - 1);
    Recipient& recipient = *envelope.mutable_recipients(0);
    if (recipient.original().empty())
        recipient.set_original(recipient.address());
    recipient.set_address(envelope.redirect());
    recipient.set_index(0);
    envelope.clear_redirect();
    envelope.clear_filter();
}

}  // namespace posthorn::handoff
