#include "observe/log_collector.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace posthorn::observe {

namespace {

using Steady = std::chrono::steady_clock;

std::int64_t nanoseconds(auto time) { return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count(); }

/// Nearly every line is written in less; who is not has lost the processor.
constexpr int looks_at_writer = 100;

}  // namespace

LogCollector::LogCollector(Fd target, LogForm form, std::chrono::milliseconds patience)
    : outlet_(std::move(target), form, patience), records_({}, LogForm::record, patience), bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (!bell_)
        throw std::system_error(errno, std::generic_category(), "eventfd");
    thread_ = std::thread([this] { run(); });
}

LogCollector::~LogCollector()
{
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    (void)::eventfd_write(bell_.get(), 1);
    thread_.join();
}

Fd LogCollector::bell() const { return Fd(::fcntl(bell_.get(), F_DUPFD_CLOEXEC, 3)); }

Result<LogCollector::Ring> LogCollector::ring()
{
    TRY(Fd memory, make_log_ring());
    TRY(auto mapped, map_log_ring(memory));
    const std::lock_guard guard(mutex_);
    sources_.emplace_back(std::move(mapped), ++rings_);
    sources_.back().reader.ask_for_bell();
    return Ring{std::move(memory), rings_};
}

std::shared_ptr<RingSink> LogCollector::own()
{
    const auto made = ring();
    auto mapped = made ? map_log_ring(made->memory) : Result<MappedRing>(made.error());
    return std::make_shared<RingSink>(mapped ? *std::move(mapped) : MappedRing(), bell());
}

void LogCollector::forget(std::uint64_t number)
{
    const std::lock_guard guard(mutex_);
    for (Source& source : sources_)
        if (source.number == number)
            source.gone = true;
    (void)::eventfd_write(bell_.get(), 1);
}

void LogCollector::run()
{
    ::prctl(PR_SET_NAME, "log", 0, 0, 0);                                 // its cost is counted apart
    for (;;) {
        wait_for_bell(std::chrono::milliseconds(-1));
        bool more = true;
        while (more) {
            wait_for_bell(gather_time);
            more = look();
        }
        const std::lock_guard guard(mutex_);
        if (stopping_ && lines_.empty())
            return;
    }
}

void LogCollector::wait_for_bell(std::chrono::milliseconds longest) const
{
    pollfd look{.fd = bell_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&look, 1, static_cast<int>(longest.count()));
    eventfd_t rung = 0;
    (void)::eventfd_read(bell_.get(), &rung);
}

/// True: it is to be looked again soon; false: the bell will ring.
bool LogCollector::look()
{
    std::unique_lock lock(mutex_);
    const auto now = Steady::now();
    const bool complete = all_quiet(now);
    for (Source& source : sources_)
        source.reader.take(complete_until_, lines_);
    std::erase_if(sources_, [](const Source& source) { return source.gone; });
    lock.unlock();

    if (complete)
        complete_until_ = nanoseconds(now);
    std::ranges::sort(lines_, {}, &RingReader::Line::order);
    const auto end = std::ranges::partition_point(lines_, [&](const RingReader::Line& line) { return line.stamp <= complete_until_; });
    const bool some = end != lines_.begin();
    const std::int64_t to_wall = nanoseconds(std::chrono::system_clock::now()) - nanoseconds(Steady::now());
    batch_.clear();
    record_batch_.clear();
    for (auto line = lines_.begin(); line != end; ++line)
        (line->record ? record_batch_ : batch_).add(line->level, static_cast<time_t>((line->stamp + to_wall) / 1'000'000'000), line->text);
    lines_.erase(lines_.begin(), end);
    put_out_records();
    outlet_.put_out(batch_);

    lock.lock();
    if (some || !lines_.empty())
        return true;
    bool more = false;
    for (Source& source : sources_) {
        source.reader.ask_for_bell();
        more = more || !source.reader.empty();
    }
    return more;
}

void LogCollector::put_out_records()
{
    records_.put_out(record_batch_);
    lost_records_ += records_.take_lost_records();
    const auto now = Steady::now();
    if (lost_records_ == 0 || now - told_ < tell_time)
        return;
    told_ = now;
    const std::size_t lost = std::exchange(lost_records_, 0);
    const std::lock_guard guard(mutex_);
    batch_.add(Level::warning, ::time(nullptr), tag_, fmt::format("warning: {} records were lost: record_file took no more", lost));
}

void LogCollector::replace_records(Fd target, std::string tag)
{
    {
        const std::lock_guard guard(mutex_);
        tag_ = std::move(tag);
    }
    records_.replace(std::move(target), LogForm::record);
}

/// After this, each ring has all that was stamped before `now`.
bool LogCollector::all_quiet(Steady::time_point now)
{
    bool all = true;
    for (Source& source : sources_) {
        bool quiet = source.reader.quiet();
        for (int looks = 0; !quiet && looks < looks_at_writer; ++looks) {
            std::this_thread::yield();
            quiet = source.reader.quiet();
        }
        if (quiet || source.gone)
            source.writing_since = {};
        else if (source.writing_since == Steady::time_point{})
            source.writing_since = now;
        all = all && (quiet || source.gone || now - source.writing_since > stuck_time);
    }
    return all;
}

}  // namespace posthorn::observe
