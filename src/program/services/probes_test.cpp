#include "services/probes.hpp"

#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

struct ProbeFixture : Fixture {
    Probes probes{loop.get_executor(),
                  resolver,
                  worker,
                  {[this] { return queue->take_attempt(); }, [this] { return queue->next_queue_id(); },
                   [this](const handoff::Shaping& said, std::string_view site) { queue->heard_by_probe(said, site); },
                   [this](std::string_view site) { return queue->silent(site); }, [this](handoff::Route& route) { queue->choose(route, {}, {}); }},
                  {.sessions = 2, .addresses = 3, .worker_patience = 0ms},
                  clock,
                  observe::Log(sink, "postfix/qmgr")};

    ~ProbeFixture()
    {
        bool closed = false;
        asio::co_spawn(loop, probes.close(), [&](std::exception_ptr) { closed = true; });
        run_until([&] { return closed; });
    }
    /// Asks at once for all; the answers come when the loop turns.
    std::vector<std::optional<Result<handoff::ProbeReply>>>& ask(std::vector<std::string> addresses)
    {
        for (const std::string& address : addresses) {
            handoff::ProbeRequest request;
            request.set_sender("double-bounce@mx.test");
            request.set_address(address);
            const std::size_t at = answers.size();
            answers.emplace_back();
            asio::co_spawn(loop, probes.probe(request),
                           [this, at](std::exception_ptr, Result<handoff::ProbeReply> reply) { answers[at] = std::move(reply); });
        }
        settle();
        return answers;
    }
    std::vector<std::optional<Result<handoff::ProbeReply>>> answers;
};

}  // namespace

TEST_CASE_FIXTURE(ProbeFixture, "probes: addresses of one site that come while it is asked go together, and nothing of them is stored")
{
    worker.slow = [](const std::string&) { return true; };
    ask({"a@there.test", "b@there.test", "c@there.test", "d@there.test", "e@there.test", "f@there.test", "g@there.test", "h@there.test",
         "x@else.test"});
    // Two at once for the one site, as large as they may be; one for the other; the rest waits.
    REQUIRE(worker.requests.size() == 3);
    CHECK(worker.requests[0].probe());
    CHECK(worker.requests[0].envelope().sender() == "double-bounce@mx.test");
    CHECK(worker.requests[0].envelope().recipients_size() == 3);
    CHECK(worker.requests[1].envelope().recipients_size() == 3);
    CHECK(worker.requests[2].route().site() == "smtp:else.test");
    worker.slow = [](const std::string&) { return false; };
    worker.verdict_for = [](const std::string& address) {
        return address[0] == 'f' ? TestWorker::made(handoff::OUTCOME_UNDELIVERABLE, "5.1.1", "550 no") : TestWorker::delivered();
    };
    worker.answer_slow();
    settle();
    REQUIRE(worker.requests.size() == 4);
    CHECK(worker.requests[3].envelope().recipients_size() == 2);
    REQUIRE(std::ranges::all_of(answers, [](const auto& answer) { return answer && *answer; }));
    CHECK((*answers[5])->verdict().text() == "550 no");
    CHECK((*answers[4])->verdict().outcome() == handoff::OUTCOME_DELIVERED);
    CHECK((*answers[4])->final_address() == "e@there.test");
    CHECK(worker.confirmed == 4);                                     // no process keeps a probe's verdict for us
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(ProbeFixture, "probes: those of one site go together by one member of a pool, and by another while that one is told to be silent")
{
    QueueOptions pooled = options;
    pooled.pools = *route::Pools::parse(config::parse_list("{ smtp, out1, out2 }"));
    queue->reconfigure(pooled);
    ask({"a@there.test", "b@there.test", "c@there.test"});
    REQUIRE(worker.requests.size() == 1);
    const std::string first = worker.requests[0].route().transport();
    CHECK(worker.requests[0].envelope().recipients_size() == 3);
    CHECK(first.starts_with("out"));
    CHECK(worker.requests[0].route().site() == first + ":there.test");
    handoff::Shaping silence;
    silence.set_set("there.test from " + first);
    silence.set_suspend(600);
    queue->heard_by_probe(silence, first + ":there.test");
    ask({"d@there.test"});
    REQUIRE(worker.requests.size() == 2);
    CHECK(worker.requests[1].route().transport() == (first == "out1" ? "out2" : "out1"));
}

TEST_CASE_FIXTURE(ProbeFixture, "probes: what needs no peer is answered here; who cannot be asked is an error, not a verdict")
{
    ask({"moved@error.test"});
    REQUIRE(answers[0]);
    CHECK((*answers[0])->verdict().outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK((*answers[0])->verdict().status() == "5.1.6");
    CHECK(sink->lines.back().find("postfix/error") != std::string::npos);
    CHECK(sink->lines.back().find("status=undeliverable (User has moved)") != std::string::npos);
    resolver.broken = true;
    ask({"a@there.test"});
    CHECK_FALSE(*answers[1]);
    resolver.broken = false;
    worker.absent = true;
    ask({"a@there.test"});
    CHECK((*answers[2]).error().what() == "mail transport unavailable: smtp");
    worker.absent = false;
    worker.crashes = 1;
    ask({"a@there.test"});
    REQUIRE(answers[3]);
    CHECK_FALSE(*answers[3]);
    worker.hands_back = 2;                                            // processes that are about to end
    ask({"a@there.test"});
    run_until([&] { return answers[4].has_value(); });
    CHECK((*answers[4])->verdict().outcome() == handoff::OUTCOME_DELIVERED);
}

TEST_CASE_FIXTURE(
    ProbeFixture,
    "probes: what is over a site's budget is told so at once, is not asked, and is said once; there is room again when they are answered")
{
    probes.reconfigure({.sessions = 1, .pending = 2, .addresses = 1, .worker_patience = 0ms});
    worker.slow = [](const std::string&) { return true; };
    ask({"a@there.test", "b@there.test", "c@there.test", "d@there.test", "x@else.test"});
    CHECK_FALSE(answers[0]);
    CHECK_FALSE(answers[1]);
    for (const std::size_t at : {2U, 3U}) {
        REQUIRE(answers[at]);
        REQUIRE(*answers[at]);
        CHECK((*answers[at])->not_asked() == "Too many address verification requests for this destination");
        CHECK_FALSE((*answers[at])->has_verdict());
    }
    CHECK_FALSE(answers[4]);                                    // another site has its own
    CHECK(worker.requests.size() == 2);
    CHECK(std::ranges::count_if(sink->lines,
                                [](const std::string& line) { return line.find("address_verify_site_pending_limit") != std::string::npos; }) == 1);
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    REQUIRE(std::ranges::all_of(answers, [](const auto& answer) { return answer && *answer; }));
    ask({"c@there.test"});
    REQUIRE(answers[5]);
    CHECK((*answers[5])->verdict().outcome() == handoff::OUTCOME_DELIVERED);
}

TEST_CASE_FIXTURE(ProbeFixture, "probes: an address whose mail would loop to us is asked about where it goes instead")
{
    std::string instead = "local";
    worker.amend = [&](const std::string&, handoff::Verdicts& reply) {
        if (worker.requests.back().passed_on())
            return;
        reply.clear_verdicts();
        reply.set_untried(true);
        reply.set_elsewhere(instead);
    };
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_UNDELIVERABLE, "5.1.1", "unknown user"); };
    ask({"a@there.test"});
    REQUIRE(worker.requests.size() == 2);
    CHECK(worker.requests[1].route().site() == "local:" + worker.requests[0].route().nexthop());
    CHECK(worker.requests[1].probe());
    REQUIRE(answers[0]);
    REQUIRE(*answers[0]);
    CHECK((*answers[0])->verdict().text() == "unknown user");

    instead = "error:5.4.6 it is not for here";
    ask({"b@there.test"});
    CHECK(worker.requests.size() == 3);
    REQUIRE(answers[1]);
    REQUIRE(*answers[1]);
    CHECK((*answers[1])->verdict().outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK((*answers[1])->verdict().status() == "5.4.6");
    CHECK((*answers[1])->verdict().text() == "it is not for here");
}

TEST_CASE_FIXTURE(ProbeFixture, "probes: a site that asks one for silence has it from the next probes and from mail; then it is asked again")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.7.0", "421 [TSS04]"); };
    worker.amend = [](const std::string&, handoff::Verdicts& reply) {
        reply.mutable_shaping()->set_set("mx.there.test");
        reply.mutable_shaping()->set_suspend(600);
        reply.mutable_shaping()->set_said("host mx.there.test said: 421 [TSS04]");
    };
    ask({"a@there.test"});
    REQUIRE(worker.requests.size() == 1);
    ask({"b@there.test", "c@else.test"});
    enqueue({"d@there.test"});
    settle();
    CHECK(worker.requests.size() == 2);                             // the other site's
    REQUIRE(answers[1]);
    REQUIRE(!*answers[1]);
    CHECK(answers[1]->error().text() == "delivery temporarily suspended: host mx.there.test said: 421 [TSS04]");
    worker.amend = nullptr;
    pass(601s);
    ask({"b@there.test"});
    CHECK(std::ranges::count(worker.requests, "smtp:there.test", [](const handoff::DeliveryRequest& request) { return request.route().site(); }) ==
          3);
}
