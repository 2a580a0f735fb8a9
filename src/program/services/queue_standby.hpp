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
    /// Called on the service's loop when what the next two say may have changed.
    void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
    /// Nothing new may begin: a copy is required, and is away.
    bool holding() const { return mirror_ && required_ && !mirror_->in_step(); }
    /// What was stored so far may be answered: the copy has it, or need not.
    bool may_answer() const { return !mirror_ || !required_ || mirror_->covered(); }

    handoff::Standby standing() const;
    void count(handoff::CountersReply& reply) const;

private:
    process::Service& service_;
    spool::FileOps& files_;
    std::string line_;
    bool required_ = false;
    std::uint64_t epoch_ = 0;
    std::function<void()> changed_;  // on the loop
    std::optional<standby::Mirror> mirror_;
    std::unique_ptr<spool::FileOps> mirrored_;
};

}  // namespace posthorn::services
