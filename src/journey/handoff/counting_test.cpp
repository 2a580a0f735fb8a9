#include "handoff/counting.hpp"
#include "handoff/reasons.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <limits>
#include <set>

using namespace posthorn;
using namespace posthorn::handoff;
using CountingInfo = observe::CounterInfo;

TEST_CASE("counting: totals, gauges, labels and histograms arrive under the declared name")
{
    static constexpr CountingInfo taken{.name = "taken", .help = ""}, now{.name = "now", .kind = CountingInfo::Kind::gauge, .help = ""},
        by{.name = "by", .help = ""}, took{.name = "took", .kind = CountingInfo::Kind::histogram, .help = ""};
    observe::Tally<2> tally(10);
    tally.add({"smtp", "4.7.x"}, 3);
    observe::Histogram histogram;
    histogram.add(std::chrono::seconds{2});
    CountersReply reply;
    count(reply, taken, 5);
    count(reply, now, 6, {{"queue", "hold"}});
    count(reply, by, std::array<std::string_view, 2>{"transport", "status"}, tally);
    count(reply, took, histogram);
    std::vector<std::string> lines;
    for (const auto& counter : reply.counters())
        lines.push_back(fmt::format("{} {}", counter.name(), counter.value()));
    REQUIRE(lines.size() == 3 + observe::Histogram::ends.size() + 3);
    CHECK(std::vector(lines.begin(), lines.begin() + 4) ==
          std::vector<std::string>{"taken 5", "now{queue=\"hold\"} 6", "by{transport=\"smtp\",status=\"4.7.x\"} 3", "took_bucket{le=\"0.001\"} 0"});
    CHECK(std::vector(lines.end() - 4, lines.end()) ==
          std::vector<std::string>{"took_bucket{le=\"86400\"} 1", "took_bucket{le=\"+Inf\"} 1", "took_sum 2000000", "took_count 1"});
    CountersReply labelled;
    count(labelled, took, histogram, {{"kind", "milter"}});
    CHECK(labelled.counters(0).name() == "took_bucket{kind=\"milter\",le=\"0.001\"}");
    CHECK(labelled.counters(labelled.counters_size() - 2).name() == "took_sum{kind=\"milter\"}");
    CHECK(labelled.counters(labelled.counters_size() - 1).name() == "took_count{kind=\"milter\"}");
    CHECK(counter_name(now, {{"a", "q\"b\\s\nn\xff"}}) == "now{a=\"q\\\"b\\\\s\\nn?\"}");
    CHECK(counter_name(now, {{"a", "\n\n"}, {"b", ""}}) == "now{a=\"\\n\\n\",b=\"\"}");
}

TEST_CASE("counting: what does not fit is the largest there is")
{
    static constexpr CountingInfo taken{.name = "taken", .help = ""};
    CountersReply reply;
    count(reply, taken, std::numeric_limits<std::uint64_t>::max());
    CHECK(reply.counters(0).value() == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("counting: sums stay in their range")
{
    constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
    CHECK(sum(2, -3) == -1);
    CHECK(sum(most, 1) == most);
    CHECK(sum(1, most) == most);
    CHECK(sum(least, -1) == least);
    CHECK(sum(most, least) == -1);
}

TEST_CASE("counting: labels that a process told are labels, or nothing")
{
    CHECK(labels_as_other(R"({a="x",b_c="y\"z\\\n,"})") == R"({a="other",b_c="other"})");
    CHECK(labels_as_other(R"({a="x",le="0.01"})") == R"({a="other",le="0.01"})");        // the range of a histogram is no name
    for (const char* none : {"", "{}", "{a}", "{a=\"x\"", "{a=\"x\"} ", "{a=\"x\"}}", "{a=\"x\",}", "{a=\"x\"b=\"y\"}", "{=\"x\"}", "{A=\"x\"}",
                             "{a=\"x\\\"}", "{a=\"\\x\"}", "{a=\"x\ny 1\"}", "{a=\"x\"} 1\nb{c=\"d\"}", "{a=\"\xff\"}", "a{b=\"c\"}"}) {
        CAPTURE(none);
        CHECK_FALSE(labels_as_other(none));
    }
    const auto parsed = parse_labels(R"({kind="table",name="a\"b\\c\nd"})");
    REQUIRE(parsed);
    CHECK(*parsed == std::vector<std::pair<std::string, std::string>>{{"kind", "table"}, {"name", "a\"b\\c\nd"}});
    const std::string hostile = labels_text(std::array<CounterLabel, 1>{{{"a", "\"}\n\\ x{b=\"\t\xc3\xa9"}}});
    CHECK(labels_as_other(hostile) == R"({a="other"})");
}

TEST_CASE("reasons: of the status code alone, a closed set of words whatever peers say")
{
    CHECK(reason_of("4.4.1") == "no-answer");
    CHECK(reason_of("5.4.1") == "no-answer");
    CHECK(reason_of("4.2.2") == "mailbox-full");
    CHECK(reason_of("4.7.10") == "encryption-needed");
    CHECK(reason_of("4.7.99") == "policy");                            // by its subject
    CHECK(reason_of("4.1.77") == "bad-address");
    for (const char* none : {"", "4", "4.4", "4.4.", "450", "9.1.1", "4.9.1", "4x4.1", "<script>"})
        CHECK(reason_of(std::string_view(none)) == "other");
    std::set<std::string_view> words;
    for (int subject = 0; subject < 10; ++subject)
        for (int detail = 0; detail < 1000; ++detail)
            words.insert(reason_of(fmt::format("4.{}.{}", subject, detail)));
    CHECK(words.size() < 40);

    Verdict verdict;
    verdict.set_status("4.2.0");
    CHECK(reason_of(verdict) == "mailbox");
    verdict.set_retry_at(1);
    CHECK(reason_of(verdict) == "greylisted");
}

TEST_CASE("reasons: class and subject of a status")
{
    CHECK(status_class("2.0.0") == "2.0.x");
    CHECK(status_class("5.7.509") == "5.7.x");
    CHECK(status_class("3.0.0") == "other");
    CHECK(status_class("") == "other");
}
