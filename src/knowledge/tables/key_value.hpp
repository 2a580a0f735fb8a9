// tables/key_value.hpp: servers of keys and values, asked without a library.
// memcache  "get KEY"; with `backup` another table is asked for what is not there, and the answer put there.     memcache_table(5)
// redis     "GET KEY", or with `hash` "HGET HASH KEY"; our own kind. Parameters of its file: server (inet:localhost:6379), username, password,
//           database (0), key_format (%s), hash, result_format, domain, expansion_limit, timeout (2 s).          RESP2
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_memcache(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_redis(std::string spec, std::string name, Flags flags, Tables& tables);

/// Octets of the answer to one "get" at the front; 0: not whole yet. `most`: octets of the value, of a line.
Result<std::size_t> measure_memcache(std::string_view octets, std::size_t most_data, std::size_t most_line);
Answer memcache_answer(std::string_view reply);
/// One RESP2 value that is no array.
Result<std::size_t> measure_redis(std::string_view octets, std::size_t most);
Answer redis_answer(std::string_view reply);
/// The first line, without its end.
inline std::string_view line_of(std::string_view octets) { return octets.substr(0, octets.find("\r\n")); }

}  // namespace posthorn::tables
