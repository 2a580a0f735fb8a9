// tables/match_list.hpp: lists that a domain, a word or a client's address is matched against.   postconf(5) mynetworks, mydestination
// Shape    items at blanks and commas, the first that matches decides: a word, "!item" (does not match), "/file" (its items),
//          "type:table" (matches where the key is there, whatever the value), ".domain" (subdomains), networks.
// Errors   an item that cannot be read or a table that cannot answer is an Error when the search reaches it: nobody is let in,
//          or sent away for good, because a file was missing. problems() tells all at start; what the search reaches is logged here.
#pragma once

#include "tables/lookups.hpp"
#include "tables/network.hpp"

#include <unordered_set>
#include <variant>

namespace posthorn::tables {

/// What the words of a list are.
enum class ListKind {
    strings,       // compared whole, without case
    domains,       // the name, and subdomains of ".domain" (or of "domain", with parent style)
    hosts,         // networks for the address, domains for the name: mynetworks
};

class MatchList {
public:
    MatchList() = default;
    /// `parent_style`: the parameter is listed in parent_domain_matches_subdomains.
    MatchList(ListKind kind, std::string parameter, std::string_view list, bool parent_style, Tables& tables);

    bool empty() const { return steps_.empty(); }
    const std::string& parameter() const { return parameter_; }
    /// A domain or word.
    Result<bool> matches(Lookups& lookups, std::string_view subject) const { return matches_host(lookups, subject, {}); }
    /// A client: its name (empty or "unknown": none) and address, without brackets.
    Result<bool> matches_host(Lookups& lookups, std::string_view name, std::string_view address) const;
    /// For callers that are coroutines themselves.
    awaitable<Result<bool>> ask(std::string name, std::string address = {}) const;
    bool in_memory() const;
    const std::vector<std::string>& problems() const { return problems_; }

private:
    struct Words {
        struct Hash {
            std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
            using is_transparent = void;
        };
        std::unordered_set<std::string, Hash, std::equal_to<>> words;
        std::vector<Network> networks;
    };
    struct Step {
        bool sense = true;
        std::variant<Words, std::shared_ptr<Table>, Error> test;
    };
    void add_list(std::string_view list, bool sense, int depth, Tables& tables);
    void add_item(std::string_view item, bool sense, int depth, Tables& tables);
    void add_file(std::string path, bool sense, int depth, Tables& tables);
    void add_error(std::string text, bool sense);
    Words& words(bool sense);
    bool has(const Words& words, std::string_view name, std::string_view address) const;
    Result<bool> has(Lookups& lookups, Table& table, std::string_view name, std::string_view address) const;

    ListKind kind_ = ListKind::strings;
    std::string parameter_;
    bool parent_style_ = false;
    std::vector<Step> steps_;
    std::vector<std::string> problems_;
    std::shared_ptr<const observe::Log> log_;
};

/// True if `parameter` stands in the list that parent_domain_matches_subdomains is.
bool parent_style(std::string_view parent_domain_matches_subdomains, std::string_view parameter);

}  // namespace posthorn::tables
