#include "inquiry/trial_listing.hpp"

#include "inquiry/transcripts.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::inquiry;

namespace {

constexpr std::int64_t first_time = 1'795'940'000'000'000, last_time = first_time + 3'600'000'000;

handoff::Trial some_trial(bool out)
{
    handoff::Trial trial;
    trial.set_out(out);
    trial.set_tried(out ? "dane" : "reject_rbl_client zen.test");
    trial.set_last(last_time);
    handoff::Trial::Day& day = *trial.add_days();
    day.set_passed(400);
    day.set_unheld(out ? 388 : 0);
    day.set_refused(10);
    day.set_unknown(out ? 2 : 0);
    handoff::TrialEntry& entry = *trial.add_entries();
    entry.set_whom("there.test");
    entry.set_host(out ? "mx.there.test" : "");
    entry.set_reason("554 5.7.1 no\x01");
    entry.set_count(10);
    entry.set_first(first_time);
    entry.set_last(last_time);
    handoff::TrialSample& sample = *entry.add_samples();
    sample.set_time(last_time);
    sample.set_peer("mx.there.test[192.0.2.2]");
    sample.set_has_sender(true);
    sample.set_recipient("user@there.test");
    return trial;
}

}  // namespace

TEST_CASE("trial listing: counts of what was judged, whoever would have been refused, the last one of each")
{
    const std::string when = fmt::format("               {} to {}  NOQUEUE: mx.there.test[192.0.2.2] from=<> to=<user@there.test>\n",
                                         local_time(first_time), local_time(last_time));
    CHECK(trial_text(some_trial(false)) == "in   reject_rbl_client zen.test: 410 recipients judged: 400 passed, 10 would have been refused\n"
                                           "         10  there.test: 554 5.7.1 no?\n" +
                                               when);
    handoff::Trial out = some_trial(true);
    out.mutable_entries(0)->set_unknown(true);
    out.set_left_out(3);
    CHECK(trial_text(out) ==
          "out  dane: 410 sessions judged: 400 passed (388 without TLSA records to hold them against), 10 would have been refused; 2 not known\n"
          "  ?      10  there.test at mx.there.test: 554 5.7.1 no?\n" +
              when + "          3  that were seen longest ago are not kept\n");
}

TEST_CASE("trial listing: as JSON with all samples; a sender that was not given is null")
{
    handoff::Trial trial = some_trial(true);
    trial.mutable_entries(0)->mutable_samples(0)->set_has_sender(false);
    CHECK(trial_json(trial) ==
          fmt::format(R"({{"direction": "out", "tried": "dane", "judged": 410, "passed": 400, "without_records": 388, "refused": 10, )"
                      R"("unknown": 2, "last": "{1}", "entries": [{{"whom": "there.test", "host": "mx.there.test", )"
                      R"("reason": "554 5.7.1 no?", "known": true, "count": 10, "first": "{0}", "last": "{1}", "samples": [{{"time": "{1}", )"
                      R"("queue_id": "", "peer": "mx.there.test[192.0.2.2]", "sender": null, "recipient": "user@there.test"}}]}}], )"
                      R"("left_out": 0}})",
                      utc_time(first_time), utc_time(last_time)));
}
