#include "schedule/orders.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;
using handoff::Order;

namespace {

handoff::Route by(const std::string& transport, const std::string& nexthop, const std::string& pool = "")
{
    handoff::Route route;
    route.set_transport(transport);
    route.set_nexthop(nexthop);
    route.set_site(transport + ":" + nexthop);
    route.set_pool(pool);
    return route;
}

Order wanted(Order::Kind kind, const std::string& destination, const std::string& sender = "", std::chrono::seconds lasts = 1h)
{
    Order order;
    order.set_kind(kind);
    order.set_destination(destination);
    order.set_sender(sender);
    order.set_lasts(std::chrono::microseconds(lasts).count());
    return order;
}

struct OrdersFixture {
    HandClock clock;
    Orders orders;

    std::uint64_t give(Order::Kind kind, const std::string& destination, const std::string& sender = "", std::chrono::seconds lasts = 1h)
    {
        auto order = order_in_form(wanted(kind, destination, sender, lasts));
        REQUIRE(order);
        const auto given = orders.give(*std::move(order), clock.wall());
        REQUIRE(given);
        return given->number();
    }
    std::string which(const std::string& recipient, const handoff::Route& route = by("smtp", "elsewhere.test"),
                      const std::string& sender = "a@ours.test")
    {
        const Order* order = orders.for_mail(recipient, route, sender, clock.wall());
        return order ? order_words(*order) : "none";
    }
};

}  // namespace

TEST_CASE("orders: words in the form in which they are kept")
{
    constexpr std::pair<const char*, const char*> destinations[] = {
        {"*", "*"},
        {"Example.COM", "example.com"},
        {"example.com.", "example.com"},
        {"@Example.com", "example.com"},
        {".Example.com", ".example.com"},
        {"@.example.com", ".example.com"},
        {"b\xC3\xBC"
         "cher.example",
         "xn--bcher-kva.example"},
        {"User@Example.com", "user@example.com"},
        {"user@[192.0.2.1]", "user@[192.0.2.1]"},
        {"[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"},
        {"localhost", "localhost"},
        {"smtp:", "smtp:"},
        {"Out-1:", "out-1:"},
        {"smtp:[MX.example.com]:25", "smtp:[mx.example.com]:25"},
        {"lmtp:unix:private/store", "lmtp:unix:private/store"},
        {"maildrop:user@host", "maildrop:user@host"},
    };
    for (const auto& [word, form] : destinations) {
        CAPTURE(word);
        const auto kept = order_destination(word);
        REQUIRE(kept);
        CHECK(*kept == form);
        CHECK(order_destination(*kept).value_or("") == form);
    }
    for (const auto& [word, form] :
         {std::pair{"<>", "<>"}, {"A@Ours.test", "a@ours.test"}, {"@Ours.test", "@ours.test"}, {"@.ours.test", "@.ours.test"}})
        CHECK(order_sender(word).value_or("") == form);
}

TEST_CASE("orders: words that are none are refused, and why")
{
    constexpr std::pair<const char*, const char*> destinations[] = {
        {"", "a domain, an address, a transport with a colon behind it (smtp:) or * is wanted"},
        {"a b.test", "a domain, an address, a transport with a colon behind it (smtp:) or * is wanted"},
        {"example.com:25", "no transport has a name like this; a next hop is named with its transport: smtp:example.com:25"},
        {"[mx.example.com]:25", "a next hop is named with its transport: smtp:[mx.example.com]:25"},
        {"sm/tp:", "what is before the colon is no name of a transport"},
        {":", "what is before the colon is no name of a transport"},
        {"a..test", "it is no domain, no address, and no transport with a colon behind it"},
        {".", "it is no domain, no address, and no transport with a colon behind it"},
        {"exa*mple.com", "it is no domain, no address, and no transport with a colon behind it"},
        {"*.a.test", "a domain is named by itself, with those below it as .example.com: .a.test"},
        {"*@a.test", "a domain is named by itself, with those below it as .example.com: a.test"},
        {"@]@a.test", "it has more than one @"},
        {"@.[192.0.2.1]", "what is behind the @ is no domain"},
        {"@.[IPv6:::1]", "what is behind the @ is no domain"},
        {".[192.0.2.1]", "it is no domain, no address, and no transport with a colon behind it"},
        {"user@a..test", "what is behind the @ is no domain"},
        {"user@.test", "what is behind the @ is no domain"},
        {"@", "what is behind the @ is no domain"},
    };
    for (const auto& [word, why] : destinations) {
        CAPTURE(word);
        const auto refused = order_destination(word);
        REQUIRE(!refused);
        CHECK(refused.error().text() == std::string("destination \"") + word + "\": " + why);
        CHECK(refused.error().status() == "5.5.4");
    }
    CHECK(order_sender("ours.test").error().text() == "sender \"ours.test\": an address, @domain or <> is wanted");
    CHECK(order_sender("").error().status() == "5.5.4");
    CHECK(order_in_form(wanted(Order::BOUNCE, "a.test", "", 0s)).error().text() == "what returns mail needs an end");
    CHECK(order_in_form(wanted(Order::SUSPEND, "a.test", "", 0s)));
    CHECK_FALSE(order_in_form(wanted(Order::SUSPEND, "a.test", "", -1s)));
    CHECK_FALSE(order_in_form(wanted(Order::SUSPEND, "a.test", "", longest_order + 1s)));
    Order order = wanted(Order::SUSPEND, "a.test");
    order.set_reason("two\nlines");
    CHECK(order_in_form(order).error().text() == "the reason is not one line of text");
    order.set_reason(std::string(longest_reason + 1, 'x'));
    CHECK(order_in_form(order).error().text() == "the reason is longer than 200 octets");
    order.set_reason("  disk full ");
    CHECK(order_in_form(order)->reason() == "disk full");
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: the narrowest counts, and of two for a destination the one with a sender")
{
    CHECK(which("u@a.test") == "none");
    give(Order::SUSPEND, "*");
    CHECK(which("u@a.test") == "'*'");
    give(Order::SUSPEND, "smtp:");
    CHECK(which("u@a.test") == "smtp:");
    CHECK(which("u@a.test", by("relay", "a.test")) == "'*'");
    CHECK(which("u@a.test", by("out1", "a.test", "smtp")) == "smtp:");       // of a pool
    give(Order::SUSPEND, "smtp:a.test");
    CHECK(which("u@a.test", by("smtp", "a.test")) == "smtp:a.test");
    CHECK(which("u@a.test", by("out1", "a.test", "smtp")) == "smtp:a.test");
    CHECK(which("u@a.test", by("out1", "b.test", "smtp")) == "smtp:");
    give(Order::SUSPEND, ".test");
    CHECK(which("u@a.test", by("smtp", "a.test")) == ".test");
    give(Order::SUSPEND, ".b.test");
    CHECK(which("u@x.b.test") == ".b.test");
    CHECK(which("u@b.test") == ".b.test");
    CHECK(which("u@xb.test") == ".test");
    give(Order::SUSPEND, "b.test");
    CHECK(which("u@B.Test") == "b.test");
    CHECK(which("u@x.b.test") == ".b.test");
    give(Order::SUSPEND, "u@b.test");
    CHECK(which("U@b.test") == "u@b.test");
    CHECK(which("v@b.test") == "b.test");
    give(Order::SUSPEND, "b.test", "@ours.test");
    give(Order::SUSPEND, "b.test", "A@ours.test");
    CHECK(which("v@b.test") == "b.test --from a@ours.test");
    CHECK(which("v@b.test", by("smtp", "b.test"), "b@OURS.test") == "b.test --from @ours.test");
    CHECK(which("v@b.test", by("smtp", "b.test"), "b@sub.ours.test") == "b.test");
    CHECK(which("v@b.test", by("smtp", "b.test"), "") == "b.test");
    CHECK(which("u@b.test") == "u@b.test");                                   // the destination first
    CHECK(which("postmaster", by("local", "")) == "'*'");
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: mail without a sender is returned only where it is named")
{
    give(Order::BOUNCE, "a.test");
    CHECK(which("u@a.test") == "a.test");
    CHECK(which("u@a.test", by("smtp", "a.test"), "") == "none");
    give(Order::BOUNCE, "a.test", "<>");
    CHECK(which("u@a.test", by("smtp", "a.test"), "") == "a.test --from '<>'");
    CHECK(which("u@a.test") == "a.test");
    give(Order::SUSPEND, "b.test");
    CHECK(which("u@b.test", by("smtp", "b.test"), "") == "b.test");
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: they end with their time, which goes with a clock that is set back")
{
    give(Order::SUSPEND, "forever.test", "", 0s);
    CHECK_FALSE(orders.next_end());
    give(Order::SUSPEND, "a.test", "", 1h);
    give(Order::BOUNCE, "b.test", "", 2h);
    CHECK(orders.next_end() == clock.wall() + 1h);
    clock.advance(1h - 1us);
    CHECK(which("u@a.test") == "a.test");
    CHECK(orders.end_of_time(clock.wall()).empty());
    clock.advance(1us);
    CHECK(which("u@a.test") == "none");                            // before anybody takes it out
    REQUIRE(orders.end_of_time(clock.wall()).size() == 1);
    CHECK(orders.all().size() == 2);
    clock.step_wall(-30min);
    orders.earlier(30min);
    CHECK(orders.next_end() == clock.wall() + 1h);
    clock.advance(1h);
    CHECK(which("u@b.test") == "none");
    CHECK(which("u@forever.test") == "forever.test");
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: a new one takes the place of one for the same mail, and its number; a domain's end leaves others")
{
    const std::uint64_t first = give(Order::SUSPEND, "a.test");
    CHECK(give(Order::BOUNCE, "A.test") == first);
    CHECK(orders.all().size() == 1);
    CHECK(orders.numbered(first)->kind() == Order::BOUNCE);
    CHECK(give(Order::SUSPEND, "a.test", "@x.test") != first);
    give(Order::SUSPEND, "a.test", "@y.test");
    give(Order::SUSPEND, ".a.test");
    CHECK(orders.end("b.test", "").empty());
    CHECK(orders.end("a.test", "@x.test").size() == 1);
    CHECK(orders.end("a.test", "").size() == 2);
    CHECK(orders.all().size() == 1);
    CHECK(orders.end("", "").size() == 1);
    CHECK(orders.empty());
    CHECK(give(Order::SUSPEND, "a.test") > first);                 // numbers are not used again
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: no more than there may be; one that is there is changed all the same")
{
    for (std::size_t i = 0; i < most_orders; ++i)
        give(Order::SUSPEND, "d" + std::to_string(i) + ".test");
    CHECK_FALSE(orders.give(*order_in_form(wanted(Order::SUSPEND, "one-more.test")), clock.wall()));
    CHECK(orders.give(*order_in_form(wanted(Order::BOUNCE, "d7.test")), clock.wall()));
    CHECK(orders.all().size() == most_orders);
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: what is stored is read as it was; what is none is left out")
{
    give(Order::SUSPEND, "a.test", "@x.test", 0s);
    const std::uint64_t last = give(Order::BOUNCE, "u@b.test", "<>");
    give(Order::SUSPEND, "*");
    orders.end("*", "");
    handoff::StoredOrders stored = orders.stored();
    const Orders again = Orders::restored(stored);
    REQUIRE(again.all().size() == 2);
    CHECK(again.stored().SerializeAsString() == stored.SerializeAsString());
    CHECK(again.numbered(last) != nullptr);
    Orders copy = again;
    CHECK(copy.give(*order_in_form(wanted(Order::SUSPEND, "new.test")), clock.wall())->number() == last + 2);
    *stored.add_orders() = stored.orders(0);                       // twice
    stored.add_orders()->set_destination("a b");
    stored.add_orders()->set_destination("no.number.test");
    CHECK(Orders::restored(stored).all().size() == 2);
}

TEST_CASE_FIXTURE(OrdersFixture, "orders: a transport's order closes it for a pool; one for a domain closes no transport")
{
    give(Order::SUSPEND, "out1:");
    give(Order::SUSPEND, "out2:a.test", "@ours.test");
    give(Order::SUSPEND, "a.test");
    give(Order::BOUNCE, "out3:");
    const auto closed = [&](const char* transport, const char* sender = "u@ours.test") {
        return orders.closes(transport, std::string(transport) + ":a.test", sender, clock.wall());
    };
    CHECK(closed("out1"));
    CHECK(closed("out2"));
    CHECK_FALSE(closed("out2", "u@theirs.test"));
    CHECK_FALSE(orders.closes("out2", "out2:b.test", "u@ours.test", clock.wall()));
    CHECK_FALSE(closed("out3"));
    CHECK_FALSE(closed("out4"));
    clock.advance(1h);
    CHECK_FALSE(closed("out1"));
}

TEST_CASE("orders: whether one may be for a recipient whose way is not known yet")
{
    CHECK(may_be_for(wanted(Order::SUSPEND, "smtp:"), "u@a.test", "b@b.test"));
    CHECK(may_be_for(wanted(Order::BOUNCE, "*"), "u@a.test", "b@b.test"));
    CHECK_FALSE(may_be_for(wanted(Order::BOUNCE, "*"), "u@a.test", ""));
    CHECK_FALSE(may_be_for(wanted(Order::SUSPEND, "smtp:", "@c.test"), "u@a.test", "b@b.test"));
    CHECK(may_be_for(wanted(Order::SUSPEND, "a.test", "@b.test"), "U@A.test", "B@B.test"));
    CHECK_FALSE(may_be_for(wanted(Order::SUSPEND, "c.test"), "u@a.test", "b@b.test"));
}

TEST_CASE("orders: which are about a word that somebody asks of")
{
    const std::vector<handoff::Route> ways{by("smtp", "mx.test")};
    const auto about = [&](const char* destination, const char* word) {
        return is_about(wanted(Order::SUSPEND, destination, "@b.test"), word, ways);
    };
    for (const char* destination : {"a.test", ".a.test", ".test", "*", "smtp:", "smtp:mx.test", "u@a.test"})
        CHECK(about(destination, "A.test"));
    for (const char* destination : {"b.test", "relay:", "smtp:a.test", "u@b.test", "u@xa.test"})
        CHECK_FALSE(about(destination, "a.test"));
    CHECK(about("u@a.test", "u@a.test"));
    CHECK_FALSE(about("v@a.test", "u@a.test"));
    CHECK(about("a.test", "u@a.test"));
}

TEST_CASE("orders: in words, for logs and for who ends them; a sender hears nothing of how mail is routed")
{
    const auto text = [](Order::Kind kind, const char* destination, const char* sender = "", const char* reason = "") {
        Order order = wanted(kind, destination, sender);
        order.set_reason(reason);
        return order_text(order);
    };
    CHECK(order_words(wanted(Order::SUSPEND, "smtp:[mx]:25")) == "'smtp:[mx]:25'");
    CHECK(order_words(wanted(Order::SUSPEND, "o'x@a.test")) == "'o'\\''x@a.test'");
    CHECK(text(Order::SUSPEND, "*") == "deliveries suspended by an operator");
    CHECK(text(Order::SUSPEND, "a.test", "", "moving house") == "deliveries to a.test suspended by an operator: moving house");
    CHECK(text(Order::SUSPEND, ".a.test", "@b.test") == "deliveries to a.test from @b.test suspended by an operator");
    CHECK(text(Order::SUSPEND, "smtp:") == "deliveries by smtp suspended by an operator");
    CHECK(text(Order::SUSPEND, "smtp:[mx]:25") == "deliveries by smtp to [mx]:25 suspended by an operator");
    CHECK(text(Order::BOUNCE, "a.test", "", "spam") == "mail to a.test is returned by order of an operator of this mail system: spam");
    CHECK(text(Order::BOUNCE, "out1:a.test") == "returned by order of an operator of this mail system");
}
