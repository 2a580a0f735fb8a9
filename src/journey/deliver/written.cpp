#include "deliver/written.hpp"

#include "base/strings.hpp"
#include "smtp/data.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <ctime>

namespace posthorn::deliver {

namespace {

constexpr std::string_view from_word = "From ";

/// "Thu Jan  1 00:00:00 2026", local time.
std::string date_of(WallTime when)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    char text[64];
    return std::string(text, std::strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &local));
}

/// One line, whatever the address has in it.
std::string written_address(std::string_view address)
{
    std::string text = smtp::external_address(address);
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ' || c == 127)
            c = '?';
    return text;
}

}  // namespace

void Written::head(std::string& out) const
{
    const std::string sender = written_address(names_.sender);
    if (options_.from_line)
        out += fmt::format("From {}  {}{}", sender.empty() ? "MAILER-DAEMON" : sender, date_of(names_.when), options_.eol);
    if (options_.return_path)
        out += fmt::format("Return-Path: <{}>{}", sender, options_.eol);
    if (options_.original_to && !names_.original.empty())
        out += fmt::format("X-Original-To: {}{}", written_address(names_.original), options_.eol);
    if (options_.delivered_to)
        out += fmt::format("Delivered-To: {}{}", written_address(names_.delivered), options_.eol);
}

void Written::feed(std::string_view octets, std::string& out)
{
    std::string text = std::exchange(start_, {});
    smtp::append_with_lf(octets, held_cr_, text);
    std::string_view rest = text;
    while (!rest.empty()) {
        if (at_start_) {
            if (options_.quote_from && rest.size() < from_word.size() && from_word.starts_with(rest)) {
                start_ = rest;
                return;
            }
            if (options_.quote_from && rest.starts_with(from_word))
                out += '>';
            if (options_.dots && rest.front() == '.')
                out += '.';
            at_start_ = false;
        }
        const std::size_t end = rest.find('\n');
        out.append(rest.substr(0, end));
        if (end == rest.npos)
            return;
        out += options_.eol;
        rest.remove_prefix(end + 1);
        at_start_ = true;
    }
}

void Written::end(std::string& out)
{
    if (!start_.empty() || held_cr_)
        at_start_ = false;
    out += start_;
    if (held_cr_)
        out += '\r';
    if (!at_start_)
        out += options_.eol;
    if (options_.blank_end)
        out += options_.eol;
}

}  // namespace posthorn::deliver
