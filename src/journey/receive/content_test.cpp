#include "receive/content.hpp"

#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::string_view opening = "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n";

std::string message_of(std::size_t octets)
{
    std::string text = "Subject: big\r\n\r\n";
    while (text.size() < octets)
        text += fmt::format("{:070}\r\n", text.size());
    return text;
}

// A talk that is ready for content.
void begin(Talk& talk)
{
    talk("EHLO client.test");
    CHECK(talk.send(opening).ends_with("354 End data with <CR><LF>.<CR><LF>\r\n"));
}

}  // namespace

TEST_CASE("content: up to 64 KiB travels inline, more is a synced file that is kept only when the queue has it")
{
    for (const std::size_t octets : {0U, 100U, 60'000U, 66'000U, 300'000U, 1'000'000U}) {
        CAPTURE(octets);
        House house;
        Talk talk(house);
        begin(talk);
        const std::string message = message_of(octets);
        CHECK(talk.send(message + ".\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
        REQUIRE(house.queue.stored.size() == 1);
        const auto& [envelope, content] = house.queue.stored.front();
        if (octets < 65'000) {
            CHECK(content.inline_octets().ends_with("\r\n" + message));
            CHECK(envelope.size() == content.inline_octets().size());
            CHECK(house.folder.files.empty());
        } else {
            CHECK(content.file() == "incoming/Q1");
            CHECK(content.inline_octets().empty());
            CHECK(house.folder.synced.contains("incoming/Q1"));
            CHECK(house.folder.files["incoming/Q1"].ends_with("\r\n" + message));
            CHECK(envelope.size() == house.folder.files["incoming/Q1"].size());
            CHECK(house.folder.largest_piece <= Content::block);
            CHECK(house.folder.odd_pieces <= 1);                       // the last
        }
        CHECK(house.smtpd().counters().memory <= Session::resting_octets);
    }
}

TEST_CASE("content: what grows or shrinks on its way in is written in whole blocks all the same")
{
    House house;
    Talk talk(house);
    begin(talk);
    std::string sent = "Subject: lines\r\n\r\n", stored = sent;
    while (stored.size() < 3 * Content::block) {
        sent += "..dots\r\nbare\n";
        stored += ".dots\r\nbare\r\n";
    }
    stored += "end\r\n";
    CHECK(talk.send(sent + "end\r\n.\r\nNOOP\r\n") == "250 2.0.0 Ok: queued as Q1\r\n250 2.0.0 Ok\r\n");
    CHECK(house.folder.files["incoming/Q1"].ends_with("\r\n" + stored));
    CHECK(house.folder.odd_pieces <= 1);
    CHECK(house.smtpd().counters().buffers == 0);
}

TEST_CASE("content: what cannot be stored is said with 4xx, nothing is left behind, and the session goes on")
{
    struct Row {
        std::string_view trouble;
        std::size_t octets;
        std::string_view reply;
    };
    constexpr Row rows[] = {
        {"queue", 100, "451 4.3.0 Error: queue file write error\r\n"},     {"full", 100, "452 4.3.1 Insufficient system storage\r\n"},
        {"queue", 100'000, "451 4.3.0 Error: queue file write error\r\n"}, {"create", 100'000, "451 4.3.0 Error: queue file write error\r\n"},
        {"append", 100'000, "452 4.3.1 Insufficient system storage\r\n"},  {"sync", 100'000, "451 4.3.0 Error: queue file write error\r\n"},
        {"full", 100'000, "452 4.3.1 Insufficient system storage\r\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.trouble);
        CAPTURE(row.octets);
        House house;
        Talk talk(house);
        begin(talk);
        if (row.trouble == "queue")
            house.queue.failure = Error{"qmgr went away", "4.3.0"};
        else if (row.trouble == "full")
            house.queue.failure = Error{"disk full", "4.3.1"};
        house.folder.fail_create = row.trouble == "create";
        house.folder.fail_append = row.trouble == "append";
        house.folder.fail_sync = row.trouble == "sync";
        CHECK(talk.send(message_of(row.octets) + ".\r\n") == row.reply);
        CHECK(house.queue.stored.empty());
        // Where no answer came the queue may have it: its content is left to the sweep.
        CHECK(house.folder.files.size() == (row.trouble == "queue" && row.octets > 1000 ? 1 : 0));
        CHECK(house.whole_log().find(fmt::format("Q1: reject: END-OF-MESSAGE from client.test[192.0.2.1]: {}; from=<a@b.test>",
                                                 row.reply.substr(0, row.reply.size() - 2))) != std::string::npos);
        for (const auto& [trouble, word] : {std::pair{"create", "create"}, std::pair{"append", "write"}, std::pair{"sync", "sync"}})
            if (row.trouble == trouble)
                CHECK(house.whole_log().find(fmt::format("warning: Q1: {} queue file: ", word)) != std::string::npos);
        house.queue.failure.reset();
        house.folder.fail_create = house.folder.fail_append = house.folder.fail_sync = false;
        talk.send(opening);
        CHECK(talk.send(message_of(row.octets) + ".\r\n") == "250 2.0.0 Ok: queued as Q2\r\n");
    }
    SUBCASE("no queue id to be had")
    {
        House house;
        house.queue.no_ids = true;
        Talk talk(house);
        talk("EHLO x");
        CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n") == "250 2.1.0 Ok\r\n451 4.3.0 Error: queue file write error\r\n");
    }
    SUBCASE("what cleanup does not take is said at the end of content")
    {
        House house;
        Talk talk(house);
        begin(talk);
        CHECK(talk.send("X-Loop: yes\r\n\r\n") == "");
        CHECK(talk.send(message_of(200'000) + ".\r\n") == "554 5.4.0 Error: too many hops\r\n");
        CHECK(house.folder.files.empty());
    }
}

TEST_CASE("content: what its first line looks like changes nothing of our own field above it, and hides no header")
{
    const auto stored = [](std::string_view content, bool octet_by_octet) {
        House house;
        Talk talk(house);
        begin(talk);
        if (octet_by_octet)
            for (const char& octet : content)
                talk.send({&octet, 1});
        else
            talk.send(content);
        REQUIRE(talk.send(".\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
        const std::string text = house.queue.stored[0].second.inline_octets();
        REQUIRE(text.starts_with("Received: from "));
        const auto date = text.find("; ");
        return text.substr(text.find("\r\n", date) + 2);
    };
    for (const bool octet_by_octet : {false, true}) {
        CHECK(stored(" forged\r\nSubject: x\r\n\r\ny\r\n", octet_by_octet) == "\r\n forged\r\nSubject: x\r\n\r\ny\r\n");
        CHECK(stored("\tforged\r\n", octet_by_octet) == "\r\n\tforged\r\n");
        CHECK(stored("From a@b.test Sat Nov 21\r\n>From c\r\nSubject: x\r\n\r\nFrom y\r\n", octet_by_octet) ==
              "X-Mailbox-Line: From a@b.test Sat Nov 21\r\nX-Mailbox-Line: >From c\r\nSubject: x\r\n\r\nFrom y\r\n");
        CHECK(stored("From: a@b.test\r\n\r\n", octet_by_octet) == "From: a@b.test\r\n\r\n");
        CHECK(stored("From x\r\n y\r\n", octet_by_octet) == "X-Mailbox-Line: From x\r\n y\r\n");
        CHECK(stored("", octet_by_octet) == "");
    }
}

TEST_CASE("content: a header that is too long to be held is cut between two fields, never within one")
{
    House house;
    Talk talk(house);
    begin(talk);
    std::string content;
    for (int count = 0; content.size() < 600'000; ++count)
        content += fmt::format("X-{}: {:0100}\r\n {:0{}}\r\n", count, count, count, count == 1000 ? 100'000 : 50);
    content += "\r\nbody\r\n";
    CHECK(talk.send(content + ".\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
    REQUIRE(house.cleaner.heads.size() == 1);
    const std::string& head = house.cleaner.heads[0];
    CHECK(head.size() > 100'000);
    CHECK(head.size() < 400'000);
    const std::string& all = house.folder.files["incoming/Q1"];
    CHECK(all.ends_with(content));
    CHECK(all.starts_with(head));
    CHECK(all.substr(head.size()).starts_with("X-"));
    SUBCASE("text without a header is cut anywhere")
    {
        talk.send(opening);
        CHECK(talk.send("Subject: x\r\n" + std::string(600'000, 'y') + "\r\n.\r\n") == "250 2.0.0 Ok: queued as Q2\r\n");
        CHECK(house.cleaner.heads[1].size() < 400'000);
    }
    SUBCASE("one field that is longer than what is held is held all the same")
    {
        talk.send(opening);
        CHECK(talk.send("To: " + std::string(600'000, 'y') + "\r\nSubject: x\r\n\r\n.\r\n") == "250 2.0.0 Ok: queued as Q2\r\n");
        CHECK(house.cleaner.heads[1].ends_with("y\r\nSubject: x\r\n\r\n"));
    }
    SUBCASE("such a field may go on octet by octet")
    {
        talk.send(opening);
        std::string field = "X: y\r\n";
        while (field.size() < 300'000)
            field += " \r\n";
        talk.write(field);
        for (int i = 0; i < 500; ++i)
            for (const std::string_view octet : {" ", "z", "\r", "\n"})
                CHECK(talk.send(octet).empty());
        CHECK(talk.send("S").empty());
        CHECK(talk.send("ubject: x\r\n\r\ny\r\n.\r\n") == "250 2.0.0 Ok: queued as Q2\r\n");
        CHECK(house.cleaner.heads[1].ends_with(" z\r\n z\r\n"));
        CHECK(house.folder.files["incoming/Q2"] == house.cleaner.heads[1] + "Subject: x\r\n\r\ny\r\n");
    }
}

TEST_CASE("content: BDAT chunks are counted exactly, refused ones are read and dropped")
{
    House house;
    Talk talk(house);
    talk("EHLO x");
    // Octets that look like commands are content, refused or not.
    CHECK(talk.send("BDAT 6\r\nQUIT\r\nNOOP\r\n") == "503 5.5.1 Error: need RCPT command\r\n250 2.0.0 Ok\r\n");
    CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<x@elsewhere.test>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n") ==
          "250 2.1.0 Ok\r\n454 4.7.1 <x@elsewhere.test>: Relay access denied\r\n554 5.5.1 Error: no valid recipients\r\n250 2.0.0 Ok\r\n");
    CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nBDAT 9\r\na: b\r\n\r\nxBDAT 3 LAST\r\ny\r\nNOOP\r\n") ==
          "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 9 bytes\r\n250 2.0.0 Ok: 12 bytes queued as Q1\r\n250 2.0.0 Ok\r\n");
    REQUIRE(house.queue.stored.size() == 1);
    CHECK(house.queue.stored[0].second.inline_octets().ends_with("a: b\r\n\r\nxy\r\n"));
    SUBCASE("beyond the size limit: this chunk is refused, the ones behind it are discarded")
    {
        House small(options_of({{"message_size_limit", "10"}}));
        Talk other(small);
        other("EHLO x");
        CHECK(
            other.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nBDAT 8\r\n12345678BDAT 3\r\n123BDAT 4 LAST\r\n1234MAIL FROM:<>\r\nRSET\r\n") ==
            "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 8 bytes\r\n552 5.3.4 Chunk exceeds message size limit\r\n"
            "551 5.0.0 Discarded 4 bytes after earlier error\r\n503 5.5.1 Error: nested MAIL command\r\n250 2.0.0 Ok\r\n");
        CHECK(small.queue.asked == 0);
    }
    SUBCASE("a chunk larger than 2^63 is refused without being waited for to overflow")
    {
        House small;
        Talk other(small);
        other("EHLO x");
        other.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n");
        CHECK(other("BDAT 99999999999999999999").starts_with("5"));
        CHECK(small.queue.asked == 0);
    }
}

TEST_CASE("ceiling: past it content gets 452 and newcomers 421, and all recovers by itself")
{
    House house(options_of({{"smtpd_memory_limit", "1048576"}}));
    std::vector<std::unique_ptr<Talk>> senders;
    for (int count = 0; count < 40; ++count)
        senders.push_back(std::make_unique<Talk>(house));
    for (auto& sender : senders)
        begin(*sender);
    const std::string part = message_of(50'000);
    for (auto& sender : senders)
        CHECK(sender->send(part) == "");
    CHECK(house.smtpd().counters().memory <= 1048576);
    int taken = 0, refused = 0;
    for (auto& sender : senders) {
        const std::string reply = sender->send(".\r\n");
        taken += reply.find("250 2.0.0 Ok: queued as") == 0;
        refused += reply == "452 4.3.1 Insufficient system storage\r\n";
    }
    CHECK(taken > 5);
    CHECK(refused > 5);
    CHECK(taken + refused == 40);
    CHECK(house.queue.stored.size() == static_cast<std::size_t>(taken));
    // All memory came back: the same client succeeds now.
    CHECK(house.smtpd().counters().memory == 40 * Session::resting_octets);
    senders.front()->send(opening);
    CHECK(senders.front()->send(part + ".\r\n").starts_with("250 2.0.0 Ok: queued as"));
    SUBCASE("no place for one more session")
    {
        while (house.smtpd().counters().memory + Session::resting_octets <= 1048576)
            senders.push_back(std::make_unique<Talk>(house));
        Talk late(house);
        CHECK(late.greeting == "421 4.3.2 mx.example.test Service temporarily unavailable\r\n");
        CHECK(late.ended());
        senders.pop_back();
        Talk later(house);
        CHECK(later.greeting == "220 mx.example.test ESMTP Posthorn\r\n");
    }
}

TEST_CASE("faults: whichever I/O step fails, a message is acknowledged only if it is stored, and nothing is held afterwards")
{
    int longest = 0, acknowledged = 0, unacknowledged = 0;
    for (const auto kind : {net::Faults::Kind::reset, net::Faults::Kind::end, net::Faults::Kind::timeout}) {
        for (int step = 0, steps = 1; step < steps; ++step) {
            CAPTURE(step);
            House house;
            const auto faults = std::make_shared<net::Faults>();
            faults->fail_at = step;
            faults->kind = kind;
            bool ok = false;
            {
                Talk talk(house, "192.0.2.1", faults);
                talk("EHLO client.test");
                talk.send(opening);
                ok = talk.send(message_of(70'000) + ".\r\n").find("250 2.0.0 Ok: queued as Q1") != std::string::npos;
                talk("QUIT");
                talk.hang_up();
                CHECK(talk.ended());
            }
            steps = std::max(steps, faults->steps);
            if (ok)
                CHECK(house.queue.stored.size() == 1);
            CHECK(house.queue.stored.size() <= 1);
            CHECK(house.folder.files.size() == house.queue.stored.size());
            CHECK(house.smtpd().counters().sessions == 0);
            CHECK(house.smtpd().counters().transactions == 0);
            CHECK(house.smtpd().counters().buffers == 0);
            CHECK(house.smtpd().counters().memory == 0);
            (ok ? acknowledged : unacknowledged) += 1;
            longest = std::max(longest, steps);
            REQUIRE(step < 2000);
        }
    }
    CHECK(longest > 10);
    CHECK(acknowledged > 0);
    CHECK(unacknowledged > 10);
}
