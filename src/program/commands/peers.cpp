// posthorn peers: what is known of other servers. list, show, changes and export read the file of memory, which stores first what it has learned; forget
// and import are memory's to do, and are in force when the command returns.
#include "commands/command.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/known_peers.hpp"
#include "inquiry/memory_client.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/set_listing.hpp"
#include "peers/book.hpp"
#include "peers/listing.hpp"
#include "peers/store.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

namespace posthorn::commands {

using inquiry::known_peers;
using inquiry::MemoryClient;
using inquiry::peer_json;
using inquiry::peer_line;
using inquiry::peer_text;
using inquiry::set_json;
using inquiry::set_line;
using inquiry::set_text;
using inquiry::SetKnown;
using inquiry::way_json;
using inquiry::way_line;
using inquiry::way_text;
using inquiry::WayKnown;

namespace {

using posthorn::peers::Record;

constexpr const char* peers_usage =
    "usage: posthorn peers [-c config_dir] [--json] [list [WORD...] | show WORD... | changes [--since TIME] [WORD...] |\n"
    "                      forget WORD... | forget --all | export [WORD...] | import FILE]\n"
    "       TIME: a day, or how long ago (3d); WORD: an address, a host of a greeting, a domain, a site, or an MX set; FILE: - is standard input";

std::string content_of(const std::string& path)
{
    const bool standard = path == "-";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(standard ? stdin : std::fopen(path.c_str(), "re"),
                                                               standard ? [](std::FILE*) { return 0; } : std::fclose);
    if (!file)
        throw Failure(system_error("open " + path, errno).text(), submit::exit_no_input);
    std::string content;
    char piece[65536];
    for (std::size_t got; content.size() <= posthorn::peers::listing_octets && (got = std::fread(piece, 1, sizeof piece, file.get())) > 0;)
        content.append(piece, got);
    if (std::ferror(file.get()))
        throw Failure("read " + path + ": error", submit::exit_no_input);
    return content;
}

void done(const Result<MemoryClient::Done>& result, std::string_view what)
{
    if (!result)
        throw Failure(result.error().text(), result.error().status() == "4.3.0" ? submit::exit_unavailable : submit::exit_no_permission);
    fmt::print("{} servers{}{} {}\n", result->count, result->sets == 0 ? std::string() : fmt::format(" and {} MX sets", result->sets),
               result->ways == 0 ? std::string() : fmt::format(" and {} ways to addresses", result->ways), what);
    if (!result->trouble.empty())
        fmt::print(stderr, "posthorn peers: warning: {}\n", result->trouble);
}

int import(const config::Snapshot& snapshot, const std::string& path)
{
    auto records = posthorn::peers::parse_listing(content_of(path), path == "-" ? "standard input" : path);
    if (!records)
        throw Failure(records.error().what(), submit::exit_data);
    done(MemoryClient(snapshot).import(*records), "taken over");
    return 0;
}

/// Nothing is older than what is kept.
WallTime since_when(const std::optional<std::string>& word, WallTime now)
{
    if (!word)
        return WallTime{};
    const auto since = inquiry::since_of(*word, now);
    if (!since)
        throw Failure("--since: " + since.error().what(), submit::exit_usage);
    return *since;
}

int show_changes(const inquiry::KnownPeers& known, WallTime since, bool json)
{
    const auto changes = inquiry::changes_since(known.portraits, since);
    if (changes.empty()) {
        fmt::print(stderr, "posthorn peers: no change is known\n");
        return 1;
    }
    std::string out;
    for (const inquiry::ChangeTold& told : changes)
        out += json ? inquiry::change_json(told) + "\n" : inquiry::change_line(told);
    std::fwrite(out.data(), 1, out.size(), stdout);
    return 0;
}

int run_peers(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::vector<std::string> words;
    std::optional<std::string> since;
    bool json = false, all = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view arg = args[at];
        if (arg == "-c" && at + 1 < args.size())
            directory = args[++at];
        else if (arg == "--since" && at + 1 < args.size())
            since = args[++at];
        else if (arg == "--json")
            json = true;
        else if (arg == "--all")
            all = true;
        else if (arg.empty() || (arg.starts_with('-') && arg != "-"))
            throw Failure(peers_usage, submit::exit_usage);
        else
            words.emplace_back(arg);
    }
    const std::string verb = words.empty() ? "list" : words.front();
    if (!words.empty())
        words.erase(words.begin());
    const bool takes = verb == "list" || verb == "export" || verb == "changes" || (verb == "show" && !words.empty()) ||
                       (verb == "forget" && words.empty() == all) || (verb == "import" && words.size() == 1);
    if (!takes || (all && verb != "forget") || (since && verb != "changes"))
        throw Failure(peers_usage, submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", directory);
    if (verb == "import")
        return import(snapshot, words.front());
    MemoryClient memory(snapshot);
    if (verb == "forget" && all) {
        done(memory.forget({}, {}, {}, true), "forgotten");
        return 0;
    }
    const WallTime now = SystemClock().wall();
    auto found = known_peers(snapshot, words, now);
    if (!found)
        throw Failure(found.error().text(), submit::exit_no_permission);
    if (verb == "changes")
        return show_changes(*found, since_when(since, now), json);
    const std::vector<Record>& records = found->records;
    const std::vector<SetKnown>& sets = found->sets;
    const std::vector<WayKnown>& ways = found->ways;
    if (records.empty() && sets.empty() && ways.empty() && verb != "export") {
        fmt::print(stderr, "posthorn peers: nothing is known{}\n", words.empty() ? "" : " of " + fmt::format("{}", fmt::join(words, ", ")));
        return 1;
    }
    if (verb == "forget") {
        std::vector<std::string> keys, names, addresses;
        for (const Record& record : records)
            keys.push_back(posthorn::peers::key_of(record.peer));
        for (const SetKnown& known : sets)
            names.push_back(known.name);
        for (const WayKnown& known : ways)
            addresses.push_back(known.address);
        done(memory.forget(keys, names, addresses, false), "forgotten");
        return 0;
    }
    std::string out;
    if (verb == "export" && !json)
        out = posthorn::peers::listing_of(records);
    else
        for (const Record& record : records)
            out += json             ? peer_json(record, now, inquiry::portrait_of(found->portraits, record.peer)) + "\n"
                   : verb == "list" ? peer_line(record, now)
                                    : (out.empty() ? "" : "\n") + peer_text(record, now, inquiry::portrait_of(found->portraits, record.peer));
    const auto add = [&](const auto& in_json, const auto& in_line, const auto& in_text, const auto& known) {
        out += json ? in_json(known, now) + "\n" : verb == "list" ? in_line(known, now) : (out.empty() ? "" : "\n") + in_text(known, now);
    };
    if (verb != "export") {
        for (const SetKnown& known : sets)
            add(set_json, set_line, set_text, known);
        for (const WayKnown& known : ways)
            add(way_json, way_line, way_text, known);
    }
    std::fwrite(out.data(), 1, out.size(), stdout);
    return 0;
}

}  // namespace

int peers(std::span<char*> args) { return guarded("posthorn peers", run_peers, args); }

}  // namespace posthorn::commands
