#include "admin/metrics.hpp"
#include "admin/rates.hpp"
#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "process/counters.hpp"
#include "services/counters.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>
#include <map>
#include <set>

using namespace posthorn;
using namespace posthorn::admin;
using namespace std::chrono_literals;

namespace {

void put(process::ProcessCounters& one, const handoff::CountersReply& counted)
{
    for (const auto& counter : counted.counters()) {
        one.add_counters()->set_name(counter.name());
        one.mutable_counters()->rbegin()->set_value(counter.value());
    }
}

process::ProcessCounters& add(process::InstanceCounters& all, const char* service, const char* program, const handoff::CountersReply& counted,
                              bool ended = false)
{
    process::ProcessCounters& one = ended ? *all.add_ended() : *all.add_processes();
    one.set_service(service);
    one.set_program(program);
    one.set_process(ended ? 0 : 42);
    put(one, counted);
    return one;
}

bool has_line(const std::string& text, std::string_view line) { return ("\n" + text).find("\n" + std::string(line) + "\n") != text.npos; }

}  // namespace

TEST_CASE("metrics: processes of a line are one series, with what ended; gauges end with their process; each metric is described once")
{
    handoff::CountersReply one, two, last;
    handoff::count(one, services::smtpd_accepted, 5);
    handoff::count(one, services::smtpd_sessions, 3);
    handoff::count(one, process::processor_microseconds, 1'500'000);
    handoff::count(one, process::loop_lag, 2000);
    handoff::count(two, services::smtpd_accepted, 6);
    handoff::count(two, services::smtpd_sessions, 4);
    handoff::count(two, process::loop_lag, 7000);
    handoff::count(last, services::smtpd_accepted, 100);
    handoff::count(last, services::smtpd_sessions, 9);
    process::InstanceCounters all;
    add(all, "", "master", {});
    add(all, "smtp/inet", "smtpd", one);
    add(all, "smtp/inet", "smtpd", two);
    add(all, "smtp/inet", "smtpd", last, true);
    const std::string text = metrics_text(all, "1.2\"3");
    CHECK(has_line(text, R"(posthorn_info{version="1.2\"3"} 1)"));
    CHECK(has_line(text, R"(posthorn_processes{service="smtp/inet",program="smtpd"} 2)"));
    CHECK(has_line(text, R"(posthorn_processes_silent{service="master",program="master"} 1)"));
    CHECK(has_line(text, R"(posthorn_smtpd_accepted_total{service="smtp/inet",program="smtpd"} 111)"));
    CHECK(has_line(text, R"(posthorn_smtpd_sessions{service="smtp/inet",program="smtpd"} 7)"));
    CHECK(has_line(text, R"(posthorn_process_cpu_seconds_total{service="smtp/inet",program="smtpd"} 1.5)"));
    CHECK(has_line(text, R"(posthorn_event_loop_lag_seconds{service="smtp/inet",program="smtpd"} 0.007)"));
    CHECK(has_line(text, "# TYPE posthorn_smtpd_accepted_total counter"));
    CHECK(has_line(text, "# TYPE posthorn_smtpd_sessions gauge"));
    std::set<std::string_view> seen;
    for (const std::string_view line : split(text, "\n")) {
        const std::string_view what = line.substr(0, line.starts_with("#") ? line.find(' ', 7) : line.rfind(' '));
        CAPTURE(line);
        CHECK(seen.insert(what).second);
    }
    CHECK(sum_of(all, "smtpd_accepted") == 111);
    CHECK(sum_of(all, "smtpd_sessions") == 7);
    CHECK(counters_json(all).find(R"({"name": "smtpd_accepted", "value": 100})") != std::string::npos);
    CHECK(counters_json(all).find(R"({"name": "smtpd_sessions", "value": 9})") == std::string::npos);
}

TEST_CASE("metrics: labels and histograms come through, an unknown counter is left out")
{
    observe::Histogram histogram;
    histogram.add(2s);
    observe::Tally<3> tally(10);
    tally.add({"smtp", "deferred", "4.7.x"}, 2);
    handoff::CountersReply counted;
    handoff::count(counted, services::delivery_delay, histogram);
    handoff::count(counted, services::qmgr_results, std::array<std::string_view, 3>{"transport", "result", "status"}, tally);
    handoff::count(counted, observe::CounterInfo{.name = "of_tomorrow", .help = ""}, 1);
    process::InstanceCounters all;
    add(all, "qmgr", "qmgr", counted);
    const std::string text = metrics_text(all, "1");
    CHECK(has_line(text, R"(posthorn_delivery_delay_seconds_bucket{service="qmgr",program="qmgr",le="1"} 0)"));
    CHECK(has_line(text, R"(posthorn_delivery_delay_seconds_bucket{service="qmgr",program="qmgr",le="+Inf"} 1)"));
    CHECK(has_line(text, R"(posthorn_delivery_delay_seconds_sum{service="qmgr",program="qmgr"} 2)"));
    CHECK(has_line(text, R"(posthorn_delivery_delay_seconds_count{service="qmgr",program="qmgr"} 1)"));
    CHECK(has_line(text, "# TYPE posthorn_delivery_delay_seconds histogram"));
    CHECK(has_line(text, R"(posthorn_deliveries_total{service="qmgr",program="qmgr",transport="smtp",result="deferred",status="4.7.x"} 2)"));
    CHECK(text.find("tomorrow") == text.npos);
    CHECK(counters_json(all).find(R"({"name": "qmgr_results{transport=\"smtp\",result=\"deferred\",status=\"4.7.x\"}", "value": 2})") !=
          std::string::npos);
}

TEST_CASE("metrics: the ranges of a histogram are in their order, also of processes that ended, whose counters come by name")
{
    observe::Histogram histogram;
    histogram.add(2s);
    std::map<std::string, std::int64_t> by_name;
    for (const char* helper : {"b", "a"}) {
        handoff::CountersReply counted;
        handoff::count(counted, process::asked, histogram, {{"kind", "milter"}, {"name", helper}});
        for (const auto& counter : counted.counters())
            by_name[counter.name()] = counter.value();
    }
    process::InstanceCounters all;
    process::ProcessCounters& ended = *all.add_ended();
    ended.set_service("smtp/inet");
    ended.set_program("smtpd");
    for (const auto& [name, value] : by_name) {
        ended.add_counters()->set_name(name);
        ended.mutable_counters(ended.counters_size() - 1)->set_value(value);
    }
    const std::string text = metrics_text(all, "1");
    std::size_t before = 0;
    for (const char* helper : {"a", "b"}) {
        const std::string labels = fmt::format(R"({{service="smtp/inet",program="smtpd",kind="milter",name="{}")", helper);
        std::vector<std::string> series;
        for (const std::string_view end : observe::Histogram::ends)
            series.push_back(fmt::format("posthorn_asked_seconds_bucket{},le=\"{}\"}} ", labels, end));
        series.push_back(fmt::format("posthorn_asked_seconds_bucket{},le=\"+Inf\"}} 1\n", labels));
        series.push_back(fmt::format("posthorn_asked_seconds_sum{}}} 2\n", labels));
        series.push_back(fmt::format("posthorn_asked_seconds_count{}}} 1\n", labels));
        for (const std::string& one : series) {
            CAPTURE(one);
            const std::size_t at = text.find(one);
            REQUIRE(at != text.npos);
            CHECK(at > before);
            before = at;
        }
    }
}

TEST_CASE("metrics: what a process makes up neither becomes lines nor leaves the range")
{
    process::InstanceCounters all;
    const auto tell = [&](const char* name, std::int64_t value) {
        process::ProcessCounters& one = *all.add_processes();
        one.set_service("smtp/inet");
        one.set_program("smtpd");
        one.add_counters()->set_name(name);
        one.mutable_counters()->rbegin()->set_value(value);
    };
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max(), least = std::numeric_limits<std::int64_t>::min();
    tell("smtpd_rejections{command=\"x\ny\",code=\"5\",by=\"z\"}", 1);
    tell("smtpd_rejections{command=\"x\"} 1\nposthorn_made_up{a=\"b\"}", 1);
    tell("smtpd_rejections{command=\"x", 1);
    tell("smtpd_rejections{", 1);
    CHECK(metrics_text(all, "1").find("smtpd_rejections") == std::string::npos);
    CHECK(metrics_text(all, "1").find("made_up") == std::string::npos);
    tell("smtpd_rejections{command=\"a\\\\b\\\"c\\nd\"}", 3);
    CHECK(has_line(metrics_text(all, "1"), R"(posthorn_smtpd_rejections_total{service="smtp/inet",program="smtpd",command="a\\b\"c\nd"} 3)"));
    for (int i = 0; i < 2; ++i) {
        tell("smtpd_accepted", most);
        tell("qmgr_delivered", least);
    }
    CHECK(sum_of(all, "smtpd_accepted") == most);
    CHECK(sum_of(all, "qmgr_delivered") == least);
    CHECK(has_line(metrics_text(all, "1"), R"(posthorn_smtpd_accepted_total{service="smtp/inet",program="smtpd"} 9223372036854775807)"));
    Rates rates;
    rates.see(all, SteadyTime{1h});
    process::InstanceCounters turned;
    *turned.add_processes() = all.processes(all.processes_size() - 1);
    turned.mutable_processes(0)->mutable_counters(0)->set_value(most);
    rates.see(turned, SteadyTime{1h + 1min});
    CHECK(rates.per_minute("qmgr_delivered").value_or(0) > 1e19);
}

TEST_CASE("metrics: names are Prometheus', and no two counters have one")
{
    std::set<std::string> metrics;
    std::set<std::string_view> names;
    for (const auto& list : all_counters())
        for (const observe::CounterInfo& info : list) {
            const std::string name = metric_name(info);
            CAPTURE(name);
            CHECK(metrics.insert(name).second);
            CHECK(names.insert(info.name).second);
            CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == name.npos);
            CHECK(name.find("microseconds") == name.npos);
            CHECK(info.help.ends_with('.'));
            CHECK(info.help.find_first_of("\n\\") == info.help.npos);
        }
}

TEST_CASE("rates: of the last minutes, from who asked, however often")
{
    const auto counters = [](std::uint64_t delivered) {
        handoff::CountersReply counted;
        handoff::count(counted, services::qmgr_delivered, delivered);
        process::InstanceCounters all;
        add(all, "qmgr", "qmgr", counted);
        return all;
    };
    Rates rates;
    SteadyTime now{1h};
    CHECK_FALSE(rates.per_minute("qmgr_delivered"));
    rates.see(counters(100), now);
    CHECK_FALSE(rates.per_minute("qmgr_delivered"));
    for (int i = 1; i <= 100; ++i)                                     // many askers within ten seconds
        rates.see(counters(100 + static_cast<std::uint64_t>(i)), now + i * 100ms);
    CHECK(rates.per_minute("qmgr_delivered").value_or(0) == doctest::Approx(600));
    rates.see(counters(790), now + 10min);                             // what was before is long ago, but all there is
    CHECK(rates.per_minute("qmgr_delivered").value_or(0) == doctest::Approx(60));
    rates.see(counters(850), now + 11min);
    CHECK(rates.per_minute("qmgr_delivered").value_or(0) == doctest::Approx(60));
    rates.see(counters(5), now + 12min);                               // it was killed, and counts anew
    CHECK(rates.per_minute("qmgr_delivered").value_or(1) == 0);
    CHECK_FALSE(rates.per_minute("nobody"));
}
