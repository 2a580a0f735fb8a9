#include "handoff/delivery_log.hpp"

#include "base/strings.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace posthorn::handoff {

std::string format_delay(std::int64_t microseconds, int resolution)
{
    const double seconds = static_cast<double>(std::max<std::int64_t>(0, microseconds)) / 1e6;
    if (seconds >= 10)
        return fmt::format("{:.0f}", seconds);
    // Two significant digits: 4.2, 0.53, 0.053.
    int decimals = seconds >= 1 ? 1 : 2;
    for (double limit = 0.1; seconds > 0 && seconds < limit && decimals < resolution; limit /= 10)
        ++decimals;
    std::string text = fmt::format("{:.{}f}", seconds, std::clamp(decimals, 0, resolution));
    if (text.find('.') != text.npos) {
        text.erase(text.find_last_not_of('0') + 1);
        if (text.ends_with('.'))
            text.pop_back();
    }
    return text;
}

std::string delivery_line(std::string_view queue_id, const Recipient& recipient, const Verdict& verdict, const DeliveryTimes& times,
                          std::string_view status, unsigned conn_use, int resolution, std::string_view tls)
{
    const std::int64_t end = times.finished > 0 ? times.finished : times.active;
    const std::int64_t active = times.active > 0 ? times.active : end;
    const std::int64_t connecting = times.connecting > 0 ? times.connecting : end;
    const std::int64_t connected = times.connected > 0 ? times.connected : end;
    std::string line;
    line.reserve(200 + recipient.address().size() + recipient.original().size() + verdict.relay().size() + verdict.text().size());
    const auto out = std::back_inserter(line);
    fmt::format_to(out, "{}: to=<{}>", queue_id, smtp::external_address(recipient.address()));
    if (!recipient.original().empty() && !iequals(recipient.original(), recipient.address()))
        fmt::format_to(out, ", orig_to=<{}>", smtp::external_address(recipient.original()));
    fmt::format_to(out, ", relay={}", verdict.relay().empty() ? std::string_view("none") : std::string_view(verdict.relay()));
    if (conn_use > 1)
        fmt::format_to(out, ", conn_use={}", conn_use);
    fmt::format_to(out, ", delay={}, delays={}/{}/{}/{}", format_delay(end - times.arrival, resolution),
                   format_delay(active - times.arrival, resolution), format_delay(connecting - active, resolution),
                   format_delay(connected - connecting, resolution), format_delay(end - connected, resolution));
    if (!tls.empty())
        fmt::format_to(out, ", tls={}", tls);
    fmt::format_to(out, ", dsn={}, status={} ({})", verdict.status(), status, verdict.text());
    return line;
}

std::string_view status_word(Outcome outcome, bool probe, bool cached)
{
    if (probe)
        return outcome == OUTCOME_DELIVERED ? "deliverable" : cached ? "undeliverable" : "undeliverable-but-not-cached";
    switch (outcome) {
    case OUTCOME_DELIVERED: return "sent";
    case OUTCOME_DEFERRED: return "deferred";
    case OUTCOME_EXPIRED: return "expired";
    default: return "bounced";
    }
}

}  // namespace posthorn::handoff
