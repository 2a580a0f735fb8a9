#include "tools/postconf_print.hpp"

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace posthorn::tools {

namespace {

std::string print_text(std::string_view name, std::string_view value, PrintManner manner)
{
    std::string text, line = manner.names ? fmt::format("{} =", name) : "";
    bool first = !manner.names;
    for (const auto word : split(value)) {
        if (manner.fold && line.size() > 3 && line.size() + !first + word.size() > config::fold_width) {
            text += line;
            text += '\n';
            line = "   ";
            first = false;
        }
        if (!first)
            line += ' ';
        line += word;
        first = false;
    }
    return text + line;
}

std::string print_json(const config::MasterEntry* entry, std::string_view name, std::string_view value, PrintManner manner)
{
    const std::string shown = print_text({}, value, {.names = false});
    if (!manner.names)
        return json_object({{"value", shown}});
    if (entry && manner.values)
        return json_object({{"service", entry->columns[0]}, {"type", entry->columns[1]}, {"name", name}, {"value", shown}});
    if (entry)
        return json_object({{"service", entry->columns[0]}, {"type", entry->columns[1]}, {"name", name}});
    return manner.values ? json_object({{"name", name}, {"value", shown}}) : json_object({{"name", name}});
}

}  // namespace

PrintManner manner_of(const PostconfOptions& options)
{
    return {.names = !options.has('h'), .values = !options.has('H'), .fold = options.has('f'), .json = options.has('j')};
}

std::string print_parameter(const config::MasterEntry* entry, std::string_view name, std::string_view value, PrintManner manner)
{
    if (manner.json)
        return print_json(entry, name, value, manner) + "\n";
    const std::string path = entry ? fmt::format("{}/{}", entry->key(), name) : std::string(name);
    return (manner.values ? print_text(path, value, manner) : path) + "\n";
}

std::string print_entry(const config::MasterEntry& entry, PrintManner manner)
{
    if (!manner.json)
        return print_master_entry(entry, manner.fold) + "\n";
    std::string members;
    for (std::size_t field = 0; field < config::master_field_names.size(); ++field)
        members += fmt::format("{}\"{}\": {}", field == 0 ? "" : ", ", config::master_field_names[field],
                               json_text(field < entry.columns.size() ? entry.columns[field] : entry.command_text()));
    return "{" + members + "}\n";
}

}  // namespace posthorn::tools
