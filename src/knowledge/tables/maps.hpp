// tables/maps.hpp: a list of tables under the name of the parameter that lists them. The first table that has the key answers.
// Errors   the first table that cannot answer ends the search: a later table does not hide it. An empty value is an error of
//          configuration (Postfix: "should return NO RESULT in case of NOT FOUND"). Both are logged here, once per question.
#pragma once

#include "tables/keys.hpp"
#include "tables/lookups.hpp"

#include <algorithm>

namespace posthorn::tables {

/// Pieces of an address are not looked up in pattern tables.
enum class KeyKind { whole, piece };

struct Found {
    std::string value;
    std::string extension;        // of the address, with its delimiter, where the key that was found did not have it
};

class Maps {
public:
    Maps() = default;
    /// `list`: "type:name, type:name", with { } around names that have blanks or commas. $ is expanded already.
    Maps(std::string parameter, std::string_view list, Flags flags, Tables& tables);

    bool empty() const { return tables_.empty(); }
    bool in_memory() const
    {
        return std::ranges::all_of(tables_, [](const auto& table) { return table->in_memory(); });
    }
    const std::string& parameter() const { return parameter_; }

    Answer find(Lookups& lookups, std::string_view key, KeyKind kind = KeyKind::whole) const;
    /// By the order of keys.hpp. `address` in internal form; user alone is asked where `own` says the domain is ours.
    Result<std::optional<Found>> find_address(Lookups& lookups, std::string_view address, const Delimiter& delimiter, const LocalDomains* own) const;
    /// Where all of them are in_memory().
    Answer find_now(std::string_view key) const
    {
        Lookups lookups;
        return find(lookups, key);
    }
    /// The same questions for callers that are coroutines themselves.
    awaitable<Answer> lookup(std::string key) const;

    const std::vector<std::shared_ptr<Table>>& tables() const { return tables_; }

private:
    Answer refuse(const Lookups& lookups, const Table& table, std::string_view key, const Error& error) const;

    std::string parameter_;
    std::vector<std::shared_ptr<Table>> tables_;
    std::shared_ptr<const observe::Log> log_;
};

}  // namespace posthorn::tables
