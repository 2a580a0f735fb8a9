#include "observe/log.hpp"

#include "base/strings.hpp"

#include <unistd.h>

namespace posthorn::observe {

namespace {

constexpr std::string_view word(Level level)
{
    switch (level) {
    case Level::info: return "";
    case Level::warning: return "warning: ";
    case Level::error: return "error: ";
    case Level::fatal: return "fatal: ";
    case Level::panic: return "panic: ";
    }
    return "";
}

}  // namespace

Log::Log(std::shared_ptr<Sink> sink, std::string_view name) : sink_(std::move(sink)), tag_(fmt::format("{}[{}]", name, ::getpid())) {}

void Log::write(Level level, std::string_view text) const
{
    const std::string_view level_word = word(level);
    if (!level_word.empty())
        return sink_->write(level, tag_, printable(fmt::format("{}{}", level_word, text), true));
    // Nearly every line is fit to print as it is.
    unsigned unfit = 0;
    for (const char c : text)
        unfit |= static_cast<unsigned>(static_cast<unsigned char>(c - ' ') > '~' - ' ');
    if (unfit == 0)
        return sink_->write(level, tag_, text);
    sink_->write(level, tag_, printable(text, true));
}

void Log::put(Level level, fmt::string_view format, fmt::format_args args) const
{
    fmt::memory_buffer line;                      // on the stack, for a line of the usual length
    fmt::vformat_to(fmt::appender(line), format, args);
    write(level, {line.data(), line.size()});
}

}  // namespace posthorn::observe
