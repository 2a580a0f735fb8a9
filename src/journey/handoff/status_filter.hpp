// handoff/status_filter.hpp: default_delivery_status_filter and its kin. Pure.                         postconf(5)
// Asked     with "5.1.1 text", once per recipient, when its end is known. The result has the same form.
// Rule      success stays success and failure stays failure; 4 and 5 may change places. What does not fit is refused, and the end
//           stays as it was.
#pragma once

#include "base/error.hpp"

#include <string>
#include <string_view>

namespace posthorn::handoff {

struct StatusText {
    StatusText(std::string_view code, std::string_view words) : status(code), text(words) {}
    std::string status, text;
};

/// `status`: the one that is to be replaced.
Result<StatusText> replaced_by(std::string_view status, std::string_view result);

}  // namespace posthorn::handoff
