// services/queue_standby.hpp: qmgr's copy of its queue on another machine, as the configuration asks for it (queue_standby). What it does: standby/mirror.hpp.
// Refused  a folder that holds a copy of another machine's queue: it is promoted first. And a queue that went on elsewhere: the copy became it.
#pragma once

#include "handoff/frames.pb.h"
#include "observe/log.hpp"
#include "process/service.hpp"
#include "spool/file_ops.hpp"
#include "standby/mirror.hpp"

#include <memory>
#include <optional>

namespace posthorn::services {

class QueueStandby {
public:
    /// `files`: the queue's own; outlive it. Throws where this queue must not be opened.
    QueueStandby(process::Service& service, spool::FileOps& files);
    QueueStandby(QueueStandby&&) = delete;

    /// What the queue is opened on.
    spool::FileOps& files() { return mirrored_ ? *mirrored_ : files_; }
    /// The queue is open: from here on a copy that is required is waited for. `changed` is called on the service's loop when that is away, or back.
    void opened(std::function<void()> changed);
    /// Nothing new may begin.
    bool holding() const { return mirror_ && mirror_->holding(); }
    /// What is not on both machines never will be: who waits for that is told nothing.
    void give_up();
    bool given_up() const { return given_up_; }

    handoff::Standby standing() const;
    void count(handoff::CountersReply& reply) const;

private:
    process::Service& service_;
    spool::FileOps& files_;
    std::string line_;
    bool required_ = false;
    std::uint64_t epoch_ = 0;
    std::atomic<bool> given_up_ = false;
    std::function<void()> changed_;  // on the loop
    std::optional<standby::Mirror> mirror_;
    std::unique_ptr<spool::FileOps> mirrored_;
};

}  // namespace posthorn::services
