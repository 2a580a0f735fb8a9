#include "smtp/xforward.hpp"

#include "base/strings.hpp"
#include "smtp/xtext.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace posthorn::smtp {

namespace {

constexpr std::size_t command_limit = 510;              // RFC 5321 4.5.3.1.4, without the line end
constexpr std::size_t value_limit = 255;
constexpr std::string_view xforward_verb = "XFORWARD";

using Attribute = std::pair<std::string_view, const std::string*>;

std::array<Attribute, 7> attributes_of(const Origin& origin)
{
    return {Attribute{"NAME", &origin.name},    Attribute{"ADDR", &origin.address}, Attribute{"PORT", &origin.port},
            Attribute{"HELO", &origin.helo},    Attribute{"IDENT", &origin.ident},  Attribute{"PROTO", &origin.protocol},
            Attribute{"SOURCE", &origin.source}};
}
constexpr std::size_t of_the_host = 3;                  // the first of them

std::string word(std::string_view attribute, std::string_view value) { return std::string(" ").append(attribute).append("=").append(value); }

/// Empty: not known.
std::string encoded(std::string_view attribute, std::string_view value)
{
    if (value.size() > value_limit || !is_printable_ascii(value))
        return {};
    std::string text(value);
    if (attribute == "ADDR" && text.find(':') != std::string::npos)
        text.insert(0, "IPv6:");
    text = xtext_encode(text);
    return xforward_verb.size() + word(attribute, text).size() <= command_limit ? text : std::string{};
}

}  // namespace

std::vector<std::string> xforward_commands(const Origin& origin, std::span<const std::string> announced)
{
    std::vector<std::string> commands;
    for (const auto& [name, value] : attributes_of(origin)) {
        if (std::ranges::find(announced, name) == announced.end())
            continue;
        const std::string text = encoded(name, *value);
        const std::string said = word(name, text.empty() ? "[UNAVAILABLE]" : text);
        if (commands.empty() || commands.back().size() + said.size() > command_limit)
            commands.emplace_back(xforward_verb);
        commands.back() += said;
    }
    return commands;
}

std::vector<std::string> xforward_known(const Origin& origin, std::span<const std::string> announced)
{
    std::vector<std::string> commands;
    const auto attributes = attributes_of(origin);
    std::string command;
    bool host_open = false;
    const auto end_command = [&] {
        if (!command.empty())
            commands.push_back(std::string(xforward_verb) + std::exchange(command, {}));
    };
    for (std::size_t at = 0; at < attributes.size(); ++at) {
        const auto& [name, value] = attributes[at];
        const std::string text = encoded(name, *value);
        if (text.empty() || std::ranges::find(announced, name) == announced.end())
            continue;
        const std::string said = word(name, text);
        if (at >= of_the_host && host_open)
            end_command();
        host_open = at < of_the_host;
        if (xforward_verb.size() + command.size() + said.size() > command_limit)
            end_command();
        command += said;
    }
    end_command();
    return commands;
}

}  // namespace posthorn::smtp
