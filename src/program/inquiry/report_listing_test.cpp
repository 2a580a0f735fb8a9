#include "inquiry/report_listing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inquiry;

TEST_CASE("report listing: days by date and by word, all UTC")
{
    const WallTime now{std::chrono::sys_days(std::chrono::days(20'785)) + std::chrono::hours(23)};
    CHECK(day_of("2026-11-28", now).value() == 20'785);
    CHECK(day_of("today", now).value() == 20'785);
    CHECK(day_of("yesterday", now).value() == 20'784);
    CHECK(day_of("1970-01-01", now).value() == 0);
    for (const char* const bad : {"", "2026-02-30", "2026-11", "2026-11-28-1", "26-11-28", "2026-13-01", "tomorrow", "-1-1-1"}) {
        CAPTURE(bad);
        CHECK_FALSE(day_of(bad, now));
    }
}

TEST_CASE("report listing: a line for each state, and what others wrote is printable")
{
    handoff::AggregateReports::Report report;
    report.set_kind("tls");
    report.set_domain("a.test");
    report.set_day(20'785);
    report.set_good(3);
    report.set_bad(1);
    report.set_state("collecting");
    CHECK(report_line(report).starts_with("2026-11-28  tls    a.test: 3 as it asks, 1 not; goes "));
    report.set_left_out(2);
    report.set_kind("dmarc");
    report.set_state("waiting");
    report.set_attempts(4);
    report.set_note("mailto:x\n@a.test: the queue is full");
    CHECK(report_line(report).starts_with("2026-11-28  dmarc  a.test: 3 as it asks, 1 not (2 not listed); tried 4 times, again "));
    CHECK(report_line(report).ends_with(": mailto:x?@a.test: the queue is full"));
    report.set_state("given up");
    CHECK(report_line(report).find("; not sent ") != std::string::npos);
    report.set_record("v=DMARC1; \"");
    CHECK(report_json(report).find("\"record\": \"v=DMARC1; \\\"\"}") != std::string::npos);
    CHECK(report_json(report).find("\"note\": \"mailto:x?@a.test: the queue is full\"") != std::string::npos);
}
