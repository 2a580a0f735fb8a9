#include "message/compose.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "message/encoded_word.hpp"

namespace posthorn::message {
namespace {

constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Parts {
    std::chrono::year_month_day day{};
    std::chrono::weekday weekday{};
    std::chrono::hh_mm_ss<std::chrono::seconds> clock;
};

Parts parts_of(std::chrono::sys_seconds time)
{
    const auto midnight = std::chrono::floor<std::chrono::days>(time);
    return {std::chrono::year_month_day{midnight}, std::chrono::weekday{midnight}, std::chrono::hh_mm_ss<std::chrono::seconds>{time - midnight}};
}

constexpr bool is_atext(char c)
{
    return is_alnum(c) || (c & 0x80) != 0 || std::string_view{"!#$%&'*+-/=?^_`{|}~"}.find(c) != std::string_view::npos;
}

}  // namespace

std::string field(std::string_view name, std::string_view body, std::size_t width)
{
    std::string clean(trim(body));
    std::ranges::replace_if(clean, [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    std::string out = fmt::format("{}:", name);
    std::size_t column = out.size();
    for (std::size_t at = 0; at < clean.size();) {
        // White space and the word after it stay together; the line is broken before the white space.
        std::size_t word = at;
        while (word < clean.size() && (clean[word] == ' ' || clean[word] == '\t'))
            ++word;
        std::size_t end = word;
        while (end < clean.size() && clean[end] != ' ' && clean[end] != '\t')
            ++end;
        if (at == 0)
            out += ' ';
        else if (column + (end - at) > width)
            column = (out += "\r\n", 0);
        out.append(clean, at, end - at);
        column += end - at + (at == 0 ? 1 : 0);
        at = end;
    }
    return out += "\r\n";
}

std::string date(Time time, std::chrono::minutes east_of_utc, std::string_view zone)
{
    const Parts local = parts_of(std::chrono::floor<std::chrono::seconds>(time) + east_of_utc);
    const auto offset = std::abs(east_of_utc.count());
    std::string out =
        fmt::format("{}, {} {} {:04} {:02}:{:02}:{:02} {}{:02}{:02}", days[local.weekday.c_encoding()], static_cast<unsigned>(local.day.day()),
                    months[static_cast<unsigned>(local.day.month()) - 1], static_cast<int>(local.day.year()), local.clock.hours().count(),
                    local.clock.minutes().count(), local.clock.seconds().count(), east_of_utc.count() < 0 ? '-' : '+', offset / 60, offset % 60);
    if (!zone.empty())
        out += fmt::format(" ({})", zone);
    return out;
}

std::string message_id(Time time, std::string_view queue_id, std::string_view host)
{
    const Parts utc = parts_of(std::chrono::floor<std::chrono::seconds>(time));
    return fmt::format("<{:04}{:02}{:02}{:02}{:02}{:02}.{}@{}>", static_cast<int>(utc.day.year()), static_cast<unsigned>(utc.day.month()),
                       static_cast<unsigned>(utc.day.day()), utc.clock.hours().count(), utc.clock.minutes().count(), utc.clock.seconds().count(),
                       queue_id, host);
}

std::string quote_phrase(std::string_view text)
{
    if (!text.empty() && std::ranges::all_of(text, [](char c) { return is_atext(c) || c == ' '; }) && text.front() != ' ' && text.back() != ' ')
        return std::string(text);
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '\r' || c == '\n' || c == '\0')
            c = ' ';
        if (c == '"' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted += '"';
}

namespace {

bool is_to_be_encoded(std::string_view name, bool utf8, std::string_view charset) { return (!utf8 || !iequals(charset, "utf-8")) && !is_ascii(name); }

}  // namespace

std::string named_address(std::string_view name, const smtp::Mailbox& mailbox, bool utf8, std::string_view charset)
{
    if (name.empty())
        return mailbox.null() ? "<>" : mailbox.quoted();
    return fmt::format("{} <{}>", is_to_be_encoded(name, utf8, charset) ? encode_words(name, charset) : quote_phrase(name), mailbox.quoted());
}

std::string commented_address(std::string_view name, const smtp::Mailbox& mailbox, bool utf8, std::string_view charset)
{
    if (name.empty())
        return named_address(name, mailbox, utf8);
    std::string comment;
    for (const char c : is_to_be_encoded(name, utf8, charset) ? encode_words(name, charset) : std::string(name)) {
        if (c == '(' || c == ')' || c == '\\')
            comment += '\\';
        comment += c;
    }
    return fmt::format("{} ({})", mailbox.quoted(), comment);
}

}  // namespace posthorn::message
