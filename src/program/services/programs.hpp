// services/programs.hpp: the services, by the name of what they run, and where they listen for each other.
#pragma once

#include "handoff/frames.hpp"

#include <span>
#include <string_view>

namespace posthorn::process {
class Service;
struct Program;
}  // namespace posthorn::process

namespace posthorn::services {

/// Below the queue directory, which is every service's working directory.
inline constexpr std::string_view qmgr_socket = "private/posthorn.qmgr";
inline constexpr std::string_view resolve_socket = "private/posthorn.resolve";
inline constexpr std::string_view sasl_socket = "private/posthorn.sasl";
using handoff::memory_socket;
using handoff::reporter_socket;

/// The queue's database and large content, below the queue directory. A folder of mail_owner's own, because the queue directory itself is root's.
inline constexpr std::string_view spool_folder = "spool";

int serve_smtpd(process::Service& service);
int serve_qmqpd(process::Service& service);
int serve_qmgr(process::Service& service);
int serve_resolve(process::Service& service);
int serve_memory(process::Service& service);
int serve_sasl(process::Service& service);
int serve_smtp(process::Service& service);
int serve_spawn(process::Service& service);
int serve_pipe(process::Service& service);
int serve_virtual(process::Service& service);
int serve_local(process::Service& service);
int serve_hook(process::Service& service);
int serve_reporter(process::Service& service);
int serve_reports(process::Service& service);

std::span<const process::Program> programs();

}  // namespace posthorn::services
