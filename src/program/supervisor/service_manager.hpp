// supervisor/service_manager.hpp: who started this process and waits for its word: systemd's Type=notify, or who speaks as it does.     sd_notify(3)
// Shape    a datagram of lines NAME=value to the socket that NOTIFY_SOCKET names: a path, or an abstract name that is written with '@'.
// Errors   what the system says to a datagram that could not be sent, with the name of the socket. Without such a socket nothing is said, and that is none.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace posthorn::supervisor {

class ServiceManager {
public:
    /// Nobody.
    ServiceManager() = default;
    /// Out of the environment, which has it no more: it is nobody else's.
    static ServiceManager taken_from_environment();
    /// The sockets listen: whoever was told to come after this may.
    Result<void> ready() const { return tell("READY=1"); }
    /// It is about to end, and says more, or is gone, within that time.
    Result<void> stopping(std::chrono::seconds more) const;

private:
    Result<void> tell(std::string_view state) const;
    std::string name_;
};

}  // namespace posthorn::supervisor
