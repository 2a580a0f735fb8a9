// receive/options.hpp: what the SMTP server was told, immutable.
// From     Options::from(snapshot) throws config::BadValue with parameter and word where a value cannot be: a server with half a
//          policy must not start. The relay check of policy/restriction.hpp is part of it.
// Stress   the values that depend on $stress are read twice; the server switches between them by itself.
#pragma once

#include "config/snapshot.hpp"
#include "handoff/notify_classes.hpp"
#include "mailauth/options.hpp"
#include "milter/options.hpp"
#include "receive/policy/settings.hpp"
#include "receive/screen/options.hpp"
#include "sasl/security.hpp"
#include "smtp/data.hpp"
#include "smtp/ehlo.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace posthorn::receive {

enum class TlsLevel : std::uint8_t { none, may, encrypt };
enum class BareNewline : std::uint8_t { no, note, normalize, reject };

/// What changes under stress.
struct Pace {
    std::chrono::seconds timeout{300};
    std::chrono::seconds starttls_timeout{300};
    bool per_request_deadline = false;
    int hard_error_limit = 20;
    int soft_error_limit = 10;
    int junk_command_limit = 100;
    std::chrono::seconds verify_patience{9};      // how long RCPT waits for an address probe
};

/// smtpd_proxy_*.
struct FilterOptions {
    policy::ServiceSpec server;
    std::string name;                         // as it was configured, for the log
    std::string ehlo;
    std::chrono::seconds timeout{100};
    bool requiretls_header = true;            // else it has to offer REQUIRETLS for mail that requires TLS
    bool whole_first = false;                 // speed_adjust: nothing is said before the message is whole
};

/// AUTH: smtpd_sasl_*.
struct SaslOptions {
    bool enable = false;
    bool dovecot = false;                     // smtpd_sasl_type; else cyrus
    policy::ServiceSpec server;               // smtpd_sasl_path
    std::string path;                         // as it is written
    std::string service = "smtp";
    sasl::Properties clear{sasl::Property::no_anonymous}, tls = clear;
    std::string mechanism_filter, exceptions;
    bool old_clients = false;                 // broken_sasl_auth_clients: AUTH=PLAIN is offered, too
    bool under_tls_only = false;
    bool in_received = false;                 // smtpd_sasl_authenticated_header
    std::size_t response_limit = 12288;
};

/// What one client may do, by smtpd_client_*_limit; 0: whatever it likes.
struct ClientLimits {
    std::uint32_t connections = 50, connection_rate = 0, mail_rate = 0, recipient_rate = 0, tls_rate = 0, auth_rate = 0;
    unsigned v4_prefix = 32, v6_prefix = 84;             // addresses of one such network are one client
    std::string exceptions;
    bool parent_style = false;
    std::string service = "smtp";                        // the line of master.cf; the service sets it
    bool any() const { return connections != 0 || connection_rate != 0 || mail_rate != 0 || recipient_rate != 0 || tls_rate != 0 || auth_rate != 0; }
};

/// qmqpd_*.
struct QmqpOptions {
    std::string clients;
    bool parent_style = true;
    bool port_logging = false;
    std::chrono::seconds error_delay{1}, timeout{300};
};

struct Options {
    static Options from(const config::Snapshot& snapshot);

    std::string myhostname = "localhost";
    std::string protocol;  // what mail is received by, where clients do not speak SMTP themselves ("HTTP"); empty: SMTP
    std::string mail_name = "Posthorn";
    std::string banner = "localhost ESMTP Posthorn";
    Pace calm, stressed;
    bool always_stressed = false;  // stress is set in the configuration
    std::uint64_t min_data_rate = 500;
    handoff::NotifyClasses notify;
    std::string content_filter, xclient_hosts, xforward_hosts;
    std::optional<FilterOptions> filter;  // smtpd_proxy_filter
    milter::Options milters;
    std::optional<mailauth::Canonical> signed_body;  // how a body is hashed for signatures; none: nothing is signed
    mailauth::CheckOptions checks;
    bool upstream_proxy = false;
    std::chrono::milliseconds upstream_proxy_timeout{5000};
    std::size_t line_length_limit = 2048;
    std::uint64_t message_size_limit = 10240000;  // 0: none
    std::uint64_t queue_minfree = 0;
    std::size_t recipient_limit = 1000, recipient_overshoot_limit = 1000;
    static constexpr std::size_t usual_recipient_limit = 1000;  // what clients may expect without being told
    std::uint32_t session_mail_limit = 0;  // 0: none
    std::chrono::seconds error_sleep_time{1};
    bool helo_required = false;
    bool disable_vrfy = false;
    bool strict_envelopes = false;
    bool smtputf8 = true, strict_smtputf8 = false;
    bool requiretls = true, requiretls_header = true;
    smtp::DiscardList discard_ehlo_keywords;
    std::string discard_ehlo_keyword_maps;
    std::string dns_reply_filter;
    std::string noop_commands, forbidden_commands;
    std::string command_filter, reject_filter_maps, reject_footer, reject_footer_maps;
    bool forbid_unauth_pipelining = true;
    BareNewline forbid_bare_newline = BareNewline::normalize;
    std::string bare_newline_exclusions;
    std::string pipe_connect_hosts;
    std::string verp_clients, verp_default, verp_delimiters;
    std::chrono::seconds release_limit{};         // how long mail may be held; 0: not offered
    std::string release_clients;                  // who may say when it is to go
    bool scheduling_field = false;                // cleanup looks for such a field (scheduling_header): who may write it is to be known
    std::string delivery_answer_domains;
    std::chrono::milliseconds delivery_answer_limit{30'000};
    bool mynetworks_parent_style = true;
    int bare_newline_reject_code = 550;
    smtp::StrayCr stray_cr = smtp::StrayCr::space;
    bool peername_lookup = true;
    bool port_logging = false;
    bool hide_client_session = false;
    SaslOptions sasl;
    QmqpOptions qmqp;
    TlsLevel tls_level = TlsLevel::none;
    bool tls_wrapper = false;
    bool tls_received = false;
    bool tls_log = false;
    bool tls_ask_certificate = false;  // of clients
    bool tls_require_certificate = false;  // one that is trusted, where tls_level is encrypt
    std::string etrn_domains;
    std::string debug_peers;
    std::string compatibility_level, mail_version;  // as policy servers are told
    bool debug_peers_parent_style = true;
    std::size_t idle_session_limit = 10000;
    std::size_t transaction_limit = 100;  // master.cf's process limit, 0: none; the service sets it
    std::uint64_t memory_limit = 256ULL << 20;
    bool queue_id_at_mail = false;                // smtpd_delay_open_until_valid_rcpt = no
    bool log_abort_queue_id = false;
    ClientLimits client;
    policy::Settings policy;
    screen::Options screen;  // the tests before the greeting
};

}  // namespace posthorn::receive
