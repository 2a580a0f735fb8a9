// deliver/user_file.hpp: a file of a user's, .forward or :include:, read by a child that has become who may read it.
// Trust    none: a file that is none (a pipe, a device) is an error and is not waited for, of a large one targets_limit octets and a little more
//          are read.
// Packed   for the way back from the child. Not there: an empty optional.
#pragma once

#include "base/error.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::deliver {

struct ReadFile {
    std::string text;
    uid_t owner = 0;
    bool writable_by_others = false;
};
std::string pack_file(const std::string& path);
Result<std::optional<ReadFile>> unpack_file(std::string_view packed);

}  // namespace posthorn::deliver
