// admin/counters.hpp: what the admin service counts of itself.
#pragma once

#include "observe/counters.hpp"

namespace posthorn::admin {

inline constexpr observe::CounterInfo admin_requests{.name = "admin_requests", .help = "Requests that were answered, by status."};
inline constexpr observe::CounterInfo admin_connections{
    .name = "admin_connections", .kind = observe::CounterInfo::Kind::gauge, .help = "Connections that are open."};

inline constexpr observe::CounterInfo own_counters[] = {admin_requests, admin_connections};

}  // namespace posthorn::admin
