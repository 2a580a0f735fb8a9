// exim/statement_chain.hpp: the conditions of an ACL's statement that tables ask, in their order; what stands behind the last is the
// statement's affair.
// Shape    a link for each condition, one table or more. A condition that no table can ask is not taken, and nothing of it is left.
// Trust    whom a HELO lets in is not decided by a table: a client says what it likes.
#pragma once

#include "exim/access_checks.hpp"
#include "exim/translator.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::exim {

class Translator::Chain {
public:
    using Link = std::vector<Check>;

    Chain(Translator& translator, bool lets_in, bool refuses) : t_(translator), lets_in_(lets_in), refuses_(refuses) {}

    /// False: it cannot be asked.
    bool take(const Condition& condition, bool inverted)
    {
        names_hosts_ = false;
        return take(condition, inverted, 0);
    }
    void clear() { links_.clear(); }
    const std::vector<Link>& links() const { return links_; }
    bool empty() const { return links_.empty(); }
    /// What was taken last asks for hosts by their names.
    bool names_hosts() const { return names_hosts_; }
    /// Hosts are refused by a name that Exim would look up the addresses of.
    bool by_name() const { return by_name_; }

private:
    bool add(std::optional<std::vector<Check>> checks);
    bool add(std::optional<Check> check);
    bool take(const Condition& condition, bool invert, int depth);
    bool take_helo(const Condition& condition, bool invert);
    std::optional<std::vector<std::string>> helo_patterns(const ConditionParts& asked) const;
    bool take_acl(const Condition& condition, bool negated, int depth);

    Translator& t_;
    const bool lets_in_, refuses_;
    bool names_hosts_ = false, by_name_ = false;
    std::vector<Link> links_;
};

}  // namespace posthorn::exim
