// send/lookup.hpp: what send asks of tables that it does not know.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "handoff/words.pb.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

/// A parameter's tables, asked with one key. None: not there. An Error: try later.
class Lookup {
public:
    virtual ~Lookup() = default;
    virtual awaitable<Result<std::optional<std::string>>> find(std::string key) = 0;
};

/// What is said of a message instead of what its envelope and header have.
struct Edited {
    std::string sender;
    std::vector<std::string> recipients;  // in the envelope's order
    std::optional<std::string> head;      // none: as it is
};

/// Changes what goes out.
class Editor {
public:
    virtual ~Editor() = default;
    /// `head`: the header with its empty line; empty: no content will be said. An Error: try later.
    virtual awaitable<Result<Edited>> edit(const handoff::Envelope& envelope, std::string head) = 0;
    /// Does it want to see the body behind this header (as it was stored)?
    virtual bool wants_body(std::string_view) const { return false; }
    /// The whole body; none: as it is.
    virtual awaitable<Result<std::optional<std::string>>> edit_body(const handoff::Envelope&, std::string, std::string) { co_return std::nullopt; }
};

}  // namespace posthorn::send
