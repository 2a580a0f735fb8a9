// config/expand.hpp: the expression language of parameter values.                    postconf(5), "$name expansion"
// Shape    $name ${name} $(name)            the value, itself expanded; nothing where undefined
//          ${name?text} ${name:text}        text where the value is non-empty / where it is empty or undefined
//          ${name?{a}:{b}}                  both
//          ${{a} OP {b} ? {x} : {y}}        OP: == != < <= >= >, numeric where both sides are digits only, else by octets;
//                                           with the suffix "level" both sides are compatibility levels ("3.6")
//          ${domain_to_ascii{text}}         text as an IDNA A-label domain; domain_to_utf8: as U-labels
//          $$                               one dollar
// Limits   99 levels of nesting; past them an Error ("unreasonable macro call nesting"), which also ends circular definitions;
//          1 MiB of result.
// Errors   text as Postfix words it: where the parser stood is marked by ">>>".
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace posthorn::config {

/// The unexpanded value of a name; nothing where it is undefined. The view must live until the expansion ends.
using NameLookup = std::function<std::optional<std::string_view>(std::string_view name)>;

Result<std::string> expand(std::string_view text, const NameLookup& lookup);

/// The text that expands to `value`: its dollar signs stay what they are.
std::string literal(std::string_view value);

/// Calls `seen` for each name that `text` refers to, in both branches of conditions. Malformed text ends the walk silently.
void names_in(std::string_view text, const std::function<void(std::string_view name)>& seen);

/// "3.6" as comparable number (major, minor, patch); nothing where it is malformed.
std::optional<std::int64_t> parse_level(std::string_view text);

}  // namespace posthorn::config
