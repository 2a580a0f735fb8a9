#include "supervisor/loaded.hpp"

#include "base/strings.hpp"
#include "route/params.hpp"
#include "route/pools.hpp"
#include "supervisor/params.hpp"

#include <sched.h>

#include <algorithm>

namespace posthorn::supervisor {

namespace {

unsigned processors()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

TableOptions table_options(const config::Snapshot& snapshot)
{
    TableOptions options;
    options.default_process_limit = static_cast<unsigned>(snapshot.get(default_process_limit));
    const int wanted = snapshot.get(smtpd_processes);
    options.smtpd_processes = wanted > 0 ? static_cast<unsigned>(wanted) : std::clamp(processors() / 2, 1u, 8u);
    options.hook = !snapshot.text("record_hook_url").empty();
    options.reporter = !snapshot.text("aggregate_reports").empty();
    options.reports = !snapshot.text("report_addresses").empty();
    options.smtp_processes = static_cast<unsigned>(snapshot.get(smtp_processes));
    for (const std::string_view word : split(snapshot.text("master_service_disable"), ", \t\r\n"))
        options.disabled.emplace_back(word);
    return options;
}

}  // namespace

std::expected<Loaded, std::vector<std::string>> load_configuration(const std::string& config_directory, config::ParamLists rooms)
{
    std::vector<std::string> errors;
    auto snapshot = config::load(config_directory, "master", rooms);
    auto master_cf = config::read_master_cf(config_directory + "/master.cf");
    if (!snapshot)
        errors.push_back(snapshot.error().text());
    if (!master_cf)
        errors.push_back(master_cf.error().text());
    if (!errors.empty())
        return std::unexpected(std::move(errors));

    std::vector<config::Assignment> overrides;
    for (const config::ServiceLine& line : master_cf->services)
        overrides.insert(overrides.end(), line.overrides.begin(), line.overrides.end());
    std::vector<std::string> transports;
    for (const config::ServiceLine& line : master_cf->services)
        if (line.type == config::Transport::unix_stream)
            transports.push_back(line.name);

    auto report = snapshot->validated(rooms, transports, overrides);
    errors = std::move(report.errors);
    std::vector<std::string> warnings = snapshot->warnings();
    std::ranges::move(master_cf->warnings, std::back_inserter(warnings));
    std::ranges::move(report.warnings, std::back_inserter(warnings));
    // What -o says must hold as well; an error that main.cf has already is said once.
    for (const config::ServiceLine& line : master_cf->services) {
        if (line.overrides.empty())
            continue;
        const auto own = snapshot->for_service(line.name, line.command, line.overrides, fmt::format("{}: line {}", master_cf->path, line.line))
                             .validated(rooms, transports, overrides);
        for (const std::string& error : own.errors)
            if (std::ranges::find(errors, error) == errors.end())
                errors.push_back(error);
    }
    if (const auto pools = route::Pools::parse(snapshot->get(route::pooled_transports)); !pools)
        errors.push_back(pools.error().text());
    if (!errors.empty())
        return std::unexpected(std::move(errors));

    auto table = process_table(*master_cf, table_options(*snapshot));
    if (!table)
        return std::unexpected(std::vector{table.error().text()});
    std::ranges::copy(table->warnings, std::back_inserter(warnings));
    FileAccess files = FileAccess::from(*snapshot, master_cf->services);
    Layout layout = Layout::from(*snapshot);
    return Loaded{*snapshot, *std::move(master_cf), *std::move(table), std::move(files), std::move(layout), std::move(warnings)};
}

}  // namespace posthorn::supervisor
