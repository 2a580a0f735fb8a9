#include "supervisor/trial.hpp"

#include "base/strings.hpp"
#include "observe/log_ring.hpp"
#include "supervisor/start_record.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace posthorn::supervisor {

namespace {

struct Trial {
    std::string line;
    pid_t pid = -1;
    Fd report;
    std::string passed;
    std::optional<observe::RingReader> log;
    bool over = false;
};

Result<Trial> begin(const std::string& program, const Loaded& loaded, const Identity& owner, const ProcessLine& line, int config)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("pipe", errno);
    Trial trial;
    trial.line = line.key;
    trial.report = Fd(ends[0]);
    const Fd theirs(ends[1]);
    StartRecord start = start_record(loaded, owner, line);
    start.config(config);
    TRY(const Fd log, observe::make_log_ring());                     // its fatal line is what we want to hear
    TRY(auto mapped, observe::map_log_ring(log));
    trial.log.emplace(std::move(mapped));
    const Fd bell(::eventfd(0, EFD_CLOEXEC));
    if (!bell)
        return system_error("eventfd", errno);
    start.log(log.get(), bell.get());
    start.trial(theirs.get());
    TRY(const auto spawned, spawn_service(program, std::move(start)));
    trial.pid = spawned.pid;
    return trial;                                                    // the control channel ends at once: it opens what it reads itself
}

/// The reason in "postfix/smtpd[17]: fatal: REASON", or whatever was said last.
std::string reason_in(std::optional<observe::RingReader>& log)
{
    std::vector<observe::RingReader::Line> lines;
    if (log)
        log->take(0, lines);
    for (const std::string_view mark : {": fatal: ", ": error: ", ": warning: "})
        for (auto line = lines.rbegin(); line != lines.rend(); ++line)
            if (const auto at = line->text.find(mark); at != line->text.npos)
                return line->text.substr(at + mark.size());
    return lines.empty() ? "the service ended without a word" : lines.back().text;
}

/// "FILE, line N: " of the first parameter that the reason names and somebody has written; empty: none.
std::string place_of(const std::string& reason, const config::Snapshot& snapshot)
{
    for (const std::string_view word : split(reason, " :;,=\"'()"))
        if (const auto* written = word.find('_') == word.npos ? nullptr : snapshot.definition(word))
            return written->place() + ": ";
    return {};
}

}  // namespace

std::vector<std::string> try_configuration(const std::string& services_program, const Loaded& loaded, const Identity& owner, int config,
                                           const std::set<std::string>& on_demand, std::chrono::milliseconds limit)
{
    std::vector<std::string> wrong;
    std::vector<Trial> trials;
    for (const ProcessLine& line : loaded.table.lines) {
        if (line.on_demand && !on_demand.contains(line.key))
            continue;
        auto begun = begin(services_program, loaded, owner, line, config);
        if (begun)
            trials.push_back(*std::move(begun));
        else
            wrong.push_back(fmt::format("service {}: {}", line.key, begun.error().text()));
    }
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::ranges::any_of(trials, [](const Trial& trial) { return !trial.over; })) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        if (left <= 0)
            break;
        std::vector<pollfd> waiting;
        for (const Trial& trial : trials)
            waiting.push_back({trial.over ? -1 : trial.report.get(), POLLIN, 0});
        if (::poll(waiting.data(), waiting.size(), static_cast<int>(left)) <= 0)
            continue;
        for (std::size_t at = 0; at < trials.size(); ++at) {
            if (waiting[at].revents == 0)
                continue;
            char text[4096];
            const ssize_t count = ::read(trials[at].report.get(), text, sizeof text);
            if (count > 0)
                trials[at].passed.append(text, static_cast<std::size_t>(count));
            if (trials[at].passed.size() > process::trial_passed.size())        // the last word counts
                trials[at].passed.erase(0, trials[at].passed.size() - process::trial_passed.size());
            trials[at].over = count <= 0;
        }
    }
    for (Trial& trial : trials) {
        if (!trial.over)
            ::kill(trial.pid, SIGKILL);
        (void)::waitpid(trial.pid, nullptr, 0);                      // the supervisor's own reaping may have been faster
        if (!trial.over || trial.passed.ends_with(process::trial_passed))
            continue;
        const std::string reason = reason_in(trial.log);
        wrong.push_back(fmt::format("{}service {}: {}", place_of(reason, loaded.snapshot), trial.line, reason));
    }
    return wrong;
}

}  // namespace posthorn::supervisor
