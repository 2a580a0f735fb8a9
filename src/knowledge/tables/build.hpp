// tables/build.hpp: the writers behind postmap.                              postmap(1)
// Shape    changes are gathered and take effect together at commit(): a new file replaces the old one by rename, an
//          incremental change is one transaction in place. Who reads meanwhile sees the old state or the new one.
// Errors   nothing is changed on disk.
#pragma once

#include "base/error.hpp"

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tables {

struct BuildOptions {
    bool incremental = false;             // postmap -i, -d: into the file that is there
    enum class Duplicate { warn, ignore, replace } duplicate = Duplicate::warn;      // (none) -w -r
    enum class Nul { native, with, without } nul = Nul::native;                      // (none) -N -n
    ::mode_t mode = 0644;
    ::uid_t owner = static_cast<::uid_t>(-1);      // -1: as created
    ::gid_t group = static_cast<::gid_t>(-1);
    std::uint64_t map_size = 16 << 20;    // lmdb_map_size; doubled until the content fits
};

class Builder {
public:
    virtual ~Builder() = default;
    virtual void put(std::string_view key, std::string_view value) = 0;
    virtual void erase(std::string_view key) = 0;
    struct Done {
        std::vector<std::string> duplicates;       // keys, in order
        std::string name;                          // what a warning about one names, where it is not "type:name"
        std::size_t erased = 0;
    };
    virtual Result<Done> commit() = 0;
};

/// "lmdb:name", "hash:name". An Error for kinds that have no builder: "unsupported dictionary type: texthash does not support bulk-mode creation."
Result<std::unique_ptr<Builder>> build(std::string_view type, const std::string& name, const BuildOptions& options);

}  // namespace posthorn::tables
