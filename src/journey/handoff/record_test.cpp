#include "handoff/record.hpp"

#include "base/strings.hpp"
#include "observe/recorder.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::handoff;

namespace {

struct Case {
    Case()
    {
        envelope.set_queue_id("4gDq");
        envelope.set_arrival(1'700'000'000'000'000);
        envelope.set_sender("a@ours.test");
        envelope.set_size(1047);
        envelope.set_message_id("<m@ours.test>");
        envelope.mutable_client()->set_protocol("ESMTPS");
        recipient.set_address("User@There.test");
        recipient.set_original("alias@ours.test");
        route.set_transport("smtp");
        route.set_site("smtp:there.test");
        verdict.set_outcome(OUTCOME_DELIVERED);
        verdict.set_status("2.1.5");
        verdict.set_text("250 2.1.5 Ok: queued as X");
        verdict.set_diagnostic("250 2.1.5 Ok: queued as X");
        verdict.set_relay("mx.there.test[192.0.2.1]:25");
        verdict.set_connected(1'700'000'001'500'000);
        verdict.set_finished(1'700'000'002'250'001);
        session.set_connecting(1'700'000'001'000'000);
        session.set_protocol("ESMTP");
        session.set_source("192.0.2.7:40000");
        session.set_tls_protocol("TLSv1.3");
        session.set_tls_cipher("TLS_AES_256_GCM_SHA384");
        session.set_tls_peer("mx.there.test");
        options.types.set();
        options.node = "557f3ad4-2c8c-51ee-976e-782d7e12e173";
    }
    std::string made(RecordType type, std::int64_t next = 0, std::string_view headers = {}) const
    {
        return fate_record({.type = type,
                            .envelope = envelope,
                            .recipient = recipient,
                            .verdict = verdict,
                            .route = &route,
                            .session = &session,
                            .active = 1'700'000'000'250'000,
                            .attempts = 2,
                            .next_attempt = next,
                            .headers = headers},
                           options);
    }
    Envelope envelope;
    Recipient recipient;
    Verdict verdict;
    Route route;
    SessionFacts session;
    RecordOptions options;
};

bool has(std::string_view record, std::string_view part) { return record.find(part) != record.npos; }

}  // namespace

TEST_CASE("record: a delivery has the members that readers of KumoMTA's know, and ours behind them")
{
    CHECK(Case().made(RecordType::delivery) ==
          R"({"type":"Delivery","id":"4gDq","sender":"a@ours.test","recipient":"User@There.test","queue":"there.test","site":"smtp:there.test",)"
          R"("size":1047,"response":{"code":250,"enhanced_code":{"class":2,"subject":1,"detail":5},"content":"Ok: queued as X","command":"."},)"
          R"("peer_address":{"name":"mx.there.test","addr":"192.0.2.1"},"timestamp":1700000002,"created":1700000000,)"
          R"("event_time":"2023-11-14T22:13:22.250001Z","num_attempts":2,"bounce_classification":"Uncategorized","egress_pool":null,)"
          R"("egress_source":null,"source_address":{"address":"192.0.2.7:40000"},"feedback_report":null,"meta":{},"headers":{},)"
          R"("delivery_protocol":"ESMTP","reception_protocol":"ESMTPS","nodeid":"557f3ad4-2c8c-51ee-976e-782d7e12e173",)"
          R"("tls_cipher":"TLS_AES_256_GCM_SHA384","tls_protocol_version":"TLSv1.3","tls_peer_subject_name":["CN=mx.there.test"],)"
          R"("transport":"smtp","relay":"mx.there.test[192.0.2.1]:25","delays":[0.250000,0.750000,0.500000,0.750001],"dsn":"2.1.5",)"
          R"("orig_recipient":"alias@ours.test","message_id":"<m@ours.test>"})");
}

TEST_CASE("record: a refusal has the reply as the server said it, the command, a class and a word for why")
{
    Case one;
    one.verdict.set_outcome(OUTCOME_BOUNCED);
    one.verdict.set_status("5.1.1");
    one.verdict.set_text("host mx.there.test[192.0.2.1] said: 550-5.1.1 no such user 550 5.1.1 here (in reply to RCPT TO command)");
    one.verdict.set_diagnostic("550-5.1.1 no such user 550 5.1.1 here");
    const std::string bounce = one.made(RecordType::bounce);
    CHECK(has(bounce, R"("type":"Bounce")"));
    CHECK(has(
        bounce,
        R"("response":{"code":550,"enhanced_code":{"class":5,"subject":1,"detail":1},"content":"no such user 550 5.1.1 here","command":"RCPT TO"})"));
    CHECK(has(bounce, R"("bounce_classification":"InvalidRecipient")"));
    CHECK(has(bounce, R"("dsn":"5.1.1","reason":"unknown-user")"));

    one.verdict.set_classification("Nobody \"here\"");               // a table's word before the status
    CHECK(has(one.made(RecordType::bounce), R"("bounce_classification":"Nobody \"here\"")"));
    CHECK(has(one.made(RecordType::delivery), R"("bounce_classification":"Uncategorized")"));
    one.verdict.clear_classification();
    one.route.set_pool("bulk");
    CHECK(has(one.made(RecordType::bounce), R"("egress_pool":"bulk","egress_source":"smtp")"));
    one.route.clear_pool();

    one.verdict.set_outcome(OUTCOME_DEFERRED);
    one.verdict.set_status("4.0.0");
    one.verdict.set_text("host mx.there.test[192.0.2.1] said: 451 later (in reply to end of DATA command)");
    one.verdict.set_diagnostic("451 later");
    const std::string deferral = one.made(RecordType::transient_failure, 1'700'000'300'000'000);
    CHECK(has(deferral, R"("type":"TransientFailure")"));
    CHECK(has(deferral, R"("response":{"code":451,"enhanced_code":null,"content":"later","command":"."})"));
    CHECK(has(deferral, R"("next_attempt":1700000300)"));
}

TEST_CASE("record: without a reply the code is that of the status' class; what is not known is null or not there")
{
    Case one;
    one.verdict = {};
    one.verdict.set_outcome(OUTCOME_DEFERRED);
    one.verdict.set_status("4.4.1");
    one.verdict.set_text("connect to mx.there.test[2001:db8::1]:25: Connection refused");
    one.verdict.set_finished(1'700'000'002'000'000);
    one.recipient.clear_original();
    one.envelope.clear_message_id();
    one.envelope.clear_client();
    const std::string record = fate_record(
        {.type = RecordType::transient_failure, .envelope = one.envelope, .recipient = one.recipient, .verdict = one.verdict}, one.options);
    CHECK(has(
        record,
        R"("response":{"code":451,"enhanced_code":{"class":4,"subject":4,"detail":1},"content":"connect to mx.there.test[2001:db8::1]:25: Connection refused","command":null})"));
    for (const char* none : {"peer_address", "source_address", "delivery_protocol", "reception_protocol"})
        CHECK(has(record, fmt::format("\"{}\":null", none)));
    CHECK(has(record, R"("site":"")"));
    CHECK(has(record, R"("relay":"none","delays":[2.000000,0.000000,0.000000,0.000000])"));
    CHECK(has(record, R"("bounce_classification":"NoAnswerFromHost")"));
    for (const char* absent : {"tls_", "orig_recipient", "message_id", "next_attempt", "transport"})
        CHECK_FALSE(has(record, absent));
}

TEST_CASE(
    "record: a reception has one text where there is one recipient, an array where there are several, and further records where there are too many")
{
    Case one;
    *one.envelope.add_recipients() = one.recipient;
    one.envelope.mutable_client()->set_helo("client.test");
    one.envelope.mutable_client()->set_name("host.client.test");
    one.envelope.mutable_client()->set_address("192.0.2.9");
    one.envelope.set_bounce_to("3abc");
    auto records = reception_records(one.envelope, R"({"Subject":"s"})", one.options, 1'700'000'000'500'000);
    REQUIRE(records.size() == 1);
    CHECK(
        records[0] ==
        R"({"type":"Reception","id":"4gDq","sender":"a@ours.test","recipient":"User@There.test","queue":"there.test","site":"","size":1047,)"
        R"("response":{"code":250,"enhanced_code":null,"content":"","command":null},"peer_address":{"name":"client.test","addr":"192.0.2.9"},)"
        R"("timestamp":1700000000,"created":1700000000,"event_time":"2023-11-14T22:13:20.500000Z","num_attempts":0,)"
        R"("bounce_classification":"Uncategorized","egress_pool":null,"egress_source":null,"source_address":null,"feedback_report":null,)"
        R"("meta":{},"headers":{"Subject":"s"},"delivery_protocol":null,"reception_protocol":"ESMTPS",)"
        R"("nodeid":"557f3ad4-2c8c-51ee-976e-782d7e12e173","client_name":"host.client.test","message_id":"<m@ours.test>","notification_of":"3abc"})");
    one.envelope.add_recipients()->set_address("v@there.test");
    records = reception_records(one.envelope, "", one.options, 0);
    REQUIRE(records.size() == 1);
    CHECK(has(records[0], R"("recipient":["User@There.test","v@there.test"])"));

    one.envelope.clear_recipients();
    for (int i = 0; i < 5000; ++i)
        one.envelope.add_recipients()->set_address(fmt::format("recipient-number-{}@there.test", i));
    records = reception_records(one.envelope, "", one.options, 0);
    CHECK(records.size() > 1);
    std::size_t named = 0;
    for (const std::string& record : records) {
        CHECK(observe::fit_for_record(record));
        CHECK(record.size() <= observe::record_octets);
        for (std::size_t at = 0; (at = record.find("recipient-number-", at)) != record.npos; ++at)
            ++named;
    }
    CHECK(named == 5000);
}

TEST_CASE("record: a rejection has the reply, the command, who said it and what refused")
{
    Case one;
    const std::string record = rejection_record({.command = "RCPT",
                                                 .reply = "554 5.7.1 <u@there.test>: Relay access denied",
                                                 .by = "reject_unauth_destination",
                                                 .client_name = "unknown",
                                                 .client_address = "192.0.2.9",
                                                 .helo = "client\"test",
                                                 .protocol = "ESMTP",
                                                 .sender = "a@b.test",
                                                 .recipient = "u@there.test"},
                                                one.options, 1'700'000'000'500'000);
    CHECK(has(
        record,
        R"({"type":"Rejection","id":"","sender":"a@b.test","recipient":"u@there.test","queue":"there.test","site":"","size":0,)"
        R"("response":{"code":554,"enhanced_code":{"class":5,"subject":7,"detail":1},"content":"<u@there.test>: Relay access denied","command":"RCPT TO"},)"
        R"("peer_address":{"name":"client\"test","addr":"192.0.2.9"})"));
    CHECK(has(record, R"("dsn":"5.7.1","reason":"not-authorized","by":"reject_unauth_destination"})"));
    CHECK(has(rejection_record({.command = "END-OF-MESSAGE", .reply = "451 later"}, one.options, 0), R"("command":"."},"peer_address":null)"));
}

TEST_CASE("record: texts are shortened until it fits, between characters, and it stays an object in one line of UTF-8")
{
    Case one;
    std::string text;
    while (text.size() < 20'000)
        text += "\x01\xc3\xbc\xff";
    one.verdict.set_diagnostic("550 5.1.1 " + text);
    one.verdict.set_outcome(OUTCOME_BOUNCED);
    one.verdict.set_text(text);
    one.verdict.set_relay(text);
    one.recipient.set_address(text + "@" + text);
    one.envelope.set_sender(text);
    one.envelope.set_message_id(text);
    const std::string record = one.made(RecordType::bounce, 0, R"({"Subject":"s"})");
    CHECK(observe::fit_for_record(record));
    CHECK(record.size() <= observe::record_octets);
    CHECK(has(record, R"("nodeid":"557f3ad4-2c8c-51ee-976e-782d7e12e173")"));

    Case plain;
    plain.verdict.set_diagnostic("250 2.0.0 " + std::string(8191, 'x') + "\xc3\xbc");
    CHECK(has(plain.made(RecordType::delivery), "\"content\":\"" + std::string(8191, 'x') + "\",\"command\""));
}

TEST_CASE("record: chosen header fields, unfolded and decoded, an array where there are several")
{
    const std::vector<std::string> names{"Subject", "X-Tag", "X-None"};
    const std::string_view content =
        "Received: x\r\nsubject: =?utf-8?Q?gr=C3=BC=C3=9F?=\r\n folded\r\nX-Tag: 1\r\nX-Tag: \"2\"\r\n\r\nX-None: body\r\n";
    CHECK(chosen_headers(content, names) == "{\"Subject\":\"gr\xc3\xbc\xc3\x9f folded\",\"X-Tag\":[\"1\",\"\\\"2\\\"\"]}");
    CHECK(chosen_headers(content, {}).empty());
    CHECK(chosen_headers("", names) == "{}");
    std::string many;
    for (int i = 0; i < 100; ++i)
        many += "X-Tag: " + std::string(5000, 'x') + "\r\n";
    const std::string chosen = chosen_headers(many + "\r\n", names);
    CHECK(chosen.size() < 20'000);
    CHECK(observe::fit_for_record(chosen));
}

TEST_CASE("record: relays that are hosts, and those that are none")
{
    std::string_view name, address;
    REQUIRE(relay_parts("mx.test[2001:db8::1]:25", name, address));
    CHECK(name == "mx.test");
    CHECK(address == "2001:db8::1");
    for (const char* none : {"none", "local", "virtual", "mx.test[/run/lmtp]", "[192.0.2.1]:25", "mx.test[192.0.2.1", ""})
        CHECK_FALSE(relay_parts(none, name, address));
    CHECK(record_type("transientfailure") == RecordType::transient_failure);
    CHECK_FALSE(record_type("Feedback"));
}
