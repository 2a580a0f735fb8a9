// What the calls of a policy start here: services that listen, the queue, records; and who may relay.
#include "base/strings.hpp"
#include "kumomta/data_file.hpp"
#include "kumomta/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::kumomta {

namespace {

constexpr OptionFact smtp_facts[] = {
    {"listen", nothing_needed, "the first column of its line"},
    {"deferred_spool", nothing_needed, "nothing is acknowledged before it is stored; commits are shared"},
    {"deferred_queue", nothing_needed, "a message is in the queue when it is acknowledged"},
    {"data_buffer_size", nothing_needed, "buffers have one size"},
    {"batch_handling", nothing_needed, "a message of many recipients is stored once; each recipient is delivered by its own domain"},
    {"invalid_line_endings", nothing_needed, "smtpd_forbid_bare_newline refuses them; its parameter says what else can be done"},
    {"line_length_hard_limit", nothing_needed, "longer lines are broken by smtp_line_length_limit as mail leaves"},
    {"data_processing_timeout", nothing_needed, "no code of the site's runs on content"},
    {"trace_headers", left_out,
     "a Received: field is always written (smtpd_hide_client_session = yes leaves the client out); X-KumoRef comes by HTTP alone, where it is asked for"},
    {"max_connections", left_out, "smtpd_client_connection_count_limit limits each client; the process limit of the line limits the processes"},
    {"via", left_out, "a line of its own for each address that is listened on"},
    {"peer", left_out, "restrictions by client: check_client_access with a cidr table"},
    {"meta", left_out, "messages have no metadata"},
    {"tls_required_client_ca", left_out, "smtpd_tls_req_ccert = yes with smtpd_tls_CAfile"},
    {"domains", left_out, "relay_domains; the helper listener_domains takes its place in KumoMTA, too"},
};
constexpr OptionFact http_facts[] = {
    {"listen", nothing_needed, "the first column of its line"},
    {"hostname", left_out, "inject_hosts: the names that the service is called by, beside the address it was reached at"},
    {"use_tls", left_out, "inject has no TLS: a proxy that has it belongs in front"},
    {"tls_certificate", left_out, "inject has no TLS: the certificate is for the proxy in front"},
    {"tls_private_key", left_out, "inject has no TLS: the key is for the proxy in front"},
};
constexpr OptionFact spool_facts[] = {
    {"name", nothing_needed, "the queue is one: envelopes in a database, long contents as files beside it"},
    {"kind", nothing_needed, "the queue is one database"},
    {"flush", nothing_needed, "each commit is synced; commits are shared"},
    {"rocks_params", nothing_needed, "the queue is one database"},
    {"min_free_space", left_out, "queue_minfree"},
    {"min_free_inodes", nothing_needed, "the queue has few files"},
};
constexpr OptionFact log_facts[] = {
    {"max_file_size", left_out, "`postfix logrotate` renames the file; call it by cron(8) or logrotate(8)"},
    {"max_segment_duration", left_out, "`postfix logrotate` renames the file; call it by cron(8) or logrotate(8)"},
    {"compression_level", left_out, "records are not compressed while they are written; maillog_file_compressor compresses what was rotated"},
    {"back_pressure", nothing_needed, "records go through memory that is shared, and hold up no mail"},
    {"meta", left_out, "messages have no metadata; record_headers has fields of the header"},
    {"log_dir_timezone", nothing_needed, "the name of the file has no time in it"},
    {"min_free_space", nothing_needed, "records that cannot be written are counted in the log"},
    {"min_free_inodes", nothing_needed, "records are one file"},
    {"max_record_size", nothing_needed, "a record has a limit of its own"},
};
constexpr OptionFact hook_facts[] = {
    {"name", nothing_needed, "there is one hook"},
    {"constructor", nothing_needed, "it was called to see where it posts to"},
    {"queue_config", left_out, "what cannot be posted stays in the record file, and is tried again"},
};
/// Calls that ask for nothing, or for something else, whatever they are given.
constexpr OptionFact call_facts[] = {
    {"configure_redis_throttles", left_out, "limits are counted on this machine: with several, give each its share"},
    {"configure_accounting_db_path", nothing_needed, "counters are at the admin service"},
    {"configure_log_hook", left_out, "record_hook_url posts records as JSON"},
    {"set_config_monitor_globs", nothing_needed, "`postfix reload` takes what was changed"},
    {"set_spoolin_threads", nothing_needed, "the queue is read at once"},
    {"set_httpinject_threads", nothing_needed, "each process takes one client; default_process_limit"},
    {"set_smtpsrv_threads", nothing_needed, "each process takes one client; default_process_limit"},
    {"set_max_spool_in_threads", nothing_needed, "the queue is read at once"},
    {"aaa.configure_acct_log", left_out, "logins are in the log"},
    {"dns.configure_resolver", left_out, "the resolver is that of the system (resolv.conf)"},
    {"start_proxy_listener", left_out, "no proxy is served"},
    {"xfer", left_out, "mail is handed from queue to queue by a command: posthorn hand-over"},
    {"log_info", nothing_needed, "a line of the log"},
    {"log_warn", nothing_needed, "a line of the log"},
    {"log_error", nothing_needed, "a line of the log"},
    {"log_debug", nothing_needed, "a line of the log"},
    {"print", nothing_needed, "a text for whoever starts it"},
    {"memoize", nothing_needed, "data files are read once"},
    {"set_diagnostic_log_filter", nothing_needed, "debug_peer_list, and `posthorn why`"},
};
constexpr OptionFact event_facts[] = {
    {"init", nothing_needed, "what it calls has verdicts of its own"},
    {"pre_init", nothing_needed, "what it calls has verdicts of its own"},
    {"get_egress_pool", nothing_needed, "it was asked for all pools that are named"},
    {"get_egress_source", nothing_needed, "it was asked for all sources that are named"},
    {"get_egress_path_config", nothing_needed, "it was asked for all domains and sources that are named"},
    {"get_queue_config", nothing_needed, "it was asked for all tenants and domains that are named"},
    {"get_listener_domain", nothing_needed, "it was asked for all domains that are named"},
    {"validate_config", nothing_needed, "`posthorn migrate DIR` and `postfix check` judge what was written"},
    {"smtp_server_message_received", left_out,
     "code that acts on messages: what of it is certain (the tenant's field, who signs) is carried over; all else by header_checks, a Milter or a policy server"},
    {"http_message_generated", left_out,
     "code that acts on messages: what of it is certain (the tenant's field, who signs) is carried over; all else by header_checks or a Milter"},
    {"smtp_server_auth_plain", left_out, "smtpd_sasl_auth_enable = yes with Dovecot or Cyrus SASL, which know users and passwords"},
    {"http_server_validate_auth_basic", left_out, "inject_token_file, or users of smtpd_sasl_auth_enable"},
    {"smtp_server_ehlo", left_out, "smtpd_helo_restrictions"},
    {"smtp_server_mail_from", left_out, "smtpd_sender_restrictions, check_sender_access"},
    {"smtp_server_rcpt_to", left_out, "smtpd_recipient_restrictions, check_recipient_access"},
    {"smtp_server_data", left_out, "smtpd_data_restrictions, a policy server"},
    {"smtp_server_connection_accepted", left_out, "smtpd_client_restrictions, postscreen_access_list"},
    {"smtp_server_get_dynamic_parameters", left_out, "a line of master.cf for each address that is listened on"},
    {"smtp_client_rewrite_delivery_status", left_out, "default_delivery_status_filter, or a rule `reply ... temporary` in smtp_peer_rules"},
    {"requeue_message", left_out, "a message stays with its route; transport_maps and `postsuper -r` change it"},
    {"rebind_message", left_out, "`postsuper -r` routes a message anew"},
    {"should_enqueue_log_record", left_out, "record_types says which records are written and posted"},
    {"xfer_message_received", left_out, "mail that comes from another queue (posthorn take-over) is taken as it stood there"},
    {"tsa_init", nothing_needed, "what replies ask for is learned and ruled by smtp itself (smtp_peer_rules, `posthorn peers`)"},
    {"tsa_load_shaping_data", nothing_needed, "what replies ask for is learned and ruled by smtp itself (smtp_peer_rules, `posthorn peers`)"},
    {"proxy_init", left_out, "no proxy is served"},
};
constexpr std::string_view record_kinds[] = {"Reception",   "Delivery",  "TransientFailure", "Bounce", "Expiration",
                                             "AdminBounce", "Rejection", "XferOut",          "XferIn"};

/// "0.0.0.0:25", "0:25", "[::]:25" as the first column of a line. Empty: it is none.
std::string endpoint(const std::string& listen)
{
    const std::size_t colon = listen.rfind(':');
    if (colon == listen.npos || !parse_number(listen.substr(colon + 1)))
        return {};
    std::string host = listen.substr(0, colon);
    if (host.empty() || host == "0")
        host = "0.0.0.0";
    if (host.find(':') != host.npos && !host.starts_with('['))
        host = "[" + host + "]";
    const bool plain = std::ranges::all_of(host, [](char c) { return is_alnum(c) || c == '.' || c == ':' || c == '-' || c == '[' || c == ']'; });
    return plain ? host + listen.substr(colon) : std::string();
}

/// Addresses and networks as mynetworks has them. What is neither is left out.
std::vector<std::string> networks(const Value* hosts)
{
    std::vector<std::string> found;
    if (!hosts)
        return {"127.0.0.0/8", "[::1]/128"};                       // KumoMTA's default
    for (const std::string& host : hosts->words()) {
        const std::size_t slash = host.find('/');
        const std::string address = host.substr(0, slash), mask = slash == host.npos ? "" : host.substr(slash);
        if (host.find_first_of(" ,\t\n$!{}") != host.npos)
            continue;
        found.push_back(address.find(':') == address.npos ? host : fmt::format("[{}]{}", address, mask.empty() ? "/128" : mask));
    }
    return found;
}

/// Names of fields, those that are none left out.
std::string field_names(const Value& value)
{
    std::string names;
    for (const std::string& name : value.words())
        if (std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '_'; }))
            names += (names.empty() ? "" : ", ") + name;
    return names;
}

std::string as_option(const std::string& name, const std::string& value)
{
    if (value.find_first_of(" \t") == value.npos)
        return fmt::format("    -o {}={}\n", name, value);
    return fmt::format("    -o {{ {} = {} }}\n", name, value);
}

}  // namespace

void PolicyTranslator::calls()
{
    for (const Call& call : policy_.calls) {
        const Block block{call.first(), "kumo." + call.name};
        if (call.name == "start_esmtp_listener")
            smtp_listener(call);
        else if (call.name == "start_http_listener")
            http_listener(call);
        else if (call.name == "define_spool")
            spool(call);
        else if (call.name == "configure_local_logs")
            logs(call);
        else if (call.name == "log_hooks:new")
            log_hook(call);
        else if (call.name == "configure_bounce_classifier")
            bounce_classifier(call);
        else {
            const auto* const fact = std::ranges::find(call_facts, std::string_view(call.name), &OptionFact::name);
            const bool known = fact != std::end(call_facts);
            const bool rspamd =
                call.name.find("rspamd") != call.name.npos || (call.name == "require" && call.first().shown().find("rspamd") != std::string::npos);
            judge(call.place, call.event.empty() ? "policy" : "event " + call.event, fmt::format("{} {}", call.name, call.first().shown()),
                  known ? fact->kind : Kind::left_out,
                  known    ? std::string(fact->text)
                  : rspamd ? "Rspamd as a Milter: smtpd_milters with the address of its proxy (inet:127.0.0.1:11332)"
                           : "nothing here is known to do the same");
        }
    }
    for (const Variable& one : policy_.environment)
        judge(one.place, "policy", fmt::format("os.getenv '{}'", printable(one.name, true)), one.is_set ? Kind::nothing_needed : Kind::left_out,
              one.is_set
                  ? "what the environment has now: it is not asked again"
                  : "it is not set where this runs: what the policy does without it is carried over; run this with the environment that KumoMTA has");
}

/// Files of [rules] CLASS = [REGEX ...]: a pcre table of the same order, before the shipped one.
void PolicyTranslator::bounce_classifier(const Call& call)
{
    const Block block{call.first(), "configure_bounce_classifier"};
    const Value* const files = block.table.find("files");
    std::string table;
    for (const std::string& path : files ? files->words() : std::vector<std::string>()) {
        const auto text = path.starts_with('/') && machine_.exists(path) ? machine_.read(path) : Result<std::string>(Error{"no such file"});
        const auto data = text ? parse_data(*text, path) : Result<Value>(text.error());
        const Value* const rules = data ? data->find("rules") : nullptr;
        if (!rules) {
            judge(call.place, block.where, path, Kind::left_out, data ? "no table \"rules\" in it" : data.error().text());
            continue;
        }
        for (const Entry& one : rules->entries)
            for (const std::string& regex : one.value.words()) {
                const bool usable = !regex.empty() && printable(regex, true) == regex && one.name.find_first_of(" \t$") == std::string::npos;
                if (usable)
                    table += fmt::format("/(?-i:{})/ {}\n", within_slashes(regex), one.name);
                else
                    judge(one.value.place, block.where, fmt::format("{} = {}", one.name, printable(regex, true)), Kind::left_out,
                          "no rule of a table");
            }
        judge(call.place, block.where, path, Kind::becomes, "bounce_classification_maps, before the shipped rules");
    }
    if (table.empty())
        judge(block, "files", Kind::left_out, "no rules: the shipped ones of bounce_classification_maps");
    else
        set("bounce_classification_maps", add_table("bounce_classes", "pcre", table) + ", shipped", call.place, "configure_bounce_classifier");
}

void PolicyTranslator::smtp_listener(const Call& call)
{
    const Block block{call.first(), "start_esmtp_listener"};
    const std::string column = endpoint(block.table.word_of("listen"));
    if (column.empty()) {
        judge(call.place, block.where, call.first().shown(), Kind::left_out, "it does not say where to listen");
        return;
    }
    const std::vector<std::string> relays = networks(block.table.find("relay_hosts"));
    std::vector<std::pair<std::string, std::string>> options = {{"mynetworks", fmt::format("{}", fmt::join(relays, ", "))}};
    std::vector<std::pair<std::string, std::string>> defaults;
    const auto option = [&](std::string_view name, const char* parameter, std::string fallback, std::string_view before = "") {
        const std::string word = block.table.word_of(name);
        const bool is_number = name.starts_with("max_");
        const bool usable = !word.empty() && word.find_first_of("$\r\n{}") == word.npos && (!is_number || parse_number(word));
        options.emplace_back(parameter, usable ? std::string(before) + word : std::move(fallback));
        judge(block, name, usable ? Kind::becomes : Kind::left_out, usable ? fmt::format("{} = {}", parameter, options.back().second) : "no value");
    };
    option("hostname", "myhostname", machine_.host_name);
    option("banner", "smtpd_banner", "$myhostname ESMTP", "$myhostname ESMTP ");
    option("max_message_size", "message_size_limit", "20971520");
    option("max_recipients_per_message", "smtpd_recipient_limit", "1024");
    option("max_messages_per_connection", "smtpd_session_mail_limit", "10000");
    const Value* const time = block.table.find("client_timeout");
    if (const long long seconds = time ? seconds_of(*time).value_or(0) : 0; seconds > 0) {
        options.emplace_back("smtpd_timeout", time_text(seconds));
        judge(block, "client_timeout", Kind::becomes, "smtpd_timeout = " + options.back().second);
    }
    judge(block, "relay_hosts", Kind::becomes, "mynetworks = " + options.front().second);
    const std::string certificate = block.table.word_of("tls_certificate"), key = block.table.word_of("tls_private_key");
    const bool has_tls = !certificate.empty() && machine_.exists(certificate) && (key.empty() || machine_.exists(key));
    options.emplace_back("smtpd_tls_security_level", has_tls ? "may" : "none");
    if (has_tls) {
        options.emplace_back("smtpd_tls_cert_file", certificate);
        options.emplace_back("smtpd_tls_key_file", key.empty() ? certificate : key);
        judge(block, "tls_certificate", Kind::becomes, "smtpd_tls_cert_file");
        judge(block, "tls_private_key", Kind::becomes, "smtpd_tls_key_file");
    } else if (certificate.empty()) {
        judge(call.place, block.where, "STARTTLS", Kind::left_out,
              "KumoMTA offers it with a certificate that it makes itself: name one in smtpd_tls_cert_file, with smtpd_tls_security_level = may");
    } else {
        judge(block, "tls_certificate", Kind::left_out, "it is not on this machine: smtpd_tls_cert_file, with smtpd_tls_security_level = may");
        judge(block, "tls_private_key", Kind::left_out, "smtpd_tls_key_file");
    }
    if (block.table.yes("require_proxy_protocol")) {
        options.emplace_back("smtpd_upstream_proxy_protocol", "haproxy");
        judge(block, "require_proxy_protocol", Kind::becomes, "smtpd_upstream_proxy_protocol = haproxy");
    } else {
        judge(block, "require_proxy_protocol", Kind::nothing_needed, "none is expected");
    }
    if (block.table.find("allow_xclient") && !block.table.yes("allow_xclient"))
        judge(block, "allow_xclient", Kind::nothing_needed, "XCLIENT is not offered");
    judge(block, "allow_xclient", Kind::left_out, "smtpd_authorized_xclient_hosts names who may say it");
    rest(block, smtp_facts);
    // The first listener's are main.cf's; others say what differs.
    std::string text = fmt::format("{} inet n -       n       -       -       smtpd\n", column);
    for (const auto& [name, value] : options) {
        if (!smtp_listens_)
            set(name, value, call.place, "start_esmtp_listener");
        else if (const Setting* const first = out_.find(name); !first || first->value != value)
            text += as_option(name, value);
    }
    if (!smtp_listens_ && parse_number(out_.find("message_size_limit")->value).value_or(0) > 51'200'000)
        set("mailbox_size_limit", "0", call.place, "max_message_size");
    smtp_listens_ = true;
    add_service(text, call.place, "start_esmtp_listener " + column);
    judge(call.place, block.where, "listen " + column, Kind::becomes, fmt::format("a line of smtpd at {} in master.cf", column));
}

void PolicyTranslator::http_listener(const Call& call)
{
    const Block block{call.first(), "start_http_listener"};
    const std::string column = endpoint(block.table.word_of("listen"));
    if (column.empty() || block.table.yes("use_tls")) {
        judge(block, "trusted_hosts", Kind::left_out, "inject_clients and mynetworks of such a line");
        rest(block, http_facts);
        judge(call.place, block.where, "start_http_listener " + column, Kind::left_out,
              column.empty() ? "it does not say where to listen" : "a proxy with TLS in front of another line of inject");
        return;
    }
    const std::string clients = fmt::format("{}", fmt::join(networks(block.table.find("trusted_hosts")), ", "));
    judge(block, "trusted_hosts", Kind::becomes, "inject_clients and mynetworks of its line");
    if (block.table.find("use_tls"))
        judge(block, "use_tls", Kind::nothing_needed, "there is none");
    std::string text = fmt::format("{} inet n -       n       -       -       inject\n{}{}", column, as_option("inject_clients", clients),
                                   as_option("mynetworks", clients));
    if (const auto size = parse_number(block.table.word_of("request_body_limit"))) {
        text += as_option("inject_body_size_limit", std::to_string(std::max<std::uint64_t>(*size, 1024)));
        judge(block, "request_body_limit", Kind::becomes, "inject_body_size_limit of its line");
    }
    rest(block, http_facts);
    add_service(text, call.place, "start_http_listener " + column);
    judge(call.place, block.where, "listen " + column, Kind::becomes, fmt::format("a line of inject at {}: POST /api/inject/v1", column));
    if (!services_.insert("admin").second)
        return;
    int port = 8025;
    const auto taken = [&] {
        return std::ranges::any_of(policy_.calls,
                                   [&](const Call& other) { return other.first().word_of("listen").ends_with(fmt::format(":{}", port)); });
    };
    while (taken())
        ++port;
    add_service(fmt::format("127.0.0.1:{} inet n -       n       -       -       admin\n", port), call.place, "metrics and the queue over HTTP");
    judge(call.place, block.where, "metrics and administration", Kind::becomes,
          fmt::format("a line of admin at 127.0.0.1:{}, by paths of its own; what changes the queue needs admin_token_file", port));
}

void PolicyTranslator::spool(const Call& call)
{
    const Block block{call.first(), "define_spool " + call.first().word_of("name")};
    const std::string path = block.table.word_of("path");
    const std::size_t slash = path.find_last_of('/');
    if (block.table.word_of("name") == "data" && path.starts_with('/') && slash > 0 && path.find_first_of("$ \t\n") == path.npos) {
        set("queue_directory", path.substr(0, slash) + "/posthorn", call.place, "define_spool data");
        judge(block, "path", Kind::becomes,
              fmt::format("queue_directory = {}/posthorn, beside it: files of KumoMTA's are not touched, nor is mail in them taken over",
                          path.substr(0, slash)));
    } else {
        judge(block, "path", Kind::nothing_needed, "envelopes and content are in one queue_directory");
    }
    rest(block, spool_facts);
}

void PolicyTranslator::logs(const Call& call)
{
    const Block block{call.first(), "configure_local_logs"};
    std::string folder = block.table.word_of("log_dir");
    while (folder.ends_with('/'))
        folder.pop_back();
    const bool usable = folder.starts_with('/') && folder.find_first_of("%$ \t\n") == folder.npos;
    if (usable) {
        set("record_file", folder + "/posthorn-records", call.place, "configure_local_logs");
        // A file elsewhere would be refused.
        if (!folder.starts_with("/var/"))
            set("maillog_file_prefixes", "/var, /dev/stdout, " + folder, call.place, "configure_local_logs");
        judge(block, "log_dir", Kind::becomes, fmt::format("record_file = {}/posthorn-records", folder));
    } else {
        judge(block, "log_dir", Kind::left_out, "record_file: a path without anything to be filled in");
    }
    if (const Value* const headers = block.table.find("headers")) {
        set("record_headers", field_names(*headers), call.place, "configure_local_logs");
        judge(block, "headers", Kind::becomes, "record_headers");
    }
    if (const Value* const records = block.table.find("per_record")) {
        const Value* const any = records->find("Any");
        const bool by_default = !any || !any->find("enable") || any->yes("enable");
        std::string types;
        for (const std::string_view kind : record_kinds) {
            const Value* const one = records->find(kind);
            if (one ? !one->find("enable") || one->yes("enable") : by_default)
                types += fmt::format("{}{}", types.empty() ? "" : ", ", kind);
        }
        if (!types.empty())
            set("record_types", types, call.place, "per_record");
        judge(block, "per_record", types.empty() ? Kind::left_out : Kind::becomes,
              types.empty() ? "no type is left: leave record_file empty"
                            : "record_types; templates, suffixes and folders of their own are not carried over: records are JSON in one file");
    }
    rest(block, log_facts);
}

void PolicyTranslator::log_hook(const Call& call)
{
    const Block block{call.first(), "log_hooks " + call.first().word_of("name")};
    const std::string url = block.table.word_of("url");
    const bool usable = (url.starts_with("http://") || url.starts_with("https://")) && url.find_first_of(" \t\n$") == url.npos;
    if (usable && !out_.find("record_hook_url")) {
        set("record_hook_url", url, call.place, "log_hooks");
        if (!out_.find("record_file"))
            set("record_file", "/var/log/posthorn-records", call.place, "log_hooks: records are posted from it");
        judge(block, "url", Kind::becomes, "record_hook_url");
    } else {
        judge(block, "url", Kind::left_out, "record_hook_url is one: what reads it hands on to others");
    }
    if (!usable)
        judge(call.place, block.where, "constructor", Kind::left_out, "where it posts to is not certain: record_hook_url");
    if (const Value* const parameters = block.table.find("log_parameters")) {
        if (const Value* const headers = parameters->find("headers"); headers && !out_.find("record_headers"))
            set("record_headers", field_names(*headers), call.place, "log_hooks");
        judge(block, "log_parameters", Kind::becomes, "record_headers; per_record: record_types; meta has nothing to take its place");
    }
    rest(block, hook_facts);
}

void PolicyTranslator::domains()
{
    std::vector<std::string> excluded, exact, below;
    for (const Entry& entry : policy_.domains.entries) {
        const Block block{entry.value, "listener domain " + entry.name};
        if (entry.name == "listener") {
            judge(entry.value.place, "listener domains", "listener", Kind::left_out,
                  "what counts at one listener alone: -o relay_domains=... on its line");
            continue;
        }
        const bool plain = !entry.name.empty() && std::ranges::all_of(std::string_view(entry.name).substr(entry.name.starts_with("*.") ? 2 : 0),
                                                                      [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; });
        const bool relays = entry.value.yes("relay_to");
        if (!plain && relays) {
            judge(block, "relay_to", Kind::left_out, "it takes mail for every domain from everybody: name the domains in relay_domains");
        } else if (plain && relays) {
            (entry.name.starts_with("*.") ? below : exact).push_back(entry.name.starts_with("*.") ? entry.name.substr(1) : entry.name);
            judge(block, "relay_to", Kind::becomes, "relay_domains");
        } else if (entry.value.find("relay_to")) {
            if (plain)
                excluded.push_back("!" + (entry.name.starts_with("*.") ? entry.name.substr(1) : entry.name));
            judge(block, "relay_to", Kind::becomes, "no domain of relay_domains");
        }
        for (const char* kind : {"log_oob", "log_arf"})
            judge(
                block, kind, entry.value.yes(kind) ? Kind::left_out : Kind::nothing_needed,
                entry.value.yes(kind)
                    ? "reports that come back are not read: let the domain's mail go to a program (transport_maps with pipe), and name it in relay_domains"
                    : "reports are not read");
        static constexpr OptionFact facts[] = {
            {"relay_from", left_out,
             "mynetworks lets clients relay whatever their sender; by both: smtpd_restriction_classes of check_sender_access and check_client_access"},
            {"relay_from_authz", left_out, "permit_sasl_authenticated, with smtpd_sender_login_maps for who may use which sender"},
        };
        rest(block, facts);
    }
    std::vector<std::string> all = excluded;
    all.insert(all.end(), exact.begin(), exact.end());
    all.insert(all.end(), below.begin(), below.end());
    set("relay_domains", exact.empty() && below.empty() ? "" : fmt::format("{}", fmt::join(all, ", ")), policy_.domains.place,
        "domains with relay_to");
    if (!exact.empty() || !below.empty()) {
        // A domain of KumoMTA's is itself alone; "*.domain" are those below.
        set("parent_domain_matches_subdomains",
            "debug_peer_list, fast_flush_domains, mynetworks, permit_mx_backup_networks, qmqpd_authorized_clients, smtpd_access_maps", {},
            "a domain in relay_domains is itself alone");
        set("relay_transport", "$default_transport", {}, "mail for relay_domains leaves as all other does");
    }
}

void PolicyTranslator::handlers()
{
    for (const Handler& handler : policy_.handlers) {
        const auto* const fact = std::ranges::find(event_facts, std::string_view(handler.event), &OptionFact::name);
        const bool known = fact != std::end(event_facts);
        const std::string statement = fmt::format("kumo.on('{}')", printable(handler.event, true));
        if (!handler.trouble.empty())
            judge(handler.place, "policy", statement, Kind::left_out, "when it was asked: " + printable(handler.trouble, true));
        else
            judge(handler.place, "policy", statement, known ? fact->kind : Kind::left_out,
                  (known ? std::string(fact->text) : "code of the site's: a Milter, a policy server, or tables") +
                      (handler.besides.empty() ? "" : "; it does besides: " + printable(handler.besides, true)));
    }
}

}  // namespace posthorn::kumomta
