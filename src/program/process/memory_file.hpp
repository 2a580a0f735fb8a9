// process/memory_file.hpp: bytes as a sealed memfd, which a child or another process can read but nobody can change.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <string>
#include <string_view>

namespace posthorn::process {

Result<Fd> make_memory_file(const char* name, std::string_view octets);
/// The whole of it, from the beginning, whatever its position is. Error: not sealed, or larger than 64 MiB.
Result<std::string> read_memory_file(const Fd& file);

}  // namespace posthorn::process
