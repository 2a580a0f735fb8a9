#include "peers/path.hpp"

#include "peers/record.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

const WallTime start{std::chrono::sys_days{std::chrono::year{2026} / 11 / 28}};
constexpr PathSeen large_lost{.lost = 1448}, small_lost{.small = true, .lost = 1208}, large_arrived{.arrived = true},
    small_arrived{.small = true, .arrived = true}, nothing{}, nothing_small{.small = true};

}  // namespace

TEST_CASE("path: what is lost is tried in small segments, and that it arrives so convicts, for a week")
{
    PathRecord record;
    CHECK_FALSE(small_segments(record, start));
    CHECK(note_path(record, large_lost, start) == PathNews::suspected);
    CHECK(record.lost == 1448);
    CHECK(small_segments(record, start));
    CHECK(note_path(record, large_lost, start + 1min) == PathNews::none);      // a session of before: no news
    CHECK(note_path(record, nothing_small, start + 2min) == PathNews::none);   // commands prove nothing
    CHECK(small_segments(record, start + 2min));
    CHECK(note_path(record, small_arrived, start + 5min) == PathNews::learned);
    CHECK(note_path(record, small_arrived, start + 6min) == PathNews::none);
    CHECK(record.until == start + 5min + PathRecord::sure_for);
    CHECK(small_segments(record, start + 5min + PathRecord::sure_for - 1s));
    CHECK_FALSE(small_segments(record, start + 5min + PathRecord::sure_for));
    // Large ones are tried then, and lost again: it is learned anew.
    CHECK(note_path(record, large_lost, start + 8 * 24h) == PathNews::suspected);
    CHECK(note_path(record, small_arrived, start + 8 * 24h + 1min) == PathNews::learned);
    CHECK(record.until == start + 8 * 24h + 1min + PathRecord::sure_for);
}

TEST_CASE("path: no suspicion stays where it is no matter of size, nor where nobody comes back to it")
{
    PathRecord record;
    note_path(record, large_lost, start);
    CHECK(note_path(record, small_lost, start + 1min) == PathNews::none);      // the host is down
    CHECK_FALSE(small_segments(record, start + 1min));
    CHECK(note_path(record, small_arrived, start + 2min) == PathNews::none);

    note_path(record, large_lost, start + 3min);
    CHECK(note_path(record, large_arrived, start + 4min) == PathNews::none);
    CHECK(record == PathRecord{});

    note_path(record, large_lost, start);
    CHECK(small_segments(record, start + PathRecord::suspected_for - 1s));
    CHECK_FALSE(small_segments(record, start + PathRecord::suspected_for));
    CHECK(note_path(record, small_arrived, start + PathRecord::suspected_for) == PathNews::none);
}

TEST_CASE("path: a host that is down for a while takes nothing of what is known")
{
    PathRecord record;
    note_path(record, large_lost, start);
    note_path(record, small_arrived, start + 1min);
    CHECK(note_path(record, small_lost, start + 1h) == PathNews::none);
    CHECK(note_path(record, nothing, start + 2h) == PathNews::none);
    CHECK(small_segments(record, start + 2h));
}
