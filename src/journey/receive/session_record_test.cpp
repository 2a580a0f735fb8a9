#include "receive/session_record.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::array all_classes{"policy", "protocol", "data", "resource", "software", "bounce"};

/// What is said after EHLO, one line each, and how it is left.
std::vector<handoff::SessionNotice> told(const std::string& classes, const std::vector<std::string>& lines,
                                         const std::function<void(House&)>& prepare = nullptr,
                                         std::vector<std::pair<std::string, std::string>> more = {})
{
    more.emplace_back("notify_classes", classes);
    House house(options_of(std::move(more)));
    if (prepare)
        prepare(house);
    {
        Talk talk(house);
        talk("EHLO client.test");
        for (const std::string& line : lines)
            talk(line);
    }
    return house.postmaster.told;
}

/// "\r\n" may be part of a line: content.
const std::string message = "Subject: x\r\n\r\nbody\r\n.";

}  // namespace

TEST_CASE("postmaster: a session is told of by the class of its worst replies, and by no other")
{
    const std::string mail = "MAIL FROM:<a@b.test>", rcpt = "RCPT TO:<user@example.test>";
    struct Row {
        std::string classes;
        std::vector<std::string> lines;
        std::function<void(House&)> prepare = nullptr;
        std::vector<std::pair<std::string, std::string>> settings{};
    };
    const std::vector<Row> rows = {
        {"", {mail, rcpt, "DATA", message}},
        {"policy", {mail, "RCPT TO:<u@elsewhere.test>"}},
        {"policy", {mail, "RCPT TO:<nobody@example.test>"}},
        {"policy", {"MAIL FROM:<a@b.test> SIZE=99999999999"}},
        {"policy", {"XCLIENT NAME=x"}},
        {"policy", {"VRFY user@example.test"}, nullptr, {{"disable_vrfy_command", "yes"}}},
        {"policy", {mail, rcpt, "DATA", "X-Bad: yes\r\n" + message}},
        {"bounce", {mail, rcpt, "DATA", "X-Loop: yes\r\n" + message}},
        {"bounce", {mail, rcpt, "DATA", "X-Round: yes\r\n" + message}},
        {"bounce", {mail, rcpt, "DATA", std::string(4000, 'x') + "\r\n."}, nullptr, {{"message_size_limit", "2000"}}},
        {"protocol", {"FOO"}},
        {"protocol", {"DATA"}},
        {"protocol", {mail, mail}},
        {"protocol", {"MAIL FROM:<"}},
        {"protocol", {"MAIL FROM:<a@b> FOO=x"}},
        {"protocol", {mail, "RCPT TO:<>"}},
        {"protocol", {"AUTH PLAIN AGEAYg=="}},
        {"protocol", {"\x80"}},
        {"protocol policy", {"FOO", mail, "RCPT TO:<u@elsewhere.test>"}},
        {"", {mail, "DATA"}},
        {"", {"GET / HTTP/1.0"}},
        {"", {"FOO", mail, rcpt, "DATA", message}},                            // it came right
        {"protocol", {mail, rcpt, "DATA", message, "FOO"}},
        {"data", {mail, "RCPT TO:<user@fail.test>"}},
        {"resource", {mail, rcpt, "DATA", message}, [](House& house) { house.queue.failure = Error{"disk full", "4.3.0"}; }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.lines.back().substr(0, 60));
        for (const char* const each : all_classes) {
            CAPTURE(each);
            CHECK(told(each, row.lines, row.prepare, row.settings).size() == (row.classes.find(each) != std::string::npos ? 1 : 0));
        }
    }
}

TEST_CASE("postmaster: what is told is what was said, without passwords, and how the session ended")
{
    auto heard = told("protocol", {"AUTH PLAIN AGEAYg==", "MAIL FROM:<a@b.test>", "QUIT"});
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].client() == "client.test[192.0.2.1]");
    CHECK(heard[0].aborted().empty());
    CHECK_FALSE(heard[0].bounce());
    CHECK(heard[0].transcript().starts_with(
        "Out: 220 mx.example.test ESMTP Posthorn\nIn:  EHLO client.test\nOut: 250-mx.example.test\nOut: 250-PIPELINING\n"));
    CHECK(heard[0].transcript().ends_with("In:  AUTH (arguments are left out)\nOut: 503 5.5.1 Error: authentication not enabled\n"
                                          "In:  MAIL FROM:<a@b.test>\nOut: 250 2.1.0 Ok\nIn:  QUIT\nOut: 221 2.0.0 Bye\n"));

    heard = told("protocol", {"FOO"});
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].aborted() == "lost connection");
    heard = told("protocol", std::vector<std::string>(20, "FOO"));
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].aborted() == "too many errors");

    heard = told("protocol", {"MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nFOO"});
    REQUIRE(heard.size() == 1);                                              // sent at once, and told in turn
    CHECK(heard[0].transcript().ends_with(
        "In:  RCPT TO:<user@example.test>\nOut: 250 2.1.5 Ok\nIn:  FOO\nOut: 500 5.5.2 Error: command not recognized\n"));
}

TEST_CASE("postmaster: trouble of ours is told of once a minute, a client's each time")
{
    House house(options_of({{"notify_classes", "policy, resource"}}));
    house.queue.failure = Error{"disk full", "4.3.0"};
    const auto session = [&](std::string_view recipient) {
        Talk talk(house);
        for (const std::string& line : {std::string("EHLO client.test"), std::string("MAIL FROM:<a@b.test>"), fmt::format("RCPT TO:<{}>", recipient),
                                        std::string("DATA"), message})
            talk(line);
    };
    for (int i = 0; i < 3; ++i)
        session("user@example.test");
    CHECK(house.postmaster.told.size() == 1);
    session("u@elsewhere.test");
    session("u@elsewhere.test");
    CHECK(house.postmaster.told.size() == 3);
    house.clock.advance(std::chrono::seconds{61});
    session("user@example.test");
    CHECK(house.postmaster.told.size() == 4);
}

TEST_CASE("postmaster: of a session that never ends the beginning and the end are kept")
{
    std::vector<std::string> lines(3000, "RSET");
    lines.emplace_back("FOO");
    const auto heard = told("protocol", lines, nullptr, {{"smtpd_junk_command_limit", "100000"}});
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].transcript().size() <= SessionRecord::text_limit);
    CHECK(heard[0].transcript().starts_with("Out: 220 "));
    CHECK(heard[0].transcript().find("\n(some lines are left out)\n") != std::string::npos);
    CHECK(heard[0].transcript().ends_with("In:  FOO\nOut: 500 5.5.2 Error: command not recognized\n"));
}
