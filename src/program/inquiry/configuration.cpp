#include "inquiry/configuration.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/master_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace posthorn::inquiry {

namespace {

std::optional<std::string> written_value(const config::Snapshot& snapshot, std::string_view name)
{
    const config::Definition* const found = snapshot.definition(name);
    return found ? std::optional(found->value) : std::nullopt;
}

void parameters_pending(const config::Snapshot& in_force, const config::Snapshot& written, std::vector<Pending>& changes)
{
    std::set<std::string, std::less<>> names;
    for (const config::Snapshot* one : {&in_force, &written})
        for (const auto& [name, definition] : one->written())
            names.emplace(name);
    for (const std::string& name : names) {
        Pending change;
        change.name = name;
        change.in_force = written_value(in_force, name);
        change.written = written_value(written, name);
        if (change.in_force == change.written)
            continue;
        if (change.written)
            change.place = written.definition(name)->place();
        changes.push_back(std::move(change));
    }
}

void lines_pending(const std::vector<std::pair<std::string, std::string>>& in_force, const config::MasterCf& written, std::vector<Pending>& changes)
{
    for (const config::ServiceLine& line : written.services) {
        Pending change;
        change.is_line = true;
        change.name = line.key();
        change.written = line.text();
        change.place = fmt::format("{}, line {}", written.path, line.line);
        const auto was = std::ranges::find(in_force, change.name, &std::pair<std::string, std::string>::first);
        if (was != in_force.end())
            change.in_force = was->second;
        if (change.in_force != change.written)
            changes.push_back(std::move(change));
    }
    for (const auto& [key, text] : in_force) {
        if (std::ranges::find(written.services, key, &config::ServiceLine::key) != written.services.end())
            continue;
        Pending change;
        change.is_line = true;
        change.name = key;
        change.in_force = text;
        changes.push_back(std::move(change));
    }
}

std::string shown(const std::optional<std::string>& value, bool is_line)
{
    if (!value)
        return is_line ? "no such line" : "not set";
    return value->empty() ? "(empty)" : printable(*value, true);
}

}  // namespace

Result<InForce> configuration_in_force(const config::Snapshot& snapshot)
{
    TRY(const auto told, ask_master<process::ConfigurationInForce>(snapshot, process::Control::configuration, process::ConfigurationQuestion{}));
    TRY(auto loaded, config::Snapshot::parse(told.snapshot()));
    InForce in_force{
        .snapshot = std::move(loaded), .lines = {}, .since = WallTime{std::chrono::microseconds{told.since()}}, .generation = told.generation()};
    for (const auto& line : told.lines())
        in_force.lines.emplace_back(line.key(), line.text());
    return in_force;
}

std::vector<Pending> pending_changes(const InForce& in_force, const config::Snapshot& written, const config::MasterCf& master_cf)
{
    std::vector<Pending> changes;
    parameters_pending(in_force.snapshot, written, changes);
    lines_pending(in_force.lines, master_cf, changes);
    return changes;
}

std::string pending_text(const std::vector<Pending>& changes)
{
    std::string text;
    for (const Pending& change : changes)
        text += fmt::format("{}{}\n    in force    {}\n    written     {}{}\n", printable(change.name, true), change.is_line ? " (master.cf)" : "",
                            shown(change.in_force, change.is_line), shown(change.written, change.is_line),
                            change.place.empty() ? "" : "  (" + printable(change.place, true) + ")");
    return text;
}

std::string pending_json(const Pending& change)
{
    const auto or_null = [](const std::optional<std::string>& value) { return value ? json_text(*value) : "null"; };
    return fmt::format("{{\"file\": \"{}\", \"name\": {}, \"in_force\": {}, \"written\": {}, \"place\": {}}}",
                       change.is_line ? "master.cf" : "main.cf", json_text(change.name), or_null(change.in_force), or_null(change.written),
                       change.place.empty() ? "null" : json_text(change.place));
}

}  // namespace posthorn::inquiry
