#include "verify/told.hpp"

#include <algorithm>

namespace posthorn::verify {

namespace {

using Kind = Finding::Kind;
using std::chrono::milliseconds;

/// Evidence that differs by less is the same, told once more.
constexpr std::chrono::seconds told_again{10};

bool may_be_about_who_asks(std::string_view text) { return text.find(" 5.7.") != text.npos; }

}  // namespace

std::optional<Told> told_of(std::string_view key, const Record& record, WallTime now, const Rules& rules)
{
    const bool good = record.kind == Kind::deliverable;
    if (!record.told_by.empty() || key.empty() || key.size() > key_limit || key.find(':') != key.npos || expired(record, now, rules) ||
        (!good && (record.kind != Kind::undeliverable || may_be_about_who_asks(record.text))))
        return std::nullopt;
    return Told{std::string(key), record.kind, record.text, std::max(milliseconds{0}, std::chrono::floor<milliseconds>(now - record.updated))};
}

std::optional<Record> heard(const std::optional<Record>& before, const Told& told, std::string_view by, WallTime now, const Rules& rules)
{
    const WallTime when = now - told.age;
    // What was put off here says nothing against what was found there, whichever came first.
    const bool says_nothing =
        before && (before->kind == Kind::in_progress || before->updated > now || (before->kind == Kind::deferred && told.kind == Kind::deliverable));
    if (before && !says_nothing && when <= before->updated + told_again)
        return std::nullopt;
    auto record = updated(before, Finding(told.kind, told.text), when, rules);
    if (!record || expired(*record, now, rules))
        return std::nullopt;
    record->told_by = by;
    return record;
}

}  // namespace posthorn::verify
