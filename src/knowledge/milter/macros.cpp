#include "milter/macros.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "milter/wire.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::milter {

namespace {

/// Does the brace at the front close at the end?
bool is_one_group(std::string_view text)
{
    int depth = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        depth += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
        if (depth == 0)
            return at > 0 && at + 1 == text.size();
    }
    return false;
}

}  // namespace

std::string_view bare(std::string_view name)
{
    return name.size() > 2 && name.starts_with('{') && name.ends_with('}') ? name.substr(1, name.size() - 2) : name;
}

std::vector<std::string> parse_macro_list(std::string_view text)
{
    std::vector<std::string> names;
    for (const std::string_view name : split(text, ", \t\r\n"))
        names.emplace_back(name);
    return names;
}

Result<MacroDefaults> parse_macro_defaults(std::string_view text)
{
    MacroDefaults defaults;
    for (std::string_view piece : config::split_grouped(text)) {
        if (is_one_group(piece))                                  // "{ name = value }", as against "{name}=value"
            piece = trim(piece.substr(1, piece.size() - 2));
        const auto equals = piece.find('=');
        const std::string_view name = equals == std::string_view::npos ? std::string_view{} : bare(trim(piece.substr(0, equals)));
        if (name.empty())
            return Error{fmt::format("\"{}\": expected name=value", piece)};
        defaults[std::string(name)] = std::string(trim(piece.substr(equals + 1)));
    }
    return defaults;
}

std::optional<Stage> stage_of_list(std::uint32_t number)
{
    constexpr auto known =
        std::to_array<Stage>({Stage::connect, Stage::helo, Stage::mail, Stage::recipient, Stage::data, Stage::end_of_body, Stage::end_of_header});
    return number < known.size() ? std::optional(known[number]) : std::nullopt;
}

bool names_one(const std::vector<std::string>& list, std::initializer_list<std::string_view> bare_names)
{
    return std::ranges::any_of(list, [&](const std::string& name) { return std::ranges::find(bare_names, bare(name)) != bare_names.end(); });
}

std::string macro_data(const std::vector<std::string>& list, const MacroValues& values, const MacroDefaults& defaults)
{
    std::string data;
    for (const std::string& name : list) {
        auto value = values(bare(name));
        if (!value)
            if (const auto fallback = defaults.find(bare(name)); fallback != defaults.end())
                value = fallback->second;
        if (!value)
            continue;
        append_text(data, name);
        append_text(data, *value);
    }
    return data;
}

}  // namespace posthorn::milter
