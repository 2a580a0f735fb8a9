#include "services/client_rates.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;

namespace {

using handoff::ClientEvent;

handoff::ClientEvent event(ClientEvent::What what, std::string client)
{
    handoff::ClientEvent made;
    made.set_what(what);
    made.set_client(std::move(client));
    return made;
}

}  // namespace

TEST_CASE("client rates: connections are counted over all processes, and end with theirs")
{
    HandClock clock;
    const auto sink = std::make_shared<observe::MemorySink>();
    ClientRates rates(clock, std::chrono::seconds{60}, observe::Log(sink, "postfix/anvil"));
    const int one = 1, two = 2;
    CHECK(rates.heard(&one, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).connections() == 1);
    CHECK(rates.heard(&two, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).connections() == 2);
    CHECK(rates.heard(&two, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).rate() == 3);
    CHECK(rates.heard(&two, event(ClientEvent::CONNECT, "smtp:192.0.2.2")).connections() == 1);
    // What a process says of others' connections does not count.
    rates.heard(&one, event(ClientEvent::DISCONNECT, "smtp:192.0.2.2"));
    rates.heard(&two, event(ClientEvent::DISCONNECT, "smtp:192.0.2.1"));
    CHECK(rates.heard(&one, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).connections() == 3);
    rates.gone(&two);
    CHECK(rates.heard(&one, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).connections() == 3);
    CHECK(rates.heard(&one, event(ClientEvent::CONNECT, "smtp:192.0.2.2")).connections() == 1);
    rates.gone(&one);
    CHECK(rates.heard(&one, event(ClientEvent::CONNECT, "smtp:192.0.2.1")).connections() == 1);
}

TEST_CASE("client rates: each kind by itself, anew with each time unit; who is long gone is forgotten")
{
    HandClock clock;
    const auto sink = std::make_shared<observe::MemorySink>();
    ClientRates rates(clock, std::chrono::seconds{60}, observe::Log(sink, "postfix/anvil"));
    const int smtpd = 0;
    const auto rate = [&](ClientEvent::What what) { return rates.heard(&smtpd, event(what, "smtp:192.0.2.1")).rate(); };
    CHECK(rate(ClientEvent::ASK_TLS) == 0);
    CHECK(rates.clients() == 0);
    CHECK(rate(ClientEvent::CONNECT) == 1);
    CHECK(rate(ClientEvent::MAIL) == 1);
    CHECK(rate(ClientEvent::MAIL) == 2);
    CHECK(rate(ClientEvent::RCPT) == 1);
    CHECK(rate(ClientEvent::NEW_TLS) == 1);
    CHECK(rate(ClientEvent::ASK_TLS) == 1);
    CHECK(rate(ClientEvent::AUTH) == 1);
    clock.advance(std::chrono::seconds{59});
    CHECK(rate(ClientEvent::MAIL) == 3);
    clock.advance(std::chrono::seconds{2});
    CHECK(rate(ClientEvent::MAIL) == 1);
    CHECK(rate(ClientEvent::ASK_TLS) == 0);
    rates.report();
    std::vector<std::string> texts;
    for (const std::string& line : sink->lines)
        texts.push_back(line.substr(line.find("statistics"), line.find(" at ") - line.find("statistics")));
    CHECK(texts == std::vector<std::string>{
                       "statistics: max connection rate 1/60s for (smtp:192.0.2.1)", "statistics: max connection count 1 for (smtp:192.0.2.1)",
                       "statistics: max message rate 3/60s for (smtp:192.0.2.1)", "statistics: max recipient rate 1/60s for (smtp:192.0.2.1)",
                       "statistics: max newtls rate 1/60s for (smtp:192.0.2.1)", "statistics: max auth rate 1/60s for (smtp:192.0.2.1)",
                       "statistics: max cache size 1"});
    sink->lines.clear();
    rates.report();
    CHECK(sink->lines.empty());
    CHECK(rates.clients() == 1);
    rates.heard(&smtpd, event(ClientEvent::DISCONNECT, "smtp:192.0.2.1"));
    clock.advance(std::chrono::seconds{61});
    rates.report();
    CHECK(rates.clients() == 0);
}
