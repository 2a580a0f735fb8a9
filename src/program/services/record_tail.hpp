// services/record_tail.hpp: the record file (record_file) read as it grows, over rotation and restarts.
// Rotated  files have the record file's name, a dot and more. Their order is that of their last change: a rotated file is written to no more when the next one begins.
// Followed by inode, whatever its name has become; the next file begins where this one ends, a rest_time after it was seen under another name.
// Lines    each is one record. What is none (half of a line at the end of a file that is full, what others wrote there) is passed over, and counted.
// Errors   a file or folder that cannot be read: what the system says. The next call tries again.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::services {

/// How far the records have been read: octets of a file.
struct RecordPosition {
    std::uint64_t device = 0, inode = 0, offset = 0;
    bool known() const { return inode != 0; }
    bool operator==(const RecordPosition&) const = default;
};

/// Records at the beginning of `octets`: whole lines, at most `most` of them, without line ends. `taken`: octets of the lines that were looked at.
struct RecordLines {
    std::vector<std::string_view> records;
    std::size_t taken = 0, passed_over = 0;
};
RecordLines record_lines(std::string_view octets, std::size_t most);

/// The position on stable storage: two places in a small file, of which the older is written over, each with a checksum: whatever is cut off, the other is whole.
class PositionFile {
public:
    static constexpr std::size_t place_octets = 512;
    /// Makes it where there is none, for `owner` where we are root. Only one process has it at a time: an Error while another has.
    static Result<PositionFile> open(const std::string& path, std::optional<std::uint32_t> owner = {});
    /// Nobody else has it now. Asked until it is so, before anything else.
    bool acquire();
    /// Unknown: none was kept.
    RecordPosition load();
    /// Outlasts this process; with `sync`, the machine as well.
    Result<void> keep(const RecordPosition& position, bool sync);

private:
    Fd file_, synced_;
    std::uint64_t number_ = 0;
};
/// One place of it; none: it is not whole.
std::string position_text(const RecordPosition& position, std::uint64_t number);
std::optional<std::pair<RecordPosition, std::uint64_t>> read_position(std::string_view place);

class RecordTail {
public:
    static constexpr std::chrono::milliseconds rest_time{3000};
    RecordTail(std::string path, RecordPosition position, const Clock& clock) : path_(std::move(path)), position_(position), clock_(clock) {}

    /// Records from the position on; the position is behind them once advance() is called. None: there are none now.
    Result<std::vector<std::string_view>> next(std::size_t most);
    void advance();
    const RecordPosition& position() const { return position_; }
    /// What is not read yet, of this file and of those behind it.
    std::uint64_t behind() const;
    /// What is worth a warning since this was asked last: records that are lost because their file is gone, lines passed over.
    std::vector<std::string> take_remarks() { return std::exchange(remarks_, {}); }

private:
    struct File {
        std::string path;
        RecordPosition at;  // offset: its size
        std::int64_t changed = 0;
    };
    Result<void> open();
    Result<bool> go_on();
    Result<void> take(const File& file, std::uint64_t offset);
    std::optional<File> look_at(const std::string& path) const;
    std::vector<File> rotated() const;

    std::string path_;
    RecordPosition position_;
    const Clock& clock_;
    Fd file_;
    std::string octets_;
    std::size_t taken_ = 0, passed_over_ = 0;  // of octets_, by what next() gave
    std::optional<SteadyTime> resting_since_;
    std::vector<std::string> remarks_;
};

}  // namespace posthorn::services
