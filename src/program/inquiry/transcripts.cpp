#include "inquiry/transcripts.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/queue_listing.hpp"
#include "observe/ring.hpp"
#include "send/params.hpp"

#include <fmt/format.h>

#include <time.h>

#include <algorithm>

namespace posthorn::inquiry {

using handoff::Transcript;
using handoff::TranscriptLine;

namespace {

std::string formatted_time(std::int64_t microseconds, const char* format, bool local)
{
    const time_t seconds = microseconds / 1'000'000;
    struct tm parts{};
    local ? ::localtime_r(&seconds, &parts) : ::gmtime_r(&seconds, &parts);
    char text[64];
    return {text, ::strftime(text, sizeof text, format, &parts)};
}

std::string_view peer_of(const Transcript& transcript)
{
    return transcript.relay().empty() ? std::string_view(transcript.site()) : std::string_view(transcript.relay());
}

}  // namespace

std::string local_time(std::int64_t microseconds, bool milliseconds)
{
    std::string text = formatted_time(microseconds, "%Y-%m-%d %H:%M:%S", true);
    return milliseconds ? text + fmt::format(".{:03}", microseconds / 1000 % 1000) : text;
}

std::string utc_time(std::int64_t microseconds) { return formatted_time(microseconds, "%Y-%m-%dT%H:%M:%SZ", false); }

Result<std::vector<Transcript>> read_transcripts(const config::Snapshot& snapshot)
{
    const std::string folder = fmt::format("{}/{}", snapshot.text("data_directory"), handoff::transcript_folder);
    const WallTime now = SystemClock().wall();
    std::vector<Transcript> failed, good;
    for (const auto& [ring, age, into] : {std::tuple{handoff::failed_ring, snapshot.get(send::smtp_transcript_failed_age), &failed},
                                          {handoff::good_ring, snapshot.get(send::smtp_transcript_good_age), &good}})
        TRY_VOID(observe::read_ring(folder, std::string(ring), [&](WallTime when, std::string_view octets) {
            Transcript transcript;
            if (when + age > now && transcript.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
                into->push_back(std::move(transcript));
        }));
    const auto count = static_cast<std::size_t>(snapshot.get(send::smtp_transcript_good_count));
    if (good.size() > count)
        good.erase(good.begin(), good.end() - static_cast<std::ptrdiff_t>(count));
    failed.insert(failed.end(), std::make_move_iterator(good.begin()), std::make_move_iterator(good.end()));
    return handoff::joined(std::move(failed));
}

bool concerns(const Transcript& transcript, std::string_view word)
{
    if (handoff::about(transcript, word))
        return true;
    if (word.find('@') != word.npos)
        return std::ranges::any_of(transcript.lines(), [path = fmt::format("<{}>", word)](const TranscriptLine& line) {
            return line.who() == TranscriptLine::CLIENT &&
                   (istarts_with(line.text(), "RCPT TO:" + path) || istarts_with(line.text(), "MAIL FROM:" + path));
        });
    const std::string relay = to_lower(transcript.relay()), wanted = to_lower(word);
    const auto bracket = relay.find('[');
    const std::string name = relay.substr(0, bracket);
    const std::string address = bracket == relay.npos ? std::string() : relay.substr(bracket + 1, relay.find(']') - bracket - 1);
    const std::string site = to_lower(transcript.site());
    return relay == wanted || name == wanted || address == wanted || site == wanted || site.ends_with(":" + wanted) || name.ends_with("." + wanted);
}

std::string line_of(const Transcript& transcript)
{
    std::string ids;
    for (const std::string& id : transcript.queue_ids())
        ids += " " + printable(id);
    return fmt::format("{}  {}  {} {}\n", local_time(transcript.began()), transcript.failures_size() != 0 ? "failed" : "good  ",
                       printable(peer_of(transcript), true), ids);
}

std::string text_of(const Transcript& transcript)
{
    const std::string relay = transcript.relay().empty() ? std::string("no connection") : "session with " + printable(transcript.relay(), true);
    std::string text = fmt::format("{}, by {}, {}{}\n", relay, printable(transcript.service()), local_time(transcript.began(), true),
                                   transcript.probe() ? ", a probe" : "");
    text += fmt::format("site {}\n", printable(transcript.site(), true));
    if (!transcript.tls().empty())
        text += printable(transcript.tls(), true) + "\n";
    if (transcript.queue_ids_size() != 0) {
        text += "queue ids:";
        for (const std::string& id : transcript.queue_ids())
            text += " " + printable(id);
        text += "\n";
    }
    for (const auto& failure : transcript.failures())
        text +=
            fmt::format("failed: {}{}{}\n", printable(failure.queue_id()), failure.queue_id().empty() ? "" : ": ", printable(failure.text(), true));
    text += "\n";
    const auto& lines = transcript.lines();
    std::int64_t shown = -1;
    for (int at = 0; at < lines.size(); ++at) {
        const TranscriptLine& line = lines[at];
        if (transcript.left_out() != 0 && at == static_cast<int>(transcript.opening()))
            text += fmt::format("            ({} lines are not kept)\n", transcript.left_out());
        if (line.with_next() && (at == 0 || !lines[at - 1].with_next())) {
            int last = at;
            while (last + 1 < lines.size() && lines[last].with_next())
                ++last;
            text += fmt::format("            (the next {} lines in one segment)\n", last - at + 1);
        }
        const std::string when = line.after() == shown ? std::string() : fmt::format("{}.{:03}", line.after() / 1000, line.after() % 1000);
        shown = line.after();
        const std::string words = printable(line.text(), true);
        text += line.who() == TranscriptLine::REMARK ? fmt::format("{:>8}    <{}>\n", when, words)
                                                     : fmt::format("{:>8}  {}: {}\n", when, line.who() == TranscriptLine::SERVER ? 'S' : 'C', words);
    }
    return text;
}

std::string json_of(const Transcript& transcript)
{
    const auto list = [](const auto& values, const auto& shown) {
        std::string text;
        for (const auto& value : values)
            text += (text.empty() ? "" : ", ") + shown(value);
        return "[" + text + "]";
    };
    static constexpr std::string_view who[] = {"remark", "server", "client"};
    return fmt::format(
        R"({{"began": "{}", "service": {}, "relay": {}, "site": {}, "tls": {}, "probe": {}, "queue_ids": {}, "failures": {}, "left_out": {}, "lines": {}}})",
        utc_time(transcript.began()), json_text(transcript.service()), json_text(transcript.relay()), json_text(transcript.site()),
        json_text(transcript.tls()), transcript.probe(), list(transcript.queue_ids(), json_text),
        list(transcript.failures(),
             [](const auto& one) { return fmt::format(R"({{"queue_id": {}, "text": {}}})", json_text(one.queue_id()), json_text(one.text())); }),
        transcript.left_out(), list(transcript.lines(), [](const TranscriptLine& line) {
            return fmt::format(R"({{"who": "{}", "text": {}, "milliseconds": {}, "with_next": {}}})", who[std::min<int>(line.who(), 2)],
                               json_text(line.text()), line.after(), line.with_next());
        }));
}

}  // namespace posthorn::inquiry
