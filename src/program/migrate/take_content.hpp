// migrate/take_content.hpp: what reads a message of another system gives its content away in pieces, in order, with CRLF line ends.
#pragma once

#include "base/error.hpp"

#include <functional>
#include <string_view>

namespace posthorn::migrate {

/// An Error of its own ends the reading.
using TakeContent = std::function<Result<void>(std::string_view octets)>;

}  // namespace posthorn::migrate
