#include "tools/postmap.hpp"

#include "async/run.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "config/paths.hpp"
#include "config/snapshot.hpp"
#include "tables/build.hpp"
#include "tables/fixed.hpp"
#include "tables/params.hpp"
#include "tools/alias_line.hpp"
#include "tools/postmap_message.hpp"

#include <fmt/format.h>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace posthorn::tools {

namespace {

using config::Octets;
using config::Param;

constexpr Param<Octets> lmdb_map_size{
    .name = "lmdb_map_size", .initial = "16777216", .least = {1}, .doc = "The first size of an LMDB file that is built; it grows as needed."};
constexpr Param<std::string> default_database_type{
    .name = "default_database_type", .initial = "lmdb", .least = 1, .doc = "The type of tables that are named without one."};

struct Fatal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What postmap and postalias differ in: the lines of their input, and what only one of them can be asked.
struct Program {
    std::string_view name, usage;
    const char* letters;
    bool aliases;
};
constexpr Program map_program{"postmap", "usage: postmap [-bfFhijmnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...", postmap_letters,
                              false};
constexpr Program alias_program{"postalias", "usage: postalias [-Nfijnoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
                                postalias_letters, true};

/// "NAME: warning: text" on standard error.
class StandardError final : public observe::Sink {
public:
    explicit StandardError(std::string_view name) : name_(name) {}
    void write(observe::Level, std::string_view, std::string_view line) override { fmt::print(stderr, "{}: {}\n", name_, line); }

private:
    std::string_view name_;
};

/// An open that fails is told as "fatal" by whoever asked; the table's own complaint about it would only double that.
class WithoutErrors final : public observe::Sink {
public:
    explicit WithoutErrors(std::string_view name) : sink_(name) {}
    void write(observe::Level level, std::string_view tag, std::string_view line) override
    {
        if (level != observe::Level::error)
            sink_.write(level, tag, line);
    }

private:
    StandardError sink_;
};

struct Options {
    std::optional<std::string> config_directory, query, erase;
    MessageKeys message;
    bool list = false, json = false, incremental = false, keep_root = false, new_permissions = false;
    std::optional<bool> utf8;
    tables::Flags flags;
    tables::BuildOptions build;
    std::vector<std::string> maps;
};

Options parse(std::span<char*> args, const Program& program)
{
    Options options;
    ::optind = 1;
    ::opterr = 1;
    for (int option = 0; (option = ::getopt(static_cast<int>(args.size()), args.data(), program.letters)) > 0;) {
        switch (option) {
        case 'N': options.build.nul = tables::BuildOptions::Nul::with; break;
        case 'n': options.build.nul = tables::BuildOptions::Nul::without; break;
        case 'U': options.utf8 = true; break;
        case 'u': options.utf8 = false; break;
        case 'b': options.message.body = true; break;
        case 'h': options.message.headers = true; break;
        case 'm': options.message.mime = true; break;
        case 'c': options.config_directory = ::optarg; break;
        case 'd': options.erase = ::optarg; break;
        case 'q': options.query = ::optarg; break;
        case 'f': options.flags.fold = false; break;
        case 'F': options.flags.file_values = true; break;
        case 'i': options.incremental = true; break;
        case 'j': options.json = true; break;
        case 'o': options.keep_root = true; break;
        case 'p': options.new_permissions = true; break;
        case 'r': options.build.duplicate = tables::BuildOptions::Duplicate::replace; break;
        case 'w': options.build.duplicate = tables::BuildOptions::Duplicate::ignore; break;
        case 's': options.list = true; break;
        case 'v': break;
        default: throw Fatal(std::string(program.usage));
        }
    }
    if (int{options.list} + int{options.query.has_value()} + int{options.erase.has_value()} > 1)
        throw Fatal("specify only one of -s -q or -d");
    if (options.json && !options.list && !options.query)
        throw Fatal("specify -j only with -s or -q");
    if ((options.message.body || options.message.headers || options.message.mime) && options.query != "-")
        throw Fatal("specify -b -h or -m only with \"-q -\"");
    if (options.message.mime && !options.message.body && !options.message.headers)
        throw Fatal("specify -m only with -b or -h");
    for (std::size_t at = static_cast<std::size_t>(::optind); at < args.size(); ++at)
        options.maps.emplace_back(args[at]);
    if (options.maps.empty())
        throw Fatal(std::string(program.usage));
    return options;
}

std::string standard_input()
{
    auto text = tables::read_all(STDIN_FILENO);
    if (!text)
        throw Fatal("standard input: " + text.error().what());
    return std::move(*text);
}

class PostmapRun {
public:
    PostmapRun(const Program& program, Options options, const config::Snapshot& snapshot)
        : program_(program), options_(std::move(options)), default_type_(snapshot.get(default_database_type)), hostname_(snapshot.text("myhostname")),
          tables_(observe::Log{std::make_shared<WithoutErrors>(program.name), std::string(program.name)}, clock_)
    {
        tables_.set_parameters([snapshot](const std::string& name) -> std::optional<std::string> {
            return snapshot.as_written(name) ? std::optional{snapshot.text(name)} : std::nullopt;
        });
        options_.flags.utf8 = options_.utf8.value_or(snapshot.get(tables::smtputf8_enable));
        options_.build.map_size = static_cast<std::uint64_t>(snapshot.get(lmdb_map_size).count);
    }

    int operator()()
    {
        if (options_.query)
            return *options_.query == "-" ? query_all() : query(*options_.query);
        if (options_.erase)
            return erase(*options_.erase);
        for (const std::string& map : options_.maps) {
            if (options_.list)
                list(map);
            else
                build(map);
        }
        return 0;
    }

private:
    std::string spec(const std::string& map) const { return map.find(':') == map.npos ? default_type_ + ":" + map : map; }

    /// For a query the values of a text table come as files say (-F); what is stored is decoded only when printed.
    tables::Table& open(const std::string& map)
    {
        tables::Table& table = *tables_.open(spec(map), options_.flags);
        if (const auto reason = table.broken())
            throw Fatal(reason->what());
        return table;
    }

    std::string shown(tables::Table& table, std::string_view key, std::string value) const
    {
        if (value.empty()) {
            warn(fmt::format("table {}: key {}: empty string result is not allowed", table.name(), key));
            warn(fmt::format("table {} should return NO RESULT in case of NOT FOUND", table.name()));
        }
        if (!options_.flags.file_values)
            return value;
        auto content = base64_decode(value);
        if (!content)
            throw Fatal(fmt::format("table {}: key {}: malformed BASE64 value: {}", table.name(), key, printable(value.substr(0, 30))));
        return std::move(*content);
    }

    void warn(std::string_view text) const { fmt::print(stderr, "{}: warning: {}\n", program_.name, text); }

    std::optional<std::string> find(tables::Table& table, const std::string& key)
    {
        if (options_.flags.utf8 && !is_valid_utf8(key)) {
            warn(fmt::format("{}: non-UTF-8 key \"{}\": malformed UTF-8 or invalid codepoint", table.name(), printable(key)));
            return std::nullopt;
        }
        auto answer = table.in_memory() ? table.find(key) : posthorn::run(loop_, table.lookup(key), std::chrono::minutes(10));
        if (!answer)
            throw Fatal(fmt::format("table {}: query error: {}", table.name(), answer.error().what()));
        std::optional<std::string> value = *std::move(answer);
        if (!value)
            return std::nullopt;
        return shown(table, key, *std::move(value));
    }

    int query(const std::string& key)
    {
        for (const std::string& map : options_.maps)
            if (const auto value = find(open(map), key)) {
                if (options_.json)
                    print_entry(key, *value);
                else
                    fmt::print("{}\n", *value);
                return 0;
            }
        return 1;
    }

    int query_all()
    {
        std::vector<tables::Table*> opened;
        for (const std::string& map : options_.maps)
            opened.push_back(&open(map));
        bool found = false;
        for (const std::string& key : keys_from_input())
            for (tables::Table* table : opened)
                if (const auto value = find(*table, key)) {
                    print_entry(key, *value);
                    found = true;
                    break;
                }
        return found ? 0 : 1;
    }

    void print_entry(std::string_view key, std::string_view value) const
    {
        if (options_.json)
            fmt::print("{}\n", json_object({{"key", key}, {"value", value}}));
        else
            fmt::print("{}{}\t{}\n", key, program_.aliases ? ":" : "", value);
    }

    std::vector<std::string> keys_from_input() const
    {
        const std::string text = standard_input();
        if (options_.message.headers || options_.message.body)
            return message_keys(text, options_.message);
        std::vector<std::string> keys;
        for (const std::string_view line : split_exact(text, '\n'))
            keys.emplace_back(line);
        if (keys.back().empty())
            keys.pop_back();                                     // behind the last newline
        return keys;
    }

    std::unique_ptr<tables::Builder> builder(const std::string& full)
    {
        const std::size_t colon = full.find(':');
        auto made = tables::build(full.substr(0, colon), full.substr(colon + 1), options_.build);
        if (!made)
            throw Fatal(made.error().what());
        return std::move(*made);
    }

    int erase(const std::string& which)
    {
        options_.build.incremental = true;
        const std::vector<std::string> keys = which == "-" ? keys_from_input() : std::vector{which};
        std::size_t erased = 0;
        for (const std::string& map : options_.maps) {
            const std::string full = spec(map);
            const auto made = builder(full);
            open(map);                                           // nothing is created by taking something away
            for (const std::string& key : keys)
                made->erase(options_.flags.fold ? tables::fold_key(key, options_.flags.utf8) : key);
            erased += commit(*made, full).erased;
        }
        return erased > 0 ? 0 : 1;
    }

    tables::Builder::Done commit(tables::Builder& builder, const std::string& full) const
    {
        auto done = builder.commit();
        if (!done)
            throw Fatal(fmt::format("{}: {}", full, done.error().what()));
        for (const std::string& key : done->duplicates)
            warn(fmt::format("{}: duplicate entry: \"{}\"", done->name.empty() ? full : done->name, printable(key, true)));
        return std::move(*done);
    }

    void list(const std::string& map)
    {
        tables::Table& table = open(map);
        auto entries = table.entries();
        if (!entries)
            throw Fatal(entries.error().what());
        for (auto& [key, value] : *entries)
            print_entry(key, shown(table, key, std::move(value)));
    }

    /// What is made by root from a user's file is made with that user's rights (-o: not), and with the rights of the source.
    void take_on(const struct ::stat& source, const std::string& target)
    {
        struct ::stat old{};
        if (::stat(target.c_str(), &old) == 0) {
            options_.build.mode = old.st_mode & 0777;
            options_.build.owner = old.st_uid;
            options_.build.group = old.st_gid;
        } else if (!options_.new_permissions) {
            options_.build.mode = 0644 & (~0077U | (source.st_mode & 0077));
        }
        if (options_.keep_root || ::geteuid() != 0 || source.st_uid == 0)
            return;
        if (::setgroups(1, &source.st_gid) != 0 || ::setegid(source.st_gid) != 0 || ::seteuid(source.st_uid) != 0)
            throw Fatal("cannot take on the rights of the input file's owner");
    }

    std::optional<tables::KeyValue> parse(const tables::LogicalLine& line, const std::string& file, tables::Warnings& warnings) const
    {
        if (!program_.aliases)
            return tables::parse_key_value(line, file, options_.flags, warnings, "");
        if (options_.flags.utf8 && !is_valid_utf8(line.text)) {
            warnings.push_back(fmt::format("{}, line {}: non-UTF-8 input \"{}\" -- ignoring this line", file, line.number, printable(line.text)));
            return std::nullopt;
        }
        auto alias = parse_alias(line.text);
        if (!alias) {
            warnings.push_back(fmt::format("{}, line {}: {}", file, line.number, alias.error().what()));
            return std::nullopt;
        }
        return tables::KeyValue{options_.flags.fold ? tables::fold_key(alias->name, options_.flags.utf8) : std::move(alias->name),
                                std::move(alias->value), line.number};
    }

    /// What Sendmail ("@") and NIS look for in an alias database.
    void put_compatibility(tables::Builder& made) const
    {
        made.put("@", "@");
        made.put("YP_LAST_MODIFIED", std::to_string(std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count()));
        made.put("YP_MASTER_NAME", hostname_);
    }

    void build(const std::string& map)
    {
        const std::string full = spec(map);
        const std::string name = full.substr(full.find(':') + 1);
        options_.build.incremental = options_.incremental;
        std::string text, file = "stdin";
        if (options_.incremental) {
            const auto made = builder(full);                     // the kind is judged before anything is read
            text = standard_input();
        } else {
            builder(full);
            file = name;
            auto fd = tables_.site().opener->open(name);
            if (!fd)
                throw Fatal(fd.error().what());
            struct ::stat source{};
            if (::fstat(fd->get(), &source) != 0)
                throw Fatal(system_error("fstat " + name, errno).what());
            auto content = tables::read_all(fd->get());
            if (!content)
                throw Fatal(fmt::format("{} {}", content.error().what(), name));
            text = std::move(*content);
            take_on(source, tables::files_of(full).front());             // kinds that are built have a file
        }
        const auto made = builder(full);
        tables::Warnings warnings;
        tables::LogicalLines lines(text, file, warnings);
        for (tables::LogicalLine line; lines.next(line);) {
            auto entry = parse(line, file, warnings);
            if (!entry)
                continue;
            if (options_.flags.file_values) {
                auto value = tables::read_file_values(entry->value, *tables_.site().opener);
                if (!value) {
                    warnings.push_back(fmt::format("{}, line {}: {}: skipping this entry", file, entry->line, value.error().what()));
                    continue;
                }
                entry->value = std::move(*value);
            }
            made->put(entry->key, entry->value);
        }
        if (program_.aliases && !options_.incremental)
            put_compatibility(*made);
        for (const std::string& warning : warnings)
            warn(warning);
        commit(*made, full);
        if (::geteuid() != ::getuid() && (::seteuid(::getuid()) != 0 || ::setegid(::getgid()) != 0))
            throw Fatal("cannot take back my own rights");
    }

    const Program& program_;
    Options options_;
    std::string default_type_, hostname_;
    SystemClock clock_;
    asio::io_context loop_;                                      // for tables that ask a server
    tables::Tables tables_;
};

}  // namespace

namespace {

int run(std::span<char*> args, const Program& program)
{
    try {
        Options options = parse(args, program);
        const config::ParamInfo own[] = {lmdb_map_size, default_database_type};
        const std::span<const config::ParamInfo> rooms[] = {tables::params, own};
        auto snapshot = config::load(config::choose_config_directory(options.config_directory), program.name, rooms);
        if (!snapshot)
            throw Fatal(snapshot.error().text());
        const int status = PostmapRun(program, std::move(options), *snapshot)();
        if (std::fflush(stdout) != 0)
            throw Fatal("standard output: " + errno_text(errno));
        return status;
    } catch (const Fatal& error) {
        std::fflush(stdout);
        fmt::print(stderr, "{}: fatal: {}\n", program.name, error.what());
    } catch (const config::BadValue& error) {
        fmt::print(stderr, "{}: fatal: {}\n", program.name, error.what());
    }
    return 1;
}

}  // namespace

int postmap(std::span<char*> args) { return run(args, map_program); }

int postalias(std::span<char*> args) { return run(args, alias_program); }

}  // namespace posthorn::tools
