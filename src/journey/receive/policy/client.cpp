// Restrictions on the client: its name and address.
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

Judge::Step Judge::unknown_client()
{
    if (facts_.client_name != "unknown")
        return Step::dunno;
    if (facts_.client_name_later)
        cannot_tell();
    return refuse(facts_.client_name_later ? 450 : law_.settings.unknown_client, "4.7.25",
                  fmt::format("Client host rejected: cannot find your hostname, [{}]", facts_.client_address));
}

Judge::Step Judge::unknown_reverse_client()
{
    if (facts_.client_reverse_name != "unknown")
        return Step::dunno;
    if (facts_.client_reverse_name_later)
        cannot_tell();
    return refuse(facts_.client_reverse_name_later ? 450 : law_.settings.unknown_client, "4.7.1",
                  fmt::format("Client host rejected: cannot find your reverse hostname, [{}]", facts_.client_address));
}

awaitable<Judge::Step> Judge::my_networks(std::string_view about)
{
    if (!law_.classes.in_memory())
        co_await court_.before_wait();
    const auto ours = co_await law_.classes.in_mynetworks(facts_.client_name, facts_.client_address);
    if (!ours)
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", about), true);
    co_return *ours ? Step::permit : Step::dunno;
}

}  // namespace posthorn::receive::policy
