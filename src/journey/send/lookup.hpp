// send/lookup.hpp: what send asks of tables that it does not know.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"

#include <optional>
#include <string>

namespace posthorn::send {

/// A parameter's tables, asked with one key. None: not there. An Error: try later.
class Lookup {
public:
    virtual ~Lookup() = default;
    virtual awaitable<Result<std::optional<std::string>>> find(std::string key) = 0;
};

}  // namespace posthorn::send
