// tables/patterns.hpp: rules of regular expressions: regexp and pcre.       regexp_table(5), pcre_table(5)
// Shape    "/pattern/flags result", "!/pattern/flags result", "if [!]/pattern/flags" ... "endif". Any delimiter that is no
//          letter or digit. The first rule that matches gives its result, with $1 ${1} $(1) and $$ filled in.
// Errors   a rule that cannot be compiled is left out with a warning. A match that exceeds its limits is an Error: what the
//          rule would have said is not known.
#pragma once

#include <span>

#include "tables/rules_table.hpp"

namespace posthorn::tables {

/// The subject of one lookup, and what rules need of it, computed once.
struct Subject {
    explicit Subject(std::string_view key) : text(key) {}
    const std::string& lower();
    std::string_view text;

private:
    std::optional<std::string> lower_;
};

class Matcher {
public:
    virtual ~Matcher() = default;
    struct Group {
        std::size_t from = 0, to = 0;     // from > to: took no part
    };
    /// True: matches, and `groups` has what the groups matched, if wanted; group 0 is the whole.
    virtual Result<bool> match(Subject& subject, std::vector<Group>* groups) = 0;
    virtual std::size_t groups() const = 0;
};

struct PatternSyntax {
    std::string_view type;                // "regexp"
    std::string_view unclosed;            // how the warning about a missing delimiter ends
    std::string_view flags;               // letters
    Result<std::unique_ptr<Matcher>> (*compile)(const std::string& pattern, std::string_view flags, bool utf8);
};

class PatternRules {
public:
    static Result<std::shared_ptr<const PatternRules>> parse(const PatternSyntax& syntax, std::span<const LogicalLine> lines, std::string_view file,
                                                             Flags flags, FileOpener& opener, Warnings& warnings);
    Answer find(std::string_view key) const;

private:
    friend class PatternBuilder;
    struct Piece {
        std::string text;
        std::size_t group = 0;            // 0: none; else follows the text
    };
    struct Rule {
        std::unique_ptr<Matcher> matcher;
        bool negated = false;
        bool condition = false;
        std::size_t skip_to = 0;          // where a condition that is not met goes on
        std::vector<Piece> result;
        int line = 0;
    };
    std::vector<Rule> rules_;
};

std::shared_ptr<Table> open_regexp(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_pcre(std::string spec, std::string name, Flags flags, Tables& tables);

/// Texts that every match of this POSIX extended expression contains, one behind the other, in lower case with `fold`.
std::vector<std::string> required_literals(std::string_view pattern, bool fold);

}  // namespace posthorn::tables
