// mailauth/hash_body.hpp: the hash of a body that lies elsewhere, in memory or in a file.                     RFC 6376 3.7
#pragma once

#include "async/async.hpp"
#include "mailauth/canonical.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace posthorn::mailauth {

/// Octets of a body from `offset`: `most` of them, fewer at the end, none behind it.
using ReadBody = std::function<awaitable<Result<std::string>>(std::uint64_t offset, std::size_t most)>;
/// Of a body that lies elsewhere, a block at a time. An Error: `read`'s.
awaitable<Result<std::string>> hash_body(ReadBody read, Canonical how);

}  // namespace posthorn::mailauth
