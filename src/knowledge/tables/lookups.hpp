// tables/lookups.hpp: decisions as plain functions over tables that may have to wait.
// A decision takes Lookups& and asks find(). Tables in memory answer at once. For the others the first ask fails with the
// Error `pending`; settle() fetches what was asked for, all at once per round, and decides again with the answers at hand.
// So a decision must be repeatable: it changes nothing but its own result. Within one settle() a key has one answer.
// Limits   at most max_rounds rounds.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

class Lookups {
public:
    Lookups() = default;
    Lookups(Lookups&&) = delete;

    Answer find(Table& table, std::string_view key) { return table.in_memory() ? table.find(key) : remembered(table, key); }
    /// True after a find() that must be fetched: the decision is not made yet.
    bool waiting() const { return !wanted_.empty(); }
    awaitable<void> fetch();

private:
    Answer remembered(Table& table, std::string_view key);
    using Key = std::pair<Table*, std::string>;
    std::map<Key, Answer> known_;
    std::vector<Key> wanted_;
};

inline constexpr int max_rounds = 10'000;

/// The decision, with every table asked. `decide` is a plain function (Lookups&) -> Result<T>.
template <class Decide>
awaitable<std::invoke_result_t<Decide&, Lookups&>> settle(Decide decide)
{
    Lookups lookups;
    for (int round = 0; round < max_rounds; ++round) {
        auto decision = decide(lookups);
        if (!lookups.waiting())
            co_return decision;
        co_await lookups.fetch();
    }
    co_return Error{"table lookups do not come to an end", "4.3.5"};
}

}  // namespace posthorn::tables
