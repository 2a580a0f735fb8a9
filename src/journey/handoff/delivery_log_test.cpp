#include "handoff/delivery_log.hpp"

#include <doctest/doctest.h>

using namespace posthorn::handoff;

TEST_CASE("delivery log: delays have two significant digits, and no more decimals than the limit")
{
    CHECK(format_delay(0) == "0");
    CHECK(format_delay(4'000) == "0");
    CHECK(format_delay(10'000) == "0.01");
    CHECK(format_delay(534'000) == "0.53");
    CHECK(format_delay(4'260'000) == "4.3");
    CHECK(format_delay(12'400'000) == "12");
    CHECK(format_delay(4'321'000'000) == "4321");
    CHECK(format_delay(5'340, 3) == "0.005");
    CHECK(format_delay(53'400, 4) == "0.053");
    CHECK(format_delay(-5) == "0");
}

TEST_CASE("delivery log: the line analysers parse")
{
    Recipient recipient;
    recipient.set_address("user@example.com");
    recipient.set_original("alias@example.com");
    Verdict verdict;
    verdict.set_relay("mx.example.com[192.0.2.1]:25");
    verdict.set_status("2.1.5");
    verdict.set_text("250 2.1.5 Ok");
    const DeliveryTimes times{.arrival = 1'000'000, .active = 1'500'000, .connecting = 1'600'000, .connected = 1'900'000, .finished = 3'000'000};
    CHECK(delivery_line("4gDq", recipient, verdict, times, "sent", 2) ==
          "4gDq: to=<user@example.com>, orig_to=<alias@example.com>, relay=mx.example.com[192.0.2.1]:25, conn_use=2, delay=2, "
          "delays=0.5/0.1/0.3/1.1, dsn=2.1.5, status=sent (250 2.1.5 Ok)");
    CHECK(delivery_line("4gDq", recipient, verdict, times, "sent", 0, 2, "may:none")
              .ends_with("delays=0.5/0.1/0.3/1.1, tls=may:none, dsn=2.1.5, status=sent (250 2.1.5 Ok)"));
    recipient.set_original("User@Example.com");                        // letters alone are no other address
    CHECK(delivery_line("4gDq", recipient, verdict, times, "sent").starts_with("4gDq: to=<user@example.com>, relay="));
}

TEST_CASE("delivery log: what never connected has no connection times")
{
    Recipient recipient;
    recipient.set_address("u@x.test");
    Verdict verdict;
    verdict.set_status("4.4.1");
    verdict.set_text("connect to x.test[192.0.2.1]:25: Connection refused");
    CHECK(delivery_line("Q", recipient, verdict, {.arrival = 1, .active = 2, .finished = 1'000'001}, "deferred") ==
          "Q: to=<u@x.test>, relay=none, delay=1, delays=0/1/0/0, dsn=4.4.1, status=deferred (connect to x.test[192.0.2.1]:25: Connection refused)");
}
