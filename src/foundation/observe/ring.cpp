#include "observe/ring.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

namespace posthorn::observe {

namespace {

constexpr std::size_t head_octets = 16;
/// A bound is kept up to one part of so many.
constexpr std::uint64_t parts = 8;

std::uint32_t checksum(std::string_view octets)
{
    std::uint32_t sum = 2166136261U;                                // FNV-1a: against what a kill left half-written, not against anybody
    for (const char octet : octets)
        sum = (sum ^ static_cast<unsigned char>(octet)) * 16777619U;
    return sum;
}

template <class Number>
void put(std::string& out, Number number)
{
    for (std::size_t at = 0; at < sizeof number; ++at)
        out += static_cast<char>(number >> (8 * at) & 0xff);
}

template <class Number>
Number take(std::string_view octets)
{
    Number number = 0;
    for (std::size_t at = 0; at < sizeof number; ++at)
        number |= static_cast<Number>(static_cast<unsigned char>(octets[at])) << (8 * at);
    return number;
}

std::string frame_of(WallTime when, std::string_view record)
{
    std::string timed;
    timed.reserve(8 + record.size());
    put(timed, static_cast<std::uint64_t>(when.time_since_epoch().count()));
    timed += record;
    std::string frame;
    frame.reserve(head_octets + record.size());
    put(frame, static_cast<std::uint32_t>(record.size()));
    put(frame, checksum(timed));
    return frame += timed;
}

struct Named {
    std::uint64_t number;
    std::string path;
};

Result<std::vector<Named>> segments_of(const std::string& folder, const std::string& name)
{
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
    if (!open)
        return errno == ENOENT ? Result<std::vector<Named>>(std::vector<Named>{}) : system_error("open " + folder, errno);
    std::vector<Named> found;
    while (const dirent* const entry = ::readdir(open.get())) {
        const std::string_view file = entry->d_name;
        if (!file.starts_with(name) || file.size() <= name.size() || file[name.size()] != '.')
            continue;
        if (const auto number = parse_number(file.substr(name.size() + 1)))
            found.push_back({*number, folder + "/" + std::string(file)});
    }
    std::ranges::sort(found, {}, &Named::number);
    return found;
}

/// The frames that are whole.
Result<void> read_segment(const std::string& path, const std::function<void(WallTime, std::string_view)>& take_record)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return errno == ENOENT ? Result<void>{} : system_error("open " + path, errno);  // it went meanwhile
    std::string octets;
    char piece[65536];
    for (ssize_t got; (got = ::read(file.get(), piece, sizeof piece)) != 0;) {
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return system_error("read " + path, errno);
        }
        octets.append(piece, static_cast<std::size_t>(got));
    }
    for (std::string_view rest = octets; rest.size() >= head_octets;) {
        const auto size = take<std::uint32_t>(rest);
        const auto sum = take<std::uint32_t>(rest.substr(4));
        if (size > ring_record_octets || rest.size() - head_octets < size || checksum(rest.substr(8, 8 + size)) != sum)
            break;
        take_record(WallTime{std::chrono::microseconds{static_cast<std::int64_t>(take<std::uint64_t>(rest.substr(8)))}},
                    rest.substr(head_octets, size));
        rest.remove_prefix(head_octets + size);
    }
    return {};
}

}  // namespace

Result<Ring> Ring::open(std::string folder, std::string name, RingLimits limits)
{
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return system_error("make " + folder, errno);
    Ring ring(std::move(folder), std::move(name), limits);
    TRY(const auto found, segments_of(ring.folder_, ring.name_));
    for (const Named& named : found) {
        Segment segment{.path = named.path, .number = named.number};
        TRY_VOID(read_segment(named.path, [&](WallTime when, std::string_view record) {
            segment.first = segment.records == 0 ? when : segment.first;
            segment.last = when;
            ++segment.records;
            segment.octets += head_octets + record.size();
        }));
        struct ::stat status{};
        if (::stat(named.path.c_str(), &status) == 0)
            segment.octets = std::max(segment.octets, static_cast<std::uint64_t>(status.st_size));
        ring.segments_.push_back(std::move(segment));
    }
    return ring;
}

std::uint64_t Ring::octets() const
{
    std::uint64_t all = 0;
    for (const Segment& segment : segments_)
        all += segment.octets;
    return all;
}

void Ring::drop_oldest()
{
    ::unlink(segments_.front().path.c_str());
    segments_.pop_front();
    if (segments_.empty())
        file_.reset();
}

void Ring::prune(WallTime now)
{
    const auto too_many = [&] {
        std::uint64_t records = 0;
        for (const Segment& segment : segments_)
            records += segment.records;
        return limits_.records != 0 && records - segments_.front().records >= limits_.records;
    };
    while (!segments_.empty() && (segments_.front().last + limits_.age <= now || octets() > limits_.octets || too_many()))
        drop_oldest();
}

Result<void> Ring::begin_segment(WallTime now)
{
    const std::uint64_t number = segments_.empty() ? 1 : segments_.back().number + 1;
    Segment segment{.path = fmt::format("{}/{}.{:010}", folder_, name_, number), .number = number, .first = now, .last = now};
    file_ = Fd(::open(segment.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
    if (!file_)
        return system_error("make " + segment.path, errno);
    segments_.push_back(std::move(segment));
    return {};
}

Result<void> Ring::append(WallTime now, std::string_view record)
{
    const std::string frame = frame_of(now, record);
    if (record.size() > ring_record_octets || frame.size() > limits_.octets)
        return Error{"a record larger than its ring", "4.3.1"};
    const auto full = [&](const Segment& segment) {
        return segment.octets + frame.size() > limits_.octets / parts || segment.first + limits_.age / static_cast<long>(parts) <= now ||
               (limits_.records != 0 && segment.records >= std::max<std::uint64_t>(1, limits_.records / parts));
    };
    if (!file_ || (segments_.back().records != 0 && full(segments_.back())))
        TRY_VOID(begin_segment(now));
    Segment& segment = segments_.back();
    const ssize_t put = ::write(file_.get(), frame.data(), frame.size());
    if (put != static_cast<ssize_t>(frame.size())) {
        const int why = put < 0 ? errno : ENOSPC;
        if (put > 0 && ::ftruncate(file_.get(), static_cast<off_t>(segment.octets)) != 0)
            file_.reset();                                          // its end is not to be trusted: the next one begins anew
        return system_error("write " + segment.path, why);
    }
    segment.octets += frame.size();
    segment.last = now;
    ++segment.records;
    prune(now);
    return {};
}

Result<void> read_ring(const std::string& folder, const std::string& name, const std::function<void(WallTime, std::string_view)>& take_record)
{
    TRY(const auto found, segments_of(folder, name));
    for (const Named& named : found)
        TRY_VOID(read_segment(named.path, take_record));
    return {};
}

}  // namespace posthorn::observe
