#include "peers/greylist.hpp"

#include "peers/rules.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

struct Host {
    Greylists lists;
    HandClock clock;
    Advice rule;
    std::string words = "450 4.2.0 <%>: Recipient address rejected: come back later";

    std::optional<std::chrono::seconds> put_off(const std::string& who)
    {
        std::string reply = words;
        if (const auto at = reply.find('%'); at != reply.npos)
            reply.replace(at, 1, who);
        const auto when = lists.put_off("192.0.2.1", envelope_of("a@x", who), reply, rule, clock.wall());
        return when ? std::optional(std::chrono::duration_cast<std::chrono::seconds>(*when - clock.wall())) : std::nullopt;
    }
    bool taken(const std::string& who) { return lists.taken("192.0.2.1", envelope_of("a@x", who), clock.wall()); }
    /// One that is put off, comes again after so long, and is taken.
    bool cycle(const std::string& who, std::chrono::seconds wait)
    {
        put_off(who);
        clock.advance(wait);
        const bool follow = taken(who);
        clock.advance(1s);
        return follow;
    }
    bool known() const { return lists.known("192.0.2.1", clock.wall()); }
};

}  // namespace

TEST_CASE("greylisting by a rule: the time that the reply names, or the rule; and the same host")
{
    Host host;
    host.rule.greylist = true;
    host.rule.wait = 300s;
    CHECK(host.put_off("u@y") == 302s);
    CHECK(host.lists.host_of(envelope_of("a@x", "u@y"), host.clock.wall()) == "192.0.2.1");
    CHECK(host.lists.host_of(envelope_of("b@x", "u@y"), host.clock.wall()).empty());
    host.clock.advance(100s);
    CHECK(host.put_off("u@y") == 202s);                 // an early attempt does not begin the time anew
    host.clock.advance(202s);
    CHECK(host.taken("u@y"));
    CHECK(host.lists.host_of(envelope_of("a@x", "u@y"), host.clock.wall()).empty());
}

TEST_CASE("greylisting without a time: the first wait that passed is the time of the next; a shorter one that was refused narrows it")
{
    Host host;
    host.rule.greylist = true;
    CHECK(!host.put_off("u@y"));                        // nothing is known: the general back-off
    host.clock.advance(300s);
    CHECK(!host.put_off("u@y"));
    host.clock.advance(900s);
    CHECK(host.taken("u@y"));
    CHECK(host.put_off("v@y") == 752s);                 // between 300, refused, and 1200, taken
    host.clock.advance(752s);
    CHECK(host.taken("v@y"));
    CHECK(host.put_off("w@y") == 528s);
}

TEST_CASE("greylisting by conduct: three strangers in a row, each put off after the one before had passed")
{
    Host host;
    CHECK(!host.cycle("1@y", 300s));
    CHECK(!host.known());
    CHECK(!host.cycle("2@y", 300s));
    CHECK(!host.known());
    CHECK(host.cycle("3@y", 300s));
    CHECK(host.known());
    CHECK(host.put_off("4@y") == 302s);
    host.clock.advance(8 * 24h);
    CHECK(!host.known());                               // a week without any
}

TEST_CASE("an outage is no greylisting: all are put off, all are taken, and then strangers are taken at once")
{
    Host host;
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < 20; ++i)
            CHECK(!host.put_off(std::to_string(round * 100 + i) + "@y"));
        host.clock.advance(300s);
        for (int i = 0; i < 20; ++i)
            CHECK(!host.taken(std::to_string(round * 100 + i) + "@y"));
        host.clock.advance(10s);
        CHECK(!host.taken("stranger" + std::to_string(round) + "@y"));
    }
    CHECK(!host.known());
}

TEST_CASE("a full mailbox now and then, and other words each time, teach nothing")
{
    Host host;
    for (int i = 0; i < 20; ++i) {
        host.cycle("full@y", 300s);
        host.taken("other@y");                          // at its first attempt
    }
    CHECK(!host.known());
    Host words;
    for (int i = 0; i < 20; ++i) {
        words.words = i % 2 == 0 ? "450 4.2.2 mailbox full" : "451 4.3.0 lookup failure";
        words.cycle(std::to_string(i) + "@y", 300s);
    }
    CHECK(!words.known());
}

TEST_CASE("what waits follows the first that passes, and not each that follows")
{
    Host host;
    host.rule.greylist = true;
    host.rule.wait = 300s;
    for (const char* who : {"1@y", "2@y", "3@y"})
        host.put_off(who);
    host.clock.advance(302s);
    CHECK(host.taken("1@y"));
    CHECK(!host.taken("2@y"));
    CHECK(!host.taken("3@y"));
    host.clock.advance(1s);
    CHECK(host.cycle("4@y", 302s));
}

TEST_CASE("a time that never comes true is given up for the general back-off")
{
    Host host;
    host.rule.greylist = true;
    host.rule.wait = 60s;
    unsigned known = 0;
    for (int i = 0; i < 100; ++i) {
        const auto wait = host.put_off("u@y");
        known += wait.has_value();
        host.clock.advance(wait.value_or(300s));
    }
    CHECK(known <= 5);
}

TEST_CASE("hosts and envelopes are bounded, the oldest go")
{
    Host host;
    host.rule.greylist = true;
    host.rule.wait = 300s;
    for (std::size_t i = 0; i < greylist_envelopes + 10; ++i)
        host.put_off(std::to_string(i) + "@y");
    CHECK(host.lists.host_of(envelope_of("a@x", "0@y"), host.clock.wall()).empty());
    CHECK(!host.lists.host_of(envelope_of("a@x", "10@y"), host.clock.wall()).empty());
    for (std::size_t i = 0; i < greylist_hosts; ++i)
        host.lists.put_off("host" + std::to_string(i), 1, "450 x", host.rule, host.clock.wall());
    CHECK(!host.known());
    CHECK(host.lists.known("host1", host.clock.wall()));
    CHECK(host.lists.envelopes() == greylist_hosts);
    for (std::size_t i = 0; i < 2 * greylist_total; ++i)
        host.lists.put_off("host" + std::to_string(i % 100), i, "450 x", host.rule, host.clock.wall());
    CHECK(host.lists.envelopes() <= greylist_total);
    CHECK(host.lists.envelopes() > greylist_total / 2);
}

TEST_CASE("the time that a reply names")
{
    using std::chrono::seconds;
    for (const auto& [text, time] : {std::pair<const char*, int>{"451 4.7.1 Greylisted, try again in 300 seconds", 300},
                                     {"451 4.7.1 Greylisting in action, please come back in 00:05:00", 300},
                                     {"450 4.2.0 Greylisted for 5 minutes (see http://h/1234)", 300},
                                     {"450 4.7.1 Greylisted (299s left)", 299},
                                     {"450 greylisted, retry in 1 hour", 3600},
                                     {"451 4.7.1 come back in 24:00:00", 86400},
                                     {"451 4.7.1 Greylisted", 0},
                                     {"450 4.7.1 <u7min@x>: Greylisted", 0},
                                     {"450 greylisted for 0 seconds", 0},
                                     {"450 greylisted for 99999999999999999999 seconds", 0},
                                     {"450 greylisted, 2026-01-01 10:00:00", 36000},
                                     {"450 greylisted until 12:", 0},
                                     {"", 0}}) {
        CAPTURE(text);
        CHECK(time_named(text).value_or(seconds{0}) == seconds{time});
    }
}
