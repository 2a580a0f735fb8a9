#include "observe/counters.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace posthorn::observe;
using namespace std::chrono_literals;

TEST_CASE("tally: what has labels has a limit of different ones, and no count is lost beyond it")
{
    Tally<2> tally(2);
    tally.add({"smtp", "sent"});
    tally.add({"smtp", "bounced"}, 3);
    for (int i = 0; i < 5; ++i)
        tally.add({"made-up-" + std::to_string(i), "sent"});
    tally.add({"smtp", "sent"});
    CHECK(tally.counts() == std::map<Tally<2>::Values, std::uint64_t>{{{"smtp", "sent"}, 2}, {{"smtp", "bounced"}, 3}, {{"other", "other"}, 5}});
}

TEST_CASE("histogram: a range takes its end, sums are exact, a time before zero is none")
{
    Histogram histogram;
    for (const auto took : {-1s, 0s, 1s, 100000s})
        histogram.add(took);
    histogram.add(10ms);
    histogram.add(10ms + 1us);
    CHECK(histogram.up_to(0) == 2);                                   // two of nothing
    CHECK(histogram.up_to(2) == 3);                                   // 10 ms
    CHECK(histogram.up_to(3) == 4);
    CHECK(histogram.up_to(6) == 5);                                   // 1 s
    CHECK(histogram.up_to(Histogram::ends.size() - 1) == 5);
    CHECK(histogram.up_to(Histogram::ends.size()) == 6);
    CHECK(histogram.count() == 6);
    CHECK(histogram.sum() == 100001s + 20ms + 1us);
}

TEST_CASE("histogram: the ends are what the labels say")
{
    for (std::size_t at = 0; at < Histogram::ends.size(); ++at) {
        const auto end = std::chrono::microseconds(static_cast<std::int64_t>(std::strtod(Histogram::ends[at].data(), nullptr) * 1e6 + 0.5));
        Histogram histogram;
        histogram.add(end);
        histogram.add(end + 1us);
        CAPTURE(Histogram::ends[at]);
        CHECK(histogram.up_to(at) == 1);
    }
}
