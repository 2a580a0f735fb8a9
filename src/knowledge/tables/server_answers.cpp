// What servers that are asked without a library answer, as values: how long the first answer is, and what it says. No I/O.
#include "tables/key_value.hpp"
#include "tables/sockets.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <charconv>

namespace posthorn::tables {

namespace {

std::optional<std::string> percent_decoded(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        unsigned value = 0;
        const char* const digits = text.data() + at + 1;
        if (text.size() - at < 3 || std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2)
            return std::nullopt;
        out += static_cast<char>(value);
        at += 2;
    }
    return out;
}

Error unusable(std::string_view reply) { return Error{fmt::format("unusable answer \"{}\"", printable(reply.substr(0, 100), true)), "4.3.0"}; }

template <class Number>
std::optional<Number> number(std::string_view text)
{
    Number value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || wrong != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

/// "VALUE key flags octets": the octets.
std::optional<std::size_t> value_size(std::string_view line)
{
    if (!line.starts_with("VALUE "))
        return std::nullopt;
    const std::size_t blank = line.rfind(' ');
    return number<std::size_t>(line.substr(blank + 1));
}

}  // namespace

Answer tcp_answer(std::string_view reply)
{
    while (reply.ends_with('\n') || reply.ends_with('\r'))
        reply.remove_suffix(1);
    const std::string_view code = reply.substr(0, 3);
    if (reply.size() < 4 || (reply[3] != ' ' && reply[3] != '\t'))
        return unusable(reply);                                  // a code alone is cut off: no "not there"
    std::string_view text = reply.substr(4);                     // one blank ends the code; more are the value's
    while (text.ends_with(' ') || text.ends_with('\t'))
        text.remove_suffix(1);
    const auto decoded = percent_decoded(text);
    if (!decoded)
        return unusable(reply);
    if (code == "200")
        return *decoded;
    if (code == "500")
        return std::nullopt;
    if (code == "400")
        return Error{decoded->empty() ? "the server says: try again later" : printable(*decoded, true), "4.3.0"};
    return unusable(reply);
}

Answer socketmap_answer(std::string_view reply)
{
    const std::size_t colon = reply.find(':');
    if (colon == reply.npos || !reply.ends_with(','))
        return unusable(reply);
    const std::string_view text = reply.substr(colon + 1, reply.size() - colon - 2);
    const std::size_t blank = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, blank), rest = text.substr(std::min(blank + 1, text.size()));
    if (word == "OK")
        return std::string(rest);
    if (word == "NOTFOUND")
        return std::nullopt;
    if (word == "TEMP" || word == "TIMEOUT" || word == "PERM")
        return Error{rest.empty() ? std::string(word) : printable(rest, true), "4.3.0"};
    return unusable(text);
}

Result<std::size_t> measure_netstring(std::string_view octets, std::size_t most)
{
    std::size_t size = 0;
    const char* const end = octets.data() + octets.size();
    const auto [colon, wrong] = std::from_chars(octets.data(), end, size);
    if (colon == end && wrong == std::errc{} && octets.size() <= 10)
        return std::size_t{0};
    if (wrong != std::errc{} || colon == end || *colon != ':' || colon - octets.data() > 10)
        return octets.empty() ? Result<std::size_t>{0} : Result<std::size_t>{unusable(octets)};
#ifdef POSTHORN_PLANT_BUG_table_answers
    if (size == 7)
        --size;
#endif
    if (size > most)
        return Error{fmt::format("an answer of {} octets, more than {}", size, most)};
    const std::size_t whole = static_cast<std::size_t>(colon - octets.data()) + 1 + size + 1;
    if (octets.size() < whole)
        return std::size_t{0};
    if (octets[whole - 1] != ',')
        return unusable(octets);
    return whole;
}

Result<std::size_t> measure_memcache(std::string_view octets, std::size_t most_data, std::size_t most_line)
{
    const std::size_t end = octets.find("\r\n");
    if (std::min(end, octets.size() - std::min<std::size_t>(octets.size(), 1)) > most_line)      // a CR may be the last octet so far
        return Error{fmt::format("a line of more than {} octets", most_line)};
    if (end == octets.npos)
        return std::size_t{0};
    const std::string_view line = octets.substr(0, end);
    if (!line.starts_with("VALUE "))
        return end + 2;
    const auto size = value_size(line);
    if (!size)
        return unusable(line);
    if (*size > most_data)
        return Error{fmt::format("a value of {} octets, more than {} (data_size_limit)", *size, most_data)};
    constexpr std::string_view tail = "\r\nEND\r\n";
    const std::size_t whole = end + 2 + *size + tail.size();
    if (octets.size() < whole)
        return std::size_t{0};
    return octets.substr(whole - tail.size(), tail.size()) == tail ? Result<std::size_t>{whole} : Result<std::size_t>{unusable(line)};
}

Answer memcache_answer(std::string_view reply)
{
    const std::string_view line = line_of(reply);
    if (line == "END" || line == "STORED" || line == "NOT_STORED")
        return std::nullopt;
    if (const auto size = value_size(line); size && reply.size() >= line.size() + 2 && *size <= reply.size() - line.size() - 2)
        return std::string(reply.substr(line.size() + 2, *size));
    return unusable(line);
}

Result<std::size_t> measure_redis(std::string_view octets, std::size_t most)
{
    const std::size_t end = octets.find("\r\n");
    if (std::min(end, octets.size() - std::min<std::size_t>(octets.size(), 1)) > most)
        return unusable(octets);
    if (end == octets.npos)
        return std::size_t{0};
    if (octets.front() != '$')
        return end + 2;
    const auto size = number<std::int64_t>(octets.substr(1, end - 1));
    if (!size || *size < -1)
        return unusable(octets.substr(0, end));
    if (*size == -1)
        return end + 2;
    if (static_cast<std::uint64_t>(*size) > most)
        return Error{fmt::format("a value of {} octets, more than {}", *size, most)};
    const std::size_t whole = end + 2 + static_cast<std::size_t>(*size) + 2;
    if (octets.size() < whole)
        return std::size_t{0};
    return octets.substr(whole - 2, 2) == "\r\n" ? Result<std::size_t>{whole} : Result<std::size_t>{unusable(octets.substr(0, end))};
}

Answer redis_answer(std::string_view reply)
{
    const std::string_view line = line_of(reply);
    if (line == "$-1")
        return std::nullopt;
    if (line.starts_with('-'))
        return Error{line.size() == 1 ? "the server gives an error without a reason" : printable(line.substr(1), true), "4.3.0"};
    if (line.starts_with('+') || line.starts_with(':'))
        return std::string(line.substr(1));
    if (line.starts_with('$') && reply.size() >= line.size() + 4)
        return std::string(reply.substr(line.size() + 2, reply.size() - line.size() - 4));
    return unusable(line);
}

}  // namespace posthorn::tables
