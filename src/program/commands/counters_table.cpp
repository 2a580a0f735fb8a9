#include "commands/counters_table.hpp"

#include "base/strings.hpp"
#include "handoff/counting.hpp"

#include <fmt/format.h>

#include <optional>
#include <string_view>

namespace posthorn::commands {

namespace {

struct Budget {
    std::string_view program;
    unsigned microseconds;                                             // per message of 4 KiB, log lines included
};
constexpr Budget budgets[] = {{"smtpd", 35}, {"qmgr", 30}, {"resolve", 10}, {"smtp", 20}, {"lmtp", 20}};

std::optional<std::int64_t> value_of(const process::ProcessCounters& one, std::string_view name)
{
    for (const auto& counter : one.counters())
        if (counter.name() == name)
            return counter.value();
    return {};
}

std::string or_dash(std::optional<std::int64_t> value) { return value ? fmt::format("{}", *value) : "-"; }

std::string quotient(std::int64_t spent, std::optional<std::int64_t> messages)
{
    return messages && *messages > 0 ? fmt::format("{:.1f}", static_cast<double>(spent) / static_cast<double>(*messages)) : "-";
}

std::string budget_of(std::string_view program)
{
    for (const Budget& budget : budgets)
        if (budget.program == program)
            return fmt::format("{}", budget.microseconds);
    return "-";
}

constexpr std::string_view row = "{:<20} {:<8} {:>8} {:>10} {:>12} {:>11} {:>7}\n";

}  // namespace

std::string counters_table(const process::InstanceCounters& counters)
{
    std::string text = fmt::format(row, "service", "program", "process", "messages", "cpu us", "us/message", "budget");
    std::int64_t all_spent = 0;
    std::optional<std::int64_t> taken;                                 // what went through the queue counts once
    for (const process::ProcessCounters& one : counters.processes()) {
        const auto spent = value_of(one, "processor_microseconds"), messages = value_of(one, "messages");
        text += fmt::format(row, one.service().empty() ? "-" : one.service(), one.program(), one.process(), or_dash(messages), or_dash(spent),
                            spent ? quotient(*spent, messages) : "-", budget_of(one.program()));
        all_spent = handoff::sum(all_spent, spent.value_or(0));
        if (one.program() == "qmgr")
            taken = handoff::sum(taken.value_or(0), messages.value_or(0));
    }
    text += fmt::format(row, "all", "", "", or_dash(taken), all_spent, quotient(all_spent, taken), "100");
    for (const process::ProcessCounters& one : counters.processes())
        for (const auto& counter : one.counters())
            if (counter.name() != "processor_microseconds" && counter.name() != "messages" &&
                !counter.name().starts_with("asked"))   // posthorn helpers
                text += fmt::format("{} {}: {} {}\n", one.program(), one.process(), printable(counter.name(), true), counter.value());
    return text;
}

}  // namespace posthorn::commands
