#include "receive/screen/words.hpp"

#include "base/strings.hpp"
#include "handoff/delivery_log.hpp"

#include <fmt/format.h>

namespace posthorn::receive::screen {

std::string name_of(const net::Endpoint& endpoint)
{
    return fmt::format("[{}]:{}", endpoint.is_unix() ? "127.0.0.1" : endpoint.ip.text(), endpoint.is_unix() ? 0 : endpoint.port);
}

std::string in_c_form(std::string_view octets)
{
    constexpr std::size_t most = 100;
    constexpr std::string_view named = "\a\b\f\n\r\t\v\\", names = "abfnrtv\\";
    std::string text;
    for (const char c : octets.substr(0, most)) {
        if (const auto at = named.find(c); at != std::string_view::npos && c != '\0')
            text += fmt::format("\\{}", names[at]);
        else if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126)
            text += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
        else
            text += c;
    }
    return text.substr(0, most);
}

std::string time_since(SteadyTime begin)
{
    const auto passed = std::chrono::steady_clock::now() - begin;
    return handoff::format_delay(std::chrono::duration_cast<std::chrono::microseconds>(passed).count());
}

std::optional<std::string_view> address_behind(std::string_view keyword, std::string_view arguments)
{
    if (!istarts_with(arguments, keyword))
        return std::nullopt;
    const std::string_view rest = trim(arguments.substr(keyword.size()));
    if (rest.empty())
        return std::nullopt;
    const bool path = rest.starts_with('<');
    bool quoted = false;
    std::size_t end = path ? 1 : 0;
    for (; end < rest.size(); ++end) {
#ifdef POSTHORN_PLANT_BUG_screen_words  // what stands behind a backslash is read as if it stood alone (scripts/fuzz-planted)
        if (false)
#else
        if (rest[end] == '\\')
#endif
            ++end;
        else if (rest[end] == '"')
            quoted = !quoted;
        else if (!quoted && (path ? rest[end] == '>' : is_space(rest[end])))
            break;
    }
    return rest.substr(path ? 1 : 0, std::min(end, rest.size()) - (path ? 1 : 0));
}

}  // namespace posthorn::receive::screen
