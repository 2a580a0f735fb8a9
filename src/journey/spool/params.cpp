#include "spool/params.hpp"

#include "config/snapshot.hpp"
#include "spool/spool.hpp"

namespace posthorn::spool {

Options Options::from(const config::Snapshot& snapshot)
{
    const auto octets = [&](const Param<config::Octets>& param) { return static_cast<std::uint64_t>(snapshot.get(param).count); };
    Options options;
    options.checkpoint_octets = octets(spool_checkpoint_size);
    options.cache_octets = octets(spool_cache_size);
    options.slack_octets = octets(spool_free_size);
    options.orphan_age = snapshot.get(spool_orphan_age);
    options.remember_removed = snapshot.get(spool_remember_time);
    return options;
}

}  // namespace posthorn::spool
