// tools/postconf_print.hpp: one parameter, or one line of master.cf, as postconf shows it.
// Text     "name = value", "service/type/name = value", with single blanks between words; folded: filled up to 80 columns, further
//          lines indented by four.
// JSON     (-j) {"name": ..., "value": ...} in one line, of master.cf with "service" and "type" in front; a line of master.cf has its
//          fields as members, under the names that -F takes. All values are strings: what the text shows.
#pragma once

#include <string>
#include <string_view>

#include "config/master_entry.hpp"
#include "tools/postconf_options.hpp"

namespace posthorn::tools {

struct PrintManner {
    bool names = true, values = true, fold = false, json = false;
};

/// -h, -H, -f, -j.
PrintManner manner_of(const PostconfOptions& options);

/// With a line end. `entry`: whose field or setting it is, where it is of master.cf.
std::string print_parameter(const config::MasterEntry* entry, std::string_view name, std::string_view value, PrintManner manner);

std::string print_entry(const config::MasterEntry& entry, PrintManner manner);

}  // namespace posthorn::tools
