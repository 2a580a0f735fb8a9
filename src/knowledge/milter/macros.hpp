// milter/macros.hpp: what filters are told beside the events: "j" (our name), "i" (queue id), "{mail_addr}" ...        MILTER_README
// Shape    a list of names for each stage; a value is asked for by name without braces ("j", "mail_addr"), and sent under the name as the
//          list writes it. What nobody knows a value for is looked for in milter_macro_defaults, and else not sent.
// Pure.
#pragma once

#include "base/error.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::milter {

enum class Stage : std::uint8_t { connect, helo, mail, recipient, data, end_of_header, end_of_body, unknown };
inline constexpr std::size_t stages = 8;

struct MacroLists {
    std::array<std::vector<std::string>, stages> names;
    std::vector<std::string>& of(Stage stage) { return names[static_cast<std::size_t>(stage)]; }
    const std::vector<std::string>& of(Stage stage) const { return names[static_cast<std::size_t>(stage)]; }
};
std::vector<std::string> parse_macro_list(std::string_view text);

/// milter_macro_defaults: "name=value, {name}=value, { name = value with spaces }".
using MacroDefaults = std::map<std::string, std::string, std::less<>>;
Result<MacroDefaults> parse_macro_defaults(std::string_view text);

/// The stage that SETSYMLIST means by its number; none: we know no such.
std::optional<Stage> stage_of_list(std::uint32_t number);

/// "mail_addr" for "{mail_addr}".
std::string_view bare(std::string_view name);
/// Does a list have one of these?
bool names_one(const std::vector<std::string>& list, std::initializer_list<std::string_view> bare_names);

/// None: not known.
using MacroValues = std::function<std::optional<std::string>(std::string_view bare_name)>;
/// The data of a macro packet behind the code of its event: names and values in turn.
std::string macro_data(const std::vector<std::string>& list, const MacroValues& values, const MacroDefaults& defaults);

}  // namespace posthorn::milter
