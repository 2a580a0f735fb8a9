#include "observe/asked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::observe {

namespace {

constexpr std::array<std::string_view, 9> names{"milter", "policy", "proxy-filter", "dns-list", "table", "sasl", "queue", "dns", "verification"};

std::chrono::microseconds between(SteadyTime begin, SteadyTime end)
{
    return std::chrono::duration_cast<std::chrono::microseconds>(std::max(end, begin) - begin);
}

std::int64_t seconds(std::chrono::microseconds time) { return std::chrono::duration_cast<std::chrono::seconds>(time).count(); }

bool is_worth_lines(Helper kind) { return kind != Helper::dns && kind != Helper::verification; }

}  // namespace

std::string_view name_of(Helper kind) { return names[static_cast<std::size_t>(kind)]; }

Asked& Asked::here()
{
    thread_local Asked asked;
    return asked;
}

Asked::Entry& Asked::entry(Helper kind, std::string_view name)
{
    name = name.substr(0, name_octets);
    auto at = entries_.find(std::pair<Helper, std::string_view>(kind, name));
    if (at == entries_.end())
        at = entries_.try_emplace({kind, std::string(entries_.size() < most ? name : "other")}).first;
    return at->second;
}

void Asked::Entry::turn(SteadyTime now)
{
    if (now - half_began < lately)
        return;
    half_before = now - half_began < 2 * lately ? this_half : std::chrono::microseconds{};
    this_half = {};
    half_began = now;
}

std::vector<std::pair<Asked::Key, Asked::Numbers>> Asked::numbers(SteadyTime now)
{
    std::vector<std::pair<Key, Numbers>> all;
    for (auto& [key, entry] : entries_) {
        entry.turn(now);
        Numbers numbers;
        numbers.took = entry.took;
        numbers.failed = entry.failed;
        numbers.open = entry.open;
        if (entry.first != nullptr)
            numbers.oldest = between(entry.first->began_, now);
        numbers.longest = std::max({entry.this_half, entry.half_before, numbers.oldest});
        all.emplace_back(key, numbers);
    }
    return all;
}

std::vector<Asked::News> Asked::news(SteadyTime now, std::chrono::microseconds after)
{
    std::vector<News> all;
    if (after <= std::chrono::microseconds{})
        return all;
    for (auto& [key, entry] : entries_) {
        const auto& [kind, name] = key;
        if (!is_worth_lines(kind))
            continue;
        const bool answered_since = entry.took.count() - entry.failed > entry.answered_then;
        if (entry.first != nullptr && now - entry.first->began_ >= after && (!entry.said || now - *entry.said >= between_lines)) {
            if (!entry.silent_since || answered_since)
                entry.silent_since = entry.first->began_;
            entry.said = now;
            entry.answered_then = entry.took.count() - entry.failed;
            all.push_back({false, fmt::format("{} {}: no answer for {} s{}", name_of(kind), name, seconds(between(entry.first->began_, now)),
                                              entry.open == 1 ? "" : fmt::format(" to the oldest of {} questions", entry.open))});
        } else if (entry.silent_since && answered_since && (entry.first == nullptr || now - entry.first->began_ < after)) {
            all.push_back({true, fmt::format("{} {}: answers again, after {} s", name_of(kind), name, seconds(between(*entry.silent_since, now)))});
            entry.silent_since.reset();
        }
    }
    return all;
}

Question::Question(Helper kind, std::string_view name, SteadyTime now, Asked& among) : entry_(&among.entry(kind, name)), began_(now)
{
    before_ = entry_->last;
    (before_ != nullptr ? before_->behind_ : entry_->first) = this;
    entry_->last = this;
    ++entry_->open;
}

Question::~Question()
{
    if (entry_ != nullptr)
        unlink();
}

void Question::ended(bool answered, SteadyTime now)
{
    if (entry_ == nullptr)
        return;
    const auto took = between(began_, now);
    entry_->took.add(took);
    entry_->failed += answered ? 0 : 1;
    entry_->turn(now);
    entry_->this_half = std::max(entry_->this_half, took);
    unlink();
}

void Question::unlink()
{
    (before_ != nullptr ? before_->behind_ : entry_->first) = behind_;
    (behind_ != nullptr ? behind_->before_ : entry_->last) = before_;
    --entry_->open;
    entry_ = nullptr;
}

}  // namespace posthorn::observe
