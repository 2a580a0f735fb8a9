// exim/access_checks.hpp: conditions of an ACL's statement, seen one by one: as what they are in another form, and as tables of access(5). Pure.
#pragma once

#include "exim/configuration.hpp"
#include "exim/expansion.hpp"
#include "exim/pattern_set.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::exim {

/// A table of one question, in the form of access(5): first match wins, DUNNO where it says no.
struct Check {
    std::string restriction;                 // "check_client_access"
    std::string type, rules;                 // "cidr"; the rules, with result_here where the result stands
};
inline constexpr char result_here = '\x01';
std::string with_result(std::string rules, const std::string& result);

/// A pattern between slashes.
std::string escaped_delimiter(std::string_view pattern);
/// None: the set cannot be asked by a table.
std::optional<Check> address_check(std::string_view restriction, const PatternSet& set, Subject subject);
/// Networks as cidr, names as pcre; both in one list only where nothing of it excludes.
std::optional<std::vector<Check>> host_checks(const PatternSet& set);

/// "$sender_helo_name" in one of its forms.
bool is_helo(std::string_view text);
/// That there was a HELO, as a condition. none: it asks for something else.
std::optional<bool> asks_for_helo(const Condition& condition, const Known& known);
/// "condition = ${if match_domain{$sender_address_domain}{LIST}}" and its kin as what they are: "sender_domains = LIST".
Condition as_list_condition(const Condition& condition, const Known& known);

}  // namespace posthorn::exim
