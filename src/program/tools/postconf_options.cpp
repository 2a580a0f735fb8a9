#include "tools/postconf_options.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"

namespace posthorn::tools {

namespace {

constexpr std::string_view modes = "aAblmFMpPtT";          // at most one of these

/// The order in which a refusal names two options.
constexpr std::string_view mode_order = "aAbFlmMpPtT";
constexpr std::string_view modifier_order = "defhHjnoxX#";

/// Pairs of modifiers that contradict each other: each letter with those that follow it.
struct Conflict {
    char letter;
    std::string_view with;
};
constexpr Conflict conflicts[] = {{'d', "enX#"}, {'e', "fhHjnoxX#"}, {'f', "X#"}, {'h', "HX#"}, {'H', "X#"},
                                  {'j', "X#"},   {'n', "X#"},        {'o', "X#"}, {'x', "X#"},  {'X', "#"}};

/// What may not stand with a mode.
std::string_view refused_with(char mode)
{
    switch (mode) {
    case 'p': return "";
    case 'M': return "dnhH";
    case 'F': return "dnX#";
    case 'P': return "dn#";
    default: return "defhHjnxX#";
    }
}

std::string usage()
{
    return "usage: postconf [-c config_dir] [-C class,...] [-o name=value] [-dfhHjnpqvx] [name...] "
           "| -e name=value... | -X name... | -# name... "
           "| -M [-fjx] [name[/type]...] | -M -e name/type=entry... | -M {-X | -#} name/type... "
           "| -F [-fhHjx] [name[/type[/field]]...] | -F -e name/type/field=value... "
           "| -P [-fhHjx] [name[/type[/parameter]]...] | -P {-e name/type/parameter=value... | -X name/type/parameter...} "
           "| -b [template_file] | -t [template_file] | -T mode | -a | -A | -l | -m";
}

void check_together(const PostconfOptions& options)
{
    char mode = 0;
    for (const char letter : mode_order) {
        if (!options.has(letter))
            continue;
        if (mode)
            throw Failure(mode == 'b' && letter == 't' ? "specify one of -b and -t" : fmt::format("specify one of -{} -{}", mode, letter));
        mode = letter;
    }
    for (const char letter : refused_with(mode ? mode : 'p'))
        if (options.has(letter))
            throw Failure(fmt::format("with option -{}, do not specify -{}", mode, letter));
    for (const auto& [letter, with] : conflicts)
        for (const char other : modifier_order)
            if (with.contains(other) && options.has(letter) && options.has(other))
                throw Failure(fmt::format("specify one of -{} -{}", letter, other));
}

std::string classes_of(std::string_view text)
{
    std::string classes;
    for (const auto name : split(text, ", \t\r\n")) {
        if (name == "builtin")
            classes += 'b';
        else if (name == "service")
            classes += 's';
        else if (name == "user")
            classes += 'u';
        else if (name == "all")
            classes += "bsu";
        else
            throw Failure(fmt::format("unknown -C option value \"{}\" in \"{}\"", name, text));
    }
    return classes;
}

config::Assignment override_of(std::string_view text)
{
    const auto assignment = config::parse_assignment(text);
    if (assignment)
        return *assignment;
    const auto& what = assignment.error().what();
    throw Failure(fmt::format("invalid parameter override: {}: {}", text, what.substr(0, what.find(": "))));
}

}  // namespace

PostconfOptions postconf_options(std::span<char*> args, std::vector<std::string>& complaints)
{
    PostconfOptions options;
    std::size_t at = 1;
    for (; at < args.size(); ++at) {
        std::string_view word = args[at];
        if (!word.starts_with('-') || word == "-")
            break;
        if (word == "--") {
            ++at;
            break;
        }
        for (word.remove_prefix(1); !word.empty();) {
            const char letter = word.front();
            word.remove_prefix(1);
            if (postconf_operands.contains(letter)) {
                if (word.empty() && ++at == args.size()) {
                    complaints.push_back(fmt::format("option requires an argument -- '{}'", letter));
                    throw Failure(usage());
                }
                const std::string_view operand = word.empty() ? args[at] : word;
                word = {};
                if (letter == 'c')
                    options.config_directory = operand;
                else if (letter == 'C')
                    options.classes += classes_of(operand);
                else if (letter == 'o') {
                    options.overrides.push_back(override_of(operand));
                    if (!options.has('o'))
                        options.letters += 'o';
                } else {
                    options.tls_mode = operand;
                    if (!options.has('T'))
                        options.letters += 'T';
                }
            } else if (postconf_flags.contains(letter)) {
                if (letter == 'v')
                    ++options.verbose;
                else if (!options.has(letter))
                    options.letters += letter;
            } else {
                complaints.push_back(fmt::format("invalid option -- '{}'", letter));
                throw Failure(usage());
            }
        }
    }
    check_together(options);
    for (const char letter : modes)
        if (options.has(letter))
            options.mode = letter;
    for (; at < args.size(); ++at)
        options.arguments.emplace_back(args[at]);
    if ((options.mode == 'b' || options.mode == 't') && options.arguments.size() > 1)
        throw Failure("options -b and -t require at most one template file");
    return options;
}

}  // namespace posthorn::tools
