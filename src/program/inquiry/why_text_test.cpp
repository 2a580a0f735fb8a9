#include "inquiry/why_text.hpp"

#include "handoff/waits.hpp"
#include "inquiry/peer_listing.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <set>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using handoff::Wait;
using posthorn::peers::Quirk;

namespace {

constexpr std::int64_t noon = 1767225600'000000;
const WallTime now{std::chrono::microseconds{noon}};

Why message()
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    Why why;
    why.word = "4gDq";
    auto& queue = why.queue.emplace();
    queue.set_queue_id("4gDq");
    queue.set_queue_name("deferred");
    queue.set_sender("a@client.test");
    queue.set_size(338);
    queue.set_arrival(noon - 60'000000);
    queue.set_gives_up(noon + 60'000000);
    auto& waiting = *queue.add_waiting();
    waiting.mutable_recipient()->set_address("b@away.test");
    waiting.set_wait(static_cast<std::uint32_t>(Wait::site_rate));
    waiting.set_since(noon - 1'000000);
    waiting.set_until(noon + 1'000000);
    waiting.mutable_route()->set_transport("slow");
    waiting.mutable_route()->set_nexthop("away.test");
    waiting.set_reason("host away.test said: 450 later");
    waiting.set_tries(1);
    return why;
}

posthorn::peers::Record bridge()
{
    posthorn::peers::Record record;
    record.peer = {"192.0.2.7", "va3.bigfish.com", "smtp:bridge.test"};
    record.sessions = 3;
    record.first = record.last = now;
    record.marks.push_back({.quirk = Quirk::helo_only, .tally = {9, 0, 0, 0}});      // it works: nothing to be said
    record.marks.push_back({.quirk = Quirk::quit_alone,
                            .convicted = true,
                            .sightings = 1,
                            .tally = {1, 2, 3, 0},
                            .first = now,
                            .last = now,
                            .since = now,
                            .until = now + std::chrono::hours{1},
                            .seen = "RSET QUIT: 221"});
    return record;
}

}  // namespace

TEST_CASE("waits: every one has a name and a text of its own, and its number finds it")
{
    std::set<std::string_view> names;
    std::set<Wait> numbers;
    for (const handoff::WaitName& one : handoff::wait_names) {
        CHECK(names.insert(one.name).second);
        CHECK(numbers.insert(one.wait).second);
        CHECK_FALSE(one.says.empty());
        CHECK(&handoff::name_of(one.wait) == &one);
    }
    CHECK(handoff::name_of(static_cast<Wait>(250)).wait == Wait::nothing);
}

TEST_CASE("why: a message's answer names wait, time, way, last try, and what would change it")
{
    CHECK(why_text(message(), now) ==
          R"(4gDq: deferred, from <a@client.test>, 338 octets, here since 2025-12-31 23:59:00, goes back to its sender 2026-01-01 00:01:00
  b@away.test
    waits for    rate-delay: the pause between deliveries to its site
    changed by   the setting slow_destination_rate_delay
    since        2025-12-31 23:59:59
    next try     2026-01-01 00:00:01
    goes to      slow, away.test
    last try     host away.test said: 450 later (1 try)
)");
    CHECK(why_json(message(), now)
              .find(R"("wait": "rate-delay", "says": "the pause between deliveries to its site", "since": "2025-12-31T23:59:59Z")") !=
          std::string::npos);
    Why under_way = message();
    under_way.queue->mutable_waiting(0)->set_wait(static_cast<std::uint32_t>(Wait::delivery));
    under_way.queue->mutable_waiting(0)->set_progress("mx[192.0.2.7]:25, sending \x1b MAIL FROM");
    under_way.queue->mutable_waiting(0)->set_progress_since(noon - 1'000000);
    CHECK(why_text(under_way, now).find("\n    now          mx[192.0.2.7]:25, sending ? MAIL FROM, since 2025-12-31 23:59:59\n") !=
          std::string::npos);
    CHECK(why_json(under_way, now).find(R"("now": "mx[192.0.2.7]:25, sending \u001b MAIL FROM", "now_since": "2025-12-31T23:59:59Z")") !=
          std::string::npos);
    Why required = message();
    required.queue->set_requiretls(true);
    CHECK(why_text(required, now)
              .find("\n  requires TLS on all its way (REQUIRETLS): smtp_requiretls_policy says how far that is kept\n  b@away.test\n") !=
          std::string::npos);
    CHECK(why_json(required, now).find(R"("requiretls": true, "tls_optional": false, "waiting")") != std::string::npos);
    required.queue->set_requiretls(false);
    required.queue->set_tls_optional(true);
    CHECK(why_text(required, now).find("\n  goes whatever its next hop's policy of TLS is (TLS-Required: no)\n  b@away.test\n") != std::string::npos);
    Why held = message();
    held.queue->mutable_waiting(0)->set_wait(static_cast<std::uint32_t>(Wait::hold));
    CHECK(why_text(held, now).find("changed by   at once: postsuper -H 4gDq\n") != std::string::npos);
    CHECK(why_json(held, now).find(R"("hold_reason": null)") != std::string::npos);
    held.queue->set_hold_reason("account bob: put on hold by root");
    CHECK(why_text(held, now).find("\n  put on hold as it arrived: account bob: put on hold by root (posthorn accounts)\n  b@away.test\n") !=
          std::string::npos);
    CHECK(why_json(held, now).find(R"("hold_reason": "account bob: put on hold by root")") != std::string::npos);
}

TEST_CASE("why: what nothing is known of is not known; a server, a verification, a transcript are")
{
    Why why;
    CHECK_FALSE(why.known());
    why.kind = Why::Kind::destination;
    why.queue.emplace();
    CHECK_FALSE(why.known());
    why.verification.emplace();
    CHECK_FALSE(why.known());
    why.verification->set_asked_since(1);
    CHECK(why.known());
    CHECK(why_text(why, now).find("waits for    probe: ") != std::string::npos);
    why.verification.reset();
    CHECK_FALSE(why.known());
    why.sts = sts::Known{"20260101", now, {sts::Mode::enforce, {"mx.a.test", "*.b.test"}, std::chrono::hours{24}}};
    CHECK(why.known());
    CHECK(why_text(why, now).find(
              "MTA-STS\n    policy       enforce (id 20260101, from the domain's web server)\n    hosts        mx.a.test *.b.test\n"
              "    since        2026-01-01 00:00:00\n    holds until  2026-01-02 00:00:00\n    changed by   the domain") != std::string::npos);
    CHECK(why_json(why, now).find(R"("mta_sts": {"id": "20260101", "mode": "enforce", "hosts": ["mx.a.test", "*.b.test"], "fetched": ")") !=
          std::string::npos);
    why.sts.reset();
    why.peers.push_back({.record = bridge(), .administrator = "smtp_discard_ehlo_keywords = pipelining", .rule_file = "quit-alone"});
    CHECK(why.known());
    CHECK(why_text(why, now).find("  rule file      quit-alone (smtp_peer_rules; outvotes what is learned)\n"
                                  "  administrator  smtp_discard_ehlo_keywords = pipelining (outvotes both)\n") != std::string::npos);
    CHECK(why_json(why, now).find(R"("rule_file": "quit-alone", "administrator": "smtp_discard_ehlo_keywords = pipelining"})") != std::string::npos);
}

TEST_CASE("peers: shown with the evidence and the line that does the same by hand")
{
    (void)message();
    CHECK(peer_line(bridge(), now) == "192.0.2.7  va3.bigfish.com  smtp:bridge.test  3 sessions, last 2026-01-01 00:00:00: quit-alone\n");
    CHECK(peer_line(bridge(), now + std::chrono::hours{2}).ends_with(": nothing wrong\n"));
    CHECK(peer_text(bridge(), now) == R"(va3.bigfish.com[192.0.2.7]
  site           smtp:bridge.test
  sessions       3, from 2026-01-01 00:00:00 to 2026-01-01 00:00:00
  quit-alone     learned; in force until 2026-01-01 01:00:00
                 seen: RSET QUIT: 221, the last time 2026-01-01 00:00:00
                 1 sightings since 2026-01-01 00:00:00
                 with the feature 1 sessions went well and 2 failed, without it 3 and 0
                 QUIT now travels alone
                 by hand: smtp_discard_ehlo_keyword_address_maps, "192.0.2.7 silent-discard, pipelining"
)");
    CHECK(peer_json(bridge(), now).find(R"("quirks": [{"quirk": "quit-alone", "source": "learned", "in_force": true, )") != std::string::npos);
    for (const char* word : {"192.0.2.7", "192.0.2.7 va3.bigfish.com", "VA3.bigfish.com", "bigfish.com", "smtp:bridge.test", "bridge.test"})
        CHECK_MESSAGE(matches(bridge(), word), word);
    for (const char* word : {"192.0.2", "fish.com", "ridge.test", "smtp"})
        CHECK_MESSAGE(!matches(bridge(), word), word);
}

TEST_CASE("why: of a site it says what its servers asked for, in text and as JSON")
{
    Why why;
    why.word = "big.test";
    why.kind = Why::Kind::destination;
    why.queue.emplace();
    handoff::SiteStanding& site = *why.queue->add_sites();
    site.set_site("out2:big.test");
    site.set_transport("out2");
    site.set_window(5);
    site.set_set("mx.big.test from 192.0.2.2");
    site.set_silent_until(std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch() + std::chrono::hours{1}).count());
    site.set_ceiling(1);
    site.set_per_minute(3);
    site.set_said("host mx.big.test[192.0.2.1] said: 421 4.7.0 slow down");
    const std::string text = why_text(why, now);
    CHECK(text.find("site out2:big.test\n    now          0 of 5 deliveries at once, 0 messages with 0 recipients wait for their turn\n"
                    "    servers      mx.big.test from 192.0.2.2\n") != std::string::npos);
    CHECK(text.find("    silent       nothing is sent until ") != std::string::npos);
    CHECK(text.find(", then one delivery at a time\n"
                    "    at most      1 deliveries at once, all sites of these servers together\n"
                    "    at most      3 mails a minute\n"
                    "    since        host mx.big.test[192.0.2.1] said: 421 4.7.0 slow down\n") != std::string::npos);
    CHECK(
        why_json(why, now).find(
            R"("set": "mx.big.test from 192.0.2.2", "sessions_at_most": 1, "mails_per_minute_at_most": 3.0, "silent_until": "2026-01-01T01:00:00Z", )"
            R"("said": "host mx.big.test[192.0.2.1] said: 421 4.7.0 slow down")") != std::string::npos);
}

TEST_CASE("why: an operator's order is named, with who gave it, its end, and what ends it")
{
    Why why = message();
    handoff::Waiting& waiting = *why.queue->mutable_waiting(0);
    waiting.set_wait(static_cast<std::uint32_t>(Wait::order));
    handoff::Order& order = *waiting.mutable_order();
    order.set_destination("away.test");
    order.set_sender("<>");
    order.set_by("root");
    order.set_since(noon - 5'000000);
    order.set_held_up(2);
    const std::string text = why_text(why, now);
    CHECK(text.find("waits for    order: an operator, who ordered that for its destination\n"
                    "    changed by   at once: posthorn resume away.test --from '<>'\n"
                    "    order        suspend away.test --from '<>', by root since 2025-12-31 23:59:55 until it is ended (2 messages wait)\n") !=
          text.npos);
    CHECK(
        why_json(why, now).find(R"("command": "posthorn resume away.test --from '<>'", "order": {"order": "suspend", "destination": "away.test")") !=
        std::string::npos);

    Why domain;
    domain.word = "away.test";
    domain.kind = Why::Kind::destination;
    CHECK_FALSE(domain.known());
    *domain.queue.emplace().add_orders() = order;
    CHECK(domain.known());
    CHECK(why_text(domain, now).find("changed by   at once: posthorn resume away.test --from '<>'") != std::string::npos);
    CHECK(why_json(domain, now).find(R"("orders": [{"order": "suspend")") != std::string::npos);
}
