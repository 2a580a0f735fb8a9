#include "services/kept_file.hpp"

#include "async/run.hpp"
#include "spool/recorded_files.hpp"

#include <doctest/doctest.h>

#include <cerrno>

using namespace posthorn;
using namespace posthorn::services;

namespace {

handoff::StoredOrders orders_to(const std::string& destination)
{
    handoff::StoredOrders orders;
    orders.set_last_number(1);
    handoff::Order& order = *orders.add_orders();
    order.set_destination(destination);
    order.set_number(1);
    return orders;
}

std::string destination_in(OrderFile::Found kept)
{
    return !kept.trouble.empty() ? "trouble: " + kept.trouble : kept.message.orders_size() == 0 ? "none" : kept.message.orders(0).destination();
}

}  // namespace

TEST_CASE("order file: what is written is read; none is none")
{
    asio::io_context loop;
    spool::RecordedFiles files;
    OrderFile file(files, order_file);
    CHECK(destination_in(file.read()) == "none");
    REQUIRE(run(loop, file.write(orders_to("a.test"))));
    CHECK(destination_in(file.read()) == "a.test");
    REQUIRE(run(loop, file.write(orders_to("longer.a.test"))));
    REQUIRE(run(loop, file.write(orders_to("b.test"))));
    CHECK(destination_in(file.read()) == "b.test");
}

TEST_CASE("order file: power is cut at any moment: what was written last is there, or what comes next")
{
    std::mt19937_64 random(7);
    for (int round = 0; round < 40; ++round) {
        asio::io_context loop;
        spool::RecordedFiles files;
        OrderFile file(files, order_file);
        std::unique_ptr<spool::RecordedFiles> left;
        std::string certain = "none", under_way = "none";
        std::size_t count = 0;
        const auto cut = static_cast<std::size_t>(round) + 1;
        files.after = [&](const spool::Operation&) {
            if (++count == cut)
                left = files.power_loss(random);
        };
        for (const char* destination : {"a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test", "h.test", "i.test"}) {
            under_way = destination;
            REQUIRE(run(loop, file.write(orders_to(destination))));
            if (left)
                break;
            certain = destination;
        }
        REQUIRE(left);
        const std::string found = destination_in(OrderFile(*left, order_file).read());
        CAPTURE(round);
        CHECK((found == certain || found == under_way));
    }
}

TEST_CASE("order file: it is on stable storage when it was written")
{
    std::mt19937_64 random(11);
    asio::io_context loop;
    spool::RecordedFiles files;
    OrderFile file(files, order_file);
    for (const char* destination : {"a.test", "b.test", "c.test"}) {
        REQUIRE(run(loop, file.write(orders_to(destination))));
        for (int again = 0; again < 10; ++again)
            CHECK(destination_in(OrderFile(*files.power_loss(random), order_file).read()) == destination);
    }
}

TEST_CASE("order file: where one of its steps fails that is said, and what was there before stays")
{
    using Kind = spool::Operation::Kind;
    for (const Kind kind : {Kind::create, Kind::truncate, Kind::write, Kind::sync, Kind::rename}) {
        CAPTURE(static_cast<int>(kind));
        asio::io_context loop;
        spool::RecordedFiles files;
        OrderFile file(files, order_file);
        REQUIRE(run(loop, file.write(orders_to("a.test"))));
        files.before = [&](const spool::Operation& operation) { return operation.kind == kind ? ENOSPC : 0; };
        const auto refused = run(loop, file.write(orders_to("b.test")));
        REQUIRE(!refused);
        CHECK(refused.error().status() == "4.3.1");
        CHECK(refused.error().text().starts_with("orders are not kept: orders.new: "));
        files.before = {};
        CHECK(destination_in(file.read()) == "a.test");
    }
}

TEST_CASE("order file: a damaged one is said and set aside")
{
    asio::io_context loop;
    spool::RecordedFiles files;
    OrderFile file(files, order_file);
    REQUIRE(run(loop, file.write(orders_to("a.test"))));
    files.damage("orders", 40, "X");
    CHECK(destination_in(file.read()) == "trouble: orders: it is damaged; it is kept as orders.damaged");
    CHECK(destination_in(file.read()) == "none");
    REQUIRE(run(loop, file.write(orders_to("a.test"))));
    CHECK(destination_in(OrderFile(files, {.name = "orders", .most = 10}).read()) ==
          "trouble: orders: it is too large; it is kept as orders.damaged");
    CHECK(destination_in(file.read()) == "none");
    const std::string text = kept_text("orders", orders_to("a.test").SerializeAsString());
    CHECK(read_kept<handoff::StoredOrders>("orders", text));
    for (std::size_t octets = 0; octets < text.size(); ++octets)
        CHECK_FALSE(read_kept<handoff::StoredOrders>("orders", std::string_view(text).substr(0, octets)));
    CHECK_FALSE(read_kept<handoff::StoredOrders>("orders", text + "x"));
    CHECK_FALSE(read_kept<handoff::StoredAccounts>("accounts", text));
}
