// tools/postconf_master.hpp: postconf -M, -F, -P: entries of master.cf, their fields, their own parameters.
// A request is "name", "name/type", and for a field or parameter "name/type/what"; "*" stands for all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/master_entry.hpp"
#include "tools/postconf_options.hpp"
#include "tools/postconf_parameters.hpp"

namespace posthorn::tools {

/// The entries of the file at `path`. Throws Failure naming file and line.
std::vector<config::MasterEntry> read_entries(const std::string& path, std::string_view text, std::vector<std::string>& warnings);

/// What goes to standard output. Throws Failure for a malformed request; one that nothing matches is a warning.
std::string list_master(const PostconfOptions& options, const std::vector<config::MasterEntry>& entries, const Parameters& parameters,
                        std::vector<std::string>& warnings);

/// The index of a field's name ("chroot"); throws Failure.
std::size_t field_index(std::string_view name);

}  // namespace posthorn::tools
