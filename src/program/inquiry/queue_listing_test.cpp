#include "inquiry/queue_listing.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;

namespace {

handoff::QueueEntry entry_of(std::string id, std::string queue, std::uint64_t size, std::string sender)
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    handoff::QueueEntry entry;
    entry.set_queue_name(std::move(queue));
    entry.mutable_envelope()->set_queue_id(std::move(id));
    entry.mutable_envelope()->set_size(size);
    entry.mutable_envelope()->set_sender(std::move(sender));
    entry.mutable_envelope()->set_arrival(1767225600'000000);
    return entry;
}

void add(handoff::QueueEntry& entry, std::string address, std::string reason)
{
    entry.mutable_envelope()->add_recipients()->set_address(std::move(address));
    entry.add_reasons(std::move(reason));
}

}  // namespace

TEST_CASE("mailq: short ids, marks, reasons above those who share them, and the trailer")
{
    QueueText text;
    auto active = entry_of("4D2A93E8", "active", 1234, "me@example.test");
    add(active, "you@example.test", "");
    auto held = entry_of("4D2A93E9", "hold", 3000, "");
    add(held, "a@example.test", "connect to mx[192.0.2.1]:25: Connection refused");
    add(held, "b@example.test", "host said no");
    add(held, "c@example.test", "connect to mx[192.0.2.1]:25: Connection refused");
    const std::string expected = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
                                 "4D2A93E8*      1234 Thu Jan  1 00:00:00  me@example.test\n"
                                 "                                         you@example.test\n"
                                 "\n"
                                 "4D2A93E9!      3000 Thu Jan  1 00:00:00  MAILER-DAEMON\n"
                                 "                           (connect to mx[192.0.2.1]:25: Connection refused)\n"
                                 "                                         a@example.test\n"
                                 "                                         c@example.test\n"
                                 "                                                              (host said no)\n"
                                 "                                         b@example.test\n"
                                 "\n"
                                 "-- 5 Kbytes in 2 Requests.\n";
    const std::string got = text.entry(active) + text.entry(held) + text.end();
    CHECK(got == expected);
}

TEST_CASE("mailq: long ids have the wider table, an expired one its mark, a single message the singular")
{
    QueueText text;
    auto entry = entry_of("4gDq8v1Yc0z3D", "deferred", 400, "me@example.test");
    entry.set_forced_expire(true);
    add(entry, "you@example.test", "");
    CHECK(text.entry(entry) + text.end() == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
                                            "4gDq8v1Yc0z3D#         400 Thu Jan  1 00:00:00 me@example.test\n"
                                            "                                               you@example.test\n"
                                            "\n"
                                            "-- 1 Kbytes in 1 Request.\n");
}

TEST_CASE("mailq: an empty queue is said to be so") { CHECK(QueueText().end() == "Mail queue is empty\n"); }

TEST_CASE("postqueue -j: one object a line with Postfix's keys, ours behind them, and nothing that breaks out of a string")
{
    auto entry = entry_of("4D2A93E8", "deferred", 1234, "quoted x@example.test");
    add(entry, "you@example.test", "said \"no\"\\\n");
    entry.mutable_envelope()->mutable_recipients(0)->set_original("alias@example.test");
    entry.set_next_try(1767225900'000000);
    entry.set_tries(2);
    CHECK(
        queue_json(entry) ==
        "{\"queue_name\": \"deferred\", \"queue_id\": \"4D2A93E8\", \"arrival_time\": 1767225600, \"message_size\": 1234, \"forced_expire\": false, "
        "\"sender\": \"\\\"quoted x\\\"@example.test\", \"recipients\": [{\"orig_address\": \"alias@example.test\", \"address\": \"you@example.test\", "
        "\"delay_reason\": \"said \\\"no\\\"\\\\\\n\"}], \"next_attempt\": 1767225900, \"attempts\": 2}\n");
    // RFC 8689: a member where it is so, and not one more for all other mail. The table of -p has none.
    const std::string table = QueueText().entry(entry);
    entry.mutable_envelope()->set_requiretls(true);
    CHECK(queue_json(entry).ends_with("\"attempts\": 2, \"requiretls\": true}\n"));
    CHECK(QueueText().entry(entry) == table);
}
