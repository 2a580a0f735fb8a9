#include "base/strings.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

constexpr auto unneeded = Verdict::Kind::nothing_needed;
constexpr auto dropped = Verdict::Kind::left_out;

struct MainFact {
    std::string_view name;
    Verdict::Kind kind;
    std::string_view text;
};
/// Options that no setting answers.                                                                         Exim's specification, chapter 14
constexpr MainFact main_facts[] = {
    {"exim_path", unneeded, "the commands are found beside posthorn"},
    {"exim_user", unneeded, "mail_owner is who the services are"},
    {"exim_group", unneeded, "mail_owner is who the services are"},
    {"spool_directory", unneeded, "the queue is in queue_directory; `posthorn migrate --exim-queue` takes over what waits in Exim's"},
    {"split_spool_directory", unneeded, "the queue is one database"},
    {"gecos_pattern", unneeded, "the full name is taken up to the first comma"},
    {"gecos_name", unneeded, "the full name is taken up to the first comma"},
    {"keep_environment", unneeded, "import_environment and export_environment say what is passed on"},
    {"add_environment", dropped, "import_environment = NAME=value"},
    {"log_selector", unneeded, "the log has what Postfix's has: its form does not change by parameters"},
    {"log_file_path", unneeded, "the log goes to syslog, or to maillog_file"},
    {"log_timezone", unneeded, "syslog has its own stamps"},
    {"syslog_timestamp", unneeded, "syslog has its own stamps"},
    {"syslog_duplication", unneeded, "each line is said once"},
    {"write_rejectlog", unneeded, "refusals stand in the log of all"},
    {"preserve_message_logs", unneeded, "`posthorn transcript` shows sessions"},
    {"pid_file_path", unneeded, "the pid file is in queue_directory"},
    {"never_users", unneeded, "nothing runs as root or for it unless master.cf says so"},
    {"trusted_users", unneeded, "whoever may use sendmail may name a sender (local_login_sender_maps limits it)"},
    {"trusted_groups", unneeded, "whoever may use sendmail may name a sender (local_login_sender_maps limits it)"},
    {"admin_groups", unneeded, "the queue is root's; for others the admin service with a token"},
    {"untrusted_set_sender", unneeded, "whoever may use sendmail may name a sender (local_login_sender_maps limits it)"},
    {"local_from_check", unneeded, "a From header of local mail is left as it is"},
    {"local_sender_retain", unneeded, "a Sender header is left as it is"},
    {"freeze_tell", unneeded, "nothing freezes: mail is delivered, returned or waits; notify_classes says what the postmaster hears of"},
    {"timeout_frozen_after", unneeded, "nothing freezes; what is held by `postsuper -h` stays until it is released"},
    {"auto_thaw", unneeded, "nothing freezes"},
    {"prdr_enable", unneeded, "PRDR is not offered: a client then sends as to any other server"},
    {"dns_dnssec_ok", unneeded, "smtp_dns_support_level = dnssec, where TLS by DANE is wanted"},
    {"dns_again_means_nonexist", dropped, "a failure of the DNS is never \"there is no such name\""},
    {"dns_check_names_pattern", unneeded, "names are checked before they are asked for"},
    {"helo_allow_chars", unneeded, "any name is taken at HELO, unless smtpd_helo_restrictions has reject_invalid_helo_hostname"},
    {"helo_accept_junk_hosts", unneeded, "any name is taken at HELO, unless smtpd_helo_restrictions has reject_invalid_helo_hostname"},
    {"helo_try_verify_hosts", unneeded, "only an ACL that asks for it decides by it"},
    {"rfc1413_hosts", unneeded, "ident is not asked"},
    {"rfc1413_query_timeout", unneeded, "ident is not asked"},
    {"received_header_text", unneeded, "the Received header has a form of its own"},
    {"accept_8bitmime", unneeded, "8BITMIME is offered"},
    {"allow_domain_literals", unneeded, "user@[address] is taken where the address is one of this machine's"},
    {"allow_mx_to_ip", unneeded, "an MX that names an address is not used"},
    {"dsn_advertise_hosts", unneeded, "DSN is offered"},
    {"smtp_accept_queue", unneeded, "deliveries wait by themselves where there are many"},
    {"smtp_accept_queue_per_connection", unneeded, "deliveries begin as mail comes in, however much of it a session has"},
    {"smtp_accept_reserve", unneeded, "smtpd_client_connection_count_limit keeps one client from taking all"},
    {"smtp_reserve_hosts", unneeded, "smtpd_client_connection_count_limit keeps one client from taking all"},
    {"smtp_load_reserve", unneeded, "load does not decide who is served"},
    {"smtp_connect_backlog", unneeded, "the listen queue is the system's longest"},
    {"smtp_enforce_sync", unneeded, "a client that talks too soon is refused where smtpd_forbid_unauth_pipelining says so"},
    {"smtp_check_spool_space", unneeded, "queue_minfree"},
    {"check_spool_space", unneeded, "queue_minfree"},
    {"check_spool_inodes", unneeded, "queue_minfree"},
    {"smtp_return_error_details", unneeded, "replies are short"},
    {"queue_run_max", unneeded, "there are no queue runners: mail is tried when its time has come"},
    {"queue_only", dropped, "mail is tried at once; defer_transports holds a transport back"},
    {"queue_only_load", unneeded, "load does not decide what is tried"},
    {"deliver_queue_load_max", unneeded, "load does not decide what is tried"},
    {"queue_smtp_domains", dropped, "defer_transports, or transport_maps with retry:"},
    {"queue_domains", dropped, "defer_transports, or transport_maps with retry:"},
    {"hold_domains", dropped, "`posthorn suspend DOMAIN`; transport_maps with retry:4.0.0 text"},
    {"remote_max_parallel", unneeded, "NAME_destination_concurrency_limit, per site"},
    {"remote_sort_domains", unneeded, "messages take turns"},
    {"retry_data_expire", unneeded, "what is known of servers ages by itself"},
    {"retry_interval_max", unneeded, "maximal_backoff_time"},
    {"no_mbx_locking", unneeded, "mailboxes are locked as mailbox_delivery_lock says"},
    {"print_topbitchars", unneeded, "octets beyond ASCII become \"?\" in the log"},
    {"strip_excess_angle_brackets", unneeded, "an address in more than one pair of brackets is a syntax error"},
    {"strip_trailing_dot", unneeded, "a dot behind a domain is taken off"},
    {"uucp_from_pattern", unneeded, "a \"From \" line of sendmail's input is skipped"},
    {"uucp_from_sender", unneeded, "a \"From \" line of sendmail's input is skipped"},
    {"message_logs", unneeded, "the log has a line for each attempt"},
    {"message_id_header_domain", unneeded, "a missing Message-Id is made with $myhostname"},
    {"smtp_etrn_serialize", unneeded, "ETRN works by fast_flush_domains"},
    {"smtp_etrn_command", dropped, "ETRN works by fast_flush_domains"},
    {"bi_command", unneeded, "newaliases is a command of its own"},
    {"perl_startup", dropped, "there is no Perl within: a policy server or a Milter does such work"},
    {"perl_at_start", dropped, "there is no Perl within: a policy server or a Milter does such work"},
    {"system_filter", dropped, "header_checks and body_checks, a Milter (smtpd_milters), or a content_filter"},
    {"system_filter_user", dropped, "goes with system_filter"},
    {"system_filter_pipe_transport", dropped, "goes with system_filter"},
    {"system_filter_file_transport", dropped, "goes with system_filter"},
    {"system_filter_directory_transport", dropped, "goes with system_filter"},
    {"system_filter_reply_transport", dropped, "goes with system_filter"},
    {"av_scanner", dropped, "a virus scanner as a Milter: smtpd_milters = unix:/run/clamav/clamav-milter.ctl"},
    {"spamd_address", dropped, "SpamAssassin as a Milter (spamass-milter), or a content_filter"},
    {"bounce_message_file", dropped, "bounce_template_file"},
    {"bounce_message_text", dropped, "bounce_template_file"},
    {"warn_message_file", dropped, "bounce_template_file"},
    {"errors_copy", dropped, "bounce_notice_recipient with notify_classes, or recipient_bcc_maps"},
    {"errors_reply_to", dropped, "bounce_template_file"},
    {"bounce_sender_authentication", dropped, "nothing here is known to do the same"},
    {"percent_hack_domains", dropped, "virtual_alias_maps with a pcre table, if user%domain is still used"},
    {"tls_require_ciphers", dropped, "smtpd_tls_mandatory_ciphers, tls_high_cipherlist"},
    {"gnutls_compat_mode", unneeded, "TLS is OpenSSL's"},
    {"openssl_options", dropped, "smtpd_tls_protocols, tls_ssl_options"},
    {"tls_dhparam", unneeded, "Diffie-Hellman groups are built in"},
    {"tls_dh_max_bits", unneeded, "Diffie-Hellman groups are built in"},
    {"tls_eccurve", unneeded, "tls_eecdh_auto_curves"},
    {"tls_ocsp_file", dropped, "OCSP answers are not stapled"},
    {"tls_remember_esmtp", unneeded, "a session says EHLO again inside TLS"},
    {"tls_try_verify_hosts", dropped, "smtpd_tls_ask_ccert = yes"},
    {"tls_verify_certificates", unneeded, "smtpd_tls_CAfile, where client certificates are asked for"},
    {"tls_crl", dropped, "revocation lists are not read"},
    {"mysql_servers", dropped, "the servers stand in the file of each mysql: table"},
    {"pgsql_servers", dropped, "the servers stand in the file of each pgsql: table"},
    {"ldap_default_servers", dropped, "the servers stand in the file of each ldap: table"},
    {"sqlite_dbfile", dropped, "the database stands in the file of each sqlite: table"},
    {"auth_advertise_hosts", unneeded, "smtpd_sasl_exceptions_networks names who is not offered AUTH"},
    {"callout_domain_positive_expire", dropped, "address_verify_positive_expire_time, where addresses are verified by asking"},
    {"callout_domain_negative_expire", dropped, "address_verify_negative_expire_time, where addresses are verified by asking"},
    {"callout_positive_expire", dropped, "address_verify_positive_expire_time, where addresses are verified by asking"},
    {"callout_negative_expire", dropped, "address_verify_negative_expire_time, where addresses are verified by asking"},
    {"callout_random_local_part", dropped, "a server that takes any recipient is not asked a second time"},
    {"smtp_ratelimit_hosts", dropped, "smtpd_client_message_rate_limit and its kin"},
    {"smtp_ratelimit_mail", dropped, "smtpd_client_message_rate_limit"},
    {"smtp_ratelimit_rcpt", dropped, "smtpd_client_recipient_rate_limit"},
    {"smtp_accept_max_nonmail_hosts", unneeded, "smtpd_junk_command_limit is for all"},
    {"sender_unqualified_hosts", dropped,
     "addresses without a domain are refused; for clients of your own take reject_non_fqdn_sender behind permit_mynetworks"},
    {"recipient_unqualified_hosts", dropped,
     "addresses without a domain are refused; for clients of your own take reject_non_fqdn_recipient behind permit_mynetworks"},
    {"daemon_smtp_port", unneeded, "see daemon_smtp_ports"},
    {"extra_local_interfaces", dropped, "proxy_interfaces"},
    {"hosts_treat_as_local", dropped, "proxy_interfaces, for what stands before this machine"},
    {"acl_not_smtp", dropped, "mail of this machine is not asked about: non_smtpd_milters, header_checks"},
    {"acl_not_smtp_start", dropped, "mail of this machine is not asked about: non_smtpd_milters, header_checks"},
    {"acl_not_smtp_mime", dropped, "mail of this machine is not asked about: non_smtpd_milters, mime_header_checks"},
    {"acl_smtp_auth", dropped, "AUTH is asked of SASL alone"},
    {"acl_smtp_dkim", dropped, "mailauth_checks = dkim, and policies by DMARC"},
    {"acl_smtp_mime", dropped, "mime_header_checks, or a Milter"},
    {"acl_smtp_notquit", unneeded, "the log says how a session ended"},
    {"acl_smtp_quit", unneeded, "nothing is decided at QUIT"},
    {"acl_smtp_starttls", dropped, "smtpd_discard_ehlo_keyword_address_maps hides STARTTLS from clients"},
    {"acl_smtp_expn", unneeded, "EXPN is not served"},
    {"local_scan_timeout", dropped, "local_scan() is code within Exim: a Milter does such work"},
    {"dkim_verify_signers", dropped, "mailauth_checks = dkim"},
};

/// Options that are a parameter of another name.
struct SimpleOption {
    enum class Form { number, time, octets };
    std::string_view name, parameter;
    Form form;
};
constexpr SimpleOption simple_options[] = {
    {"message_size_limit", "message_size_limit", SimpleOption::Form::octets},
    {"bounce_return_size_limit", "bounce_size_limit", SimpleOption::Form::octets},
    {"smtp_accept_max_per_host", "smtpd_client_connection_count_limit", SimpleOption::Form::number},
    {"smtp_accept_max_nonmail", "smtpd_junk_command_limit", SimpleOption::Form::number},
    {"received_headers_max", "hopcount_limit", SimpleOption::Form::number},
    {"smtp_receive_timeout", "smtpd_timeout", SimpleOption::Form::time},
    {"ignore_bounce_errors_after", "bounce_queue_lifetime", SimpleOption::Form::time},
};

/// "50M", "2048".                                                                                     Exim's specification, 6.13
std::optional<std::uint64_t> octets_of(std::string_view text)
{
    std::uint64_t factor = 1;
    text = trim(text);
    if (!text.empty() && !is_digit(text.back())) {
        const char unit = ascii_upper(text.back());
        factor = unit == 'K' ? 1ULL << 10 : unit == 'M' ? 1ULL << 20 : unit == 'G' ? 1ULL << 30 : 0;
        text.remove_suffix(1);
    }
    const auto number = parse_number(text);
    if (!number || factor == 0 || *number > (1ULL << 62) / factor)
        return {};
    return *number * factor;
}

}  // namespace

void Translator::main_options()
{
    if (machine_.user && !machine_.user("postfix") && machine_.user("posthorn"))
        set("mail_owner", "posthorn", nullptr);
    set("myhostname", host_, nullptr);
    set("myorigin", qualify_, nullptr);
    if (!tree_.find("message_size_limit"))
        append("message_size_limit", "52428800", "Exim's default");
    append("mailbox_size_limit", "0", "Exim has no limit for mailboxes");
    append("virtual_mailbox_limit", "0", "");
    for (const Option& option : tree_.main) {
        if (option.name.starts_with("acl_smtp_") &&
            std::ranges::find(main_facts, std::string_view(option.name), &MainFact::name) == std::end(main_facts))
            continue;                                              // access.cpp
        if (tree_.find(option.name) != &option) {
            judge(option, "main", Kind::nothing_needed, fmt::format("set again in {}, which counts", tree_.find(option.name)->place.text()));
            continue;
        }
        if (main_option(option))
            continue;
        const auto fact = std::ranges::find(main_facts, std::string_view(option.name), &MainFact::name);
        if (fact != std::end(main_facts))
            judge(option, "main", fact->kind, std::string(fact->text));
        else
            judge(option, "main", Kind::left_out, "nothing here is known to do the same");
    }
    if (!tree_.find("acl_smtp_vrfy"))
        set("disable_vrfy_command", "yes", nullptr);
    // What Exim makes of no address that comes in.
    set("allow_percent_hack", "no", nullptr);
    append("parent_domain_matches_subdomains", "", "a domain in a list of Exim's is that domain alone");
    set("swap_bangpath", "no", nullptr);
    set("append_dot_mydomain", "no", nullptr);
    set("recipient_delimiter", "", nullptr);
    set("biff", "no", nullptr);
}

bool Translator::set_main(const Option& option, const std::string& parameter, const std::string& value)
{
    set(parameter, value, &option.place, shown(option));
    judge(option, "main", Kind::becomes, fmt::format("{} = {}", parameter, value));
    return true;
}

bool Translator::unneeded_main(const Option& option, std::string why)
{
    judge(option, "main", Kind::nothing_needed, std::move(why));
    return true;
}

bool Translator::main_option(const Option& option)
{
    const std::string& name = option.name;
    const Outcome value = known(option.value);
    if (name == "daemon_smtp_ports" || name == "local_interfaces" || name == "tls_on_connect_ports")
        return true;                                               // listen()
    if (name == "smtp_banner")
        return banner(option);
    if (name == "tls_certificate" || name == "tls_privatekey")
        return certificate(option, value);
    const bool spoken_of = std::ranges::find(main_facts, std::string_view(name), &MainFact::name) != std::end(main_facts);
    if (value.kind == Outcome::Kind::unknown && !spoken_of) {
        judge(option, "main", Kind::left_out, fmt::format("an expansion that is not known: {}", value.text));
        return true;
    }
    if (const auto simple = std::ranges::find(simple_options, std::string_view(name), &SimpleOption::name); simple != std::end(simple_options)) {
        if (simple->form == SimpleOption::Form::time)
            return set_main(option, std::string(simple->parameter), as_time(value.text));
        if (simple->form == SimpleOption::Form::number)
            return set_main(option, std::string(simple->parameter), value.text);
        const auto octets = octets_of(value.text);
        return octets && set_main(option, std::string(simple->parameter), std::to_string(*octets));
    }
    if (name == "host_reject_connection")                          // access.cpp: as a drop of its hosts
        return true;
    for (const auto& [loud, instead] :
         {std::pair{"tls_verify_hosts", "certificates of clients are not asked for: smtpd_tls_req_ccert = yes on a line of its own in master.cf"},
          std::pair{"helo_verify_hosts", "reject_unknown_helo_hostname in smtpd_helo_restrictions comes near to it"}})
        if (name == loud && !trim(value.text).empty()) {
            judge(option.place, "main", shown(option), Kind::left_out, instead, true);
            return true;
        }
    return named_option(option, value.text) || offered_option(option, trim(value.text));
}

/// Names, and what needs more than its value.
bool Translator::named_option(const Option& option, const std::string& value)
{
    const std::string& name = option.name;
    if (name == "primary_hostname")
        return set_main(option, "myhostname", host_);
    if (name == "qualify_domain")
        return set_main(option, "myorigin", qualify_);
    if (name == "qualify_recipient") {
        if (qualify_recipient_ == qualify_)
            return unneeded_main(option, "the same as qualify_domain");
        judge(option, "main", Kind::becomes,
              "entries of alias tables without a domain are written with it; addresses from clients without a domain are refused");
        return true;
    }
    if (name == "recipients_max")
        return value == "0" ? unneeded_main(option, "no limit but smtpd_recipient_limit's") : set_main(option, "smtpd_recipient_limit", value);
    if (name == "smtp_accept_max") {
        out_.smtp_processes = value == "0" ? "-" : value;
        judge(option, "main", Kind::becomes, "the process-limit column of smtpd's lines in master.cf");
        return true;
    }
    if (name == "smtp_max_synprot_errors" || name == "smtp_max_unknown_commands")
        return set_main(option, "smtpd_hard_error_limit", value == "0" ? "1" : value);
    if (name == "disable_ipv6" && option.value != "false" && option.value != "no")
        return set_main(option, "inet_protocols", "ipv4");
    if (name == "host_lookup" && trim(value).empty())
        return set_main(option, "smtpd_peername_lookup", "no");
    if (name == "host_lookup" || name == "host_lookup_order")
        return unneeded_main(option, "the client's name is looked up, and its address back");
    if (name == "delay_warning") {
        const auto times = split_list(value);
        return times.empty() || times.front() == "0s" ? unneeded_main(option, "no warnings (delay_warning_time = 0h)")
                                                      : set_main(option, "delay_warning_time", as_time(times.front()));
    }
    return false;
}

/// What EHLO offers, and to whom.
bool Translator::offered_option(const Option& option, std::string_view hosts)
{
    if (option.name == "smtputf8_advertise_hosts")
        return set_main(option, "smtputf8_enable", hosts.empty() ? "no" : "yes");
    if (option.name == "tls_advertise_hosts") {
        if (hosts.empty())
            return unneeded_main(option, "STARTTLS is not offered where smtpd_tls_security_level is not set");
        return unneeded_main(option,
                             tree_.find("tls_certificate")
                                 ? "STARTTLS is offered (smtpd_tls_security_level = may)"
                                 : "STARTTLS needs a certificate here (smtpd_tls_chain_files): Exim makes one of its own that no client can verify");
    }
    for (const auto& [advertised, keyword] :
         {std::pair{"chunking_advertise_hosts", "chunking"}, std::pair{"pipelining_advertise_hosts", "pipelining"}}) {
        if (option.name != advertised)
            continue;
        if (!hosts.empty())
            return unneeded_main(option, fmt::format("{} is offered", to_upper(keyword)));
        append("smtpd_discard_ehlo_keywords", keyword, fmt::format("{}: {}", option.place.text(), shown(option)));
        judge(option, "main", Kind::becomes, fmt::format("smtpd_discard_ehlo_keywords with {}", keyword));
        return true;
    }
    return false;
}

bool Translator::certificate(const Option& option, const Outcome& value)
{
    const auto files = value.kind == Outcome::Kind::known ? split_list(value.text) : std::vector<std::string>{};
    if (files.size() != 1 || !tree_.find("tls_certificate")) {
        judge(option, "main", Kind::left_out,
              value.kind == Outcome::Kind::known
                  ? std::string("several certificates: smtpd_tls_chain_files has keys and chains in one list")
                  : fmt::format("an expansion that is not known: {}; tls_server_sni_maps has certificates by name", value.text));
        return true;
    }
    if (option.name == "tls_privatekey")
        return set_main(option, "smtpd_tls_key_file", files.front());
    if (!tree_.find("tls_advertise_hosts") || !trim(tree_.text("tls_advertise_hosts")).empty())
        set("smtpd_tls_security_level", "may", &option.place, shown(option));
    if (!tree_.find("tls_privatekey"))
        set("smtpd_tls_key_file", files.front(), &option.place, shown(option));
    return set_main(option, "smtpd_tls_cert_file", files.front());
}

bool Translator::banner(const Option& option)
{
    Known names = known_;
    names.variables["smtp_active_hostname"] = names.variables["primary_hostname"] = "$myhostname";
    const Outcome text = evaluate(option.value, names);
    if (text.kind == Outcome::Kind::known && text.text.starts_with("$myhostname") && text.text.find_first_of("\n{}") == text.text.npos)
        return set_main(option, "smtpd_banner", text.text);
    judge(option, "main", Kind::left_out, "smtpd_banner has its own (no version, no date)");
    return true;
}

void Translator::listen()
{
    const auto list = [&](std::string_view name) {
        const Outcome value = known(tree_.text(name));
        return value.kind == Outcome::Kind::known ? split_list(value.text) : std::vector<std::string>{};
    };
    std::vector<std::string> ports = list("daemon_smtp_ports");
    if (ports.empty())
        ports = list("daemon_smtp_port");
    if (ports.empty())
        ports.emplace_back("smtp");
    const std::vector<std::string> interfaces = list("local_interfaces"), wrapped = list("tls_on_connect_ports");
    const auto is_wrapped = [&](const std::string& port) { return std::ranges::find(wrapped, port) != wrapped.end(); };
    std::vector<std::string> addresses;
    bool own_ports = false;
    for (const std::string& interface : interfaces) {
        // "[address]:port", "address.port", or an address.
        std::string address = interface, port;
        if (interface.starts_with('[') && interface.find("]:") != interface.npos) {
            address = interface.substr(1, interface.find("]:") - 1);
            port = interface.substr(interface.find("]:") + 2);
        } else if (!as_network(interface) && interface.find('.') != interface.npos && as_network(interface.substr(0, interface.rfind('.')))) {
            address = interface.substr(0, interface.rfind('.'));
            port = interface.substr(interface.rfind('.') + 1);
        } else if (interface.starts_with('[') && interface.ends_with(']')) {
            address = interface.substr(1, interface.size() - 2);
        }
        if (address == "::0" || address == "0.0.0.0" || address == "::")
            address.clear();
        own_ports |= !port.empty();
        for (const std::string& one : port.empty() ? ports : std::vector{port}) {
            const std::string first =
                address.empty() ? one : fmt::format("{}:{}", address.find(':') == address.npos ? address : "[" + address + "]", one);
            if (std::ranges::find(out_.listeners, first) == out_.listeners.end())
                out_.listeners.push_back(first);
            if (is_wrapped(one))
                out_.wrapped.push_back(first);
        }
        if (!address.empty())
            addresses.push_back(address);
    }
    const bool everywhere = addresses.size() < interfaces.size() || addresses.empty();
    const auto loopback = [](const std::string& address) { return address.starts_with("127.") || address == "::1"; };
    const Option* where = tree_.find("local_interfaces");
    if (where && !everywhere && !own_ports) {
        // One line for each port: where is told by inet_interfaces, which also says which addresses are this machine's.
        set("inet_interfaces", std::ranges::all_of(addresses, loopback) ? "loopback-only" : fmt::format("{}", fmt::join(addresses, ", ")),
            &where->place, shown(*where));
        out_.listeners.clear();
    }
    if (out_.listeners.empty()) {
        out_.wrapped.clear();
        for (const std::string& port : ports) {
            out_.listeners.push_back(port);
            if (is_wrapped(port))
                out_.wrapped.push_back(port);
        }
    }
    if (!out_.wrapped.empty() && !tree_.find("tls_certificate")) {
        // TLS from the start without a certificate would be a port that answers nobody.
        std::erase_if(out_.listeners, [&](const std::string& one) { return std::ranges::find(out_.wrapped, one) != out_.wrapped.end(); });
        out_.wrapped.clear();
        judge(*tree_.find("tls_on_connect_ports"), "main", Kind::left_out,
              "these ports need a certificate (smtpd_tls_chain_files): without one they are not listened on");
    }
    for (const std::string_view name : {"daemon_smtp_ports", "local_interfaces", "tls_on_connect_ports"})
        if (const Option* option = tree_.find(name))
            judge(*option, "main", Kind::becomes,
                  name == "tls_on_connect_ports" ? "smtpd_tls_wrappermode = yes on these lines of master.cf"
                                                 : fmt::format("smtpd's lines of master.cf: {}", fmt::join(out_.listeners, ", ")));
}

void Translator::named_lists()
{
    for (const NamedList& list : tree_.lists) {
        static constexpr std::string_view words[] = {"domainlist", "hostlist", "addresslist", "localpartlist"};
        const std::string statement = fmt::format("{} {} = {}", words[static_cast<std::size_t>(list.kind)], list.name,
                                                  list.hidden ? std::string("(hidden)") : printable(list.value, true));
        const ListOf what = list.kind == NamedList::Kind::domains     ? ListOf::domains
                            : list.kind == NamedList::Kind::hosts     ? ListOf::hosts
                            : list.kind == NamedList::Kind::addresses ? ListOf::addresses
                                                                      : ListOf::local_parts;
        const PatternSet set = set_of(list.value, what);
        if (!set.unknown.empty()) {
            judge(list.place, "main", statement, Kind::left_out, fmt::format("not known: {}", fmt::join(set.unknown, ", ")));
            continue;
        }
        std::vector<std::string> became;
        if (what == ListOf::domains) {
            const auto in = [&](const std::vector<Token>& tokens, std::string_view parameter) {
                for (const Token& token : tokens)
                    if (set.matches(token.text)) {
                        became.emplace_back(parameter);
                        return;
                    }
            };
            in(local_, "mydestination");
            in(relayed_, "relay_domains");
            in(mailboxes_, "virtual_mailbox_domains");
            in(aliased_, "virtual_alias_domains");
        } else if (const Setting* networks = out_.find("mynetworks"); what == ListOf::hosts && networks) {
            if (std::ranges::any_of(networks->because, [&](const std::string& because) { return because.find("+" + list.name) != because.npos; }))
                became.emplace_back("mynetworks");
        }
        std::string text =
            became.empty() ? std::string("stands in the tables of the statements that name it") : fmt::format("{}", fmt::join(became, ", "));
        for (const std::string& file : set.files)
            text += fmt::format("; made of {}: changes go into main.cf and its tables from now on", file);
        if (set.is_empty())
            judge(list.place, "main", statement, Kind::nothing_needed, "nothing is in it");
        else
            judge(list.place, "main", statement, Kind::becomes, text);
    }
}

}  // namespace posthorn::exim
