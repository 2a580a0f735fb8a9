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
struct Named {
    std::string_view name, doc;
};
constexpr auto read_by_name = std::to_array<Named>({
    {"alias_database", "The alias databases that newaliases builds."},
    {"alternate_config_directories", "Further configuration directories that set-gid commands may be told to use."},
    {"application_event_drain_time", "How long postkick waits until its request was read."},
    {"authorized_flush_users", "Who may flush the queue."},
    {"authorized_mailq_users", "Who may look at the queue."},
    {"authorized_submit_users", "Who may submit mail with sendmail."},
    {"command_directory", "Where the commands are."},
    {"compatibility_level", "Which defaults hold: those of this version of Postfix."},
    {"config_directory", "Where main.cf and master.cf are."},
    {"daemon_directory", "Where Postfix keeps its daemons; ours are beside the commands."},
    {"data_directory", "Where caches and what was learned are kept."},
    {"delay_logging_resolution_limit", "Digits behind the point in the delays of delivery lines."},
    {"default_cache_db_type", "The type that address_verify_map and postscreen_cache_map have where they are not set."},
    {"default_database_type", "The type of tables that postmap and postalias are given without one."},
    {"ignore_mx_lookup_error", "Where the MX lookup fails, take the address of the domain."},
    {"initial_destination_concurrency", "How many deliveries a site is given at first, by every transport that has no value of its own."},
    {"info_log_address_format", "How addresses stand in the log: external (quoted where they must be) or internal."},
    {"inet_interfaces", "The addresses of this machine where mail is received, and which are its own."},
    {"inet_protocols", "ipv4, ipv6, or all."},
    {"lmdb_map_size", "The first size of an LMDB table that is built; it grows as needed."},
    {"mail_name", "The name in greetings and reports."},
    {"mail_owner", "The user that owns the queue and runs the services."},
    {"mail_version", "The version of Postfix whose behaviour is offered."},
    {"maillog_file", "The file for the log; empty: syslog."},
    {"maillog_file_compressor", "The command that compresses a log that was rotated."},
    {"maillog_file_permissions", "The mode of a new log file."},
    {"maillog_file_prefixes", "Where maillog_file may be."},
    {"maillog_file_rotate_suffix", "What is appended to the name of a log that is rotated (strftime)."},
    {"master_service_disable", "Services of master.cf that are not started: type, or name/type."},
    {"message_size_limit", "The largest message, with its header; 0: no limit."},
    {"meta_directory", "Where postmulti looks for master.cf.proto."},
    {"multi_instance_directories", "The configuration directories of further instances."},
    {"multi_instance_enable", "Whether this instance is started and stopped with the others."},
    {"multi_instance_group", "The group of this instance."},
    {"multi_instance_name", "The name of this instance; it becomes the beginning of its log tags."},
    {"multi_instance_wrapper", "The command that runs postfix commands for all instances."},
    {"mydomain", "The domain of this machine."},
    {"myhostname", "The name of this machine."},
    {"mynetworks", "Clients that are trusted."},
    {"mynetworks_style", "How mynetworks is made where it is not set: host, subnet, class."},
    {"myorigin", "The domain of addresses without one."},
    {"postmulti_control_commands", "postfix commands that need a running instance."},
    {"postmulti_start_commands", "postfix commands that start an instance."},
    {"postmulti_stop_commands", "postfix commands that stop an instance."},
    {"queue_directory", "Where the queue is."},
    {"reject_tempfail_action", "What the parameters ..._tempfail_action say where they are not set: defer_if_permit or defer."},
    {"sendmail_fix_line_endings", "What sendmail makes of CR LF: always, strict, never."},
    {"service_name", "The first column of the service's line in master.cf; it cannot be set."},
    {"setgid_group", "The group of postdrop, postqueue and the folders they enter."},
    {"syslog_facility", "The facility of log lines."},
    {"syslog_name", "The beginning of log tags."},
    {"virtual_mailbox_base", "The folder below which all paths of virtual_mailbox_maps are."},
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

/// Declared, so that a wrong value is refused; the right ones change nothing.
constexpr auto without_effect = std::to_array<std::string_view>({"debug_peer_level", "smtp_sasl_path", "lmtp_sasl_path"});
bool has_no_effect(std::string_view name) { return std::ranges::find(without_effect, name) != without_effect.end(); }

struct Consequence {
    std::string_view pattern, text;  // of a parameter's name, with a * at its beginning or end for any letters; the longest that fits counts
    Standing standing = Standing::by_design;
};
constexpr auto consequences = std::to_array<Consequence>({
    // What may still be built.
    {"smtp_tls_enable_rpk", "raw public keys need OpenSSL 3.2, and are not used", Standing::unserved},
    {"smtp_tls_loglevel_maps", "every destination has smtp_tls_loglevel", Standing::unserved},
    {"smtpd_tls_enable_rpk", "raw public keys need OpenSSL 3.2, and are not used", Standing::unserved},
    {"smtpd_tls_loglevel_maps", "every client has smtpd_tls_loglevel", Standing::unserved},
    // Decided otherwise: for what it is in Postfix, and what is here.
    {"*_delivery_slot_*", "it is for who goes first in the queue manager; here messages of one site take turns, and a long list holds up no other"},
    {"*_minimum_delivery_slots",
     "it is for who goes first in the queue manager; here messages of one site take turns, and a long list holds up no other"},
    {"*_extra_recipient_limit",
     "it is for recipients in the queue manager's memory, by transport; here qmgr_message_recipient_limit bounds those of all"},
    {"*_recipient_limit", "it is for recipients in the queue manager's memory, by transport; here qmgr_message_recipient_limit bounds those of all"},
    {"*_recipient_refill_*", "it is for recipients in the queue manager's memory; here those of a message are read together"},
    {"qmgr_message_recipient_minimum", "it is for recipients in the queue manager's memory; here those of a message are read together"},
    {"qmgr_fudge_factor", "it is for the queue manager of before Postfix 2.5; here messages of one site take turns"},
    {"*_service_name", "services find each other by sockets of their own, whatever the lines of master.cf are called"},
    {"*_watchdog_timeout", "no process of that kind waits for one client: each session has time limits of its own"},
    {"backwards_bounce_logfile_compatibility", "there are no log files of bounces: what failed is in the queue's database"},
    {"berkeley_db_*", "the library's own cache sizes count"},
    {"connection_cache_*", "no service passes sessions on: the process that opened one keeps it for the next mail of its site"},
    {"daemon_table_open_error_is_fatal", "a table that cannot be opened defers what needs it, and the service goes on"},
    {"daemon_timeout", "each session and each child has time limits of its own; a service that ends is started anew"},
    {"debug_peer_level", "every level logs all that is said and heard"},
    {"debugger_command", "no debugger is started: -D in master.cf is passed over, and a debugger is attached to a process by its id"},
    {"destination_concurrency_feedback_debug", "posthorn why SITE shows how wide a site's window is; the log does not follow it"},
    {"detect_8bit_encoding_header", "which content has 8-bit octets is seen from the octets, not from what its header says"},
    {"dns_ncache_ttl_fix_enable", "it is for a fault of C libraries, and names are asked by a resolver of our own"},
    {"dnsblog_*", "lists in the DNS are asked by smtpd itself"},
    {"dnssec_probe",
     "answers are validated here; whether the name server passes signatures on is asked of the root's keys when the first answer has none"},
    {"dont_remove", "what is delivered leaves the queue; always_bcc keeps copies"},
    {"duplicate_filter_limit", "all addresses of an expansion are remembered, however many"},
    {"fast_flush_*", "ETRN and postqueue -s look into the queue itself: there are no files of what waits for a domain"},
    {"fault_injection_code", "it is for Postfix's own tests"},
    {"fork_*", "a process that could not be started is started again, at most service_throttle_time later"},
    {"hash_queue_*", "it is for folders of queue files; here the queue is one database"},
    {"in_flow_delay", "who hands mail in waits for the disk that stores it; deliveries are not behind that, and slow down nobody"},
    {"ipc_*", "services keep their connections, and hear from the kernel when one at the other end is gone"},
    {"known_tcp_ports", "lmtp, smtp, smtps, submissions and submission are 24, 25, 465, 465 and 587, and services(5) has all other names"},
    {"mail_release_date", "it tells what the program is, and cannot be set"},
    {"max_idle", "a process that has nothing to do waits, and costs next to nothing"},
    {"max_use", "a process serves as long as the configuration it was started with"},
    {"non_bdb_*", "it is for a Postfix without Berkeley DB; hash: and btree: are read and written here"},
    {"postlogd_watchdog_timeout", "the log is written by a thread of the supervisor, which no service waits for"},
    {"postscreen_enforce_tls", "clients that failed have smtpd's TLS"},
    {"postscreen_expansion_filter", "what stands in a footer is made here, and needs no filter"},
    {"postscreen_post_queue_limit", "who passed goes on in the process that tested him; smtpd_idle_session_limit says how many sessions there are"},
    {"postscreen_starttls_timeout", "clients that failed have smtpd's TLS"},
    {"postscreen_tls_*", "clients that failed have smtpd's TLS"},
    {"postscreen_use_tls", "clients that failed have smtpd's TLS"},
    {"process_id", "it tells what a process is, and cannot be set"},
    {"process_id_directory", "the supervisor's process id is in pid/master.pid of the queue directory, and no other service has such a file"},
    {"process_name", "it tells what a process is, and cannot be set"},
    {"proxy_read_maps", "proxy: is the table behind it, asked by who may open it: no list limits that"},
    {"proxy_write_maps", "no table is written through a proxy: memory keeps what is learned"},
    {"qmgr_daemon_timeout", "the queue manager waits for no single answer; one that ends is started anew"},
    {"qmgr_ipc_timeout", "the queue manager waits for no single answer, and hears from the kernel when a delivery process is gone"},
    {"queue_file_attribute_count_limit", "an envelope has what it has: there is no list of attributes that a client could make longer"},
    {"queue_run_delay", "a message is tried when its time has come, and not at the next look through the queue"},
    {"smtp_sasl_path", "the mechanisms are built in"},
    {"smtp_tls_block_early_mail_reply", "no server may renegotiate, which is what the attack that it looks for needs"},
    {"smtp_tls_connection_reuse", "sessions in TLS are reused as others are; connection_reuse=no of a policy keeps none"},
    {"smtp_tls_dcert_file", "DSA certificates are not used"},
    {"smtp_tls_dkey_file", "DSA certificates are not used"},
    {"smtp_tls_trace_size_limit", "octets of TLS are not dumped into the log; posthorn transcript has what was said inside"},
    {"smtpd_history_flush_threshold", "what a session has said is kept for notices within a bound of octets"},
    {"smtpd_service_name", "the process that tested a client goes on with it"},
    {"smtpd_tls_always_issue_session_ids", "sessions are resumed by tickets: there is no cache that an id would lead to"},
    {"smtpd_tls_dcert_file", "DSA certificates are not used"},
    {"smtpd_tls_dh1024_param_file", "OpenSSL has groups that fit the certificate, and tls_ffdhe_auto_groups names those of TLS 1.3"},
    {"smtpd_tls_dh512_param_file", "such groups are too small for anybody"},
    {"smtpd_tls_dkey_file", "DSA certificates are not used"},
    {"smtpd_tls_eecdh_grade", "the curves are those of tls_eecdh_auto_curves"},
    {"smtpd_tls_session_cache_database", "sessions are resumed by tickets, whose keys all processes have"},
    {"smtpd_tls_trace_size_limit", "octets of TLS are not dumped into the log"},
    {"tcp_windowsize", "the kernel widens the windows of connections by itself"},
    {"tls_daemon_random_bytes", "OpenSSL takes its random octets from the system"},
    {"tls_eecdh_strong_curve", "the curves are those of tls_eecdh_auto_curves"},
    {"tls_eecdh_ultra_curve", "the curves are those of tls_eecdh_auto_curves"},
    {"tls_export_cipherlist", "the grade export means medium"},
    {"tls_fast_shutdown_enable", "nobody waits for the other end's last word of TLS"},
    {"tls_low_cipherlist", "the grade low means medium"},
    {"tls_random_*", "OpenSSL takes its random octets from the system"},
    {"tls_session_ticket_cipher", "tickets are sealed with AES-256"},
    {"tls_trace_rate_limit", "octets of TLS are not dumped into the log"},
    {"tlsproxy_*", "TLS is done by smtpd itself"},
    {"trigger_timeout", "services are not triggered: they hear over connections that stay"},
});

/// One * at the beginning, at the end, or at both.
bool fits(std::string_view pattern, std::string_view name)
{
    const bool front = pattern.starts_with('*'), back = pattern.ends_with('*');
    const std::string_view fixed = pattern.substr(front, pattern.size() - front - back);
    return front && back ? name.find(fixed) != name.npos : front ? name.ends_with(fixed) : back ? name.starts_with(fixed) : name == fixed;
}

const Consequence& consequence(std::string_view name)
{
    // An LMTP twin is what its SMTP parameter is.
    std::string twin;
    if (name.starts_with("lmtp_"))
        name = twin = "smtp_" + std::string(name.substr(5));
    static constexpr Consequence nothing{"", "", Standing::unserved};
    const Consequence* best = &nothing;
    for (const Consequence& one : consequences)
        if (fits(one.pattern, name) && one.pattern.size() > best->pattern.size())
            best = &one;
    return *best;
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
    for (const Named& named : read_by_name)
        add(std::string(named.name));
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
        if (value.empty() || (names.contains(std::string(name)) && !has_no_effect(name)) || !config::known(name) ||
            snapshot.default_of(name) == value)
            return false;
        found.emplace_back().name = name;
        found.back().follows = consequence(name).text;
        found.back().by_design = consequence(name).standing == Standing::by_design;
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
                                  std::span<const config::Assignment> master_cf, bool by_design)
{
    std::vector<std::string> lines;
    for (const Unserved& one : unserved_parameters(snapshot, transports, master_cf))
        if (one.by_design == by_design)
            lines.push_back(fmt::format(fmt::runtime(by_design ? "{}: {} decides nothing here: {}" : "{}: {} is accepted but not acted on yet: {}"),
                                        one.place, one.name, one.follows));
    return lines;
}

About about(std::string_view name)
{
    if (has_no_effect(name))
        return {consequence(name).standing, consequence(name).text, {}};
    for (const auto list : all_parameters())
        for (const config::ParamInfo& info : list)
            if (info.name == name || (info.name.starts_with("smtp_") && config::name_as(info.name, "lmtp") == name))
                return {info.obsolete.empty() ? Standing::acted_on : Standing::obsolete, info.doc, info.obsolete};
    // A transport's own name, "relay_destination_rate_delay".
    for (const auto list : all_parameters())
        for (const config::ParamInfo& info : list)
            if (info.is_family() && name.ends_with(info.name.substr(std::string_view("transport").size())))
                return {Standing::acted_on, info.doc, {}};
    if (const auto named = std::ranges::find(read_by_name, name, &Named::name); named != read_by_name.end())
        return {Standing::acted_on, named->doc, {}};
    if (std::ranges::find(informative, name) != informative.end())
        return {Standing::informative, "Says where something of an installation is; nothing depends on it.", {}};
    return {consequence(name).standing, consequence(name).text, {}};
}

}  // namespace posthorn::catalogue
