#include "catalogue/unserved.hpp"

#include "catalogue/catalogue.hpp"
#include "config/expand.hpp"
#include "config/known.hpp"
#include "config/param.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_set>

namespace posthorn::catalogue {

namespace {

/// Read by name where no room declares them: paths, users, the log, and what commands ask.
constexpr auto read_by_name = std::to_array<std::string_view>({
    "alias_database",
    "alternate_config_directories",
    "application_event_drain_time",
    "authorized_flush_users",
    "authorized_mailq_users",
    "authorized_submit_users",
    "command_directory",
    "compatibility_level",
    "config_directory",
    "daemon_directory",
    "data_directory",
    "default_database_type",
    "deliver_lock_attempts",
    "deliver_lock_delay",
    "inet_interfaces",
    "inet_protocols",
    "lmdb_map_size",
    "mail_name",
    "mail_owner",
    "mail_version",
    "mailbox_delivery_lock",
    "maillog_file",
    "maillog_file_compressor",
    "maillog_file_permissions",
    "maillog_file_prefixes",
    "maillog_file_rotate_suffix",
    "master_service_disable",
    "message_size_limit",
    "meta_directory",
    "multi_instance_directories",
    "multi_instance_enable",
    "multi_instance_group",
    "multi_instance_name",
    "multi_instance_wrapper",
    "mydomain",
    "myhostname",
    "mynetworks",
    "mynetworks_style",
    "myorigin",
    "postmulti_control_commands",
    "postmulti_start_commands",
    "postmulti_stop_commands",
    "queue_directory",
    "sendmail_fix_line_endings",
    "service_name",
    "setgid_group",
    "stale_lock_time",
    "syslog_facility",
    "syslog_name",
});
/// Documentation and paths of an installation: nothing could act on them.
constexpr auto informative = std::to_array<std::string_view>({
    "html_directory",
    "mailq_path",
    "manpage_directory",
    "newaliases_path",
    "openssl_path",
    "readme_directory",
    "sample_directory",
    "sendmail_path",
    "shlib_directory",
});

struct Consequence {
    std::string_view prefix, text;                 // of a parameter's name; the longest that fits counts
};
constexpr auto consequences = std::to_array<Consequence>({
    {"address_verify_", "addresses are not verified"},
    {"alias_maps", "local aliases are not expanded"},
    {"allow_mail_to_", "mail for local mailboxes is deferred"},
    {"biff", "nobody is told of new mail"},
    {"command_", "mail for local mailboxes is deferred"},
    {"debug", "no debugger is started"},
    {"enable_original_recipient", "the original recipient is kept"},
    {"fallback_transport", "mail for local mailboxes is deferred"},
    {"forward_", "mail for local mailboxes is deferred"},
    {"home_mailbox", "mail for local mailboxes is deferred"},
    {"local_", "mail for local mailboxes is deferred"},
    {"luser_relay", "mail for local mailboxes is deferred"},
    {"mail_spool_directory", "mail for local mailboxes is deferred"},
    {"mailbox_", "mail for local mailboxes is deferred"},
    {"milter_", "mail is not shown to Milters"},
    {"non_smtpd_milters", "mail is not shown to Milters"},
    {"pipe_", "mail for pipe transports is deferred"},
    {"postscreen_", "clients are not tested before the greeting"},
    {"qmqpd_", "QMQP is not served"},
    {"smtp_sasl_", "mail is sent without authentication"},
    {"smtp_tls_policy_maps", "every destination has smtp_tls_security_level"},
    {"smtpd_milter", "mail is not shown to Milters"},
    {"smtpd_sasl_", "clients cannot authenticate"},
    {"unverified_", "addresses are not verified"},
    {"virtual_gid_maps", "mail for virtual mailboxes is deferred"},
    {"virtual_mailbox_", "mail for virtual mailboxes is deferred"},
    {"virtual_minimum_uid", "mail for virtual mailboxes is deferred"},
    {"virtual_uid_maps", "mail for virtual mailboxes is deferred"},
});

std::string_view consequence(std::string_view name)
{
    const Consequence* best = nullptr;
    for (const Consequence& one : consequences)
        if (name.starts_with(one.prefix) && (!best || one.prefix.size() > best->prefix.size()))
            best = &one;
    return best ? best->text : "it changes nothing";
}

/// What the rooms read, and whatever the values of those refer to.
std::unordered_set<std::string> served(const config::Snapshot& snapshot, std::span<const std::string> transports,
                                       std::span<const config::Assignment> master_cf)
{
    std::unordered_set<std::string> names;
    std::vector<std::string> open;
    const auto add = [&](std::string name) {
        if (names.insert(name).second)
            open.push_back(std::move(name));
    };
    for (const auto list : all_parameters())
        for (const config::ParamInfo& info : list) {
            if (info.is_family()) {
                for (const std::string& transport : transports)
                    add(config::name_as(info.name, transport));
                continue;
            }
            add(std::string(info.name));
            if (info.name.starts_with("smtp_"))
                add(config::name_as(info.name, "lmtp"));
        }
    for (const std::string_view name : read_by_name)
        add(std::string(name));
    for (const std::string_view name : informative)
        add(std::string(name));
    for (const config::Assignment& own : master_cf)
        if (names.contains(own.name))
            config::names_in(own.value, [&](std::string_view name) { add(std::string(name)); });
    while (!open.empty()) {
        const std::string name = std::move(open.back());
        open.pop_back();
        if (const auto value = snapshot.as_written(name))
            config::names_in(*value, [&](std::string_view inner) { add(std::string(inner)); });
    }
    return names;
}

}  // namespace

std::vector<Unserved> unserved_parameters(const config::Snapshot& snapshot, std::span<const std::string> transports,
                                          std::span<const config::Assignment> master_cf)
{
    const auto names = served(snapshot, transports, master_cf);
    std::vector<Unserved> found;
    // An empty value asks for nothing: "alias_maps =" says that there are none.
    const auto judge = [&](std::string_view name, std::string_view value) {
        if (value.empty() || names.contains(std::string(name)) || !config::known(name) || snapshot.default_of(name) == value)
            return false;
        found.emplace_back().name = name;
        found.back().follows = consequence(name);
        return true;
    };
    for (const auto& [name, definition] : snapshot.written())
        if (judge(name, definition->value)) {
            found.back().place = definition->place();
            found.back().line = definition->line;
        }
    for (const config::Assignment& own : master_cf)
        if (judge(own.name, own.value)) {
            found.back().place = fmt::format("{}/master.cf, line {}", snapshot.config_directory(), own.line);
            found.back().line = own.line;
            found.back().in_master_cf = true;
        }
    return found;
}

std::vector<std::string> unserved(const config::Snapshot& snapshot, std::span<const std::string> transports,
                                  std::span<const config::Assignment> master_cf)
{
    std::vector<std::string> lines;
    for (const Unserved& one : unserved_parameters(snapshot, transports, master_cf))
        lines.push_back(fmt::format("{}: {} is accepted but not acted on yet: {}", one.place, one.name, one.follows));
    return lines;
}

}  // namespace posthorn::catalogue
