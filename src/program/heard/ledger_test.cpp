#include "heard/heard_testing.hpp"
#include "heard/ledger.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

class HeardFolder {
public:
    HeardFolder() { std::filesystem::create_directories(path_); }
    HeardFolder(HeardFolder&&) = delete;
    ~HeardFolder() { std::filesystem::remove_all(path_); }
    std::string file() const { return path_ + "/received_reports.db"; }

private:
    std::string path_ = fmt::format("/tmp/posthorn-heard-{}", ::getpid());
};

constexpr WallTime noon{std::chrono::sys_days{std::chrono::year(2025) / 11 / 28}.time_since_epoch() + std::chrono::hours{12}};

Report dmarc_of(std::string id, std::string domain = "example.com", unsigned rows = 1)
{
    Report report{.kind = aggregate::Kind::dmarc, .organization = "receiver.test", .id = std::move(id), .domain = std::move(domain)};
    for (unsigned i = 0; i < rows; ++i) {
        Row row{.dmarc = {}, .tls = {}, .count = i + 1, .good = i % 2 == 0};
        row.dmarc.set_source(fmt::format("192.0.2.{}", i));
        report.add(std::move(row));
    }
    return report;
}

Origin arrived(WallTime time)
{
    return {.author = "A <a@receiver.test>", .sender = "a@receiver.test", .proof = "dkim=pass", .queue_id = "4b", .arrived = time};
}

using Kept = Ledger::Kept;
/// What a row of dmarc_of() takes.
constexpr std::size_t row_size = 75;

}  // namespace

TEST_CASE("ledger: a report is there after a restart as it came, and once however often it comes")
{
    HeardFolder folder;
    Report report = dmarc_of("1", "example.com", 3);
    report.policy = "p=reject";
    report.contact = "c@receiver.test";
    report.begin = noon - std::chrono::days{1};
    report.end = noon - std::chrono::hours{2};
    {
        Ledger ledger(folder.file());
        CHECK(ledger.keep({report}, arrived(noon)) == std::vector{Kept::kept});
        CHECK(ledger.keep({report}, arrived(noon)) == std::vector{Kept::known});
        CHECK_THROWS_AS(Ledger{folder.file()}, spool::Failed);               // one process
    }
    Ledger ledger(folder.file());
    CHECK(ledger.keep({report, dmarc_of("2")}, arrived(noon)) == std::vector{Kept::known, Kept::kept});
    const auto all = ledger.entries("", {});
    REQUIRE(all.size() == 2);
    CHECK(all[0].report.id == "2");
    CHECK(all[0].day == std::chrono::floor<std::chrono::days>(noon));
    const auto found = ledger.entry(all[1].number);
    REQUIRE(found);
    CHECK(found->report.policy == "p=reject");
    CHECK(found->report.contact == "c@receiver.test");
    CHECK(found->report.organization == "receiver.test");
    CHECK(found->report.good == 4);
    CHECK(found->report.bad == 2);
    CHECK(found->report.begin == report.begin);
    CHECK(found->day == std::chrono::floor<std::chrono::days>(noon) - std::chrono::days{1});
    CHECK(found->origin.author == "A <a@receiver.test>");
    CHECK(found->origin.proof == "dkim=pass");
    std::vector<std::string> sources;
    ledger.each_row(*found, [&](const Row& row) { sources.push_back(fmt::format("{} {} {}", row.dmarc.source(), row.count, row.good)); });
    CHECK(sources == std::vector<std::string>{"192.0.2.0 1 true", "192.0.2.1 2 false", "192.0.2.2 3 true"});
    CHECK_FALSE(ledger.entry(99));
}

TEST_CASE("ledger: the same id by another organization, of another domain or kind, is another report")
{
    HeardFolder folder;
    Ledger ledger(folder.file());
    Report other = dmarc_of("1");
    other.organization = "other.test";
    Report tls = dmarc_of("1");
    tls.kind = aggregate::Kind::tls;
    tls.rows.clear();
    CHECK(ledger.keep({dmarc_of("1"), other, tls, dmarc_of("1", "b.test"), dmarc_of("1")}, arrived(noon)) ==
          std::vector{Kept::kept, Kept::kept, Kept::kept, Kept::kept, Kept::known});
    CHECK(ledger.entries("b.test", {}).size() == 1);
    CHECK(ledger.entries("", std::chrono::floor<std::chrono::days>(noon) + std::chrono::days{1}).empty());
}

TEST_CASE("ledger: what strangers can make grow is bounded, and what is there stays")
{
    HeardFolder folder;
    {
        Ledger ledger(folder.file(), {.of_domain_and_day = 2, .domains = 2, .reports = 4, .octets = 8 * row_size});
        CHECK(ledger.keep({dmarc_of("1"), dmarc_of("2"), dmarc_of("3")}, arrived(noon)) == std::vector{Kept::kept, Kept::kept, Kept::no_room});
        CHECK(ledger.keep({dmarc_of("3"), dmarc_of("1")}, arrived(noon + std::chrono::days{1})) == std::vector{Kept::kept, Kept::known});
        CHECK(ledger.keep({dmarc_of("1", "b.test", 6)}, arrived(noon)) == std::vector{Kept::no_room});      // rows
        CHECK(ledger.keep({dmarc_of("1", "b.test", 5)}, arrived(noon)) == std::vector{Kept::kept});
        CHECK(ledger.keep({dmarc_of("1", "c.test", 0)}, arrived(noon)) == std::vector{Kept::no_room});      // reports
        CHECK(ledger.entries("", {}).size() == 4);
    }
    {
        Ledger rows(folder.file(),
                    {.of_domain_and_day = 9, .octets_of_domain_and_day = 5 * row_size, .domains = 9, .reports = 9, .octets = 99 * row_size});
        CHECK(rows.keep({dmarc_of("7", "example.com", 4), dmarc_of("8", "example.com", 3)}, arrived(noon)) == std::vector{Kept::no_room, Kept::kept});
    }
    Ledger again(folder.file(), {.of_domain_and_day = 9, .domains = 2, .reports = 9, .octets = 11 * row_size});
    CHECK(again.keep({dmarc_of("1", "c.test", 0)}, arrived(noon)) == std::vector{Kept::no_room});           // domains
    CHECK(again.keep({dmarc_of("9", "b.test", 1)}, arrived(noon)) == std::vector{Kept::no_room});           // rows, counted anew
}

TEST_CASE("ledger: what is too old goes, with its rows, and makes room")
{
    HeardFolder folder;
    Ledger ledger(folder.file(), {.of_domain_and_day = 9, .domains = 9, .reports = 9, .octets = 3 * row_size});
    CHECK(ledger.keep({dmarc_of("1", "example.com", 3)}, arrived(noon)) == std::vector{Kept::kept});
    ledger.forget_before(noon);
    CHECK(ledger.keep({dmarc_of("2", "example.com", 3)}, arrived(noon)) == std::vector{Kept::no_room});
    ledger.forget_before(noon + std::chrono::seconds{1});
    CHECK(ledger.entries("", {}).empty());
    CHECK(ledger.keep({dmarc_of("2", "example.com", 3)}, arrived(noon)) == std::vector{Kept::kept});
}

TEST_CASE("ledger: a report is of the day it says, where that can be")
{
    const aggregate::Day day = std::chrono::floor<std::chrono::days>(noon);
    Report report;
    CHECK(day_of(report, noon) == day);
    report.begin = WallTime(day.time_since_epoch()) - std::chrono::hours{31};       // a day of another time zone: most of it is of the day before
    report.end = report.begin + std::chrono::hours{24};
    CHECK(day_of(report, noon) == day - std::chrono::days{1});
    report.end = noon + std::chrono::days{3};
    CHECK(day_of(report, noon) == day);
    report.end = report.begin - std::chrono::seconds{1};
    CHECK(day_of(report, noon) == day);
    report.begin = WallTime(std::chrono::seconds{1});
    report.end = noon;
    CHECK(day_of(report, noon) == day);
}

TEST_CASE("ledger: a file that is damaged is put aside")
{
    HeardFolder folder;
    std::ofstream(folder.file()) << std::string(5'000, 'x');
    Ledger ledger(folder.file());
    CHECK(ledger.remark().starts_with(folder.file() + " is damaged ("));
    CHECK(ledger.remark().ends_with("received_reports.db.damaged, and what was reported is lost"));
    CHECK(ledger.keep({dmarc_of("1")}, arrived(noon)) == std::vector{Kept::kept});
}
