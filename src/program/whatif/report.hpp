// whatif/report.hpp: what would change, as text for people and as JSON for programs. Both have the same content: what differs between the directories, groups of
// answers that differ with samples, counts, what was not asked, and where the log has it otherwise.
#pragma once

#include "whatif/changes.hpp"
#include "whatif/comparison.hpp"

#include <string>
#include <vector>

namespace posthorn::whatif {

struct Report {
    std::string now, next;  // the directories
    Changes changes;
    Comparison comparison;
    std::vector<std::string> unread;  // logs that were not read, and why
};

/// Questions whose answers differ.
std::size_t differing_answers(const Report& report);

std::string as_text(const Report& report);
/// One object: now, then, parameters, services, files, remarks, asked, times, differ, differ_times, groups, otherwise_than_logged, not_asked, left_out, unread.
std::string as_json(const Report& report);

}  // namespace posthorn::whatif
