#include "trials/book.hpp"

#include "base/strings.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

using namespace posthorn;
using namespace posthorn::trials;
using handoff::TrialsCommand;
using handoff::TrialSeen;
using namespace std::chrono_literals;

namespace {

TrialSeen seen_in(TrialSeen::Outcome outcome, std::string client = "mx.stranger.test", std::string reply = "450 4.7.25 Client host rejected",
                  std::string tried = "reject_unknown_client_hostname")
{
    TrialSeen seen;
    seen.set_tried(std::move(tried));
    seen.set_outcome(outcome);
    seen.set_count(1);
    seen.set_whom(std::move(client));
    seen.set_host("192.0.2.7");
    seen.set_reason(std::move(reply));
    seen.mutable_sample()->set_recipient("user@example.test");
    return seen;
}

TrialSeen seen_out(TrialSeen::Outcome outcome, std::string whom = "there.test", std::string reason = "no TLSA records found")
{
    TrialSeen seen;
    seen.set_out(true);
    seen.set_tried("dane-only");
    seen.set_outcome(outcome);
    seen.set_count(1);
    seen.set_whom(std::move(whom));
    seen.set_host("mx.there.test");
    seen.set_reason(std::move(reason));
    return seen;
}

TrialsCommand asking(TrialsCommand::Direction direction, std::vector<std::string> words = {})
{
    TrialsCommand made;
    made.set_direction(direction);
    for (std::string& word : words)
        made.add_words(std::move(word));
    return made;
}

}  // namespace

TEST_CASE("book: what was judged is counted by what came of it, and who would have been refused is listed with samples, the last one first")
{
    HandClock clock;
    Book book(clock);
    CHECK_FALSE(book.changed());
    for (int i = 0; i < 3; ++i)
        book.take(seen_in(TrialSeen::PASSED));
    for (int i = 0; i < 7; ++i) {
        clock.advance(1s);
        TrialSeen one = seen_in(TrialSeen::REFUSED);
        one.mutable_sample()->set_queue_id(std::to_string(i));
        book.take(std::move(one));
    }
    book.take(seen_in(TrialSeen::REFUSED, "mail.other.test"));
    CHECK(book.changed());
    const auto told = book.tell();
    REQUIRE(told.trials_size() == 1);
    const handoff::Trial& trial = told.trials(0);
    CHECK_FALSE(trial.out());
    CHECK(trial.tried() == "reject_unknown_client_hostname");
    CHECK(sum_of(trial).passed() == 3);
    CHECK(sum_of(trial).refused() == 8);
    CHECK(sum_of(trial).unknown() == 0);
    REQUIRE(trial.entries_size() == 2);
    CHECK(trial.entries(0).whom() == "stranger.test");
    CHECK(trial.entries(0).count() == 7);
    CHECK(trial.entries(0).last() - trial.entries(0).first() == 6'000'000);
    REQUIRE(trial.entries(0).samples_size() == 5);
    CHECK(trial.entries(0).samples(0).queue_id() == "6");
    CHECK(trial.entries(0).samples(4).queue_id() == "2");
    CHECK(trial.entries(1).whom() == "other.test");
}

TEST_CASE("book: what cannot be judged is not known, never refused, and stands behind what is")
{
    HandClock clock;
    Book book(clock);
    for (int i = 0; i < 4; ++i)
        book.take(seen_out(TrialSeen::UNKNOWN, "there.test", "TLSA lookup error"));
    book.take(seen_out(TrialSeen::UNHELD));
    book.take(seen_out(TrialSeen::PASSED));
    book.take(seen_out(TrialSeen::REFUSED));
    const auto told = book.tell();
    REQUIRE(told.trials_size() == 1);
    const auto sum = sum_of(told.trials(0));
    CHECK(sum.passed() == 2);
    CHECK(sum.unheld() == 1);
    CHECK(sum.refused() == 1);
    CHECK(sum.unknown() == 4);
    REQUIRE(told.trials(0).entries_size() == 2);
    CHECK_FALSE(told.trials(0).entries(0).unknown());
    CHECK(told.trials(0).entries(1).unknown());
    CHECK(told.trials(0).entries(1).count() == 4);
}

TEST_CASE("book: entries and trials of each direction are bounded, and those that were seen last longest ago go")
{
    HandClock clock;
    BookLimits limits;
    limits.trials = 2;
    limits.entries = 3;
    limits.octets = 20;
    Book book(clock, limits);
    book.take(seen_out(TrialSeen::REFUSED));
    for (int i = 0; i < 5; ++i) {
        clock.advance(1s);
        book.take(seen_in(TrialSeen::REFUSED, fmt::format("a.b{}.test", i), "554 no", "reject"));
    }
    clock.advance(1s);
    book.take(seen_in(TrialSeen::REFUSED, "a.b2.test", "554 no", "reject"));
    book.take(seen_in(TrialSeen::REFUSED, "a.b5.test", "554 no", "reject"));
    auto told = book.tell(asking(TrialsCommand::IN));
    REQUIRE(told.trials_size() == 1);
    CHECK(told.trials(0).left_out() == 3);
    CHECK(sum_of(told.trials(0)).refused() == 7);
    std::set<std::string> whom;
    for (const auto& entry : told.trials(0).entries())
        whom.insert(entry.whom());
    CHECK(whom == std::set<std::string>{"b2.test", "b4.test", "b5.test"});
    CHECK(book.tell(asking(TrialsCommand::OUT)).trials(0).entries_size() == 1);
    for (const char* const tried : {"one", "two"}) {
        clock.advance(1s);
        book.take(seen_in(TrialSeen::PASSED, "", "", tried));
    }
    told = book.tell(asking(TrialsCommand::IN));
    REQUIRE(told.trials_size() == 2);
    CHECK(told.trials(0).tried() == "one");
    CHECK(told.trials(1).tried() == "two");
    book.take(seen_out(TrialSeen::REFUSED, std::string(1'000, 'x')));
    for (const auto& trial : book.store().trials())
        for (const auto& entry : trial.entries())
            CHECK(entry.whom().size() <= 20);
}

TEST_CASE("book: after fourteen days without another one it is gone, counts by days")
{
    HandClock clock;
    Book book(clock);
    book.take(seen_in(TrialSeen::REFUSED));
    clock.advance(24h * 13);
    book.take(seen_in(TrialSeen::REFUSED, "mail.other.test"));
    CHECK(sum_of(book.tell().trials(0)).refused() == 2);
    clock.advance(24h * 2);
    REQUIRE(book.tell().trials_size() == 1);
    CHECK(sum_of(book.tell().trials(0)).refused() == 1);
    REQUIRE(book.tell().trials(0).entries_size() == 1);
    CHECK(book.tell().trials(0).entries(0).whom() == "other.test");
    CHECK(book.store().trials(0).entries_size() == 1);
    clock.advance(24h * 13);
    CHECK(book.tell().trials_size() == 0);
    CHECK(book.store().trials_size() == 0);
}

TEST_CASE("book: what is asked for is a direction, a time, and words")
{
    HandClock clock;
    Book book(clock);
    book.take(seen_in(TrialSeen::REFUSED));
    book.take(seen_in(TrialSeen::REFUSED, "mail.other.test"));
    clock.advance(24h * 3);
    book.take(seen_out(TrialSeen::REFUSED));
    CHECK(book.tell().trials_size() == 2);
    CHECK(book.tell(asking(TrialsCommand::IN)).trials(0).entries_size() == 2);
    CHECK(book.tell(asking(TrialsCommand::OUT)).trials(0).tried() == "dane-only");
    CHECK(book.tell(asking(TrialsCommand::BOTH, {"Other"})).trials(0).entries_size() == 1);
    CHECK(book.tell(asking(TrialsCommand::BOTH, {"Other"})).trials_size() == 1);
    CHECK(book.tell(asking(TrialsCommand::BOTH, {"other", "dane"})).trials_size() == 2);
    CHECK(book.tell(asking(TrialsCommand::BOTH, {"hostname"})).trials(0).entries_size() == 2);
    CHECK(book.tell(asking(TrialsCommand::BOTH, {"nobody"})).trials_size() == 0);
    auto lately = asking(TrialsCommand::BOTH);
    lately.set_since((clock.wall() - 24h).time_since_epoch().count());
    REQUIRE(book.tell(lately).trials_size() == 1);
    CHECK(book.tell(lately).trials(0).out());
}

TEST_CASE("book: what was stored is there again, in the bounds of now; a time that is ahead is now; what is forgotten is stored as nothing")
{
    HandClock clock;
    Book book(clock);
    book.take(seen_in(TrialSeen::REFUSED));
    book.take(seen_in(TrialSeen::PASSED));
    book.take(seen_out(TrialSeen::UNKNOWN));
    const auto stored = book.store();
    CHECK_FALSE(book.changed());
    Book other(clock);
    other.restore(stored);
    CHECK_FALSE(other.changed());
    CHECK(other.tell().SerializeAsString() == book.tell().SerializeAsString());
    HandClock earlier;
    earlier.step_wall(-24h * 100);
    Book before(earlier);
    before.restore(stored);
    REQUIRE(before.tell().trials_size() == 2);
    CHECK(before.tell().trials(0).entries(0).last() == earlier.wall().time_since_epoch().count());
    CHECK(sum_of(before.tell().trials(0)).passed() == 1);
    BookLimits narrow;
    narrow.entries = 0;
    Book small(clock, narrow);
    small.restore(stored);
    CHECK(small.entries() == 0);
    book.forget();
    CHECK(book.changed());
    CHECK(book.tell().trials_size() == 0);
    CHECK(book.store().trials_size() == 0);
}

TEST_CASE("book: what says nothing of what was tried, or how often, is not kept")
{
    HandClock clock;
    Book book(clock);
    book.take(TrialSeen{});
    TrialSeen none = seen_in(TrialSeen::REFUSED);
    none.set_count(0);
    book.take(std::move(none));
    CHECK_FALSE(book.changed());
    CHECK(book.tell().trials_size() == 0);
}
