#include "supervisor/process_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace posthorn::supervisor {

namespace {

using config::ServiceLine;
using config::Transport;

enum class Kind { server, transport, agent, folded, spawn, admin, nothing };

/// What becomes of each command of Postfix's.
struct Command {
    std::string_view name;
    Kind kind;
    std::string_view into = {};            // folded: qmgr, resolve, memory
    bool socket = false;                   // folded: its public socket is served by that process
};
constexpr Command commands[] = {
    {"smtpd", Kind::server},
    {"postscreen", Kind::server},
    {"qmqpd", Kind::server},
    {"inject", Kind::server},              // our own
    {"smtp", Kind::transport},
    {"lmtp", Kind::transport},
    {"qmgr", Kind::folded, "qmgr", true},
    {"oqmgr", Kind::folded, "qmgr", true},
    {"showq", Kind::folded, "qmgr", true},
    {"flush", Kind::folded, "qmgr", true},
    {"error", Kind::folded, "qmgr"},
    {"discard", Kind::folded, "qmgr"},
    {"local", Kind::agent},
    {"virtual", Kind::agent},
    {"pipe", Kind::agent},
    {"pickup", Kind::folded, "resolve", true},
    {"cleanup", Kind::folded, "resolve"},
    {"trivial-rewrite", Kind::folded, "resolve"},
    {"bounce", Kind::folded, "resolve"},
    {"proxymap", Kind::folded, "resolve"},
    {"verify", Kind::folded, "memory"},
    {"anvil", Kind::folded, "memory"},
    {"tlsmgr", Kind::folded, "memory"},
    {"spawn", Kind::spawn},
    {"admin", Kind::admin},                // our own
    {"scache", Kind::nothing},             // each delivery process keeps its own sessions
    {"postlogd", Kind::nothing},           // every process writes to the log by a descriptor of the supervisor's
    {"dnsblog", Kind::nothing},            // part of what is before the greeting
    {"tlsproxy", Kind::nothing},
    {"nbdb_reindexd", Kind::nothing},      // no Berkeley DB here
};

const Command* find_command(std::string_view name)
{
    const auto found = std::ranges::find(commands, name, &Command::name);
    return found == std::end(commands) ? nullptr : found;
}

bool is_disabled(const ServiceLine& line, const std::vector<std::string>& disabled)
{
    const std::string type(config::to_text(line.type));
    return std::ranges::any_of(disabled, [&](const std::string& word) {
        return word == line.name || word == type || word == line.name + "/" + type || word == line.name + "." + type;
    });
}

std::string path_of(const ServiceLine& line) { return (line.is_private ? "private/" : "public/") + line.name; }

/// Arguments that are no options of master.cf's own. Those come first; behind the first other word all belongs to the program, as
/// in "argv=/bin/program -v".
std::vector<std::string> own_arguments(const std::vector<std::string>& arguments)
{
    std::vector<std::string> rest;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "-o") {
            ++i;
            continue;
        }
        if (arguments[i].starts_with("-o") || arguments[i] == "-v" || arguments[i] == "-D")
            continue;
        rest.push_back(arguments[i]);
        if (!arguments[i].starts_with('-')) {
            rest.insert(rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
            break;
        }
    }
    return rest;
}

class Builder {
public:
    Builder(const config::MasterCf& master, const TableOptions& options) : master_(master), options_(options)
    {
        for (const auto& [program, role] : {std::pair{"memory", Role::memory}, {"qmgr", Role::qmgr}, {"resolve", Role::resolve}}) {
            ProcessLine line;
            line.key = line.service = line.program = program;
            line.role = role;
            line.sockets.push_back({internal_socket(program), Transport::unix_stream, 0});
            inner_.emplace(program, std::move(line));
        }
    }

    Result<ProcessTable> build()
    {
        for (const ServiceLine& line : master_.services)
            TRY_VOID(add(line));
        for (const char* needed : {"qmgr", "cleanup", "rewrite", "pickup"})
            if (!seen_.contains(needed))
                table_.warnings.push_back(fmt::format("{}: no service \"{}\": it runs all the same, with default settings", master_.path, needed));
        // What is asked comes before who asks.
        std::vector<ProcessLine> lines;
        for (const char* program : {"memory", "qmgr", "resolve"}) {
            ProcessLine& line = inner_.at(program);
            if (line.role != Role::memory)
                append_sockets_once(line);
            lines.push_back(std::move(line));
        }
        lines.push_back(password_asker());
        if (options_.hook) {
            ProcessLine& hook = lines.emplace_back();
            hook.key = hook.service = hook.program = "hook";
            hook.role = Role::hook;
        }
        if (options_.reporter) {
            ProcessLine& reporter = lines.emplace_back();
            reporter.key = reporter.service = reporter.program = "reporter";
            reporter.role = Role::reporter;
            reporter.sockets.push_back({internal_socket("reporter"), Transport::unix_stream, 0});
        }
        if (options_.reports) {
            if (std::ranges::find(table_.transports, "reports") != table_.transports.end())
                return Error{
                    fmt::format("{}: the service \"reports\" has the name of the one that report_addresses starts: give it another", master_.path)};
            table_.transports.emplace_back("reports");
            ProcessLine& reports = lines.emplace_back();
            reports.key = reports.service = reports.program = "reports";
            reports.role = Role::transport;
            reports.sockets.push_back({internal_socket("reports"), Transport::unix_stream, 0});
        }
        std::ranges::move(outer_, std::back_inserter(lines));
        share_cleanup(lines);
        table_.lines = std::move(lines);
        return std::move(table_);
    }

private:
    Error wrong(const ServiceLine& line, std::string_view what) const { return Error{fmt::format("{}: line {}: {}", master_.path, line.line, what)}; }

    Result<void> add(const ServiceLine& line)
    {
        if (is_disabled(line, options_.disabled))
            return {};
        seen_.insert(line.name);
        const Command* command = find_command(line.command);
        if (!command)
            return wrong(line, fmt::format("service \"{}\": unknown command \"{}\"", line.name, line.command));
        switch (command->kind) {
        case Kind::server: return add_server(line);
        case Kind::transport: return add_transport(line);
        case Kind::agent: return add_agent(line);
        case Kind::spawn: return add_spawn(line);
        case Kind::admin: return add_admin(line);
        case Kind::folded: return fold(line, *command);
        case Kind::nothing: return {};
        }
        return {};
    }

    ProcessLine line_from(const ServiceLine& line, std::string program, Role role) const
    {
        ProcessLine process;
        process.key = line.key();
        process.service = line.name;
        process.program = std::move(program);
        process.role = role;
        process.chroot = line.chroot;
        process.process_limit = static_cast<unsigned>(line.process_limit.value_or(static_cast<int>(options_.default_process_limit)));
        process.overrides = line.overrides;
        process.arguments = own_arguments(line.arguments);
        process.verbose = line.verbose;
        process.line = line.line;
        return process;
    }

    Result<void> listen_at(ProcessLine& process, const ServiceLine& line)
    {
        const std::string name = line.type == Transport::inet ? line.name : path_of(line);
        if (!taken_.insert(name).second)
            return wrong(line, fmt::format("service \"{}\" listens where another line listens already", line.key()));
        // Of the type fifo are pickup and qmgr in files of before Postfix 2.4; who wakes them connects. A pipe would not hear that.
        process.sockets.push_back({name, line.type == Transport::fifo ? Transport::unix_stream : line.type, line.line});
        return {};
    }

    Result<void> add_server(const ServiceLine& line)
    {
        if (line.type == Transport::pass)
            return {};                                           // what postscreen hands over to; both are one process here
        if (line.type != Transport::inet && line.type != Transport::unix_stream)
            return wrong(line, fmt::format("service \"{}\": {} cannot serve a {} socket", line.name, line.command, config::to_text(line.type)));
        ProcessLine process = line_from(line, line.command == "postscreen" ? "smtpd" : line.command, Role::smtpd);
        if (line.command == "postscreen") {
            // Its line stands for the server behind it as well; that one's own options, and how many of it there may be, are on the pass line.
            process.process_limit = options_.default_process_limit;
            for (const ServiceLine& other : master_.services)
                if (other.type == Transport::pass && other.command == "smtpd") {
                    process.overrides.insert(process.overrides.end(), other.overrides.begin(), other.overrides.end());
                    process.process_limit = line_from(other, "smtpd", Role::smtpd).process_limit;
                }
            process.overrides.push_back({.name = "smtpd_screen_clients", .value = "yes", .line = line.line});
        }
        // How many are before the greeting, in all and of one client, each process counts for itself: behind tests there is one.
        process.processes = line.command == "postscreen" ? 1 : options_.smtpd_processes;
        if (process.process_limit > 0)
            process.processes = std::min(process.processes, process.process_limit);
        TRY_VOID(listen_at(process, line));
        // memory keeps who passed, where the line's own options say.
        if (std::ranges::any_of(process.overrides, [](const config::Assignment& own) {
                return own.name.starts_with("postscreen_") || own.name.starts_with("smtpd_screen_");
            }))
            inner_.at("memory").folded.push_back({process.service, "postscreen", process.overrides});
        outer_.push_back(std::move(process));
        return {};
    }

    Result<void> add_transport(const ServiceLine& line)
    {
        if (line.type != Transport::unix_stream)
            return wrong(line, fmt::format("service \"{}\": {} needs the type unix", line.name, line.command));
        if (std::ranges::find(table_.transports, line.name) != table_.transports.end())
            return wrong(line, fmt::format("service \"{}\" is defined twice", line.key()));
        ProcessLine process = line_from(line, line.command, Role::transport);
        // Deliveries are not processes: without a number nothing but the ceilings of qmgr and of the process limits them all together,
        // or slow sites would take the places of the others. Each site has its own limit.
        process.process_limit = static_cast<unsigned>(line.process_limit.value_or(0));
        process.processes = options_.smtp_processes;
        table_.transports.push_back(line.name);
        outer_.push_back(std::move(process));
        return {};
    }

    /// Delivers to users of this machine: each delivery is a child of the process, so the column counts children. Postfix's stock lines name commands that
    /// few machines have: what is never used starts nothing, and is not judged.
    Result<void> add_agent(const ServiceLine& line)
    {
        TRY_VOID(add_transport(line));
        if (line.unprivileged)
            table_.warnings.push_back(
                wrong(line, fmt::format("service \"{}\": this program requires root privileges: the unprivileged column is taken for n", line.name))
                    .text());
        ProcessLine& process = outer_.back();
        process.process_limit = static_cast<unsigned>(line.process_limit.value_or(static_cast<int>(options_.default_process_limit)));
        process.processes = 1;
        process.privileged = process.on_demand = true;
        return {};
    }

    Result<void> add_spawn(const ServiceLine& line)
    {
        if (line.type != Transport::inet && line.type != Transport::unix_stream)
            return wrong(line, fmt::format("service \"{}\": spawn cannot serve a {} socket", line.name, config::to_text(line.type)));
        ProcessLine process = line_from(line, "spawn", Role::spawn);
        if (line.unprivileged)
            return wrong(line, fmt::format("service \"{}\": this program requires root privileges: the unprivileged column must be n", line.name));
        process.privileged = true;
        const auto has = [&](std::string_view prefix) {
            return std::ranges::any_of(process.arguments, [&](const auto& word) { return word.starts_with(prefix); });
        };
        if (!has("user=") || !has("argv="))
            return wrong(line, fmt::format("service \"{}\": spawn needs user= and argv=", line.name));
        TRY_VOID(listen_at(process, line));
        outer_.push_back(std::move(process));
        return {};
    }

    /// What operators and monitoring ask over HTTP. One process: it keeps what rates are made of.
    Result<void> add_admin(const ServiceLine& line)
    {
        if (line.type != Transport::inet && line.type != Transport::unix_stream)
            return wrong(line, fmt::format("service \"{}\": admin cannot serve a {} socket", line.name, config::to_text(line.type)));
        ProcessLine process = line_from(line, "admin", Role::admin);
        TRY_VOID(listen_at(process, line));
        outer_.push_back(std::move(process));
        return {};
    }

    Result<void> fold(const ServiceLine& line, const Command& command)
    {
        if (line.type == Transport::inet || line.type == Transport::pass)
            return wrong(line, fmt::format("service \"{}\": {} cannot serve a {} socket", line.name, line.command, config::to_text(line.type)));
        ProcessLine& process = inner_.at(std::string(command.into));
        process.folded.push_back({line.name, line.command, line.overrides});
        static constexpr std::string_view delivery[] = {"error", "discard"};
        if (std::ranges::find(delivery, line.command) != std::end(delivery))
            table_.transports.push_back(line.name);
        const bool queue = line.command == "qmgr" || line.command == "oqmgr";
        const std::string_view own_name = queue ? "qmgr" : line.command == "trivial-rewrite" ? "rewrite" : line.command == "verify" ? "verify" : "";
        // The line that stands for the process itself. Of several it is the one by whose name the other services know it: a second queue
        // manager or trivial-rewrite is for the few lines whose queue_service_name or rewrite_service_name is its name, not for all mail.
        if (!own_name.empty() && (process.line == 0 || line.name == own_name)) {
            process.chroot = line.chroot;
            process.overrides = line.overrides;
            process.verbose = line.verbose;
            process.line = line.line;
        }
        if (command.socket)
            TRY_VOID(listen_at(process, line));
        return {};
    }

    /// pickup, qmgr and showq can be woken even where the file leaves their lines out: postdrop and scripts rely on it. postqueue has its own.
    void append_sockets_once(ProcessLine& process)
    {
        const auto ensure = [&](const std::string& path) {
            if (taken_.insert(path).second)
                process.sockets.push_back({path, Transport::unix_stream, 0});
        };
        if (process.role == Role::resolve)
            ensure("public/pickup");
        else {
            ensure("public/qmgr");
            ensure("public/showq");
            ensure("public/posthorn.queue");
        }
    }

    /// Cyrus SASL's library, where an smtpd wants it: it takes its options from their lines.
    ProcessLine password_asker() const
    {
        ProcessLine line;
        line.key = line.service = line.program = "sasl";
        line.role = Role::sasl;
        line.on_demand = true;
        line.sockets.push_back({internal_socket(line.program), Transport::unix_stream, 0});
        for (const ProcessLine& asking : outer_)
            if (asking.role == Role::smtpd)
                line.folded.push_back({asking.service, asking.program, asking.overrides});
        return line;
    }

    /// smtpd does the work of cleanup for what it receives: it gets those lines' options beside its own.
    static void share_cleanup(std::vector<ProcessLine>& lines)
    {
        std::vector<FoldedInto> cleanup;
        for (const ProcessLine& line : lines)
            if (line.role == Role::resolve)
                std::ranges::copy_if(line.folded, std::back_inserter(cleanup), [](const FoldedInto& folded) { return folded.command == "cleanup"; });
        for (ProcessLine& line : lines)
            if (line.role == Role::smtpd)
                line.folded.insert(line.folded.end(), cleanup.begin(), cleanup.end());
    }

    const config::MasterCf& master_;
    const TableOptions& options_;
    ProcessTable table_;
    std::map<std::string, ProcessLine> inner_;
    std::vector<ProcessLine> outer_;
    std::set<std::string> seen_, taken_;
};

}  // namespace

std::string internal_socket(std::string_view program) { return fmt::format("private/posthorn.{}", program); }

Result<ProcessTable> process_table(const config::MasterCf& master, const TableOptions& options) { return Builder(master, options).build(); }

}  // namespace posthorn::supervisor
