// observe/log.hpp: log lines.
// Shape    one line, no control characters (the sink replaces what is left of them). Levels print as Postfix prints them:
//          info without a word, "warning: ", "error: ", "fatal: ", "panic: " in front.
// Threads  write() may be called from any thread.
#pragma once

#include "observe/event.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::observe {

enum class Level { info, warning, error, fatal, panic };

class Sink {
public:
    virtual ~Sink() = default;
    /// `tag` is "postfix/smtpd[123]", `line` has its level word already. Does not block a service (log_ring.hpp).
    virtual void write(Level level, std::string_view tag, std::string_view line) = 0;
};

class Log {
public:
    /// `name`: syslog_name "/" service, as "postfix/smtp"; the process id is added.
    Log(std::shared_ptr<Sink> sink, std::string_view name);
    /// The same sink under another station's name: a process may speak as "postfix/cleanup" as well.
    Log as(std::string_view name) const { return Log(sink_, name); }

    void write(Level level, std::string_view text) const;
    template <class... Args>
    void info(fmt::format_string<Args...> format, Args&&... args) const
    {
        put(Level::info, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void warning(fmt::format_string<Args...> format, Args&&... args) const
    {
        put(Level::warning, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void error(fmt::format_string<Args...> format, Args&&... args) const
    {
        put(Level::error, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void fatal(fmt::format_string<Args...> format, Args&&... args) const
    {
        put(Level::fatal, format, fmt::make_format_args(args...));
    }
    /// An event with its named arguments: log.say(events::peer_hung_up, fmt::arg("peer", peer), ...).
    template <class... Args>
    void say(const Event& event, const Args&... args) const
    {
        write(event.level, fmt::vformat(event.text, fmt::make_format_args(args...)));
    }
    const std::shared_ptr<Sink>& sink() const { return sink_; }

private:
    void put(Level level, fmt::string_view format, fmt::format_args args) const;

    std::shared_ptr<Sink> sink_;
    std::string tag_;
};

/// Keeps lines in memory, for tests.
class MemorySink final : public Sink {
public:
    void write(Level, std::string_view tag, std::string_view line) override
    {
        lines.push_back(std::string(tag.substr(0, tag.find('['))) + ": " + std::string(line));
    }
    /// "postfix/smtp: text", in order.
    std::vector<std::string> lines;
};

}  // namespace posthorn::observe
