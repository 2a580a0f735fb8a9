#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("limits: lines, errors, junk commands, recipients, sizes")
{
    SUBCASE("a line beyond line_length_limit is cut, and the rest of it is no command")
    {
        House house(options_of({{"line_length_limit", "512"}}));
        Talk talk(house);
        for (const std::size_t length : {511U, 512U, 513U, 600U, 20000U, 70000U}) {
            CAPTURE(length);
            CHECK(talk.send("NOOP " + std::string(length - 5, 'x') + "\r\n") == "250 2.0.0 Ok\r\n");
        }
        CHECK(talk("NOOP") == "250 2.0.0 Ok\r\n");
    }
    SUBCASE("smtpd_hard_error_limit")
    {
        House house(options_of({{"smtpd_hard_error_limit", "3"}}));
        Talk talk(house);
        CHECK(talk("a") == "500 5.5.2 Error: command not recognized\r\n");
        CHECK(talk("b") == "500 5.5.2 Error: command not recognized\r\n");
        CHECK(talk("c") == "500 5.5.2 Error: command not recognized\r\n421 4.7.0 mx.example.test Error: too many errors\r\n");
        CHECK(talk.ended());
        CHECK(house.logged("too many errors after UNKNOWN from client.test[192.0.2.1]"));
        CHECK_FALSE(house.logged("NOQUEUE: too many"));
    }
    SUBCASE("errors are counted from one message to the next: mail that was taken forgives them, and junk likewise")
    {
        House house(options_of({{"smtpd_hard_error_limit", "3"}, {"smtpd_junk_command_limit", "2"}}));
        Talk talk(house);
        talk("EHLO x");
        for (int mails = 0; mails < 3; ++mails) {
            CHECK(talk("a") == "500 5.5.2 Error: command not recognized\r\n");
            for (int count = 0; count < 3; ++count)
                CHECK(talk("NOOP") == "250 2.0.0 Ok\r\n");
            CHECK(talk("b") == "500 5.5.2 Error: command not recognized\r\n");
            talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
            CHECK(talk.send("a: b\r\n\r\n.\r\n").find("queued as") != std::string::npos);
        }
    }
    SUBCASE("smtpd_junk_command_limit turns junk into errors")
    {
        House house(options_of({{"smtpd_junk_command_limit", "2"}, {"smtpd_hard_error_limit", "1"}}));
        Talk talk(house);
        for (int count = 0; count < 3; ++count)
            CHECK(talk("RSET") == "250 2.0.0 Ok\r\n");
        CHECK(talk("RSET") == "250 2.0.0 Ok\r\n421 4.7.0 mx.example.test Error: too many errors\r\n");
    }
    SUBCASE("smtpd_recipient_limit and the overshoot that is no error")
    {
        House house(options_of({{"smtpd_recipient_limit", "2"}, {"smtpd_recipient_overshoot_limit", "1"}, {"smtpd_hard_error_limit", "1"}}));
        Talk talk(house);
        talk("EHLO x");
        talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<other@example.test>\r\n");
        CHECK(talk("RCPT TO:<user@example.test>") == "452 4.5.3 Error: too many recipients\r\n");
        CHECK(talk("RCPT TO:<user@example.test>").ends_with("421 4.7.0 mx.example.test Error: too many errors\r\n"));
    }
    SUBCASE("message_size_limit while content comes: refused at its end, in step")
    {
        House house(options_of({{"message_size_limit", "100"}}));
        Talk talk(house);
        talk("EHLO x");
        talk.send(group);
        CHECK(talk.send("a: b\r\n\r\n" + std::string(91, 'x') + "\r\n.\r\nNOOP\r\n") == "552 5.3.4 Error: message file too big\r\n250 2.0.0 Ok\r\n");
        talk.send(group);
        CHECK(talk.send("a: b\r\n\r\n" + std::string(90, 'x') + "\r\n.\r\n").find("queued as") != std::string::npos);
        CHECK(house.queue.stored.size() == 1);
    }
    SUBCASE("no room in the queue")
    {
        House house;
        house.folder.free = 15'000'000;
        Talk talk(house);
        talk("EHLO x");
        CHECK(talk("MAIL FROM:<a@b.test>") == "452 4.3.1 Insufficient system storage\r\n");
        CHECK(house.logged(
            "NOQUEUE: reject: MAIL from client.test[192.0.2.1]: 452 4.3.1 Insufficient system storage; from=<a@b.test> proto=ESMTP helo=<x>"));
        house.folder.free = 1ULL << 30;
        CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
    }
    SUBCASE("places for transactions are limited, and come back")
    {
        Options options = options_of();
        options.transaction_limit = 1;
        House house(options);
        Talk first(house), second(house);
        first("EHLO x");
        second("EHLO x");
        CHECK(first("MAIL FROM:<>") == "250 2.1.0 Ok\r\n");
        CHECK(second("MAIL FROM:<>") == "421 4.3.2 mx.example.test Error: all server ports are busy\r\n");
        CHECK(second.ended());
        first("RSET");
        Talk third(house);
        third("EHLO x");
        CHECK(third("MAIL FROM:<>") == "250 2.1.0 Ok\r\n");
    }
    SUBCASE("the session that was idle longest goes first; busy ones stay")
    {
        House house(options_of({{"smtpd_idle_session_limit", "3"}}));
        Talk busy(house), longest(house), second(house);
        busy("EHLO x");
        busy("MAIL FROM:<>");
        second("NOOP");                                         // idle again, but later than `longest`
        Talk newcomer(house);
        house.loop.restart();
        house.loop.run_for(std::chrono::milliseconds(20));
        CHECK(newcomer.receive() == "");
        CHECK(longest.receive() == "421 4.3.2 mx.example.test Error: too many idle sessions\r\n");
        CHECK(longest.ended());
        CHECK(newcomer.greeting == "220 mx.example.test ESMTP Posthorn\r\n");
        CHECK(second("NOOP") == "250 2.0.0 Ok\r\n");
        CHECK(busy("RSET") == "250 2.0.0 Ok\r\n");
    }
}

TEST_CASE("time limits: timeout, and what the log says of each end")
{
    SUBCASE("after a command")
    {
        House house(options_of({{"smtpd_log_abort_queue_id", "yes"}}));
        Talk talk(house);
        talk("EHLO x");
        talk.expire();
        CHECK(talk.receive() == "421 4.4.2 mx.example.test Error: timeout exceeded\r\n");
        CHECK(talk.ended());
        CHECK(house.logged("NOQUEUE: timeout after EHLO from client.test[192.0.2.1]"));
    }
    SUBCASE("within content, with the queue id and the octets so far")
    {
        House house(options_of({{"smtpd_log_abort_queue_id", "yes"}}));
        Talk talk(house);
        talk("EHLO x");
        talk.send(group);
        talk.send("a: b\r\n\r\n");
        talk.hang_up();
        CHECK(talk.ended());
        CHECK(house.logged("Q1: lost connection after DATA (8 bytes) from client.test[192.0.2.1]"));
        CHECK(house.queue.asked == 0);
    }
    SUBCASE("by default as it was before Postfix 3.10: log readers look for it at the line's start")
    {
        House house;
        Talk talk(house);
        talk.hang_up();
        CHECK(talk.ended());
        CHECK(house.logged("lost connection after CONNECT from client.test[192.0.2.1]"));
        CHECK_FALSE(house.logged("NOQUEUE: lost connection"));
        CHECK(house.logged("disconnect from client.test[192.0.2.1] commands=0"));
    }
}

TEST_CASE("memory: what an idle session costs, over real sockets")
{
    House house(options_of({{"notify_classes", "resource, software"}}));   // as by default
    std::vector<Fd> clients;
    const auto open_sessions = [&](int count) {
        for (int at = 0; at < count; ++at) {
            int ends[2];
            REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
            clients.emplace_back(ends[0]);
            asio::co_spawn(house.loop, house.smtpd().serve(net::socket_stream(house.loop.get_executor(), Fd(ends[1]))), asio::detached);
        }
        house.settle();
        for (Fd& client : clients) {
            char room[256];
            while (::read(client.get(), room, sizeof room) > 0)
                ;
        }
    };
    open_sessions(100);                                        // pools and tables have their size now
    const std::size_t before = ::mallinfo2().uordblks;
    constexpr int count = 300;
    open_sessions(count);
    house.settle();
    const std::size_t each = (::mallinfo2().uordblks - before) / count;
    CHECK(house.smtpd().counters().idle == 400);
    CHECK(house.smtpd().counters().buffers == 0);
    MESSAGE("octets of heap per idle session: " << each << " (Session itself: " << sizeof(Session) << ")");
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    CHECK(each < Session::resting_octets);
#endif
    clients.clear();
    house.settle();
    CHECK(house.smtpd().counters().sessions == 0);
}

TEST_CASE("time limits: with smtpd_per_request_deadline a command has one limit in how many pieces it may come; without, each piece has its own")
{
    using namespace std::chrono_literals;
    for (const bool per_request : {true, false}) {
        CAPTURE(per_request);
        House house(options_of({{"smtpd_per_request_deadline", per_request ? "yes" : "no"}}));
        Talk talk(house);
        const SteadyTime began = talk.deadline();
        for (const char* piece : {"N", "O", "O"}) {
            std::this_thread::sleep_for(2ms);
            CHECK(talk.send(piece).empty());
            CHECK((talk.deadline() == began) == per_request);
        }
        // Also a line that does not fit into the buffer is one request.
        const SteadyTime before = talk.deadline();
        std::this_thread::sleep_for(2ms);
        CHECK(talk.send(std::string(40'000, 'x')).empty());
        CHECK((talk.deadline() == before) == per_request);
        std::this_thread::sleep_for(2ms);
        CHECK_FALSE(talk.send("\r\n").empty());
        CHECK(talk.deadline() > before);                   // the next request has its own
    }
}

TEST_CASE("time limits: content that comes at smtpd_min_data_rate keeps its client in time, and slower content does not")
{
    using namespace std::chrono_literals;
    const std::string line = std::string(98, 'x') + "\r\n";
    for (const bool bdat : {false, true}) {
        CAPTURE(bdat);
        House house(options_of({{"smtpd_per_request_deadline", "yes"}, {"smtpd_min_data_rate", "2000"}, {"smtpd_timeout", "10s"}}));
        Talk talk(house);
        talk("EHLO client.test");
        talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\n");
        talk(bdat ? "BDAT 100000" : "DATA");
        const SteadyTime began = talk.deadline();
        std::this_thread::sleep_for(200ms);
        for (int lines = 1; lines <= 4; ++lines) {
            CHECK(talk.send(line).empty());
            CHECK(talk.deadline() - began == lines * 50ms);   // 100 octets at 2 000 a second, for time that was spent
        }
        for (int lines = 5; lines <= 40; ++lines) {
            CHECK(talk.send(line).empty());
            CHECK(talk.deadline() <= std::chrono::steady_clock::now() + 10s);   // what was sent fast is not saved up
        }
        talk.expire();                                     // ten seconds and two have passed
        CHECK(talk.receive() == "421 4.4.2 mx.example.test Error: timeout exceeded\r\n");
        CHECK(talk.ended());
        CHECK(house.whole_log().find(fmt::format("timeout after {} (4000 bytes) from client.test[192.0.2.1]", bdat ? "BDAT" : "DATA")) !=
              std::string::npos);
        CHECK(house.queue.stored.empty());
    }
    // Without deadlines per request the rate decides nothing.
    House house(options_of({{"smtpd_min_data_rate", "1"}, {"smtpd_timeout", "10s"}}));
    Talk talk(house);
    talk("EHLO client.test");
    talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\n");
    talk("DATA");
    const SteadyTime began = talk.deadline();
    talk.send(line);
    CHECK(talk.deadline() - began < 50s);
}

TEST_CASE("transactions: as many at once as the process limit says; 0 is no limit")
{
    for (const std::size_t limit : {2, 0}) {
        CAPTURE(limit);
        House house;
        house.options.transaction_limit = limit;
        std::vector<std::unique_ptr<Talk>> talks;
        for (int client = 0; client < 4; ++client) {
            talks.push_back(std::make_unique<Talk>(house));
            (*talks.back())("EHLO client.test");
            const std::string said = (*talks.back())("MAIL FROM:<a@b.test>");
            CHECK(said == (limit != 0 && client >= 2 ? "421 4.3.2 mx.example.test Error: all server ports are busy\r\n" : "250 2.1.0 Ok\r\n"));
        }
        if (limit == 0)
            continue;
        (*talks.front())("RSET");                              // one place is free again
        Talk late(house);
        late("EHLO client.test");
        CHECK(late("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
    }
}

TEST_CASE("a rejection is told to who records it, with what is known of the client and the mail; what is not refused is not")
{
    House house(
        options_of({{"smtpd_recipient_restrictions", "warn_if_reject reject_non_fqdn_recipient, permit_mynetworks, reject_unauth_destination"}}));
    std::vector<std::string> told;
    house.record_rejection = [&](const handoff::Rejected& rejected) {
        told.push_back(fmt::format("{} {} by {} of {} helo={} from={} to={} {}", rejected.command, rejected.reply.substr(0, 3), rejected.by,
                                   rejected.client_address, rejected.helo, rejected.sender.value_or("none"), rejected.recipient.value_or("none"),
                                   rejected.protocol));
    };
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@elsewhere.test>").starts_with("454 "));
    REQUIRE(told.size() == 1);
    CHECK(told[0] == "RCPT 454 by defer_unauth_destination of 192.0.2.1 helo=x from=a@b.test to=user@elsewhere.test ESMTP");
}

TEST_CASE("rejections are counted by command, class of the reply and what refused: a restriction by its name, also within a class of them")
{
    House house(options_of(
        {{"smtpd_restriction_classes", "careful"},
         {"careful", "reject_non_fqdn_sender"},
         {"smtpd_recipient_restrictions", "careful, warn_if_reject reject_non_fqdn_recipient, permit_mynetworks, reject_unauth_destination"},
         {"message_size_limit", "1000"}}));
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("MAIL FROM:<a@b.test> SIZE=9999").starts_with("552 "));
    CHECK(talk("MAIL FROM:<nodot@x>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("504 "));
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("504 "));
    talk("RSET");
    CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@elsewhere.test>").starts_with("454 "));
    CHECK(talk("RCPT TO:<nobody@example.test>").starts_with("550 "));
    const std::map<observe::Tally<3>::Values, std::uint64_t> wanted{{{"MAIL", "5", "sender"}, 1},
                                                                    {{"RCPT", "5", "reject_non_fqdn_sender"}, 2},
                                                                    {{"RCPT", "4", "defer_unauth_destination"}, 1},
                                                                    {{"RCPT", "5", "after-lists"}, 1}};
    CHECK(house.smtpd().rejections().counts() == wanted);
    CHECK(house.smtpd().counters().connections == 1);
}

TEST_CASE("rejections that warn_if_reject lets pass are counted by themselves")
{
    House house(options_of({{"smtpd_recipient_restrictions", "warn_if_reject reject_non_fqdn_sender, reject_unauth_destination"}}));
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("MAIL FROM:<nodot@x>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
    const std::map<observe::Tally<3>::Values, std::uint64_t> warned{{{"RCPT", "5", "reject_non_fqdn_sender"}, 1}};
    CHECK(house.smtpd().reject_warnings().counts() == warned);
    CHECK(house.smtpd().rejections().counts().empty());
}

TEST_CASE(
    "smtpd_delay_open_until_valid_rcpt: a message has its queue id with its first valid recipient, or with MAIL, and refusals are logged with it")
{
    for (const std::string delay : {"yes", "no"}) {
        const bool early = delay == "no";
        House house(options_of({{"smtpd_delay_open_until_valid_rcpt", delay}}));
        Talk talk(house);
        talk("EHLO x");
        CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
        CHECK(house.logged("Q1: client=client.test[192.0.2.1]") == early);
        CHECK(talk("RCPT TO:<user@elsewhere.test>") == "454 4.7.1 <user@elsewhere.test>: Relay access denied\r\n");
        CHECK(house.whole_log().find(early ? "Q1: reject: RCPT from client.test[192.0.2.1]: 454 "
                                           : "NOQUEUE: reject: RCPT from client.test[192.0.2.1]: 454 ") != std::string::npos);
        CHECK(talk("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
        CHECK(house.logged("Q1: client=client.test[192.0.2.1]"));
        talk("DATA");
        CHECK(talk.send("a: b\r\n\r\nx\r\n.\r\n").find("queued as Q1") != std::string::npos);
        CHECK(house.queue.ids == 1);
        house.queue.no_ids = true;
        CHECK(talk("MAIL FROM:<a@b.test>") == (early ? "451 4.3.0 Error: queue file write error\r\n" : "250 2.1.0 Ok\r\n"));
        if (early) {
            CHECK(talk("RCPT TO:<user@example.test>") == "503 5.5.1 Error: need MAIL command\r\n");
            house.queue.no_ids = false;
            CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
        }
    }
}
