// 421 and 221 in every state, said and followed by a close or by more answers: the session is over, each recipient has one verdict, what was
// answered before stays answered, and nothing is returned that was not refused.
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

struct State {
    const char* name;
    const char* on;             // the command that gets it; empty: the greeting
    char first, second;         // mail: of a recipient that is unknown, and of one that exists. T deferred, B returned, D delivered
    char probe_first, probe_second;
};
constexpr State states[] = {
    {"greeting", "", 'T', 'T', 'T', 'T'},
    {"EHLO", "on ?HLO *", 'T', 'T', 'T', 'T'},
    {"MAIL", "on MAIL*", 'T', 'T', 'T', 'T'},
    {"the first RCPT", "on RCPT*", 'T', 'T', 'T', 'T'},
    {"the second RCPT", "on RCPT TO:<user@*", 'B', 'T', 'B', 'T'},
    {"DATA", "on DATA", 'B', 'T', 'B', 'D'},
    {"the dot", "", 'B', 'T', 'B', 'D'},
    {"RSET", "on RSET", 'B', 'D', 'B', 'D'},
    {"QUIT", "on QUIT", 'B', 'D', 'B', 'D'},
};
enum class Kind : std::uint8_t { grouped, singly, lmtp, probe, probe_singly };

std::string script_of(const State& state, Kind kind, const char* reply, const char* then)
{
    const std::string base = kind == Kind::lmtp ? "lmtp" : kind == Kind::singly || kind == Kind::probe_singly ? "no-pipelining" : "data-only";
    const std::string says = std::string("  S ") + reply + "\n" + then;
    if (std::string_view(state.name) == "greeting")
        return std::string("S ") + reply + "\n" + (*then != '\0' ? "close\n" : "flush\nsilence\n");
    if (std::string_view(state.name) == "the dot")
        return "like " + base + "\non DATA\n  S 354 go on\n  content\n" + says;
    return "like " + base + "\n" + state.on + "\n" + says;
}

handoff::Outcome outcome_of(char letter, bool probe)
{
    if (letter == 'D')
        return handoff::OUTCOME_DELIVERED;
    return letter == 'T' ? handoff::OUTCOME_DEFERRED : probe ? handoff::OUTCOME_UNDELIVERABLE : handoff::OUTCOME_BOUNCED;
}

}  // namespace

TEST_CASE("421 or 221 in any state ends the session: mail, probes and LMTP, in groups and one by one, with a close and without")
{
    for (const Kind kind : {Kind::grouped, Kind::singly, Kind::lmtp, Kind::probe, Kind::probe_singly})
        for (const State& state : states)
            for (const char* reply : {"421 4.3.2 leaving", "221 2.0.0 bye"})
                for (const char* then : {"  close\n", ""}) {
                    CAPTURE(static_cast<int>(kind));
                    CAPTURE(state.name);
                    CAPTURE(reply);
                    CAPTURE(then);
                    const bool is_probe = kind == Kind::probe || kind == Kind::probe_singly, lmtp = kind == Kind::lmtp;
                    const std::string address = lmtp ? "/var/lmtp" : "192.0.2.2";
                    World world;
                    world.add(address, script_of(state, kind, reply, then));
                    world.options.lmtp = lmtp;
                    HandClock clock;                        // a goodbye that gets no answer waits five minutes of it
                    world.turned = world.leaps = &clock;
                    auto what = request({"unknown@example.test", "user@example.test"}, is_probe ? "" : "Subject: x\r\n\r\nx\r\n",
                                        lmtp ? "unix:/var/lmtp" : "[192.0.2.2]");
                    what.set_probe(is_probe);
                    const auto verdicts = world.run(std::move(what));
                    REQUIRE(verdicts.verdicts_size() == 2);
                    CHECK(verdicts.verdicts(0).outcome() == outcome_of(is_probe ? state.probe_first : state.first, is_probe));
                    CHECK(verdicts.verdicts(1).outcome() == outcome_of(is_probe ? state.probe_second : state.second, is_probe));
                    if (verdicts.verdicts(1).outcome() == handoff::OUTCOME_DEFERRED)
                        CHECK(verdicts.verdicts(1).status().starts_with('4'));
                    const sim::Peer& peer = world.peer(address);
                    // Nothing is said again, above all no content; a probe whose first recipient was answered asks once for the other.
                    CHECK(peer.sessions().size() == (is_probe && std::string_view(state.name) == "the second RCPT" ? 2 : 1));
                    CHECK(peer.contents().size() <= 1);
                    const auto said = peer.sessions().front().said();
                    if (*then == '\0' && state.on[0] != '\0' && std::string_view(state.name) != "EHLO")
                        CHECK(std::ranges::count_if(said, [](const std::string& line) { return line.starts_with("MAIL"); }) == 1);
                    if (std::string_view(state.name) == "EHLO")
                        CHECK(said.size() == 1);  // no HELO to one that leaves
                }
}

TEST_CASE("a warm session that is told 421 or 221 at the next mail: that mail goes over another session, at once and once")
{
    for (const char* reply : {"421 4.7.0 enough", "221 2.0.0 bye"})
        for (const char* then : {"  close\n", ""}) {
            CAPTURE(reply);
            CAPTURE(then);
            World world(std::string("like data-only\non MAIL* [nth 2]\n  S ") + reply + "\n" + then);
            std::vector<handoff::DeliveryRequest> mails;
            for (int i = 0; i < 3; ++i) {
                mails.push_back(request({"user" + std::to_string(i) + "@example.test"}));
                mails.back().set_connections(1);
            }
            for (const auto& verdicts : world.run(std::move(mails)))
                CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
            CHECK(world.peer().contents().size() == 3);
            CHECK(world.peer().sessions().size() == 3);
        }
}

TEST_CASE("a refusal of MAIL followed by a close answers for all its recipients, in its own words")
{
    for (const bool probes : {false, true})
        for (const char* base : {"data-only", "no-pipelining"}) {
            CAPTURE(probes);
            CAPTURE(base);
            for (const auto& [reply, permanent] : {std::pair<const char*, bool>{"550 5.7.1 not from you", true}, {"451 4.7.1 not now", false}}) {
                World world(std::string("like ") + base + "\non MAIL*\n  S " + reply + "\n  close\n");
                auto what = probes ? probe({"a@example.test", "b@example.test"}) : request({"a@example.test", "b@example.test"});
                const auto verdicts = world.run(std::move(what));
                for (const auto& verdict : verdicts.verdicts()) {
                    CHECK(verdict.outcome() == (!permanent ? handoff::OUTCOME_DEFERRED
                                                : probes   ? handoff::OUTCOME_UNDELIVERABLE
                                                           : handoff::OUTCOME_BOUNCED));
                    CHECK(verdict.diagnostic() == reply);
                    CHECK(verdict.text().ends_with("(in reply to MAIL FROM command)"));
                }
                CHECK(world.peer().sessions().size() == 1);
            }
        }
}
