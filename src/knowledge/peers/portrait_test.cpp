#include "peers/portrait.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

using Features = std::vector<std::pair<std::string, std::string>>;

Face clear_face(const Features& features, std::string greeting = "ESMTP Postfix", std::string host = "mx.test")
{
    Face face;
    face.seen = {{Aspect::greeting, {}, std::move(greeting)}, {Aspect::host, {}, std::move(host)}};
    for (const auto& [name, value] : features)
        face.seen.push_back({Aspect::feature, name, value});
    face.clear = face.starttls_known = true;
    return face;
}
const Face usual = clear_face({{"SIZE", "20000000"}, {"CHUNKING", "offered"}, {"STARTTLS", "offered"}});

/// One address, one clock turned by hand; a session a minute where nothing else is said.
struct History {
    HandClock clock;
    Portrait portrait;
    Wants wants{.message_size_limit = 10'240'000};
    std::vector<std::string> told;
    std::vector<Change> changes;
    std::size_t altered = 0;

    History& meets(const Face& face, int times = 1, std::chrono::microseconds apart = 1min)
    {
        for (int i = 0; i < times; ++i) {
            const Look found = look(portrait, face, wants, clock.wall());
            altered += found.altered ? 1 : 0;
            for (const Change& change : found.changes) {
                told.push_back(text_of(change, [](WallTime) { return std::string("T"); }));
                changes.push_back(change);
            }
            clock.advance(apart);
        }
        return *this;
    }
    History& after(std::chrono::microseconds span)
    {
        clock.advance(span);
        return *this;
    }
};

Face in_tls(std::string issuer, std::string trust, WallTime expires, bool authenticated = false, std::chrono::seconds lifetime = 90 * 24h)
{
    Face face = clear_face({{"STARTTLS", "offered"}});
    face.clear = false;
    face.in_tls = true;
    face.seen.push_back({Aspect::feature_in_tls, "CHUNKING", "offered"});
    face.seen.push_back({Aspect::tls_version, {}, "TLSv1.3"});
    face.seen.push_back({Aspect::trust, authenticated ? "verify" : "may", std::move(trust)});
    face.seen.push_back({Aspect::issuer, {}, std::move(issuer)});
    face.expires = expires;
    face.lifetime = lifetime;
    face.authenticated = authenticated;
    return face;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("portrait: what is usual is told to nobody, and then alters nothing but the day")
{
    History one;
    one.meets(usual, 5);
    CHECK(one.told.empty());
    one.altered = 0;
    one.meets(usual, 1000, 1s);
    CHECK(one.told.empty());
    CHECK(one.altered == 0);
    one.after(24h).meets(usual, 1000, 1s);
    CHECK(one.altered == 1);
}

TEST_CASE("portrait: a feature is gone when it was missing in three sessions running, over a minute; once, with the time of the first")
{
    History one;
    one.meets(usual, 5);
    const Face without = clear_face({{"SIZE", "20000000"}, {"STARTTLS", "offered"}});
    const WallTime first = one.clock.wall();
    one.meets(without, 2, 20s);
    CHECK(one.told.empty());
    one.meets(without, 1, 30s);
    CHECK(one.told.empty());                                    // three, within 40 s
    one.meets(without, 20);
    REQUIRE(one.told == Lines{"CHUNKING is gone since T"});
    CHECK(one.changes[0].since == first);
    CHECK(one.changes[0].kind == ChangeKind::gone);
    CHECK(!one.changes[0].grave);
    one.meets(usual, 20);
    CHECK(one.told == Lines{"CHUNKING is gone since T", "CHUNKING is offered since T"});
    CHECK(one.portrait.changes.size() == 2);
}

TEST_CASE("portrait: twenty sessions running need no minute")
{
    History one;
    one.meets(usual, 5);
    one.meets(clear_face({{"SIZE", "20000000"}, {"CHUNKING", "offered"}, {"STARTTLS", "offered"}, {"DSN", "offered"}}), 19, 1ms);
    CHECK(one.told.empty());
    one.meets(clear_face({{"SIZE", "20000000"}, {"CHUNKING", "offered"}, {"STARTTLS", "offered"}, {"DSN", "offered"}}), 1, 1ms);
    CHECK(one.told == Lines{"DSN is offered since T"});
}

TEST_CASE("portrait: before five sessions nothing is usual, and nothing can change")
{
    History one;
    one.meets(usual, 4).meets(clear_face({{"SIZE", "1"}}, "ESMTP Exim 4.96"), 4).meets(usual, 4);
    CHECK(one.told.empty());
    CHECK(
        one.meets(usual, 1).meets(clear_face({{"SIZE", "20000000"}, {"CHUNKING", "offered"}, {"STARTTLS", "offered"}}, "ESMTP Exim 4.96"), 3).told ==
        Lines{"the greeting is \"ESMTP Exim 4.96\" since T, \"ESMTP Postfix\" before"});
}

TEST_CASE("portrait: what comes back before it counts as gone comes and goes: told once, and not at every session")
{
    History one;
    one.meets(usual, 5);
    const Face without = clear_face({{"SIZE", "20000000"}, {"STARTTLS", "offered"}});
    for (int i = 0; i < 500; ++i)
        one.meets(without, 1 + i % 2).meets(usual, 1 + i % 3);
    CHECK(one.told == Lines{"CHUNKING comes and goes: offered, and missing for a while from T"});
    one.meets(without, 49, 2h);
    CHECK(one.told.size() == 1);
    one.meets(without, 2, 1h);                                  // 50 running, over three days: the others are gone
    CHECK(one.told.size() == 2);
    CHECK(one.told.back() == "CHUNKING is gone since T");
}

TEST_CASE(
    "portrait: turns of machines, and a host that is another each time, are not worth a write each time; what is kept is never more than is true")
{
    History one;
    one.meets(usual, 5);
    const Face without = clear_face({{"SIZE", "20000000"}, {"STARTTLS", "offered"}});
    one.meets(without).meets(usual);
    one.altered = 0;
    for (int i = 0; i < 300; ++i)
        one.meets(i % 3 ? usual : without, 1, 1s);
    CHECK(one.altered == 0);
    one.meets(without, 12, 1s);
    CHECK(one.altered == 1);                                    // ten running
    const Portrait kept = one.portrait;
    one.meets(usual, 1, 1s);
    CHECK(one.altered == 2);                                    // and that is over
    for (const Trait& trait : kept.traits)
        CHECK(trait.others <= 12);
    History farm;
    for (int i = 0; i < 10; ++i)
        farm.meets(clear_face({{"SIZE", "5"}}, "ESMTP", "h" + std::to_string(i)));
    farm.altered = 0;
    for (int i = 10; i < 300; ++i)
        farm.meets(clear_face({{"SIZE", "5"}}, "ESMTP", "h" + std::to_string(i)));
    CHECK(farm.altered == 0);
    CHECK(farm.told.empty());
}

TEST_CASE("portrait: STARTTLS that comes and goes is a warning, too: somebody on the way may take it out")
{
    History one;
    one.meets(usual, 5).meets(clear_face({{"SIZE", "20000000"}, {"CHUNKING", "offered"}})).meets(usual);
    REQUIRE(one.told ==
            Lines{"STARTTLS comes and goes: offered, and missing for a while from T: mail went in clear meanwhile, or waited where TLS is required"});
    CHECK(one.changes[0].grave);
}

TEST_CASE("portrait: what came and went is usual again after a calm time, and is told again a month after")
{
    History one;
    one.meets(usual, 5);
    const Face without = clear_face({{"SIZE", "20000000"}, {"STARTTLS", "offered"}});
    one.meets(without).meets(usual, 60, 2h).meets(without).meets(usual);
    CHECK(one.told.size() == 1);                                // settled, and then again; but that was told five days ago
    one.after(30 * 24h).meets(usual, 60, 2h).meets(without).meets(usual);
    CHECK(one.told.size() == 2);
}

TEST_CASE("portrait: two that answer in turn from the first session on are told at most once")
{
    History one;
    const Face other = clear_face({{"SIZE", "5000000"}}, "ESMTP Exim 4.96", "mx2.test");
    for (int i = 0; i < 300; ++i)
        one.meets(i % 2 ? usual : other);
    CHECK(one.told.size() <= 3);                                // of the three features at most
    std::mt19937 random(7);
    History mixed;
    for (int i = 0; i < 2000; ++i)
        mixed.meets(random() % 3 ? usual : other);
    CHECK(mixed.told.size() <= 8);
    for (const std::string& line : mixed.told)
        CHECK_MESSAGE(line.find("the host") == line.npos, line);
}

TEST_CASE("portrait: a server that says something else each time fills neither the log nor the portrait")
{
    History one;
    one.meets(usual, 5);
    for (int i = 0; i < 3000; ++i) {
        Face face = clear_face({{"X" + std::to_string(i), std::to_string(i)}, {"SIZE", std::to_string(i + 1)}}, "word" + std::to_string(i),
                               "h" + std::to_string(i));
        for (int k = 0; k < 100; ++k)
            face.seen.push_back({Aspect::feature, "R" + std::to_string(i * 100 + k), "offered"});
        one.meets(face);
    }
    CHECK(one.told.size() <= 6);                                // what it had at first, each once
    CHECK(one.portrait.traits.size() <= portrait_traits);
    CHECK(one.portrait.changes.size() <= portrait_changes);
    History patient;                                            // changes as often as is told
    for (int i = 0; i < 400; ++i)
        patient.meets(clear_face({{"SIZE", std::to_string(i + 1)}}), 5);
    CHECK(patient.portrait.changes.size() == portrait_changes);
}

TEST_CASE("portrait: SIZE below message_size_limit, and STARTTLS gone, are grave; a limit that was always small is not told")
{
    History one;
    one.meets(usual, 5).meets(clear_face({{"SIZE", "5000000"}, {"CHUNKING", "offered"}}), 3);
    REQUIRE(one.told.size() == 2);
    CHECK(one.told[0] == "SIZE is 5000000 since T, 20000000 before: less than message_size_limit (10240000)");
    CHECK(one.told[1] == "STARTTLS is gone since T: mail goes in clear, or waits where TLS is required");
    CHECK(one.changes[0].grave);
    CHECK(one.changes[1].grave);
    History larger;
    larger.meets(usual, 5).meets(clear_face({{"SIZE", "15000000"}, {"CHUNKING", "offered"}, {"STARTTLS", "offered"}}), 3);
    REQUIRE(larger.told == Lines{"SIZE is 15000000 since T, 20000000 before"});
    CHECK(!larger.changes[0].grave);
    History small;
    small.meets(clear_face({{"SIZE", "1000000"}}), 5).meets(clear_face({{"SIZE", "2000000"}}), 3);
    REQUIRE(small.changes.size() == 1);
    CHECK(!small.changes[0].grave);
    History unlimited;
    unlimited.wants = {};
    unlimited.meets(clear_face({{"SIZE", "0"}}), 5).meets(clear_face({{"SIZE", "90000000"}}), 3);
    REQUIRE(unlimited.changes.size() == 1);
    CHECK(unlimited.changes[0].grave);
}

TEST_CASE("portrait: sessions in TLS say nothing of what is offered outside it, but STARTTLS")
{
    History one;
    const WallTime far = one.clock.wall() + 80 * 24h;
    one.meets(usual, 5).meets(in_tls("CA", "untrusted", far), 10);
    CHECK(one.told.empty());
    one.meets(in_tls("Other CA", "untrusted", far), 3);
    CHECK(one.told == Lines{"the issuer of the certificate is \"Other CA\" since T, \"CA\" before"});
    one.meets(usual, 10);
    CHECK(one.told.size() == 1);
}

TEST_CASE("portrait: trust lost is grave where mail depends on it")
{
    History one;
    const WallTime far = one.clock.wall() + 80 * 24h;
    one.meets(in_tls("CA", "verified", far, true), 5).meets(in_tls("CA", "untrusted", far, true), 3);
    REQUIRE(one.told == Lines{"the certificate, at level verify, is untrusted since T, verified before: mail waits"});
    CHECK(one.changes[0].grave);
    one.meets(in_tls("CA", "verified", far, true), 3);
    CHECK(!one.changes.back().grave);
}

TEST_CASE("portrait: a certificate that expires is told a week before, and when it is over, once each; who never had a good one is not told of")
{
    History one;
    const WallTime end = one.clock.wall() + 8 * 24h;
    one.meets(in_tls("CA", "untrusted", end), 5);
    CHECK(one.told.empty());
    one.after(24h).meets(in_tls("CA", "untrusted", end), 100, 1h);
    CHECK(one.told == Lines{"the certificate expires T"});
    CHECK(one.changes[0].since == end);
    CHECK(!one.changes[0].grave);
    one.after(3 * 24h).meets(in_tls("CA", "untrusted", end), 100, 1h);
    CHECK(one.told == Lines{"the certificate expires T", "the certificate has expired T"});
    History never;
    never.meets(in_tls("CA", "untrusted", never.clock.wall() - 1h), 50, 1h);
    CHECK(never.told.empty());
    never.meets(in_tls("CA", "untrusted", never.clock.wall() - 1h, true), 1);
    CHECK(never.told == Lines{"the certificate has expired T: mail waits where it has to be verified"});
    CHECK(never.changes[0].grave);
    History brief;                                              // of six days: no news until a day and a half before
    const WallTime soon = brief.clock.wall() + 6 * 24h;
    brief.meets(in_tls("CA", "untrusted", soon, true, 6 * 24h), 72, 1h);
    CHECK(brief.told.empty());
    brief.meets(in_tls("CA", "untrusted", soon, true, 6 * 24h), 72, 1h);
    CHECK(brief.told.size() == 1);
    History many;                                               // another date each time: once a day
    many.meets(in_tls("CA", "untrusted", many.clock.wall() + 80 * 24h), 1);
    for (int i = 0; i < 48; ++i)
        many.meets(in_tls("CA", "untrusted", many.clock.wall() - i * 1s), 1, 1h);
    CHECK(many.told.size() == 2);
}

TEST_CASE("portrait: limits are told when they are learned and when they change, once a day at most")
{
    History one;
    const auto learns = [&](std::uint32_t number) {
        for (const Change& change : look(one.portrait, Limits{.recipients_per_mail = number}, one.clock.wall()).changes)
            one.told.push_back(text_of(change, [](WallTime) { return std::string("T"); }));
        one.after(1h);
    };
    learns(100);
    learns(100);
    learns(20);
    CHECK(one.told == Lines{"recipients per mail is 100 since T, not known before"});
    one.after(24h);
    learns(20);
    learns(20);
    CHECK(one.told.size() == 2);
    CHECK(one.told.back() == "recipients per mail is 20 since T, 100 before");
    one.after(25h);
    learns(20);
    CHECK(one.told.size() == 2);
}

TEST_CASE("portrait: changes are kept for 90 days; the log line says whose they are, and is printable")
{
    History one;
    one.meets(usual, 5).meets(clear_face({{"SIZE", "20000000"}, {"STARTTLS", "offered"}}), 3);
    CHECK(one.portrait.changes.size() == 1);
    one.after(91 * 24h).meets(usual);
    CHECK(one.portrait.changes.empty());
    const std::string line = text_of({"192.0.2.1", "mx\x1b.test", "smtp:example.com"}, one.changes[0]);
    CHECK(line == "peer mx?.test[192.0.2.1]: changed: CHUNKING is gone since 2026-01-01 00:05 UTC");
    CHECK(text_of({{}, {}, "smtp:example.com"}, {.kind = ChangeKind::other, .aspect = Aspect::mx_set, .before = "a.test", .now = "b.test"}) ==
          "site smtp:example.com: changed: the MX set is b.test since 1970-01-01 00:00 UTC, a.test before");
    CHECK(text_of({"192.0.2.1", {}, {}}, one.changes[0]).starts_with("peer unknown[192.0.2.1]: "));
}
