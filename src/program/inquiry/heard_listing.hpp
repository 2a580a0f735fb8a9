// inquiry/heard_listing.hpp: what others report of our domains (report_addresses), asked of the process reports; as text and as JSON.
// Errors   as inquiry/ask.hpp has them; that there is no such process: with status 4.3.0.
#pragma once

#include "config/snapshot.hpp"
#include "handoff/heard.pb.h"
#include "inquiry/ask.hpp"

#include <string>

namespace posthorn::inquiry {

Result<handoff::HeardReply> ask_reports(const config::Snapshot& snapshot, handoff::HeardCommand command, Until until = {});

/// One line; it begins with "!" where something is to be done here.
std::string heard_line(const handoff::HeardSum& sum);
/// Days, sources and failures, with advice.
std::string heard_text(const handoff::HeardSum& sum);
std::string heard_json(const handoff::HeardSum& sum);

std::string heard_line(const handoff::HeardReport& report);
std::string heard_text(const handoff::HeardReport& report);
std::string heard_json(const handoff::HeardReport& report);

}  // namespace posthorn::inquiry
