#include "tools/postconf_master.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/logical_lines.hpp"
#include "tools/postconf_print.hpp"

namespace posthorn::tools {

using config::MasterEntry;

std::vector<MasterEntry> read_entries(const std::string& path, std::string_view text, std::vector<std::string>& warnings)
{
    std::vector<MasterEntry> entries;
    for (const auto& line : config::logical_lines(text)) {
        if (is_space(line.text.front())) {
            warnings.push_back(
                fmt::format("{}: logical line must not start with whitespace: \"{:.30}{}\"", path, line.text, line.text.size() > 30 ? "..." : ""));
            continue;
        }
        auto entry = config::parse_master_entry(line.text, warnings);
        if (!entry)
            throw Failure(fmt::format("file {}: line {}: {}", path, line.line, entry.error().what()));
        entries.push_back(std::move(*entry));
    }
    return entries;
}

std::size_t field_index(std::string_view name)
{
    const auto found = std::ranges::find(config::master_field_names, name);
    if (found == config::master_field_names.end())
        throw Failure(fmt::format("invalid service attribute name: \"{}\"", name));
    return static_cast<std::size_t>(found - config::master_field_names.begin());
}

namespace {

struct Request {
    std::string text;
    std::vector<std::string_view> parts;
    bool matched = false;
    bool takes(const MasterEntry& entry) const
    {
        return (parts[0] == "*" || parts[0] == entry.columns[0]) && (parts.size() < 2 || parts[1] == "*" || parts[1] == entry.columns[1]);
    }
    bool takes(std::string_view what) const { return parts.size() < 3 || parts[2] == "*" || parts[2] == what; }
};

std::vector<Request> requests_of(const PostconfOptions& options)
{
    std::vector<Request> requests(std::max<std::size_t>(options.arguments.size(), 1));
    if (options.arguments.empty())
        requests[0].parts = {"*", "*"};
    for (std::size_t i = 0; i < options.arguments.size(); ++i) {
        auto& request = requests[i];
        request.text = options.arguments[i];
        request.parts = split(request.text, "/");
        const std::size_t most = options.mode == 'M' ? 2 : 3;
        if (request.parts.empty() || request.parts.size() > most) {
            throw Failure(options.mode == 'M'   ? "-M option requires service_name[/type]"
                          : options.mode == 'F' ? "-F option requires service_name[/type[/field]]"
                                                : "-P option requires service_name[/type[/parameter]]");
        }
        if (options.mode == 'F' && request.parts.size() == 3 && request.parts[2] != "*")
            (void)field_index(request.parts[2]);
    }
    return requests;
}

}  // namespace

std::string list_master(const PostconfOptions& options, const std::vector<MasterEntry>& entries, const Parameters& parameters,
                        std::vector<std::string>& warnings)
{
    const PrintManner manner = manner_of(options);
    auto requests = requests_of(options);
    std::string out;
    const auto wanted = [&](const MasterEntry& entry, std::string_view what, bool whole) {
        bool any = false;
        for (auto& request : requests) {
            if (request.takes(entry) && (whole || request.takes(what))) {
                request.matched = true;
                any = true;
            }
        }
        return any;
    };
    for (const auto& entry : entries) {
        if (options.mode == 'M') {
            if (wanted(entry, {}, true))
                out += print_entry(entry, manner);
        } else if (options.mode == 'F') {
            for (std::size_t field = 0; field < config::master_field_names.size(); ++field) {
                const auto name = config::master_field_names[field];
                if (!wanted(entry, name, false))
                    continue;
                if (field == 7 && manner.fold && manner.values && !manner.json)
                    out += entry.folded_command(manner.names ? fmt::format("{}/{} = ", entry.key(), name) : "") + "\n";
                else
                    out += print_parameter(&entry, name, field < entry.columns.size() ? entry.columns[field] : entry.command_text(), manner);
            }
        } else {
            std::vector<std::pair<std::string, std::string>> own;
            for (const auto at : entry.overrides()) {
                const auto& text = entry.command[at];
                const auto equals = text.find('=');
                const std::string name{trim(std::string_view{text}.substr(0, equals))};
                if (!wanted(entry, name, false))
                    continue;
                std::erase_if(own, [&](const auto& earlier) { return earlier.first == name; });
                own.emplace_back(name, trim(std::string_view{text}.substr(equals + 1)));
            }
            std::ranges::sort(own);
            for (const auto& [name, value] : own)
                out += print_parameter(&entry, name, options.has('x') ? parameters.expanded(entry, value) : value, manner);
        }
    }
    for (const auto& request : requests)
        if (!request.matched && !request.text.empty())
            warnings.push_back(fmt::format("unmatched request: \"{}\"", request.text));
    return out;
}

}  // namespace posthorn::tools
