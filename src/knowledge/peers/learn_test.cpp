#include "peers/learn.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;
using Kind = Sighting::Kind;

namespace {

/// One peer, one clock turned by hand.
struct Story {
    HandClock clock;
    Record record;
    std::vector<Event> events;
    Observation base{.peer = {"192.0.2.2", "peer.test", "site"}};

    Story& meets(std::vector<Sighting> sightings, Quirks canary = {})
    {
        Observation seen = base;
        seen.sightings = std::move(sightings);
        seen.canary = canary;
        return meets(std::move(seen));
    }
    Story& meets(Observation seen)
    {
        Learned learned = learn(std::move(record), seen, clock.wall());
        record = std::move(learned.record);
        events.insert(events.end(), learned.events.begin(), learned.events.end());
        return *this;
    }
    Story& after(std::chrono::microseconds span)
    {
        clock.advance(span);
        return *this;
    }
    Known known() const { return known_of(record, clock.wall()); }
    std::string quirks() const { return known().quirks.text(); }
    std::size_t count(Event::Kind kind) const { return static_cast<std::size_t>(std::ranges::count(events, kind, &Event::kind)); }
};

Sighting saw(Quirk quirk, Kind kind, std::uint64_t number = 0) { return {quirk, kind, number, "MAIL RCPT: no reply"}; }
const Sighting lone_221 = saw(Quirk::quit_alone, Kind::signature);
const Sighting hang = saw(Quirk::data_alone, Kind::suspicion);
const Sighting without = saw(Quirk::data_alone, Kind::worked_without);
const Sighting with = saw(Quirk::data_alone, Kind::worked);

}  // namespace

TEST_CASE("learn: a signature convicts once, is told once, and counts for seven days")
{
    Story story;
    CHECK(story.meets({lone_221}).quirks() == "quit-alone");
    CHECK(story.meets({lone_221}).count(Event::Kind::learned) == 1);
    CHECK(story.after(7 * 24h - 1s).quirks() == "quit-alone");
    CHECK(story.after(1s).quirks().empty());
    story.meets(story.base);
    CHECK(story.count(Event::Kind::expired) == 1);
    CHECK(story.record.marks.empty());
}

TEST_CASE("learn: silence convicts at the third sighting, and only where sessions without the feature were counted")
{
    Story story;
    story.meets({hang});
    CHECK(story.quirks() == "data-alone");                  // the next session goes without, to see
    CHECK(story.count(Event::Kind::learned) == 0);
    story.meets({without});
    CHECK(story.quirks().empty());                          // one trial is one trial
    story.meets({hang}).meets({without}).meets({hang});
    CHECK(story.count(Event::Kind::learned) == 0);          // three sightings, two sessions without
    story.meets({without});
    CHECK(story.count(Event::Kind::learned) == 1);
    CHECK(story.quirks() == "data-alone");

    Story uncounted;
    uncounted.meets({hang}).meets({hang}).meets({hang}).meets({hang}).meets({hang});
    CHECK(uncounted.count(Event::Kind::learned) == 0);
}

TEST_CASE("learn: two sightings of silence never convict, however clear the rates are")
{
    Story story;
    story.meets({hang}).meets({hang});
    for (int i = 0; i < 100; ++i)
        story.meets({without});
    CHECK(story.count(Event::Kind::learned) == 0);
}

TEST_CASE("learn: silence that comes as often without the feature convicts nothing")
{
    Story story;
    for (int i = 0; i < 50; ++i)
        story.meets({hang}).meets({saw(Quirk::data_alone, Kind::failed_without)});
    CHECK(story.count(Event::Kind::learned) == 0);
    Story four_times;                                       // 40 of 100 with, 10 of 100 without: four times is not five
    for (int i = 0; i < 90; ++i)
        four_times.meets({without});
    for (int i = 0; i < 10; ++i)
        four_times.meets({saw(Quirk::data_alone, Kind::failed_without)});
    for (int i = 0; i < 60; ++i)
        four_times.meets({with});
    for (int i = 0; i < 40; ++i)
        four_times.meets({hang});
    CHECK(four_times.count(Event::Kind::learned) == 0);
    for (int i = 0; i < 100; ++i)                           // 140 of 200: more than five times 11 of 102
        four_times.meets({hang});
    CHECK(four_times.count(Event::Kind::learned) == 1);
}

TEST_CASE("learn: 10000 sessions with one per cent of loss against a correct peer teach nothing")
{
    for (unsigned seed = 1; seed <= 20; ++seed) {
        Story story;
        std::mt19937 random(seed);
        const auto lost = [&] { return random() % 100 == 0; };
        for (int i = 0; i < 10'000; ++i) {
            std::vector<Sighting> sightings;
            const Quirks forced = story.known().quirks;
            for (const Quirk quirk :
                 {Quirk::quit_alone, Quirk::data_alone, Quirk::one_command_per_flight, Quirk::no_bdat, Quirk::helo_only, Quirk::no_rset}) {
                const bool held = forced.has(quirk) || (quirk == Quirk::no_bdat && forced.has(Quirk::no_bdat_over));
                sightings.push_back(saw(quirk,
                                        held     ? (lost() ? Kind::failed_without : Kind::worked_without)
                                        : lost() ? Kind::suspicion
                                                 : Kind::worked,
                                        4096));
            }
            story.after(10s).meets(std::move(sightings));
        }
        CHECK(story.count(Event::Kind::learned) == 0);
    }
}

TEST_CASE("learn: sightings older than seven days are forgotten")
{
    Story story;
    story.meets({hang}).meets({without}).meets({hang}).meets({without}).after(7 * 24h).meets({hang}).meets({without});
    CHECK(story.count(Event::Kind::learned) == 0);
}

TEST_CASE("learn: a daily canary, two clean ones remove; an unclean one renews")
{
    Story story;
    story.meets({lone_221});
    CHECK(story.after(23h).known().canary.empty());
    CHECK(story.after(1h).known().canary.text() == "quit-alone");
    const Quirks test{Quirk::quit_alone};
    story.meets({saw(Quirk::quit_alone, Kind::worked)}, test);
    CHECK(story.quirks() == "quit-alone");                  // one is not enough
    CHECK(story.known().canary.empty());                    // and the next is tomorrow's
    story.after(24h).meets({lone_221}, test);               // unclean: the count begins anew
    CHECK(story.after(6 * 24h).quirks() == "quit-alone");   // seven days from the renewal
    story.meets({saw(Quirk::quit_alone, Kind::worked)}, test).after(24h - 1s);
    CHECK(story.known().canary.empty());
    story.after(1s).meets({saw(Quirk::quit_alone, Kind::worked)});
    CHECK(story.count(Event::Kind::removed) == 0);          // no canary: mail that happened to go well is no test
    CHECK(story.known().quirks.empty());                    // but by now it has expired
    Story untested;
    untested.meets({lone_221});
    for (int i = 0; i < 4; ++i)
        untested.meets({saw(Quirk::quit_alone, Kind::worked)});
    CHECK(untested.quirks() == "quit-alone");
    CHECK(untested.count(Event::Kind::removed) == 0);
    Story clean;
    clean.meets({lone_221})
        .after(24h)
        .meets({saw(Quirk::quit_alone, Kind::worked)}, test)
        .after(24h)
        .meets({saw(Quirk::quit_alone, Kind::worked)}, test);
    CHECK(clean.count(Event::Kind::removed) == 1);
    CHECK(clean.quirks().empty());
}

TEST_CASE("learn: what only content shows has no canary; it expires")
{
    for (const Quirk quirk : {Quirk::no_bdat, Quirk::no_bdat_over, Quirk::dot_alone, Quirk::close_after, Quirk::data_alone, Quirk::no_tls,
                              Quirk::verify_useless, Quirk::no_early})
        CHECK(!has_canary(quirk));
    Story story;
    story.meets({saw(Quirk::no_bdat, Kind::signature)}).after(48h);
    CHECK(story.quirks() == "no-bdat");
    CHECK(story.known().canary.empty());
}

TEST_CASE("learn: a quirk that came back makes a flapping peer, and then two sightings are needed")
{
    Story story;
    const Quirks test{Quirk::quit_alone};
    const Sighting fine = saw(Quirk::quit_alone, Kind::worked);
    const auto repaired = [&] { story.after(24h).meets({fine}, test).after(24h).meets({fine}, test); };
    story.meets({lone_221});
    repaired();
    CHECK(!flapping(story.record, story.clock.wall()));
    story.meets({lone_221});                                // it is back: from now on it flaps
    CHECK(story.quirks() == "quit-alone");
    CHECK(flapping(story.record, story.clock.wall()));
    repaired();
    story.meets({lone_221});
    CHECK(story.count(Event::Kind::learned) == 2);          // not convicted yet,
    CHECK(story.quirks() == "quit-alone");                  // although the next session goes without
    story.meets({lone_221});
    CHECK(story.count(Event::Kind::learned) == 3);
}

TEST_CASE("learn: keywords that change to and fro make a flapping peer, for seven days")
{
    Story story;
    const auto announces = [&](std::uint32_t keywords) {
        Observation seen = story.base;
        seen.keywords_clear = keywords;
        story.meets(seen);
    };
    announces(1);
    announces(1);
    announces(3);
    CHECK(!flapping(story.record, story.clock.wall()));     // an upgrade
    announces(1);
    CHECK(flapping(story.record, story.clock.wall()));
    story.meets({lone_221});
    CHECK(story.count(Event::Kind::learned) == 0);
    story.after(7 * 24h);
    CHECK(!flapping(story.record, story.clock.wall()));
    story.meets({lone_221});
    CHECK(story.count(Event::Kind::learned) == 1);
}

TEST_CASE("learn: quirks of the class security are never learned, whatever is seen")
{
    Story story;
    for (const Quirk quirk : {Quirk::no_tls, Quirk::no_early, Quirk::verify_useless})
        for (int i = 0; i < 10; ++i)
            story.meets({saw(quirk, Kind::signature)}).meets({saw(quirk, Kind::worked_without)});
    CHECK(story.quirks().empty());
    CHECK(story.events.empty());
}

TEST_CASE("learn: where TLS worked in the last 30 days, EHLO is not given up, and its failure raises one alarm a day")
{
    const auto ehlo_lost = [](Story& story) {
        for (int i = 0; i < 5; ++i)
            story.meets({saw(Quirk::helo_only, Kind::suspicion)}).meets({saw(Quirk::helo_only, Kind::worked_without)});
    };
    Story plain;
    ehlo_lost(plain);
    CHECK(plain.quirks() == "helo-only");
    Story secured;
    Observation good = secured.base;
    good.tls = true;
    secured.meets(good).after(30 * 24h - 1s);
    ehlo_lost(secured);
    CHECK(secured.quirks().empty());
    Observation broken = secured.base;
    broken.tls_failed = true;
    secured.meets(broken).meets(broken);
    CHECK(secured.count(Event::Kind::tls_alarm) == 1);
    CHECK(secured.quirks().empty());
    CHECK(text_of(secured.events.front()) ==
          "peer peer.test[192.0.2.2]: TLS failed, although it worked on 2026-01-01 00:00 UTC: no plain text is remembered for it");
    secured.after(24h).meets(broken);
    CHECK(secured.count(Event::Kind::tls_alarm) == 1);      // it is too long ago by now

    plain.meets(good);                                      // convicted first, then TLS works: no longer obeyed
    CHECK(plain.quirks().empty());
}

TEST_CASE("learn: BDAT that stalls above a size is given up above the largest that worked")
{
    Story story;
    const auto stalls = [](std::uint64_t octets) { return saw(Quirk::no_bdat, Kind::suspicion, octets); };
    const auto works = [](std::uint64_t octets) { return saw(Quirk::no_bdat, Kind::worked, octets); };
    story.meets({works(5000)}).meets({works(20000)});
    for (int i = 0; i < 3; ++i)
        story.meets({stalls(70000)}).meets({saw(Quirk::no_bdat, Kind::worked_without, 70000)});
    CHECK(story.count(Event::Kind::learned) == 0);          // 3 of 5 with, none of 3 without: not yet five times
    story.meets({stalls(70000)});
    story.meets({saw(Quirk::no_bdat, Kind::worked_without, 70000)});
    while (story.count(Event::Kind::learned) == 0 && story.record.sessions < 40)
        story.meets({stalls(70000)}).meets({saw(Quirk::no_bdat, Kind::worked_without, 70000)});
    CHECK(story.quirks() == "no-bdat-over(20000)");
    Story all;
    for (int i = 0; i < 4; ++i)
        all.meets({stalls(100)}).meets({saw(Quirk::no_bdat, Kind::worked_without, 100)});
    CHECK(all.quirks() == "no-bdat");
}

TEST_CASE("learn: each refused parameter is news, and all that were refused are hidden")
{
    Story story;
    story.meets({saw(Quirk::no_param, Kind::signature, static_cast<std::uint64_t>(Parameter::size))});
    CHECK(story.quirks() == "no-param(SIZE)");
    story.meets({saw(Quirk::no_param, Kind::signature, static_cast<std::uint64_t>(Parameter::dsn))});
    CHECK(story.quirks() == "no-param(SIZE) no-param(DSN)");
    CHECK(story.count(Event::Kind::learned) == 2);
}

TEST_CASE("learn: a peer that leaves after the same number of mails three times running has that limit; a longer session disproves it")
{
    Story story;
    Observation left = story.base;
    left.mails = left.ended_after = 20;
    story.meets(left).meets(left);
    CHECK(story.quirks().empty());
    Observation longer = story.base;
    longer.mails = 25;
    story.meets(longer).meets(left).meets(left);
    CHECK(story.quirks().empty());
    story.meets(left);
    CHECK(story.quirks() == "close-after(20)");
    CHECK(story.events.back().seen == "the session ended after 20 mails, 3 times running");
    Story unsteady;
    for (std::uint32_t n = 1; n < 10; ++n) {
        Observation seen = unsteady.base;
        seen.mails = seen.ended_after = n;
        unsteady.meets(seen);
    }
    CHECK(unsteady.quirks().empty());
}

TEST_CASE("learn: limits of recipients and errors are believed the second time, for seven days; a refused BDAT that was discarded is a privilege")
{
    Story story;
    Observation seen = story.base;
    seen.recipients = 100;
    seen.errors = 10;
    seen.discards_bdat = true;
    story.meets(seen);
    CHECK(story.known().limits == Limits{});
    CHECK(story.known().privileges.bdat_first);
    story.meets(seen);
    CHECK(story.known().limits.recipients_per_mail == 100);
    CHECK(story.known().limits.errors_per_session == 10);
    Observation executes = story.base;
    executes.discards_bdat = false;
    story.meets(executes);
    CHECK(!story.known().privileges.bdat_first);
    CHECK(story.after(7 * 24h).known().limits == Limits{});
    // One that is believed anew does not bring back another that has expired.
    Observation errors = story.base;
    errors.errors = 9;
    story.meets(errors).meets(errors);
    CHECK(story.known().limits.errors_per_session == 9);
    CHECK(story.known().limits.recipients_per_mail == 0);
    Story told;
    seen.errors_told = true;
    told.meets(seen);
    CHECK(told.known().limits.errors_per_session == 10);
    CHECK(told.known().limits.recipients_per_mail == 0);
}

TEST_CASE("learn: a limit of recipients that the peer named is believed at once, but of one whose machines differ the second time")
{
    Story story;
    Observation seen = story.base;
    seen.recipients = 100;
    seen.recipients_told = true;
    story.meets(seen);
    CHECK(story.known().limits.recipients_per_mail == 100);
    CHECK(story.known().limits.errors_per_session == 0);
    CHECK(story.after(7 * 24h).known().limits == Limits{});
    Story several;                                                  // what one backend says is not the other's
    for (std::uint32_t keywords = 1; keywords <= 3; ++keywords) {
        Observation other = several.base;
        other.keywords_clear = keywords;
        several.meets(other);
    }
    seen.keywords_clear = 3;
    several.meets(seen);
    CHECK(several.known().limits.recipients_per_mail == 0);
    several.meets(seen);
    CHECK(several.known().limits.recipients_per_mail == 100);
}

TEST_CASE("learn: the answers' times are kept; the 99th percentile is known")
{
    Story story;
    Observation seen = story.base;
    for (int i = 0; i < 200; ++i) {
        seen.milliseconds = i == 0 ? 9000 : 100;
        story.meets(seen);
    }
    CHECK(slowest_answer(story.record) == 128ms);
    CHECK(slowest_answer(Record{}) == 0ms);
}

TEST_CASE(
    "learn: what two peers of a site were convicted of counts for the third; one peer speaks only for itself, and only quirks of speed are shared")
{
    HandClock clock;
    SiteRecord site;
    const auto event = [](std::string address, Quirk quirk) {
        return Event{Event::Kind::learned, {std::move(address), "h", "site"}, Quirks{quirk}, {}, {}};
    };
    share(site, event("192.0.2.1", Quirk::quit_alone), clock.wall());
    share(site, event("192.0.2.1", Quirk::quit_alone), clock.wall());
    CHECK(shared_by(site, clock.wall()).empty());
    share(site, event("192.0.2.2", Quirk::quit_alone), clock.wall());
    CHECK(shared_by(site, clock.wall()).text() == "quit-alone");
    share(site, event("192.0.2.1", Quirk::helo_only), clock.wall());
    share(site, event("192.0.2.2", Quirk::helo_only), clock.wall());
    CHECK(shared_by(site, clock.wall()).text() == "quit-alone");
    auto gone = event("192.0.2.2", Quirk::quit_alone);
    gone.kind = Event::Kind::removed;
    share(site, gone, clock.wall());
    CHECK(shared_by(site, clock.wall()).empty());
}

TEST_CASE("learn: the line in the log says what was seen, what changes, until when, and what does the same by hand")
{
    Story story;
    story.base.peer = {"216.32.180.10", "VA3EHSMHS018.bigfish.com", "smtp:mail.global.frontbridge.com"};
    story.meets({Sighting{Quirk::quit_alone, Kind::signature, 0, "MAIL RCPT RSET QUIT: 221, then the end of the stream"}});
    REQUIRE(story.events.size() == 1);
    CHECK(
        text_of(story.events[0]) ==
        "peer VA3EHSMHS018.bigfish.com[216.32.180.10]: learned quit-alone: MAIL RCPT RSET QUIT: 221, then the end of the stream; QUIT now travels alone, "
        "until 2026-01-08 00:00 UTC; by hand: smtp_discard_ehlo_keyword_address_maps, \"216.32.180.10 silent-discard, pipelining\"");
    CHECK(text_of(story.events[0], true).find("; would change: QUIT now") != std::string::npos);
    Story close;
    Observation left = close.base;
    left.mails = left.ended_after = 3;
    close.meets(left).meets(left).meets(left);
    CHECK(text_of(close.events.back()).ends_with("by hand: smtp_peer_rules, \"/^220 peer\\.test / close-after(3)\""));
}
