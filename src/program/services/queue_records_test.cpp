#include "services/queue_manager_test.hpp"
#include "services/records.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

struct Recorded : Fixture {
    Recorded()
    {
        stop();
        options.records.types.set();
        options.records.node = "node";
    }
    void begin()
    {
        start();
        queue->record_to(&recorder);
    }
    /// "Delivery u@there.test", in order; records of this message alone, where one is named.
    std::vector<std::string> told(const std::string& id = "") const
    {
        std::vector<std::string> all;
        for (const std::string& record : recorder.records)
            if (id.empty() || member(record, "id") == "\"" + id + "\"")
                all.push_back(member(record, "type").substr(1, member(record, "type").size() - 2) + " " + member(record, "recipient"));
        return all;
    }
    static std::string member(const std::string& record, const std::string& name)
    {
        const auto at = record.find("\"" + name + "\":") + name.size() + 3;
        const char open = record[at];
        return record.substr(at, open == '['   ? record.find(']', at) + 1 - at
                                 : open == '"' ? record.find('"', at + 1) + 1 - at
                                               : record.find_first_of(",}", at) - at);
    }
    observe::MemoryRecorder recorder;
};

}  // namespace

TEST_CASE_FIXTURE(Recorded, "queue records: a message that came, and what became of each recipient, each once and in this order")
{
    begin();
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("slow")   ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later")
               : address.starts_with("none") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user")
                                             : TestWorker::delivered();
    };
    const std::string id = enqueue({"u@there.test", "slow@there.test", "none@there.test"});
    settle();
    auto all = told(id);
    REQUIRE(all.size() == 4);
    CHECK(all[0] == R"(Reception ["u@there.test","slow@there.test","none@there.test"])");
    std::ranges::sort(all);
    CHECK(all == std::vector<std::string>{R"(Bounce "none@there.test")", R"(Delivery "u@there.test")",
                                          R"(Reception ["u@there.test","slow@there.test","none@there.test"])",
                                          R"(TransientFailure "slow@there.test")"});
    CHECK(std::ranges::count(told(), R"(Reception "a@ours.test")") == 1);              // the bounce
    CHECK(std::ranges::all_of(recorder.records,
                              [](const std::string& record) { return observe::fit_for_record(record) && member(record, "nodeid") == "\"node\""; }));

    recorder.records.clear();
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(10h);
    CHECK(told(id) == std::vector<std::string>{R"(Delivery "slow@there.test")"});
    CHECK(member(recorder.records[0], "num_attempts") == "1");
}

TEST_CASE_FIXTURE(Recorded, "queue records: attempts are counted for each recipient, over a restart, and until an operator deletes the message")
{
    begin();
    bool away = true;
    worker.verdict_for = [&](const std::string&) {
        return away ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later") : TestWorker::delivered();
    };
    enqueue({"u@there.test"});
    const std::string deleted = enqueue({"v@there.test"});
    settle();
    pass(1h);
    stop();
    begin();
    recorder.records.clear();
    pass(3h);
    REQUIRE(recorder.records.size() == 2);
    CHECK(member(recorder.records[0], "num_attempts") == "2");
    CHECK(member(recorder.records[1], "num_attempts") == "2");
    recorder.records.clear();
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 1);
    REQUIRE(recorder.records.size() == 1);
    CHECK(member(recorder.records[0], "num_attempts") == "3");
    recorder.records.clear();
    away = false;
    pass(10h);
    REQUIRE(recorder.records.size() == 1);
    CHECK(member(recorder.records[0], "num_attempts") == "3");
}

TEST_CASE_FIXTURE(Recorded, "queue records: the queue's judgement counts: what is too old has expired, what is soft is deferred")
{
    options.soft_bounce = true;
    begin();
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user"); };
    const std::string id = enqueue({"u@there.test"});
    settle();
    CHECK(told(id) == std::vector<std::string>{R"(Reception "u@there.test")", R"(TransientFailure "u@there.test")"});
    CHECK(member(recorder.records[1], "dsn") == "\"4.1.1\"");
    CHECK(member(recorder.records[1], "next_attempt") != "");
    recorder.records.clear();
    pass(std::chrono::days{10});
    CHECK(told(id) == std::vector<std::string>{R"(Expiration "u@there.test")"});
}

TEST_CASE_FIXTURE(Recorded, "queue records: what an operator deletes or expires ends by him")
{
    begin();
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    const std::string deleted = enqueue({"u@there.test", "v@there.test"}), expired = enqueue({"w@there.test"});
    settle();
    recorder.records.clear();
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 1);
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 0);
    settle();
    CHECK(told() == std::vector<std::string>{R"(AdminBounce "u@there.test")", R"(AdminBounce "v@there.test")"});
    CHECK(recorder.records[0].find("deleted by an operator") != std::string::npos);
    recorder.records.clear();
    CHECK(command(handoff::QueueCommand::EXPIRE, expired).count() == 1);
    settle();
    CHECK(told(expired) == std::vector<std::string>{R"(AdminBounce "w@there.test")"});
}

TEST_CASE_FIXTURE(Recorded, "queue records: a delivery that was under way when an operator deleted its message is told all the same")
{
    begin();
    worker.slow = [](const std::string&) { return true; };
    const std::string id = enqueue({"u@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::DELETE, id).count() == 1);
    worker.answer_slow();
    settle();
    CHECK(told(id) == std::vector<std::string>{R"(Reception "u@there.test")", R"(AdminBounce "u@there.test")", R"(Delivery "u@there.test")"});
}

TEST_CASE_FIXTURE(
    Recorded, "queue records: types that are not wanted are left out; header fields are in all records, of large messages and after a restart too")
{
    options.records.types.reset(static_cast<std::size_t>(handoff::RecordType::transient_failure));
    options.records.headers = {"Subject"};
    begin();
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@there.test"});
    handoff::EnqueueRequest large;
    large.mutable_envelope()->set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
    large.mutable_envelope()->set_arrival(clock.wall().time_since_epoch().count());
    large.mutable_envelope()->add_recipients()->set_address("large@there.test");
    large.mutable_content()->set_inline_octets("Subject: x\r\n\r\n");
    in_file(large);
    REQUIRE(wait(queue->enqueue(large)));
    settle();
    CHECK(told() == std::vector<std::string>{R"(Reception "u@there.test")", R"(Reception "large@there.test")"});
    stop();
    begin();
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(10h);
    REQUIRE(recorder.records.size() == 4);
    for (const std::string& record : recorder.records)
        CHECK(record.find(R"("headers":{"Subject":"x"})") != std::string::npos);
}

TEST_CASE_FIXTURE(Recorded, "queue records: without a type that is wanted nothing is told; an address that is asked about is no mail")
{
    begin();
    handoff::EnqueueRequest probe;
    probe.mutable_envelope()->set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
    probe.mutable_envelope()->set_purpose(handoff::PURPOSE_VERIFY_ADDRESS);
    probe.mutable_envelope()->set_sender("a@ours.test");
    probe.mutable_envelope()->add_recipients()->set_address("asked@there.test");
    probe.mutable_content()->set_inline_octets("Subject: x\r\n\r\n");
    probe.mutable_envelope()->set_size(probe.content().inline_octets().size());
    probe.mutable_envelope()->set_arrival(clock.wall().time_since_epoch().count());
    const auto reply = wait(queue->enqueue(probe));
    REQUIRE((reply && reply->committed()));
    settle();
    REQUIRE(worker.requests.size() >= 1);                                  // the probe, and the report of it
    CHECK(std::ranges::count_if(told(), [](const std::string& line) { return line.find("asked@") != line.npos; }) == 0);
    recorder.records.clear();
    options.records = {};
    queue->reconfigure(options);
    enqueue({"u@there.test"});
    settle();
    CHECK(recorder.records.empty());
}

TEST_CASE("queue records: the node is the name-based UUID of the host")
{
    CHECK(host_uuid("python.org") == "886313e1-3b8a-5372-9b90-0c9aee199e5d");        // Python's documentation of uuid5
}
