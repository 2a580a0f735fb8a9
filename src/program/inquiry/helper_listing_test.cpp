#include "inquiry/helper_listing.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace posthorn;
using namespace posthorn::inquiry;
using namespace std::chrono_literals;

namespace {

void count_of(process::ProcessCounters& one, const std::string& name, std::int64_t value)
{
    auto& counter = *one.add_counters();
    counter.set_name(name);
    counter.set_value(value);
}

process::ProcessCounters& process_of(process::InstanceCounters& all, const char* program)
{
    auto& one = *all.add_processes();
    one.set_program(program);
    return one;
}

/// `fast` answers of 3 ms, `slow` of 2 s.
void count_answers(process::ProcessCounters& one, const std::string& labels, std::int64_t fast, std::int64_t slow)
{
    for (const std::string_view end : observe::Histogram::ends)
        count_of(one, "asked_bucket{" + labels + ",le=\"" + std::string(end) + "\"}",
                 end == "0.001"                    ? 0
                 : std::stod(std::string(end)) < 2 ? fast
                                                   : fast + slow);
    count_of(one, "asked_bucket{" + labels + ",le=\"+Inf\"}", fast + slow);
    count_of(one, "asked_sum{" + labels + "}", fast * 3000 + slow * 2'000'000);
    count_of(one, "asked_count{" + labels + "}", fast + slow);
}

const std::string milter_labels = "kind=\"milter\",name=\"inet:127.0.0.1:11332\"", dns_labels = "kind=\"dns\",name=\"resolver\"";

}  // namespace

TEST_CASE("helpers: all processes together, those that ended too; what is open now is not theirs")
{
    process::InstanceCounters all;
    auto& smtpd = process_of(all, "smtpd");
    count_answers(smtpd, milter_labels, 90, 2);
    count_of(smtpd, "asked_failed{" + milter_labels + "}", 2);
    count_of(smtpd, "asked_open{" + milter_labels + "}", 1);
    count_of(smtpd, "asked_oldest{" + milter_labels + "}", 4'000'000);
    count_of(smtpd, "asked_longest{" + milter_labels + "}", 2'000'000);
    auto& pickup = process_of(all, "pickup");
    count_answers(pickup, milter_labels, 8, 0);
    count_of(pickup, "asked_open{" + milter_labels + "}", 2);
    count_of(pickup, "asked_oldest{" + milter_labels + "}", 1'000'000);
    auto& ended = *all.add_ended();
    ended.set_program("smtpd");
    count_answers(ended, milter_labels, 100, 0);
    count_of(ended, "asked_open{" + milter_labels + "}", 7);
    count_of(ended, "asked_longest{" + milter_labels + "}", 9'000'000);

    const auto helpers = helpers_of(all);
    REQUIRE(helpers.size() == 1);
    const HelperStanding& one = helpers.front();
    CHECK(helper_name(one) == "milter inet:127.0.0.1:11332");
    CHECK(one.programs == std::set<std::string>{"pickup", "smtpd"});
    CHECK(one.answers == 200);
    CHECK(one.failed == 2);
    CHECK(one.open == 3);
    CHECK(one.oldest == 4s);
    CHECK(one.longest == 2s);
    CHECK(one.spent == 198 * 3ms + 2 * 2s);
    CHECK(one.end_for(50) == "0.005");
    CHECK(one.end_for(99) == "0.005");
    CHECK(one.end_for(100) == "5");
    CHECK(helper_open(one) == "3, for 4.0 s");
}

TEST_CASE("helpers: who is waited for stands first, then who took the most time")
{
    process::InstanceCounters all;
    auto& smtpd = process_of(all, "smtpd");
    count_answers(smtpd, dns_labels, 1, 0);
    count_answers(smtpd, milter_labels, 0, 5);
    const std::string table = "kind=\"table\",name=\"pgsql:/etc/x\"";
    count_of(smtpd, "asked_open{" + table + "}", 1);
    count_of(smtpd, "asked_oldest{" + table + "}", 14'200'000);
    CHECK(helpers_text(helpers_of(all)) ==
          "helper                       asked by  answers  failed    mean  half within  99% within  longest lately  waiting now\n"
          "table pgsql:/etc/x           smtpd           0       0       -            -           -               -  1, for 14 s\n"
          "milter inet:127.0.0.1:11332  smtpd           5       0   2.0 s        5.0 s       5.0 s               -            -\n"
          "dns resolver                 smtpd           1       0  3.0 ms       5.0 ms      5.0 ms               -            -\n");
    CHECK(helper_json(helpers_of(all).front()) ==
          R"({"kind": "table", "name": "pgsql:/etc/x", "programs": ["smtpd"], "answers": 0, "failed": 0, "mean": null, "half_within": null, )"
          R"("ninety_nine_within": null, "longest_lately": 0.000000, "open": 1, "oldest_open": 14.200000})");
    CHECK(helper_json(helpers_of(all).back()) ==
          R"({"kind": "dns", "name": "resolver", "programs": ["smtpd"], "answers": 1, "failed": 0, "mean": 0.003000, "half_within": 0.005, )"
          R"("ninety_nine_within": 0.005, "longest_lately": 0.000000, "open": 0, "oldest_open": null})");
}

TEST_CASE("helpers: what a process says is not trusted")
{
    process::InstanceCounters all;
    auto& hostile = process_of(all, "smtpd");
    for (const char* name :
         {"asked", "asked_count", "asked_count{", "asked_count{kind=\"x\"}", "asked_count{name=\"x\",kind=\"y\"}", "asked_count{kind=\"a\",name=\"b"})
        count_of(hostile, name, 5);
    CHECK(helpers_of(all).empty());
    count_of(hostile, "asked_count{" + dns_labels + "}", std::numeric_limits<std::int64_t>::max());
    count_of(hostile, "asked_count{" + dns_labels + "}", 5);
    count_of(hostile, "asked_sum{" + dns_labels + "}", -5);
    count_of(hostile, "asked_bucket{" + dns_labels + ",le=\"0.02\"}", 5);
    count_of(hostile, "asked_made_up{" + dns_labels + "}", 5);
    const auto helpers = helpers_of(all);
    REQUIRE(helpers.size() == 1);
    CHECK(helpers.front().answers == static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    CHECK(helpers.front().spent == 0s);
    CHECK_FALSE(helpers.front().end_for(50));
}

TEST_CASE("helpers: times as one reads them")
{
    CHECK(helper_time(400us) == "0.4 ms");
    CHECK(helper_time(12ms) == "12 ms");
    CHECK(helper_time(3100ms) == "3.1 s");
    CHECK(helper_time(214s) == "214 s");
}
