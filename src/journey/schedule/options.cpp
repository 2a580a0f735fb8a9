#include "schedule/options.hpp"

#include "schedule/params.hpp"

#include <fmt/format.h>

namespace posthorn::schedule {

RetryOptions retry_options(const config::Snapshot& snapshot)
{
    return {.minimal_backoff = snapshot.get(minimal_backoff_time),
            .maximal_backoff = snapshot.get(maximal_backoff_time),
            .maximal_lifetime = snapshot.get(maximal_queue_lifetime),
            .bounce_lifetime = snapshot.get(bounce_queue_lifetime),
            .delay_warning = snapshot.get(delay_warning_time)};
}

namespace {

Result<Feedback> feedback(const config::Snapshot& snapshot, const config::Param<std::string>& param, std::string_view transport)
{
    auto parsed = Feedback::parse(snapshot.get(param, transport));
    if (!parsed)
        return Error{fmt::format("{}{}: {}", transport, param.name.substr(std::string_view("transport").size()), parsed.error().text())};
    return parsed;
}

}  // namespace

Result<TransportOptions> transport_options(const config::Snapshot& snapshot, std::string_view transport, Capacity capacity)
{
    const auto number = [&](const config::Param<int>& param) { return static_cast<std::uint32_t>(snapshot.get(param, transport)); };
    TransportOptions options;
    options.window.limit = number(destination_concurrency_limit);
    options.window.initial = number(initial_concurrency);
    options.window.cohort_limit = number(failed_cohort_limit);
    options.window.rate_delay = snapshot.get(destination_rate_delay, transport);
    options.recipient_limit = number(destination_recipient_limit);
    options.rate_delay = snapshot.get(transport_rate_delay, transport);
    options.delivery_limit = capacity.deliveries;
    options.ahead = capacity.ahead;
    TRY(options.window.positive, feedback(snapshot, positive_feedback, transport));
    TRY(options.window.negative, feedback(snapshot, negative_feedback, transport));
    return options;
}

SchedulerOptions scheduler_options(config::Snapshot snapshot, std::function<Capacity(std::string_view)> capacity)
{
    SchedulerOptions options;
    options.active_messages = static_cast<std::size_t>(snapshot.get(qmgr_message_active_limit));
    options.active_recipients = static_cast<std::size_t>(snapshot.get(qmgr_message_recipient_limit));
    options.site_retry = snapshot.get(minimal_backoff_time);
    options.transport_retry = snapshot.get(transport_retry_time);
    options.transport = [snapshot = std::move(snapshot), capacity = std::move(capacity)](std::string_view transport) {
        return transport_options(snapshot, transport, capacity(transport)).value_or(TransportOptions{});
    };
    return options;
}

}  // namespace posthorn::schedule
