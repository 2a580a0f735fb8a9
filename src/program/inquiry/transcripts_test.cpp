#include "inquiry/transcripts.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using handoff::Transcript;
using handoff::TranscriptLine;

namespace {

void add(Transcript& transcript, TranscriptLine::Who who, std::string text, std::uint32_t after, bool with_next = false)
{
    TranscriptLine& line = *transcript.add_lines();
    line.set_who(who);
    line.set_text(std::move(text));
    line.set_after(after);
    line.set_with_next(with_next);
}

Transcript bridge_session()
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    Transcript made;
    made.set_session("a");
    made.set_service("smtp");
    made.set_relay("mail.bridge.test[192.0.2.7]:25");
    made.set_site("smtp:bridge.test");
    made.set_began(1767225600'000000);
    made.add_queue_ids("4gDq");
    auto& failure = *made.add_failures();
    failure.set_queue_id("4gDq");
    failure.set_text("lost connection with mail.bridge.test[192.0.2.7] while sending RCPT TO");
    add(made, TranscriptLine::SERVER, "220 bridge.test ready", 3);
    add(made, TranscriptLine::CLIENT, "MAIL FROM:<a@client.test>", 4, true);
    add(made, TranscriptLine::CLIENT, "RCPT TO:<b@bridge.test> NOTIFY=NEVER", 4, true);
    add(made, TranscriptLine::CLIENT, "QUIT", 4);
    add(made, TranscriptLine::SERVER, "221 2.0.0 Bye\x1b", 1005);
    add(made, TranscriptLine::REMARK, "the server closed the connection", 1005);
    return made;
}

}  // namespace

TEST_CASE("transcript: shown as such transcripts are written, with the times, and what travelled together")
{
    CHECK(text_of(bridge_session()) == R"(session with mail.bridge.test[192.0.2.7]:25, by smtp, 2026-01-01 00:00:00.000
site smtp:bridge.test
queue ids: 4gDq
failed: 4gDq: lost connection with mail.bridge.test[192.0.2.7] while sending RCPT TO

   0.003  S: 220 bridge.test ready
            (the next 3 lines in one segment)
   0.004  C: MAIL FROM:<a@client.test>
          C: RCPT TO:<b@bridge.test> NOTIFY=NEVER
          C: QUIT
   1.005  S: 221 2.0.0 Bye?
            <the server closed the connection>
)");
    Transcript cut = bridge_session();
    cut.set_left_out(7);
    cut.set_opening(1);
    CHECK(text_of(cut).find("ready\n            (7 lines are not kept)\n            (the next 3") != std::string::npos);
    CHECK(line_of(bridge_session()) == "2026-01-01 00:00:00  failed  mail.bridge.test[192.0.2.7]:25  4gDq\n");
    CHECK(
        json_of(bridge_session()).starts_with(R"({"began": "2026-01-01T00:00:00Z", "service": "smtp", "relay": "mail.bridge.test[192.0.2.7]:25", )"));
    CHECK(json_of(bridge_session()).find(R"({"who": "client", "text": "QUIT", "milliseconds": 4, "with_next": false})") != std::string::npos);
}

TEST_CASE("transcript: found by queue id, by addresses of its envelopes, by host, address and site, and by nothing else")
{
    for (const char* word : {"4gDq", "b@bridge.test", "a@client.test", "B@Bridge.test", "mail.bridge.test", "192.0.2.7", "bridge.test",
                             "smtp:bridge.test", "mail.bridge.test[192.0.2.7]:25", "test"})
        CHECK_MESSAGE(concerns(bridge_session(), word), word);
    for (const char* word : {"4gD", "4gDqq", "bridge@bridge.test", "other.test", "192.0.2", "ridge.test", "est"})
        CHECK_MESSAGE(!concerns(bridge_session(), word), word);
}
