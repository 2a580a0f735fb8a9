// inquiry/report_listing.hpp: the daily reports that other domains ask for (aggregate_reports), asked of reporter; as text and as JSON.
// Errors   as inquiry/ask.hpp has them; that there is no reporter: with status 4.3.0.
#pragma once

#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "handoff/aggregate.pb.h"
#include "inquiry/ask.hpp"

#include <string>
#include <string_view>

namespace posthorn::inquiry {

Result<handoff::AggregateReports> ask_reporter(const config::Snapshot& snapshot, handoff::AggregateCommand command, Until until = {});

/// "2026-11-27", or "today" and "yesterday", all UTC: days since the epoch. Error: it is none of them.
Result<std::int64_t> day_of(std::string_view word, WallTime now);

/// Of days since the epoch: "2026-11-27".
std::string utc_date(std::int64_t days);

/// "2026-11-27  tls    example.com: 12 as it asks, 1 not; sent 2026-11-28 03:12:40: mailto:tls@example.com (4bXYZ12345)"
std::string report_line(const handoff::AggregateReports::Report& report);
/// One object: {"kind": "tls", "domain": "example.com", "day": "2026-11-27", "good": 12, "bad": 1, "left_out": 0, "state": "sent", "next": ..., "attempts": 1, "note": ..., "record": ...}
std::string report_json(const handoff::AggregateReports::Report& report);

}  // namespace posthorn::inquiry
