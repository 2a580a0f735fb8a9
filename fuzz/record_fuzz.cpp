// Delivery records: whatever the octets of addresses, replies, header fields and names are, each record is one JSON object in one line of UTF-8, within
// its bound: read again it has the members that were put in, and none besides.
#include "fuzz.hpp"

#include "base/json.hpp"
#include "handoff/record.hpp"
#include "observe/recorder.hpp"

#include <boost/json/src.hpp>

namespace posthorn::fuzz {

using namespace posthorn::handoff;

namespace {

void check(const std::string& record, std::string_view type)
{
    FUZZ_CHECK(observe::fit_for_record(record) && record.size() <= observe::record_octets);
    boost::json::error_code error;
    const auto value = boost::json::parse(record, error);
    FUZZ_CHECK(!error && value.is_object());
    const auto& object = value.get_object();
    FUZZ_CHECK(object.at("type").as_string() == type);
    FUZZ_CHECK(object.at("id").is_string() && object.at("sender").is_string() && object.at("queue").is_string());
    FUZZ_CHECK(object.at("response").as_object().at("code").is_int64() && object.at("response").as_object().size() == 4);
    FUZZ_CHECK(object.at("headers").is_object() && object.at("meta").as_object().empty());
    FUZZ_CHECK(object.at("timestamp").is_int64() && object.at("nodeid").as_string() == "node");
    FUZZ_CHECK(object.size() <= 35);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    boost::json::error_code error;
    const auto object = boost::json::parse(json_object({{"text", input}, {"", input.substr(input.size() / 2)}}), error);
    FUZZ_CHECK(!error && object.is_object() && object.get_object().size() == 2 && json_object({}) == "{}");
    // Texts between line feeds; the last is a header.
    const auto next = [&] {
        const auto end = input.find('\n');
        const std::string_view text = input.substr(0, end);
        input.remove_prefix(end == input.npos ? input.size() : end + 1);
        return std::string(text);
    };
    RecordOptions options;
    options.types.set();
    options.node = "node";
    options.headers = {"Subject", "X-Tag"};
    Envelope envelope;
    Verdict verdict;
    Recipient recipient;
    SessionFacts session;
    envelope.set_queue_id(next());
    envelope.set_sender(next());
    recipient.set_address(next());
    recipient.set_original(next());
    verdict.set_status(next());
    verdict.set_diagnostic(next());
    verdict.set_text(next());
    verdict.set_relay(next());
    envelope.mutable_client()->set_helo(next());
    envelope.mutable_client()->set_address(next());
    envelope.set_message_id(next());
    session.set_tls_peer(next());
    session.set_source(next());
    const std::string headers = chosen_headers(input, options.headers);
    FUZZ_CHECK(boost::json::parse(headers, error).is_object() && !error);
    *envelope.add_recipients() = recipient;
    *envelope.add_recipients() = recipient;
    verdict.set_outcome(OUTCOME_BOUNCED);
    check(fate_record({.type = RecordType::bounce,
                       .envelope = envelope,
                       .recipient = recipient,
                       .verdict = verdict,
                       .session = &session,
                       .active = 5,
                       .next_attempt = 7,
                       .headers = headers},
                      options),
          "Bounce");
    for (const std::string& record : reception_records(envelope, headers, options, 1))
        check(record, "Reception");
    check(rejection_record({.command = verdict.text(),
                            .reply = verdict.diagnostic(),
                            .by = verdict.relay(),
                            .client_name = verdict.status(),
                            .client_address = envelope.client().address(),
                            .helo = envelope.client().helo(),
                            .protocol = envelope.message_id(),
                            .sender = envelope.sender(),
                            .recipient = recipient.address()},
                           options, 1),
          "Rejection");
}

}  // namespace posthorn::fuzz
