// The queue manager's times: when mail is tried again, how long it waits, when its sender is warned; main.cf's, and those of retry_schedule_maps.
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

schedule::TransportOptions dead_by_one_failure(std::string_view)
{
    schedule::TransportOptions made;
    made.window.initial = 1;
    return made;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "queue: after maximal_queue_lifetime a deferral is the end, and the sender hears why")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "connection refused") : TestWorker::delivered();
    };
    const std::string id = enqueue({"slow@there.test"});
    settle();
    pass(120h);
    CHECK(logged(id + ": from=<a@ours.test>, status=expired, returned to sender"));
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].verdicts(0).text() == "connection refused");
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: retry_schedule_maps: each recipient has its own lifetime, the message the soonest of their tries")
{
    resolver.schedules = {{"short.test", "maximal_queue_lifetime=1h"}, {"long.test", "maximal_queue_lifetime=10d, minimal_backoff_time=30m"}};
    worker.verdict_for = [](const std::string& address) {
        return address == "a@ours.test" ? TestWorker::delivered() : TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away");
    };
    const std::string alone = enqueue({"slow@long.test"});
    settle();
    pass(29min);
    CHECK(worker.requests.size() == 1);
    pass(2min);
    CHECK(worker.requests.size() == 2);
    const std::string both = enqueue({"u@short.test", "u@long.test"});
    settle();
    CHECK(worker.requests.size() == 4);
    pass(301s);                                                 // short.test has main.cf's
    CHECK(worker.requests.size() == 6);
    pass(1h);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].envelope().queue_id() == both);
    REQUIRE(resolver.reports[0].verdicts_size() == 1);
    CHECK(resolver.reports[0].envelope().recipients(0).address() == "u@short.test");
    CHECK(in_queue() == 2);
    pass(121h);                                                 // beyond main.cf's five days
    CHECK(resolver.reports.size() == 1);
    CHECK(in_queue() == 2);
    pass(120h);
    CHECK(resolver.reports.size() == 3);
    CHECK(logged(alone + ": from=<a@ours.test>, status=expired, returned to sender"));
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: retry_schedule_maps: recipients of one delivery are tried when the first of them is due")
{
    for (const char* quick : {"u@there.test", "v@there.test"}) {
        CAPTURE(quick);
        resolver.schedules = {{"there.test", "minimal_backoff_time=1h"}, {quick, "minimal_backoff_time=1m"}};
        worker.requests.clear();
        worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away"); };
        enqueue({"u@there.test", "v@there.test"});
        settle();
        REQUIRE(worker.requests.size() == 1);
        worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
        pass(61s);
        CHECK(worker.requests.size() == 2);
        CHECK(in_queue() == 0);
    }
}

TEST_CASE_FIXTURE(Fixture, "queue: a retry schedule that cannot be read is said once a round, and main.cf's times hold")
{
    resolver.schedules = {{"there.test", "maximal_queue_lifetime=soon"}};
    worker.verdict_for = [](const std::string& address) {
        return address == "a@ours.test" ? TestWorker::delivered() : TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away");
    };
    const std::string id = enqueue({"u@there.test", "v@there.test"});
    settle();
    CHECK(std::ranges::count_if(sink->lines, [&](const auto& line) {
              return line.find(id + ": retry_schedule_maps: u@there.test: maximal_queue_lifetime: \"soon\" is no time; the times of main.cf hold") !=
                     line.npos;
          }) == 1);
    CHECK(in_queue() == 1);
    pass(119h);
    CHECK(in_queue() == 1);
    pass(2h);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a site that cannot be had is left alone as long as its mail's own schedule says")
{
    stop();
    options.scheduler.transport = dead_by_one_failure;
    start();
    resolver.schedules = {{"quick.test", "minimal_backoff_time=10s"}};
    worker.site_failed = true;
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away"); };
    enqueue({"u@quick.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    worker.site_failed = false;
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(11s);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue: a warning of a delay comes when the recipient's own schedule says, and tells of its times")
{
    resolver.schedules = {{"there.test", "delay_warning_time=1h maximal_queue_lifetime=2d"}};
    worker.verdict_for = [](const std::string& address) {
        return address == "a@ours.test" ? TestWorker::delivered() : TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away");
    };
    enqueue({"u@there.test"});
    enqueue({"u@other.test"});
    settle();
    pass(2h);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].kind() == handoff::ReportRequest::DELAY);
    REQUIRE(resolver.reports[0].gives_up_size() == 1);
    CHECK(resolver.reports[0].gives_up(0) - resolver.reports[0].envelope().arrival() == 2 * 86'400'000'000);
    CHECK(resolver.reports[0].warned_after() == 3600);
}

TEST_CASE_FIXTURE(Fixture, "queue: the sender is warned of a delay once, and the message waits on")
{
    options.retry.delay_warning = 1h;
    queue->reconfigure(options);
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away") : TestWorker::delivered();
    };
    enqueue({"slow@there.test"});
    settle();
    CHECK(resolver.reports.empty());
    pass(3601s);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].kind() == handoff::ReportRequest::DELAY);
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test"});
    CHECK(in_queue() == 1);
    pass(4001s);
    CHECK(resolver.reports.size() == 1);
    CHECK(in_queue() == 1);
}

TEST_CASE_FIXTURE(Fixture, "queue: mail that is passed on to another site keeps its own schedule there")
{
    stop();
    options.scheduler.transport = dead_by_one_failure;
    start();
    resolver.schedules = {{"quick.test", "minimal_backoff_time=10s"}};
    bool away = true;
    worker.amend = [&](const std::string&, handoff::Verdicts& reply) {
        if (worker.requests.back().passed_on()) {
            reply.set_site_failed(away);
            return;
        }
        worker.delivered_to.clear();
        reply.clear_verdicts();
        reply.set_untried(true);
        reply.set_elsewhere("lmtp:unix:/store");
    };
    worker.verdict_for = [&](const std::string&) {
        return away ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away") : TestWorker::delivered();
    };
    enqueue({"u@quick.test"});
    settle();
    REQUIRE(worker.requests.size() == 2);
    away = false;
    pass(11s);
    CHECK(worker.requests.size() == 4);
    CHECK(in_queue() == 0);
}
