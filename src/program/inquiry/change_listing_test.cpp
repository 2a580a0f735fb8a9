#include "inquiry/change_listing.hpp"

#include "inquiry/peer_listing.hpp"
#include "inquiry/why_text.hpp"
#include "peers/times.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace posthorn;
using namespace posthorn::inquiry;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

const WallTime moment{std::chrono::seconds{1'795'860'000}};        // 2026-11-28T10:00:00Z

struct Utc {
    Utc()
    {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
};

Portrait changed()
{
    Portrait portrait;
    portrait.peer = {"192.0.2.1", "MX.example.com", "smtp:example.com"};
    portrait.in_tls = 5;
    portrait.traits = {{.aspect = Aspect::greeting, .value = "ESMTP Exim 4.96", .seen = 5},
                       {.aspect = Aspect::tls_version, .value = "TLSv1.3", .seen = 5},
                       {.aspect = Aspect::issuer, .value = "An Authority", .seen = 5},
                       {.aspect = Aspect::trust, .name = "may", .value = "untrusted", .seen = 5},
                       {.aspect = Aspect::feature, .name = "STARTTLS", .value = "offered", .seen = 5},
                       {.aspect = Aspect::feature_in_tls, .name = "SIZE", .value = "5000000", .seen = 5},
                       {.aspect = Aspect::feature_in_tls, .name = "DSN", .value = "offered", .seen = 5}};
    portrait.changes = {{.kind = ChangeKind::gone,
                         .aspect = Aspect::feature,
                         .name = "CHUNKING",
                         .before = "offered",
                         .since = moment - 9 * 24h,
                         .told = moment - 8 * 24h},
                        {.kind = ChangeKind::other,
                         .aspect = Aspect::feature_in_tls,
                         .name = "SIZE",
                         .before = "20000000",
                         .now = "5000000",
                         .since = moment - 2h,
                         .told = moment - 1h,
                         .grave = true,
                         .why = "less than message_size_limit (10240000)"}};
    return portrait;
}

}  // namespace

TEST_CASE("changes: of one server or of a site by what one knows of it, those of a time, as lines and as JSON")
{
    const Utc utc;
    const Portrait server = changed();
    Portrait site;
    site.peer.site = "smtp:example.com";
    site.changes = {
        {.kind = ChangeKind::other, .aspect = Aspect::mx_set, .before = "a.test", .now = "b.test", .since = moment - 3h, .told = moment - 90min}};
    for (const std::string_view word : {"192.0.2.1", "mx.EXAMPLE.com", "example.com", "smtp:example.com", "192.0.2.1 mx.example.com"})
        CHECK_MESSAGE(matches(server, word), word);
    for (const std::string_view word : {"192.0.2.10", "x.example.com", "xample.com", "lmtp:example.com", ""})
        CHECK_MESSAGE(!matches(server, word), word);
    CHECK(matches(site, "example.com"));
    CHECK(!matches(site, "192.0.2.1"));
    CHECK(!matches(site, ""));
    const std::vector<Portrait> both{server, site};
    CHECK(changes_since(both, WallTime{}).size() == 3);
    const auto lately = changes_since(both, moment - changed_lately);
    REQUIRE(lately.size() == 2);
    CHECK(change_line(lately[0]) == "2026-11-28 08:30:00  MX set  smtp:example.com: the MX set is b.test since 2026-11-28 07:00:00, a.test before\n");
    CHECK(change_line(lately[1]) ==
          "2026-11-28 09:00:00  MX.example.com[192.0.2.1]  smtp:example.com: warning: SIZE in TLS is 5000000 since 2026-11-28 08:00:00, "
          "20000000 before: less than message_size_limit (10240000)\n");
    CHECK(
        change_json(lately[1]) ==
        R"x({"told": "2026-11-28T09:00:00Z", "address": "192.0.2.1", "banner_host": "MX.example.com", "site": "smtp:example.com", "kind": "other", )x"
        R"x("of": "feature-in-tls", "name": "SIZE", "before": "20000000", "now": "5000000", "since": "2026-11-28T08:00:00Z", "grave": true, )x"
        R"x("why": "less than message_size_limit (10240000)", "text": "SIZE in TLS is 5000000 since 2026-11-28 08:00 UTC, 20000000 before: )x"
        R"x(less than message_size_limit (10240000)"})x");
}

TEST_CASE("changes: since when, in words; nothing else is a time")
{
    CHECK(since_of("2026-11-28", moment).value() == moment - 10h);
    CHECK(since_of("2026-11-28T09:00:00Z", moment).value() == moment - 1h);
    CHECK(since_of("3d", moment).value() == moment - 72h);
    CHECK(since_of("90", moment).value() == moment - 90s);
    for (const std::string_view word : {"", "-", "-3d", "yesterday", "2026-13-01", "2026-11-28T", "99999999999999999999d", "3000w 1"})
        CHECK_MESSAGE(!since_of(word, moment), word);
    CHECK(since_of("x\x1b", moment).error().what() == "'x?' is no time: 2026-11-25, 2026-11-25T10:00:00Z, or how long ago (3d, 12h)");
}

TEST_CASE("changes: beside a server those of the last week and what is usual, beside a question those of its sites")
{
    const Utc utc;
    const Portrait portrait = changed();
    Record record;
    record.peer = portrait.peer;
    record.sessions = 9;
    record.last = moment;
    const std::string text = peer_text(record, moment, &portrait);
    CHECK(text.find(
              "\n  greeting       ESMTP Exim 4.96\n  TLS version    TLSv1.3, certificate by An Authority, untrusted\n  says           SIZE 5000000\n"
              "  changed        warning: SIZE in TLS is 5000000 since 2026-11-28 08:00:00, 20000000 before: less than") != text.npos);
    CHECK(text.find("CHUNKING") == text.npos);
    CHECK(peer_text(record, moment).find("changed") == std::string::npos);
    CHECK(peer_json(record, moment).ends_with(R"("changes": []})"));
    CHECK(peer_json(record, moment, &portrait).find(R"("changes": [{"told": "2026-11-20T10:00:00Z")") != std::string::npos);
    Why why;
    why.word = "example.com";
    why.kind = Why::Kind::destination;
    why.peers.push_back({.record = record, .administrator = {}, .rule_file = {}, .portrait = portrait});
    Portrait& site = why.sites.emplace_back();
    site.peer.site = "smtp:example.com";
    site.changes = {
        {.kind = ChangeKind::other, .aspect = Aspect::mx_set, .before = "a.test", .now = "b.test", .since = moment - 3h, .told = moment - 90min}};
    const std::string said = why_text(why, moment);
    CHECK(said.find("\nservers of smtp:example.com\n    changed      the MX set is b.test since 2026-11-28 07:00:00, a.test before\n") != said.npos);
    CHECK(said.find("\n  changed        warning: SIZE in TLS is 5000000") != said.npos);
    CHECK(why_json(why, moment).find(R"("site_changes": [{"told": "2026-11-28T08:30:00Z", "address": "", )") != std::string::npos);
}

TEST_CASE("changes: of several portraits of an address the one that greets as the peer does")
{
    std::vector<Portrait> portraits(3, changed());
    portraits[1].peer.banner_host = "other.test";
    portraits[2].peer.address = "192.0.2.2";
    CHECK(portrait_of(portraits, {"192.0.2.1", "other.test", {}}) == &portraits[1]);
    CHECK(portrait_of(portraits, {"192.0.2.1", "mx.example.com", {}}) == portraits.data());
    CHECK(portrait_of(portraits, {"192.0.2.1", "a stranger", {}}) == portraits.data());
    CHECK(portrait_of(portraits, {"192.0.2.3", "mx.example.com", {}}) == nullptr);
    CHECK(portrait_of(portraits, {}) == nullptr);
}
