// deliver/virtual_agent.hpp: mailboxes of users that the system does not know, by tables.                                     virtual(8)
// Address  with its extension, then without, then @domain, in virtual_mailbox_maps, virtual_uid_maps and virtual_gid_maps alike.
// Errors   a table that cannot answer, or that gives a user it may not, defers the mail; the log says which.
#pragma once

#include "deliver/mailbox.hpp"
#include "deliver/spawner.hpp"
#include "deliver/teller.hpp"
#include "tables/maps.hpp"

namespace posthorn::deliver {

struct VirtualOptions {
    std::string base;                        // virtual_mailbox_base
    tables::Delimiter delimiter;
    std::uint64_t size_limit = 0;
    unsigned minimum_uid = 100;
    LockManner lock;
    bool strict_ownership = true;
    bool original_to = true;                 // enable_original_recipient: X-Original-To
    std::string host;                        // of this machine
};

class VirtualAgent {
public:
    struct Asked {
        tables::Maps mailboxes, uids, gids;
    };
    VirtualAgent(VirtualOptions options, Asked asked, Spawner& spawner, Teller& teller)
        : options_(std::move(options)), asked_(std::move(asked)), spawner_(spawner), teller_(teller)
    {
    }
    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content);

private:
    struct Place {
        std::string path;
        Privileges owner{};
    };
    struct Decision {
        Place place;
        std::optional<Fate> fate;            // why there is no place
        std::string warning;
    };
    Result<Decision> place_of(tables::Lookups& lookups, const std::string& address) const;
    awaitable<Fate> attempt(const handoff::DeliveryRequest* request, const handoff::Recipient* recipient, const Message* message);

    VirtualOptions options_;
    Asked asked_;
    Spawner& spawner_;
    Teller& teller_;
};

}  // namespace posthorn::deliver
