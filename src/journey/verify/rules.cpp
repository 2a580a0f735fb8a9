#include "verify/rules.hpp"

namespace posthorn::verify {

namespace {

constexpr std::string_view in_progress_text = "Address verification in progress";

/// What is of a later time than now was written while the clock was ahead: it would be young for years, and a wrong refusal with it.
bool older(const Record& record, WallTime::duration age, WallTime now)
{
    constexpr std::chrono::hours steered{1};
    return record.updated > now + steered || record.updated + age < now;
}

}  // namespace

Worth worth(const Record& record, const Rules& rules)
{
    const bool good = record.kind == Finding::Kind::deliverable;
    return {record.updated + (good ? rules.positive_refresh : rules.negative_refresh),
            record.updated + (good ? rules.positive_expire : rules.negative_expire)};
}

bool worth_refreshing(const Record& record, WallTime now, const Rules& rules)
{
    return record.kind != Finding::Kind::in_progress && older(record, (worth(record, rules).refresh - record.updated) / 2, now);
}

bool expired(const Record& record, WallTime now, const Rules& rules)
{
    return older(record, record.kind == Finding::Kind::deliverable ? rules.positive_expire : rules.negative_expire, now);
}

Opinion opinion(const std::optional<Record>& record, bool outstanding, WallTime now, const Rules& rules)
{
    const bool good = record && record->kind == Finding::Kind::deliverable;
    if (!record || record->kind == Finding::Kind::in_progress || (expired(*record, now, rules) && !(good && outstanding)))
        return {Finding(Finding::Kind::in_progress, std::string(in_progress_text)), true};
    return {Finding(record->kind, record->text), older(*record, good ? rules.positive_refresh : rules.negative_refresh, now)};
}

bool control_due(const std::optional<Record>& record, WallTime now, const Rules& rules)
{
    const auto known = [&] { return record->kind == Finding::Kind::deliverable || record->kind == Finding::Kind::undeliverable; };
    return !record || older(*record, known() ? rules.positive_refresh : rules.negative_refresh, now);
}

std::optional<Record> updated(const std::optional<Record>& before, const Finding& finding, WallTime now, const Rules& rules)
{
    if (finding.kind == Finding::Kind::in_progress)
        return std::nullopt;
    if (finding.kind != Finding::Kind::deliverable) {
        if (!rules.negative_cache)
            return std::nullopt;
        if (before && before->kind == Finding::Kind::deliverable && !expired(*before, now, rules))
            return std::nullopt;
    }
    return Record(finding.kind, std::chrono::floor<std::chrono::seconds>(now), finding.text);
}

}  // namespace posthorn::verify
