// verify/rules.hpp: what a record is worth, and what a finding changes. Pure.            ADDRESS_VERIFICATION_README
// A deliverable address stays so through failing refreshes until positive_expire has passed since it was last found deliverable.
#pragma once

#include "verify/record.hpp"

#include <chrono>

namespace posthorn::verify {

struct Rules {
    bool negative_cache = true;
    std::chrono::seconds positive_expire = std::chrono::days{31}, positive_refresh = std::chrono::days{7};
    std::chrono::seconds negative_expire = std::chrono::days{3}, negative_refresh = std::chrono::hours{3};
};

struct Opinion {
    Opinion(Finding what, bool ask_anew) : finding(std::move(what)), ask(ask_anew) {}
    Finding finding;                      // in_progress: nothing is known
    bool ask;                             // unless somebody asks already
};

/// `outstanding`: a probe is under way; a deliverable address does not expire meanwhile.
Opinion opinion(const std::optional<Record>& record, bool outstanding, WallTime now, const Rules& rules);
/// Is a domain to be asked (again) whether it takes every recipient?
bool control_due(const std::optional<Record>& record, WallTime now, const Rules& rules);
/// What to store after a probe; none: the record stays as it is.
std::optional<Record> updated(const std::optional<Record>& before, const Finding& finding, WallTime now, const Rules& rules);
/// From when on it is asked anew behind the answer, and until when it counts.
struct Worth {
    WallTime refresh, expires;
};
Worth worth(const Record& record, const Rules& rules);
/// Is somebody who asks now a sign that it will be asked about again when it is to be refreshed? In the second half of the time until then.
bool worth_refreshing(const Record& record, WallTime now, const Rules& rules);
/// For the cleanup of the cache.
bool expired(const Record& record, WallTime now, const Rules& rules);

}  // namespace posthorn::verify
