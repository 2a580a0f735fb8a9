// tools/postconf_print.hpp: one parameter as postconf shows it.
#pragma once

#include <string>
#include <string_view>

namespace posthorn::tools {

struct PrintManner {
    bool names = true, values = true, fold = false;
};

/// "name = value" with single blanks between words; folded: filled up to 80 columns, further lines indented by four. With a line end.
std::string print_parameter(std::string_view name, std::string_view value, PrintManner manner);

}  // namespace posthorn::tools
