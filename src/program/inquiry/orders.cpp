#include "inquiry/orders.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "config/units.hpp"
#include "inquiry/transcripts.hpp"
#include "schedule/orders.hpp"

#include <fmt/format.h>

namespace posthorn::inquiry {

using handoff::Order;
using handoff::QueueCommand;

namespace {

constexpr std::chrono::hours usual_bounce{1};

std::string counted(std::uint64_t count, std::string_view what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); }

std::string order_time(std::int64_t microseconds) { return microseconds == 0 ? "null" : fmt::format("\"{}\"", utc_time(microseconds)); }

}  // namespace

/// With its unit: who writes 30 may mean minutes.
Result<std::chrono::seconds> order_time_of(const std::string& word)
{
    const auto time = word.empty() || !is_alpha(word.back()) ? std::nullopt : config::parse_whole_time(word, config::Unit::seconds);
    if (!time || *time < std::chrono::seconds{1} || *time > schedule::longest_order)
        return Error{fmt::format("time \"{}\": a number with its unit is wanted (s, m, h, d, w), within {} days", printable(word, true),
                                 schedule::longest_order.count()),
                     "5.5.4"};
    return *time;
}

Result<QueueCommand> order_command(Order::Kind kind, const OrderWords& words, std::string by)
{
    QueueCommand command;
    command.set_verb(QueueCommand::ORDER);
    Order& order = *command.mutable_order();
    order.set_kind(kind);
    order.set_destination(words.destination);
    if (words.sender) {
        TRY(*order.mutable_sender(), schedule::order_sender(*words.sender));
    }
    std::chrono::seconds lasts = kind == Order::BOUNCE ? usual_bounce : std::chrono::seconds{0};
    if (words.lasts) {
        TRY(lasts, order_time_of(*words.lasts));
    }
    order.set_lasts(std::chrono::microseconds(lasts).count());
    order.set_reason(words.reason.value_or(""));
    order.set_by(std::move(by));
    TRY(order, schedule::order_in_form(std::move(order)));
    if (kind == Order::BOUNCE && order.destination() == "*" && !words.sure)
        return Error{"all mail would be returned to its senders: that wants --yes (over HTTP yes=yes)", "5.5.4"};
    return command;
}

Result<QueueCommand> end_command(const std::string& destination, const std::optional<std::string>& sender, std::string by)
{
    QueueCommand command;
    command.set_verb(QueueCommand::END_ORDER);
    Order& order = *command.mutable_order();
    if (!destination.empty()) {
        TRY(*order.mutable_destination(), schedule::order_destination(destination));
    }
    if (sender) {
        TRY(*order.mutable_sender(), schedule::order_sender(*sender));
    }
    order.set_by(std::move(by));
    return command;
}

std::string_view order_name(const Order& order) { return order.kind() == Order::SUSPEND ? "suspend" : "bounce"; }

std::string order_line(const Order& order)
{
    const std::string until = order.until() == 0 ? "until it is ended" : "until " + local_time(order.until());
    const std::string reason = order.reason().empty() ? "" : ": " + printable(order.reason(), true);
    const std::string counts = order.kind() == Order::SUSPEND
                                   ? fmt::format("{} {}", counted(order.held_up(), "message"), order.held_up() == 1 ? "waits" : "wait")
                                   : fmt::format("mail of {} returned", counted(order.returned(), "recipient"));
    return fmt::format("{} {}, by {} since {} {}{} ({})", order_name(order), schedule::order_words(order), printable(order.by(), true),
                       local_time(order.since()), until, reason, counts);
}

std::string ended_line(const Order& order)
{
    const std::string counts = order.kind() == Order::SUSPEND
                                   ? fmt::format("{} {} now", counted(order.held_up(), "message"), order.held_up() == 1 ? "goes" : "go")
                                   : fmt::format("mail of {} was returned", counted(order.returned(), "recipient"));
    return fmt::format("{} {}: ended, {}", order_name(order), schedule::order_words(order), counts);
}

std::string order_json(const Order& order)
{
    return fmt::format(R"({{"order": "{}", "destination": {}, "sender": {}, "since": {}, "until": {}, "by": {}, "reason": {}, "held_up": {}, )"
                       R"("returned": {}}})",
                       order_name(order), json_text(order.destination()), order.sender().empty() ? "null" : json_text(order.sender()),
                       order_time(order.since()), order_time(order.until()), json_text(order.by()), json_text(order.reason()), order.held_up(),
                       order.returned());
}

}  // namespace posthorn::inquiry
