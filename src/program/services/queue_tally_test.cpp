#include "services/queue_tally.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <numeric>
#include <random>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;
using TallyPlace = QueueTally::Place;

namespace {

const WallTime tally_now{std::chrono::hours{500'000}};

std::uint64_t all_ages(const QueueTally::Ages& ages) { return std::accumulate(ages.begin(), ages.end(), std::uint64_t{0}); }

/// "a.test no-answer 2" of each, largest first.
std::vector<std::string> groups_told(const QueueTally& tally, std::size_t most = 100)
{
    std::vector<std::string> lines;
    for (const QueueTally::Group* group : tally.largest(most))
        lines.push_back(fmt::format("{} {} {}", group->destination, group->reason, group->recipients));
    return lines;
}

}  // namespace

TEST_CASE("queue tally: ages are qshape's ranges, by the clock of the question")
{
    QueueTally tally;
    QueueTally::Key key = 0;
    for (const auto age : {0min, 4min, 5min, 9min, 10min, 1279min, 1280min, 100'000min, -3min})
        tally.arrived(++key, tally_now - age, TallyPlace::deferred);
    CHECK(tally.ages(TallyPlace::deferred, tally_now) == QueueTally::Ages{3, 2, 1, 0, 0, 0, 0, 0, 1, 2});
    CHECK(tally.ages(TallyPlace::deferred, tally_now + 5min) == QueueTally::Ages{1, 2, 3, 0, 0, 0, 0, 0, 0, 3});
    CHECK(all_ages(tally.ages(TallyPlace::active, tally_now)) == 0);
}

TEST_CASE("queue tally: a message is in one place at a time, and in none once it is gone")
{
    QueueTally tally;
    tally.arrived(1, tally_now, TallyPlace::active);
    tally.arrived(1, tally_now - 1h, TallyPlace::hold);                           // known: it has moved, no older for that
    CHECK(tally.ages(TallyPlace::hold, tally_now)[0] == 1);
    CHECK(all_ages(tally.ages(TallyPlace::active, tally_now)) == 0);
    tally.moved(1, TallyPlace::hold);
    tally.moved(2, TallyPlace::hold);                                       // nobody knows it
    CHECK(all_ages(tally.ages(TallyPlace::hold, tally_now)) == 1);
    tally.gone(1);
    tally.gone(1);
    CHECK(all_ages(tally.ages(TallyPlace::hold, tally_now)) == 0);
    CHECK(tally.messages() == 0);
}

TEST_CASE("queue tally: recipients are grouped by destination and reason until they are tried again")
{
    QueueTally tally;
    for (QueueTally::Key key = 1; key <= 3; ++key)
        tally.arrived(key, tally_now, TallyPlace::active);
    tally.failed(1, {"a.test", "no-answer", "smtp:a.test", "connect: refused", tally_now});
    tally.failed(1, {"a.test", "no-answer", "smtp:a.test", "connect: timed out", tally_now + 1s});
    tally.failed(1, {"b.test", "mailbox-full", "smtp:b.test", "over quota", tally_now});
    tally.failed(2, {"b.test", "mailbox-full", "smtp:b.test", "older words", tally_now - 1h});
    tally.failed(3, {"b.test", "mailbox-full", "", "", WallTime{}});
    tally.failed(9, {"nobody.test", "other", "", "", tally_now});
    CHECK(groups_told(tally) == std::vector<std::string>{"b.test mailbox-full 3", "a.test no-answer 2"});
    CHECK(groups_told(tally, 1) == std::vector<std::string>{"b.test mailbox-full 3"});
    CHECK(tally.largest(2)[0]->text == "over quota");
    CHECK(tally.largest(2)[1]->text == "connect: timed out");
    tally.tried(1);
    CHECK(groups_told(tally) == std::vector<std::string>{"b.test mailbox-full 2"});
    tally.failed(1, {"c.test", "policy", "smtp:c.test", "no", tally_now});   // takes the number that became free
    CHECK(tally.largest(9).back()->text == "no");
    tally.gone(1);
    tally.gone(2);
    tally.gone(3);
    CHECK(tally.groups() == 0);
}

TEST_CASE("queue tally: destinations beyond the limit are counted together, in one that says so")
{
    constexpr std::size_t beyond = 500;
    QueueTally tally;
    for (QueueTally::Key key = 0; key < QueueTally::most_groups + beyond; ++key) {
        const std::string domain = fmt::format("{}.test", key);
        tally.arrived(key, tally_now, TallyPlace::active);
        tally.failed(key, {domain, "no-answer", "smtp:" + domain, "connect: refused", tally_now});
    }
    tally.failed(7, {"7.test", "no-answer", "smtp:7.test", "again", tally_now + 1s});          // has a group of its own
    CHECK(tally.groups() == QueueTally::most_groups + 1);
    CHECK(groups_told(tally, 3) == std::vector<std::string>{fmt::format("other other {}", beyond), "7.test no-answer 2", "19999.test no-answer 1"});
    CHECK(tally.largest(1)[0]->rest);
    CHECK_FALSE(tally.largest(2)[1]->rest);
    // Who is called so is somebody else; and who has no group gets one when there is room.
    tally.gone(3);
    tally.arrived(3, tally_now, TallyPlace::active);
    tally.failed(3, {"other", "other", "s", "t", tally_now});
    CHECK(tally.largest(1)[0]->recipients == beyond);
    const QueueTally::Key last = QueueTally::most_groups + beyond - 1;
    tally.gone(5);
    tally.tried(last);
    tally.failed(last, {fmt::format("{}.test", last), "no-answer", "s", "t", tally_now});
    CHECK(tally.largest(1)[0]->recipients == beyond - 1);
    for (QueueTally::Key key = QueueTally::most_groups; key <= last; ++key)
        tally.gone(key);
    CHECK(tally.groups() == QueueTally::most_groups - 1);
    CHECK_FALSE(tally.largest(1)[0]->rest);
    for (QueueTally::Key key = 0; key < QueueTally::most_groups; ++key)
        tally.gone(key);
    CHECK(tally.groups() == 0);
}

TEST_CASE("queue tally: whatever happens in whatever order, the numbers are those of a recount")
{
    std::mt19937 random(7);
    QueueTally tally;
    std::map<QueueTally::Key, std::pair<TallyPlace, std::vector<std::string>>> truth;
    static constexpr std::string_view reasons[] = {"no-answer", "policy"};
    for (int step = 0; step < 20'000; ++step) {
        const QueueTally::Key key = random() % 50;
        const auto place = static_cast<TallyPlace>(random() % 3);
        const auto known = truth.find(key);
        switch (random() % 5) {
        case 0:
            tally.arrived(key, tally_now, place);
            truth[key].first = place;
            break;
        case 1:
            tally.moved(key, place);
            if (known != truth.end())
                known->second.first = place;
            break;
        case 2:
            tally.gone(key);
            truth.erase(key);
            break;
        case 3: {
            const std::string domain = fmt::format("{}.test", random() % 4);
            const std::string_view reason = reasons[random() % 2];
            tally.failed(key, {domain, reason, "s", "t", tally_now});
            if (known != truth.end())
                known->second.second.push_back(fmt::format("{} {}", domain, reason));
            break;
        }
        default:
            tally.tried(key);
            if (known != truth.end())
                known->second.second.clear();
        }
        if (step % 500 != 0)
            continue;
        std::map<std::string, std::uint64_t> counted, recount;
        for (const QueueTally::Group* group : tally.largest(100))
            counted[fmt::format("{} {}", group->destination, group->reason)] = group->recipients;
        std::array<std::uint64_t, 3> places{};
        for (const auto& [each, state] : truth) {
            ++places[static_cast<std::size_t>(state.first)];
            for (const std::string& name : state.second)
                ++recount[name];
        }
        REQUIRE(counted == recount);
        for (std::size_t at = 0; at < places.size(); ++at)
            REQUIRE(all_ages(tally.ages(static_cast<TallyPlace>(at), tally_now)) == places[at]);
    }
}
