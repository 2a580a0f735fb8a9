// exim/expansion.hpp: Exim's string expansions, taken apart and, where the answer is known now, answered.   Exim's specification, chapter 11
// Shape    pieces: text, "$name", and "${item ...}" with its braced arguments as they are written.
// Known    what does not depend on a message: $primary_hostname and its kin, files that exist or not and what lsearch finds in them, variables of
//          the environment. The rest is not guessed: `Outcome::unknown` names it as it is written.
// Errors   braces that do not fit: "not an expansion: ...".
#pragma once

#include "base/error.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::exim {

struct Piece {
    enum class Kind { text, variable, item };
    Kind kind = Kind::text;
    std::string text;                        // text without its escapes; the variable's name; the item as it is written
    std::string word;                        // of an item: "lookup", "if", "extract", "lc", "quote_local_part"
    std::string bare;                        // what of it stands outside of braces: "lsearch", "mysql", the condition's word
    std::vector<std::string> arguments;      // between its braces; after "op:" the one behind the colon
    bool fails = false;                      // "fail" behind the arguments
};

Result<std::vector<Piece>> parse_expansion(std::string_view text);

struct Known {
    std::map<std::string, std::string, std::less<>> variables;    // "primary_hostname"
    std::function<bool(const std::string& path)> exists;
    std::function<Result<std::string>(const std::string& path)> read;                       // a file's octets
    std::function<std::optional<std::string>(const std::string& name)> environment;        // none: it is not set, or not kept
};

struct Outcome {
    enum class Kind { known, failed, unknown };
    Kind kind = Kind::known;
    std::string text;                        // known: the answer; unknown: what is not known
};

Outcome evaluate(std::string_view text, const Known& known);
/// A condition of "${if ...}"; `taken`: how much of `text` it is. None: not known now.
std::optional<bool> evaluate_condition(std::string_view text, std::size_t& taken, const Known& known);

/// A condition taken apart: "!eq{$a}{b}" is `negated`, "eq", and two arguments as they are written; "def:name" has the name as its one.
struct ConditionParts {
    bool negated = false;
    std::string word;
    std::vector<std::string> arguments;
};
std::optional<ConditionParts> as_condition(std::string_view text);

/// Where the whole text is one "${if CONDITION {YES}{NO}}" whose two ways are known now, one true and one false: the condition, turned round where
/// its YES is false. "true", "yes", a number but 0: true; empty, "false", "no", "0": false.
std::optional<ConditionParts> as_question(std::string_view text, const Known& known);
bool is_false(std::string_view text);

/// "${lookup{KEY}TYPE{FILE}{FOUND}{ELSE}}" alone, or "${lookup TYPE{QUERY}...}".
struct Lookup {
    std::string key;                         // as it is written; empty for a query
    std::string type;                        // "lsearch", "cdb", "dsearch", "mysql"; without what follows
    int partial = -1;                        // of "partial2-lsearch": 2; -1: none
    std::string options;                     // behind the type: "*", "*@", ",ret=full"
    std::string file;                        // the file or the query, as it is written
    std::string found = "$value";
    std::optional<std::string> otherwise;    // none: empty; unless `fails`
    bool fails = false;                      // "fail" where it is not found
};
std::optional<Lookup> as_lookup(const Piece& piece);
/// Where the whole text is one lookup.
std::optional<Lookup> as_lookup(std::string_view text);
/// The type of a lookup with "partial-" in front and options behind, taken apart. False: no type that there is.
bool parse_lookup_type(std::string_view text, Lookup& into);
/// Whether such a lookup has a key (else a query).
bool is_single_key(std::string_view type);

}  // namespace posthorn::exim
