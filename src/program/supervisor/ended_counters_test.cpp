#include "supervisor/ended_counters.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <limits>

using namespace posthorn;
using posthorn::supervisor::EndedCounters;

namespace {

handoff::CountersReply last_words(std::initializer_list<std::pair<std::string, std::int64_t>> counters)
{
    handoff::CountersReply reply;
    for (const auto& [name, value] : counters) {
        auto& counter = *reply.add_counters();
        counter.set_name(name);
        counter.set_value(value);
    }
    return reply;
}

/// Of one line: {name: value}.
std::map<std::string, std::int64_t> kept(const EndedCounters& ended, const std::string& line)
{
    process::InstanceCounters told;
    ended.tell(told);
    std::map<std::string, std::int64_t> found;
    for (const auto& one : told.ended())
        if (one.service() == line)
            for (const auto& counter : one.counters())
                found[counter.name()] = counter.value();
    return found;
}

}  // namespace

TEST_CASE("ended counters: totals of a line outlive its processes; lines are apart")
{
    using Kept = std::map<std::string, std::int64_t>;
    EndedCounters ended;
    ended.add("smtp/inet", "smtpd", last_words({{"accepted", 5}}));
    ended.add("smtp/inet", "smtpd", last_words({{"accepted", 2}, {"refused", 1}}));
    ended.add("587/inet", "smtpd", last_words({{"accepted", 9}}));
    CHECK(kept(ended, "smtp/inet") == Kept{{"accepted", 7}, {"refused", 1}});
    CHECK(kept(ended, "587/inet") == Kept{{"accepted", 9}});
    process::InstanceCounters told;
    ended.tell(told);
    CHECK(told.ended_size() == 2);
    CHECK(told.ended(0).program() == "smtpd");
}

TEST_CASE("ended counters: sums stay in their range")
{
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max(), least = std::numeric_limits<std::int64_t>::min();
    EndedCounters ended;
    for (int i = 0; i < 3; ++i)
        ended.add("x", "smtp", last_words({{"up", most}, {"down", least}}));
    CHECK(kept(ended, "x") == std::map<std::string, std::int64_t>{{"up", most}, {"down", least}});
}

TEST_CASE("ended counters: what a process makes up is bounded, and what was counted beyond is not lost")
{
    EndedCounters ended;
    constexpr int made = 2500;
    for (int i = 0; i < made; ++i)
        ended.add("x", "smtpd", last_words({{fmt::format("rejections{{by=\"{}\"}}", i), 1}, {"accepted", 1}}));
    auto counters = kept(ended, "x");
    CHECK(counters.size() == EndedCounters::most + 1);
    CHECK(counters["accepted"] == made);
    CHECK(counters["rejections{by=\"0\"}"] == 1);
    CHECK(counters["rejections{by=\"other\"}"] == made - (static_cast<int>(EndedCounters::most) - 1));
    for (int i = 0; i < made; ++i)
        ended.add("x", "smtpd",
                  last_words({{fmt::format("made_up_{}", i), 1}, {fmt::format("more_{}{{a=\"b\"}}", i), 1}, {std::string(10'000, 'n'), 1}}));
    CHECK(kept(ended, "x").size() <= EndedCounters::most + 100);
    EndedCounters other;
    other.add("x", "smtpd", last_words({{std::string(10'000, 'n'), 1}}));
    CHECK(kept(other, "x").empty());
}
