#include "send/options.hpp"

#include "base/strings.hpp"
#include "config/snapshot.hpp"
#include "dns/params.hpp"
#include "send/nexthop.hpp"
#include "send/params.hpp"
#include "send/requiretls.hpp"
#include "send/tls_trial.hpp"
#include "tls/params.hpp"

#include <algorithm>

namespace posthorn::send {

namespace {

[[noreturn]] void bad(std::string_view name, std::string_view value) { throw config::BadValue(fmt::format("bad value of {}: {}", name, value)); }

std::optional<net::IpAddress> address(const std::string& name, const std::string& text)
{
    if (text.empty())
        return std::nullopt;
    auto parsed = net::IpAddress::parse(text);
    if (!parsed)
        bad(name, text);
    return parsed;
}

/// The words between blanks, commas and these.
std::vector<std::string> words_between(std::string_view text, std::string_view more = {})
{
    std::vector<std::string> all;
    for (const std::string_view word : split(text, std::string(", \t\r\n").append(more)))
        all.emplace_back(word);
    return all;
}

/// Why TLSA records would prove nothing here.
std::string no_dane(const config::Snapshot& snapshot, bool lmtp, dns::Support support, bool ignore_mx_error)
{
    const std::string ways = snapshot.get(smtp_host_lookup, lmtp ? "lmtp" : "smtp");
    const bool by_dns = std::ranges::any_of(split(ways, ", \t\r\n"), [](std::string_view way) { return iequals(way, "dns"); });
    if (support != dns::Support::dnssec || !by_dns)
        return "configured with dnssec lookups disabled";
    return ignore_mx_error && !lmtp ? "configured with MX lookup errors ignored" : "";
}

std::vector<std::string> words_of(std::string_view text)
{
    std::vector<std::string> all;
    for (const std::string_view word : config::split_grouped(text))
        all.emplace_back(word);
    return all;
}

}  // namespace

static Sasl sasl_from(const config::Snapshot& snapshot, std::string_view as)
{
    const auto properties = [&](const config::Param<std::string>& param) {
        auto made = sasl::parse_properties(snapshot.get(param, as));
        if (!made)
            throw config::BadValue(fmt::format("{}: {}", config::name_as(param.name, as), made.error().text()));
        return *made;
    };
    Sasl made;
    made.enable = snapshot.get(smtp_sasl_auth_enable, as);
    made.by_sender = made.enable && snapshot.get(smtp_sender_dependent_authentication, as);
    made.clear = properties(smtp_sasl_security_options);
    made.tls = properties(smtp_sasl_tls_security_options);
    made.verified = properties(smtp_sasl_tls_verified_security_options);
    made.soft_bounce = snapshot.get(smtp_sasl_auth_soft_bounce, as);
    made.remember_failures = !snapshot.get(smtp_sasl_auth_cache_name, as).empty();
    made.remember_for = snapshot.get(smtp_sasl_auth_cache_time, as);
    made.delimiter = snapshot.get(smtp_sasl_password_result_delimiter, as).front();
    made.say_authzid = snapshot.get(send_cyrus_sasl_authzid);
    made.dummy_mail_auth = snapshot.get(smtp_send_dummy_mail_auth, as);
    if (const std::string type = snapshot.get(smtp_sasl_type, as); made.enable && type != "cyrus")
        bad(config::name_as(smtp_sasl_type.name, as), type);
    if (made.enable && snapshot.get(smtp_sasl_password_maps, as).empty())
        throw config::BadValue(fmt::format("{} = yes needs a table of passwords: {} is empty", config::name_as(smtp_sasl_auth_enable.name, as),
                                           config::name_as(smtp_sasl_password_maps.name, as)));
    return made;
}

Options Options::from(const config::Snapshot& snapshot, std::string_view service)
{
    Options made;
    made.service = service;
    made.lmtp = service == "lmtp";
    const auto get = [&](const auto& param) { return snapshot.get(param, made.lmtp ? "lmtp" : "smtp"); };
    const auto either = [&](const auto& smtp, const auto& lmtp) { return made.lmtp ? snapshot.get(lmtp) : snapshot.get(smtp); };
    made.my_name = snapshot.get(send_myhostname);
    made.helo_name = either(smtp_helo_name, lmtp_lhlo_name);
    made.timeouts = {.connect = get(smtp_connect_timeout),
                     .helo = either(smtp_helo_timeout, lmtp_lhlo_timeout),
                     .starttls = get(smtp_starttls_timeout),
                     .mail = get(smtp_mail_timeout),
                     .rcpt = get(smtp_rcpt_timeout),
                     .data_init = get(smtp_data_init_timeout),
                     .data_xfer = get(smtp_data_xfer_timeout),
                     .data_done = get(smtp_data_done_timeout),
                     .rset = get(smtp_rset_timeout),
                     .quit = get(smtp_quit_timeout),
                     .xforward = get(smtp_xforward_timeout)};
    made.per_request_deadline = get(smtp_per_request_deadline);
    made.min_data_rate = static_cast<std::uint64_t>(get(smtp_min_data_rate));
    made.send_xforward = get(smtp_send_xforward_command);
    made.skip_quit_response = either(smtp_skip_quit_response, lmtp_skip_quit_response);
    made.always_ehlo = snapshot.get(smtp_always_send_ehlo);
    made.never_ehlo = snapshot.get(smtp_never_send_ehlo);
    made.skip_5xx_greeting = get(smtp_skip_5xx_greeting);
    made.discard = smtp::parse_discard_list(either(smtp_discard_ehlo_keywords, lmtp_discard_lhlo_keywords));
    const std::string pix = get(smtp_pix_workarounds);
    made.pix_disable_esmtp = made.pix_delay_dot = false;
    for (const std::string_view word : split(pix, ", \t")) {
        made.pix_disable_esmtp |= iequals(word, "disable_esmtp");
        made.pix_delay_dot |= iequals(word, "delay_dotcrlf");
        if (!iequals(word, "disable_esmtp") && !iequals(word, "delay_dotcrlf"))
            bad("smtp_pix_workarounds", pix);
    }
    made.pix_threshold = get(smtp_pix_workaround_threshold_time);
    made.pix_delay = get(smtp_pix_workaround_delay_time);
    made.assume_final = made.lmtp && snapshot.get(lmtp_assume_final);
    made.convert_to_7bit = !snapshot.get(disable_mime_output_conversion);
    made.line_length = static_cast<std::size_t>(get(smtp_line_length_limit));
    made.quote_envelope = get(smtp_quote_rfc821_envelope);
    const std::string target = get(smtp_address_verify_target);
    if (target != "rcpt" && target != "data")
        bad("smtp_address_verify_target", target);
    made.probe_data = target == "data";
    made.failed_probes_cached = snapshot.get(send_address_verify_negative_cache);
    made.probe_errors = static_cast<std::uint32_t>(get(smtp_address_verify_error_limit));

    const std::string port = either(smtp_tcp_port, lmtp_tcp_port);
    const auto parsed = parse_nexthop("x:" + port, 25, false);
    if (!parsed)
        bad(made.lmtp ? "lmtp_tcp_port" : "smtp_tcp_port", port);
    made.port = parsed->front().port;
    made.port_name = port;
    const auto support = dns::support_level(snapshot, made.lmtp ? "lmtp" : "smtp");
    if (!support)
        throw config::BadValue(support.error().text());
    made.mx_lookups = *support != dns::Support::disabled && !made.lmtp;
    for (const std::string_view one : split(snapshot.get(send_use_srv_lookup), ", \t\r\n"))
        made.srv_services.push_back(to_lower(one));
    made.ignore_srv_error = snapshot.get(send_ignore_srv_lookup_error);
    made.allow_srv_fallback = snapshot.get(send_allow_srv_lookup_fallback);
    made.ignore_mx_error = snapshot.get(send_ignore_mx_lookup_error);
    made.defer_if_no_mx_address = get(smtp_defer_if_no_mx_address_found);
    made.address_limit = static_cast<unsigned>(get(smtp_mx_address_limit));
    made.session_limit = static_cast<unsigned>(get(smtp_mx_session_limit));
    made.randomize = get(smtp_randomize_addresses);
    made.balance = get(smtp_balance_inet_protocols);
    const std::string preference = get(smtp_address_preference);
    if (preference == "ipv4")
        made.preference = AddressPreference::ipv4;
    else if (preference == "ipv6")
        made.preference = AddressPreference::ipv6;
    else if (preference != "any")
        bad("smtp_address_preference", preference);
    const std::string protocols = snapshot.get(send_inet_protocols);
    made.ipv4 = made.ipv6 = false;
    for (const std::string_view word : split(protocols, ", \t")) {
        made.ipv4 |= word == "all" || word == "ipv4";
        made.ipv6 |= word == "all" || word == "ipv6";
    }
    if (!made.ipv4 && !made.ipv6)
        bad("inet_protocols", protocols);
    if (!made.lmtp || !get(smtp_fallback_relay).empty())
        made.fallback_relays = words_of(get(smtp_fallback_relay));
    made.relayhost = made.lmtp ? "" : snapshot.get(send_relayhost);
    made.best_mx = snapshot.get(best_mx_transport);
    made.bind4 = address("smtp_bind_address", get(smtp_bind_address));
    made.bind6 = address("smtp_bind_address6", get(smtp_bind_address6));
    made.bind_enforced = get(smtp_bind_address_enforce);

    made.keep_sessions = get(smtp_connection_cache_on_demand);
    made.keep_destinations = words_of(get(smtp_connection_cache_destinations));
    made.keep_idle = get(smtp_connection_cache_time_limit);
    made.keep_age = get(smtp_connection_reuse_time_limit);
    made.keep_mails = static_cast<unsigned>(get(smtp_connection_reuse_count_limit));

    made.sasl = sasl_from(snapshot, made.lmtp ? "lmtp" : "smtp");
    const std::string level = either(smtp_tls_security_level, lmtp_tls_security_level);
    if (level.empty()) {
        const TlsLevel enforced = get(smtp_tls_enforce_peername) ? TlsLevel::verify : TlsLevel::encrypt;
        made.tls_level = get(smtp_enforce_tls) ? enforced : get(smtp_use_tls) ? TlsLevel::may : TlsLevel::none;
    } else if (const auto known = level_of(level)) {
        made.tls_level = *known;
    } else {
        bad(made.lmtp ? "lmtp_tls_security_level" : "smtp_tls_security_level", level);
    }
    if (const std::string tried = made.lmtp ? std::string() : snapshot.get(smtp_tls_trial_level); !tried.empty()) {
        const auto known = level_of(tried);
        if (!known || !can_be_tried(*known))
            bad("smtp_tls_trial_level", tried);
        made.tls_trial_level = *known;
    }
    made.tls.verify_names = words_between(get(smtp_tls_verify_cert_match), ":");
    made.tls.secure_names = words_between(get(smtp_tls_secure_cert_match), ":");
    made.tls.fingerprints = words_between(get(smtp_tls_fingerprint_cert_match), "|");
    made.tls.anchor_files = words_between(get(smtp_tls_trust_anchor_file));
    made.tls.server_name = get(tls::smtp_tls_servername);
    made.tls.insecure_host_tlsa = get(smtp_tls_force_insecure_host_tlsa_lookup);
    made.tls.sts_patterns = get(smtp_tls_enforce_sts_mx_patterns);
    made.tls.no_dane = no_dane(snapshot, made.lmtp, *support, made.ignore_mx_error);
    const std::string insecure_mx = snapshot.get(smtp_tls_dane_insecure_mx_policy);
    const auto instead = level_of(insecure_mx);
    if (instead != TlsLevel::may && instead != TlsLevel::encrypt && instead != TlsLevel::dane)
        bad("smtp_tls_dane_insecure_mx_policy", insecure_mx);
    made.tls.insecure_mx = *instead;
    if (const std::string sites = get(smtp_tls_per_site); !sites.empty() && std::string(get(smtp_tls_policy_maps)).empty())
        throw config::BadValue(fmt::format("{} is not served: write its entries as {} (docs/from-postfix.md)",
                                           config::name_as(smtp_tls_per_site.name, made.lmtp ? "lmtp" : "smtp"),
                                           config::name_as(smtp_tls_policy_maps.name, made.lmtp ? "lmtp" : "smtp")));
    if (!made.lmtp)
        made.sts = snapshot.get(sts::smtp_mta_sts);
    made.requiretls = snapshot.get(send_requiretls_enable);
    made.requiretls_in_reports = !snapshot.get(send_requiretls_redact_dsn);
    const std::string required = get(smtp_requiretls_policy);
    for (const std::string_view item : config::split_grouped(required))
        if (item.find(':') == item.npos && !require_tls_of(item))
            bad(config::name_as(smtp_requiretls_policy.name, made.lmtp ? "lmtp" : "smtp"), item);
    made.report_resumed = !get(smtp_tlsrpt_skip_reused_handshakes);
    made.tls_wrapper = get(smtp_tls_wrappermode);
    made.tls_note_offer = get(smtp_tls_note_starttls_offer);
    made.log_tls_status = get(smtp_log_tls_feature_status);
    made.cname_renames = get(smtp_cname_overrides_servername);

    made.chunking = snapshot.get(smtp_chunking);
    made.quit_in_group = snapshot.get(smtp_quit_in_group);
    made.pipe_connect = snapshot.get(smtp_pipe_connect);
    made.contents_in_flight = static_cast<unsigned>(snapshot.get(smtp_contents_in_flight));
    made.soft_bounce = snapshot.get(send_soft_bounce);
    made.delay_digits = snapshot.get(send_delay_logging_resolution_limit);
    made.records = !snapshot.text("record_file").empty();
    return made;
}

}  // namespace posthorn::send
