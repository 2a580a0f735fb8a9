// inquiry/master_client.hpp: questions of commands to posthorn-master.
// Errors   4.3.0: the mail system is down; else what posthorn-master said, or that this user may not ask it.
#pragma once

#include "config/snapshot.hpp"
#include "inquiry/ask.hpp"
#include "process/control.hpp"

namespace posthorn::inquiry {

Result<Fd> connect_master(const config::Snapshot& snapshot);

template <class Reply, class Question>
Result<Reply> ask_master(const config::Snapshot& snapshot, process::Control kind, Question question)
{
    TRY(auto connected, connect_master(snapshot));
    ipc::ChannelOptions options;
    options.name = "master";
    options.frame_limit = process::question_frame_limit;
    return ask<Reply>(std::move(connected), options, kind, std::move(question));
}

/// What all processes have counted.
Result<process::InstanceCounters> instance_counters(const config::Snapshot& snapshot);

}  // namespace posthorn::inquiry
