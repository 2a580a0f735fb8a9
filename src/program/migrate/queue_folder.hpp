// migrate/queue_folder.hpp: the folders of another system's queue (Postfix's, with their hash), and durable links and renames in them.
#pragma once

#include "base/error.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::migrate {

/// A queue file's place: "deferred/A/A12..." below the queue directory.
struct Found {
    std::string queue, name, path;        // "deferred", "A12...", the whole path
};

/// Regular files of one queue and the folders of its hash, sorted by name. An absent folder has none.
Result<std::vector<Found>> files_of_queue(const std::string& queue_directory, const std::string& queue);

struct FileRead {
    std::string octets;
    struct stat about{};
};
/// A regular file, as it is now; no link is followed, and what somebody put in its place holds up nothing.
/// Error: not a regular file; cannot be read; larger than `most`, which leaves room for any message.
Result<FileRead> read_regular_file(const std::string& path, std::uint64_t most = std::uint64_t{2} << 30);

/// All of the octets, to an open file; `path` is for the error.
Result<void> write_all(int file, std::string_view octets, const std::string& path);
Result<void> make_folder(const std::string& path);
/// What was linked, renamed or removed in it is so after a power loss.
Result<void> sync_folder(const std::string& path);

}  // namespace posthorn::migrate
