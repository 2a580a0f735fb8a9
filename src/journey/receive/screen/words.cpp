#include "receive/screen/words.hpp"

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

}  // namespace posthorn::receive::screen
