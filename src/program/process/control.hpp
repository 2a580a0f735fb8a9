// process/control.hpp: the control channel between the supervisor and a service, which the service inherits.
// Trust    the supervisor holds a service's frames for hostile: limits on size and number, and an answer to nothing that the loaded
//          configuration does not name. A channel that breaks the rules is closed and its process ended.
#pragma once

#include "process/control.pb.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace posthorn::process {

enum class Control : std::uint16_t {
    ready = 1,               // notice
    heartbeat = 2,           // notice
    open_file = 3,           // OpenFile -> FileOpened and a descriptor
    stop = 4,                // notice
    file_changed = 5,        // notice
    new_configuration = 7,   // NewConfiguration -> ConfigurationTaken, or an Error: the running one stays
    counters = 8,            // handoff::CountersRequest -> handoff::CountersReply
    instance_counters = 9,   // InstanceQuestion -> InstanceCounters; asked by commands over master_socket, and by the admin service
    reload = 10,             // ReloadRequest -> ReloadReply, by commands over master_socket
    want_service = 11,       // notice of qmgr's: there is mail for a service that is started on demand
    last_counters = 12,      // of a process that ends: handoff::CountersReply -> CountersKept
    configuration = 13,      // ConfigurationQuestion -> ConfigurationInForce, by commands over master_socket
};

/// Where commands ask the supervisor, in the queue directory. Answers root and who runs it.
inline constexpr std::string_view master_socket = "private/posthorn.master";
inline constexpr int control_descriptor = 3;
inline constexpr int start_descriptor = 4;
inline constexpr int first_free_descriptor = 5;
/// Nothing that travels here is larger: paths, counters. Of those some 400 KiB may be of helpers (observe/asked.hpp), 200 KiB of what was refused, or
/// would have been.
inline constexpr std::size_t control_frame_limit = 1024 * 1024;
/// Of answers to commands: counters of many processes.
inline constexpr std::size_t question_frame_limit = 16 * 1024 * 1024;
/// At most so long between two; a third of service_watchdog_time where that is less (heartbeat_seconds of Start and NewConfiguration).
inline constexpr unsigned longest_heartbeat_seconds = 10;
/// What a service on trial says when it has come as far as confine().
inline constexpr std::string_view trial_passed = "trial passed\n";

}  // namespace posthorn::process
