#include "peers/quirks.hpp"

#include "base/strings.hpp"

namespace posthorn::peers {

namespace {

constexpr std::array<std::pair<Parameter, std::string_view>, 4> parameter_names{
    {{Parameter::size, "SIZE"}, {Parameter::body, "BODY"}, {Parameter::smtputf8, "SMTPUTF8"}, {Parameter::dsn, "DSN"}}};

}  // namespace

std::string_view name_of(Quirk quirk) { return quirk_names[static_cast<std::size_t>(quirk)].name; }
QuirkClass class_of(Quirk quirk) { return quirk_names[static_cast<std::size_t>(quirk)].kind; }

std::string Quirks::text() const
{
    std::string text;
    const auto word = [&](std::string piece) {
        if (!text.empty())
            text += ' ';
        text += piece;
    };
    for (const QuirkName& entry : quirk_names) {
        if (!has(entry.quirk))
            continue;
        if (entry.quirk == Quirk::no_bdat_over)
            word(fmt::format("{}({})", entry.name, bdat_over_));
        else if (entry.quirk == Quirk::close_after)
            word(fmt::format("{}({})", entry.name, close_after_));
        else if (entry.quirk == Quirk::no_param) {
            for (const auto& [parameter, name] : parameter_names)
                if (hides(parameter))
                    word(fmt::format("{}({})", entry.name, name));
        } else
            word(std::string(entry.name));
    }
    return text;
}

std::optional<Quirks> Quirks::parse(std::string_view text)
{
    Quirks quirks;
    for (std::string_view word : split(text, " \t,")) {
        std::string_view argument;
        if (const auto open = word.find('('); open != word.npos) {
            if (word.back() != ')')
                return std::nullopt;
            argument = word.substr(open + 1, word.size() - open - 2);
            word = word.substr(0, open);
        }
        const auto* const entry = std::ranges::find_if(quirk_names, [&](const QuirkName& candidate) { return iequals(candidate.name, word); });
        if (entry == quirk_names.end())
            return std::nullopt;
        switch (entry->quirk) {
        case Quirk::no_bdat_over:
        case Quirk::close_after: {
            const auto number = parse_number(argument);
            if (!number || *number == 0 || *number > UINT32_MAX)
                return std::nullopt;
            if (entry->quirk == Quirk::close_after)
                quirks.add_close_after(static_cast<std::uint32_t>(*number));
            else
                quirks.add_no_bdat_over(*number);
            break;
        }
        case Quirk::no_param: {
            const auto* const known = std::ranges::find_if(parameter_names, [&](const auto& pair) { return iequals(pair.second, argument); });
            if (known == parameter_names.end())
                return std::nullopt;
            quirks.add_no_param(known->first);
            break;
        }
        default:
            if (!argument.empty())
                return std::nullopt;
            quirks.add(entry->quirk);
        }
    }
    return quirks;
}

}  // namespace posthorn::peers
