// Whom we accept mail for: what keeps the server from being an open relay.
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

// Authorized: local, virtual and relay domains, and not user%elsewhere@ours. `permits`: permit_auth_destination.
awaitable<Judge::Step> Judge::auth_destination(bool defer, bool permits)
{
    // No recipient: nothing to protect yet. Nothing is accepted without RCPT, where this is asked again.
    if (!facts_.recipient)
        co_return Step::dunno;
    const std::string recipient = *facts_.recipient;
    const auto found = co_await standing(recipient);
    if (!found)
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", recipient), true);
    const bool authorized = found->address_class != handoff::AddressClass::other && (law_.settings.untrusted_routing || !found->routed);
    if (permits)
        co_return authorized ? Step::permit : Step::dunno;
    if (authorized)
        co_return Step::dunno;
    const int code = defer ? 454 : law_.settings.relay;
    co_return refuse(code, defer ? "4.7.1" : "5.7.1", fmt::format("<{}>: Relay access denied", recipient));
}

}  // namespace posthorn::receive::policy
