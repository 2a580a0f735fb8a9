// tables/sockets.hpp: tables that a server answers for, one question and one answer at a time.
// tcp        "tcp:host:port": "get KEY" in %XX form, answered by 200 VALUE, 500 (not there), 400 (try later).       tcp_table(5)
// socketmap  "socketmap:inet:host:port:NAME", "...:unix:/path:NAME": netstrings "NAME KEY"; OK, NOTFOUND, TEMP, TIMEOUT, PERM. socketmap_table(5)
// Both get whole keys only: pieces of an address are not asked.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_tcp(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_socketmap(std::string spec, std::string name, Flags flags, Tables& tables);

/// The answers as values, for tests and fuzzers. `reply`: one line with its line end; one netstring.
Answer tcp_answer(std::string_view reply);
Answer socketmap_answer(std::string_view reply);
/// Octets of the netstring at the front; 0: not whole yet.
Result<std::size_t> measure_netstring(std::string_view octets, std::size_t most);

}  // namespace posthorn::tables
