// send/params.hpp: Postfix's smtp_* parameters (read as "lmtp" they are the lmtp_* twins) and our own.
#pragma once

#include "config/param.hpp"

#include <array>

namespace posthorn::send {

using config::Param;
using config::ParamInfo;
using std::chrono::seconds;

// clang-format off
inline constexpr Param<seconds> smtp_connect_timeout{.name = "smtp_connect_timeout", .initial = "30s", .least = seconds{0}, .doc = "How long a TCP connection may take; 0: as long as the system tries."};
inline constexpr Param<seconds> smtp_helo_timeout{.name = "smtp_helo_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the client waits for the greeting, and for the answer to EHLO or HELO.", .source = "RFC 5321 4.5.3.2.1"};
inline constexpr Param<seconds> lmtp_lhlo_timeout{.name = "lmtp_lhlo_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the LMTP client waits for the greeting, and for the answer to LHLO."};
inline constexpr Param<seconds> smtp_starttls_timeout{.name = "smtp_starttls_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the answer to STARTTLS and the TLS handshake may take."};
inline constexpr Param<seconds> smtp_mail_timeout{.name = "smtp_mail_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the client waits for the answer to MAIL FROM.", .source = "RFC 5321 4.5.3.2.2"};
inline constexpr Param<seconds> smtp_rcpt_timeout{.name = "smtp_rcpt_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the client waits for the answer to RCPT TO.", .source = "RFC 5321 4.5.3.2.3"};
inline constexpr Param<seconds> smtp_data_init_timeout{.name = "smtp_data_init_timeout", .initial = "120s", .least = seconds{1}, .doc = "How long the client waits for the answer to DATA.", .source = "RFC 5321 4.5.3.2.4"};
inline constexpr Param<seconds> smtp_data_xfer_timeout{.name = "smtp_data_xfer_timeout", .initial = "180s", .least = seconds{1}, .doc = "How long the connection may make no progress while content is sent.", .source = "RFC 5321 4.5.3.2.5"};
inline constexpr Param<seconds> smtp_data_done_timeout{.name = "smtp_data_done_timeout", .initial = "600s", .least = seconds{1}, .doc = "How long the client waits for the answer to the final dot. A lost answer here may deliver twice.", .source = "RFC 5321 4.5.3.2.6"};
inline constexpr Param<seconds> smtp_rset_timeout{.name = "smtp_rset_timeout", .initial = "20s", .least = seconds{1}, .doc = "How long the client waits for the answer to RSET."};
inline constexpr Param<seconds> smtp_quit_timeout{.name = "smtp_quit_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the client waits for the answer to QUIT; nobody waits with it."};
inline constexpr Param<bool> smtp_per_request_deadline{.name = "smtp_per_request_deadline", .initial = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}", .doc = "One limit for a command and its answer, and for a whole content, where smtp_min_data_rate moves it; no: for each piece of progress, and for the answer."};
inline constexpr Param<int> smtp_min_data_rate{.name = "smtp_min_data_rate", .initial = "500", .least = 1, .doc = "With a per-request deadline: octets of content a second that give time back, up to smtp_data_xfer_timeout."};
inline constexpr Param<bool> smtp_skip_quit_response{.name = "smtp_skip_quit_response", .initial = "yes", .doc = "Do not insist on the answer to QUIT: it is read for a few seconds while nobody waits, for what it tells of the peer."};
inline constexpr Param<bool> lmtp_skip_quit_response{.name = "lmtp_skip_quit_response", .initial = "no", .doc = "The same for LMTP."};

inline constexpr Param<std::string> smtp_helo_name{.name = "smtp_helo_name", .initial = "$myhostname", .least = 1, .doc = "The name said in EHLO and HELO."};
inline constexpr Param<std::string> lmtp_lhlo_name{.name = "lmtp_lhlo_name", .initial = "$myhostname", .least = 1, .doc = "The name said in LHLO."};
inline constexpr Param<std::string> send_myhostname{.name = "myhostname", .initial = "localhost", .least = 1, .doc = "The host's name: a server that greets with it, or an MX record with it, is a loop."};
inline constexpr Param<std::string> best_mx_transport{.name = "best_mx_transport", .initial = "", .doc = "Who has mail for a domain of which this host is the best MX host: transport or transport:nexthop; empty: its sender has it back.", .source = "RFC 5321 5.1"};
inline constexpr Param<std::string> smtp_tcp_port{.name = "smtp_tcp_port", .initial = "smtp", .doc = "The port where the next hop names none: a number or a service's name."};
inline constexpr Param<std::string> lmtp_tcp_port{.name = "lmtp_tcp_port", .initial = "24", .doc = "The same for LMTP."};
inline constexpr Param<bool> smtp_always_send_ehlo{.name = "smtp_always_send_ehlo", .initial = "yes", .doc = "Say EHLO even where the greeting lacks the word ESMTP."};
inline constexpr Param<bool> smtp_never_send_ehlo{.name = "smtp_never_send_ehlo", .initial = "no", .doc = "Say HELO only."};
inline constexpr Param<bool> smtp_skip_5xx_greeting{.name = "smtp_skip_5xx_greeting", .initial = "yes", .doc = "A 5xx greeting is no verdict on the mail: try the next host, defer after the last."};
inline constexpr Param<std::string> smtp_discard_ehlo_keywords{.name = "smtp_discard_ehlo_keywords", .initial = "", .doc = "EHLO keywords that are taken as not announced. silent-discard: without a log line."};
inline constexpr Param<std::string> lmtp_discard_lhlo_keywords{.name = "lmtp_discard_lhlo_keywords", .initial = "", .doc = "The same for LHLO."};
inline constexpr Param<std::string> smtp_discard_ehlo_keyword_address_maps{.name = "smtp_discard_ehlo_keyword_address_maps", .initial = "", .doc = "Tables from the server's address to such keywords; a result takes the place of the general list."};
inline constexpr Param<std::string> lmtp_discard_lhlo_keyword_address_maps{.name = "lmtp_discard_lhlo_keyword_address_maps", .initial = "", .doc = "The same for LMTP."};
inline constexpr Param<bool> lmtp_assume_final{.name = "lmtp_assume_final", .initial = "no", .doc = "What a server without DSN takes by LMTP is in the mailbox: success reports say delivered, not relayed.", .source = "RFC 3464 2.3.3"};
inline constexpr Param<std::string> smtp_pix_workarounds{.name = "smtp_pix_workarounds", .initial = "disable_esmtp,delay_dotcrlf", .doc = "What is done for servers whose greeting a Cisco PIX painted over."};
inline constexpr Param<std::string> smtp_pix_workaround_maps{.name = "smtp_pix_workaround_maps", .initial = "", .doc = "Tables from the server's address to such words; a result takes the place of the general list."};
inline constexpr Param<seconds> smtp_pix_workaround_threshold_time{.name = "smtp_pix_workaround_threshold_time", .initial = "500s", .least = seconds{0}, .doc = "How old mail must be before its dot is delayed for a PIX."};
inline constexpr Param<seconds> smtp_pix_workaround_delay_time{.name = "smtp_pix_workaround_delay_time", .initial = "10s", .least = seconds{1}, .doc = "How long the dot waits behind the content for a PIX."};
inline constexpr Param<bool> smtp_send_xforward_command{.name = "smtp_send_xforward_command", .initial = "no", .doc = "Tell servers that announce XFORWARD whose the mail is, for their log: filters that hand it on.", .source = "XFORWARD_README"};
inline constexpr Param<seconds> smtp_xforward_timeout{.name = "smtp_xforward_timeout", .initial = "300s", .least = seconds{1}, .doc = "How long the client waits for the answer to XFORWARD."};
inline constexpr Param<std::string> smtp_generic_maps{.name = "smtp_generic_maps", .initial = "", .doc = "Tables that rewrite addresses in header and envelope of mail on its way out.", .source = "generic(5)"};
inline constexpr Param<std::string> smtp_header_checks{.name = "smtp_header_checks", .initial = "", .doc = "Tables that change fields of the header of mail on its way out.", .source = "header_checks(5)"};
inline constexpr Param<std::string> smtp_mime_header_checks{.name = "smtp_mime_header_checks", .initial = "", .doc = "The same for the Content-*: and MIME-Version: fields of the message."};
inline constexpr Param<std::string> smtp_nested_header_checks{.name = "smtp_nested_header_checks", .initial = "", .doc = "The same for the header of messages within the message."};
inline constexpr Param<std::string> smtp_body_checks{.name = "smtp_body_checks", .initial = "", .doc = "Tables asked with each line of the body of mail on its way out.", .source = "header_checks(5)"};
inline constexpr Param<bool> disable_mime_output_conversion{.name = "disable_mime_output_conversion", .initial = "no", .doc = "Send 8-bit content as it is to servers without 8BITMIME, instead of quoted-printable.", .source = "RFC 6152"};
inline constexpr Param<int> smtp_line_length_limit{.name = "smtp_line_length_limit", .initial = "998", .least = 0, .doc = "Longer lines are broken by CRLF SPACE; 0: never.", .source = "RFC 5321 4.5.3.1.6"};
inline constexpr Param<bool> smtp_quote_rfc821_envelope{.name = "smtp_quote_rfc821_envelope", .initial = "yes", .doc = "Quote local parts in MAIL FROM and RCPT TO where RFC 5321 asks for it; no: for servers that choke on the quotes.", .source = "RFC 5321 4.1.2"};
inline constexpr Param<std::string> smtp_reply_filter{.name = "smtp_reply_filter", .initial = "", .doc = "Tables asked with each line of a server's reply, without its line end; a result takes the line's place."};
inline constexpr Param<std::string> smtp_dns_reply_filter{.name = "smtp_dns_reply_filter", .initial = "", .doc = "Tables asked with each MX, A and AAAA record, as \"name. ttl IN type value\": IGNORE leaves it out."};
inline constexpr Param<std::string> default_delivery_status_filter{.name = "default_delivery_status_filter", .initial = "", .doc = "Tables asked with \"5.1.1 text\" of a recipient's end; a result of the same form, and of the same success or failure, takes its place."};
inline constexpr Param<std::string> smtp_delivery_status_filter{.name = "smtp_delivery_status_filter", .initial = "$default_delivery_status_filter", .doc = "The same for the SMTP client, and its twin for LMTP."};
inline constexpr Param<std::string> bounce_classification_maps{.name = "bounce_classification_maps", .initial = "shipped", .doc = "Tables asked with the reply of a failed delivery in one line, for the bounce_classification of its record; shipped: the rules that came with the program (conf/bounce_classes).", .own = true};
inline constexpr Param<std::string> smtp_address_verify_target{.name = "smtp_address_verify_target", .initial = "rcpt", .least = 1, .doc = "Where a probe's answer counts: rcpt or data."};

inline constexpr Param<std::string> smtp_host_lookup{.name = "smtp_host_lookup", .initial = "dns", .least = 1, .doc = "How host names become addresses: dns, native."};
inline constexpr Param<bool> send_ignore_mx_lookup_error{.name = "ignore_mx_lookup_error", .initial = "no", .doc = "Where the MX lookup fails, take the address of the domain."};
inline constexpr Param<std::string> send_use_srv_lookup{.name = "use_srv_lookup", .initial = "", .doc = "Services for which a next hop without brackets is looked up by SRV records, as _submission._tcp.example.com: its port by name, or smtp_tcp_port.", .source = "RFC 2782, RFC 6186"};
inline constexpr Param<bool> send_ignore_srv_lookup_error{.name = "ignore_srv_lookup_error", .initial = "no", .doc = "Where the SRV lookup fails temporarily, take the MX records, or the address of the domain."};
inline constexpr Param<bool> send_allow_srv_lookup_fallback{.name = "allow_srv_lookup_fallback", .initial = "no", .doc = "Where the SRV lookup fails, there is no SRV record, or none of its hosts has an address, take the MX records, or the address of the domain."};
inline constexpr Param<bool> smtp_defer_if_no_mx_address_found{.name = "smtp_defer_if_no_mx_address_found", .initial = "no", .doc = "Defer, rather than return, mail when no MX host has an address."};
inline constexpr Param<int> smtp_mx_address_limit{.name = "smtp_mx_address_limit", .initial = "5", .least = 0, .doc = "Addresses tried for one delivery; 0: all."};
inline constexpr Param<int> smtp_mx_session_limit{.name = "smtp_mx_session_limit", .initial = "2", .least = 0, .doc = "Sessions that reach the greeting, for one delivery; 0: no limit."};
inline constexpr Param<bool> smtp_randomize_addresses{.name = "smtp_randomize_addresses", .initial = "yes", .doc = "Shuffle hosts of equal preference."};
inline constexpr Param<std::string> smtp_address_preference{.name = "smtp_address_preference", .initial = "any", .least = 1, .doc = "any, ipv4 or ipv6: which addresses of equal preference come first."};
inline constexpr Param<bool> smtp_balance_inet_protocols{.name = "smtp_balance_inet_protocols", .initial = "yes", .doc = "Where the address limit cuts, keep addresses of both families."};
inline constexpr Param<std::string> smtp_dns_resolver_options{.name = "smtp_dns_resolver_options", .initial = "", .doc = "Search for names with the domains of /etc/resolv.conf behind them: res_defnames, the first of those for names without a dot; res_dnsrch, each of them for names that are not found as they are; both, each for names without a dot. Who owns such a domain may answer for names of others."};
inline constexpr Param<std::string> smtp_fallback_relay{.name = "smtp_fallback_relay", .initial = "$fallback_relay", .doc = "Hosts to try when no host of the destination could be reached."};
inline constexpr Param<std::string> send_relayhost{.name = "relayhost", .initial = "", .doc = "A next hop that is written like it and cannot be had returns no mail."};
inline constexpr Param<std::string> smtp_bind_address{.name = "smtp_bind_address", .initial = "", .doc = "The IPv4 address connections come from."};
inline constexpr Param<std::string> smtp_bind_address6{.name = "smtp_bind_address6", .initial = "", .doc = "The IPv6 address connections come from."};
inline constexpr Param<bool> smtp_bind_address_enforce{.name = "smtp_bind_address_enforce", .initial = "no", .doc = "Defer where the address cannot be used."};
inline constexpr Param<std::string> send_inet_protocols{.name = "inet_protocols", .initial = "all", .doc = "all, or ipv4, ipv6."};

inline constexpr Param<bool> smtp_connection_cache_on_demand{.name = "smtp_connection_cache_on_demand", .initial = "yes", .doc = "Keep a session for the next mail of its site."};
inline constexpr Param<std::string> smtp_connection_cache_destinations{.name = "smtp_connection_cache_destinations", .initial = "", .doc = "Sites whose sessions are always kept."};
inline constexpr Param<seconds> smtp_connection_cache_time_limit{.name = "smtp_connection_cache_time_limit", .initial = "2s", .least = seconds{1}, .doc = "How long a kept session may idle."};
inline constexpr Param<seconds> smtp_connection_reuse_time_limit{.name = "smtp_connection_reuse_time_limit", .initial = "300s", .least = seconds{1}, .doc = "How old a session may become before it takes no more mail."};
inline constexpr Param<int> smtp_connection_reuse_count_limit{.name = "smtp_connection_reuse_count_limit", .initial = "0", .least = 0, .doc = "Mails per session; 0: no limit."};

inline constexpr Param<std::string> smtp_tls_security_level{.name = "smtp_tls_security_level", .initial = "${{$compatibility_level} <level {3.11} ? {} : {may}}", .doc = "none, may, encrypt, fingerprint, dane, dane-only, verify, secure: what is asked of TLS where smtp_tls_policy_maps says nothing."};
inline constexpr Param<std::string> lmtp_tls_security_level{.name = "lmtp_tls_security_level", .initial = "", .doc = "The same for LMTP."};
inline constexpr Param<bool> smtp_use_tls{.name = "smtp_use_tls", .initial = "no", .doc = "Old form of the level may.", .obsolete = "smtp_tls_security_level"};
inline constexpr Param<bool> smtp_enforce_tls{.name = "smtp_enforce_tls", .initial = "no", .doc = "Old form of the level verify, or encrypt.", .obsolete = "smtp_tls_security_level"};
inline constexpr Param<bool> smtp_tls_enforce_peername{.name = "smtp_tls_enforce_peername", .initial = "yes", .doc = "smtp_enforce_tls means the level verify; no: encrypt.", .obsolete = "smtp_tls_security_level"};
inline constexpr Param<std::string> smtp_tls_policy_maps{.name = "smtp_tls_policy_maps", .initial = "", .doc = "Tables with what is asked of TLS with a next hop: a level, and name=value. Looked up: the next hop as written, then parents as .example.com."};
inline constexpr Param<std::string> smtp_tls_trial_level{.name = "smtp_tls_trial_level", .initial = "", .doc = "encrypt, dane, dane-only, verify, secure: a level that is held beside each session that goes with a weaker one: what it would have kept back is counted, listed by posthorn trials and logged once an hour, and changes nothing. none or empty: no level is tried.", .own = true};
inline constexpr Param<std::string> smtp_tls_trial_maps{.name = "smtp_tls_trial_maps", .initial = "", .doc = "Tables with such a level for a next hop, with keys and values of smtp_tls_policy_maps; none: it is not tried there.", .own = true};
inline constexpr Param<std::string> smtp_tls_per_site{.name = "smtp_tls_per_site", .initial = "", .doc = "Old form of such tables. Not served: where it alone is set the client does not start.", .obsolete = "smtp_tls_policy_maps"};
inline constexpr Param<std::string> smtp_tls_verify_cert_match{.name = "smtp_tls_verify_cert_match", .initial = "hostname", .least = 1, .doc = "The names of which a server's certificate must bear one at the level verify: hostname, nexthop, dot-nexthop, example.com, .example.com."};
inline constexpr Param<std::string> smtp_tls_secure_cert_match{.name = "smtp_tls_secure_cert_match", .initial = "nexthop, dot-nexthop", .least = 1, .doc = "The same at the level secure."};
inline constexpr Param<std::string> smtp_tls_fingerprint_cert_match{.name = "smtp_tls_fingerprint_cert_match", .initial = "", .doc = "Fingerprints of which one must be the server's certificate's or its key's, at the level fingerprint."};
inline constexpr Param<std::string> smtp_tls_trust_anchor_file{.name = "smtp_tls_trust_anchor_file", .initial = "", .doc = "PEM files of certificates and public keys that may vouch for servers at the levels verify and secure, instead of the authorities."};
inline constexpr Param<std::string> smtp_tls_dane_insecure_mx_policy{.name = "smtp_tls_dane_insecure_mx_policy", .initial = "dane", .doc = "At the level dane, where the MX records are not of a signed zone but their host is: may, encrypt, or dane.", .source = "RFC 7672 2.2.1"};
inline constexpr Param<bool> smtp_tls_force_insecure_host_tlsa_lookup{.name = "smtp_tls_force_insecure_host_tlsa_lookup", .initial = "no", .doc = "Look up TLSA records of hosts whose addresses are not of a signed zone.", .source = "RFC 7672 2.2.2"};
inline constexpr Param<bool> smtp_tls_enforce_sts_mx_patterns{.name = "smtp_tls_enforce_sts_mx_patterns", .initial = "yes", .doc = "Where an entry of smtp_tls_policy_maps of the level verify or secure has policy_type=sts and mx_host_pattern: use the hosts that these name alone, and ask each for a certificate of its own name, whatever match= says.", .source = "RFC 8461 4"};
inline constexpr Param<std::string> smtp_requiretls_policy{.name = "smtp_requiretls_policy", .initial = "inline:{{${domain_to_ascii{$mydomain}}=opportunistic}, {.${domain_to_ascii{$mydomain}}=opportunistic}, {localhost=opportunistic}}, cidr:{{0.0.0.0/0 opportunistic}, {::/0 opportunistic}}, enforce", .doc = "What is asked of a next hop for mail that requires TLS: enforce (a host that DNSSEC or MTA-STS vouches for, its certificate verified, and REQUIRETLS offered), opportunistic+starttls (TLS), opportunistic (say it where it is offered), disable; words and tables with them, asked by the next hop without brackets and port and by its parents as .example.com, the first that answers counts; none: enforce.", .source = "RFC 8689"};
/// Declared in receive/params.hpp and report/params.hpp.
inline constexpr Param<bool> send_requiretls_enable{.name = "requiretls_enable", .initial = "yes", .doc = "Keep to what mail that requires TLS asks of servers."};
inline constexpr Param<bool> send_requiretls_redact_dsn{.name = "requiretls_redact_dsn", .initial = "yes", .doc = "Reports need no TLS on their way: they come without content."};
inline constexpr Param<bool> smtp_tlsrpt_enable{.name = "smtp_tlsrpt_enable", .initial = "no", .doc = "Tell what became of TLS with the MX hosts of domains that want reports of it, at smtp_tlsrpt_socket_name.", .source = "RFC 8460"};
inline constexpr Param<std::string> smtp_tlsrpt_socket_name{.name = "smtp_tlsrpt_socket_name", .initial = "", .doc = "The datagram socket of who collects that, as libtlsrpt writes it: a path, below the queue directory where it does not begin with /."};
inline constexpr Param<bool> smtp_tlsrpt_skip_reused_handshakes{.name = "smtp_tlsrpt_skip_reused_handshakes", .initial = "no", .doc = "Tell nothing of handshakes that go on with a TLS session of before."};
inline constexpr Param<bool> smtp_tls_wrappermode{.name = "smtp_tls_wrappermode", .initial = "no", .doc = "TLS from the first octet on."};
inline constexpr Param<bool> smtp_tls_note_starttls_offer{.name = "smtp_tls_note_starttls_offer", .initial = "no", .doc = "Log hosts that offer STARTTLS where TLS is not used."};

inline constexpr Param<bool> smtp_sasl_auth_enable{.name = "smtp_sasl_auth_enable", .initial = "no", .doc = "Prove to servers that offer AUTH who we are, where smtp_sasl_password_maps has a name and a password for them.", .source = "RFC 4954"};
inline constexpr Param<std::string> smtp_sasl_password_maps{.name = "smtp_sasl_password_maps", .initial = "", .doc = "Tables with user:password, asked by the sender (smtp_sender_dependent_authentication), the server's name, and the next hop as it is written."};
inline constexpr Param<std::string> smtp_sasl_password_result_delimiter{.name = "smtp_sasl_password_result_delimiter", .initial = ":", .least = 1, .most = 1, .doc = "What stands between name and password in smtp_sasl_password_maps."};
inline constexpr Param<bool> smtp_sender_dependent_authentication{.name = "smtp_sender_dependent_authentication", .initial = "no", .doc = "Ask smtp_sasl_password_maps by the sender first; mail of other senders has sessions of its own."};
inline constexpr Param<std::string> smtp_sasl_security_options{.name = "smtp_sasl_security_options", .initial = "noplaintext, noanonymous", .doc = "What the mechanism must be, in clear: noplaintext, noactive, nodictionary, noanonymous, mutual_auth."};
inline constexpr Param<std::string> smtp_sasl_tls_security_options{.name = "smtp_sasl_tls_security_options", .initial = "$smtp_sasl_security_options", .doc = "The same under TLS."};
inline constexpr Param<std::string> smtp_sasl_tls_verified_security_options{.name = "smtp_sasl_tls_verified_security_options", .initial = "$smtp_sasl_tls_security_options", .doc = "The same under TLS with a server whose certificate was verified as its level asks."};
inline constexpr Param<std::string> smtp_sasl_mechanism_filter{.name = "smtp_sasl_mechanism_filter", .initial = "", .doc = "Which of a server's mechanisms may be used: names, !names, tables; empty: all."};
inline constexpr Param<std::string> smtp_sasl_type{.name = "smtp_sasl_type", .initial = "cyrus", .least = 1, .doc = "cyrus, whose mechanisms and order of preference the built-in ones follow: SCRAM-SHA-256, SCRAM-SHA-1, DIGEST-MD5, CRAM-MD5, PLAIN, LOGIN, OAUTHBEARER, XOAUTH2, EXTERNAL."};
inline constexpr Param<std::string> smtp_sasl_path{.name = "smtp_sasl_path", .initial = "", .doc = "For Cyrus SASL's library, which is not used: it decides nothing."};
inline constexpr Param<bool> smtp_sasl_auth_soft_bounce{.name = "smtp_sasl_auth_soft_bounce", .initial = "yes", .doc = "Defer mail whose login was refused; no: a 5xx returns it."};
inline constexpr Param<std::string> smtp_sasl_auth_cache_name{.name = "smtp_sasl_auth_cache_name", .initial = "", .doc = "Where set, a login that was refused by a 5xx is not tried again at that server with the same name and password; kept in the process, not in the named table."};
inline constexpr Param<seconds> smtp_sasl_auth_cache_time{.name = "smtp_sasl_auth_cache_time", .initial = "90d", .least = seconds{0}, .doc = "How long such a refusal is kept."};
inline constexpr Param<bool> send_cyrus_sasl_authzid{.name = "send_cyrus_sasl_authzid", .initial = "no", .doc = "Say as whom to act, too, although it is the same name.", .source = "RFC 4422 3.4.1"};
inline constexpr Param<bool> smtp_send_dummy_mail_auth{.name = "smtp_send_dummy_mail_auth", .initial = "no", .doc = "Say AUTH=<> in MAIL FROM where the session is authenticated.", .source = "RFC 4954 5"};

inline constexpr Param<bool> send_soft_bounce{.name = "soft_bounce", .initial = "no", .doc = "Defer what would be returned, and say SOFTBOUNCE in the log."};
inline constexpr Param<int> send_delay_logging_resolution_limit{.name = "delay_logging_resolution_limit", .initial = "2", .least = 0, .most = 6, .doc = "Digits behind the point in delays."};
inline constexpr Param<std::string> send_info_log_address_format{.name = "info_log_address_format", .initial = "external", .least = 1, .doc = "Addresses in the log: external (quoted) or internal."};

inline constexpr Param<bool> send_address_verify_negative_cache{.name = "address_verify_negative_cache", .initial = "yes", .doc = "Keep the results of probes that failed as well."};

inline constexpr Param<bool> smtp_cname_overrides_servername{.name = "smtp_cname_overrides_servername", .initial = "no", .doc = "A server whose name is an alias goes by the name that its CNAME leads to: in the log, in what is asked of its certificate, and where a password is looked up. Who can forge the CNAME then says who the server has to be."};
inline constexpr Param<bool> smtp_log_tls_feature_status{.name = "smtp_log_tls_feature_status", .initial = "no", .doc = "Say in delivery lines, as tls=, what was asked of TLS with the host and what came of it: tls=may, tls=may:none, tls=!encrypt:none, tls=dane?, tls=verify/requiretls. What reads the logs of Postfix before 3.11 does not know the field."};
inline constexpr Param<bool> smtp_chunking{.name = "smtp_chunking", .initial = "yes", .doc = "Send content by BDAT where the peer offers CHUNKING.", .source = "RFC 3030", .since = "posthorn 0.1", .own = true};
inline constexpr Param<bool> smtp_quit_in_group{.name = "smtp_quit_in_group", .initial = "no", .doc = "Group QUIT with commands whose answers are needed, as Postfix does: shows what such groups do to some peers.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<bool> smtp_pipe_connect{.name = "smtp_pipe_connect", .initial = "yes", .doc = "Speak before the greeting to peers that announced PIPECONNECT in at least three recent sessions; needs smtp_peer_learning = yes.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<int> smtp_contents_in_flight{.name = "smtp_contents_in_flight", .initial = "8", .least = 1, .most = 100, .doc = "Contents sent to a trusted peer without an answer to the first.", .since = "posthorn 0.1", .own = true};

inline constexpr Param<int> smtp_address_verify_error_limit{.name = "smtp_address_verify_error_limit", .initial = "10", .least = 1, .doc = "A session of address probes ends when so many recipients were refused in it, unless the server's own limit is known: common servers answer slowly from there on.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<int> smtp_transcript_size{.name = "smtp_transcript_size", .initial = "33554432", .least = 0, .doc = "Octets of transcripts kept in the data directory, three quarters of them of failed sessions (posthorn transcript); 0: no session is recorded.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<seconds> smtp_transcript_failed_age{.name = "smtp_transcript_failed_age", .initial = "7d", .least = seconds{1}, .doc = "How long the transcript of a failed session is kept.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<int> smtp_transcript_good_count{.name = "smtp_transcript_good_count", .initial = "100", .least = 0, .doc = "How many of the last sessions without failure are kept as transcripts.", .since = "posthorn 0.1", .own = true};
inline constexpr Param<seconds> smtp_transcript_good_age{.name = "smtp_transcript_good_age", .initial = "1d", .least = seconds{1}, .doc = "How long the transcript of a session without failure is kept.", .since = "posthorn 0.1", .own = true};

inline constexpr auto params = std::to_array<ParamInfo>({
    smtp_connect_timeout, smtp_helo_timeout, lmtp_lhlo_timeout, smtp_starttls_timeout, smtp_mail_timeout, smtp_rcpt_timeout, smtp_data_init_timeout,
    smtp_data_xfer_timeout, smtp_data_done_timeout, smtp_rset_timeout, smtp_quit_timeout, smtp_per_request_deadline, smtp_min_data_rate, smtp_skip_quit_response, lmtp_skip_quit_response,
    smtp_helo_name, lmtp_lhlo_name, best_mx_transport, smtp_tcp_port, lmtp_tcp_port, smtp_always_send_ehlo, smtp_never_send_ehlo,
    smtp_skip_5xx_greeting, smtp_discard_ehlo_keywords, lmtp_discard_lhlo_keywords, smtp_discard_ehlo_keyword_address_maps,
    lmtp_discard_lhlo_keyword_address_maps, lmtp_assume_final, smtp_pix_workarounds, smtp_pix_workaround_threshold_time, smtp_pix_workaround_delay_time,
    smtp_generic_maps, smtp_header_checks, smtp_mime_header_checks, smtp_nested_header_checks, smtp_body_checks, smtp_send_xforward_command, smtp_xforward_timeout, disable_mime_output_conversion, smtp_line_length_limit, smtp_pix_workaround_maps, smtp_quote_rfc821_envelope, smtp_reply_filter, smtp_dns_reply_filter, default_delivery_status_filter,
    smtp_delivery_status_filter, bounce_classification_maps, smtp_address_verify_target, smtp_host_lookup, send_use_srv_lookup, send_ignore_srv_lookup_error,
    send_allow_srv_lookup_fallback, smtp_defer_if_no_mx_address_found,
    smtp_mx_address_limit, smtp_mx_session_limit, smtp_randomize_addresses, smtp_address_preference, smtp_balance_inet_protocols, smtp_dns_resolver_options, smtp_fallback_relay, send_relayhost,
    smtp_bind_address, smtp_bind_address6, smtp_bind_address_enforce, smtp_connection_cache_on_demand, smtp_connection_cache_destinations,
    smtp_connection_cache_time_limit, smtp_connection_reuse_time_limit, smtp_connection_reuse_count_limit, smtp_tls_security_level,
    smtp_sasl_auth_enable, smtp_sasl_password_maps, smtp_sasl_password_result_delimiter, smtp_sender_dependent_authentication, smtp_sasl_security_options,
    smtp_sasl_tls_security_options, smtp_sasl_tls_verified_security_options, smtp_sasl_mechanism_filter, smtp_sasl_type, smtp_sasl_path,
    smtp_sasl_auth_soft_bounce, smtp_sasl_auth_cache_name, smtp_sasl_auth_cache_time, send_cyrus_sasl_authzid, smtp_send_dummy_mail_auth,
    lmtp_tls_security_level, smtp_use_tls, smtp_enforce_tls, smtp_tls_enforce_peername, smtp_tls_policy_maps, smtp_tls_trial_level, smtp_tls_trial_maps, smtp_tls_per_site,
    smtp_tls_verify_cert_match, smtp_tls_secure_cert_match, smtp_tls_fingerprint_cert_match, smtp_tls_trust_anchor_file,
    smtp_tls_dane_insecure_mx_policy, smtp_tls_force_insecure_host_tlsa_lookup, smtp_tls_enforce_sts_mx_patterns,
    smtp_requiretls_policy, smtp_tlsrpt_enable, smtp_tlsrpt_socket_name, smtp_tlsrpt_skip_reused_handshakes, smtp_tls_wrappermode, smtp_tls_note_starttls_offer, smtp_log_tls_feature_status, smtp_cname_overrides_servername, smtp_chunking, smtp_quit_in_group,
    smtp_pipe_connect, smtp_contents_in_flight, smtp_address_verify_error_limit,
    smtp_transcript_size, smtp_transcript_failed_age, smtp_transcript_good_count, smtp_transcript_good_age,
});
// clang-format on

}  // namespace posthorn::send
