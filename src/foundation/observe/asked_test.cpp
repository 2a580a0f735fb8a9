#include "observe/asked.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace posthorn;
using namespace posthorn::observe;
using namespace std::chrono_literals;

namespace {

constexpr SteadyTime asked_noon{12h};

Asked::Numbers only(Asked& asked, SteadyTime now)
{
    const auto all = asked.numbers(now);
    REQUIRE(all.size() == 1);
    return all.front().second;
}

std::vector<std::string> lines(Asked& asked, SteadyTime now, std::chrono::microseconds after = 10s)
{
    std::vector<std::string> texts;
    for (const Asked::News& one : asked.news(now, after))
        texts.push_back((one.good ? "" : "warning: ") + one.text);
    return texts;
}

}  // namespace

TEST_CASE("asked: an answer, a failure and a question that was given up are three things")
{
    Asked asked;
    {
        Question well(Helper::milter, "inet:m", asked_noon, asked);
        Question badly(Helper::milter, "inet:m", asked_noon, asked);
        const Question given_up(Helper::milter, "inet:m", asked_noon, asked);
        CHECK(only(asked, asked_noon).open == 3);
        well.ended(true, asked_noon + 20ms);
        well.ended(false, asked_noon + 1h);                                  // the first word counts
        badly.ended(false, asked_noon + 3s);
        CHECK(only(asked, asked_noon + 4s).open == 1);
        CHECK(only(asked, asked_noon + 4s).oldest == 4s);
    }
    const auto numbers = only(asked, asked_noon + 5s);
    CHECK(numbers.open == 0);
    CHECK(numbers.oldest == 0s);
    CHECK(numbers.failed == 1);
    CHECK(numbers.took.count() == 2);
    CHECK(numbers.took.sum() == 3020ms);
    CHECK(numbers.longest == 3s);
}

TEST_CASE("asked: the oldest open question is known whatever ends between")
{
    Asked asked;
    std::optional<Question> first(std::in_place, Helper::policy, "p", asked_noon, asked),
        second(std::in_place, Helper::policy, "p", asked_noon + 1s, asked), third(std::in_place, Helper::policy, "p", asked_noon + 2s, asked);
    second->ended(true, asked_noon + 2s);
    CHECK(only(asked, asked_noon + 10s).oldest == 10s);
    first.reset();
    CHECK(only(asked, asked_noon + 10s).oldest == 8s);
    const Question fourth(Helper::policy, "p", asked_noon + 5s, asked);
    third->ended(true, asked_noon + 6s);
    CHECK(only(asked, asked_noon + 10s).oldest == 5s);
    CHECK(only(asked, asked_noon + 10s).open == 1);
}

TEST_CASE("asked: lately is five to ten minutes ago")
{
    Asked asked;
    Question slow(Helper::table, "pgsql:/x", asked_noon, asked);
    slow.ended(true, asked_noon + 7s);
    CHECK(only(asked, asked_noon + 4min).longest == 7s);
    CHECK(only(asked, asked_noon + 9min).longest == 7s);
    CHECK(only(asked, asked_noon + 20min).longest == 0s);
    CHECK(only(asked, asked_noon + 20min).took.sum() == 7s);
    Asked idle;                                                        // looked at once
    Question once(Helper::table, "pgsql:/x", asked_noon, idle);
    once.ended(true, asked_noon + 7s);
    CHECK(only(idle, asked_noon + 11min).longest == 0s);
}

TEST_CASE("asked: helpers are told apart by kind and name, in order, and have a limit")
{
    Asked asked;
    for (const auto& [kind, name] : {std::pair(Helper::table, "b"), std::pair(Helper::milter, "b"), std::pair(Helper::table, "a")})
        Question(kind, name, asked_noon, asked).ended(true, asked_noon);
    const auto all = asked.numbers(asked_noon);
    REQUIRE(all.size() == 3);
    CHECK(all[0].first == Asked::Key(Helper::milter, "b"));
    CHECK(all[1].first == Asked::Key(Helper::table, "a"));
    CHECK(all[2].first == Asked::Key(Helper::table, "b"));

    for (std::size_t i = 0; i < Asked::most + 20; ++i)
        Question(Helper::dns_list, std::to_string(i), asked_noon, asked).ended(true, asked_noon);
    Question(Helper::table, std::string(5000, 'x'), asked_noon, asked).ended(true, asked_noon);
    for (const auto& [key, numbers] : asked.numbers(asked_noon))
        CHECK(key.second.size() <= Asked::name_octets);
    std::uint64_t counted = 0, other = 0;
    for (const auto& [key, numbers] : asked.numbers(asked_noon)) {
        counted += numbers.took.count();
        other += key.second == "other" ? numbers.took.count() : 0;
    }
    CHECK(asked.numbers(asked_noon).size() == Asked::most + 2);        // "other" of two kinds
    CHECK(counted == Asked::most + 24);
    CHECK(other == 24);
}

TEST_CASE("asked: who does not answer is named once a minute, and who answers again")
{
    Asked asked;
    std::optional<Question> stuck(std::in_place, Helper::milter, "inet:m", asked_noon, asked);
    CHECK(lines(asked, asked_noon + 9s).empty());
    CHECK(lines(asked, asked_noon + 10s) == std::vector<std::string>{"warning: milter inet:m: no answer for 10 s"});
    std::optional<Question> another(std::in_place, Helper::milter, "inet:m", asked_noon + 11s, asked);
    CHECK(lines(asked, asked_noon + 69s).empty());
    CHECK(lines(asked, asked_noon + 70s) == std::vector<std::string>{"warning: milter inet:m: no answer for 70 s to the oldest of 2 questions"});
    Question(Helper::milter, "inet:m", asked_noon + 90s, asked).ended(true, asked_noon + 91s);
    CHECK(lines(asked, asked_noon + 92s).empty());                           // the two are still without an answer
    CHECK(lines(asked, asked_noon + 131s) == std::vector<std::string>{"warning: milter inet:m: no answer for 131 s to the oldest of 2 questions"});
    stuck->ended(false, asked_noon + 140s);
    another.reset();
    CHECK(lines(asked, asked_noon + 141s).empty());                          // neither failing nor being left alone is answering
    CHECK(lines(asked, asked_noon + 141s, 0s).empty());
}

TEST_CASE("asked: that it answers again is said once")
{
    Asked asked;
    Question stuck(Helper::policy, "unix:p", asked_noon, asked);
    CHECK(lines(asked, asked_noon + 10s).size() == 1);
    stuck.ended(true, asked_noon + 48s);
    CHECK(lines(asked, asked_noon + 48s) == std::vector<std::string>{"policy unix:p: answers again, after 48 s"});
    CHECK(lines(asked, asked_noon + 49s).empty());
    const Question later(Helper::policy, "unix:p", asked_noon + 200s, asked);
    CHECK(lines(asked, asked_noon + 211s) == std::vector<std::string>{"warning: policy unix:p: no answer for 11 s"});
}

TEST_CASE("asked: the Internet may take its time")
{
    Asked asked;
    const Question name(Helper::dns, "resolver", asked_noon, asked), address(Helper::verification, "addresses", asked_noon, asked);
    CHECK(lines(asked, asked_noon + 1h).empty());
    CHECK(asked.numbers(asked_noon + 1h).size() == 2);
    // 0: nothing is said of others either.
    const Question policy(Helper::policy, "p", asked_noon, asked);
    CHECK(lines(asked, asked_noon + 1h, 0s).empty());
    CHECK(lines(asked, asked_noon + 1h, 1s).size() == 1);
}
