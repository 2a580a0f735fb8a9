// migrate/new_folder.hpp: a directory that is there whole, or not at all: built beside, synced, renamed.
// Errors   it exists already; a file cannot be written; what is in it would not start. What was built is then removed.
#pragma once

#include "base/error.hpp"

#include <sys/stat.h>

#include <string>
#include <string_view>

namespace posthorn::migrate {

class NewFolder {
public:
    /// `to` may be relative to where the program is.
    explicit NewFolder(const std::string& to);
    NewFolder(NewFolder&&) = delete;
    ~NewFolder();

    /// Where it will be, and where it is built.
    const std::string& path() const { return to_; }
    const std::string& beside() const { return beside_; }
    /// Error: there is something of this name.
    Result<void> is_free() const;
    /// That a start would succeed with the configuration in it. `made_of`: for the error.
    Result<void> would_start(const std::string& made_of) const;
    /// The last step. Its folders are synced by who made them.
    Result<void> land();

private:
    std::string to_, beside_;
    bool landed_ = false;
};

/// A new file, synced. `like`: owner (where this is root), mode and times.
Result<void> write_new_file(const std::string& path, std::string_view octets, const struct stat& like);

}  // namespace posthorn::migrate
