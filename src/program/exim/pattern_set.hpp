// exim/pattern_set.hpp: what a list of Exim's matches, with its named lists and files read: rules in their order.
// Shape    the first rule that matches decides; where none does, `otherwise`.
// Unknown  what depends on the message, on DNS or on a server is in `unknown`, as it is written: such a set is not to be used where more than a report hangs on it.
#pragma once

#include "exim/configuration.hpp"
#include "exim/lists.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::exim {

/// What is asked of the machine. Nothing of it is changed.
struct Machine {
    ReadFile read;
    std::function<bool(const std::string& path)> exists;
    std::function<std::vector<std::string>(const std::string& path)> folder;  // names in it, sorted; none where it is no folder
    std::function<std::optional<std::pair<unsigned, unsigned>>(const std::string& name)> user;  // uid and gid
    std::function<std::optional<std::string>(const std::string& name)> environment;  // of Exim, as far as this process has it
    std::string host_name;  // as uname(2) has it, or its full form
    std::vector<std::string> users;  // all that have an account
};

struct PatternRule {
    enum class Kind { text, suffix, regex, everything, network, no_host };
    Kind kind = Kind::text;
    bool negated = false;
    std::string text;  // in lower case; a regular expression as it is
    friend bool operator==(const PatternRule&, const PatternRule&) = default;
};

struct PatternSet {
    std::vector<PatternRule> rules;
    bool otherwise = false;
    std::vector<std::string> unknown, files;  // files: what was read for it
    /// Nothing is in it, whatever is asked.
    bool is_empty() const;
    bool is_everything() const;
    bool has_negations() const;
    PatternSet complement() const;
    /// A domain or local part. Patterns are matched as text; a regular expression is not tried, and does not match.
    bool matches(std::string_view subject) const;
};

/// One of the configuration's lists of this kind, expanded. A forced failure is the empty set.
class SetReader {
public:
    SetReader(const Configuration& tree, const Machine& machine, const Known& known) : tree_(tree), machine_(machine), known_(known) {}
    PatternSet read(std::string_view list, ListOf what) const { return read(list, what, 0); }

private:
    PatternSet read(std::string_view list, ListOf what, int depth) const;
    void add(PatternSet& set, const ListItem& item, ListOf what, bool only, int depth) const;
    void add_file(PatternSet& set, const ListItem& item, ListOf what) const;
    void add_lookup(PatternSet& set, const ListItem& item, ListOf what) const;
    void add_address(PatternSet& set, const ListItem& item, int depth) const;

    const Configuration& tree_;
    const Machine& machine_;
    const Known& known_;
};

/// Perl's regular expressions over whole addresses "local@domain", one for each rule; none: a rule has no such form.
enum class Subject { domain, local_part, address };
struct AddressRule {
    std::string pattern;
    bool negated = false;
};
std::optional<std::vector<AddressRule>> as_address_rules(const PatternSet& set, Subject subject);
/// A text as a regular expression that matches it alone.
std::string regex_of(std::string_view text);

}  // namespace posthorn::exim
