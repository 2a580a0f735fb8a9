#include "inquiry/account_listing.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace posthorn;
using namespace posthorn::inquiry;
using handoff::Account;

namespace {

constexpr std::int64_t account_year = 1767225600'000000;

Account account_told()
{
    Account account;
    account.set_name("login:bob@a.test");
    account.set_since(account_year);
    account.set_last(account_year + 3600'000000LL);
    account.mutable_hour()->set_messages(3);
    account.mutable_hour()->set_recipients(640);
    account.mutable_hour()->set_tried(210);
    account.mutable_hour()->set_refused(98);
    account.mutable_day()->set_recipients(652);
    account.set_usual_hour(12);
    account.set_usual_days(9);
    handoff::AccountNetwork& network = *account.add_networks();
    network.set_network("192.0.0.0/16");
    network.set_first(account_year);
    network.set_last(account_year);
    return account;
}

}  // namespace

TEST_CASE("account words: what somebody says becomes a command; what is wrong is said, and nothing is asked")
{
    const auto made = account_command("allow", "login:bob", "2h", "a mailing", "root");
    REQUIRE(made);
    CHECK(made->verb() == handoff::QueueCommand::ACCOUNT_ORDER);
    CHECK(made->account_order().word() == Account::ALLOW);
    CHECK(made->account_order().lasts() == 7200'000000);
    CHECK(made->account_order().reason() == "a mailing");
    CHECK(account_command("allow", "login:bob", {}, {}, "root")->account_order().lasts() == 86400'000000);
    CHECK(account_command("hold", "uid:33", {}, {}, "root")->account_order().word() == Account::HOLD);
    CHECK(account_command("refuse", "uid:33", {}, {}, "root")->account_order().word() == Account::REFUSE);
    CHECK(account_command("resume", "uid:33", {}, {}, "root")->account_order().word() == Account::NONE);
    CHECK(account_command("forget", "uid:33", {}, {}, "root")->account_order().forget());
    CHECK(account_command("hold", "uid:33", "2h", {}, "root").error().text() == "a time is for allow alone: the others last until resume");
    CHECK(account_command("allow", "uid:33", "2", {}, "root").error().status() == "5.5.4");
}

TEST_CASE("accounts: as text, with what is known of one, and as JSON")
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    Account account = account_told();
    const Account* const shown[] = {&account};
    CHECK(account_table(shown) == "account     last hour      usual   last day       returned  state\n"
                                  "bob@a.test        640         12        652      98 of 210\n");
    CHECK(account_state(account).empty());
    account.set_alarm_cause(1);
    account.set_alarm_since(account_year);
    account.set_alarm("640 recipients\nwithin an hour");
    account.set_word(Account::HOLD);
    account.set_word_since(account_year);
    account.set_word_by("root");
    account.set_word_reason("stolen");
    CHECK(account_state(account) ==
          "on hold since 2026-01-01 00:00:00 by root: stolen; strange since 2026-01-01 00:00:00: 640 recipients?within an hour");
    CHECK(account_details(account) == R"(account bob@a.test
    state       on hold since 2026-01-01 00:00:00 by root: stolen; strange since 2026-01-01 00:00:00: 640 recipients?within an hour
    last hour   3 messages to 640 recipients; of 210 that were tried 98 came back
    last day    0 messages to 652 recipients; of 0 that were tried 0 came back
    usual       at most 12 recipients within an hour, on 9 days with mail
    known since 2026-01-01 00:00:00
    last mail   2026-01-01 01:00:00
    from        192.0.0.0/16, 2026-01-01 00:00:00 to 2026-01-01 00:00:00
)");
    CHECK(
        account_json(account) ==
        R"({"account": "login:bob@a.test", "user": null, "since": "2026-01-01T00:00:00Z", "last": "2026-01-01T01:00:00Z", )"
        R"("hour": {"messages": 3, "recipients": 640, "tried": 210, "refused": 98}, "day": {"messages": 0, "recipients": 652, "tried": 0, "refused": 0}, )"
        R"("usual_hour": 12, "usual_days": 9, "networks": [{"network": "192.0.0.0/16", "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z"}], )"
        R"("alarm": {"cause": "rate", "since": "2026-01-01T00:00:00Z", "text": "640 recipients\nwithin an hour"}, )"
        R"("order": {"order": "hold", "since": "2026-01-01T00:00:00Z", "until": null, "by": "root", "reason": "stolen"}})");
    Account fresh;
    fresh.set_name("uid:33");
    CHECK(account_json(fresh).find(R"("usual_hour": null, "usual_days": 0, "networks": [], "alarm": null, "order": null})") != std::string::npos);
    // Users of this machine have a name where somebody looks it up.
    const UserName user_name = [](std::uint32_t uid) { return uid == 33 ? std::string("www-data") : std::string(); };
    CHECK(account_json(fresh).starts_with(R"({"account": "uid:33", "user": null, )"));
    CHECK(account_json(fresh, user_name).starts_with(R"({"account": "uid:33", "user": "www-data", )"));
    CHECK(account_details(fresh, user_name).starts_with("account uid:33 (www-data)\n"));
    Account gone;
    gone.set_name("uid:34");
    const Account* const users[] = {&fresh, &gone, &account};
    const std::string table = account_table(users, user_name);
    CHECK(table.find("\nuid:33 (www-data)          0") != std::string::npos);
    CHECK(table.find("\nuid:34                     0") != std::string::npos);
    CHECK(account_json(account, user_name).starts_with(R"({"account": "login:bob@a.test", "user": null, )"));
    CHECK(account_details(fresh).find("usual       nothing: there was no day with mail before today") != std::string::npos);
}
