// trials/book.hpp: what was tried, how often it passed, and whom it would have refused.
// Entry    of one trial: whom, host, reason; refused, or not known. The same again is one more, and a sample more.
// Bounds   trials and entries of each direction, samples of each entry, octets of each word: clients choose what there is to say of them. Those seen last
//          longest ago go; how many went is counted.
// Time     entries and counts of days older than keep_days go; a time that is ahead of the clock is now.
// Pure     but for the clock.
#pragma once

#include "base/clock.hpp"
#include "handoff/trials.pb.h"

#include <compare>
#include <map>
#include <string>

namespace posthorn::trials {

struct BookLimits {
    std::size_t trials = 100, entries = 1'000;  // of each direction
    int samples = 5;
    int keep_days = 14;
    std::size_t octets = 250;  // of a word
};

class Book {
public:
    explicit Book(const Clock& clock, BookLimits limits = {}) : clock_(clock), limits_(limits) {}

    /// What was stored; instead of what is in it.
    void restore(const handoff::Trials& stored);
    void take(handoff::TrialSeen seen);
    /// Of who receives first. Entries: what was refused first, then the most frequent; what is over is left out.
    handoff::Trials tell(const handoff::TrialsCommand& question = {}) const;
    /// Since store() or restore().
    bool changed() const { return changed_; }
    /// All of it, as restore() takes it.
    handoff::Trials store();
    void forget();
    std::size_t entries() const;

private:
    struct Key {
        bool out;
        std::string tried;
        auto operator<=>(const Key&) const = default;
    };
    struct EntryKey {
        bool unknown;
        std::string whom, host, reason;
        auto operator<=>(const EntryKey&) const = default;
    };
    struct Kept {
        handoff::Trial counts;  // without entries
        std::map<EntryKey, handoff::TrialEntry> entries;
    };

    std::int64_t now() const;
    Kept& kept_for(const Key& key);
    void count(handoff::Trial& trial, const handoff::TrialSeen& seen) const;
    void enter(const Key& key, Kept& kept, handoff::TrialSeen seen);
    void make_room(bool out);
    void expire();

    const Clock& clock_;
    BookLimits limits_;
    std::map<Key, Kept> trials_;
    bool changed_ = false;
};

/// Of all its days.
handoff::Trial::Day sum_of(const handoff::Trial& trial);

}  // namespace posthorn::trials
