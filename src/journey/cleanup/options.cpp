#include "cleanup/options.hpp"

#include "base/strings.hpp"
#include "cleanup/params.hpp"
#include "mailauth/params.hpp"
#include "message/encoded_word.hpp"
#include "tables/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace posthorn::cleanup {

namespace {

std::vector<std::string> lower_words(std::string_view text)
{
    std::vector<std::string> words;
    for (const std::string_view word : split(text, " \t\r\n,"))
        words.push_back(to_lower(word));
    return words;
}

LocalClients local_clients(const Param<std::string>& param, std::string_view text)
{
    LocalClients clients{.inet_interfaces = false};
    for (const std::string_view word : config::split_grouped(text)) {
        if (iequals(word, "permit_inet_interfaces"))
            clients.inet_interfaces = true;
        else if (iequals(word, "permit_mynetworks"))
            clients.mynetworks = true;
        else if (iequals(word, "permit_sasl_authenticated"))
            clients.sasl_authenticated = true;
        else if (word.find(':') != word.npos)
            clients.tables += std::string(word) + " ";           // check_address_map goes before it, or nothing
        else if (!iequals(word, "check_address_map") && !iequals(word, "permit_tls_clientcerts") && !iequals(word, "permit_tls_all_clientcerts"))
            throw config::BadValue(fmt::format("parameter {}: unknown name: {}", param.name, word));
    }
    return clients;
}

Classes classes(const config::Snapshot& snapshot, const Param<std::string>& param)
{
    constexpr auto names = std::to_array<std::string_view>({"envelope_sender", "envelope_recipient", "header_sender", "header_recipient"});
    Classes made;
    for (const std::string_view word : split(snapshot.get(param), " \t\r\n,")) {
        const auto name = std::ranges::find_if(names, [&](std::string_view one) { return iequals(one, word); });
        if (name == names.end())
            throw config::BadValue(fmt::format("parameter {}: unknown name: {}", param.name, word));
        made.in[name - names.begin()] = true;
    }
    return made;
}

/// "\\0\\a": octets as C writes them; a backslash before anything else is dropped.
std::string unescaped(std::string_view text)
{
    constexpr std::string_view letters = "abfnrtv", meant = "\a\b\f\n\r\t\v";
    std::string octets;
    while (!text.empty()) {
        const char c = text.front();
        text.remove_prefix(1);
        if (c != '\\' || text.empty()) {
            octets += c;
            continue;
        }
        unsigned value = 0, digits = 0;
        for (; digits < 3 && digits < text.size() && text[digits] >= '0' && text[digits] <= '7'; ++digits)
            value = value * 8 + static_cast<unsigned>(text[digits] - '0');
        if (digits == 0) {
            const auto letter = letters.find(text.front());
            value = static_cast<unsigned char>(letter == letters.npos ? text.front() : meant[letter]);
            digits = 1;
        }
        octets += static_cast<char>(value);
        text.remove_prefix(digits);
    }
    return octets;
}

CheckOptions check_options(const config::Snapshot& snapshot)
{
    const bool strict = snapshot.get(strict_8bitmime);
    CheckOptions checks;
    checks.header = snapshot.get(header_checks);
    checks.mime = snapshot.get(mime_header_checks);
    checks.nested = snapshot.get(nested_header_checks);
    checks.body = snapshot.get(body_checks);
    checks.body_octets = static_cast<std::uint64_t>(snapshot.get(body_checks_size_limit));
    const std::string line = snapshot.text("line_length_limit");             // receive's, which refuses what is wrong
    std::from_chars(line.data(), line.data() + line.size(), checks.line_octets);
    checks.mime_input = !snapshot.get(disable_mime_input_processing);
    checks.nesting = static_cast<unsigned>(snapshot.get(mime_nesting_limit));
    checks.boundary = static_cast<std::size_t>(snapshot.get(mime_boundary_length_limit));
    checks.count_nesting = mime_nesting_limit.initial != std::to_string(checks.nesting);
    checks.strict_headers = strict || snapshot.get(strict_7bit_headers);
    checks.strict_body = strict || snapshot.get(strict_8bitmime_body);
    checks.strict_domain = snapshot.get(strict_mime_encoding_domain);
    checks.force_7bit = snapshot.get(force_mime_input_conversion);
    checks.rejected = unescaped(snapshot.get(message_reject_characters));
    checks.stripped = unescaped(snapshot.get(message_strip_characters));
    return checks;
}

}  // namespace

Options Options::from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, tables::FileOpener& opener,
                      std::string_view overrides)
{
    const auto size = [&](const Param<int>& param) { return static_cast<std::size_t>(snapshot.get(param)); };
    const auto has = [](std::string_view list, std::string_view word) {
        return std::ranges::any_of(split(list, " \t\r\n,"), [&](std::string_view item) { return iequals(item, word); });
    };
    Options options;
    options.own = tables::OwnOptions::from(snapshot, interfaces, opener);
    options.hostname = snapshot.text("myhostname");
    options.mynetworks = snapshot.text("mynetworks");
    options.canonical_maps = snapshot.get(tables::canonical_maps);
    options.recipient_canonical_maps = snapshot.get(tables::recipient_canonical_maps);
    options.sender_canonical_maps = snapshot.get(cleanup::sender_canonical_maps);
    options.sender_bcc_maps = snapshot.get(cleanup::sender_bcc_maps);
    options.recipient_bcc_maps = snapshot.get(cleanup::recipient_bcc_maps);
    options.always_bcc = snapshot.get(cleanup::always_bcc);
    options.canonical_classes = classes(snapshot, cleanup::canonical_classes);
    options.sender_canonical_classes = classes(snapshot, cleanup::sender_canonical_classes);
    options.recipient_canonical_classes = classes(snapshot, cleanup::recipient_canonical_classes);
    options.masquerade_classes = classes(snapshot, cleanup::masquerade_classes);
    options.masquerade_domains = lower_words(snapshot.get(cleanup::masquerade_domains));
    options.masquerade_exceptions = snapshot.get(cleanup::masquerade_exceptions);
    options.propagate_canonical = has(snapshot.get(tables::propagate_unmatched_extensions), "canonical");
    options.virtual_alias_maps = snapshot.get(tables::virtual_alias_maps);
    options.undisclosed_recipients_header = snapshot.get(cleanup::undisclosed_recipients_header);
    if (!has(overrides, "no_header_body_checks"))
        options.checks = check_options(snapshot);
    options.checks.made = snapshot.get(milter_header_checks);
    options.scheduling_header = snapshot.get(cleanup::scheduling_header);
    if (std::ranges::any_of(options.scheduling_header, [](char c) { return c <= ' ' || c >= 127 || c == ':'; }))  // RFC 5322 3.6.8
        throw config::BadValue(fmt::format("parameter scheduling_header: \"{}\" is no name of a header field", options.scheduling_header));
    options.drop_headers = lower_words(snapshot.get(message_drop_headers));
    options.local_clients = cleanup::local_clients(local_header_rewrite_clients, snapshot.get(local_header_rewrite_clients));
    options.signed_clients = cleanup::local_clients(mailauth::dkim_sign_clients, snapshot.get(mailauth::dkim_sign_clients));
    options.exempt_clients = cleanup::local_clients(mailauth::mailauth_exempt_clients, snapshot.get(mailauth::mailauth_exempt_clients));
    options.mynetworks_parent_style = tables::parent_style(snapshot.get(tables::parent_domain_matches_subdomains), "mynetworks");
    options.always_add_missing = snapshot.get(always_add_missing_headers);
    if (const std::string form = snapshot.get(header_from_format); iequals(form, "obsolete"))
        options.name_in_comment = true;
    else if (!iequals(form, "standard"))
        throw config::BadValue(fmt::format("parameter header_from_format: unknown name: {}", form));
    options.name_charset = snapshot.get(full_name_encoding_charset);
    if (!message::is_charset_name(options.name_charset))
        throw config::BadValue(fmt::format("parameter full_name_encoding_charset: no name of a character set: {}", options.name_charset));
    if (const std::string action = snapshot.get(non_empty_end_of_header_action); iequals(action, "add_header"))
        options.bad_end = BadEnd::add_header;
    else if (iequals(action, "reject"))
        options.bad_end = BadEnd::reject;
    else if (!iequals(action, "fix_quietly"))
        throw config::BadValue(fmt::format("parameter non_empty_end_of_header_action: unknown name: {}", action));
    options.address_mappings = !has(overrides, "no_address_mappings");
    options.original_recipient = snapshot.get(enable_original_recipient);
    options.propagate_extensions = has(snapshot.get(tables::propagate_unmatched_extensions), "virtual");
    options.smtputf8 = snapshot.get(tables::smtputf8_enable);
    options.requiretls_header = snapshot.get(cleanup_requiretls_enable) && snapshot.get(cleanup_requiretls_esmtp_header);
    options.tls_required = snapshot.get(tls_required_enable);
    options.local = {options.own.myorigin,
                     snapshot.text("mydomain"),
                     snapshot.get(append_at_myorigin),
                     snapshot.get(append_dot_mydomain),
                     snapshot.get(tables::allow_percent_hack),
                     snapshot.get(tables::swap_bangpath)};
    options.remote = options.local;
    options.remote.origin = options.remote.domain = snapshot.get(remote_header_rewrite_domain);
    options.hopcount_limit = size(cleanup::hopcount_limit);
    options.header_size_limit = size(cleanup::header_size_limit);
    options.token_limit = size(header_address_token_limit);
    options.expansion_limit = size(virtual_alias_expansion_limit);
    options.recursion_limit = size(virtual_alias_recursion_limit);
    options.address_length_limit = size(virtual_alias_address_length_limit);
    options.smtputf8_autodetect = lower_words(snapshot.get(smtputf8_autodetect_classes));
    return options;
}

}  // namespace posthorn::cleanup
