// send/plan_words_test.hpp: a plan in words, and what it costs, for tests.
#pragma once

#include "send/plan.hpp"

#include <string>
#include <string_view>

namespace posthorn::send {

inline std::string_view word_of(Act act)
{
    switch (act) {
    case Act::connect: return "connect";
    case Act::handshake: return "handshake";
    case Act::greeting: return "greeting";
    case Act::hello: return "EHLO";
    case Act::starttls: return "STARTTLS";
    case Act::auth: return "AUTH";
    case Act::rset: return "RSET";
    case Act::xforward: return "XFORWARD";
    case Act::mail: return "MAIL";
    case Act::rcpt: return "RCPT";
    case Act::data: return "DATA";
    case Act::content: return "content";
    case Act::dot: return ".";
    case Act::header_chunk: return "header";
    case Act::bdat: return "BDAT";
    case Act::pause: return "pause";
    case Act::quit: return "QUIT";
    }
    return "?";
}

/// Flights somebody waits for: all but a closing RSET QUIT.
inline unsigned round_trips(std::span<const Step> plan)
{
    unsigned trips = 0;
    while (!plan.empty()) {
        const auto flight = first_flight(plan);
        const bool goodbye =
            flight.front().act == Act::quit || (flight.front().act == Act::rset && flight.size() == 2 && flight.back().act == Act::quit);
        trips += goodbye ? 0 : 1;
        plan = plan.subspan(flight.size());
    }
    return trips;
}

/// "MAIL RCPT RCPT DATA | content . | RSET QUIT"
inline std::string text_of(std::span<const Step> plan)
{
    std::string text;
    bool new_flight = false;
    for (const Step& step : plan) {
        if (!text.empty())
            text += new_flight ? " | " : " ";
        text += word_of(step.act);
        new_flight = step.ends_flight;
    }
    return text;
}

}  // namespace posthorn::send
