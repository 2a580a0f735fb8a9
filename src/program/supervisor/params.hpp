// supervisor/params.hpp: what the supervisor itself reads of main.cf beyond Postfix's parameters without type (paths, users).
#pragma once

#include "config/param.hpp"

#include <array>
#include <chrono>

namespace posthorn::supervisor {

using namespace std::chrono_literals;
using config::Param;

inline constexpr Param<std::chrono::seconds> service_throttle_time{
    .name = "service_throttle_time",
    .initial = "60s",
    .least = 1s,
    .doc = "The longest wait before a service that keeps failing is started again; the waits double from one second."};
inline constexpr Param<int> default_process_limit{.name = "default_process_limit",
                                                  .initial = "100",
                                                  .least = 1,
                                                  .doc =
                                                      "The sessions with a transaction open that one service serves, where master.cf does not say."};
inline constexpr Param<int> smtpd_processes{
    .name = "smtpd_processes",
    .initial = "0",
    .least = 0,
    .most = 256,
    .doc = "Processes per SMTP server line of master.cf. Each serves thousands of sessions; 0 takes half the processors.",
    .own = true};
inline constexpr Param<int> smtp_processes{.name = "smtp_processes",
                                           .initial = "1",
                                           .least = 1,
                                           .most = 256,
                                           .doc = "Processes per delivery line of master.cf that speaks SMTP or LMTP.",
                                           .own = true};
inline constexpr Param<std::chrono::seconds> service_stop_time{.name = "service_stop_time",
                                                               .initial = "10s",
                                                               .least = 1s,
                                                               .most = 3600s,
                                                               .doc = "How long sessions and deliveries may take to end after `postfix stop`.",
                                                               .own = true};
inline constexpr Param<std::chrono::seconds> service_watchdog_time{
    .name = "service_watchdog_time",
    .initial = "60s",
    .least = 15s,
    .doc = "A service that gives no sign of life for so long is killed and started again.",
    .own = true};

inline constexpr Param<std::string> import_environment{
    .name = "import_environment",
    .initial = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME XDG_RUNTIME_DIR",
    .doc =
        "What services have in their environment: NAME=value is set for all of them, with { } around it where it has blanks; they inherit the rest, HOME only where it is named."};

inline constexpr Param<std::string> record_file{
    .name = "record_file",
    .initial = "",
    .doc =
        "The file for delivery records, one JSON object a line, beside the log; below maillog_file_prefixes, as maillog_file. Empty: there are none.",
    .own = true};

inline constexpr std::array<config::ParamInfo, 8> params{import_environment, service_throttle_time, default_process_limit, smtpd_processes,
                                                         smtp_processes,     service_stop_time,     service_watchdog_time, record_file};

}  // namespace posthorn::supervisor
