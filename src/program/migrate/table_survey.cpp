#include "migrate/table_survey.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "tables/fixed.hpp"
#include "tables/kinds.hpp"
#include "tables/source.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

namespace posthorn::migrate {

namespace {

class Collected final : public observe::Sink {
public:
    void write(observe::Level level, std::string_view, std::string_view line) override
    {
        if (level == observe::Level::info)
            return;
        static constexpr std::string_view word = "warning: ";
        lines.emplace_back(line.starts_with(word) ? line.substr(word.size()) : line);
    }
    std::vector<std::string> lines;
};

/// Types of Postfix's that are none of ours: naming one is a table all the same.
constexpr std::string_view foreign[] = {"dbm", "sdbm", "netinfo", "nisplus"};

bool is_table(std::string_view word)
{
    const std::string_view type = word.substr(0, word.find(':')), name = word.substr(type.size() + 1);
    if (type == "unix")                                            // else a socket
        return name == "passwd.byname" || name == "group.byname";
    if (type == "proxy")
        return name.find(':') != name.npos;
    return std::ranges::find(tables::all_kinds(), type, &tables::Kind::name) != tables::all_kinds().end() ||
           std::ranges::find(foreign, type) != std::end(foreign);
}

/// The type:name words of a value. What names a service or a host is none, whatever it looks like.
void collect(std::string_view value, std::set<std::string>& into, int depth = 0)
{
    bool skip = false;
    for (std::string_view piece : config::split_grouped(value)) {
        while (piece.starts_with('!'))
            piece.remove_prefix(1);
        if (std::exchange(skip, false))
            continue;
        skip = piece == "check_policy_service" || piece == "reject_rbl_client";
        if (piece.starts_with('{') && piece.ends_with('}') && depth < 5) {
            collect(piece.substr(1, piece.size() - 2), into, depth + 1);
            continue;
        }
        const std::size_t colon = piece.find(':');
        if (colon == 0 || colon == piece.npos || colon + 1 == piece.size() || !is_table(piece))
            continue;
        if (piece.starts_with("proxy:"))
            piece.remove_prefix(6);
        into.emplace(piece);
    }
}

/// "name:nexthop", alone or behind FILTER.
void take_transport(std::string_view value, std::vector<std::string>& transports)
{
    for (const std::string_view word : split(value))
        if (const std::size_t colon = word.find(':'); colon != word.npos && colon > 0 && transports.size() < 10'000)
            if (const std::string name(word.substr(0, colon)); std::ranges::find(transports, name) == transports.end())
                transports.push_back(name);
}

/// Rules of a pattern table: its lines, since such a table cannot be walked. IF and ENDIF are none.
std::optional<std::uint64_t> rules_of(const std::string& spec, std::vector<std::string>& transports)
{
    const std::size_t colon = spec.find(':');
    if (const std::string_view type(spec.data(), colon); type != "regexp" && type != "pcre" && type != "cidr")
        return {};
    const std::string path = spec.substr(colon + 1);
    const auto text = config::read_file(path);
    if (!text)
        return {};
    tables::Warnings ignored;
    tables::LogicalLines lines(*text, path, ignored);
    std::uint64_t count = 0;
    for (tables::LogicalLine line; lines.next(line);) {
        for (const std::string_view word : split(line.text))
            take_transport(word, transports);
        count +=
            !istarts_with(line.text, "if ") && !istarts_with(line.text, "if!") && !istarts_with(line.text, "if/") && !iequals(line.text, "endif");
    }
    return count;
}

/// An index older than its source: what is looked up is not what the file says.
std::string stale(const std::string& spec)
{
    const std::size_t colon = spec.find(':');
    const std::string_view type(spec.data(), colon);
    const auto kind = std::ranges::find(tables::all_kinds(), type, &tables::Kind::name);
    if (kind == tables::all_kinds().end() || !kind->file_suffix || !*kind->file_suffix)
        return {};
    const std::string source = spec.substr(colon + 1), index = source + kind->file_suffix;
    struct stat of_source{}, of_index{};
    if (::stat(source.c_str(), &of_source) != 0 || ::stat(index.c_str(), &of_index) != 0 || of_source.st_mtime <= of_index.st_mtime)
        return {};
    return fmt::format("database {} is older than source file {}", index, source);
}

TableState open(const std::string& spec, const config::Snapshot& snapshot)
{
    TableState state;
    state.spec = spec;
    static SystemClock clock;
    const auto said = std::make_shared<Collected>();
    tables::open_libraries(spec);
    tables::Tables all(observe::Log(said, "migrate"), clock);
    all.set_parameters([&](const std::string& name) -> std::optional<std::string> {
        return snapshot.as_written(name) ? std::optional{snapshot.text(name)} : std::nullopt;
    });
    const auto table = all.open(spec);
    if (const auto broken = table->broken()) {
        state.trouble = broken->what();
        if (state.trouble.starts_with(spec + ": "))
            state.trouble.erase(0, spec.size() + 2);
        // Debian's default type is hash, that of Postfix 3.11 is lmdb.
        const std::string file = spec.starts_with("lmdb:") ? spec.substr(5) + ".db" : "";
        if (!file.empty() && ::access(file.c_str(), F_OK) == 0)
            state.trouble += fmt::format("; {} is there: set default_database_type = hash, or name the type", file);
    } else {
        std::uint64_t count = 0;
        if (table->in_memory() && table->visit([&](std::string_view, std::string_view value) {
                ++count;
                take_transport(value, state.transports);
            }))
            state.entries = count;
        else
            state.entries = rules_of(spec, state.transports);
        if (std::string old = stale(spec); !old.empty())
            state.warnings.push_back(std::move(old));
    }
    for (std::string& line : said->lines)
        if (state.trouble.empty() || line.find(state.trouble) == line.npos)
            state.warnings.push_back(std::move(line));
    return state;
}

}  // namespace

/// Nor is a cache one that an administrator has to look at: it is made where it is not there.
bool names_no_table(std::string_view parameter)
{
    for (const std::string_view end : {"_transport", "_directory", "_command", "_milters", "_service", "_service_name", "_path",
                                       "_session_cache_database", "_cache_map", "address_verify_map", "_auth_cache_name"})
        if (parameter.ends_with(end))
            return true;
    return parameter == "proxy_read_maps" || parameter == "proxy_write_maps" || parameter == "content_filter" || parameter == "relayhost";
}

bool table_names(const std::vector<TableState>& tables, std::string_view transport)
{
    for (const TableState& table : tables) {
        const bool routes = std::ranges::any_of(table.used_by, [](const std::string& parameter) {
            return parameter.find("transport") != parameter.npos || parameter.find("_restrictions") != parameter.npos ||
                   parameter.ends_with("_checks");
        });
        if (!routes || !table.trouble.empty())
            continue;
        if (!table.entries || std::ranges::any_of(table.transports, [&](const std::string& name) { return name == transport; }))
            return true;
    }
    return false;
}

std::vector<TableState> survey_tables(const config::Snapshot& snapshot, const config::MasterCf& master_cf)
{
    std::map<std::string, std::set<std::string>> used;
    const auto take = [&](std::string_view parameter, const config::Snapshot& own, std::string_view value) {
        if (names_no_table(parameter))
            return;
        const auto expanded = own.expand(value);
        std::set<std::string> specs;
        if (expanded)
            collect(*expanded, specs);
        for (const std::string& spec : specs)
            for (const std::string& leaf : tables::leaves_of(spec))
                used[leaf].emplace(parameter);
    };
    for (const auto& [name, definition] : snapshot.written())
        take(name, snapshot, definition->value);
    for (const char* name : {"alias_maps", "alias_database", "local_recipient_maps"})
        if (!snapshot.definition(name))
            take(name, snapshot, snapshot.as_written(name).value_or(""));
    for (const config::ServiceLine& service : master_cf.services) {
        const config::Snapshot own = snapshot.for_service(service.name, service.command, service.overrides, master_cf.path);
        for (const config::Assignment& assignment : service.overrides)
            take(assignment.name, own, assignment.value);
    }
    std::vector<TableState> states;
    for (const auto& [spec, parameters] : used) {
        states.push_back(open(spec, snapshot));
        states.back().used_by.assign(parameters.begin(), parameters.end());
    }
    return states;
}

}  // namespace posthorn::migrate
