// services/delivery_service.hpp: what local, virtual and pipe processes have in common: requests from qmgr, an agent that makes the deliveries,
// and a spawner that becomes who they are for. They run as the owner of the mail system with the power to change the user, and take no connections.
#pragma once

#include "deliver/mailbox_lock.hpp"
#include "deliver/teller.hpp"
#include "process/service.hpp"
#include "services/delivery_link.hpp"
#include "services/spawner.hpp"
#include "services/table_desk.hpp"
#include "services/table_files.hpp"
#include "tables/maps.hpp"

#include <span>

namespace posthorn::services {

/// What an agent is made of, ready before the process is confined.
class Delivery {
public:
    /// `parameters`: those that name tables, of which the files are asked for.
    Delivery(process::Service& service, std::span<const std::string_view> parameters, std::string relay,
             const config::Param<std::string>& status_filter);

    /// The user and group by the system's tables: neither root nor the owner of the mail system. An Error: unknown, or not to be given to commands.
    Result<deliver::Privileges> privileges(const std::string& user, const std::string& group) const;

    process::Service& service;
    const bool root;  // it can become another user, also when it is root no more
    SystemClock clock;
    std::shared_ptr<TableFiles> files;
    ipc::Client resolve;  // asked for databases
    tables::Tables tables;
    RemoteDatabases databases;
    tables::Maps status_filter;
    deliver::Teller teller;
    Spawner spawner;

private:
    deliver::StatusFilter filter();
};

/// The name of this machine, as the names of maildir files have it.
std::string machine_name();

/// The manner of locking by these methods. Errors: words that are none.
Result<deliver::LockManner> lock_manner(const process::Service& service, std::string_view methods);

/// Further connections of an agent, for as long as the process serves.
struct Beside {
    std::function<void()> start;
    std::function<awaitable<void>()> close;
};

/// Confines the process, and delivers until it is stopped.
int run_delivery(Delivery& delivery, DeliveryLink::Deliver deliver, Beside beside = {}, bool changes_root = false);

}  // namespace posthorn::services
