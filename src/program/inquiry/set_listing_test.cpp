#include "inquiry/set_listing.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using namespace std::chrono_literals;

namespace {

const WallTime new_year{std::chrono::seconds{1767225600}};

posthorn::peers::StoredShelf::All everything()
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    posthorn::peers::StoredShelf::All all;
    all.restraints.emplace_back("mx1.big.test,mx2.big.test", posthorn::peers::Restraint{.ceiling = 1,
                                                                                        .peak = 4,
                                                                                        .step = 60s,
                                                                                        .raised = new_year,
                                                                                        .per_minute = 5,
                                                                                        .before = 10,
                                                                                        .quickened = new_year,
                                                                                        .silent_until = new_year + 3600s,
                                                                                        .until = new_year + 7200s,
                                                                                        .last = new_year,
                                                                                        .said = "host mx1.big.test said: 421\x1b",
                                                                                        .sites = {"smtp:a.test", "smtp:b.test", "c", "d", "e"}});
    posthorn::peers::Restraint over = all.restraints.front().second;
    over.silent_until = {};
    over.raised = over.quickened = new_year - 24h;
    all.restraints.emplace_back("mx.over.test", over);
    over.raised = over.quickened = new_year - 60s;
    over.sites.clear();
    all.restraints.emplace_back("mx.some.test", over);
    all.manners.emplace_back("192.0.2.1", posthorn::peers::Manners{.greylists_until = new_year + 1h, .passed = 300s, .refused = 60s});
    all.manners.emplace_back("192.0.2.2", posthorn::peers::Manners{.greylists_until = new_year - 1h});
    all.manners.emplace_back("mx.some.test", posthorn::peers::Manners{.sessions = 4, .sessions_until = new_year + 1h});
    return all;
}

}  // namespace

TEST_CASE("peers: of MX sets and greylisting hosts is listed what is in force now, what they said, and what has come back of it")
{
    const auto sets = sets_of(everything(), new_year);
    REQUIRE(sets.size() == 3);
    CHECK(set_line(sets[0], new_year) == "192.0.2.1  -: it greylists (300 s passed, 60 s did not)\n");
    CHECK(set_line(sets[1], new_year) ==
          "mx.some.test  -: at most 2 deliveries at once; 6 mails a minute; 4 sessions at once are what it lately took\n");
    CHECK(set_line(sets[2], new_year) ==
          "mx1.big.test,mx2.big.test  serves smtp:a.test, smtp:b.test, c and 2 more: nothing is sent until 2026-01-01 01:00:00, "
          "then one delivery at a time\n");
    CHECK(set_text(sets[2], new_year) == "mx1.big.test,mx2.big.test\n"
                                         "  serves         smtp:a.test\n"
                                         "  serves         smtp:b.test\n"
                                         "  serves         c\n"
                                         "  serves         d\n"
                                         "  serves         e\n"
                                         "  asked          host mx1.big.test said: 421?\n"
                                         "                 the last time 2026-01-01 00:00:00\n"
                                         "  held back      nothing is sent until 2026-01-01 01:00:00, then one delivery at a time\n"
                                         "                 all of it is given back by 2026-01-01 01:06:00\n");
    CHECK(set_text(sets[0], new_year) == "192.0.2.1\n  greylists      300 s passed, 60 s did not; believed until 2026-01-01 01:00:00\n");
    CHECK(set_json(sets[1], new_year).find(R"("deliveries_at_once": 2, "mails_per_minute": 6.0)") != std::string::npos);
    CHECK(set_json(sets[2], new_year).find(R"("silent_until": "2026-01-01T01:00:00)") != std::string::npos);
    CHECK(set_json(sets[2], new_year).find("\x1b") == std::string::npos);
}

TEST_CASE("peers: a set is found by its name, one of its hosts, or a site that it serves")
{
    const auto sets = sets_of(everything(), new_year);
    for (const char* word : {"mx1.big.test,mx2.big.test", "MX2.big.test", "a.test", "smtp:b.test", "c"})
        CHECK(matches(sets[2], word));
    for (const char* word : {"big.test", "mx", "test", "", "192.0.2.1"})
        CHECK(!matches(sets[2], word));
    CHECK(matches(sets[0], "192.0.2.1"));
}
