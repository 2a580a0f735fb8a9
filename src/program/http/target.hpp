// http/target.hpp: what a request asks for: the path in pieces and the query, decoded.                                        RFC 3986, RFC 9112 3.2.1
// Shape    "/api/queue/4gDq8v1Yc0z3D?limit=10": path {"api", "queue", "4gDq8v1Yc0z3D"}, query {limit: 10}. %2F within a piece stays in it, "+" in a
//          query is a blank. "/" has no pieces.
// Trust    none. Errors: what is no absolute path, a broken or a zero octet escape, control characters, an empty or dot piece, a word twice.
// Pure.
#pragma once

#include "base/error.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::http {

struct Target {
    std::vector<std::string> path;
    std::map<std::string, std::string, std::less<>> query;

    std::optional<std::string> word(std::string_view name) const;
};

Result<Target> parse_target(std::string_view text);

/// A piece of a path, for a link.
std::string escaped(std::string_view piece);

}  // namespace posthorn::http
