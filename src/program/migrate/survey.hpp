// migrate/survey.hpp: a Postfix configuration as Posthorn would run it, judged without changing anything.
// Findings are what differs or fails here. Notes are what to know: nothing changes by moving in, but a default may not be the one of
// Debian's Postfix, or of the newest compatibility level.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::migrate {

struct Finding {
    enum class Kind { start, parameter, service, table, file, needs, level, version };
    Kind kind = Kind::start;
    std::string place;            // "/etc/postfix/main.cf, line 12"; empty: of the whole
    std::string subject;          // the parameter, "smtp/inet", "hash:/etc/aliases", the file
    std::string text;             // what is the matter, and what follows
    int line = 0;                 // of main.cf or master.cf; 0: none
    bool in_master_cf = false;
};

/// A table that the configuration names.
struct TableState {
    std::string spec;                          // "hash:/etc/aliases"
    std::vector<std::string> used_by;          // parameters
    std::optional<std::uint64_t> entries;      // rules of pattern tables; none: it cannot tell, or a server would have to be asked
    std::vector<std::string> transports;       // words before a colon in its values: services that mail may be sent to
    std::string trouble;                       // why it does not open; empty: it does
    std::vector<std::string> warnings;         // of its contents: "file, line N: ..."
};

struct Survey {
    std::string directory;
    config::Snapshot snapshot;
    std::vector<Finding> findings, notes;
    std::vector<TableState> tables;
    std::size_t parameters = 0, services = 0;  // written, of master.cf
    bool starts = true;                        // as it is
};

/// Error: main.cf or master.cf cannot be read at all. `copied`: the directory is a copy of another one, so that $config_directory is where it is now,
/// whatever its main.cf says.
Result<Survey> survey(const std::string& directory, bool copied = false);

std::string_view to_text(Finding::Kind kind);

}  // namespace posthorn::migrate
