// whatif/changes.hpp: what differs between two configuration directories, of which one is a changed copy of the other.
// Shape    parameters as `postconf -n` has them, lines of master.cf, files beside them; the directory's own path counts as $config_directory in both.
// Remarks  what makes the answers other than somebody expects: a table that is read in the old directory, an index older than its source, a table that does
//          not open. Errors: none; a file that cannot be read is a remark.
#pragma once

#include "migrate/survey.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::whatif {

struct Change {
    std::string name;  // the parameter, "smtp/inet", the file
    std::optional<std::string> before, after;  // what is written; of a file: what is to be said of it
};

struct Changes {
    std::vector<Change> parameters, services, files;  // each in the order of its names
    std::vector<std::string> remarks;
};

Changes changes_between(const migrate::Survey& now, const migrate::Survey& next);

}  // namespace posthorn::whatif
