#include "peers/told.hpp"

#include "peers/book.hpp"
#include "peers/stored.hpp"

#include <doctest/doctest.h>

#include <map>

namespace posthorn::peers {

namespace {

using namespace std::chrono_literals;

const WallTime told_now{std::chrono::seconds{1'795'226'081}};
const PeerKey told_peer{"192.0.2.7", "va3.bridge.test", "smtp:bridge.test"};

Mark fault_of(Quirk quirk, WallTime last, std::uint64_t number = 0)
{
    Mark mark;
    mark.quirk = quirk;
    mark.convicted = true;
    mark.number = number;
    mark.sightings = 1;
    mark.first = mark.last = mark.since = mark.canary = last;
    mark.until = last + quirk_lifetime;
    mark.seen = "RSET QUIT: 221";
    return mark;
}

Record record_with(std::vector<Mark> marks)
{
    Record record;
    record.peer = told_peer;
    record.first = record.last = told_now;
    record.sessions = 3;
    record.marks = std::move(marks);
    return record;
}

const Mark* mark_of(const Record& record, Quirk quirk)
{
    const auto at = std::ranges::find(record.marks, quirk, &Mark::quirk);
    return at == record.marks.end() ? nullptr : &*at;
}

Word word_with(Quirk quirk, std::chrono::milliseconds age = 1h, std::chrono::milliseconds left = 24h, std::uint64_t number = 0)
{
    Word word;
    word.peer = told_peer;
    word.faults.push_back({quirk, number, "RSET QUIT: 221", age, left});
    return word;
}

Learned heard_by(Record record, const Word& word, WallTime now = told_now, WallTime forgotten = {})
{
    return hear(std::move(record), word, "mx2", forgotten, now);
}

struct AnyShelf final : Shelf {
    std::optional<Record> peer(const std::string& key) override { return records.contains(key) ? std::optional(records.at(key)) : std::nullopt; }
    std::optional<SiteRecord> site(const std::string& key) override { return sites.contains(key) ? std::optional(sites.at(key)) : std::nullopt; }
    std::optional<EarlyRecord> early(const std::string& key) override { return ways.contains(key) ? std::optional(ways.at(key)) : std::nullopt; }
    void keep(const std::string& key, const Record& record) override { records.insert_or_assign(key, record); }
    void keep(const std::string& key, const SiteRecord& record) override { sites.insert_or_assign(key, record); }
    void keep(const std::string& key, const EarlyRecord& record) override { ways.insert_or_assign(key, record); }
    void drop_peer(const std::string& key) override { records.erase(key); }
    std::optional<WallTime> forgotten(const std::string& name) override { return gone.contains(name) ? std::optional(gone.at(name)) : std::nullopt; }
    void keep_forgotten(const std::string& name, WallTime when) override { gone.insert_or_assign(name, when); }
    std::map<std::string, Record> records;
    std::map<std::string, SiteRecord> sites;
    std::map<std::string, EarlyRecord> ways;
    std::map<std::string, WallTime> gone;
};

}  // namespace

TEST_CASE("told: what a machine learned changes the plan of another that never met the server, and says who told it")
{
    const auto word = word_of(record_with({fault_of(Quirk::quit_alone, told_now - 2h)}), told_now);
    REQUIRE(word);
    const WallTime there = told_now + 400 * 24h;                    // whatever its clock says
    const auto [record, events] = heard_by({}, *word, there);
    CHECK(known_of(record, there).quirks == Quirks{Quirk::quit_alone});
    const Mark* mark = mark_of(record, Quirk::quit_alone);
    REQUIRE(mark);
    CHECK(mark->told_by == "mx2");
    CHECK(mark->last == there - 2h);
    CHECK(mark->until == there - 2h + quirk_lifetime);
    CHECK(record.sessions == 0);
    REQUIRE(events.size() == 1);
    CHECK(text_of(events[0]) == "peer va3.bridge.test[192.0.2.7]: told by mx2: quit-alone; QUIT now travels alone, until " + date_of(mark->until));
    CHECK(known_of(record, mark->until).quirks.empty());
    CHECK(record_of(octets_of(record)) == record);
}

TEST_CASE("told: nothing that was told is told on, and the same word again is no news")
{
    const Word word = word_with(Quirk::quit_alone);
    const Record record = heard_by({}, word).record;
    CHECK_FALSE(word_of(record, told_now));
    CHECK_FALSE(tells_more({}, record, told_now));
    const auto again = heard_by(record, word_with(Quirk::quit_alone, 1h + 3s), told_now + 5s);
    CHECK(again.record == record);
    CHECK(again.events.empty());
}

TEST_CASE("told: what a session from here shows is ours again, and is told")
{
    Record record = heard_by(record_with({}), word_with(Quirk::quit_alone)).record;
    const Record before = record;
    Observation seen;
    seen.peer = told_peer;
    seen.canary = Quirks{Quirk::quit_alone};
    seen.sightings.push_back({.quirk = Quirk::quit_alone, .kind = Sighting::Kind::signature, .seen = "RSET QUIT: 221"});
    const auto [after, events] = learn(record, seen, told_now + 20h);
    CHECK(mark_of(after, Quirk::quit_alone)->told_by.empty());
    CHECK(tells_more(before, after, told_now + 20h));
    CHECK(word_of(after, told_now + 20h)->faults.size() == 1);
    seen.sightings[0].kind = Sighting::Kind::suspicion;             // in a test, that is evidence too
    CHECK(mark_of(learn(before, seen, told_now + 20h).record, Quirk::quit_alone)->told_by.empty());
    seen.canary = {};
    CHECK(mark_of(learn(before, seen, told_now + 20h).record, Quirk::quit_alone)->told_by == "mx2");
}

TEST_CASE("told: the younger evidence wins, ours or theirs")
{
    const Record own = record_with({fault_of(Quirk::quit_alone, told_now - 1h)});
    CHECK(heard_by(own, word_with(Quirk::quit_alone, 2h)).record == own);
    const auto younger = heard_by(own, word_with(Quirk::quit_alone, 1min));
    CHECK(mark_of(younger.record, Quirk::quit_alone)->told_by == "mx2");
    CHECK(younger.events.empty());                                  // what is believed is the same
    // That it worked here since says more than an older word.
    Mark works;
    works.quirk = Quirk::data_alone;
    works.tally.with_ok = 5;
    works.worked = told_now - 1h;
    CHECK(heard_by(record_with({works}), word_with(Quirk::data_alone, 2h)).record == record_with({works}));
    CHECK(mark_of(heard_by(record_with({works}), word_with(Quirk::data_alone, 30min)).record, Quirk::data_alone)->convicted);
}

TEST_CASE("told: nothing lives longer than its own life, counted from when it was heard, whatever the word says")
{
    const auto until = [](const Word& word) {
        const auto record = heard_by({}, word).record;
        const Mark* mark = mark_of(record, Quirk::quit_alone);
        return mark ? mark->until : WallTime{};
    };
    CHECK(until(word_with(Quirk::quit_alone, 0h, 24h)) == told_now + 24h);
    CHECK(until(word_with(Quirk::quit_alone, 0h, 4000h)) == told_now + quirk_lifetime);
    CHECK(until(word_with(Quirk::quit_alone, 160h, 4000h)) == told_now - 160h + quirk_lifetime);
    CHECK(until(word_with(Quirk::quit_alone, 168h, 24h)) == WallTime{});
    CHECK(until(word_with(Quirk::quit_alone, 1h, 0h)) == WallTime{});
}

TEST_CASE("told: the class security is neither told nor heard, nor is helo-only where TLS works")
{
    for (const Quirk quirk : {Quirk::no_tls, Quirk::no_early, Quirk::verify_useless}) {
        CHECK_FALSE(word_of(record_with({fault_of(quirk, told_now)}), told_now));
        CHECK(heard_by({}, word_with(quirk)).record == Record{});
    }
    CHECK(mark_of(heard_by({}, word_with(Quirk::helo_only)).record, Quirk::helo_only));
    Record with_tls = record_with({});
    with_tls.tls_worked = told_now - 24h;
    CHECK(heard_by(with_tls, word_with(Quirk::helo_only)).record == with_tls);
    // Who tells it may also tell that TLS worked there.
    Word word = word_with(Quirk::helo_only);
    word.tls_worked = 48h;
    const Record record = heard_by({}, word).record;
    CHECK(record.marks.empty());
    CHECK(record.tls_worked == told_now - 48h);
}

TEST_CASE("told: a word whose number cannot be is no word")
{
    for (const auto& [quirk, number] : std::initializer_list<std::pair<Quirk, std::uint64_t>>{
             {Quirk::no_param, 0}, {Quirk::no_param, 16}, {Quirk::close_after, 0}, {Quirk::quit_alone, 1}, {Quirk::no_bdat_over, 5}})
        CHECK(heard_by({}, word_with(quirk, 1h, 24h, number)).record == Record{});
    CHECK(known_of(heard_by({}, word_with(Quirk::no_bdat, 1h, 24h, 65536)).record, told_now).quirks.bdat_over() == 65536);
}

TEST_CASE("told: a quirk that two tests found nothing of goes where it was told too, and an older word does not bring it back")
{
    Record here = heard_by(record_with({}), word_with(Quirk::quit_alone, 1h)).record;
    Record there = record_with({fault_of(Quirk::quit_alone, told_now - 1h)});
    Observation clean;
    clean.peer = told_peer;
    clean.canary = Quirks{Quirk::quit_alone};
    clean.sightings.push_back({.quirk = Quirk::quit_alone, .kind = Sighting::Kind::worked});
    const Record before = there;
    there = learn(learn(there, clean, told_now + 24h).record, clean, told_now + 48h).record;
    CHECK(there.marks.empty());
    CHECK(tells_more(before, there, told_now + 48h));
    const auto word = word_of(there, told_now + 48h);
    REQUIRE(word);
    const auto [record, events] = hear(here, *word, "mx1", {}, told_now + 48h);
    CHECK(record.marks.empty());
    REQUIRE(events.size() == 1);
    CHECK(text_of(events[0]) == "peer va3.bridge.test[192.0.2.7]: told by mx1: quit-alone is gone");
    CHECK_FALSE(word_of(record, told_now + 48h));                   // nor is that told on
    CHECK(heard_by(record, word_with(Quirk::quit_alone, 49h), told_now + 48h).record == record);
    CHECK_FALSE(heard_by(record, word_with(Quirk::quit_alone, 1s), told_now + 49h).record.marks.empty());
    // What was seen here since stays.
    const Record own = record_with({fault_of(Quirk::quit_alone, told_now + 61h)});
    CHECK(mark_of(hear(own, *word, "mx1", {}, told_now + 61h).record, Quirk::quit_alone));
}

TEST_CASE("told: limits stand beside those met here; the younger number counts, and none of it is told on")
{
    Record there = record_with({});
    there.limits = {.recipients_per_mail = 50, .sessions = 3};
    there.limits_until = told_now + 24h;
    const auto word = word_of(there, told_now);
    REQUIRE(word);
    CHECK(word->limits == Limits{.recipients_per_mail = 50});       // how many sessions depends on who asks
    Record here = record_with({});
    here.limits = {.recipients_per_mail = 20, .errors_per_session = 7};
    here.limits_until = told_now + 12h;
    const Record record = heard_by(here, *word).record;
    CHECK(known_of(record, told_now).limits == Limits{.recipients_per_mail = 50, .errors_per_session = 7});
    CHECK(word_of(record, told_now)->limits == Limits{.recipients_per_mail = 20, .errors_per_session = 7});
    CHECK(known_of(record, told_now + 13h).limits == Limits{.recipients_per_mail = 50});
    CHECK(known_of(record, told_now + 24h).limits == Limits{});
    here.limits_until = told_now + 48h;
    CHECK(known_of(heard_by(here, *word).record, told_now).limits.recipients_per_mail == 20);
}

TEST_CASE("told: a way that loses large segments is known beside it, for its own life")
{
    PathRecord there;
    CHECK(note_path(there, {.lost = 1448}, told_now) == PathNews::suspected);
    CHECK_FALSE(word_of("192.0.2.7", there, told_now));             // a suspicion is not told
    CHECK(note_path(there, {.small = true, .arrived = true}, told_now) == PathNews::learned);
    const auto word = word_of("192.0.2.7", there, told_now + 1h);
    REQUIRE(word);
    PathRecord here;
    REQUIRE(hear(here, *word, "mx2", {}, told_now));
    CHECK(small_segments(here, told_now + PathRecord::sure_for - 2h));
    CHECK_FALSE(small_segments(here, told_now + PathRecord::sure_for - 1h));
    CHECK_FALSE(word_of("192.0.2.7", here, told_now));
    CHECK_FALSE(hear(here, *word, "mx3", {}, told_now));
}

TEST_CASE("told: a book plans by what it heard, stores it, says what it has to tell, and does not take back what an operator had forgotten")
{
    HandClock clock;
    AnyShelf shelf;
    Book here(clock, {}, nullptr, &shelf), there(clock, {});
    std::vector<std::string> to_tell, lines;
    there.on_word = [&](const std::string& key) { to_tell.push_back(key); };
    here.on_word = [](const std::string&) { FAIL("what was told is not told on"); };
    here.on_event = [&](const Event& event) { lines.push_back(text_of(event)); };
    Observation seen;
    seen.peer = told_peer;
    seen.sightings.push_back({.quirk = Quirk::quit_alone, .kind = Sighting::Kind::signature, .seen = "RSET QUIT: 221"});
    there.take(seen);
    there.take(seen);                                               // once more is no more to tell
    REQUIRE(to_tell.size() == 1);
    const auto word = there.word(to_tell[0]);
    REQUIRE(word);
    CHECK(here.hear(*word, "mx2"));
    CHECK_FALSE(here.hear(*word, "mx2"));
    CHECK(lines.size() == 1);
    CHECK(here.about({.peer = told_peer}).quirks == Quirks{Quirk::quit_alone});
    CHECK(known_of(shelf.records.at(key_of(told_peer)), clock.wall()).quirks == Quirks{Quirk::quit_alone});
    clock.advance(1s);
    CHECK(here.forget(key_of(told_peer)));
    CHECK_FALSE(here.hear(*there.word(to_tell[0]), "mx2"));
    CHECK(here.about({.peer = told_peer}).quirks.empty());
    Book again(clock, {}, nullptr, &shelf);                          // nor after a restart
    CHECK_FALSE(again.hear(*there.word(to_tell[0]), "mx2"));
    clock.advance(1h);                                              // what is seen there after that is news
    Observation later = seen;
    later.when = clock.wall();
    there.take(later);
    CHECK(here.hear(*there.word(to_tell[0]), "mx2"));
    clock.advance(1s);
    here.forgot_all();
    Book empty(clock, {});
    empty.forgot_all();
    CHECK_FALSE(empty.hear(*there.word(to_tell[0]), "mx2"));
}

}  // namespace posthorn::peers
