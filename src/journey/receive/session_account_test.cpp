#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::string_view account_mail = "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n";

struct AccountHouse : House {
    AccountHouse()
        : House(options_of({{"smtpd_authorized_xclient_hosts", "192.0.2.1"},
                            {"smtpd_sasl_auth_enable", "yes"},
                            {"smtpd_sasl_path", "private/nobody"},
                            {"smtpd_sasl_exceptions_networks", "0.0.0.0/0"}}))
    {
        account_limits = [this](std::string login) { return limits_of(std::move(login)); };
    }
    awaitable<Result<std::string>> limits_of(std::string login)
    {
        asked.push_back(std::move(login));
        co_return limits;
    }
    std::vector<std::string> asked;
    Result<std::string> limits = std::string("recipients=5/h");
};

void log_in(Talk& talk)
{
    REQUIRE(talk("XCLIENT LOGIN=bob").starts_with("220"));
    REQUIRE(talk("EHLO c.test").starts_with("250"));
}

}  // namespace

TEST_CASE("account: who authenticated answers for the mail, and what is said of them goes with it; who did not has none")
{
    AccountHouse house;
    Talk talk(house);
    REQUIRE(talk("EHLO c.test").starts_with("250"));
    REQUIRE(talk.send(account_mail).find("354") != std::string::npos);
    CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 Ok: queued"));
    CHECK(house.queue.stored.back().first.account().empty());
    CHECK(house.asked.empty());
    log_in(talk);
    REQUIRE(talk.send(account_mail).find("354") != std::string::npos);
    CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 Ok: queued"));
    CHECK(house.queue.stored.back().first.account() == "login:bob");
    CHECK(house.queue.stored.back().first.account_limits() == "recipients=5/h");
    CHECK(house.asked == std::vector<std::string>{"bob"});
}

TEST_CASE("account: what the queue does not take from it is refused in its words, and is no trouble of ours")
{
    for (const bool chunk : {false, true})
        for (const auto& [status, code] : {std::pair{"4.7.1", "450"}, {"5.7.1", "554"}}) {
            CAPTURE(chunk);
            AccountHouse house;
            Talk talk(house);
            log_in(talk);
            house.queue.failure = Error{"this account is suspended", status};
            const std::string expected = std::string(code) + " " + status + " Error: this account is suspended\r\n";
            if (chunk) {
                const std::string replies =
                    talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nBDAT 15 LAST\r\nSubject: x\r\n\r\nxNOOP\r\n");
                CHECK(replies.ends_with(expected + "250 2.0.0 Ok\r\n"));
            } else {
                REQUIRE(talk.send(account_mail).find("354") != std::string::npos);
                CHECK(talk("Subject: x\r\n\r\nx\r\n.") == expected);
            }
            CHECK(has(house.whole_log(), ": reject: END-OF-MESSAGE from "));
            CHECK_FALSE(has(house.whole_log(), "warning: "));
            house.queue.failure.reset();
            CHECK(talk.send(account_mail).find("354") != std::string::npos);
        }
}

TEST_CASE("account: limits that are not known now put the mail off")
{
    AccountHouse house;
    house.limits = Error{"table away", "4.3.0"};
    Talk talk(house);
    log_in(talk);
    REQUIRE(talk.send(account_mail).find("354") != std::string::npos);
    CHECK(talk("Subject: x\r\n\r\nx\r\n.") == "451 4.3.0 Temporary lookup failure\r\n");
    CHECK(house.queue.stored.empty());
}
