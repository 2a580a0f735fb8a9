// services/delivery_processes.hpp: the delivery processes that said hello to qmgr: which live, which ended; on disk for the qmgr that comes after.
// On disk  because they may have delivered what the queue does not know yet: the next qmgr waits for those that still live. Written without a
//          sync: it matters after a kill, and nobody lives after a power loss.
//          Those of before stay on it until they have ended: a qmgr that is killed before they said hello knew them from there alone.
// End      a connection that is lost is not the end of its process, which connects again and says what it has. The kernel says when it ended
//          (pidfd_open(2)); where it cannot, a process that is not back within `patience` counts as ended.
#pragma once

#include "async/async.hpp"
#include "base/fd.hpp"
#include "ipc/channel.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace posthorn::services {

class DeliveryProcesses {
public:
    /// Of the qmgr before this one, as far as they live. To be asked before the process is confined.
    static std::vector<std::uint32_t> living();

    using Ended = std::function<void(std::uint32_t process)>;
    DeliveryProcesses(Executor executor, Ended ended, std::chrono::milliseconds patience = std::chrono::seconds{5});
    /// Those of the qmgr before this one, before any joins: they may say hello, or end without.
    void expect(const std::vector<std::uint32_t>& before);
    DeliveryProcesses(DeliveryProcesses&&) = delete;

    /// It said hello; one that does not deliver (any more) is known by this connection until that ends.
    void joined(const ipc::Channel* connection, std::uint32_t process, bool delivers);
    /// A connection ended. Of a process that has another nothing else is said.
    void left(const ipc::Channel* connection);
    awaitable<void> close() { return tasks_.close(); }

private:
    bool connected(std::uint32_t process) const;
    bool ended(std::uint32_t process, SteadyTime patience_ends) const;
    awaitable<void> see_off(std::uint32_t process);
    void write() const;

    Ended on_end_;
    std::chrono::milliseconds patience_;
    std::map<const ipc::Channel*, std::uint32_t> connections_;
    std::map<std::uint32_t, Fd> living_;                     // that deliver; readable when it has ended, or none
    TaskGroup tasks_;
};

}  // namespace posthorn::services
