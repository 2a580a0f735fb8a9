#include "verify/options.hpp"

#include "verify/params.hpp"

#include <fmt/format.h>

namespace posthorn::verify {

ProbeSender probe_sender(const config::Snapshot& snapshot, std::string_view origin)
{
    std::string address = snapshot.get(address_verify_sender);
    if (address == "<>")
        address.clear();
    if (!address.empty() && address.find('@') == address.npos)
        address += fmt::format("@{}", origin);
    return ProbeSender(std::move(address), snapshot.get(address_verify_sender_ttl));
}

Options Options::from(const config::Snapshot& snapshot, std::string_view origin)
{
    Options options;
    options.map = snapshot.get(address_verify_map);
    options.rules = {snapshot.get(address_verify_negative_cache), snapshot.get(address_verify_positive_expire_time),
                     snapshot.get(address_verify_positive_refresh_time), snapshot.get(address_verify_negative_expire_time),
                     snapshot.get(address_verify_negative_refresh_time)};
    options.cleanup_interval = snapshot.get(address_verify_cache_cleanup_interval);
    options.sender = probe_sender(snapshot, origin);
    options.pending_limit = static_cast<std::size_t>(snapshot.get(address_verify_pending_request_limit));
    options.site_sessions = static_cast<std::size_t>(snapshot.get(address_verify_site_session_limit));
    options.site_pending = static_cast<std::size_t>(snapshot.get(address_verify_site_pending_limit));
    options.refresh_rate = static_cast<std::size_t>(snapshot.get(address_verify_refresh_rate_limit));
    return options;
}

}  // namespace posthorn::verify
