#include "services/record_tail.hpp"

#include "base/strings.hpp"
#include "observe/recorder.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

namespace posthorn::services {

namespace {

constexpr std::size_t read_at_once = 512 * 1024;
static_assert(read_at_once > 2 * observe::record_octets);

std::uint32_t sum_of(std::string_view text)
{
    std::uint32_t sum = 2166136261U;                                       // FNV-1a: against what was cut off, not against liars
    for (const char c : text)
        sum = (sum ^ static_cast<unsigned char>(c)) * 16777619U;
    return sum;
}

bool is_same_file(const RecordPosition& a, const RecordPosition& b) { return a.device == b.device && a.inode == b.inode; }

}  // namespace

RecordLines record_lines(std::string_view octets, std::size_t most)
{
    RecordLines lines;
    while (lines.records.size() < most) {
        const auto end = octets.find('\n', lines.taken);
        if (end == octets.npos)
            break;
        const std::string_view line = octets.substr(lines.taken, end - lines.taken);
        if (line.size() <= observe::record_octets && observe::fit_for_record(line))
            lines.records.push_back(line);
        else if (!line.empty())
            ++lines.passed_over;
        lines.taken = end + 1;
    }
    // What is longer than any record is none, wherever it ends.
    if (lines.records.empty() && octets.size() - lines.taken > observe::record_octets) {
        ++lines.passed_over;
        lines.taken = octets.size();
    }
    return lines;
}

std::string position_text(const RecordPosition& position, std::uint64_t number)
{
    std::string text = fmt::format("records 1 {} {} {} {}", number, position.device, position.inode, position.offset);
    text += fmt::format(" {:08x}\n", sum_of(text));
    return text;
}

std::optional<std::pair<RecordPosition, std::uint64_t>> read_position(std::string_view place)
{
    const auto end = place.find('\n');
    if (end == place.npos)
        return std::nullopt;
    const auto words = split(place.substr(0, end), " ");
    if (words.size() != 7 || words[0] != "records" || words[1] != "1")
        return std::nullopt;
    std::array<std::uint64_t, 4> numbers{};
    for (std::size_t at = 0; at < numbers.size(); ++at) {
        const std::string_view word = words[at + 2];
        if (std::from_chars(word.data(), word.data() + word.size(), numbers[at]).ptr != word.data() + word.size())
            return std::nullopt;
    }
    const RecordPosition position{numbers[1], numbers[2], numbers[3]};
#ifndef POSTHORN_PLANT_BUG_record_tail  // the checksum is not looked at (scripts/fuzz-planted)
    if (position_text(position, numbers[0]) != place.substr(0, end + 1))
        return std::nullopt;
#endif
    return std::pair(position, numbers[0]);
}

Result<PositionFile> PositionFile::open(const std::string& path, std::optional<std::uint32_t> owner)
{
    PositionFile made;
    made.file_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    made.synced_ = Fd(::open(path.c_str(), O_RDWR | O_DSYNC | O_CLOEXEC | O_NOFOLLOW));
    if (!made.file_ || !made.synced_)
        return system_error("open " + path, errno);
    if (owner && ::geteuid() == 0 && ::fchown(made.file_.get(), *owner, static_cast<gid_t>(-1)) != 0)
        return system_error("chown " + path, errno);
    return made;
}

bool PositionFile::acquire()
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return ::fcntl(file_.get(), F_OFD_SETLK, &lock) == 0;
}

RecordPosition PositionFile::load()
{
    RecordPosition found;
    number_ = 0;
    for (std::size_t at = 0; at < 2; ++at) {
        std::array<char, place_octets> place{};
        const ssize_t got = ::pread(file_.get(), place.data(), place.size(), static_cast<off_t>(at * place_octets));
        if (got <= 0)
            continue;
        if (const auto read = read_position({place.data(), static_cast<std::size_t>(got)}); read && read->second > number_)
            std::tie(found, number_) = *read;
    }
    return found;
}

Result<void> PositionFile::keep(const RecordPosition& position, bool sync)
{
    std::string text = position_text(position, ++number_);
    text.resize(place_octets, ' ');
    const off_t at = static_cast<off_t>(number_ % 2 * place_octets);
    if (::pwrite((sync ? synced_ : file_).get(), text.data(), text.size(), at) != static_cast<ssize_t>(text.size()))
        return system_error("keep the position in the record file", errno);
    return {};
}

std::optional<RecordTail::File> RecordTail::look_at(const std::string& path) const
{
    struct stat facts{};
    if (::stat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode))
        return std::nullopt;
    return File{
        path, {facts.st_dev, facts.st_ino, static_cast<std::uint64_t>(facts.st_size)}, facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
}

/// Oldest first. What was compressed is no file of records any more.
std::vector<RecordTail::File> RecordTail::rotated() const
{
    namespace fs = std::filesystem;
    std::vector<File> found;
    const fs::path path(path_);
    const std::string start = path.filename().string() + ".";
    std::error_code trouble;
    for (fs::directory_iterator entry(path.parent_path(), trouble), end; !trouble && entry != end; entry.increment(trouble)) {
        const std::string name = entry->path().filename().string();
        const bool packed =
            std::ranges::any_of(std::array{".gz", ".bz2", ".xz", ".zst", ".lz4"}, [&](const char* ending) { return name.ends_with(ending); });
        if (name.starts_with(start) && !packed)
            if (auto file = look_at(entry->path().string()))
                found.push_back(*std::move(file));
    }
    std::ranges::sort(found, {}, [](const File& file) { return std::pair(file.changed, file.path); });
    return found;
}

Result<void> RecordTail::take(const File& file, std::uint64_t offset)
{
    Fd opened(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened)
        return system_error("open " + file.path, errno);
    struct stat facts{};
    if (::fstat(opened.get(), &facts) != 0)
        return system_error(file.path, errno);
    file_ = std::move(opened);
    position_ = {facts.st_dev, facts.st_ino, offset};                      // as it is now: it may have been renamed since it was looked at
    resting_since_.reset();
    return {};
}

/// Where the position was left, or at the beginning of the file that there is.
Result<void> RecordTail::open()
{
    const auto current = look_at(path_);
    if (position_.known()) {
        if (current && is_same_file(current->at, position_))
            return take(*current, position_.offset);
        const auto files = rotated();
        const auto found = std::ranges::find_if(files, [&](const File& file) { return is_same_file(file.at, position_); });
        if (found != files.end())
            return take(*found, position_.offset);
        if (!current)
            return system_error(path_, ENOENT);
        remarks_.push_back("the file with the records that were to be next is gone: what it had beyond is lost");
        return take(*current, 0);
    }
    if (!current)
        return system_error(path_, ENOENT);
    return take(*current, 0);
}

/// From a file that is read, and has another name now, to the next. False: it is not time yet.
Result<bool> RecordTail::go_on()
{
    const auto current = look_at(path_);
    if (!current || is_same_file(current->at, position_)) {
        resting_since_.reset();
        return false;
    }
    if (!resting_since_)
        resting_since_ = clock_.steady();
    if (clock_.steady() - *resting_since_ < rest_time)
        return false;
    struct stat ours{};
    if (::fstat(file_.get(), &ours) != 0)
        return system_error(path_, errno);
    if (static_cast<std::uint64_t>(ours.st_size) > position_.offset)
        remarks_.push_back("half a record at the end of a file was passed over");
    const std::int64_t changed = ours.st_mtim.tv_sec * 1'000'000'000 + ours.st_mtim.tv_nsec;
    for (const File& file : rotated())
        if (!is_same_file(file.at, position_) && file.changed > changed) {
            TRY_VOID(take(file, 0));
            return true;
        }
    TRY_VOID(take(*current, 0));
    return true;
}

Result<std::vector<std::string_view>> RecordTail::next(std::size_t most)
{
    if (!file_)
        TRY_VOID(open());
    for (;;) {
        octets_.resize(read_at_once);
        const ssize_t got = ::pread(file_.get(), octets_.data(), octets_.size(), static_cast<off_t>(position_.offset));
        if (got < 0)
            return system_error("read " + path_, errno);
        octets_.resize(static_cast<std::size_t>(got));
        RecordLines lines = record_lines(octets_, most);
        taken_ = lines.taken;
        passed_over_ = lines.passed_over;
        if (!lines.records.empty())
            return std::move(lines.records);
        if (lines.taken != 0) {
            advance();
            continue;
        }
        struct stat facts{};
        if (::fstat(file_.get(), &facts) == 0 && static_cast<std::uint64_t>(facts.st_size) < position_.offset) {
            remarks_.push_back("the file is shorter than what was read of it: it is read from its beginning");
            position_.offset = 0;
            continue;
        }
        TRY(const bool another, go_on());
        if (!another)
            return std::vector<std::string_view>();
    }
}

void RecordTail::advance()
{
    position_.offset += std::exchange(taken_, 0);
    if (const std::size_t lines = std::exchange(passed_over_, 0); lines != 0)
        remarks_.push_back(fmt::format("{} lines that are no records were passed over", lines));
    resting_since_.reset();
}

std::uint64_t RecordTail::behind() const
{
    struct stat facts{};
    if (!file_ || ::fstat(file_.get(), &facts) != 0)
        return 0;
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    std::uint64_t octets = size - std::min(size, position_.offset);
    const auto current = look_at(path_);
    if (!current || is_same_file(current->at, position_))
        return octets;
    const std::int64_t changed = facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec;
    for (const File& file : rotated())
        if (file.changed > changed && !is_same_file(file.at, position_))
            octets += file.at.offset;
    return octets + current->at.offset;
}

}  // namespace posthorn::services
