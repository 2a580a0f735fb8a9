#include "verify/told.hpp"

#include "verify/office_test.hpp"

#include <doctest/doctest.h>

namespace posthorn::verify {

namespace {

Told told_good(std::string key = "user@there.test", std::chrono::milliseconds age = 1h)
{
    return {std::move(key), Kind::deliverable, "250 2.1.5 Ok", age};
}
Told told_bad(std::chrono::milliseconds age = 1h) { return {"user@there.test", Kind::undeliverable, "host mx said: 550 5.1.1 unknown", age}; }

}  // namespace

TEST_CASE("told: who told it stands in the cache, behind a text that cannot have that octet, and is not told on")
{
    const auto record = heard(std::nullopt, told_good(), "mx2", then, rules);
    REQUIRE(record);
    CHECK(record->updated == then - 1h);
    const auto read = parse(to_text(*record));
    REQUIRE(read);
    CHECK(read->told_by == "mx2");
    CHECK(read->text == "250 2.1.5 Ok");
    CHECK(to_text(*read) == to_text(*record));
    CHECK_FALSE(told_of("user@there.test", *record, then, rules));
    CHECK(parse(to_text(Record(Kind::undeliverable, then, "x\x1fmx2")))->told_by.empty());
}

TEST_CASE("told: what our own probes found is told, but not what may be due to the moment or to who asks")
{
    CHECK(told_of("user@there.test", Record(Kind::deliverable, then - 1h, "ok"), then, rules) ==
          Told{"user@there.test", Kind::deliverable, "ok", 1h});
    CHECK(told_of("user@there.test", Record(Kind::undeliverable, then, "550 5.1.1 unknown"), then, rules));
    CHECK_FALSE(told_of("user@there.test", Record(Kind::deferred, then, "450 4.2.0 greylisted"), then, rules));
    CHECK_FALSE(told_of("user@there.test", Record(Kind::undeliverable, then, "host mx said: 550 5.7.1 192.0.2.1 is listed"), then, rules));
    CHECK_FALSE(told_of("user@there.test", Record(Kind::deliverable, then - 32 * 24h, "ok"), then, rules));
    CHECK_FALSE(told_of("control:there.test", Record(Kind::deliverable, then, "ok"), then, rules));
}

TEST_CASE("told: the younger word wins, and a good address stays good until it expires")
{
    const auto own = [](Kind kind, std::chrono::seconds age) { return std::optional(Record(kind, then - age, "own")); };
    CHECK_FALSE(heard(own(Kind::deliverable, 30min), told_good(), "mx2", then, rules));
    CHECK(heard(own(Kind::deliverable, 2h), told_good(), "mx2", then, rules));
    CHECK_FALSE(heard(own(Kind::undeliverable, 30min), told_good(), "mx2", then, rules));
    CHECK(heard(own(Kind::undeliverable, 2h), told_good(), "mx2", then, rules)->kind == Kind::deliverable);
    CHECK_FALSE(heard(own(Kind::deliverable, 2h), told_bad(), "mx2", then, rules));
    CHECK(heard(own(Kind::deliverable, 32 * 86400s), told_bad(), "mx2", then, rules)->kind == Kind::undeliverable);
    CHECK(heard(own(Kind::deferred, 30min), told_good(), "mx2", then, rules));          // it was put off: that says nothing against it
    CHECK_FALSE(heard(own(Kind::deferred, 30min), told_bad(), "mx2", then, rules));
    CHECK_FALSE(heard(std::nullopt, told_good("user@there.test", 32 * 24h), "mx2", then, rules));
    CHECK_FALSE(heard(std::nullopt, told_bad(4 * 24h), "mx2", then, rules));
}

TEST_CASE("told: an address that a sibling verified is answered without a probe, and counts no longer than it would there")
{
    Office office;
    CHECK(office.desk.hear(told_good(), "mx2"));
    CHECK_FALSE(office.desk.hear(told_good(), "mx2"));
    CHECK(office.ask("user@there.test").kind == Kind::deliverable);
    CHECK(office.host.asked.empty());
    CHECK(office.desk.standing("user@there.test")->record->told_by == "mx2");
    CHECK_FALSE(office.desk.word("user@there.test"));
    office.clock.advance(31 * 24h - 30min);
    office.host.others = Finding(Kind::deferred, "busy");
    CHECK(office.ask("user@there.test").kind == Kind::deferred);
    CHECK(office.host.asked.size() == 1);
}

TEST_CASE("told: what a probe found is told, that it begins and that it has nothing to tell too")
{
    Office office;
    std::vector<std::string> said;
    office.desk.on_word = [&](const std::string& key) { said.push_back("word " + key); };
    office.desk.on_asking = [&](const std::string& key, bool over) { said.push_back((over ? "over " : "asking ") + key); };
    office.host.answers.emplace("good@there.test", Finding(Kind::deliverable, "ok"));
    office.host.answers.emplace("busy@there.test", Finding(Kind::deferred, "busy"));
    (void)office.ask("good@there.test");
    (void)office.ask("busy@there.test");
    CHECK(said == std::vector<std::string>{"asking good@there.test", "word good@there.test", "asking busy@there.test", "over busy@there.test"});
    const auto all = run(office.loop, office.desk.words(10));
    REQUIRE(all);
    REQUIRE(all->size() == 1);
    CHECK((*all)[0].key == "good@there.test");
}

TEST_CASE("told: a question waits for a sibling that asks already, for half its patience; then it asks itself")
{
    Office office;
    office.host.others = Finding(Kind::deliverable, "ours");
    office.desk.asked_elsewhere("user@there.test", "mx2", false);
    std::optional<Finding> answer;
    asio::co_spawn(
        office.loop,
        [](Desk& desk, std::optional<Finding>& out) -> awaitable<void> { out = co_await desk.ask("user@there.test", 10s); }(office.desk, answer),
        asio::detached);
    office.loop.run_for(100ms);
    CHECK_FALSE(answer);
    CHECK(office.host.asked.empty());
    CHECK(office.desk.hear(told_good(), "mx2"));
    run_until(office.loop, [&] { return answer.has_value(); });
    CHECK(answer->text == "250 2.1.5 Ok");
    CHECK(office.host.asked.empty());
    // Half of it is over, the sibling has nothing to tell, or is away.
    office.desk.asked_elsewhere("b@there.test", "mx2", false);
    CHECK(office.ask("b@there.test", 200ms).text == "ours");
    const auto asked_after = [&](const std::string& address, const std::function<void()>& what) {
        std::optional<Finding> found;
        office.desk.asked_elsewhere(address, "mx2", false);
        asio::co_spawn(
            office.loop,
            [](Desk& desk, std::string asked, std::optional<Finding>& out) -> awaitable<void> { out = co_await desk.ask(asked, 1h); }(office.desk,
                                                                                                                                      address, found),
            asio::detached);
        office.loop.run_for(50ms);
        CHECK_FALSE(found);
        what();
        run_until(office.loop, [&] { return found.has_value(); });
        CHECK(found->text == "ours");
    };
    asked_after("c@there.test", [&] { office.desk.asked_elsewhere("c@there.test", "mx2", true); });
    asked_after("d@there.test", [&] { office.desk.away("mx2"); });
    CHECK(office.host.asked.size() == 3);
}

TEST_CASE("told: what is told at the beginning comes out of the file, the youngest where there is too much")
{
    Folder folder;
    Office office(folder.options());
    office.host.others = Finding(Kind::deliverable, "ok");
    for (const std::string name : {"a@there.test", "b@there.test", "c@there.test"}) {
        (void)office.ask(name);
        office.clock.advance(1h);
    }
    CHECK(office.desk.hear(told_good("told@there.test", 0h), "mx2"));
    run(office.loop, office.desk.close());                          // writes
    const auto youngest = run(office.loop, office.desk.words(2));
    REQUIRE(youngest);
    std::vector<std::string> keys;
    for (const Told& told : *youngest)
        keys.push_back(told.key);
    std::ranges::sort(keys);
    CHECK(keys == std::vector<std::string>{"b@there.test", "c@there.test"});
}

}  // namespace posthorn::verify
