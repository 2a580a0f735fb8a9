// observe/sinks.hpp: where log lines go. Each sink owns one thread and a bounded queue; write() never blocks.
// Stalled  a syslogd, or the reader of a pipe, that takes nothing for reader_patience loses lines, which are counted: neither replace() nor the end
//          of a process waits for it for ever.
#pragma once

#include "base/fd.hpp"
#include "observe/log.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace posthorn::observe {

/// Lines that may wait for the thread; beyond it they are dropped, counted, and the count is logged.
inline constexpr std::size_t queue_lines = 65536;
inline constexpr std::chrono::milliseconds reader_patience{2000};

/// How a line is written: "Nov 21 09:00:00 host tag: line" (maillog_file, standard output), or a datagram in RFC 3164 form, facility mail, as
/// syslog(3) sends it.
enum class LogForm { file, syslog };
/// A log that somebody else opened: a confined service cannot. A full disk and a missing syslogd lose lines, which are counted: mail does not
/// stop for want of a log.
class DescriptorSink : public Sink {
public:
    /// Another descriptor from now on (rotation, a restarted syslogd). An empty one drops lines and counts them.
    virtual void replace(Fd descriptor, LogForm form) = 0;
    /// Lines that were lost for want of room, since the start.
    virtual std::uint64_t dropped() const = 0;
};
std::shared_ptr<DescriptorSink> descriptor_sink(Fd descriptor, LogForm form, std::chrono::milliseconds patience = reader_patience);

/// A datagram socket connected to syslogd; empty where nobody listens.
Fd connect_syslog(const std::string& path = "/dev/log");

}  // namespace posthorn::observe
