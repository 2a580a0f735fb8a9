#include "inquiry/orders.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using handoff::Order;
using handoff::QueueCommand;

TEST_CASE("order words: what somebody writes becomes a command, in the form that is kept")
{
    const auto made = order_command(
        Order::SUSPEND, {.destination = "Example.COM", .sender = "@Ours.test", .lasts = "90m", .reason = " moving ", .sure = false}, "root");
    REQUIRE(made);
    CHECK(made->verb() == QueueCommand::ORDER);
    CHECK(made->order().destination() == "example.com");
    CHECK(made->order().sender() == "@ours.test");
    CHECK(made->order().lasts() == 5400'000000);
    CHECK(made->order().reason() == "moving");
    CHECK(made->order().by() == "root");
    CHECK(order_command(Order::SUSPEND, {.destination = "a.test"}, "root")->order().lasts() == 0);
    CHECK(order_command(Order::BOUNCE, {.destination = "a.test"}, "root")->order().lasts() == 3600'000000);
    CHECK(order_command(Order::SUSPEND, {.destination = "*"}, "root"));
    CHECK(order_command(Order::BOUNCE, {.destination = "*", .sure = true}, "root"));
    const auto end = end_command("Smtp:", "<>", "root");
    REQUIRE(end);
    CHECK(end->verb() == QueueCommand::END_ORDER);
    CHECK(end->order().destination() == "smtp:");
    CHECK(end->order().sender() == "<>");
    CHECK(end_command("", {}, "root")->order().destination().empty());
}

TEST_CASE("order words: what is wrong is said, and nothing is asked")
{
    const auto why = [](Order::Kind kind, const OrderWords& words) {
        const auto made = order_command(kind, words, "root");
        CHECK((made || made.error().status() == "5.5.4"));
        return made ? std::string("taken") : made.error().text();
    };
    CHECK(why(Order::BOUNCE, {.destination = "*"}) == "all mail would be returned to its senders: that wants --yes (over HTTP yes=yes)");
    for (const char* time : {"30", "", "h", "0s", "-1h", "1y", "1h30m", "3651d", "99999999999999999999h"}) {
        CAPTURE(time);
        CHECK(why(Order::SUSPEND, {.destination = "a.test", .lasts = time}) ==
              std::string("time \"") + time + "\": a number with its unit is wanted (s, m, h, d, w), within 3650 days");
    }
    CHECK(why(Order::SUSPEND, {.destination = "a.test", .sender = ""}) == "sender \"\": an address, @domain or <> is wanted");
    CHECK(why(Order::SUSPEND, {.destination = ""}) ==
          "destination \"\": a domain, an address, a transport with a colon behind it (smtp:) or * is wanted");
    CHECK(why(Order::SUSPEND, {.destination = "a.test", .reason = "a\nb"}) == "the reason is not one line of text");
    CHECK_FALSE(end_command("a b", {}, "root"));
    CHECK_FALSE(end_command("a.test", "a.test", "root"));
}

TEST_CASE("orders: as text and as JSON")
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    Order order;
    order.set_kind(Order::SUSPEND);
    order.set_destination("a.test");
    order.set_sender("<>");
    order.set_since(1767225600'000000);
    order.set_by("root");
    order.set_reason("\"moving\"");
    order.set_held_up(1);
    CHECK(order_line(order) == "suspend a.test --from '<>', by root since 2026-01-01 00:00:00 until it is ended: \"moving\" (1 message waits)");
    CHECK(ended_line(order) == "suspend a.test --from '<>': ended, 1 message goes now");
    CHECK(order_json(order) == R"({"order": "suspend", "destination": "a.test", "sender": "<>", "since": "2026-01-01T00:00:00Z", "until": null, )"
                               R"("by": "root", "reason": "\"moving\"", "held_up": 1, "returned": 0})");
    order.set_kind(Order::BOUNCE);
    order.clear_sender();
    order.clear_reason();
    order.set_until(1767229200'000000);
    order.set_returned(3);
    CHECK(order_line(order) == "bounce a.test, by root since 2026-01-01 00:00:00 until 2026-01-01 01:00:00 (mail of 3 recipients returned)");
    CHECK(ended_line(order) == "bounce a.test: ended, mail of 3 recipients was returned");
    CHECK(order_json(order).find(R"("sender": null, "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T01:00:00Z")") != std::string::npos);
}
