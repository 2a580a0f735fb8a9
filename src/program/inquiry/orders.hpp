// inquiry/orders.hpp: what operators order for destinations, by commands or over HTTP: the same words, the same frames, the same listings.
// Errors   what is wrong with a word, status 5.5.4; nothing is asked then.
#pragma once

#include "base/error.hpp"
#include "handoff/frames.pb.h"

#include <chrono>
#include <optional>
#include <string>

namespace posthorn::inquiry {

/// As somebody writes them. A bounce lasts an hour where no time is named, a suspension until it is ended.
struct OrderWords {
    std::string destination;
    std::optional<std::string> sender, lasts, reason;
    bool sure = false;                     // a bounce of "*" wants that
};
Result<handoff::QueueCommand> order_command(handoff::Order::Kind kind, const OrderWords& words, std::string by);
/// A time with its unit, "2h", within what an order may last.
Result<std::chrono::seconds> order_time_of(const std::string& word);
/// An empty destination: all.
Result<handoff::QueueCommand> end_command(const std::string& destination, const std::optional<std::string>& sender, std::string by);

/// "suspend", "bounce".
std::string_view order_name(const handoff::Order& order);
/// "suspend example.com, by root since 2026-11-25 19:01:22 until 2026-11-25 20:01:22: REASON (2 messages wait)"
std::string order_line(const handoff::Order& order);
/// The same of one that has ended: "suspend example.com: ended, 2 messages go now"
std::string ended_line(const handoff::Order& order);
/// One object.
std::string order_json(const handoff::Order& order);

}  // namespace posthorn::inquiry
