// tables/lookups.hpp: decisions as plain functions over tables that may have to wait.
// A decision takes Lookups& and asks find(). Tables in memory answer at once. For the others the first ask fails with the
// Error `pending`; settle() fetches what was asked for, all of a round at the same time, and decides again with the answers at hand.
// So a decision must be repeatable: it changes nothing but its own result. Within one settle() a key has one answer.
// Rounds   who decides over many addresses goes on to the next where an answer is missing, so that their questions share rounds.
// Limits   at most max_rounds rounds, fetched_at_once questions under way.
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
    awaitable<void> fetch_one(std::size_t at);
    using Key = std::pair<Table*, std::string>;
    using Known = std::map<Key, Answer>;
    Known known_;
    std::vector<Known::iterator> wanted_;      // in known_ with the Error `pending`
};

inline constexpr int max_rounds = 10'000;
inline constexpr std::size_t fetched_at_once = 16;

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
