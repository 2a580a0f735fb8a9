// inquiry/configuration.hpp: the configuration that is in force, and what of the files is not yet: what the next reload would change.
// Compares  what is written, not what it comes to: a parameter that nobody touched is not named because one that it refers to was. Lines of
//           master.cf by their words: blanks and comments are no changes.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::inquiry {

struct InForce {
    config::Snapshot snapshot;
    std::vector<std::pair<std::string, std::string>> lines;      // of master.cf, in order: "smtp/inet", the entry in one line
    WallTime since{};                                            // the start, or the last reload
    unsigned generation = 1;                                     // how often it was loaded
};

/// Asked of posthorn-master. Error: the mail system is down (4.3.0), or what posthorn-master said.
Result<InForce> configuration_in_force(const config::Snapshot& snapshot);

struct Pending {
    std::string name;                                            // a parameter; of a line of master.cf "smtp/inet"
    std::optional<std::string> in_force, written;                // none: it is not set, there is no such line
    std::string place;                                           // of what is written: "/etc/postfix/main.cf, line 12"; empty: it is not
    bool is_line = false;                                        // of master.cf
};
/// Parameters by name, then lines of master.cf in the order of the file, those that are gone at the end.
std::vector<Pending> pending_changes(const InForce& in_force, const config::Snapshot& written, const config::MasterCf& master_cf);

/// For people: what was, what is written, where.
std::string pending_text(const std::vector<Pending>& changes);
/// One object: {"file": "main.cf", "name": ..., "in_force": ..., "written": ..., "place": ...}
std::string pending_json(const Pending& change);

}  // namespace posthorn::inquiry
