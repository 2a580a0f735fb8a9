// tools/postconf_edit.hpp: postconf -e, -X, -#: changes main.cf (or, with -M -F -P, master.cf) in place. All or nothing.
#pragma once

#include <string>
#include <vector>

#include "tools/postconf_options.hpp"

namespace posthorn::tools {

/// Throws Failure; the file is unchanged then.
void edit_configuration(const PostconfOptions& options, const std::string& directory, std::vector<std::string>& warnings);

}  // namespace posthorn::tools
