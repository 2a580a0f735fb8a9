#include "trials/book.hpp"

#include "base/strings.hpp"
#include "trials/group.hpp"

#include <algorithm>
#include <functional>
#include <tuple>

namespace posthorn::trials {

using handoff::Trial;
using handoff::TrialEntry;
using handoff::Trials;
using handoff::TrialsCommand;
using handoff::TrialSeen;

namespace {

constexpr std::int64_t microseconds_of_day = 86'400'000'000;

bool has_word(const std::string& text, const std::string& word) { return to_lower(text).find(to_lower(word)) != std::string::npos; }

/// `words` empty: all do.
bool fits(std::initializer_list<const std::string*> texts, const TrialsCommand& question)
{
    return question.words_size() == 0 || std::ranges::any_of(question.words(), [&](const std::string& word) {
               return std::ranges::any_of(texts, [&](const std::string* text) { return has_word(*text, word); });
           });
}

}  // namespace

Trial::Day sum_of(const Trial& trial)
{
    Trial::Day sum;
    for (const Trial::Day& day : trial.days()) {
        sum.set_passed(sum.passed() + day.passed());
        sum.set_unheld(sum.unheld() + day.unheld());
        sum.set_refused(sum.refused() + day.refused());
        sum.set_unknown(sum.unknown() + day.unknown());
    }
    return sum;
}

std::int64_t Book::now() const { return clock_.wall().time_since_epoch().count(); }

void Book::restore(const Trials& stored)
{
    trials_.clear();
    for (const Trial& trial : stored.trials()) {
        Kept& kept = kept_for({trial.out(), trial.tried()});
        kept.counts = trial;
        kept.counts.clear_entries();
        kept.counts.set_last(std::min(trial.last(), now()));
        for (Trial::Day& day : *kept.counts.mutable_days())
            day.set_day(std::min(day.day(), now() / microseconds_of_day));
        for (const TrialEntry& entry : trial.entries()) {
            TrialEntry& made = kept.entries[{entry.unknown(), entry.whom(), entry.host(), entry.reason()}];
            made = entry;
            made.set_first(std::min(entry.first(), now()));
            made.set_last(std::min(entry.last(), now()));
        }
    }
    make_room(false);
    make_room(true);
    expire();
    changed_ = false;
}

Book::Kept& Book::kept_for(const Key& key)
{
    if (const auto at = trials_.find(key); at != trials_.end())
        return at->second;
    const auto is_same = [&](const auto& one) { return one.first.out == key.out; };
    if (static_cast<std::size_t>(std::ranges::count_if(trials_, is_same)) >= limits_.trials) {
        auto oldest = trials_.end();
        for (auto at = trials_.begin(); at != trials_.end(); ++at)
            if (is_same(*at) && (oldest == trials_.end() || at->second.counts.last() < oldest->second.counts.last()))
                oldest = at;
        trials_.erase(oldest);
    }
    Kept& made = trials_[key];
    made.counts.set_out(key.out);
    made.counts.set_tried(key.tried);
    return made;
}

void Book::count(Trial& trial, const TrialSeen& seen) const
{
    const std::int64_t today = now() / microseconds_of_day;
    // A clock that went back counts on in the last day there is.
    if (trial.days_size() == 0 || trial.days(trial.days_size() - 1).day() < today)
        trial.add_days()->set_day(today);
    Trial::Day& day = *trial.mutable_days(trial.days_size() - 1);
    switch (seen.outcome()) {
    case TrialSeen::UNHELD: day.set_unheld(day.unheld() + seen.count()); [[fallthrough]];
    case TrialSeen::PASSED: day.set_passed(day.passed() + seen.count()); break;
    case TrialSeen::REFUSED: day.set_refused(day.refused() + seen.count()); break;
    default: day.set_unknown(day.unknown() + seen.count());
    }
    trial.set_last(now());
}

void Book::take(TrialSeen seen)
{
    if (seen.tried().empty() || seen.count() == 0)
        return;
    changed_ = true;
    if (!seen.out()) {
        seen.set_whom(client_group(seen.whom(), seen.host()));
        seen.clear_host();
        seen.set_reason(general_reason(seen.reason(), seen.sample()));
    }
    const auto shorten = [&](std::string& text) { text.resize(std::min(text.size(), limits_.octets)); };
    for (std::string* const word : {seen.mutable_tried(), seen.mutable_whom(), seen.mutable_host(), seen.mutable_reason()})
        shorten(*word);
    handoff::TrialSample& sample = *seen.mutable_sample();
    for (std::string* const word : {sample.mutable_queue_id(), sample.mutable_peer(), sample.mutable_sender(), sample.mutable_recipient()})
        shorten(*word);
    const Key key{seen.out(), seen.tried()};
    Kept& kept = kept_for(key);
    count(kept.counts, seen);
    if (seen.outcome() == TrialSeen::REFUSED || seen.outcome() == TrialSeen::UNKNOWN)
        enter(key, kept, std::move(seen));
    expire();
}

void Book::enter(const Key& key, Kept& kept, TrialSeen seen)
{
    const bool unknown = seen.outcome() == TrialSeen::UNKNOWN;
    TrialEntry& entry = kept.entries[{unknown, seen.whom(), seen.host(), seen.reason()}];
    if (entry.count() == 0) {
        entry.set_whom(seen.whom());
        entry.set_host(seen.host());
        entry.set_reason(seen.reason());
        entry.set_unknown(unknown);
        entry.set_first(now());
    }
    entry.set_count(entry.count() + seen.count());
    entry.set_last(now());
    if (seen.sample().time() == 0)
        seen.mutable_sample()->set_time(now());
    *entry.add_samples() = seen.sample();
    std::rotate(entry.mutable_samples()->rbegin(), entry.mutable_samples()->rbegin() + 1, entry.mutable_samples()->rend());
    while (entry.samples_size() > limits_.samples)
        entry.mutable_samples()->RemoveLast();
    make_room(key.out);
}

void Book::make_room(bool out)
{
    std::size_t entries = 0;
    for (const auto& [key, kept] : trials_)
        entries += key.out == out ? kept.entries.size() : 0;
    for (; entries > limits_.entries; --entries) {
        Kept* whose = nullptr;
        std::map<EntryKey, TrialEntry>::iterator oldest;
        for (auto& [key, kept] : trials_)
            for (auto at = kept.entries.begin(); key.out == out && at != kept.entries.end(); ++at)
                if (!whose || at->second.last() < oldest->second.last()) {
                    whose = &kept;
                    oldest = at;
                }
        whose->counts.set_left_out(whose->counts.left_out() + 1);
        whose->entries.erase(oldest);
    }
}

void Book::expire()
{
    const std::int64_t first = now() - limits_.keep_days * microseconds_of_day;
    for (auto& [key, kept] : trials_) {
        auto& days = *kept.counts.mutable_days();
        if (!days.empty() && days.begin()->day() >= first / microseconds_of_day)
            continue;                                                 // entries are no older than the first day
        const auto kept_days = std::ranges::find_if(days, [&](const Trial::Day& day) { return day.day() >= first / microseconds_of_day; });
        days.erase(days.begin(), kept_days);
        std::erase_if(kept.entries, [&](const auto& one) { return one.second.last() < first; });
        changed_ = true;
    }
    std::erase_if(trials_, [](const auto& one) { return one.second.counts.days_size() == 0; });
}

Trials Book::tell(const TrialsCommand& question) const
{
    Trials told;
    const std::int64_t since = std::max(question.since(), now() - limits_.keep_days * microseconds_of_day);
    for (const auto& [key, kept] : trials_) {
        if (question.direction() != TrialsCommand::BOTH && key.out != (question.direction() == TrialsCommand::OUT))
            continue;
        const bool all = fits({&key.tried}, question);
        Trial trial = kept.counts;
        auto& days = *trial.mutable_days();
        days.erase(days.begin(), std::ranges::find_if(days, [&](const Trial::Day& day) { return day.day() >= since / microseconds_of_day; }));
        for (const auto& [entry_key, entry] : kept.entries)
            if (entry.last() >= since && (all || fits({&entry.whom(), &entry.host(), &entry.reason()}, question)))
                *trial.add_entries() = entry;
        std::ranges::sort(*trial.mutable_entries(), std::ranges::greater{}, [](const TrialEntry& one) {
            return std::tuple(!one.unknown(), one.count(), one.last(), one.whom(), one.host(), one.reason());
        });
        if (trial.entries_size() > 0 || (all && trial.days_size() > 0))
            *told.add_trials() = std::move(trial);
    }
    return told;
}

Trials Book::store()
{
    expire();
    changed_ = false;
    Trials stored;
    for (const auto& [key, kept] : trials_) {
        Trial& trial = *stored.add_trials();
        trial = kept.counts;
        for (const auto& [entry_key, entry] : kept.entries)
            *trial.add_entries() = entry;
    }
    return stored;
}

void Book::forget()
{
    changed_ = changed_ || !trials_.empty();
    trials_.clear();
}

std::size_t Book::entries() const
{
    std::size_t all = 0;
    for (const auto& [key, kept] : trials_)
        all += kept.entries.size();
    return all;
}

}  // namespace posthorn::trials
