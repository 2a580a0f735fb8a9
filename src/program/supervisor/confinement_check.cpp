#include "supervisor/confinement_check.hpp"

#include "base/strings.hpp"
#include "observe/log_collector.hpp"
#include "process/memory_file.hpp"
#include "supervisor/start_record.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>

namespace posthorn::supervisor {

namespace {

constexpr int patience_ms = 60'000;

/// Until "end", the end of the stream, or the end of patience.
std::string read_report(int from)
{
    std::string report;
    char text[4096];
    for (pollfd waiting{from, POLLIN, 0}; !report.ends_with("end\n") && ::poll(&waiting, 1, patience_ms) == 1;) {
        const ssize_t count = ::read(from, text, sizeof text);
        if (count <= 0)
            break;
        report.append(text, static_cast<std::size_t>(count));
    }
    return report;
}

/// "uid 101 gid 104 capabilities 0000000000000000 NoNewPrivs 1 Seccomp 2"
std::string standing(pid_t pid)
{
    std::string facts;
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);)
        for (const std::string_view name : {"Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"})
            if (line.starts_with(name))
                facts +=
                    fmt::format("{}{}{}", facts.empty() ? "" : ", ", name, fmt::join(split(std::string_view(line).substr(name.size()), "\t "), " "));
    return facts;
}

bool check(const MasterOptions& options, const Loaded& loaded, const Identity& owner, const ProcessLine& line, int config, observe::LogCollector& log)
{
    const std::string who = fmt::format("{} {}", line.program, line.key);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        fmt::print("{}: {}\n", who, errno_text(errno));
        return false;
    }
    Fd ours(ends[0]), theirs(ends[1]);
    StartRecord start = start_record(loaded, owner, line);
    start.config(config);
    const auto ring = log.ring();
    const Fd bell = log.bell();
    if (ring)
        start.log(ring->memory.get(), bell.get());
    start.check_powers(theirs.get());
    // Its control channel is at its end at once: no broker, no supervisor.
    auto spawned = spawn_service(options.services_program, std::move(start));
    theirs.reset();
    if (!spawned) {
        fmt::print("{}: {}\n", who, spawned.error().text());
        return false;
    }
    spawned->control.reset();
    const std::string report = read_report(ours.get());
    bool good = report.ends_with("end\n");
    fmt::print("{}: {}\n", who, standing(spawned->pid));
    for (const std::string_view entry : split(report, "\n")) {
        const std::size_t tab = entry.find('\t');
        if (tab == entry.npos)
            continue;
        const std::string_view outcome = entry.substr(tab + 1);
        fmt::print("{}: {}: {}\n", who, entry.substr(0, tab), outcome.empty() ? "allowed" : outcome);
        good = good && outcome != "allowed";
    }
    if (!report.ends_with("end\n"))
        fmt::print("{}: the report is not complete\n", who);
    ours.reset();
    int status = 0;
    if (::waitpid(spawned->pid, &status, WNOHANG) == 0) {
        ::kill(spawned->pid, report.ends_with("end\n") ? 0 : SIGKILL);
        ::waitpid(spawned->pid, &status, 0);
    }
    if (ring)
        log.forget(ring->number);
    return good;
}

}  // namespace

int check_confinement(const MasterOptions& options, std::span<const std::string> wanted)
{
    const auto fatal = [](const std::string& text) {
        fmt::print(stderr, "posthorn: fatal: {}\n", text);
        return 1;
    };
    const auto loaded = load_configuration(options.config_directory, options.rooms);
    if (!loaded)
        return fatal(loaded.error().front());
    const auto owner = identity(loaded->snapshot);
    if (!owner)
        return fatal(owner.error().text());
    if (::chdir(loaded->layout.queue_directory.c_str()) != 0)
        return fatal(fmt::format("{}: {}", loaded->layout.queue_directory, errno_text(errno)));
    const auto config = process::make_memory_file("configuration", loaded->snapshot.serialise());
    if (!config)
        return fatal(config.error().text());
    ::umask(0022);
    observe::LogCollector log(Fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)), observe::LogForm::file);
    bool good = true;
    std::size_t checked = 0;
    for (const ProcessLine& line : loaded->table.lines) {
        if (!wanted.empty() && std::ranges::none_of(wanted, [&](const auto& word) { return word == line.program || word == line.key; }))
            continue;
        good &= check(options, *loaded, *owner, line, config->get(), log);
        ++checked;
    }
    return checked == 0 ? fatal("no such service") : good ? 0 : 1;
}

}  // namespace posthorn::supervisor
