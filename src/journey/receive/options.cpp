#include "receive/options.hpp"

#include "base/strings.hpp"
#include "mailauth/options.hpp"
#include "receive/params.hpp"
#include "tables/match_list.hpp"
#include "tables/params.hpp"
#include "tls/params.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

using config::BadValue;
using config::Snapshot;

Pace pace_of(const Snapshot& snapshot)
{
    Pace pace;
    pace.timeout = snapshot.get(smtpd_timeout);
    pace.starttls_timeout = snapshot.get(smtpd_starttls_timeout);
    pace.per_request_deadline = snapshot.get(smtpd_per_request_deadline);
    pace.hard_error_limit = snapshot.get(smtpd_hard_error_limit);
    pace.soft_error_limit = snapshot.get(smtpd_soft_error_limit);
    pace.junk_command_limit = snapshot.get(smtpd_junk_command_limit);
    const int polls = snapshot.get(address_verify_poll_count);
    pace.verify_patience = polls == 1 ? std::chrono::seconds{0} : polls * snapshot.get(address_verify_poll_delay);
    return pace;
}

BareNewline bare_newline_of(const std::string& word)
{
    const std::string lower = to_lower(word);
    if (lower == "no")
        return BareNewline::no;
    if (lower == "note")
        return BareNewline::note;
    if (lower == "normalize" || lower == "yes")
        return BareNewline::normalize;
    if (lower == "reject")
        return BareNewline::reject;
    throw BadValue(fmt::format("bad configuration: smtpd_forbid_bare_newline = {}: expected no, note, normalize, yes or reject", word));
}

TlsLevel tls_level_of(const Snapshot& snapshot)
{
    const std::string word = to_lower(snapshot.get(smtpd_tls_security_level));
    if (word == "none")
        return TlsLevel::none;
    // fingerprint and what is above it say something of clients, which a server cannot demand: Postfix takes them as encrypt.
    if (word == "encrypt" || word == "fingerprint" || word == "verify" || word == "secure" || word == "dane" || word == "dane-only")
        return TlsLevel::encrypt;
    if (word == "may")
        return TlsLevel::may;
    if (!word.empty())
        throw BadValue(fmt::format("invalid TLS level \"{}\" in smtpd_tls_security_level", word));
    if (snapshot.get(smtpd_tls_wrappermode) || snapshot.get(smtpd_enforce_tls))
        return TlsLevel::encrypt;
    return snapshot.get(smtpd_use_tls) ? TlsLevel::may : TlsLevel::none;
}

policy::TempfailAction tempfail_of(std::string_view parameter, const std::string& word)
{
    if (word == "defer_if_permit")
        return policy::TempfailAction::defer_if_permit;
    if (word == "defer")
        return policy::TempfailAction::defer;
    throw BadValue(fmt::format("bad configuration: {} = {}: expected defer_if_permit or defer", parameter, word));
}

template <class T>
T or_throw(Result<T> result)
{
    if (!result)
        throw BadValue(result.error().text());
    return *std::move(result);
}

policy::Lists lists_of(const Snapshot& snapshot)
{
    const std::string class_text = snapshot.get(smtpd_restriction_classes);
    std::vector<std::string> names;
    for (std::string_view name : split(class_text, ", \t\r\n"))
        names.emplace_back(name);
    const policy::ClassValue class_value = [&](std::string_view name) -> std::optional<std::string> {
        if (std::ranges::find(names, name) == names.end())
            return std::nullopt;
        return snapshot.text(name);
    };
    const auto list = [&](policy::Stage stage, const Param<std::string>& param) {
        return or_throw(policy::compile(stage, param.name, snapshot.get(param), class_value));
    };
    using policy::Stage;
    policy::Lists lists;
    lists.client = list(Stage::client, smtpd_client_restrictions);
    lists.helo = list(Stage::helo, smtpd_helo_restrictions);
    lists.sender = list(Stage::sender, smtpd_sender_restrictions);
    lists.relay = list(Stage::relay, smtpd_relay_restrictions);
    lists.recipient = list(Stage::recipient, smtpd_recipient_restrictions);
    lists.data = list(Stage::data, smtpd_data_restrictions);
    lists.end_of_data = list(Stage::end_of_data, smtpd_end_of_data_restrictions);
    lists.etrn = list(Stage::etrn, smtpd_etrn_restrictions);
    for (const auto& name : names)
        lists.classes[name] =
            std::make_shared<const policy::RestrictionList>(or_throw(policy::compile(Stage::recipient, name, snapshot.text(name), class_value)));
    if (const auto problem = policy::open_relay_problem(lists))
        throw BadValue(*problem);
    return lists;
}

std::optional<FilterOptions> filter_of(const Snapshot& snapshot)
{
    FilterOptions filter;
    for (std::string_view word : split(snapshot.get(smtpd_proxy_options), ", \t\r\n")) {
        if (!iequals(word, "speed_adjust"))
            throw BadValue(fmt::format("bad configuration: smtpd_proxy_options = {}: expected speed_adjust", word));
        filter.whole_first = true;
    }
    filter.name = snapshot.get(smtpd_proxy_filter);
    if (filter.name.empty())
        return std::nullopt;
    const bool port_alone = filter.name.find(':') == std::string::npos;
    auto server = policy::parse_service(port_alone ? "localhost:" + filter.name : filter.name);
    if (!server)
        throw BadValue(fmt::format("bad configuration: smtpd_proxy_filter = {}: expected host:port, inet:host:port or unix:path", filter.name));
    filter.server = *std::move(server);
    filter.ehlo = snapshot.get(smtpd_proxy_ehlo);
    filter.timeout = snapshot.get(smtpd_proxy_timeout);
    filter.requiretls_header = snapshot.get(requiretls_esmtp_header);
    return filter;
}

SaslOptions sasl_of(const Snapshot& snapshot)
{
    const auto properties = [&](const Param<std::string>& param) {
        const auto made = sasl::parse_properties(snapshot.get(param));
        if (!made)
            throw BadValue(fmt::format("bad configuration: {}: {}", param.name, made.error().text()));
        return *made;
    };
    SaslOptions sasl;
    sasl.enable = snapshot.get(smtpd_sasl_auth_enable);
    const std::string type = snapshot.get(smtpd_sasl_type);
    if (sasl.enable && type != "dovecot" && type != "cyrus")
        throw BadValue(fmt::format("bad configuration: smtpd_sasl_type = {}: unsupported SASL server implementation", type));
    sasl.dovecot = type == "dovecot";
    sasl.path = snapshot.get(smtpd_sasl_path);
    if (sasl.enable && sasl.dovecot) {
        std::string place = sasl.path;
        if (!place.starts_with("inet:") && !place.starts_with("unix:"))
            place = "unix:" + place;
        else if (place.starts_with("inet:") && place.find(':', 5) == std::string::npos)
            place = "inet:localhost:" + place.substr(5);
        auto server = policy::parse_service(place);
        if (!server)
            throw BadValue(fmt::format("bad configuration: smtpd_sasl_path = {}: expected a path, unix:path or inet:host:port", sasl.path));
        sasl.server = *std::move(server);
    }
    sasl.service = snapshot.get(smtpd_sasl_service);
    sasl.clear = properties(smtpd_sasl_security_options);
    sasl.tls = properties(smtpd_sasl_tls_security_options);
    sasl.mechanism_filter = snapshot.get(smtpd_sasl_mechanism_filter);
    sasl.exceptions = snapshot.get(smtpd_sasl_exceptions_networks);
    sasl.old_clients = snapshot.get(broken_sasl_auth_clients);
    sasl.under_tls_only = snapshot.get(smtpd_tls_auth_only) || tls_level_of(snapshot) == TlsLevel::encrypt;
    sasl.in_received = snapshot.get(smtpd_sasl_authenticated_header);
    sasl.response_limit = std::min<std::size_t>(static_cast<std::size_t>(snapshot.get(smtpd_sasl_response_limit)), 1U << 16);
    return sasl;
}

policy::ServiceLimits services_of(const Snapshot& snapshot)
{
    policy::ServiceLimits limits;
    limits.timeout = snapshot.get(smtpd_policy_service_timeout);
    limits.max_idle = snapshot.get(smtpd_policy_service_max_idle);
    limits.max_ttl = snapshot.get(smtpd_policy_service_max_ttl);
    limits.retry_delay = snapshot.get(smtpd_policy_service_retry_delay);
    limits.try_limit = static_cast<std::uint32_t>(snapshot.get(smtpd_policy_service_try_limit));
    limits.request_limit = static_cast<std::uint32_t>(snapshot.get(smtpd_policy_service_request_limit));
    limits.default_action = snapshot.get(smtpd_policy_service_default_action);
    limits.context = snapshot.get(smtpd_policy_service_policy_context);
    return limits;
}

policy::Settings settings_of(const Snapshot& snapshot)
{
    policy::Settings settings;
    settings.lists = lists_of(snapshot);
    settings.delay_reject = snapshot.get(smtpd_delay_reject);
    settings.relay_first = snapshot.get(smtpd_relay_before_recipient_restrictions);
    settings.unlisted_recipient = snapshot.get(smtpd_reject_unlisted_recipient) &&
                                  !std::ranges::any_of(split(snapshot.get(receive_override_options), " \t\r\n,"),
                                                       [](std::string_view word) { return iequals(word, "no_unknown_recipient_checks"); });
    settings.unlisted_sender = snapshot.get(smtpd_reject_unlisted_sender);
    settings.parent_domains = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "smtpd_access_maps");
    settings.soft_bounce = snapshot.get(soft_bounce);
    settings.show_table_name = snapshot.get(show_user_unknown_table_name);
    settings.utf8 = snapshot.get(smtputf8_enable);
    settings.null_sender_key = snapshot.get(smtpd_null_access_lookup_key);
    settings.delimiter.characters = snapshot.get(recipient_delimiter);
    settings.log_permit = snapshot.get(smtpd_log_access_permit_actions);

    const auto code = [&](const Param<int>& param) {
        const int value = snapshot.get(param);
        if (value < 200 || value > 599 || value / 100 == 3)
            throw BadValue(fmt::format("bad configuration: {} = {}: expected a reply code 2xx, 4xx or 5xx", param.name, value));
        return value;
    };
    settings.access_reject = code(access_map_reject_code);
    settings.access_defer = code(access_map_defer_code);
    settings.reject = code(reject_code);
    settings.defer = code(defer_code);
    settings.invalid_hostname = code(invalid_hostname_reject_code);
    settings.non_fqdn = code(non_fqdn_reject_code);
    settings.relay = code(relay_domains_reject_code);
    settings.unknown_address = code(unknown_address_reject_code);
    settings.unknown_client = code(unknown_client_reject_code);
    settings.unknown_hostname = code(unknown_hostname_reject_code);
    settings.multi_recipient_bounce = code(multi_recipient_bounce_reject_code);
    settings.plaintext = code(plaintext_reject_code);
    settings.unknown_local = code(unknown_local_recipient_reject_code);
    settings.unknown_relay = code(unknown_relay_recipient_reject_code);
    settings.unknown_virtual_alias = code(unknown_virtual_alias_reject_code);
    settings.unknown_virtual_mailbox = code(unknown_virtual_mailbox_reject_code);
    settings.address_tempfail = tempfail_of(unknown_address_tempfail_action.name, snapshot.get(unknown_address_tempfail_action));
    const auto unverified = [&](const Param<int>& reject, const Param<int>& defer, const Param<std::string>& reason,
                                const Param<std::string>& action) {
        return policy::Unverified{code(reject), code(defer), snapshot.get(reason), tempfail_of(action.name, snapshot.get(action))};
    };
    settings.unverified_recipient = unverified(unverified_recipient_reject_code, unverified_recipient_defer_code, unverified_recipient_reject_reason,
                                               unverified_recipient_tempfail_action);
    settings.unverified_sender =
        unverified(unverified_sender_reject_code, unverified_sender_defer_code, unverified_sender_reject_reason, unverified_sender_tempfail_action);
    settings.services = services_of(snapshot);
    settings.filter_before_queue = !snapshot.get(smtpd_proxy_filter).empty();
    settings.list_reply = snapshot.get(default_rbl_reply).text;
    settings.expansion_filter = policy::ExpansionFilter(snapshot.get(smtpd_expansion_filter).text);
    settings.list_replies = snapshot.get(rbl_reply_maps);
    settings.listed = code(maps_rbl_reject_code);
    const std::string old_lists = snapshot.get(maps_rbl_domains);
    for (std::string_view domain : split(old_lists, ", \t\r\n"))
        settings.old_lists.emplace_back(domain);
    settings.mx_backup_networks = snapshot.get(permit_mx_backup_networks);
    settings.mx_backup_parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "permit_mx_backup_networks");
    settings.logins = snapshot.get(smtpd_sasl_auth_enable);
    settings.untrusted_routing = snapshot.get(allow_untrusted_routing);
    settings.login_maps = snapshot.get(smtpd_sender_login_maps);
    settings.client_certificates = snapshot.get(relay_clientcerts);
    settings.myhostname = snapshot.get(receive::myhostname);
    settings.helo_tempfail = tempfail_of(unknown_helo_hostname_tempfail_action.name, snapshot.get(unknown_helo_hostname_tempfail_action));
    return settings;
}

}  // namespace

Options Options::from(const Snapshot& snapshot)
{
    Options options;
    options.myhostname = snapshot.get(receive::myhostname);
    options.mail_name = snapshot.get(receive::mail_name);
    options.banner = snapshot.get(smtpd_banner);
    const auto notify = handoff::NotifyClasses::parse(snapshot.text("notify_classes"));
    if (!notify)
        throw config::BadValue(notify.error().text());
    options.notify = *notify;
    options.always_stressed = !snapshot.get(stress).empty();
    options.calm = pace_of(snapshot);
    const config::Assignment under_stress[] = {{.name = "stress", .value = "yes"}};
    options.stressed = pace_of(snapshot.with(under_stress, "stress"));
    options.min_data_rate = static_cast<std::uint64_t>(snapshot.get(smtpd_min_data_rate));
    options.xclient_hosts = snapshot.get(smtpd_authorized_xclient_hosts);
    options.xforward_hosts = snapshot.get(smtpd_authorized_xforward_hosts);
    const std::string proxy = snapshot.get(smtpd_upstream_proxy_protocol);
    if (!proxy.empty() && !iequals(proxy, "haproxy"))
        throw config::BadValue("parameter smtpd_upstream_proxy_protocol: unknown protocol: " + proxy);
    options.upstream_proxy = !proxy.empty();
    options.upstream_proxy_timeout = snapshot.get(smtpd_upstream_proxy_timeout);
    options.content_filter = snapshot.get(receive::content_filter);
    options.filter = filter_of(snapshot);
    options.milters = milter::Options::from(snapshot, snapshot.get(receive_override_options));
    options.checks = mailauth::CheckOptions::from(snapshot, snapshot.get(receive_override_options));
    options.signed_body = mailauth::signed_body(snapshot, snapshot.get(receive_override_options));
    options.line_length_limit = static_cast<std::size_t>(snapshot.get(receive::line_length_limit));
    options.message_size_limit = static_cast<std::uint64_t>(snapshot.get(receive::message_size_limit).count);
    options.queue_minfree = static_cast<std::uint64_t>(snapshot.get(receive::queue_minfree).count);
    options.recipient_limit = static_cast<std::size_t>(snapshot.get(smtpd_recipient_limit));
    options.session_mail_limit = static_cast<std::uint32_t>(snapshot.get(smtpd_session_mail_limit));
    options.recipient_overshoot_limit = static_cast<std::size_t>(snapshot.get(smtpd_recipient_overshoot_limit));
    options.error_sleep_time = snapshot.get(smtpd_error_sleep_time);
    options.helo_required = snapshot.get(smtpd_helo_required);
    options.disable_vrfy = snapshot.get(disable_vrfy_command);
    options.strict_envelopes = snapshot.get(strict_rfc821_envelopes);
    options.smtputf8 = snapshot.get(smtputf8_enable);
    options.strict_smtputf8 = snapshot.get(receive::strict_smtputf8);
    options.requiretls = snapshot.get(requiretls_enable);
    options.requiretls_header = snapshot.get(requiretls_esmtp_header);
    options.discard_ehlo_keywords = smtp::parse_discard_list(snapshot.get(smtpd_discard_ehlo_keywords));
    options.discard_ehlo_keyword_maps = snapshot.get(smtpd_discard_ehlo_keyword_address_maps);
    options.dns_reply_filter = snapshot.get(smtpd_dns_reply_filter);
    options.noop_commands = snapshot.get(smtpd_noop_commands);
    options.forbidden_commands = snapshot.get(smtpd_forbidden_commands);
    options.command_filter = snapshot.get(smtpd_command_filter);
    options.reject_filter_maps = snapshot.get(smtpd_reject_filter_maps);
    options.reject_footer = snapshot.get(smtpd_reject_footer).text;
    options.reject_footer_maps = snapshot.get(smtpd_reject_footer_maps);
    options.forbid_unauth_pipelining = snapshot.get(smtpd_forbid_unauth_pipelining);
    options.forbid_bare_newline = bare_newline_of(snapshot.get(smtpd_forbid_bare_newline));
    options.bare_newline_exclusions = snapshot.get(smtpd_forbid_bare_newline_exclusions);
    options.pipe_connect_hosts = snapshot.get(smtpd_pipe_connect_hosts);
    options.verp_clients = snapshot.get(smtpd_authorized_verp_clients);
    options.release_limit = snapshot.get(smtpd_future_release_limit);
    options.release_clients = snapshot.get(smtpd_future_release_clients);
    options.scheduling_field = !snapshot.text("scheduling_header").empty();
    options.delivery_answer_domains = snapshot.get(smtpd_delivery_answer_domains);
    options.delivery_answer_limit = snapshot.get(smtpd_delivery_answer_time_limit);
    options.verp_default = snapshot.get(default_verp_delimiters);
    options.verp_delimiters = snapshot.get(verp_delimiter_filter);
    options.qmqp.clients = snapshot.get(qmqpd_authorized_clients);
    options.qmqp.parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), qmqpd_authorized_clients.name);
    options.qmqp.port_logging = snapshot.get(qmqpd_client_port_logging);
    options.qmqp.error_delay = snapshot.get(qmqpd_error_delay);
    options.qmqp.timeout = snapshot.get(qmqpd_timeout);
    options.mynetworks_parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "mynetworks");
    options.bare_newline_reject_code = snapshot.get(smtpd_forbid_bare_newline_reject_code);
    options.stray_cr = snapshot.get(cleanup_replace_stray_cr_lf) ? smtp::StrayCr::space : smtp::StrayCr::keep;
    options.peername_lookup = snapshot.get(smtpd_peername_lookup);
    options.port_logging = snapshot.get(smtpd_client_port_logging);
    options.hide_client_session = snapshot.get(smtpd_hide_client_session);
    options.tls_level = tls_level_of(snapshot);
    options.tls_wrapper = snapshot.get(smtpd_tls_wrappermode);
    options.tls_received = snapshot.get(smtpd_tls_received_header);
    options.tls_log = snapshot.get(smtpd_tls_loglevel) != "0";
    options.tls_require_certificate = snapshot.get(tls::smtpd_tls_req_ccert);
    options.tls_ask_certificate =
        snapshot.get(tls::smtpd_tls_ask_ccert) || (options.tls_level == TlsLevel::encrypt && options.tls_require_certificate);
    options.etrn_domains = snapshot.get(fast_flush_domains);
    options.debug_peers = snapshot.get(tables::debug_peer_list);
    options.debug_peers_parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "debug_peer_list");
    options.idle_session_limit = static_cast<std::size_t>(snapshot.get(smtpd_idle_session_limit));
    options.memory_limit = static_cast<std::uint64_t>(snapshot.get(smtpd_memory_limit).count);
    options.compatibility_level = snapshot.text("compatibility_level");
    options.mail_version = snapshot.text("mail_version");
    options.log_abort_queue_id = snapshot.get(smtpd_log_abort_queue_id);
    options.queue_id_at_mail = !snapshot.get(smtpd_delay_open_until_valid_rcpt);
    options.policy = settings_of(snapshot);
    options.screen = screen::Options::from(snapshot);
    options.sasl = sasl_of(snapshot);
    ClientLimits& client = options.client;
    client.connections = static_cast<std::uint32_t>(snapshot.get(smtpd_client_connection_count_limit));
    client.connection_rate = static_cast<std::uint32_t>(snapshot.get(smtpd_client_connection_rate_limit));
    client.mail_rate = static_cast<std::uint32_t>(snapshot.get(smtpd_client_message_rate_limit));
    client.recipient_rate = static_cast<std::uint32_t>(snapshot.get(smtpd_client_recipient_rate_limit));
    client.auth_rate = static_cast<std::uint32_t>(snapshot.get(smtpd_client_auth_rate_limit));
    client.tls_rate = static_cast<std::uint32_t>(snapshot.get(smtpd_client_new_tls_session_rate_limit));
    client.v4_prefix = static_cast<unsigned>(std::clamp(snapshot.get(smtpd_client_ipv4_prefix_length), 0, 32));
    client.v6_prefix = static_cast<unsigned>(std::clamp(snapshot.get(smtpd_client_ipv6_prefix_length), 0, 128));
    client.exceptions = snapshot.get(smtpd_client_event_limit_exceptions);
    client.parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "smtpd_client_event_limit_exceptions");
    return options;
}

}  // namespace posthorn::receive
