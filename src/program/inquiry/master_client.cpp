#include "inquiry/master_client.hpp"

#include "ipc/client.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace posthorn::inquiry {

Result<Fd> connect_master(const config::Snapshot& snapshot)
{
    auto connected = ipc::connect_unix(fmt::format("{}/{}", snapshot.text("queue_directory"), process::master_socket));
    if (!connected && !connected.error().what().ends_with(errno_text(EACCES)))
        return Error{"the mail system is down: " + connected.error().what(), "4.3.0"};
    return connected;
}

Result<process::InstanceCounters> instance_counters(const config::Snapshot& snapshot)
{
    return ask_master<process::InstanceCounters>(snapshot, process::Control::instance_counters, process::InstanceQuestion{});
}

}  // namespace posthorn::inquiry
