#include "aggregate/ledger.hpp"

#include "aggregate/database.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace posthorn::aggregate {

using spool::Statement;

namespace {

constexpr std::string_view schema = R"(
CREATE TABLE IF NOT EXISTS report(kind INTEGER, domain TEXT, day INTEGER, record BLOB, good INTEGER, bad INTEGER, left_out INTEGER, rows INTEGER,
  part INTEGER, state INTEGER, next INTEGER, attempts INTEGER, accepted BLOB, note BLOB, PRIMARY KEY(kind, domain, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen(kind INTEGER, domain TEXT, day INTEGER, row BLOB, count INTEGER, PRIMARY KEY(kind, domain, day, row)) WITHOUT ROWID;
)";
constexpr std::string_view report_columns = "kind, domain, day, record, good, bad, left_out, part, state, next, attempts, accepted, note";

std::int64_t number_of(Day day) { return day.time_since_epoch().count(); }

Statement& bind_subject(Statement& statement, const Subject& subject)
{
    return statement.bind(1, static_cast<std::int64_t>(subject.kind)).bind_text(2, subject.domain).bind(3, number_of(subject.day));
}

Report report_of(const Statement& row)
{
    Report report;
    report.subject = {.kind = static_cast<Kind>(row.integer(0)), .domain = std::string(row.blob(1)), .day = Day(std::chrono::days(row.integer(2)))};
    report.record = row.blob(3);
    report.good = static_cast<std::uint64_t>(row.integer(4));
    report.bad = static_cast<std::uint64_t>(row.integer(5));
    report.left_out = static_cast<std::uint64_t>(row.integer(6));
    report.part = static_cast<unsigned>(row.integer(7));
    report.state = static_cast<Report::State>(row.integer(8));
    report.next = WallTime(std::chrono::microseconds(row.integer(9)));
    report.attempts = static_cast<unsigned>(row.integer(10));
    for (const std::string_view one : split(row.blob(11), "\n"))
        report.accepted.emplace_back(one);
    report.note = row.blob(12);
    return report;
}

}  // namespace

Ledger::Ledger(const std::string& file, LedgerLimits limits)
    : limits_(limits), database_(open_database(file, std::string(schema), "counting begins anew", remark_))
{
    rows_ = static_cast<std::size_t>(database_->number("SELECT count(*) FROM seen"));
    reports_ = static_cast<std::size_t>(database_->number("SELECT count(*) FROM report"));
}

void Ledger::add(const std::map<Subject, Seen>& seen)
{
    Transaction transaction(*database_);
    std::size_t rows = rows_, reports = reports_;
    Statement known(*database_, "SELECT rows, state, part FROM report WHERE kind=?1 AND domain=?2 AND day=?3");
    Statement total(*database_,
                    "INSERT INTO report(kind, domain, day, record, good, bad, left_out, rows, part, state, next, attempts, accepted, note) "
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, x'', x'') ON CONFLICT DO UPDATE SET record=?4, good=good+?5, "
                    "bad=bad+?6, left_out=left_out+?7, rows=?8");
    Statement drop(*database_, "DELETE FROM report WHERE kind=?1 AND domain=?2 AND day=?3");
    Statement more(*database_, "UPDATE seen SET count=count+?5 WHERE kind=?1 AND domain=?2 AND day=?3 AND row=?4");
    Statement first(*database_, "INSERT INTO seen(kind, domain, day, row, count) VALUES(?1, ?2, ?3, ?4, ?5)");
    for (const auto& [subject, what] : seen) {
        std::int64_t of_report = 0, part = 1, left_out = 0;
        bool done = false;
        const bool is_known = bind_subject(known, subject).step();
        if (is_known) {
            done = static_cast<Report::State>(known.integer(1)) >= Report::State::sent;
            of_report = done ? 0 : known.integer(0);
            part = known.integer(2) + (done ? 1 : 0);
        }
        known.reset();
        if (!is_known && reports++ >= limits_.reports) {
            reports = limits_.reports;
            continue;
        }
        if (done)
            bind_subject(drop, subject).run();
        for (const auto& [row, count] : what.rows) {
            bind_subject(more, subject).bind(4, std::string_view(row)).bind(5, static_cast<std::int64_t>(count)).run();
            if (database_->changes() > 0)
                continue;
            if (static_cast<std::size_t>(of_report) >= limits_.of_report || rows >= limits_.in_all) {
                left_out += static_cast<std::int64_t>(count);
                continue;
            }
            bind_subject(first, subject).bind(4, std::string_view(row)).bind(5, static_cast<std::int64_t>(count)).run();
            ++of_report;
            ++rows;
        }
        bind_subject(total, subject).bind(4, std::string_view(what.record)).bind(5, static_cast<std::int64_t>(what.good));
        total.bind(6, static_cast<std::int64_t>(what.bad)).bind(7, left_out).bind(8, of_report).bind(9, part).run();
    }
    transaction.commit();
    rows_ = rows;
    reports_ = reports;
}

std::vector<Report> Ledger::reports()
{
    std::vector<Report> all;
    Statement statement(*database_, fmt::format("SELECT {} FROM report ORDER BY day, kind, domain", report_columns));
    while (statement.step())
        all.push_back(report_of(statement));
    return all;
}

std::optional<Report> Ledger::report(const Subject& subject)
{
    Statement statement(*database_, fmt::format("SELECT {} FROM report WHERE kind=?1 AND domain=?2 AND day=?3", report_columns));
    const spool::ResetAtEnd reset{statement};
    return bind_subject(statement, subject).step() ? std::optional(report_of(statement)) : std::nullopt;
}

void Ledger::each_row(const Subject& subject, const std::function<void(std::string_view, std::uint64_t)>& take)
{
    Statement statement(*database_, "SELECT row, count FROM seen WHERE kind=?1 AND domain=?2 AND day=?3");
    bind_subject(statement, subject);
    while (statement.step())
        take(statement.blob(0), static_cast<std::uint64_t>(statement.integer(1)));
}

void Ledger::write(const Report& report)
{
    Statement statement(*database_, "UPDATE report SET state=?4, next=?5, attempts=?6, accepted=?7, note=?8 WHERE kind=?1 AND domain=?2 AND day=?3");
    const std::string accepted = fmt::format("{}", fmt::join(report.accepted, "\n"));
    bind_subject(statement, report.subject).bind(4, static_cast<std::int64_t>(report.state)).bind(5, report.next.time_since_epoch().count());
    statement.bind(6, static_cast<std::int64_t>(report.attempts)).bind(7, std::string_view(accepted)).bind(8, std::string_view(report.note)).run();
}

void Ledger::put(const Report& report)
{
    Transaction transaction(*database_);
    write(report);
    transaction.commit();
}

void Ledger::finish(const Report& report)
{
    Transaction transaction(*database_);
    write(report);
    Statement gone(*database_, "DELETE FROM seen WHERE kind=?1 AND domain=?2 AND day=?3");
    bind_subject(gone, report.subject).run();
    const auto left = static_cast<std::size_t>(database_->changes());
    transaction.commit();
    rows_ -= std::min(rows_, left);
}

void Ledger::forget_before(Day day)
{
    Transaction transaction(*database_);
    Statement statement(*database_, "DELETE FROM report WHERE day<?1 AND state>=?2");
    statement.bind(1, number_of(day)).bind(2, static_cast<std::int64_t>(Report::State::sent)).run();
    const auto gone = static_cast<std::size_t>(database_->changes());
    transaction.commit();
    reports_ -= std::min(reports_, gone);
}

}  // namespace posthorn::aggregate
