// migrate/queue_folder.hpp: the folders that both ways share: durable links and renames, and whose files are made.
#pragma once

#include "base/error.hpp"
#include "supervisor/layout.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace posthorn::migrate {

/// As long as it lives this thread makes and opens files as mail_owner: what the spool gets belongs to the queue manager. Threads that are started
/// meanwhile stay so. Does nothing without root.
class AsMailOwner {
public:
    explicit AsMailOwner(const supervisor::Identity& owner);
    AsMailOwner(AsMailOwner&&) = delete;
    ~AsMailOwner();

private:
    bool changed_;
};

/// A queue file's place: "deferred/A/A12..." below the queue directory.
struct Found {
    std::string queue, name, path;        // "deferred", "A12...", the whole path
};

/// Regular files of one queue and the folders of its hash, sorted by name. An absent folder has none.
Result<std::vector<Found>> files_of_queue(const std::string& queue_directory, const std::string& queue);

Result<void> make_folder(const std::string& path);
/// What was linked, renamed or removed in it is so after a power loss.
Result<void> sync_folder(const std::string& path);
/// Neither Postfix nor Posthorn may run on this queue. Error: which process does.
Result<void> must_be_stopped(const std::string& queue_directory);

}  // namespace posthorn::migrate
