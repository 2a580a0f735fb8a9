// services/workers.hpp: the delivery processes that qmgr knows, by transport.
// A site belongs to one process of its transport, by hash, so that its sessions are reused; a hot site is split over several.
// Connections come from the processes (Hello); one that is lost is forgotten, its outstanding requests end with an Error.
#pragma once

#include "handoff/frames.pb.h"
#include "ipc/channel.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::services {

class Workers {
public:
    virtual ~Workers() = default;
    /// Where requests for this site go; null: no process of the transport is connected.
    virtual std::shared_ptr<ipc::Channel> worker_for(std::string_view transport, std::string_view site, std::uint32_t window) = 0;
    /// Whose channel it is; 0: not known, and then its end is taken for that of the process.
    virtual std::uint32_t process_of(const ipc::Channel& channel) const = 0;
    /// It takes no more requests, or is gone.
    virtual void left(const ipc::Channel* channel) = 0;
};

/// The registry behind qmgr's socket.
class WorkerRegistry final : public Workers {
public:
    /// Called each time that a transport without a process is asked for: it may be one that is started on demand.
    std::function<void(std::string_view transport)> on_missing;
    void joined(const std::string& transport, std::shared_ptr<ipc::Channel> channel, std::uint32_t process);
    void left(const ipc::Channel* channel) override;
    std::uint32_t process_of(const ipc::Channel& channel) const override;
    std::shared_ptr<ipc::Channel> worker_for(std::string_view transport, std::string_view site, std::uint32_t window) override;
    std::size_t count(std::string_view transport) const;

private:
    void missing(std::string_view transport) const;

    std::map<std::string, std::vector<std::shared_ptr<ipc::Channel>>, std::less<>> by_transport_;
    std::map<const ipc::Channel*, std::uint32_t> processes_;       // until left()
    std::size_t turn_ = 0;
};

}  // namespace posthorn::services
