#include "admin/page.hpp"
#include "admin/routes.hpp"
#include "admin/testing.hpp"
#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "inquiry/heard_listing.hpp"
#include "inquiry/queue_action.hpp"
#include "inquiry/trial_listing.hpp"
#include "services/counters.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::admin;
using handoff::QueueCommand;
using handoff::QueueReply;

namespace {

Answer ask(System& system, std::string_view path, const Result<process::InstanceCounters>& counters = process::InstanceCounters{})
{
    auto target = http::parse_target(path);
    REQUIRE(target);
    const auto route = route_of(*target);
    REQUIRE(route);
    return answer_to({*std::move(target), route.value_or(Route{Place::page, false}), "192.0.2.9"}, system, counters, Rates{});
}

QueueReply counted(std::uint64_t count)
{
    QueueReply reply;
    reply.set_count(count);
    return reply;
}

QueueReply listed(std::string sender, std::string reason, std::string next)
{
    QueueReply reply;
    handoff::QueueEntry& entry = *reply.add_entries();
    entry.set_queue_name("deferred");
    entry.mutable_envelope()->set_queue_id("4gDq8v1Yc0z3D");
    entry.mutable_envelope()->set_sender(std::move(sender));
    entry.mutable_envelope()->add_recipients()->set_address("user@there.test");
    entry.add_reasons(std::move(reason));
    reply.set_count(7);
    reply.set_more(!next.empty());
    reply.set_text(std::move(next));
    return reply;
}

}  // namespace

TEST_CASE("routes: what there is, and what changes something")
{
    const auto place = [](const char* path) {
        const auto target = http::parse_target(path);
        const auto route = target ? route_of(*target) : std::nullopt;
        return route ? std::pair(static_cast<int>(route->place), route->changes) : std::pair(-1, false);
    };
    const auto is = [](Place where, bool changes) { return std::pair(static_cast<int>(where), changes); };
    CHECK(place("/") == is(Place::page, false));
    CHECK(place("/metrics") == is(Place::metrics, false));
    CHECK(place("/api/queue?limit=1") == is(Place::queue, false));
    CHECK(place("/api/queue/X") == is(Place::message, false));
    CHECK(place("/api/queue/X/transcripts") == is(Place::transcripts_of, false));
    CHECK(place("/api/queue/X/delete") == is(Place::act, true));
    CHECK(place("/api/accounts/login:a/hold") == is(Place::order_account, true));
    CHECK(place("/api/sites/a.test/flush") == is(Place::flush_site, true));
    for (const char* nothing : {"/favicon.ico", "/api/queue/X/Y/Z", "/metrics/x", "/api/sites/a.test"})
        CHECK(place(nothing) == std::pair(-1, false));
}

TEST_CASE("routes: every action has postsuper's frame, words and queues; what was done is logged with who asked")
{
    ToldSystem system;
    system.on_queue = [](const QueueCommand&) { return counted(1); };
    for (const inquiry::QueueAction& action : inquiry::queue_actions) {
        CAPTURE(action.name);
        const Answer answer = ask(system, fmt::format("/api/queue/4gDq8v1Yc0z3D/{}", action.name));
        CHECK(answer.status == 200);
        CHECK(answer.body == fmt::format("{{\"queue_id\": \"4gDq8v1Yc0z3D\", \"done\": \"{}\"}}\n", action.done));
        CHECK(answer.log == fmt::format("4gDq8v1Yc0z3D: {} by client [192.0.2.9]", action.done));
        CHECK(system.asked.back().verb() == action.verb);
        CHECK(system.asked.back().argument() == action.queues);
        CHECK(system.asked.back().queue_ids(0) == "4gDq8v1Yc0z3D");
    }
    CHECK(ask(system, "/api/queue/ALL/delete").status == 404);          // no word stands for many
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D/explode").status == 404);
    CHECK(ask(system, "/api/flush").log == "all that is deferred: 1 messages scheduled for delivery by client [192.0.2.9]");
    CHECK(ask(system, "/api/sites/a.test/flush").body == "{\"scheduled\": 1}\n");
    CHECK(system.asked.back().argument() == "a.test");
    CHECK(ask(system, "/api/sites/a%2Fb/flush").status == 400);
}

TEST_CASE("routes: a message that is not there is not found; one that is, and of which nothing was to be done, is a conflict")
{
    ToldSystem system;
    bool there = false;
    system.on_queue = [&](const QueueCommand& command) {
        QueueReply reply;
        if (command.verb() == QueueCommand::EXPLAIN && there)
            reply.mutable_explanation()->set_queue_name("hold");
        return reply;
    };
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D/hold").status == 404);
    there = true;
    const Answer conflict = ask(system, "/api/queue/4gDq8v1Yc0z3D/hold");
    CHECK(conflict.status == 409);
    CHECK(conflict.log.empty());
    system.on_queue = [](const QueueCommand&) {
        QueueReply reply = counted(0);
        reply.set_text("a table failed\n");
        return reply;
    };
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D/requeue").body == "{\"error\": \"a table failed\"}\n");
    system.on_queue = [](const QueueCommand&) { return Error{"mail system is down", "4.3.0"}; };
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D/hold").status == 503);
}

TEST_CASE("routes: the queue in pages, one queue of it, and words that are wrong")
{
    ToldSystem system;
    system.on_queue = [](const QueueCommand&) { return listed("a@b.test", "no answer", "88"); };
    const Answer answer = ask(system, "/api/queue?limit=1&after=87");
    CHECK(answer.status == 200);
    CHECK(system.asked.back().offset() == 1);
    CHECK(system.asked.back().argument() == "87");
    CHECK(
        answer.body.starts_with("{\"total\": 7, \"next\": \"88\", \"messages\": [\n{\"queue_name\": \"deferred\", \"queue_id\": \"4gDq8v1Yc0z3D\""));
    CHECK(answer.body.find("\"delay_reason\": \"no answer\"") != std::string::npos);
    CHECK(ask(system, "/api/queue?queue=hold").body.find("4gDq") == std::string::npos);
    for (const char* wrong : {"limit=0", "limit=2001", "limit=x", "after=x", "queue=incoming", "other=1"}) {
        CAPTURE(wrong);
        CHECK(ask(system, fmt::format("/api/queue?{}", wrong)).status == 400);
    }
    CHECK(ask(system, "/api/counters?x=1").status == 400);
    CHECK(ask(system, "/api/counters", Error{"no answer", "4.3.0"}).status == 503);
    CHECK(ask(system, "/api").body.find("\"path\": \"api/queue/*/*\"") != std::string::npos);
}

TEST_CASE("routes: what nobody knows is not found, and a system that is down is said to be")
{
    ToldSystem system;
    CHECK(ask(system, "/api/why/there.test").status == 404);
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D").status == 404);
    CHECK(ask(system, "/api/queue/not-an-id!").status == 404);
    system.why_reply.down = true;
    CHECK(ask(system, "/api/why/there.test").status == 503);
    system.why_reply.why.queue.emplace().set_queue_id("4gDq8v1Yc0z3D");
    CHECK(ask(system, "/api/queue/4gDq8v1Yc0z3D").status == 200);
}

TEST_CASE("routes: sites and groups")
{
    ToldSystem system;
    auto& site = *system.sites_reply.add_sites();
    site.set_site("smtp:there.test");
    site.set_window(5);
    site.set_in_flight(2);
    auto& group = *system.sites_reply.add_deferred();
    group.set_destination("there.test");
    group.set_reason("no-answer");
    group.set_recipients(3);
    system.sites_reply.set_messages(9);
    system.sites_reply.set_groups(1);
    const Answer answer = ask(system, "/api/sites");
    CHECK(answer.body.starts_with(
        "{\"messages\": 9, \"sites\": [\n{\"site\": \"smtp:there.test\", \"transport\": \"\", \"window\": 5, \"sessions\": 2"));
    CHECK(answer.body.find(
              R"({"destination": "there.test", "reason": "no-answer", "recipients": 3, "site": "", "text": "", "last": null, "rest": false})") !=
          std::string::npos);
}

TEST_CASE("page: whatever mail and servers say is text")
{
    const std::string hostile = "\"'><script>alert(1)</script>&amp;\x01\xff@evil.test";
    ToldSystem system;
    system.on_queue = [&](const QueueCommand&) { return listed(hostile, hostile, "88"); };
    auto& site = *system.sites_reply.add_sites();
    site.set_site(hostile);
    site.set_said(hostile);
    auto& group = *system.sites_reply.add_deferred();
    group.set_destination(hostile);
    group.set_text(hostile);
    system.known.records.emplace_back().peer.banner_host = hostile;
    system.why_reply.why.queue.emplace().set_sender(hostile);
    handoff::CountersReply counts;
    handoff::count(counts, services::queue_messages, 12345, {{"queue", "hold"}, {"age", "5-10m"}});
    process::InstanceCounters counters;
    auto& counter = *counters.add_processes()->add_counters();
    counter.set_name(counts.counters(0).name());
    counter.set_value(counts.counters(0).value());
    for (const Answer& answer :
         {ask(system, "/", counters), ask(system, "/message/4gDq8v1Yc0z3D"), ask(system, "/why/" + http::escaped("<script>\"a"))}) {
        CHECK(answer.status == 200);
        CHECK(answer.type == "text/html; charset=utf-8");
        CHECK(answer.body.find("<script") == std::string::npos);
        CHECK(answer.body.find("<b>") == std::string::npos);
        CHECK(answer.body.find("\"'>") == std::string::npos);
        CHECK(is_valid_utf8(answer.body));
        CHECK(answer.body.find("http://") == std::string::npos);          // nothing from elsewhere
        CHECK(answer.body.find("&lt;script&gt;") != std::string::npos);
        REQUIRE(answer.fields.size() == 1);
        CHECK(answer.fields.front().second.starts_with("default-src 'none'; style-src 'sha256-"));
    }
    const std::string overview = ask(system, "/", counters).body;
    CHECK(overview.find("<td>hold</td><td class=\"n\">12345</td><td class=\"n\">0</td><td class=\"n\">12345</td>") != std::string::npos);
    CHECK(overview.find("<a href=\"/message/4gDq8v1Yc0z3D\">") != std::string::npos);
    CHECK(overview.find("<a href=\"/?after=88\">") != std::string::npos);
    CHECK(overview.find("http-equiv=\"refresh\"") != std::string::npos);
    CHECK(html_text("a<b>&\"'\n") == "a&lt;b&gt;&amp;&quot;&#39;?");
}

TEST_CASE("routes: what others report of our domains, of one with its reports; days are a number")
{
    ToldSystem system;
    CHECK(ask(system, "/api/reports/received").status == 503);
    handoff::HeardReply told;
    for (const char* domain : {"a.test", "b.test"})
        told.add_sums()->set_domain(domain);
    told.add_reports()->set_id(7);
    system.heard_reply = told;
    const Answer answer = ask(system, "/api/reports/received?of=a.test&days=7");
    CHECK(answer.status == 200);
    CHECK(system.heard_asked.domain() == "a.test");
    CHECK(system.heard_asked.days() == 7);
    CHECK(system.heard_asked.with_reports());
    CHECK(answer.body == "{\"domains\": [\n" + inquiry::heard_json(told.sums(0)) + ",\n" + inquiry::heard_json(told.sums(1)) +
                             "\n], \"reports\": [\n" + inquiry::heard_json(told.reports(0)) + "\n]}\n");
    CHECK(ask(system, "/api/reports/received").status == 200);
    CHECK_FALSE(system.heard_asked.with_reports());
    for (const char* wrong : {"days=0", "days=x", "for=a.test"})
        CHECK(ask(system, std::string("/api/reports/received?") + wrong).status == 400);
}

TEST_CASE("routes: what stricter settings would have refused, by word, direction and time")
{
    ToldSystem system;
    CHECK(ask(system, "/api/trials").status == 503);
    handoff::Trials told;
    for (const char* tried : {"verify", "reject_rbl_client a.test"})
        told.add_trials()->set_tried(tried);
    system.trials_reply = told;
    const Answer answer = ask(system, "/api/trials?of=a.test&direction=out&since=1d");
    CHECK(answer.status == 200);
    CHECK(answer.body == "{\"trials\": [\n" + inquiry::trial_json(told.trials(0)) + ",\n" + inquiry::trial_json(told.trials(1)) + "\n]}\n");
    REQUIRE(system.trials_asked.words_size() == 1);
    CHECK(system.trials_asked.words(0) == "a.test");
    CHECK(system.trials_asked.direction() == handoff::TrialsCommand::OUT);
    CHECK(system.trials_asked.since() == (system.now() - std::chrono::hours{24}).time_since_epoch().count());
    CHECK(system.trials_asked.verb() == handoff::TrialsCommand::LIST);
    CHECK(ask(system, "/api/trials").status == 200);
    CHECK(system.trials_asked.words_size() == 0);
    for (const char* const wrong : {"direction=up", "since=yesterday", "for=a.test"})
        CHECK(ask(system, std::string("/api/trials?") + wrong).status == 400);
}

TEST_CASE("routes: daily reports are listed, of one domain or of all; without reporter the answer is 503")
{
    ToldSystem system;
    CHECK(ask(system, "/api/reports").status == 503);
    handoff::AggregateReports told;
    for (const char* const domain : {"a.test", "b.test"}) {
        handoff::AggregateReports::Report& report = *told.add_reports();
        report.set_kind("tls");
        report.set_domain(domain);
        report.set_day(20'000);
        report.set_good(7);
        report.set_state("collecting");
    }
    system.reports_reply = told;
    const Answer answer = ask(system, "/api/reports?of=a.test");
    CHECK(system.reports_of == "a.test");
    const std::string one = "{\"kind\": \"tls\", \"domain\": \"a.test\", \"day\": \"2024-10-04\", \"good\": 7, \"bad\": 0, \"left_out\": 0, "
                            "\"state\": \"collecting\", \"next\": 0, \"attempts\": 0, \"note\": \"\", \"record\": \"\"}";
    CHECK(answer.body.starts_with("{\"reports\": [\n" + one + ",\n{\"kind\""));
    CHECK(answer.body.ends_with("}\n]}\n"));
    CHECK(ask(system, "/api/reports").status == 200);
    CHECK(system.reports_of.empty());
    CHECK(ask(system, "/api/reports?for=a.test").status == 400);
}

TEST_CASE("routes: orders of operators are given with the words of the commands, listed, and ended")
{
    ToldSystem system;
    QueueReply told;
    handoff::Order& order = *told.add_orders();
    order.set_destination("a.test");
    order.set_sender("@b.test");
    order.set_since(1767225600'000000);
    order.set_reason("<disk> full");
    order.set_held_up(3);
    system.on_queue = [&](const QueueCommand&) { return told; };
    const std::string listed =
        R"({"order": "suspend", "destination": "a.test", "sender": "@b.test", "since": "2026-01-01T00:00:00Z", "until": null, )"
        R"("by": "", "reason": "<disk> full", "held_up": 3, "returned": 0})";
    CHECK(ask(system, "/api/orders").body == "{\"orders\": [\n" + listed + "\n]}\n");
    CHECK(system.asked.back().verb() == QueueCommand::ORDERS);

    const Answer given = ask(system, "/api/orders/suspend?destination=A.test&from=%40b.test&for=2h&reason=disk+full");
    CHECK(given.status == 200);
    CHECK(given.body == "{\"order\": " + listed + "}\n");
    CHECK(given.log == "suspend a.test --from @b.test by client [192.0.2.9]");
    CHECK(system.asked.back().verb() == QueueCommand::ORDER);
    CHECK(system.asked.back().order().kind() == handoff::Order::SUSPEND);
    CHECK(system.asked.back().order().destination() == "a.test");
    CHECK(system.asked.back().order().sender() == "@b.test");
    CHECK(system.asked.back().order().lasts() == 7200'000000);
    CHECK(system.asked.back().order().reason() == "disk full");
    CHECK(system.asked.back().order().by() == "client [192.0.2.9]");
    CHECK(ask(system, "/api/orders/bounce?destination=*&yes=yes").status == 200);
    CHECK(system.asked.back().order().kind() == handoff::Order::BOUNCE);
    CHECK(ask(system, "/api/orders/resume?destination=A.test").body == "{\"ended\": [\n" + listed + "\n]}\n");
    CHECK(system.asked.back().verb() == QueueCommand::END_ORDER);
    CHECK(system.asked.back().order().destination() == "a.test");
    CHECK(ask(system, "/api/orders/resume?all=yes").log == "1 orders ended by client [192.0.2.9]");
    CHECK(system.asked.back().order().destination().empty());

    const std::size_t asked = system.asked.size();
    for (const char* path : {"suspend", "suspend?destination=a%20b", "suspend?destination=a.test&for=30", "suspend?destination=a.test&from=b.test",
                             "suspend?destination=a.test&yes=yes", "bounce?destination=*", "bounce?destination=*&yes=no", "resume", "resume?all=no",
                             "resume?destination=", "resume?destination=a.test&all=yes", "resume?from=%40b.test&all=yes"})
        CHECK(ask(system, std::string("/api/orders/") + path).status == 400);
    CHECK(system.asked.size() == asked);
    told.clear_orders();
    CHECK(ask(system, "/api/orders/resume?destination=a.test").status == 404);
    CHECK(ask(system, "/api/orders/resume?all=yes").status == 200);
    system.on_queue = [](const QueueCommand&) { return Error{"orders are not kept", "4.3.1"}; };
    CHECK(ask(system, "/api/orders/suspend?destination=a.test").status == 500);
    system.on_queue = [](const QueueCommand&) { return Error{"down", "4.3.0"}; };
    CHECK(ask(system, "/api/orders/suspend?destination=a.test").status == 503);
    CHECK(ask(system, "/api/orders").status == 503);
}

TEST_CASE("routes: accounts are listed, and an operator's word about one is passed on as it was said")
{
    ToldSystem system;
    QueueReply told;
    handoff::Account& account = *told.add_accounts();
    account.set_name("login:<bob>@a.test");
    account.mutable_hour()->set_recipients(640);
    account.set_alarm_cause(1);
    account.set_alarm("640 recipients within an hour");
    system.on_queue = [&](const QueueCommand&) { return told; };
    const Answer listed = ask(system, "/api/accounts?of=login:bob");
    CHECK(listed.body.starts_with("{\"accounts\": [\n{\"account\": \"login:<bob>@a.test\", "));
    CHECK(system.asked.back().verb() == QueueCommand::ACCOUNTS);
    CHECK(system.asked.back().argument() == "login:bob");
    CHECK(ask(system, "/").body.find("<td>&lt;bob&gt;@a.test</td>") != std::string::npos);

    const Answer held = ask(system, "/api/accounts/login:bob/hold?reason=stolen");
    CHECK(held.status == 200);
    CHECK(held.log == "account login:bob: hold by client [192.0.2.9]");
    CHECK(system.asked.back().verb() == QueueCommand::ACCOUNT_ORDER);
    CHECK(system.asked.back().account_order().name() == "login:bob");
    CHECK(system.asked.back().account_order().word() == handoff::Account::HOLD);
    CHECK(system.asked.back().account_order().reason() == "stolen");
    CHECK(system.asked.back().account_order().by() == "client [192.0.2.9]");
    CHECK(ask(system, "/api/accounts/login:bob/allow?for=2h").status == 200);
    CHECK(system.asked.back().account_order().lasts() == 7200'000000);
    const std::size_t asked = system.asked.size();
    CHECK(ask(system, "/api/accounts/login:bob/hold?for=2h").status == 400);
    CHECK(ask(system, "/api/accounts/login:bob/allow?for=2").status == 400);
    CHECK(ask(system, "/api/accounts/login:bob/praise").status == 404);
    CHECK(ask(system, "/api/accounts?by=x").status == 400);
    CHECK(system.asked.size() == asked);
    system.on_queue = [](const QueueCommand&) { return Error{"no account", "5.5.4"}; };
    CHECK(ask(system, "/api/accounts/bob/refuse").status == 400);
}

TEST_CASE("routes: what servers changed, of a time; a wrong time is said to be one")
{
    ToldSystem system;
    CHECK(ask(system, "/api/peers/changes").body == "{\"changes\": [\n\n]}\n");
    posthorn::peers::Portrait& portrait = system.known.portraits.emplace_back();
    portrait.peer = {"192.0.2.1", "<b>.test", "smtp:example.com"};
    portrait.changes.push_back({.kind = posthorn::peers::ChangeKind::gone,
                                .aspect = posthorn::peers::Aspect::feature,
                                .name = "CHUNKING",
                                .before = "offered",
                                .since = system.now() - std::chrono::hours{50},
                                .told = system.now() - std::chrono::hours{49}});
    const std::string body = ask(system, "/api/peers/changes?of=example.com").body;
    CHECK(body.find(R"("address": "192.0.2.1")") != body.npos);
    CHECK(body.find(R"("kind": "gone", "of": "feature", "name": "CHUNKING")") != body.npos);
    CHECK(ask(system, "/api/peers/changes?since=3d").body == body);
    CHECK(ask(system, "/api/peers/changes?since=2d").body == "{\"changes\": [\n\n]}\n");
    CHECK(ask(system, "/api/peers/changes?since=now").status == 400);
    CHECK(ask(system, "/api/peers/changes?since=now").body.find("since: 'now' is no time") != std::string::npos);
    CHECK(ask(system, "/api/peers/changes?until=2d").status == 400);
    system.known.records.emplace_back().peer = portrait.peer;
    CHECK(ask(system, "/api/peers").body.find(R"("changes": [{"told": )") != std::string::npos);
    system.known.ways.push_back({"192.0.2.9", {.suspected = system.now(), .until = {}, .lost = 1448}});
    CHECK(ask(system, "/api/peers").body.find("\"ways\": [\n{\"way\": \"192.0.2.9\", \"segments_lost\": 1448, \"proved\": false, ") !=
          std::string::npos);
}

TEST_CASE("routes: the page shows orders as text")
{
    ToldSystem system;
    system.on_queue = [](const QueueCommand& command) {
        QueueReply told;
        if (command.verb() == QueueCommand::ORDERS) {
            told.add_orders()->set_destination("a.test");
            told.mutable_orders(0)->set_reason("<b>disk</b>");
        }
        return told;
    };
    const std::string body = ask(system, "/").body;
    CHECK(body.find("<h2>Orders of operators</h2>") != std::string::npos);
    CHECK(body.find("<a href=\"/why/a.test\">a.test</a>") != std::string::npos);
    CHECK(body.find("&lt;b&gt;disk&lt;/b&gt;") != std::string::npos);
}
