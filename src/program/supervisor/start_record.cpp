#include "supervisor/start_record.hpp"

#include "base/strings.hpp"
#include "supervisor/params.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::supervisor {

void put_folded(process::Folded& out, const std::string& service, const std::string& command, const std::vector<config::Assignment>& overrides)
{
    out.set_service(service);
    out.set_command(command);
    for (const config::Assignment& assignment : overrides) {
        out.add_names(assignment.name);
        out.add_values(assignment.value);
    }
}

/// Of import_environment what sets something: "NAME=value", "{ NAME = value of several words }".
std::vector<std::string> set_by(std::string_view text)
{
    std::vector<std::string> made;
    for (std::string_view word : config::split_grouped(text)) {
        if (word.starts_with('{') && word.ends_with('}'))
            word = word.substr(1, word.size() - 2);
        if (const auto equals = word.find('='); equals != word.npos)
            made.push_back(fmt::format("{}={}", trim(word.substr(0, equals)), trim(word.substr(equals + 1))));
    }
    return made;
}

/// Three of them within the time after which the watchdog kills.
std::uint32_t heartbeat_of(const Loaded& loaded)
{
    return static_cast<std::uint32_t>(
        std::min<std::int64_t>(loaded.snapshot.get(service_watchdog_time).count() / 3, process::longest_heartbeat_seconds));
}

StartRecord start_record(const Loaded& loaded, const Identity& owner, const ProcessLine& line)
{
    StartRecord start;
    const std::string imported = loaded.snapshot.get(import_environment);
    start.environment = set_by(imported);
    start.home = std::ranges::any_of(config::split_grouped(imported), [](std::string_view word) { return word == "HOME"; });
    process::Start& record = start.record;
    record.set_service(line.service);
    record.set_program(line.program);
    record.set_queue_directory(loaded.layout.queue_directory);
    record.set_data_directory(loaded.layout.data_directory);
    record.set_uid(owner.uid);
    record.set_gid(owner.gid);
    record.set_heartbeat_seconds(heartbeat_of(loaded));
    record.set_chroot(line.chroot);
    record.set_process_limit(line.process_limit);
    record.set_processes(line.processes);
    record.set_verbose(static_cast<std::uint32_t>(line.verbose));
    record.set_origin(loaded.master_cf.path);
    for (const std::string& argument : line.arguments)
        record.add_arguments(argument);
    put_folded(*record.mutable_own(), line.service, line.program, line.overrides);
    for (const FoldedInto& folded : line.folded)
        put_folded(*record.add_folded(), folded.service, folded.command, folded.overrides);
    return start;
}

}  // namespace posthorn::supervisor
