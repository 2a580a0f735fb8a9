// send/options.hpp: what the client was told, read once from the configuration. Immutable.
#pragma once

#include "net/address.hpp"
#include "sasl/security.hpp"
#include "send/tls_policy.hpp"
#include "smtp/ehlo.hpp"
#include "sts/params.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::config {
class Snapshot;
}

namespace posthorn::send {

using std::chrono::seconds;

enum class AddressPreference : std::uint8_t { any, ipv4, ipv6 };

struct Timeouts {
    seconds connect{30}, helo{300}, starttls{300}, mail{300}, rcpt{300}, data_init{120}, data_xfer{180}, data_done{600}, rset{20}, quit{300},
        xforward{300};
};

/// AUTH: smtp_sasl_*.
struct Sasl {
    bool enable = false;
    bool by_sender = false;                     // smtp_sender_dependent_authentication
    sasl::Properties clear{sasl::Property::no_plaintext, sasl::Property::no_anonymous}, tls = clear, verified = clear;
    bool soft_bounce = true;
    bool remember_failures = false;             // smtp_sasl_auth_cache_name is set
    seconds remember_for{90L * 24 * 3600};
    char delimiter = ':';                       // smtp_sasl_password_result_delimiter
    bool say_authzid = false;                   // send_cyrus_sasl_authzid
    bool dummy_mail_auth = false;               // MAIL ... AUTH=<>
};

struct Options {
    /// `service`: "smtp" or "lmtp". Throws config::BadValue on a value that no parameter's own check refuses (a bad address).
    static Options from(const config::Snapshot& snapshot, std::string_view service = "smtp");

    bool lmtp = false;
    std::string service = "smtp";               // of master.cf: the log's relay= of a failure, $service_name
    std::string my_name = "localhost";          // myhostname
    std::string helo_name = "localhost";
    std::uint16_t port = 25;
    std::string port_name = "smtp";             // as smtp_tcp_port has it
    Timeouts timeouts;
    bool per_request_deadline = false;
    std::uint64_t min_data_rate = 500;          // octets of content a second
    bool skip_quit_response = true;

    bool always_ehlo = true, never_ehlo = false;
    bool skip_5xx_greeting = true;
    smtp::DiscardList discard;
    bool pix_disable_esmtp = true, pix_delay_dot = true;
    seconds pix_threshold{500}, pix_delay{10};
    std::size_t line_length = 998;
    bool convert_to_7bit = true;          // for servers without 8BITMIME
    bool assume_final = false;            // LMTP without DSN: what is taken is in the mailbox
    bool quote_envelope = true;
    bool send_xforward = false;                 // to servers that announce it

    bool mx_lookups = true;                     // not disable_dns_lookups
    bool ignore_mx_error = false;
    std::vector<std::string> srv_services;      // use_srv_lookup
    bool ignore_srv_error = false, allow_srv_fallback = false;
    bool defer_if_no_mx_address = false;
    unsigned address_limit = 5, session_limit = 2;
    bool randomize = true, balance = true;
    AddressPreference preference = AddressPreference::any;
    bool ipv4 = true, ipv6 = true;
    std::vector<std::string> fallback_relays;
    std::string relayhost;                      // this next hop is the administrator's word, whatever is wrong with it
    std::string best_mx;                        // who has mail of which we are the best host; empty: its sender has it back
    std::optional<net::IpAddress> bind4, bind6;
    bool bind_enforced = false;

    bool keep_sessions = true;                  // smtp_connection_cache_on_demand
    std::vector<std::string> keep_destinations; // always, even where keep_sessions is off
    seconds keep_idle{2}, keep_age{300};
    unsigned keep_mails = 0;

    Sasl sasl;
    TlsLevel tls_level = TlsLevel::none;        // where no policy says otherwise
    TlsLevel tls_trial_level = TlsLevel::none;  // held beside what is in force, where no table says otherwise
    TlsRules tls;
    sts::Use sts = sts::Use::no;
    bool requiretls = true;                     // mail that asks for it is not sent with less (requiretls.hpp)
    bool requiretls_in_reports = false;         // mail from <> too: the content of what it is about came with it (not requiretls_redact_dsn)
    bool report_resumed = true;                 // handshakes that go on with a session of before (not smtp_tlsrpt_skip_reused_handshakes)
    bool tls_wrapper = false;
    bool tls_note_offer = false;
    bool log_tls_status = false;                // the tls= field of delivery lines
    bool cname_renames = false;                 // a host that is an alias is called as its CNAME says (smtp_cname_overrides_servername)

    bool probe_data = false;
    bool failed_probes_cached = true;           // address_verify_negative_cache
    std::uint32_t probe_errors = 10;            // refused recipients of a session of probes, where the peer's limit is not known
    bool chunking = true, quit_in_group = false, pipe_connect = true;
    unsigned contents_in_flight = 8;
    bool soft_bounce = false;
    int delay_digits = 2;
    bool records = false;                       // record_file: verdicts say what a record needs of their session
    /// Read of one reply at most, and lines of a transcript kept for evidence.
    std::size_t reply_octets = 1U << 20;
};

}  // namespace posthorn::send
