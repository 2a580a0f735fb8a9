// services/table_desk.hpp: smtpd asks resolve for databases: no process that strangers connect to has a database's password or its library.
// Remote    in smtpd: sqlite, pgsql, mysql and ldap are questions to resolve.
// Desk      in resolve: answers them, for tables that a parameter of the configuration names, and for no others.
// Errors    of the table travel as they are; a resolve that is away is an Error too (4.3.0), never "not there".
#pragma once

#include "handoff/frames.pb.h"
#include "ipc/client.hpp"
#include "process/service.hpp"
#include "tables/table.hpp"

#include <set>

namespace posthorn::services {

/// What tables may ask of main.cf.
std::function<std::optional<std::string>(const std::string& name)> parameters_of(const config::Snapshot& snapshot);

/// Says so to `tables`, before the first of them is opened. `resolve` is a client of the resolve process that lives longer than they do.
struct RemoteDatabases {
    RemoteDatabases(tables::Tables& tables, ipc::Client& resolve, const config::Snapshot& snapshot);
};

class TableDesk {
public:
    /// Opens what `snapshot` names, while the process may still read libraries and files.
    TableDesk(tables::Tables& tables, const config::Snapshot& snapshot);
    /// Whether all that `snapshot` names can be asked by a process that was confined for what was named before.
    bool can_take(const config::Snapshot& snapshot) const;
    /// Old sessions of smtpd outlive a reload: what the last configuration named is answered for as well.
    void reload(const config::Snapshot& snapshot);
    awaitable<Result<handoff::TableReply>> answer(handoff::TableRequest request);

    /// A table of the configuration is asked over a socket, or its library opens files: what the process must be allowed to do for that.
    bool asks_network() const { return asks_network_; }
    /// Files that client libraries open by themselves: databases of sqlite (and their folder), certificates.
    const std::vector<std::string>& paths() const { return paths_; }

private:
    using Specs = std::set<std::string, std::less<>>;
    struct Needs {
        Specs databases;
        std::set<std::string> paths;
        bool network = false;
    };
    Needs needs_of(const config::Snapshot& snapshot) const;

    tables::Tables& tables_;
    Specs specs_, former_;
    std::vector<std::string> paths_;
    bool asks_network_ = false;
};

}  // namespace posthorn::services
