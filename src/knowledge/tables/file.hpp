// tables/file.hpp: files behind tables, and noticing that they changed.
// Powers   services are confined; the master's broker opens root's files for them: it is a FileOpener.
// Change   a stamp is compared at most once a second, when somebody asks. A new version is read once it has been left alone
//          for a second (an editor may write in steps); big ones are parsed on a helper thread while the old one answers.
// Errors   a new version that cannot be read or parsed leaves the old one in force, with one warning.
// Limits   a text table has at most max_table_octets.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace posthorn::tables {

struct FileStamp {
    std::uint64_t device = 0, inode = 0, octets = 0;
    WallTime modified{};
    auto operator<=>(const FileStamp&) const = default;
};

inline constexpr std::uint64_t max_table_octets = 1ULL << 30;
inline constexpr std::chrono::milliseconds stamp_interval{1000};
/// Above this a new version is parsed on a helper thread.
inline constexpr std::uint64_t load_inline_octets = 256 * 1024;

class FileOpener {
public:
    virtual ~FileOpener() = default;
    /// Open for reading.
    virtual Result<Fd> open(const std::string& path) = 0;
    /// Cheap; asked about once a second for each table in use.
    virtual Result<FileStamp> stamp(const std::string& path) = 0;
};

class DirectOpener final : public FileOpener {
public:
    Result<Fd> open(const std::string& path) override;
    Result<FileStamp> stamp(const std::string& path) override;
};

/// The whole file, within max_table_octets. Whatever its offset is, which those who have copies of the descriptor share: two tables of one
/// file may be read at the same time.
Result<std::string> read_all(int fd);

/// An unnamed file with the same octets: /proc/self/fd/N is a name of it for libraries that want one.
Result<Fd> copy_in_memory(int fd);

}  // namespace posthorn::tables
