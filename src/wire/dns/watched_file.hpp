// dns/watched_file.hpp: a small text file of the system that is read again when it changed.
// Looked at once a second at most. One that is gone or cannot be read (chroot) counts as what it was.
#pragma once

#include "base/clock.hpp"

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace posthorn::dns {

class WatchedFile {
public:
    WatchedFile(const Clock& clock, std::string path) : clock_(clock), path_(std::move(path)) {}
    /// The file, from its beginning, where it is another than at the last call that gave it.
    std::optional<std::ifstream> changed();
    /// Has it been there, readable?
    bool seen() const { return stamp_.has_value(); }

private:
    using Stamp = std::array<std::int64_t, 4>;           // time, size and inode: two writes may have one time
    const Clock& clock_;
    std::string path_;
    SteadyTime looked_{};
    std::optional<Stamp> stamp_;
};

}  // namespace posthorn::dns
