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
    std::string_view prefix, text;                 // of a parameter's name; the longest that fits counts
};
constexpr auto consequences = std::to_array<Consequence>({
    {"debug", "no debugger is started"},
    {"debug_peer_level", "every level logs all that is said and heard"},
    {"daemon_table_open_error_is_fatal", "a table that cannot be opened defers what needs it, and the service goes on"},
    {"detect_8bit_encoding_header", "which content has 8-bit octets is seen from the octets, not from what its header says"},
    {"dnsblog_", "lists in the DNS are asked by smtpd itself"},
    {"dnssec_probe", "answers are validated here: a name server that hides signatures makes lookups fail, and lowers nothing"},
    {"duplicate_filter_limit", "all addresses of an expansion are remembered, however many"},
    {"enable_idna2003_compatibility", "domain names are converted as IDNA2008 says"},
    {"max_idle", "a process that has nothing to do waits, and costs next to nothing"},
    {"max_use", "a process serves as long as the configuration it was started with"},
    {"postscreen_enforce_tls", "clients that failed have smtpd's TLS"},
    {"postscreen_expansion_filter", "what stands in a footer is made here, and needs no filter"},
    {"postscreen_post_queue_limit", "smtpd_idle_session_limit says how many sessions there are"},
    {"postscreen_starttls_timeout", "clients that failed have smtpd's TLS"},
    {"postscreen_tls_", "clients that failed have smtpd's TLS"},
    {"postscreen_use_tls", "clients that failed have smtpd's TLS"},
    {"proxy_read_maps", "proxy: is the table behind it, asked by who may open it: no list limits that"},
    {"qmgr_clog_warn_time", "no warning tells of a destination that fills the active queue"},
    {"qmqpd_", "QMQP is not served"},
    {"smtp_log_tls_feature_status", "lines of deliveries have no tls= field"},
    {"smtp_dns_resolver_options", "names are asked for as they are, without the domains of resolv.conf behind them"},
    {"smtp_sasl_path", "the mechanisms are built in"},
    {"smtp_tls_block_early_mail_reply", "no server may renegotiate, which is what the attack that it looks for needs"},
    {"smtp_tls_connection_reuse", "sessions in TLS are reused as others are; connection_reuse=no of a policy keeps none"},
    {"smtp_tls_dcert_file", "DSA certificates are not used"},
    {"smtp_tls_dkey_file", "DSA certificates are not used"},
    {"smtp_tls_enable_rpk", "raw public keys are not used"},
    {"smtp_tls_loglevel_maps", "every destination has smtp_tls_loglevel"},
    {"smtpd_delay_open_until_valid_rcpt", "a message has its queue id with its first valid recipient"},
    {"smtpd_service_name", "the process that tested a client goes on with it"},
    {"smtpd_tls_dcert_file", "DSA certificates are not used"},
    {"smtpd_tls_dkey_file", "DSA certificates are not used"},
    {"smtpd_tls_enable_rpk", "raw public keys are not used"},
    {"tls_config_", "OpenSSL reads the system's configuration, and no other"},
    {"tls_daemon_random_bytes", "OpenSSL takes its random octets from the system"},
    {"tls_random_", "OpenSSL takes its random octets from the system"},
    {"tls_session_ticket_cipher", "tickets are sealed with AES-256"},
    {"tlsproxy_", "TLS is done by smtpd itself"},
});

std::string_view consequence(std::string_view name)
{
    // An LMTP twin is what its SMTP parameter is.
    std::string twin;
    if (name.starts_with("lmtp_"))
        name = twin = "smtp_" + std::string(name.substr(5));
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

About about(std::string_view name)
{
    if (has_no_effect(name))
        return {Standing::unserved, consequence(name), {}};
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
    return {Standing::unserved, consequence(name), {}};
}

}  // namespace posthorn::catalogue
