#include "accounts/account.hpp"
#include "accounts/book.hpp"
#include "accounts/limits.hpp"

#include "base/clock.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::accounts;
using namespace std::chrono_literals;
using What = Ruling::What;

namespace {

struct World {
    HandClock clock;
    Book book{clock.wall()};
    std::vector<std::string> warnings;

    World() { book.configure({.watch = Watch::warn, .floor = 100}); }
    Ruling hand_in(std::uint32_t recipients = 1, std::string_view limits = {}, std::string_view client = "192.0.2.1",
                   std::string_view who = "login:bob")
    {
        Ruling ruling = book.hand_in({.account = who, .limits = limits, .client_address = client, .recipients = recipients}, clock.wall());
        warnings.insert(warnings.end(), ruling.warnings.begin(), ruling.warnings.end());
        return ruling;
    }
    /// `recipients` in one mail of each of these days.
    void days(int count, std::uint32_t recipients)
    {
        for (int day = 0; day < count; ++day) {
            REQUIRE(hand_in(recipients).what == What::take);
            clock.advance(24h);
        }
    }
    Result<handoff::Account> order(handoff::Account::Word word, std::chrono::microseconds lasts = {}, const char* who = "login:bob")
    {
        handoff::AccountOrder order;
        order.set_name(who);
        order.set_word(word);
        order.set_lasts(lasts.count());
        order.set_by("root");
        return book.order(order, clock.wall());
    }
    handoff::Account told(std::string_view who = "login:bob") const
    {
        auto all = book.tell(who, clock.wall());
        return all.empty() ? handoff::Account{} : all.front();
    }
};

}  // namespace

// ---- limits

TEST_CASE("accounts: words of limits")
{
    const auto limits = Limits::parse("recipients=200/h, recipients=2000/d messages=0/h,over=hold watch=no", Watch::warn);
    REQUIRE(limits);
    REQUIRE(limits->all.size() == 3);
    CHECK(limits->all[0].text() == "200 recipients within an hour");
    CHECK(limits->all[1].text() == "2000 recipients within a day");
    CHECK(limits->all[2].text() == "0 messages within an hour");
    CHECK(limits->over == Over::hold);
    CHECK(limits->watch == Watch::no);
    CHECK(Limits::parse("", Watch::hold)->watch == Watch::hold);
    CHECK(Limits::parse("over=reject", Watch::no)->over == Over::reject);
}

TEST_CASE("accounts: words of limits that are wrong are named")
{
    const auto error = [](std::string_view words) {
        const auto limits = Limits::parse(words, Watch::no);
        return limits ? std::string("none") : limits.error().text();
    };
    CHECK(error("recipients=200") == "recipients: \"200\" is no NUMBER/h or NUMBER/d");
    CHECK(error("recipients=x/h") == "recipients: \"x/h\" is no NUMBER/h or NUMBER/d");
    CHECK(error("messages=5/m") == "messages: \"5/m\" is no NUMBER/h or NUMBER/d");
    CHECK(error("messages=4294967296/h") == "messages: \"4294967296/h\" is no NUMBER/h or NUMBER/d");
    CHECK(error("over=drop") == "over: \"drop\" is none of defer, hold, reject");
    CHECK(error("watch=yes") == "watch: \"yes\" is none of no, warn, hold");
    CHECK(error("OK") == "\"OK\": none of recipients=NUMBER/h, messages=NUMBER/h (or /d), over=, watch=");
}

TEST_CASE("accounts: what is beyond a limit is put off, until the hour is over")
{
    World world;
    for (int mail = 0; mail < 3; ++mail)
        CHECK(world.hand_in(3, "recipients=10/h").what == What::take);
    CHECK(world.hand_in(1, "recipients=10/h").what == What::take);
    const Ruling ruling = world.hand_in(1, "recipients=10/h");
    CHECK(ruling.what == What::refuse);
    CHECK(ruling.status == "4.7.1");
    CHECK(ruling.text == "this account may send to no more than 10 recipients within an hour");
    // What was put off is not counted, and the log says once in an hour that it was.
    CHECK(world.hand_in(1, "recipients=10/h").what == What::refuse);
    CHECK(world.told().hour().recipients() == 10);
    REQUIRE(world.warnings.size() == 1);
    CHECK(world.warnings.front() == "account bob: beyond 10 recipients within an hour (account_limit_maps): it is put off");
    world.clock.advance(59min);
    CHECK(world.hand_in(1, "recipients=10/h").what == What::refuse);
    world.clock.advance(1min);
    CHECK(world.hand_in(10, "recipients=10/h").what == What::take);
    CHECK(world.book.done().put_off == 3);
}

TEST_CASE("accounts: a limit of a day, of messages, and what else may become of more")
{
    World world;
    for (int hour = 0; hour < 5; ++hour) {
        CHECK(world.hand_in(2, "messages=5/d over=hold").what == What::take);
        world.clock.advance(4h);
    }
    const Ruling held = world.hand_in(2, "messages=5/d over=hold");
    CHECK(held.what == What::hold);
    CHECK(held.text == "account bob: beyond 5 messages within a day");
    CHECK(world.told().day().messages() == 6);              // it is in the queue
    const Ruling refused = world.hand_in(2, "messages=5/d over=reject");
    CHECK(refused.status == "5.7.1");
    CHECK(refused.text == "this account may send no more than 5 messages within a day");
    world.clock.advance(24h);
    CHECK(world.hand_in(2, "messages=5/d over=reject").what == What::take);
}

TEST_CASE("accounts: a mail that is larger than its limit is refused, since it would be put off for ever")
{
    World world;
    CHECK(world.hand_in(11, "recipients=10/h").status == "5.7.1");
    CHECK(world.hand_in(10, "recipients=10/h").what == What::take);
}

TEST_CASE("accounts: limits that cannot be read hold nothing up, and are said once an hour")
{
    World world;
    CHECK(world.hand_in(1, "recipients=many").what == What::take);
    CHECK(world.hand_in(1, "recipients=many").what == What::take);
    REQUIRE(world.warnings.size() == 1);
    CHECK(world.warnings.front() == "account_limit_maps: account bob: recipients: \"many\" is no NUMBER/h or NUMBER/d; no limit holds");
}

// ---- counts

TEST_CASE("accounts: counts are of the last hour and of the last day")
{
    HandClock clock;
    accounts::Account account(clock.wall());
    std::vector<std::pair<WallTime, std::uint32_t>> all;
    for (std::uint32_t step = 1; step <= 400; ++step) {
        account.handed_in(step, "", clock.wall());
        all.emplace_back(clock.wall(), step);
        clock.advance(std::chrono::minutes{step % 17});
        const auto sum = [&](std::chrono::minutes back) {
            std::uint32_t total = 0;
            for (const auto& [when, count] : all)
                if (std::chrono::floor<std::chrono::minutes>(when) > std::chrono::floor<std::chrono::minutes>(clock.wall()) - back)
                    total += count;
            return total;
        };
        CHECK(account.within_hour(clock.wall()).recipients == sum(60min));
        // By the hour: at most what was handed in within 25 hours, at least that of 23.
        CHECK(account.within_day(clock.wall()).recipients <= sum(24h));
        CHECK(account.within_day(clock.wall()).recipients >= sum(23h));
        handoff::Account stored;
        account.store(stored);
        CHECK(stored.buckets_size() <= 60 + 26);
        CHECK(accounts::Account(stored).within_day(clock.wall()).recipients == account.within_day(clock.wall()).recipients);
    }
}

TEST_CASE("accounts: the busiest hour of the days before is what is usual; today is not among them")
{
    HandClock clock;
    accounts::Account account(clock.wall());
    for (std::uint32_t day = 0; day < 40; ++day) {
        account.handed_in(100 - day, "", clock.wall());
        account.handed_in(100 - day, "", clock.wall());
        clock.advance(2h);
        account.handed_in(1, "", clock.wall());
        clock.advance(22h);
    }
    CHECK(account.days_before(clock.wall()) == usual_days + 1);
    CHECK(account.usual_hour(clock.wall()) == 2 * (100 - 11));           // 29 days, today none
    account.handed_in(5000, "", clock.wall());
    CHECK(account.usual_hour(clock.wall()) == 2 * (100 - 12));
    CHECK(account.days_before(clock.wall()) == usual_days);
    clock.advance(24h);
    CHECK(account.usual_hour(clock.wall()) == 5000);
}

// ---- strange

TEST_CASE("accounts: many times what is usual is noticed, once")
{
    World world;
    world.days(5, 20);
    CHECK(world.hand_in(150).what == What::take);              // more than the floor, and not ten times
    CHECK(world.warnings.empty());
    CHECK(world.hand_in(51).what == What::take);
    REQUIRE(world.warnings.size() == 1);
    CHECK(world.warnings.front() ==
          "account bob: 201 recipients within an hour, 20 in the busiest hour of 5 days before: is it somebody else's mail? It is taken all the same "
          "(posthorn accounts)");
    world.hand_in(100);
    CHECK(world.warnings.size() == 1);
    CHECK(world.told().alarm_cause() == static_cast<std::uint32_t>(Cause::rate));
    // A day without it, and it is over; what comes then is noticed again.
    world.clock.advance(25h);
    world.hand_in(1);
    CHECK(world.told().alarm_cause() == 0);
    CHECK(world.book.done().alarms[static_cast<std::size_t>(Cause::rate)] == 1);
}

TEST_CASE("accounts: below the floor nothing is many")
{
    World world;
    world.days(5, 1);
    world.hand_in(100);
    CHECK(world.warnings.empty());
    world.hand_in(1);
    CHECK(world.warnings.size() == 1);
}

TEST_CASE("accounts: while the book is young everybody may be new; later a new account with much mail is noticed")
{
    World world;
    world.hand_in(5000);
    CHECK(world.warnings.empty());
    world.clock.advance(24h * 7);
    world.hand_in(101, {}, "192.0.2.1", "login:eve");
    REQUIRE(world.warnings.size() == 1);
    CHECK(world.warnings.front().starts_with("account eve: 101 recipients within an hour, of an account that has sent on 0 days before: "));
}

TEST_CASE("accounts: mail from many networks at once is noticed, unless they are known")
{
    World world;
    const auto client = [](int network) { return fmt::format("203.{}.7.7", network); };
    for (int network = 0; network < 5; ++network)
        world.hand_in(1, {}, client(network));
    CHECK(world.warnings.empty());
    world.hand_in(1, {}, client(5));
    REQUIRE(world.warnings.size() == 1);
    CHECK(world.warnings.front().starts_with("account bob: mail from 6 networks within an hour, 6 of them new: "));

    World known;
    for (int network = 0; network < 8; ++network) {
        known.hand_in(1, {}, client(network));
        known.clock.advance(1h);
    }
    for (int network = 0; network < 8; ++network)
        known.hand_in(1, {}, client(network));
    CHECK(known.warnings.empty());
    CHECK(network_of("2001:db8:1:2::3") == "2001:db8::/32");
    CHECK(network_of("192.0.2.7") == "192.0.0.0/16");
    CHECK(network_of("") == "");
}

TEST_CASE("accounts: much mail that comes back is noticed where it comes back")
{
    World world;
    world.hand_in(90);
    std::optional<std::string> line;
    for (int recipient = 0; recipient < 100; ++recipient)
        CHECK_FALSE(world.book.tried("login:bob", false, world.clock.wall()));
    for (int recipient = 0; recipient < 49; ++recipient)
        CHECK_FALSE(world.book.tried("login:bob", true, world.clock.wall()));
    line = world.book.tried("login:bob", true, world.clock.wall());
    REQUIRE(line);
    CHECK(line->starts_with("account bob: mail for 50 of 150 recipients within an hour was returned: "));
    // A third is a third, to the recipient.
    World close;
    close.hand_in(90);
    for (int recipient = 0; recipient < 152; ++recipient)
        CHECK_FALSE(close.book.tried("login:bob", recipient >= 102, close.clock.wall()));
    // Fewer than a third of many is no sign.
    World large;
    large.hand_in(90);
    for (int recipient = 0; recipient < 1000; ++recipient)
        CHECK_FALSE(large.book.tried("login:bob", recipient % 4 == 0, large.clock.wall()));
    CHECK_FALSE(large.book.tried("login:nobody", true, large.clock.wall()));
    CHECK(large.told("login:nobody").name().empty());
}

TEST_CASE("accounts: watch=hold puts it on hold until an operator says more; watch=no sees nothing")
{
    World world;
    world.book.configure({.watch = Watch::hold, .floor = 100});
    world.days(5, 1);
    const Ruling ruling = world.hand_in(101);
    CHECK(ruling.what == What::hold);
    CHECK(ruling.text == "account bob: 101 recipients within an hour, 1 in the busiest hour of 5 days before");
    REQUIRE(ruling.warnings.size() == 1);
    CHECK(ruling.warnings.front().ends_with("It is put on hold until an operator says more (posthorn accounts)"));
    world.clock.advance(24h * 3);
    CHECK(world.hand_in(1).what == What::hold);                // what looks quiet is what was held
    REQUIRE(world.order(handoff::Account::NONE));
    CHECK(world.hand_in(1).what == What::take);
    CHECK(world.hand_in(5000, "watch=no").what == What::take);
}

// ---- operators

TEST_CASE("accounts: an operator's word outvotes limits and what was noticed")
{
    World world;
    world.hand_in(1);
    REQUIRE(world.order(handoff::Account::HOLD));
    const Ruling held = world.hand_in(1);
    CHECK(held.what == What::hold);
    CHECK(held.text == "account bob: put on hold by root");
    REQUIRE(world.order(handoff::Account::REFUSE));
    const Ruling refused = world.hand_in(1);
    CHECK(refused.what == What::refuse);
    CHECK(refused.status == "5.7.1");
    CHECK(refused.text == "this account is suspended");
    CHECK(world.hand_in(1, {}, "192.0.2.1", "login:alice").what == What::take);
    REQUIRE(world.order(handoff::Account::ALLOW, 1h));
    CHECK(world.hand_in(50, "recipients=10/h").what == What::take);
    world.clock.advance(1h);
    CHECK(world.hand_in(50, "recipients=10/h").what == What::refuse);
    CHECK(world.told().word() == handoff::Account::NONE);
}

TEST_CASE("accounts: words of operators that are wrong are refused")
{
    World world;
    const auto error = [&](handoff::Account::Word word, std::chrono::microseconds lasts, const char* who) {
        const auto done = world.order(word, lasts, who);
        return done ? std::string("none") : done.error().text();
    };
    CHECK(error(handoff::Account::HOLD, {}, "bob") == "\"bob\" is no account: login:NAME or uid:NUMBER");
    CHECK(error(handoff::Account::HOLD, {}, "login:") == "\"login:\" is no account: login:NAME or uid:NUMBER");
    CHECK(error(handoff::Account::NONE, {}, "login:bob") == "nothing is known of account bob");
    CHECK(error(handoff::Account::ALLOW, {}, "login:bob") == "it is allowed everything for a time between a second and ten years");
    CHECK(error(handoff::Account::HOLD, {}, "login:bob") == "none");     // before it has sent anything
    handoff::AccountOrder forget;
    forget.set_name("login:bob");
    forget.set_forget(true);
    CHECK(world.book.order(forget, world.clock.wall()));
    CHECK(world.told().name().empty());
}

TEST_CASE("accounts: all of it outlives a restart")
{
    World world;
    world.days(4, 7);
    world.hand_in(200);
    REQUIRE(world.order(handoff::Account::HOLD, {}, "uid:33"));
    CHECK(world.book.changed());
    world.book.is_stored();
    CHECK_FALSE(world.book.changed());
    const handoff::StoredAccounts stored = world.book.stored();
    Book again(stored, world.clock.wall());
    CHECK(again.stored().SerializeAsString() == stored.SerializeAsString());
    CHECK(again.tell("login:bob", world.clock.wall()).front().SerializeAsString() == world.told().SerializeAsString());
    CHECK(again.hand_in({.account = "uid:33", .limits = {}, .client_address = {}, .recipients = 1}, world.clock.wall()).what == What::hold);
    CHECK(again.tell("login:bob", world.clock.wall()).front().alarm_cause() == static_cast<std::uint32_t>(Cause::rate));
}

TEST_CASE("accounts: there are no more than may be; those that were quiet longest go, and none that an operator named")
{
    World world;
    REQUIRE(world.order(handoff::Account::REFUSE, {}, "login:first"));
    for (std::size_t account = 0; account < most_accounts + 10; ++account) {
        world.clock.advance(1ms);
        world.hand_in(1, {}, "192.0.2.1", fmt::format("login:{}", account));
    }
    CHECK(world.book.numbers().known <= most_accounts);
    CHECK(world.book.numbers().known > most_accounts / 10 * 9);
    CHECK(world.book.numbers().refused == 1);
    CHECK(world.told("login:0").name().empty());
    CHECK_FALSE(world.told(fmt::format("login:{}", most_accounts + 9)).name().empty());
}
