// What is told of sessions for who looks later, and what never is.
#include "handoff/transcript.hpp"
#include "send/transcript.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using handoff::Transcript;
using handoff::TranscriptLine;

namespace {

class TakenTranscripts final : public Transcripts {
public:
    std::vector<Transcript> all;
    bool good = true;
    void take(Transcript transcript) override { all.push_back(std::move(transcript)); }
    bool wants_good() override { return good; }
};

/// "S: 220 x|C: EHLO y|C: a+|C: b": a plus where the next line travelled in the same segment.
std::string shown(const Transcript& transcript)
{
    std::string text;
    for (const TranscriptLine& line : transcript.lines()) {
        text += text.empty() ? "" : "|";
        text += line.who() == TranscriptLine::REMARK ? "*" : line.who() == TranscriptLine::SERVER ? "S" : "C";
        text += ": " + line.text() + (line.with_next() ? "+" : "");
    }
    return text;
}

smtp::Reply reply(std::string text)
{
    smtp::ReplyParser parser({.octets = 16 << 20});
    std::string_view octets = text;
    return **parser.feed(octets);
}

constexpr const char* two_answers =
    "S 220 p.test ESMTP\non EHLO *\n S 250-p.test\n S 250 PIPELINING\non MAIL*\n S 250 2.1.0 Ok\non RCPT TO:<bad*\n S 550 5.1.1 Unknown\n"
    "on RCPT*\n S 250 2.1.5 Ok\non DATA\n S 354 go\n content\n S 250 2.0.0 taken\non RSET\n S 250 2.0.0 Ok\non QUIT\n S 221 2.0.0 Bye\n close";

}  // namespace

TEST_CASE("transcript: a good session is told once, whole, with its segments, without content")
{
    World world(two_answers);
    TakenTranscripts taken;
    world.transcripts = &taken;
    world.run(request({"user@example.test"}, "Subject: secret\r\n\r\nthe secret\r\n"));
    REQUIRE(taken.all.size() == 1);
    const Transcript& told = taken.all.front();
    CHECK(shown(told) == "S: 220 p.test ESMTP|C: EHLO client.test|S: 250-p.test+|S: 250 PIPELINING|C: MAIL FROM:<sender@client.test>+|"
                         "C: RCPT TO:<user@example.test>+|C: DATA|S: 250 2.1.0 Ok+|S: 250 2.1.5 Ok+|S: 354 go|C: [31 octets of content]+|C: .|"
                         "S: 250 2.0.0 taken|C: RSET+|C: QUIT|S: 250 2.0.0 Ok+|S: 221 2.0.0 Bye");
    CHECK(told.relay() == "192.0.2.2[192.0.2.2]:25");
    CHECK(told.queue_ids_size() == 1);
    CHECK(told.queue_ids(0) == "4gDq8v1Yc0z3D");
    CHECK(told.failures_size() == 0);
    CHECK(told.opening() == 4);
    CHECK(told.SerializeAsString().find("secret") == std::string::npos);
    // Where no good one is wanted, none is told.
    taken.all.clear();
    taken.good = false;
    world.run(request({"user@example.test"}));
    CHECK(taken.all.empty());
}

TEST_CASE("transcript: a refused recipient is told at once, with the reason, and the session's end belongs to it")
{
    World world(two_answers);
    TakenTranscripts taken;
    taken.good = false;
    world.transcripts = &taken;
    world.run(request({"user@example.test", "bad@example.test"}));
    REQUIRE(taken.all.size() == 1 + (taken.all.size() > 1));
    const Transcript& told = taken.all.front();
    REQUIRE(told.failures_size() == 1);
    CHECK(told.failures(0).queue_id() == "4gDq8v1Yc0z3D");
    CHECK(told.failures(0).text() == "host 192.0.2.2[192.0.2.2] said: 550 5.1.1 Unknown (in reply to RCPT TO command)");
    const auto whole = handoff::joined(taken.all);
    REQUIRE(whole.size() == 1);
    CHECK(shown(whole.front()).find("S: 550 5.1.1 Unknown") != std::string::npos);
    CHECK(shown(whole.front()).ends_with("S: 221 2.0.0 Bye"));
}

TEST_CASE("transcript: FrontBridge and the grouping of the seed: what it shows is the seed's")
{
    World world("frontbridge");
    TakenTranscripts taken;
    world.transcripts = &taken;
    world.options.quit_in_group = true;
    world.run(probe({"receiver@example.com"}));
    REQUIRE_FALSE(taken.all.empty());
    const std::string told = shown(handoff::joined(taken.all).front());
    CHECK_MESSAGE(
        told.find(
            "C: MAIL FROM:<sender@client.test>+|C: RCPT TO:<receiver@example.com>+|C: RSET+|C: QUIT|S: 221 2.0.0 Service closing transmission channel") !=
            std::string::npos,
        told);
    CHECK(taken.all.front().failures(0).text() == "lost connection with 192.0.2.2[192.0.2.2] while sending RCPT TO");
    CHECK(taken.all.front().probe());
}

TEST_CASE("transcript: no connection, and a refused greeting, are told too")
{
    World world;
    TakenTranscripts taken;
    world.transcripts = &taken;
    world.run(request({"user@example.test"}));
    REQUIRE(taken.all.size() == 1);
    CHECK(taken.all[0].relay().empty());
    CHECK(taken.all[0].site() == "smtp:[192.0.2.2]");
    CHECK(shown(taken.all[0]) == "*: connect to 192.0.2.2[192.0.2.2]:25: Connection refused");
    CHECK(taken.all[0].failures(0).text() == "connect to 192.0.2.2[192.0.2.2]:25: Connection refused");
    taken.all.clear();
    world.add("192.0.2.2", "S 554 go away\nclose");
    world.run(request({"user@example.test"}));
    REQUIRE(taken.all.size() == 1);
    CHECK(shown(taken.all[0]).starts_with("S: 554 go away"));
    CHECK(taken.all[0].failures(0).text() == "host 192.0.2.2[192.0.2.2] refused to talk to me: 554 go away");
}

TEST_CASE("transcript: a warm session is told in parts: each failure with the opening and what came since")
{
    World world(two_answers);
    TakenTranscripts taken;
    world.transcripts = &taken;
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    for (int i = 0; i < 6; ++i) {
        requests.push_back(request({i % 2 == 0 ? "user@example.test" : "bad@example.test"}));
        requests.back().mutable_envelope()->set_queue_id("Q" + std::to_string(i));
    }
    world.run(std::move(requests));
    const auto whole = handoff::joined(taken.all);
    REQUIRE(whole.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(whole[i].session() == whole[0].session());
        CHECK(shown(whole[i]).starts_with("S: 220 p.test ESMTP|C: EHLO client.test|"));
        CHECK(whole[i].failures(0).queue_id() == "Q" + std::to_string(2 * i + 1));
        CHECK(handoff::about(whole[i], "Q" + std::to_string(2 * i + 1)));
        CHECK(handoff::about(whole[i], "Q" + std::to_string(2 * i)));
    }
}

TEST_CASE("recorder: AUTH is recorded by its name and mechanism alone, in either direction, whatever its form")
{
    HandClock clock;
    TakenTranscripts taken;
    {
        Recorder recorder(&taken, clock);
        recorder.begin("h[192.0.2.2]:25", "smtp:h", false);
        recorder.said("auth plain AGFubgBzZWNyZXQ=");
        recorder.heard(reply("535 5.7.8 no\r\n"), false);
        recorder.said("MAIL FROM:<a@b.test>");
        recorder.said("AUTH LOGIN");
        recorder.heard(reply("334 VXNlcm5hbWU6\r\n"), false);
        recorder.said("c2VjcmV0");
        recorder.heard(reply("334 UGFzc3dvcmQ6\r\n"), false);
        recorder.said("c2VjcmV0");
        recorder.heard(reply("235 2.7.0 welcome\r\n"), false);
        recorder.new_segment();
        recorder.said("MAIL FROM:<a@b.test>");
    }
    REQUIRE(taken.all.size() == 1);
    CHECK(shown(taken.all[0]) ==
          "C: AUTH plain [not recorded]|S: 535 5.7.8 no|C: MAIL FROM:<a@b.test>+|C: AUTH LOGIN|S: 334 [not recorded]|C: [not recorded]|"
          "S: 334 [not recorded]|C: [not recorded]|S: 235 2.7.0 welcome|C: MAIL FROM:<a@b.test>");
}

TEST_CASE("recorder: what travelled in one segment has one time")
{
    HandClock clock;
    TakenTranscripts taken;
    {
        Recorder recorder(&taken, clock);
        recorder.begin("h[192.0.2.2]:25", "smtp:h", false);
        for (const char* line : {"MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"}) {
            clock.advance(std::chrono::milliseconds(1));
            recorder.said(line);
        }
        clock.advance(std::chrono::milliseconds(5));
        recorder.heard(reply("250-one\r\n250 two\r\n"), false);
        clock.advance(std::chrono::milliseconds(1));
        recorder.heard(reply("250 ok\r\n"), true);
        recorder.heard(reply("354 go\r\n"), false);
    }
    REQUIRE(taken.all.size() == 1);
    std::vector<std::uint32_t> after;
    for (const TranscriptLine& line : taken.all[0].lines())
        after.push_back(line.after());
    CHECK(after == std::vector<std::uint32_t>{1, 1, 1, 8, 8, 8, 9});
}

TEST_CASE("recorder: however much is said, a part stays within its bounds, keeps opening and end, and says what is missing")
{
    HandClock clock;
    TakenTranscripts taken;
    Recorder recorder(&taken, clock);
    recorder.begin("h[192.0.2.2]:25", "smtp:h", false);
    std::string long_reply;
    for (int i = 0; i < 200; ++i)
        long_reply += "250-" + std::string(400, 'k') + "\r\n";
    recorder.heard(reply("220 first\r\n"), false);
    recorder.heard(reply(long_reply + "250 end\r\n"), false);
    recorder.opened();
    std::uint32_t said = 0;
    for (int i = 0; i < 20'000; ++i, ++said)
        recorder.said(std::string(static_cast<std::size_t>(i % 3000), 'x'));
    recorder.said("last");
    recorder.end();
    REQUIRE(taken.all.size() == 1);
    const Transcript& told = taken.all[0];
    CHECK(told.ByteSizeLong() < Recorder::recent_octets + Recorder::opening_lines * 500 + 20'000);
    CHECK(told.lines(0).text() == "220 first");
    CHECK(told.lines(told.lines_size() - 1).text() == "last");
    CHECK(told.left_out() == 200 - 49 + static_cast<int>(said) + 1 - (told.lines_size() - static_cast<int>(told.opening())));
    CHECK(told.opening() <= Recorder::opening_lines);
}
