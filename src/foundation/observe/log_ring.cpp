#include "observe/log_ring.hpp"

#include "base/strings.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>

namespace posthorn::observe {

namespace {

constexpr std::size_t header_octets = 4096;
constexpr std::size_t room = ring_octets - header_octets;
constexpr std::size_t grain = 16;           // of a record, so that a header of one always fits before the end
constexpr std::uint32_t no_line = UINT32_MAX;               // the next one is at the beginning
constexpr std::uint32_t record_mark = 0x100;                // in a level: a record, not a line
/// An empty ring goes on at its beginning, where the memory has been used, once it is this far. Until its reader has seen that, this is
/// all the room there is: a reader that waits for a processor for a tenth of a second has to find all that was said.
constexpr std::size_t far_enough = 256 * 1024;
/// Records are five times what lines are, and come with them.
constexpr std::size_t far_enough_with_records = 1024 * 1024;
static_assert(room % grain == 0);

struct Entry {
    std::int64_t stamp;
    std::uint32_t length, level;
};
static_assert(sizeof(Entry) == grain);

std::size_t octets_of(std::size_t length) { return sizeof(Entry) + (length + grain - 1) / grain * grain; }

std::int64_t steady_nanoseconds()
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

struct LogRing {
    std::atomic<std::uint64_t> written;     // octets, skipped ones too
    alignas(64) std::atomic<std::uint64_t> taken;
    alignas(64) std::atomic<std::uint32_t> at_work;
    alignas(64) std::atomic<std::uint32_t> bell_wanted;
    alignas(64) std::atomic<std::uint32_t> has_records;     // the writer's own

    char* at(std::uint64_t octets) { return reinterpret_cast<char*>(this) + header_octets + octets % room; }
};
static_assert(sizeof(LogRing) <= header_octets && std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

MappedRing::~MappedRing()
{
    if (at_ != nullptr)
        ::munmap(at_, ring_octets);
}

Result<Fd> make_log_ring()
{
    Fd ring(::memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    // Its size is sealed: a reader whose memory shrank would die of it.
    if (!ring || ::ftruncate(ring.get(), ring_octets) != 0 || ::fcntl(ring.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return system_error("memory for log lines", errno);
    return ring;
}

Result<MappedRing> map_log_ring(const Fd& ring)
{
    struct stat facts{};
    if (::fstat(ring.get(), &facts) != 0 || facts.st_size != ring_octets)
        return Error{"memory for log lines: not a ring"};
    void* const memory = ::mmap(nullptr, ring_octets, PROT_READ | PROT_WRITE, MAP_SHARED, ring.get(), 0);
    if (memory == MAP_FAILED)
        return system_error("memory for log lines", errno);
    return MappedRing(std::launder(static_cast<LogRing*>(memory)));           // of zeros, as it is made
}

void RingSink::write(Level level, std::string_view tag, std::string_view line)
{
    const std::lock_guard guard(writing_);
    if (alone_) {
        Batch batch;
        batch.add(level, ::time(nullptr), tag, line);
        return alone_->put_out(batch);
    }
    if (!ring_) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    ring_->at_work.store(1);                                              // before the clock is looked at, on all processors
    const std::int64_t stamp = steady_nanoseconds();
    if (!say_dropped(stamp, tag) || !put(stamp, static_cast<std::uint32_t>(level), tag, line.substr(0, ring_line_octets))) {
        ++unsaid_;
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
    ring_bell();
}

void RingSink::record(std::string_view object)
{
    const std::lock_guard guard(writing_);
    const bool fit = object.size() <= record_octets && fit_for_record(object);
    if (fit && records_alone_) {
        Batch batch;
        batch.add(Level::info, 0, object);
        return records_alone_->put_out(batch);
    }
    bool taken = false;
    if (fit && ring_) {
        ring_->at_work.store(1);
        ring_->has_records.store(1, std::memory_order_relaxed);
        taken = put(steady_nanoseconds(), record_mark, {}, object);
        ring_bell();
    }
    if (!taken) {
        ++records_unsaid_;
        records_dropped_.fetch_add(1, std::memory_order_relaxed);
    }
}

/// What could not be taken before. False: there is no room for that either.
bool RingSink::say_dropped(std::int64_t stamp, std::string_view tag)
{
    const auto say = [&](std::uint64_t& unsaid, std::string_view what) {
        if (unsaid != 0 && !put(stamp, static_cast<std::uint32_t>(Level::warning), tag,
                                fmt::format("warning: {} {} were dropped: the log could not keep up", unsaid, what)))
            return false;
        unsaid = 0;
        return true;
    };
    return say(unsaid_, "log lines") && say(records_unsaid_, "records");
}

void RingSink::ring_bell()
{
    ring_->at_work.store(0);
    if (ring_->bell_wanted.exchange(0) != 0)
        (void)::eventfd_write(bell_.get(), 1);
}

void RingSink::reader_gone()
{
    const std::lock_guard guard(writing_);
    if (!target_)
        return;
    alone_.emplace(std::move(target_), form_, reader_patience);
    if (records_)
        records_alone_.emplace(std::move(records_), LogForm::record, reader_patience);
    if (!ring_)
        return;
    std::vector<RingReader::Line> lines;
    RingReader(std::move(ring_), true).take(0, lines);
    Batch batch, records;
    for (const RingReader::Line& line : lines)
        (line.record ? records : batch).add(line.level, ::time(nullptr), line.text);
    alone_->put_out(batch);
    if (records_alone_)
        records_alone_->put_out(records);
}

/// `tag` empty: `line` stands for itself.
bool RingSink::put(std::int64_t stamp, std::uint32_t level, std::string_view tag, std::string_view line)
{
    std::uint64_t at = ring_->written.load(std::memory_order_relaxed);
    const std::uint64_t taken = ring_->taken.load(std::memory_order_acquire);
    const std::string_view colon = tag.empty() ? "" : ": ";
    const std::size_t length = tag.size() + colon.size() + line.size(), octets = octets_of(length);
    const std::size_t to_end = room - at % room;
    const bool anew = taken == at && at % room >= (ring_->has_records.load(std::memory_order_relaxed) != 0 ? far_enough_with_records : far_enough);
    const std::size_t skipped = anew || octets > to_end ? to_end : 0;
    if (at - taken + skipped + octets > room)
        return false;
    if (skipped != 0) {
        const Entry skip{stamp, no_line, 0};
        std::memcpy(ring_->at(at), &skip, sizeof skip);
        at += skipped;
    }
    const Entry entry{stamp, static_cast<std::uint32_t>(length), level};
    char* to = ring_->at(at);
    std::memcpy(to, &entry, sizeof entry);
    to += sizeof entry;
    to = std::ranges::copy(tag, to).out;
    to = std::ranges::copy(colon, to).out;
    std::ranges::copy(line, to);
    ring_->written.store(at + octets);
    return true;
}

bool fit_for_record(std::string_view object)
{
    unsigned controls = 0, beyond_ascii = 0;                               // in one go: nearly every record is plain
    for (const char c : object) {
        const auto octet = static_cast<unsigned char>(c);
        controls |= static_cast<unsigned>(octet < ' ') | static_cast<unsigned>(octet == 127);
        beyond_ascii |= octet & 0x80U;
    }
    return object.size() > 2 && object.front() == '{' && object.back() == '}' && controls == 0 && (beyond_ascii == 0 || is_valid_utf8(object));
}

RingReader::RingReader(MappedRing ring, bool go_on) : ring_(std::move(ring)), taken_(go_on ? ring_->taken.load() : 0) {}

bool RingReader::quiet() const { return ring_->at_work.load() == 0; }

bool RingReader::empty() const { return ring_->written.load() == taken_; }

void RingReader::ask_for_bell() { ring_->bell_wanted.store(1); }

void RingReader::take(std::int64_t from, std::vector<Line>& lines)
{
    const std::uint64_t written = ring_->written.load();
    const std::int64_t now = std::max(from, steady_nanoseconds());         // what was written until here has no later stamp
    bool whole = written >= taken_ && written - taken_ <= room && written % grain == 0;
    while (whole && taken_ != written) {
        Entry entry{};
        std::memcpy(&entry, ring_->at(taken_), sizeof entry);              // once: it may change under our eyes
        const std::size_t to_end = room - taken_ % room;
        const std::size_t octets = entry.length == no_line ? to_end : octets_of(entry.length);
        whole = octets <= to_end && octets <= written - taken_;
        if (!whole)
            break;
        if (entry.length != no_line) {
            Line line{.stamp = std::clamp(entry.stamp, from, now),
                      .place = taken_,
                      .level = static_cast<Level>(std::min(entry.level & ~record_mark, static_cast<std::uint32_t>(Level::panic))),
                      .text = std::string(ring_->at(taken_) + sizeof entry, entry.length),
                      .record = (entry.level & record_mark) != 0};
            if (!line.record)
                std::ranges::replace_if(line.text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }, '?');
            if (!line.record || fit_for_record(line.text))
                lines.push_back(std::move(line));
        }
        taken_ += octets;
    }
    if (!whole)
        taken_ = written / grain * grain;                                   // its writer is not to be trusted: what is there is no line
    ring_->taken.store(taken_, std::memory_order_release);
}

}  // namespace posthorn::observe
