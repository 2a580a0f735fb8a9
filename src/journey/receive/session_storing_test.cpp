// Contents that are being stored while what the client sent behind them is read: nothing is said before its time, nothing out of order.
#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

const std::string envelope = "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\n";

/// A message in one chunk, with the envelope in front.
std::string chunk(int number)
{
    const std::string text = fmt::format("Subject: {}\r\n\r\ntext\r\n", number);
    return envelope + fmt::format("BDAT {} LAST\r\n{}", text.size(), text);
}

std::string chunks(int from, int to)
{
    std::string text;
    for (int number = from; number <= to; ++number)
        text += chunk(number);
    return text;
}

constexpr std::string_view envelope_replies = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";

std::string stored_reply(int number)
{
    return fmt::format("250 2.0.0 Ok: {} bytes queued as Q{}\r\n", fmt::format("Subject: {}\r\n\r\ntext\r\n", number).size(), number);
}

/// The queue answers about a message when it is let go.
struct Slow {
    explicit Slow(House& in) : house(in), changed(in.loop.get_executor())
    {
        house.queue.wait = [this](std::string id) { return held(std::move(id)); };
    }
    awaitable<void> held(std::string id)
    {
        while (!gone.contains(id) && !all && !co_await cancelled())
            co_await changed.wait();
    }
    void let_go(std::string id)
    {
        gone.insert(std::move(id));
        changed.notify_all();
        house.settle();
    }
    void let_all_go()
    {
        all = true;
        changed.notify_all();
        house.settle();
    }
    House& house;
    Signal changed;
    std::set<std::string> gone;
    bool all = false;
};

}  // namespace

TEST_CASE("storing: messages that are sent together are stored together, and answered in their order when all are on the disk")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    const std::string first = talk.send(chunks(1, 4));
    CHECK(house.queue.asked == 3);                                       // behind the last there is nothing to read: it waits its turn
    CHECK(first == envelope_replies);
    slow.let_go("Q3");
    slow.let_go("Q2");
    CHECK(talk.receive().empty());                                       // the first is not stored
    slow.let_go("Q1");
    std::string rest;
    for (int number = 1; number <= 3; ++number)
        rest += stored_reply(number) + std::string(envelope_replies);
    CHECK(talk.receive() == rest);
    CHECK(house.queue.asked == 4);
    slow.let_go("Q4");
    CHECK(talk.receive() == stored_reply(4));
    CHECK(house.queue.stored.size() == 4);
    CHECK(house.smtpd().counters().memory <= Session::resting_octets);
    CHECK(talk("QUIT") == "221 2.0.0 Bye\r\n");
    CHECK(house.logged("disconnect from client.test[192.0.2.1] ehlo=1 mail=4 rcpt=4 bdat=4 quit=1 commands=14"));
}

TEST_CASE("storing: the next envelope behind a content waits for no disk")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(has(talk.send(envelope + "DATA\r\n"), "354 "));
    CHECK(talk.send("Subject: 1\r\n\r\n.\r\n" + envelope + "RCPT TO:<nobody@example.test>\r\nDATA\r\n").empty());
    CHECK(house.whole_log().find("RCPT from client.test[192.0.2.1]: 550 5.1.1 <nobody@example.test>") != std::string::npos);  // it was looked at
    slow.let_go("Q1");
    const std::string said = talk.receive();
    CHECK(said.starts_with("250 2.0.0 Ok: queued as Q1\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 <nobody@example.test>"));
    CHECK(said.ends_with("\r\n354 End data with <CR><LF>.<CR><LF>\r\n"));
    slow.let_all_go();
    CHECK(talk.send(".\r\n") == "250 2.0.0 Ok: queued as Q2\r\n");
}

TEST_CASE("storing: in whatever pieces it comes, the answers are the same")
{
    const std::string sent = chunks(1, 9) + "RSET\r\n" + chunks(10, 20) + envelope + "RSET\r\n" + "QUIT\r\n";
    std::string expected;
    for (int number = 1; number <= 20; ++number)
        expected += std::string(envelope_replies) + stored_reply(number) + (number == 9 ? "250 2.0.0 Ok\r\n" : "");
    expected += std::string(envelope_replies) + "250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n";
    for (const std::size_t piece : {1UZ, 7UZ, 61UZ, 200UZ, 997UZ, sent.size()}) {
        CAPTURE(piece);
        House house;
        Talk talk(house);
        talk("EHLO client.test");
        std::string heard;
        for (std::size_t at = 0; at < sent.size(); at += piece)
            heard += talk.send(std::string_view(sent).substr(at, piece));
        CHECK(heard == expected);
        CHECK(talk.ended());
        CHECK(house.queue.stored.size() == 20);
    }
}

TEST_CASE("storing: one that could not be stored is refused in its place, and only that")
{
    House house;
    house.queue.refused = {"Q2"};
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    (void)talk.send("FOO\r\n" + chunks(1, 3) + "MAIL FROM:<other@b.test>\r\n");
    slow.let_all_go();
    const std::string said = talk.receive();
    const std::string refusal = "452 4.3.1 Insufficient system storage\r\n";
    CHECK(said == stored_reply(1) + std::string(envelope_replies) + refusal + std::string(envelope_replies) + stored_reply(3) + "250 2.1.0 Ok\r\n");
    CHECK(house.queue.stored.size() == 2);
    CAPTURE(house.whole_log());
    CHECK(house.logged("warning: Q2: write queue file: No space left on device"));
    CHECK(house.logged("Q2: reject: END-OF-MESSAGE from client.test[192.0.2.1]: 452 4.3.1 Insufficient system storage; from=<a@b.test> "
                       "to=<user@example.test> proto=ESMTP helo=<client.test>"));
    talk("QUIT");
    CHECK(house.logged("disconnect from client.test[192.0.2.1] ehlo=1 mail=4 rcpt=3 bdat=2/3 quit=1 unknown=0/1 commands=11/13"));
}

TEST_CASE("storing: errors from before a message are forgiven where it was stored, and count again where it was not")
{
    for (const bool stored : {true, false}) {
        CAPTURE(stored);
        House house(options_of({{"smtpd_hard_error_limit", "4"}, {"smtpd_soft_error_limit", "3"}}));
        if (!stored)
            house.queue.refused = {"Q1"};
        Talk talk(house);
        talk("EHLO client.test");
        // Two errors before, two behind it.
        const std::string said = talk.send("FOO\r\nFOO\r\n" + chunk(1) + "FOO\r\nFOO\r\n");
        CHECK(has(said, stored ? "queued as Q1" : "452 4.3.1"));
        CHECK(talk("NOOP") == (stored ? "250 2.0.0 Ok\r\n" : "421 4.7.0 mx.example.test Error: too many errors\r\n"));
    }
}

TEST_CASE("storing: no more than sixteen at a time")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    (void)talk.send(chunks(1, 40));
    CHECK(house.queue.asked == 16);
    slow.let_all_go();
    CHECK(house.queue.stored.size() == 40);
}

TEST_CASE("storing: what does not fit into one buffer is read meanwhile too")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    const std::string text = "Subject: x\r\n\r\n" + std::string(60'000, 'x') + "\r\n";
    std::string sent;
    for (int number = 1; number <= 10; ++number)
        sent += envelope + fmt::format("BDAT {} LAST\r\n", text.size()) + text;
    (void)talk.send(sent);
    CHECK(house.queue.asked >= 6);  // a buffer holds four
    slow.let_all_go();
    CHECK(house.queue.stored.size() == 10);
}

TEST_CASE("storing: nothing is read ahead with the memory that a mail in its turn would need")
{
    House house(options_of({{"smtpd_memory_limit", "1048576"}}));
    Slow slow(house);
    Talk first(house), second(house), third(house);
    const std::string text = "Subject: x\r\n\r\n" + std::string(60'000, 'x') + "\r\n";
    std::string sent, said;
    for (int number = 1; number <= 10; ++number)
        sent += envelope + fmt::format("BDAT {} LAST\r\n", text.size()) + text;
    for (Talk* const talk : {&first, &second, &third}) {
        (*talk)("EHLO client.test");
        said += talk->send(sent);
    }
    slow.let_all_go();
    said += first.receive() + second.receive() + third.receive();
    CHECK(house.queue.stored.size() == 30);
    CHECK_FALSE(has(said, "452"));
}

TEST_CASE("storing: a content in a file waits for those before it, and is stored before anything behind it is looked at")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    const std::string large = "Subject: large\r\n\r\n" + std::string(70'000, 'x') + "\r\n";
    (void)talk.send(chunk(1) + envelope + fmt::format("BDAT {} LAST\r\n", large.size()) + large + chunk(3));
    CHECK(house.queue.asked == 1);
    slow.let_go("Q1");
    CHECK(house.queue.asked == 2);
    CHECK(talk.receive().starts_with(stored_reply(1) + std::string(envelope_replies)));
    slow.let_go("Q2");
    CHECK(house.queue.asked == 3);
    slow.let_go("Q3");
    CHECK(talk.receive() == fmt::format("250 2.0.0 Ok: {} bytes queued as Q2\r\n", large.size()) + std::string(envelope_replies) + stored_reply(3));
}

TEST_CASE("storing: the places of a process are held to the end of content only")
{
    House house(options_of({{"smtpd_client_connection_count_limit", "0"}}));
    house.options.transaction_limit = 1;
    Talk talk(house);
    talk("EHLO client.test");
    const std::string said = talk.send(chunks(1, 3));
    CHECK(said == std::string(envelope_replies) + stored_reply(1) + std::string(envelope_replies) + stored_reply(2) + std::string(envelope_replies) +
                      stored_reply(3));
}

TEST_CASE("storing: a client that has gone takes nothing with it")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    (void)talk.send(chunks(1, 3) + "MAIL FROM:<more@b.test>\r\n");
    talk.hang_up();
    CHECK_FALSE(talk.ended());
    slow.let_all_go();
    CHECK(talk.ended());
    CHECK(house.queue.stored.size() == 3);
    CHECK(house.smtpd().counters().memory == 0);
}

TEST_CASE("storing: a server that ends says first what became of it")
{
    House house;
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(talk.send(chunks(1, 2) + "NOOP\r\n") == envelope_replies);
    house.smtpd().close();
    CHECK(talk.receive().empty());
    slow.let_all_go();
    CHECK(talk.receive() == stored_reply(1) + std::string(envelope_replies) + stored_reply(2) +
                                "250 2.0.0 Ok\r\n421 4.3.2 mx.example.test Service is shutting down\r\n");
    CHECK(talk.ended());
}

TEST_CASE("storing: refusals that a table may change are said before the next command is read")
{
    House house(options_of({{"smtpd_reject_footer", "\\c. Call us"}}));
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    (void)talk.send(chunks(1, 2) + "FOO\r\n");
    CHECK(house.queue.asked == 1);
    slow.let_all_go();
    CHECK(talk.receive().ends_with("command not recognized. Call us\r\n"));
}

TEST_CASE("storing: the postmaster's copy has the replies as they went out")
{
    House house(options_of({{"notify_classes", "protocol"}}));
    Slow slow(house);
    Talk talk(house);
    talk("EHLO client.test");
    (void)talk.send("FOO\r\n" + chunks(1, 2) + "BAR\r\n");
    slow.let_all_go();
    talk("QUIT");
    REQUIRE(house.postmaster.told.size() == 1);
    const std::string text = house.postmaster.told.front().transcript();
    CHECK(
        text.find(
            "In:  FOO\nOut: 500 5.5.2 Error: command not recognized\nIn:  MAIL FROM:<a@b.test>\nOut: 250 2.1.0 Ok\nIn:  RCPT TO:<user@example.test>\n"
            "Out: 250 2.1.5 Ok\nIn:  BDAT 20 LAST\nIn:  MAIL FROM:<a@b.test>\nIn:  RCPT TO:<user@example.test>\nIn:  BDAT 20 LAST\nIn:  BAR\n"
            "Out: 250 2.0.0 Ok: 20 bytes queued as Q1\nOut: 250 2.1.0 Ok\nOut: 250 2.1.5 Ok\nOut: 250 2.0.0 Ok: 20 bytes queued as Q2\n"
            "Out: 500 5.5.2 Error: command not recognized\n") != std::string::npos);
}

TEST_CASE("storing: what delivery refuses while more is read is refused at its place")
{
    House house(options_of({{"smtpd_delivery_answer_domains", "example.test"}}));
    Slow slow(house);
    house.queue.answer = handoff::Refusal(554, "5.7.1", "spam");
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(talk.send(chunks(1, 2) + "NOOP\r\n") == envelope_replies);
    CHECK(house.queue.patiences.size() == 2);
    slow.let_go("Q2");
    CHECK(talk.receive().empty());
    slow.let_go("Q1");
    CHECK(talk.receive() == "554 5.7.1 spam\r\n" + std::string(envelope_replies) + "554 5.7.1 spam\r\n250 2.0.0 Ok\r\n");
    CHECK(house.queue.stored.empty());
    CHECK(has(house.whole_log(), "Q1: reject: END-OF-MESSAGE from "));
    CHECK(has(house.whole_log(), "Q2: reject: END-OF-MESSAGE from "));
}
