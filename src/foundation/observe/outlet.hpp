// observe/outlet.hpp: lines in batches, and the descriptor where they go. For the sinks and the collector.
// Stalled  a syslogd, or the reader of a pipe, that takes nothing for the patience loses lines, which are counted, and said when it takes some again.
#pragma once

#include "base/fd.hpp"
#include "observe/log.hpp"

#include <chrono>
#include <cstddef>
#include <ctime>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::observe {

inline constexpr std::chrono::milliseconds reader_patience{2000};

/// How a line is written: "Nov 21 09:00:00 host tag: line" (maillog_file, standard output), or a datagram in RFC 3164 form, facility mail, as
/// syslog(3) sends it. record: as it is, and where it cannot be put out whole, not at all.
enum class LogForm { file, syslog, record };

/// Lines on their way, their texts one behind the other: what is said costs no allocation of its own.
class Batch {
public:
    struct Line {
        Level level;
        time_t when;
        std::string_view text;  // "tag: line"
    };
    void add(Level level, time_t when, std::string_view text)
    {
        text_.append(text);
        entries_.push_back({level, when, text_.size()});
    }
    void add(Level level, time_t when, std::string_view tag, std::string_view line)
    {
        text_.append(tag).append(": ");
        add(level, when, line);
    }
    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    Line operator[](std::size_t index) const
    {
        const Entry& entry = entries_[index];
        const std::size_t begin = index == 0 ? 0 : entries_[index - 1].end;
        return {entry.level, entry.when, std::string_view(text_).substr(begin, entry.end - begin)};
    }
    void clear()
    {
        if (text_.capacity() > keep_octets)
            text_ = {};
        text_.clear();
        entries_.clear();
    }

private:
    static constexpr std::size_t keep_octets = 256 * 1024;
    struct Entry {
        Level level;
        time_t when;
        std::size_t end;
    };
    std::string text_;
    std::vector<Entry> entries_;
};

/// Blocks, no longer than the patience for each thing it puts out: for a thread of its own. An empty descriptor loses lines.
class Outlet {
public:
    Outlet(Fd descriptor, LogForm form, std::chrono::milliseconds patience);
    void put_out(const Batch& batch);
    /// From any thread: another descriptor from now on (rotation, a restarted syslogd).
    void replace(Fd descriptor, LogForm form);
    /// Records that could not be put out, since this was asked last: where they stand nothing can be said of it. Those that nobody wanted, for want
    /// of a descriptor, are not counted.
    std::size_t take_lost_records();

private:
    bool say_lost(const Batch::Line& first);
    bool put(const Batch::Line& line);
    bool put(std::string text);
    void put_records(const Batch& batch);
    std::string file_text(const Batch& batch) const;

    const std::chrono::milliseconds patience_;
    std::mutex replacing_;
    Fd descriptor_;
    LogForm form_;
    std::size_t lost_ = 0;
    bool cut_ = false;
    const std::string host_;
};

/// A datagram socket connected to syslogd; empty where nobody listens.
Fd connect_syslog(const std::string& path = "/dev/log");

}  // namespace posthorn::observe
