#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

std::set<std::string> senders(const auto& requests)
{
    std::set<std::string> all;
    for (const auto& request : requests)
        all.insert(request.envelope().sender());
    return all;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "verp: each recipient gets its copy from a sender that names it, one a delivery")
{
    enqueue({"u@there.test", "v@there.test"}, "list@ours.test", "+=");
    settle();
    CHECK(worker.requests.size() == 2);
    CHECK(senders(worker.requests) == std::set<std::string>{"list+u=there.test@ours.test", "list+v=there.test@ours.test"});
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "v@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "verp: each failed recipient is told of to its own return path, or all of them to the sender where that is asked for")
{
    worker.verdict_for = [](const std::string& address) {
        return address.ends_with("@there.test") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user") : TestWorker::delivered();
    };
    options.disable_verp_bounces = true;
    SUBCASE("") { options.disable_verp_bounces = false; }
    SUBCASE("disable_verp_bounces") {}
    queue->reconfigure(options);
    enqueue({"u@there.test", "v@there.test"}, "list@ours.test", "+=");
    settle();
    if (options.disable_verp_bounces)
        CHECK(senders(resolver.reports) == std::set<std::string>{"list@ours.test"});
    else
        CHECK(senders(resolver.reports) == std::set<std::string>{"list+u=there.test@ours.test", "list+v=there.test@ours.test"});
    CHECK(resolver.reports.size() == (options.disable_verp_bounces ? 1 : 2));
    CHECK(in_queue() == 0);
}
