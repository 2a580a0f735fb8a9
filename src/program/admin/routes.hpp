// admin/routes.hpp: a request becomes an answer. docs/admin.md says what there is to ask, and what the answers hold.
// Blocks where it asks the System. Knows no socket.
#pragma once

#include "admin/rates.hpp"
#include "admin/system.hpp"
#include "http/message.hpp"
#include "http/target.hpp"
#include "process/control.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::admin {

using http::Answer;
using http::Target;

/// What a path leads to; none of it is known: 404.
enum class Place {
    metrics,
    page,
    message_page,
    why_page,
    api_list,
    queue,
    message,
    transcripts_of,
    why,
    transcripts,
    sites,
    peers,
    peer_changes,
    counters,
    helpers,
    reports,
    received,
    trials,
    accounts,
    order_account,
    act,
    flush_queue,
    flush_site,
    orders,
    suspend,
    bounce,
    resume
};

struct Route {
    Place place;
    bool changes;                          // POST, with a token; else GET
};
std::optional<Route> route_of(const Target& target);

/// The counters of all processes are needed for the answer.
bool needs_counters(Place place);

struct Asked {
    Target target;
    Route route;
    std::string client;                    // "192.0.2.1", for the log
};
/// `counters`: where they are needed; an Error: they could not be had. `rates`: what changed lately.
Answer answer_to(const Asked& asked, System& system, const Result<process::InstanceCounters>& counters, const Rates& rates);

}  // namespace posthorn::admin
