#include "verify/office_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::verify;

TEST_CASE("record: Postfix's cache entries are read, and ours are what Postfix reads")
{
    const auto good = parse("0:0:1795226081:250 2.1.5 Recipient OK");
    REQUIRE(good);
    CHECK(good->kind == Kind::deliverable);
    CHECK(good->updated == then);
    CHECK(good->text == "250 2.1.5 Recipient OK");
    CHECK(to_text(*good) == "0:0:1795226081:250 2.1.5 Recipient OK");
    CHECK(parse("2:1795226000:1795226084:host h[a] said: 550 5.1.1 No: no")->text == "host h[a] said: 550 5.1.1 No: no");
    CHECK(to_text(Record(Kind::undeliverable, then + 999ms, "a\nb\x01")) == "2:0:1795226081:a?b?");
    for (const char* wrong :
         {"", "0", "0:0", "0:0:0:never", "4:0:5:x", "-1:0:5:x", "0:0:5", "a:0:5:x", "0:0:99999999999999999999:x", "0:0:999999999999999999:x"})
        CHECK_FALSE(parse(wrong));
    CHECK(key_of("a:B@x.test") == "a_B@x.test");
}

TEST_CASE("rules: each kind has its expiry and its refresh; a good address stays good while a probe runs")
{
    const auto good = std::optional{Record(Kind::deliverable, then, "ok")}, bad = std::optional{Record(Kind::undeliverable, then, "no")};
    CHECK(opinion(std::nullopt, false, then, rules).finding.kind == Kind::in_progress);
    CHECK(opinion(std::nullopt, false, then, rules).ask);
    struct Row {
        const std::optional<Record>& record;
        std::chrono::seconds age;
        bool outstanding;
        Kind kind;
        bool ask;
    };
    const Row rows[] = {
        {good, 7 * 86400s, false, Kind::deliverable, false},     {good, 7 * 86400s + 1s, false, Kind::deliverable, true},
        {good, 31 * 86400s, false, Kind::deliverable, true},     {good, 31 * 86400s + 1s, false, Kind::in_progress, true},
        {good, 31 * 86400s + 1s, true, Kind::deliverable, true}, {bad, 3 * 3600s, false, Kind::undeliverable, false},
        {bad, 3 * 3600s + 1s, false, Kind::undeliverable, true}, {bad, 3 * 86400s, false, Kind::undeliverable, true},
        {bad, 3 * 86400s + 1s, true, Kind::in_progress, true},   {bad, -1800s, false, Kind::undeliverable, false},
        {bad, -365 * 86400s, false, Kind::in_progress, true},    {good, -365 * 86400s, false, Kind::in_progress, true},
        {good, -365 * 86400s, true, Kind::deliverable, true},
    };
    for (const Row& row : rows) {
        const Opinion got = opinion(row.record, row.outstanding, then + row.age, rules);
        CHECK(got.finding.kind == row.kind);
        CHECK(got.ask == row.ask);
    }
}

TEST_CASE("rules: a failure never takes back that an address was deliverable, until that has expired")
{
    const auto good = std::optional{Record(Kind::deliverable, then, "ok")};
    const Finding no(Kind::undeliverable, "550 no"), later(Kind::deferred, "timeout"), yes(Kind::deliverable, "250 ok");
    CHECK_FALSE(updated(good, no, then + 86400s, rules));
    CHECK_FALSE(updated(good, later, then + 86400s, rules));
    CHECK(updated(good, no, then + 32 * 86400s, rules)->kind == Kind::undeliverable);
    CHECK(updated(good, yes, then + 9s, rules)->updated == then + 9s);
    CHECK(updated(std::nullopt, later, then, rules)->kind == Kind::deferred);
    Rules positive_only;
    positive_only.negative_cache = false;
    CHECK_FALSE(updated(std::nullopt, no, then, positive_only));
    CHECK(updated(std::nullopt, yes, then, positive_only));
}

TEST_CASE("sender: with a time to live it changes by the slot, and the slots beside are known again")
{
    const ProbeSender plain("double-bounce@test.example");
    CHECK(plain.at(then) == "double-bounce@test.example");
    CHECK(plain.plain("Double-Bounce@test.example", then) == "double-bounce@test.example");
    CHECK_FALSE(plain.plain("double-bounce1@test.example", then));
    const ProbeSender timed("double-bounce@test.example", 3600s);
    const std::string now = timed.at(then);
    CHECK(now.starts_with("double-bounce"));
    CHECK(now.size() == std::string("double-bounceJQX7@test.example").size());
    CHECK(now.find_first_of("AEIOUaeio", 13) > now.find('@'));
    CHECK(timed.at(then + 3600s) != now);
    CHECK(timed.plain(now, then) == "double-bounce@test.example");
    CHECK(timed.plain(now, then + 3600s) == "double-bounce@test.example");
    CHECK(timed.plain(now, then - 3600s) == "double-bounce@test.example");
    CHECK_FALSE(timed.plain(now, then + 7200s));
    CHECK_FALSE(timed.plain(now, then - 7200s));
    CHECK_FALSE(timed.plain("double-bounce@test.example", then));
    const ProbeSender null("");
    CHECK(null.at(then) == "");
    CHECK_FALSE(null.plain("", then));
}

TEST_CASE("desk: an unknown address is probed once, and all who wait hear of it together")
{
    Office office;
    office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 ok"));
    office.host.held = true;
    std::vector<Finding> heard;
    TaskGroup group(office.loop.get_executor());
    const auto wait = [](Desk& desk, std::vector<Finding>& into) -> awaitable<void> {
        into.push_back(co_await desk.ask("user@x.test", std::chrono::seconds{5}));
    };
    for (int i = 0; i < 20; ++i)
        group.spawn(wait(office.desk, heard));
    CHECK(office.ask("user@x.test", 0ms).kind == Kind::in_progress);      // poll count 1: answered at once
    CHECK(office.ask("user@x.test", 20ms).text == "Address verification in progress");
    CHECK(heard.empty());
    office.host.release();
    run(office.loop, group.drained());
    REQUIRE(heard.size() == 20);
    for (const Finding& finding : heard)
        CHECK(finding.text == "250 ok");
    CHECK(office.host.asked.size() == 1);
    CHECK(office.host.senders.front() == "double-bounce");
    CHECK(office.ask("user@x.test").kind == Kind::deliverable);
    CHECK(office.host.asked.size() == 1);                                   // from the cache
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: an old answer is given at once and asked anew behind it")
{
    Office office;
    office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 first"));
    CHECK(office.ask("user@x.test").text == "250 first");
    office.clock.advance(8 * 86400s);
    office.host.answers.insert_or_assign("user@x.test", Finding(Kind::deliverable, "250 second"));
    CHECK(office.ask("user@x.test").text == "250 first");
    run(office.loop, sleep_for(10ms));
    CHECK(office.ask("user@x.test").text == "250 second");
    CHECK(office.desk.counts().probes == 2);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: an address in use is asked anew when its time has come, before anybody asks; it never expires, and what is not asked about fades")
{
    Options options = Office::in_memory();
    Office office(options);
    for (const char* address : {"used@x.test", "once@x.test", "gone@x.test"})
        office.host.answers.emplace(address, Finding(Kind::deliverable, "250 ok"));
    office.host.answers.insert_or_assign("gone@x.test", Finding(Kind::undeliverable, "550 no"));
    for (const char* address : {"used@x.test", "once@x.test", "gone@x.test"})
        office.ask(address);
    const auto turn = [&](std::chrono::seconds time) {
        office.clock.advance(time);
        office.desk.refresh_ahead();
        run(office.loop, sleep_for(1ms));
    };
    office.ask("once@x.test");                                              // early: says nothing of later
    turn(2 * 3600s);
    office.ask("gone@x.test");                                              // in the second half of three hours
    turn(3599s);
    CHECK(office.desk.counts().probes == 3);
    office.host.answers.insert_or_assign("gone@x.test", Finding(Kind::deliverable, "250 repaired"));
    turn(10s);
    CHECK(office.host.asked.back() == "gone@x.test");
    CHECK(office.ask("gone@x.test").text == "250 repaired");
    CHECK(office.desk.counts().probes == 4);
    // For half a year somebody asks every five days: nobody ever waits, and it is asked anew once in seven days.
    const auto before = office.desk.counts().probes;
    for (int day = 1; day <= 180; ++day) {
        turn(86400s);
        if (day % 5 == 0)
            CHECK(office.ask("used@x.test", 0ms).kind == Kind::deliverable);
    }
    CHECK(std::ranges::count(office.host.asked, "once@x.test") == 1);
    CHECK(std::ranges::count(office.host.asked, "gone@x.test") == 2);
    CHECK(office.desk.counts().ahead >= 10);
    CHECK(office.desk.counts().probes - before <= 27);
    // Nobody asks any more: one refresh at most, then it expires.
    const auto asked = std::ranges::count(office.host.asked, "used@x.test");
    for (int day = 0; day < 60; ++day)
        turn(86400s);
    CHECK(std::ranges::count(office.host.asked, "used@x.test") <= asked + 1);
    office.host.held = true;
    CHECK(office.ask("used@x.test", 0ms).kind == Kind::in_progress);
    office.host.release();
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: the end waits for no clock, and asks about nobody any more")
{
    Office office(Office::in_memory());
    office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 ok"));
    office.desk.start();
    office.loop.poll();                                                     // its tasks wait
    SUBCASE("nothing is to be refreshed") {}
    SUBCASE("an address is")
    {
        office.ask("user@x.test");
        office.clock.advance(5 * 86400s);
        office.ask("user@x.test");                                          // in use in the second half of its time
        office.clock.advance(3 * 86400s);
    }
    office.loop.restart();
    office.loop.poll();
    bool closed = false;
    asio::co_spawn(office.loop, office.desk.close(), [&](std::exception_ptr) { closed = true; });
    for (int turn = 0; turn < 100 && !closed; ++turn) {
        office.loop.restart();
        office.loop.poll();
    }
    CHECK(closed);
    CHECK(office.desk.counts().ahead == 0);
    office.loop.restart();
    office.loop.run_for(5s);
}

TEST_CASE("desk: refreshes ahead keep to their rate, leave room for questions, rest after a failure, and can be off")
{
    for (const std::size_t rate : {60U, 6U, 0U}) {
        CAPTURE(rate);
        Options options = Office::in_memory();
        options.refresh_rate = rate;
        Office office(options);
        office.host.others = Finding(Kind::deliverable, "250 ok");
        const auto address = [](int i) { return "user" + std::to_string(i) + "@x.test"; };
        for (int i = 0; i < 100; ++i)
            office.ask(address(i));
        office.clock.advance(4 * 86400s);
        for (int i = 0; i < 100; ++i)
            office.ask(address(i));
        office.desk.refresh_ahead();
        CHECK(office.desk.counts().ahead == 0);
        office.clock.advance(4 * 86400s);
        office.desk.refresh_ahead();
        const auto burst = office.desk.counts().ahead;
        CHECK(burst == rate / 6);
        for (int i = 0; i < 60; ++i) {
            office.clock.advance(1s);
            office.desk.refresh_ahead();
        }
        CHECK(office.desk.counts().ahead <= burst + rate);
        CHECK(office.desk.counts().ahead + 1 >= burst + rate);
        run(office.loop, office.desk.close());
    }
    Options options = Office::in_memory();
    options.pending_limit = 4;
    Office office(options);
    office.host.others = Finding(Kind::deliverable, "250 ok");
    for (int i = 0; i < 8; ++i)
        office.ask("user" + std::to_string(i) + "@x.test");
    office.clock.advance(4 * 86400s);
    for (int i = 0; i < 8; ++i)
        office.ask("user" + std::to_string(i) + "@x.test");
    office.clock.advance(4 * 86400s);
    office.host.held = true;
    office.desk.refresh_ahead();
    CHECK(office.desk.counts().ahead == 2);                                 // half of the room is for questions
    office.host.others = Finding(Kind::deferred, "timeout");
    office.host.release();
    run(office.loop, sleep_for(1ms));
    CHECK(office.ask("user0@x.test").kind == Kind::deliverable);           // the failed refresh changes nothing, and is not repeated at once
    const auto probes = office.desk.counts().probes;
    CHECK(office.ask("user0@x.test").kind == Kind::deliverable);
    CHECK(office.desk.counts().probes == probes);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: the address behind an alias is known as well; who cannot be asked is deferred and not remembered")
{
    Office office;
    office.host.answers.emplace("sales@x.test", Finding(Kind::undeliverable, "550 no"));
    office.host.aliases.emplace("sales@x.test", "ann@y.test");
    CHECK(office.ask("sales@x.test").kind == Kind::undeliverable);
    CHECK(office.ask("ann@y.test").kind == Kind::undeliverable);
    CHECK(office.host.asked == std::vector<std::string>{"sales@x.test"});
    CHECK(office.ask("lost@x.test").text == "Address verification status unavailable");
    CHECK(office.ask("lost@x.test").kind == Kind::deferred);
    CHECK(office.host.asked.size() == 3);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: past the limit of pending probes the answer is a deferral, and nothing is stored of it")
{
    Options options = Office::in_memory();
    options.pending_limit = 1;
    Office office(options);
    office.host.held = true;
    office.host.answers.emplace("a@x.test", Finding(Kind::deliverable, "ok"));
    office.host.answers.emplace("b@x.test", Finding(Kind::deliverable, "ok"));
    CHECK(office.ask("a@x.test", 0ms).kind == Kind::in_progress);
    CHECK(office.ask("b@x.test", 0ms).text == "Too many address verification requests");
    office.host.release();
    run(office.loop, sleep_for(10ms));
    CHECK(office.ask("b@x.test").kind == Kind::deliverable);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: a refresh that fails is not repeated at every question; the good address stays good")
{
    Office office;
    office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 ok"));
    CHECK(office.ask("user@x.test").text == "250 ok");
    office.clock.advance(8 * 86400s);
    office.host.answers.insert_or_assign("user@x.test", Finding(Kind::deferred, "timeout"));
    for (int i = 0; i < 5; ++i) {
        CHECK(office.ask("user@x.test").text == "250 ok");
        run(office.loop, sleep_for(1ms));
    }
    CHECK(office.desk.counts().probes == 2);
    office.clock.advance(Desk::retry_pause);
    CHECK(office.ask("user@x.test").text == "250 ok");
    run(office.loop, sleep_for(1ms));
    CHECK(office.desk.counts().probes == 3);
    // Once it has expired, that pause does not make it unknown without a question.
    office.clock.advance(24 * 86400s);
    CHECK(office.ask("user@x.test").text == "timeout");
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: without a negative cache a failure is told to who waits, and asked anew the next time")
{
    Options options = Office::in_memory();
    options.rules.negative_cache = false;
    Office office(options);
    office.host.answers.emplace("bad@x.test", Finding(Kind::undeliverable, "550 no"));
    for (std::size_t i = 1; i <= 3; ++i) {
        CHECK(office.ask("bad@x.test").text == "550 no");
        CHECK(office.host.asked.size() == i);
    }
    office.host.answers.insert_or_assign("bad@x.test", Finding(Kind::deliverable, "250 ok"));
    office.ask("bad@x.test");
    CHECK(office.ask("bad@x.test").kind == Kind::deliverable);
    CHECK(office.host.asked.size() == 4);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: behind a good answer the domain is asked about a random address; who takes it is marked, said once, and still counts as verified")
{
    Office office;
    office.host.control = true;
    office.host.others = Finding(Kind::deliverable, "250 2.1.5 everybody");
    office.host.answers.emplace("bad@x.test", Finding(Kind::undeliverable, "550 no"));
    CHECK(office.ask("bad@x.test").kind == Kind::undeliverable);
    run(office.loop, sleep_for(1ms));
    CHECK(office.host.asked.size() == 1);                                   // one that refuses is no question
    for (const char* address : {"a@x.test", "b@x.test", "c@X.test"}) {
        CHECK(office.ask(address).kind == Kind::deliverable);
        run(office.loop, sleep_for(1ms));
    }
    REQUIRE(office.host.asked.size() == 5);                                 // three addresses, one control
    const std::string made_up = office.host.asked[2];
    CHECK(made_up.ends_with("@x.test"));
    CHECK(made_up.size() == 20 + std::string("@x.test").size());
    CHECK(office.desk.counts().controls == 1);
    REQUIRE(office.sink->lines.size() == 1);
    CHECK(office.sink->lines.front().starts_with("postfix/verify: verify-useless: x.test takes every recipient"));
    CHECK(office.desk.standing("a@x.test")->control->kind == Kind::deliverable);
    CHECK_FALSE(office.desk.standing("a@y.test")->control);
    CHECK_FALSE(office.desk.standing(made_up)->record);                      // it was never an address

    office.clock.advance(8 * 86400s);
    office.host.others = Finding(Kind::undeliverable, "550 5.1.1 no");
    office.host.answers.emplace("a@x.test", Finding(Kind::deliverable, "250 ok"));
    office.ask("a@x.test");
    run(office.loop, sleep_for(1ms));
    CHECK(office.sink->lines.size() == 2);
    CHECK(office.sink->lines.back().starts_with("postfix/verify: verify-useless no more: x.test"));
    CHECK(office.ask("a@x.test").kind == Kind::deliverable);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: a control question goes only where it may; what the rule file says needs none; a failing one changes nothing")
{
    Office office;
    office.host.others = Finding(Kind::deliverable, "250 ok");
    office.ask("a@x.test");
    run(office.loop, sleep_for(1ms));
    CHECK(office.host.asked.size() == 1);                                   // not one of address_verify_control_domains
    office.host.control = true;
    office.host.takes_all = true;
    office.ask("a@y.test");
    run(office.loop, sleep_for(1ms));
    CHECK(office.host.asked.size() == 2);
    CHECK(office.desk.standing("z@y.test")->control->kind == Kind::deliverable);
    office.host.takes_all = false;
    office.clock.advance(8 * 86400s);
    office.host.answers.emplace("b@y.test", Finding(Kind::deliverable, "250 ok"));
    office.host.others = Finding(Kind::deferred, "timeout");
    office.ask("b@y.test");
    run(office.loop, sleep_for(1ms));
    CHECK(office.desk.counts().controls == 1);
    CHECK(office.desk.standing("z@y.test")->control->kind == Kind::deliverable);
    run(office.loop, office.desk.close());
}

TEST_CASE("desk: where there was no room to ask, the reason is told and nothing is remembered; a waiting question is shown")
{
    Office office;
    office.host.no_room = "Too many address verification requests for this destination";
    const Finding refused = office.ask("a@x.test");
    CHECK(refused.kind == Kind::deferred);
    CHECK(refused.text == office.host.no_room);
    CHECK(office.sink->lines.empty());
    CHECK_FALSE(office.desk.standing("a@x.test")->record);
    office.host.no_room.clear();
    office.host.held = true;
    office.host.answers.emplace("a@x.test", Finding(Kind::deliverable, "250 ok"));
    CHECK(office.ask("a@x.test", 1ms).kind == Kind::in_progress);
    CHECK(office.desk.standing("a@x.test")->asked_since == office.clock.wall());
    CHECK(office.desk.standing("a@x.test")->waiting == 0);
    office.host.release();
    run(office.loop, sleep_for(1ms));
    CHECK_FALSE(office.desk.standing("a@x.test")->asked_since);
    CHECK(office.desk.standing("a@x.test")->record->kind == Kind::deliverable);
    run(office.loop, office.desk.close());
}
