#include "inquiry/trial_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "inquiry/transcripts.hpp"
#include "ipc/client.hpp"
#include "trials/book.hpp"

#include <fmt/format.h>

namespace posthorn::inquiry {

using handoff::Trial;
using handoff::TrialEntry;
using handoff::TrialSample;

namespace {

std::string shown_word(std::string_view text) { return printable(text, true); }
std::string json_word(std::string_view text) { return json_text(shown_word(text)); }

std::string trial_counts(const Trial& trial)
{
    const Trial::Day sum = trials::sum_of(trial);
    const std::uint64_t judged = sum.passed() + sum.refused();
    std::string text = fmt::format("{} {}{} judged: {} passed", judged, trial.out() ? "session" : "recipient", judged == 1 ? "" : "s", sum.passed());
    if (sum.unheld() > 0)
        text += fmt::format(" ({} without TLSA records to hold them against)", sum.unheld());
    text += fmt::format(", {} would have been refused", sum.refused());
    if (sum.unknown() > 0)
        text += fmt::format("; {} not known", sum.unknown());
    return text;
}

std::string sample_text(const TrialSample& sample)
{
    std::string text = fmt::format("{}: {}", sample.queue_id().empty() ? "NOQUEUE" : shown_word(sample.queue_id()), shown_word(sample.peer()));
    if (sample.has_sender())
        text += fmt::format(" from=<{}>", shown_word(sample.sender()));
    return sample.recipient().empty() ? text : text + fmt::format(" to=<{}>", shown_word(sample.recipient()));
}

std::string entry_text(const TrialEntry& entry)
{
    std::string text =
        fmt::format("  {} {:>7}  {}{}: {}\n               {}", entry.unknown() ? '?' : ' ', entry.count(), shown_word(entry.whom()),
                    entry.host().empty() ? "" : " at " + shown_word(entry.host()), shown_word(entry.reason()), local_time(entry.first()));
    if (entry.count() > 1)
        text += " to " + local_time(entry.last());
    if (entry.samples_size() > 0)
        text += fmt::format("  {}", sample_text(entry.samples(0)));
    return text + "\n";
}

std::string time_word(std::int64_t microseconds) { return json_text(utc_time(microseconds)); }

std::string sample_json(const TrialSample& sample)
{
    return fmt::format(R"({{"time": {}, "queue_id": {}, "peer": {}, "sender": {}, "recipient": {}}})", time_word(sample.time()),
                       json_word(sample.queue_id()), json_word(sample.peer()), sample.has_sender() ? json_word(sample.sender()) : "null",
                       json_word(sample.recipient()));
}

std::string entry_json(const TrialEntry& entry)
{
    std::string samples;
    for (const TrialSample& sample : entry.samples())
        samples += (samples.empty() ? "" : ", ") + sample_json(sample);
    return fmt::format(R"({{"whom": {}, "host": {}, "reason": {}, "known": {}, "count": {}, "first": {}, "last": {}, "samples": [{}]}})",
                       json_word(entry.whom()), json_word(entry.host()), json_word(entry.reason()), !entry.unknown(), entry.count(),
                       time_word(entry.first()), time_word(entry.last()), samples);
}

}  // namespace

Result<handoff::Trials> ask_trials(const config::Snapshot& snapshot, handoff::TrialsCommand command, Until until)
{
    const std::string socket = fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::memory_socket);
    auto connected = ipc::connect_unix(socket);
    if (!connected)
        return Error{fmt::format("the mail system is down: {}: {}", socket, connected.error().text()), "4.3.0"};
    ipc::ChannelOptions options;
    options.name = "memory";
    return ask<handoff::Trials>(*std::move(connected), limited(options, until), handoff::Frame::trials, std::move(command));
}

std::string trial_text(const Trial& trial)
{
    std::string text = fmt::format("{:<3}  {}: {}\n", trial.out() ? "out" : "in", shown_word(trial.tried()), trial_counts(trial));
    for (const TrialEntry& entry : trial.entries())
        text += entry_text(entry);
    if (trial.left_out() > 0)
        text += fmt::format("    {:>7}  that were seen longest ago are not kept\n", trial.left_out());
    return text;
}

std::string trial_json(const Trial& trial)
{
    const Trial::Day sum = trials::sum_of(trial);
    std::string entries;
    for (const TrialEntry& entry : trial.entries())
        entries += (entries.empty() ? "" : ", ") + entry_json(entry);
    return fmt::format(
        R"({{"direction": "{}", "tried": {}, "judged": {}, "passed": {}, "without_records": {}, "refused": {}, "unknown": {}, "last": {}, )"
        R"("entries": [{}], "left_out": {}}})",
        trial.out() ? "out" : "in", json_word(trial.tried()), sum.passed() + sum.refused(), sum.passed(), sum.unheld(), sum.refused(), sum.unknown(),
        time_word(trial.last()), entries, trial.left_out());
}

}  // namespace posthorn::inquiry
