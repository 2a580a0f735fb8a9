#include "aggregate/ledger.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::aggregate;

namespace {

struct LedgerFolder {
    LedgerFolder()
    {
        char name[] = "/tmp/posthorn-ledger.XXXXXX";
        path = ::mkdtemp(name);
    }
    ~LedgerFolder() { std::filesystem::remove_all(path); }
    std::string file() const { return path + "/aggregate_reports.db"; }
    std::string path;
};

constexpr Day first_day = std::chrono::year(2026) / 11 / 27, second_day = std::chrono::year(2026) / 11 / 28;
const Subject subject{.kind = Kind::tls, .domain = "example.com", .day = first_day};

std::map<std::string, std::uint64_t> rows_of(Ledger& ledger, const Subject& of)
{
    std::map<std::string, std::uint64_t> rows;
    ledger.each_row(of, [&rows](std::string_view row, std::uint64_t count) { rows[std::string(row)] = count; });
    return rows;
}

}  // namespace

TEST_CASE("ledger: what is seen adds up, and is there after a restart")
{
    LedgerFolder folder;
    {
        Ledger ledger(folder.file());
        CHECK(ledger.remark().empty());
        ledger.add({{subject, {.record = "old", .good = 2, .bad = 1, .rows = {{"a", 2}, {"b", 1}}}}});
        ledger.add({{subject, {.record = "new", .good = 3, .rows = {{"a", 3}}}},
                    {{Kind::dmarc, "example.com", first_day}, {.record = "d", .bad = 1, .rows = {{std::string("\0c", 2), 1}}}}});
    }
    Ledger ledger(folder.file());
    const auto report = ledger.report(subject);
    REQUIRE(report.has_value());
    CHECK(report->record == "new");
    CHECK(report->good == 5);
    CHECK(report->bad == 1);
    CHECK(report->state == Report::State::collecting);
    CHECK(rows_of(ledger, subject) == std::map<std::string, std::uint64_t>{{"a", 5}, {"b", 1}});
    CHECK(ledger.reports().size() == 2);
    CHECK(rows_of(ledger, {Kind::dmarc, "example.com", first_day}).begin()->first.size() == 2);
    CHECK_FALSE(ledger.report({Kind::tls, "else.test", first_day}));
    CHECK_THROWS_AS(Ledger{folder.file()}, spool::Failed);               // one process
}

TEST_CASE("ledger: where a report has been is kept, and its rows go when it is done; what comes after that is its next part")
{
    LedgerFolder folder;
    Ledger ledger(folder.file());
    ledger.add({{subject, {.record = "r", .good = 1, .rows = {{"a", 1}}}}});
    Report report = ledger.report(subject).value();
    report.state = Report::State::waiting;
    report.accepted = {"mailto:a@x.test", "https://x.test"};
    report.attempts = 2;
    report.note = "later";
    report.next = WallTime(std::chrono::microseconds(12345));
    ledger.put(report);
    ledger.add({{subject, {.record = "r", .good = 1, .rows = {{"a", 1}}}}});          // still of the same report
    report = ledger.report(subject).value();
    CHECK(report.state == Report::State::waiting);
    CHECK(report.accepted == std::vector<std::string>{"mailto:a@x.test", "https://x.test"});
    CHECK(report.attempts == 2);
    CHECK(report.note == "later");
    CHECK(report.next == WallTime(std::chrono::microseconds(12345)));
    CHECK(report.good == 2);
    report.state = Report::State::sent;
    ledger.finish(report);
    CHECK(rows_of(ledger, subject).empty());
    CHECK(ledger.report(subject)->good == 2);
    ledger.add({{subject, {.record = "r", .bad = 1, .rows = {{"z", 1}}}}});
    report = ledger.report(subject).value();
    CHECK(report.state == Report::State::collecting);
    CHECK(report.part == 2);
    CHECK(report.good == 0);
    CHECK(report.bad == 1);
    CHECK(report.accepted.empty());
    ledger.forget_before(second_day);
    CHECK(ledger.report(subject).has_value());                          // it is not done
    report.state = Report::State::given_up;
    ledger.finish(report);
    ledger.forget_before(first_day);
    CHECK(ledger.report(subject).has_value());
    ledger.forget_before(second_day);
    CHECK_FALSE(ledger.report(subject).has_value());
}

TEST_CASE("ledger: rows have bounds; what is beyond is counted")
{
    LedgerFolder folder;
    Ledger ledger(folder.file(), {.of_report = 2, .in_all = 3});
    ledger.add({{subject, {.record = "r", .good = 6, .rows = {{"a", 1}, {"b", 2}, {"c", 3}}}}});
    CHECK(rows_of(ledger, subject).size() == 2);
    CHECK(ledger.report(subject)->left_out == 3);
    CHECK(ledger.report(subject)->good == 6);
    ledger.add({{subject, {.record = "r", .good = 5, .rows = {{"a", 1}, {"d", 4}}}}});
    CHECK(ledger.report(subject)->left_out == 7);
    CHECK(rows_of(ledger, subject).at("a") == 2);
    const Subject other{.kind = Kind::tls, .domain = "else.test", .day = first_day};
    ledger.add({{other, {.record = "r", .good = 2, .rows = {{"a", 1}, {"b", 1}}}}});
    CHECK(rows_of(ledger, other).size() == 1);
    CHECK(ledger.report(other)->left_out == 1);
    Report done = ledger.report(subject).value();
    done.state = Report::State::sent;
    ledger.finish(done);                                                // its places are free again
    ledger.add({{other, {.record = "r", .good = 1, .rows = {{"c", 1}}}}});
    CHECK(rows_of(ledger, other).size() == 2);
}

TEST_CASE("ledger: no more reports than the bound; one that is forgotten makes room")
{
    LedgerFolder folder;
    const Subject other{.kind = Kind::tls, .domain = "else.test", .day = first_day},
        third{.kind = Kind::tls, .domain = "third.test", .day = first_day};
    const Seen one{.record = "r", .good = 1, .rows = {{"a", 1}}};
    {
        Ledger ledger(folder.file(), {.reports = 2});
        ledger.add({{subject, one}, {other, one}, {third, one}});
        CHECK(ledger.reports().size() == 2);
        CHECK_FALSE(ledger.report(third).has_value());
    }
    Ledger ledger(folder.file(), {.reports = 2});
    ledger.add({{subject, one}, {third, one}});
    CHECK(ledger.report(subject)->good == 2);
    CHECK_FALSE(ledger.report(third).has_value());
    Report done = ledger.report(other).value();
    done.state = Report::State::sent;
    ledger.finish(done);
    ledger.forget_before(second_day);
    ledger.add({{third, one}});
    CHECK(ledger.report(third).has_value());
}

TEST_CASE("ledger: a damaged file is put aside, and said")
{
    LedgerFolder folder;
    std::ofstream(folder.file()) << std::string(8192, 'x');
    Ledger ledger(folder.file());
    CHECK(ledger.remark().find("is put aside as") != std::string::npos);
    CHECK(std::filesystem::exists(folder.file() + ".damaged"));
    ledger.add({{subject, {.record = "r", .good = 1, .rows = {{"a", 1}}}}});
    CHECK(ledger.report(subject)->good == 1);
}
