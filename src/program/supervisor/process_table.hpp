// supervisor/process_table.hpp: which line of master.cf becomes which process.            master(5), design.md section 3
// Shape    every line of Postfix's stock master.cf is recognised. Some have processes of their own (smtpd, smtp, lmtp, spawn, admin; pipe,
//          virtual and local once there is mail for them); qmgr, resolve and memory are always there and take in the lines whose work they do, with their -o
//          options; sasl is there once an smtpd asks for it, and knows the options of all of them;
//          hook where records are posted, reporter where other domains have daily reports, reports where theirs come to us.
// Errors   a command that neither Postfix nor we know, a socket type a command cannot serve, the same address twice: with file and line.
// Pure.
#pragma once

#include "base/error.hpp"
#include "config/master_cf.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::supervisor {

enum class Role { smtpd, qmgr, resolve, memory, sasl, hook, reporter, transport, spawn, admin };

struct SocketLine {
    std::string name;  // "smtp", "127.0.0.1:10025"; "public/showq", "private/posthorn.qmgr"
    config::Transport type = config::Transport::unix_stream;
    int line = 0;  // of master.cf; 0: our own
};

/// Lines whose work is done inside another process.
struct FoldedInto {
    std::string service, command;
    std::vector<config::Assignment> overrides;
    friend bool operator==(const FoldedInto& a, const FoldedInto& b)
    {
        return a.service == b.service && a.command == b.command &&
               std::equal(a.overrides.begin(), a.overrides.end(), b.overrides.begin(), b.overrides.end(),
                          [](const auto& x, const auto& y) { return x.name == y.name && x.value == y.value; });
    }
};

struct ProcessLine {
    std::string key;  // "smtp/inet", "relay/unix", "qmgr": the same over reloads
    std::string service;  // name column
    std::string program;  // what to run: smtpd, qmgr, resolve, memory, sasl, hook, reporter, reports, smtp, lmtp, spawn, admin
    Role role = Role::smtpd;
    std::vector<SocketLine> sockets;
    bool chroot = false;
    bool privileged = false;  // spawn, and who delivers to users: changes to another user itself
    bool on_demand = false;  // started when qmgr has mail for it, or smtpd clients to ask it about (Control::want_service)
    unsigned process_limit = 0;  // 0: none. What "-" means depends on the role: default_process_limit, or none for a transport
    unsigned processes = 1;
    std::vector<config::Assignment> overrides;
    std::vector<std::string> arguments;  // -o, -v, -D and their operands left out
    int verbose = 0;
    std::vector<FoldedInto> folded;
    int line = 0;
};

struct TableOptions {
    unsigned default_process_limit = 100;
    unsigned smtpd_processes = 1;
    unsigned smtp_processes = 1;
    bool hook = false;  // record_hook_url
    bool reporter = false;  // aggregate_reports
    bool reports = false;  // report_addresses
    /// master_service_disable: "smtp.inet", "inet", ... in Postfix's form "name/type" or "name.type".
    std::vector<std::string> disabled;
};

struct ProcessTable {
    std::vector<ProcessLine> lines;
    std::vector<std::string> warnings;
    /// Names of the delivery services, for parameter families (relay_destination_concurrency_limit).
    std::vector<std::string> transports;
};

Result<ProcessTable> process_table(const config::MasterCf& master, const TableOptions& options);

/// The internal socket of qmgr, resolve, memory, sasl, reporter or reports: "private/posthorn.qmgr".
std::string internal_socket(std::string_view program);

}  // namespace posthorn::supervisor
