// spool/page.hpp: how much a page of the queue may hold. A page ends at its limit of messages, or where it holds about page_octets: five hundred
// lists of many thousand recipients would be more than a frame takes, or the memory of qmgr. One message always fits, whatever its size.
#pragma once

#include "spool/store.hpp"

namespace posthorn::spool {

inline constexpr std::size_t page_octets = 4 << 20;

/// About as much as it takes in memory and in a frame.
inline std::size_t octets_of(const StoredMessage& message)
{
    std::size_t octets = 512;
    for (const RecipientState& state : message.recipients)
        octets += 128 + state.recipient.address().size() + state.recipient.original().size() + state.recipient.orcpt().size() +
                  (state.last ? 2 * state.last->text().size() : 0);
    return octets;
}
inline std::size_t octets_of(const Scheduled& message)
{
    std::size_t octets = 128;
    for (const ScheduledRecipient& recipient : message.recipients)
        octets += sizeof recipient + recipient.address.size();
    return octets;
}

}  // namespace posthorn::spool
