#include "heard/ledger.hpp"

#include "aggregate/database.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::heard {

using spool::Statement;

namespace {

constexpr std::string_view heard_schema = R"(
CREATE TABLE IF NOT EXISTS report(number INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER, domain TEXT, organization BLOB, report BLOB, contact BLOB, policy BLOB,
  begin INTEGER, end INTEGER, good INTEGER, bad INTEGER, left_out INTEGER, author BLOB, sender BLOB, proof BLOB, queue_id BLOB, arrived INTEGER,
  arrival_day INTEGER, day INTEGER, octets INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS once ON report(kind, domain, organization, report);
CREATE INDEX IF NOT EXISTS of_day ON report(domain, arrival_day);
CREATE TABLE IF NOT EXISTS said(report INTEGER, place INTEGER, octets BLOB, count INTEGER, good INTEGER, PRIMARY KEY(report, place)) WITHOUT ROWID;
)";
constexpr std::string_view entry_columns =
    "number, kind, domain, organization, report, contact, policy, begin, end, good, bad, left_out, author, sender, proof, queue_id, arrived, day";

constexpr std::size_t octets_of_row = 64;                  // beside what it says

std::int64_t microseconds(WallTime time) { return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count(); }
WallTime time_at(std::int64_t microseconds) { return WallTime(std::chrono::microseconds(microseconds)); }

Entry entry_of(const Statement& row)
{
    Entry entry;
    entry.number = static_cast<std::uint64_t>(row.integer(0));
    Report& report = entry.report;
    report.kind = static_cast<aggregate::Kind>(row.integer(1));
    report.domain = row.blob(2);
    report.organization = row.blob(3);
    report.id = row.blob(4);
    report.contact = row.blob(5);
    report.policy = row.blob(6);
    report.begin = time_at(row.integer(7));
    report.end = time_at(row.integer(8));
    report.good = static_cast<std::uint64_t>(row.integer(9));
    report.bad = static_cast<std::uint64_t>(row.integer(10));
    report.left_out = static_cast<std::uint64_t>(row.integer(11));
    entry.origin.author = row.blob(12);
    entry.origin.sender = row.blob(13);
    entry.origin.proof = row.blob(14);
    entry.origin.queue_id = row.blob(15);
    entry.origin.arrived = time_at(row.integer(16));
    entry.day = aggregate::Day(std::chrono::days(row.integer(17)));
    return entry;
}

}  // namespace

aggregate::Day day_of(const Report& report, WallTime arrived)
{
    constexpr std::chrono::days longest{40};
    const bool said =
        report.begin != WallTime{} && report.end >= report.begin && report.end <= arrived + std::chrono::days{2} && report.begin >= arrived - longest;
    return std::chrono::floor<std::chrono::days>(said ? report.begin + (report.end - report.begin) / 2 : arrived);
}

Ledger::Ledger(const std::string& file, LedgerLimits limits)
    : limits_(limits), database_(aggregate::open_database(file, std::string(heard_schema), "what was reported is lost", remark_))
{
    count();
}

void Ledger::count()
{
    reports_ = static_cast<std::size_t>(database_->number("SELECT count(*) FROM report"));
    octets_ = static_cast<std::size_t>(database_->number("SELECT coalesce(sum(octets), 0) FROM report"));
}

bool Ledger::has_room(const Report& report, std::size_t size, aggregate::Day arrival, std::size_t reports, std::size_t octets)
{
    Statement today(*database_, "SELECT count(*), coalesce(sum(octets), 0) FROM report WHERE domain=?1 AND arrival_day=?2");
    const spool::ResetAtEnd reset{today};
    today.bind_text(1, report.domain).bind(2, static_cast<std::int64_t>(arrival.time_since_epoch().count())).step();
    if (static_cast<std::size_t>(today.integer(0)) >= limits_.of_domain_and_day ||
        static_cast<std::size_t>(today.integer(1)) + size > limits_.octets_of_domain_and_day)
        return false;
    Statement known(*database_, "SELECT 1 FROM report WHERE domain=?1 LIMIT 1");
    const spool::ResetAtEnd reset_known{known};
    if (!known.bind_text(1, report.domain).step() &&
        static_cast<std::size_t>(database_->number("SELECT count(DISTINCT domain) FROM report")) >= limits_.domains)
        return false;
    return reports < limits_.reports && octets + size <= limits_.octets;
}

std::vector<Ledger::Kept> Ledger::keep(const std::vector<Report>& reports, const Origin& origin)
{
    std::vector<Kept> became;
    const aggregate::Day arrival = std::chrono::floor<std::chrono::days>(origin.arrived);
    std::size_t kept = reports_, octets = octets_;
    aggregate::Transaction transaction(*database_);
    Statement known(*database_, "SELECT 1 FROM report WHERE kind=?1 AND domain=?2 AND organization=?3 AND report=?4");
    Statement add(
        *database_,
        "INSERT INTO report(kind, domain, organization, report, contact, policy, begin, end, good, bad, left_out, author, sender, proof, queue_id, "
        "arrived, arrival_day, day, octets) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)");
    Statement add_row(*database_, "INSERT INTO said(report, place, octets, count, good) VALUES(?1, ?2, ?3, ?4, ?5)");
    for (const Report& report : reports) {
        known.bind(1, static_cast<std::int64_t>(report.kind)).bind_text(2, report.domain);
        const bool again = known.bind(3, std::string_view(report.organization)).bind(4, std::string_view(report.id)).step();
        known.reset();
        std::vector<std::string> rows;
        std::size_t size = 0;
        for (const Row& row : report.rows) {
            rows.push_back(report.kind == aggregate::Kind::dmarc ? row.dmarc.SerializeAsString() : row.tls.SerializeAsString());
            size += rows.back().size() + octets_of_row;
        }
        if (again || !has_room(report, size, arrival, kept, octets)) {
            became.push_back(again ? Kept::known : Kept::no_room);
            continue;
        }
        add.bind(1, static_cast<std::int64_t>(report.kind)).bind_text(2, report.domain).bind(3, std::string_view(report.organization));
        add.bind(4, std::string_view(report.id)).bind(5, std::string_view(report.contact)).bind(6, std::string_view(report.policy));
        add.bind(7, microseconds(report.begin)).bind(8, microseconds(report.end)).bind(9, static_cast<std::int64_t>(report.good));
        add.bind(10, static_cast<std::int64_t>(report.bad)).bind(11, static_cast<std::int64_t>(report.left_out));
        add.bind(12, std::string_view(origin.author)).bind(13, std::string_view(origin.sender)).bind(14, std::string_view(origin.proof));
        add.bind(15, std::string_view(origin.queue_id)).bind(16, microseconds(origin.arrived));
        add.bind(17, static_cast<std::int64_t>(arrival.time_since_epoch().count()));
        add.bind(18, static_cast<std::int64_t>(day_of(report, origin.arrived).time_since_epoch().count()));
        add.bind(19, static_cast<std::int64_t>(size)).run();
        const std::int64_t number = database_->number("SELECT last_insert_rowid()");
        for (std::size_t place = 0; place < rows.size(); ++place) {
            add_row.bind(1, number).bind(2, static_cast<std::int64_t>(place)).bind(3, std::string_view(rows[place]));
            add_row.bind(4, static_cast<std::int64_t>(report.rows[place].count)).bind(5, static_cast<std::int64_t>(report.rows[place].good)).run();
        }
        became.push_back(Kept::kept);
        ++kept;
        octets += size;
    }
    transaction.commit();
    reports_ = kept;
    octets_ = octets;
    return became;
}

std::vector<Entry> Ledger::entries(std::string_view domain, aggregate::Day since)
{
    std::vector<Entry> all;
    Statement statement(
        *database_, fmt::format("SELECT {} FROM report WHERE (?1='' OR domain=?1) AND day>=?2 ORDER BY arrived DESC, number DESC", entry_columns));
    statement.bind_text(1, domain).bind(2, static_cast<std::int64_t>(since.time_since_epoch().count()));
    while (statement.step())
        all.push_back(entry_of(statement));
    return all;
}

std::optional<Entry> Ledger::entry(std::uint64_t number)
{
    Statement statement(*database_, fmt::format("SELECT {} FROM report WHERE number=?1", entry_columns));
    const spool::ResetAtEnd reset{statement};
    return statement.bind(1, static_cast<std::int64_t>(number)).step() ? std::optional(entry_of(statement)) : std::nullopt;
}

void Ledger::each_row(const Entry& entry, const std::function<void(const Row&)>& take)
{
    Statement statement(*database_, "SELECT octets, count, good FROM said WHERE report=?1 ORDER BY place");
    statement.bind(1, static_cast<std::int64_t>(entry.number));
    while (statement.step()) {
        Row row;
        const std::string_view octets = statement.blob(0);
        const bool read = entry.report.kind == aggregate::Kind::dmarc ? row.dmarc.ParseFromArray(octets.data(), static_cast<int>(octets.size()))
                                                                      : row.tls.ParseFromArray(octets.data(), static_cast<int>(octets.size()));
        if (!read)
            throw spool::Failed(spool::Failed::Kind::damaged, "a row of a report that came cannot be read");
        row.count = static_cast<std::uint64_t>(statement.integer(1));
        row.good = statement.integer(2) != 0;
        take(row);
    }
}

void Ledger::forget_before(WallTime time)
{
    aggregate::Transaction transaction(*database_);
    Statement rows(*database_, "DELETE FROM said WHERE report IN (SELECT number FROM report WHERE arrived<?1)");
    rows.bind(1, microseconds(time)).run();
    Statement reports(*database_, "DELETE FROM report WHERE arrived<?1");
    reports.bind(1, microseconds(time)).run();
    transaction.commit();
    count();
}

}  // namespace posthorn::heard
