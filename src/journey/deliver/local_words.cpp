#include "deliver/local_words.hpp"

#include "base/strings.hpp"
#include "config/expand.hpp"

#include <algorithm>

namespace posthorn::deliver {

namespace {

std::string filtered(std::string_view value, std::string_view allowed)
{
    std::string made(value);
    for (char& c : made)
        if (allowed.find(c) == allowed.npos)
            c = '_';
    return made;
}

/// The shell has something to do, or is the program itself.
constexpr std::string_view shell_characters = "~`!#$^&*()=[]{}\\|;'\"<>?\n";

}  // namespace

Result<std::optional<std::string>> expand_names(std::string_view text, const LocalNames& names, std::string_view allowed)
{
    LocalNames values;
    for (const auto& [name, value] : names)
        values[name] = config::literal(filtered(value, allowed));
    bool missing = false;
    TRY(std::string made, config::expand(text, [&](std::string_view name) -> std::optional<std::string_view> {
            const auto found = values.find(name);
            if (found != values.end() && !found->second.empty())
                return std::string_view(found->second);
            missing = true;
            return std::nullopt;
        }));
    // A condition asks on purpose.
    if (missing && text.find('?') == text.npos && text.find("${{") == text.npos && text.find(':') == text.npos)
        return std::nullopt;
    return made;
}

std::vector<std::string> command_words(std::string_view command, std::string_view shell)
{
    std::vector<std::string> words;
    if (!shell.empty()) {
        for (const std::string_view word : split(shell))
            words.emplace_back(word);
        if (words.size() == 1)
            words.emplace_back("-c");
        words.emplace_back(command);
    } else if (command.find_first_of(shell_characters) != command.npos) {
        words = {"/bin/sh", "-c", std::string(command)};
    } else {
        for (const std::string_view word : split(command))
            words.emplace_back(word);
    }
    return words;
}

std::vector<std::string> command_environment(const LocalNames& names, std::string_view allowed)
{
    static constexpr std::string_view told[] = {
        "user",   "home",           "shell",           "local",       "extension",       "domain",      "recipient",   "original_recipient",
        "sender", "client_address", "client_hostname", "client_helo", "client_protocol", "sasl_method", "sasl_sender", "sasl_username"};
    std::vector<std::string> made;
    for (const std::string_view name : told)
        if (const auto found = names.find(name); found != names.end() && !found->second.empty()) {
            made.push_back(to_upper(name) + "=" + filtered(found->second, allowed));
            if (name == "user")
                made.push_back("LOGNAME=" + filtered(found->second, allowed));
        }
    return made;
}

}  // namespace posthorn::deliver
