// Operators' orders: the file that keeps them, and the words that name whose mail they are for. What is read is what was written, and nothing else is read; a
// word that is taken is in its form, which is taken as it is; orders that were stored are the same when they are stored again.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "schedule/orders.hpp"
#include "services/kept_file.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::schedule;

namespace {

bool is_space_beyond_blank(char c) { return c != ' ' && is_space(c); }

void check_words(std::string_view input)
{
    const auto end = input.find('\n');
    const std::string_view first = input.substr(0, end), second = end == input.npos ? std::string_view() : input.substr(end + 1);
    const auto destination = order_destination(first);
    FUZZ_CHECK(destination || (destination.error().status() == "5.5.4" && destination.error().text().find('\n') == std::string::npos));
    if (destination)
        FUZZ_CHECK(order_destination(*destination).value_or("") == *destination);
    const auto sender = order_sender(second);
    if (sender)
        FUZZ_CHECK(order_sender(*sender).value_or("") == *sender);
    if (!destination)
        return;
    handoff::Order order;
    order.set_destination(*destination);
    order.set_sender(sender.value_or(""));
    const auto formed = order_in_form(order);
    FUZZ_CHECK(formed && formed->destination() == *destination && formed->sender() == sender.value_or(""));
    FUZZ_CHECK(std::ranges::none_of(order_text(*formed), is_space_beyond_blank));
    // An address that is named is found, in whichever letters somebody writes it.
    handoff::Route route;
    Orders orders;
    FUZZ_CHECK(orders.give(*formed, WallTime{}));
    const std::string from = sender.value_or("").starts_with('@') ? "u" + *sender : sender.value_or("") == "<>" ? "" : sender.value_or("a@b.test");
    if (destination->find('@') != destination->npos && destination->find(':') == destination->npos && from.find("@.") == from.npos) {
        FUZZ_CHECK(orders.for_mail(to_upper(*destination), route, to_upper(from), WallTime{}));
        FUZZ_CHECK(may_be_for(*formed, *destination, from));
    }
}

/// What one order after the other is asked and told.
void check_ends(Orders orders)
{
    const WallTime now{std::chrono::seconds{1}};
    const auto next = orders.next_end();
    Orders earlier = orders;
    earlier.earlier(std::chrono::microseconds{1});
    FUZZ_CHECK(earlier.next_end().has_value() == next.has_value() &&
               (!next || *earlier.next_end() <= *next || *next <= WallTime{std::chrono::microseconds{1}}));
    handoff::Route route;
    route.set_transport("smtp");
    route.set_site("smtp:example.com");
    route.set_pool("bulk");
    for (const handoff::Order& order : orders.all()) {
        FUZZ_CHECK(orders.numbered(order.number()) == &order);
        FUZZ_CHECK(!order_words(order).empty() && order_words(order).find('\n') == std::string::npos);
        (void)is_about(order, "example.com", {&route, 1});
    }
    if (const handoff::Order* const counts = orders.for_mail("u@example.com", route, "a@b.test", now)) {
        FUZZ_CHECK(may_be_for(*counts, "u@example.com", "a@b.test") && is_about(*counts, "u@example.com", {&route, 1}));
        FUZZ_CHECK(counts->until() == 0 || WallTime{std::chrono::microseconds{counts->until()}} > now);
    }
    if (orders.closes("smtp", "smtp:example.com", "a@b.test", now))
        FUZZ_CHECK(orders.for_mail("u@example.com", route, "a@b.test", now));
    const std::size_t before = orders.all().size();
    const std::size_t ended = orders.end_of_time(WallTime::max()).size();
    FUZZ_CHECK(orders.all().size() == before - ended && !orders.next_end());
    if (!orders.empty()) {
        const handoff::Order first = orders.all().front();
        FUZZ_CHECK(!orders.end(first.destination(), first.sender()).empty() && !orders.numbered(first.number()));
    }
    orders.end({}, {});
    FUZZ_CHECK(orders.empty());
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_words(input);
    if (const auto orders = services::read_kept<handoff::StoredOrders>("orders", input)) {
        FUZZ_CHECK(input.starts_with("posthorn orders 1 "));
        const Orders restored = Orders::restored(*orders);
        FUZZ_CHECK(restored.all().size() <= most_orders);
        const handoff::StoredOrders stored = restored.stored();
        const auto again = services::read_kept<handoff::StoredOrders>("orders", services::kept_text("orders", stored.SerializeAsString()));
        FUZZ_CHECK(again && again->SerializeAsString() == stored.SerializeAsString());
        FUZZ_CHECK(Orders::restored(*again).stored().SerializeAsString() == stored.SerializeAsString());
    }
    // The same octets behind a head that fits them.
    handoff::StoredOrders any;
    if (any.ParseFromArray(input.data(), static_cast<int>(input.size()))) {
        const Orders restored = Orders::restored(any);
        FUZZ_CHECK(Orders::restored(restored.stored()).stored().SerializeAsString() == restored.stored().SerializeAsString());
        check_ends(restored);
        for (const handoff::Order& order : restored.all())
            FUZZ_CHECK(order_destination(order.destination()).value_or("") == order.destination() && order.number() != 0);
    }
}

}  // namespace posthorn::fuzz
