#include "receive/policy/restriction.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "receive/policy/dns_list.hpp"
#include "receive/policy/service_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::receive::policy {

namespace {

constexpr std::uint64_t longest_sleep = 3600;

/// What stands behind a word.
enum class Needs : std::uint8_t { nothing, table, service, dns_list, number };

struct Word {
    std::string_view text;
    Kind kind;
    Needs needs = Needs::nothing;
    Party party = Party::client;
    Servers servers = Servers::mx;
};

// Words in use, and the older spellings that Postfix still takes.
constexpr std::array words{
    Word{"permit", Kind::permit},
    Word{"reject", Kind::reject},
    Word{"defer", Kind::defer},
    Word{"warn_if_reject", Kind::warn_if_reject},
    Word{"defer_if_permit", Kind::defer_if_permit},
    Word{"defer_if_reject", Kind::defer_if_reject},
    Word{"sleep", Kind::sleep, Needs::number},
    Word{"permit_mynetworks", Kind::permit_mynetworks},
    Word{"permit_sasl_authenticated", Kind::permit_sasl_authenticated},
    Word{"permit_tls_clientcerts", Kind::permit_tls_clientcerts},
    Word{"permit_tls_all_clientcerts", Kind::permit_tls_all_clientcerts},
    Word{"permit_auth_destination", Kind::permit_auth_destination},
    Word{"permit_inet_interfaces", Kind::permit_inet_interfaces},
    Word{"permit_naked_ip_address", Kind::permit_naked_ip_address},
    Word{"permit_mx_backup", Kind::permit_mx_backup},
    Word{"permit_dnswl_client", Kind::permit_dnswl_client, Needs::dns_list},
    Word{"permit_rhswl_client", Kind::permit_rhswl_client, Needs::dns_list},
    Word{"reject_unauth_destination", Kind::reject_unauth_destination},
    Word{"check_relay_domains", Kind::reject_unauth_destination},
    Word{"defer_unauth_destination", Kind::defer_unauth_destination},
    Word{"reject_unauth_pipelining", Kind::reject_unauth_pipelining},
    Word{"reject_plaintext_session", Kind::reject_plaintext_session},
    Word{"reject_multi_recipient_bounce", Kind::reject_multi_recipient_bounce},
    Word{"reject_unknown_client_hostname", Kind::reject_unknown_client_hostname},
    Word{"reject_unknown_client", Kind::reject_unknown_client_hostname},
    Word{"reject_unknown_reverse_client_hostname", Kind::reject_unknown_reverse_client_hostname},
    Word{"reject_invalid_helo_hostname", Kind::reject_invalid_helo_hostname},
    Word{"reject_invalid_hostname", Kind::reject_invalid_helo_hostname},
    Word{"reject_non_fqdn_helo_hostname", Kind::reject_non_fqdn_helo_hostname},
    Word{"reject_non_fqdn_hostname", Kind::reject_non_fqdn_helo_hostname},
    Word{"reject_unknown_helo_hostname", Kind::reject_unknown_helo_hostname},
    Word{"reject_unknown_hostname", Kind::reject_unknown_helo_hostname},
    Word{"reject_non_fqdn_sender", Kind::reject_non_fqdn_sender},
    Word{"reject_non_fqdn_recipient", Kind::reject_non_fqdn_recipient},
    Word{"reject_unknown_sender_domain", Kind::reject_unknown_sender_domain},
    Word{"reject_unknown_address", Kind::reject_unknown_sender_domain},
    Word{"reject_unknown_recipient_domain", Kind::reject_unknown_recipient_domain},
    Word{"reject_unlisted_sender", Kind::reject_unlisted_sender},
    Word{"reject_unlisted_recipient", Kind::reject_unlisted_recipient},
    Word{"check_recipient_maps", Kind::reject_unlisted_recipient},
    Word{"reject_unverified_sender", Kind::reject_unverified_sender},
    Word{"reject_unverified_recipient", Kind::reject_unverified_recipient},
    Word{"reject_sender_login_mismatch", Kind::reject_sender_login_mismatch},
    Word{"reject_authenticated_sender_login_mismatch", Kind::reject_authenticated_sender_login_mismatch},
    Word{"reject_unauthenticated_sender_login_mismatch", Kind::reject_unauthenticated_sender_login_mismatch},
    Word{"reject_known_sender_login_mismatch", Kind::reject_known_sender_login_mismatch},
    Word{"reject_spf_fail", Kind::reject_spf_fail},                        // our own
    Word{"reject_maps_rbl", Kind::reject_maps_rbl},
    Word{"reject_rbl", Kind::reject_rbl_client, Needs::dns_list},
    Word{"reject_rbl_client", Kind::reject_rbl_client, Needs::dns_list},
    Word{"reject_rhsbl_client", Kind::reject_rhsbl, Needs::dns_list, Party::client},
    Word{"reject_rhsbl_reverse_client", Kind::reject_rhsbl, Needs::dns_list, Party::reverse_client},
    Word{"reject_rhsbl_helo", Kind::reject_rhsbl, Needs::dns_list, Party::helo},
    Word{"reject_rhsbl_sender", Kind::reject_rhsbl, Needs::dns_list, Party::sender},
    Word{"reject_rhsbl_recipient", Kind::reject_rhsbl, Needs::dns_list, Party::recipient},
    Word{"check_policy_service", Kind::check_policy_service, Needs::service},
    Word{"check_client_access", Kind::check_client_access, Needs::table},
    Word{"check_reverse_client_hostname_access", Kind::check_reverse_client_hostname_access, Needs::table},
    Word{"check_helo_access", Kind::check_helo_access, Needs::table},
    Word{"check_sender_access", Kind::check_sender_access, Needs::table},
    Word{"check_recipient_access", Kind::check_recipient_access, Needs::table},
    Word{"check_etrn_access", Kind::check_etrn_access, Needs::table},
    Word{"check_ccert_access", Kind::check_ccert_access, Needs::table},
    Word{"check_sasl_access", Kind::check_sasl_access, Needs::table},
    Word{"check_client_mx_access", Kind::check_server_access, Needs::table, Party::client, Servers::mx},
    Word{"check_client_ns_access", Kind::check_server_access, Needs::table, Party::client, Servers::ns},
    Word{"check_client_a_access", Kind::check_server_access, Needs::table, Party::client, Servers::a},
    Word{"check_reverse_client_hostname_mx_access", Kind::check_server_access, Needs::table, Party::reverse_client, Servers::mx},
    Word{"check_reverse_client_hostname_ns_access", Kind::check_server_access, Needs::table, Party::reverse_client, Servers::ns},
    Word{"check_reverse_client_hostname_a_access", Kind::check_server_access, Needs::table, Party::reverse_client, Servers::a},
    Word{"check_helo_mx_access", Kind::check_server_access, Needs::table, Party::helo, Servers::mx},
    Word{"check_helo_ns_access", Kind::check_server_access, Needs::table, Party::helo, Servers::ns},
    Word{"check_helo_a_access", Kind::check_server_access, Needs::table, Party::helo, Servers::a},
    Word{"check_sender_mx_access", Kind::check_server_access, Needs::table, Party::sender, Servers::mx},
    Word{"check_sender_ns_access", Kind::check_server_access, Needs::table, Party::sender, Servers::ns},
    Word{"check_sender_a_access", Kind::check_server_access, Needs::table, Party::sender, Servers::a},
    Word{"check_recipient_mx_access", Kind::check_server_access, Needs::table, Party::recipient, Servers::mx},
    Word{"check_recipient_ns_access", Kind::check_server_access, Needs::table, Party::recipient, Servers::ns},
    Word{"check_recipient_a_access", Kind::check_server_access, Needs::table, Party::recipient, Servers::a},
};

Kind own_table_of(Stage stage)
{
    switch (stage) {
    case Stage::client: return Kind::check_client_access;
    case Stage::helo: return Kind::check_helo_access;
    case Stage::sender: return Kind::check_sender_access;
    case Stage::etrn: return Kind::check_etrn_access;
    default: return Kind::check_recipient_access;
    }
}

class Compiler {
public:
    Compiler(Stage stage, std::string_view parameter, const ClassValue& class_value) : stage_(stage), parameter_(parameter), class_value_(class_value)
    {
    }

    Result<RestrictionList> compile(std::string_view text)
    {
        RestrictionList list;
        const auto pieces = config::split_grouped(text);
        for (std::size_t at = 0; at < pieces.size(); ++at) {
            TRY(auto restriction, one(pieces, at));
            list.push_back(std::move(restriction));
        }
        if (!list.empty() && list.back().kind == Kind::warn_if_reject)
            return Error{fmt::format("{}: warn_if_reject at the end has nothing to warn about", parameter_)};
        return list;
    }

private:
    Result<Restriction> one(const std::vector<std::string_view>& pieces, std::size_t& at)
    {
        const std::string_view piece = pieces[at];
        const std::string lower = to_lower(piece);
        const auto word = std::ranges::find(words, lower, &Word::text);
        if (word != words.end()) {
            Restriction restriction{word->kind, std::string(piece), {}, nullptr, word->party, word->servers, {}};
            if (word->kind == Kind::check_ccert_access && at + 1 < pieces.size() && pieces[at + 1].starts_with('{')) {
                TRY_VOID(certificate_table(restriction, pieces[++at]));
            } else if (word->needs != Needs::nothing) {
                TRY(restriction.argument, argument(piece, word->needs, at + 1 < pieces.size() ? pieces[at + 1] : std::string_view{}));
                ++at;
            }
            return restriction;
        }
        if (const auto value = class_value_(piece))
            return of_class(piece, *value);
        if (piece.find(':') != std::string_view::npos && !piece.starts_with(':'))
            return Restriction{own_table_of(stage_), std::string(piece), std::string(piece), nullptr, {}, {}, {}};
        return Error{fmt::format("{}: unknown smtpd restriction: \"{}\"", parameter_, piece)};
    }

    /// `next` is what stands behind the word, or empty.
    Result<std::string> argument(std::string_view word, Needs needs, std::string_view next) const
    {
        const auto lacks = [&](std::string_view what) { return Error{fmt::format("{}: restriction {} {}", parameter_, word, what)}; };
        switch (needs) {
        case Needs::table:
            if (next.find(':') == std::string_view::npos)
                return lacks("requires a lookup table (type:name) behind it");
            break;
        case Needs::service:
            if (next.find(':') == std::string_view::npos)
                return lacks("must be followed by transport:server");
            if (const auto spec = parse_service(next); !spec)
                return Error{fmt::format("{}: {} {}: {}", parameter_, word, next, spec.error().text())};
            break;
        case Needs::dns_list:
            if (next.empty())
                return lacks("requires domain name argument");
            if (const auto list = DnsList::parse(next); !list)
                return Error{fmt::format("{}: {} {}: {}", parameter_, word, next, list.error().text())};
            break;
        case Needs::number:
            if (const auto number = parse_number(next); !number || *number > longest_sleep)
                return lacks("must be followed by number");
            break;
        case Needs::nothing: break;
        }
        return std::string(next);
    }

    /// "{ type:table, { search_order = cert_fingerprint, pubkey_fingerprint } }"
    Result<void> certificate_table(Restriction& restriction, std::string_view group) const
    {
        const auto inside = [](std::string_view text) { return trim(text.substr(1, text.size() - (text.ends_with('}') ? 2 : 1))); };
        for (const std::string_view piece : config::split_grouped(inside(group))) {
            if (restriction.argument.empty()) {
                TRY(restriction.argument, argument(restriction.word, Needs::table, piece));
                continue;
            }
            const std::string_view setting = piece.starts_with('{') ? inside(piece) : piece;
            const auto equals = setting.find('=');
            if (equals == std::string_view::npos || trim(setting.substr(0, equals)) != "search_order")
                return Error{fmt::format("{}: {}: expected search_order = ... instead of \"{}\"", parameter_, restriction.word, piece)};
            for (const std::string_view key : split(setting.substr(equals + 1), ", \t\r\n")) {
                if (key != "cert_fingerprint" && key != "pubkey_fingerprint")
                    return Error{fmt::format("{}: {}: unknown key \"{}\" in search_order", parameter_, restriction.word, key)};
                restriction.order.emplace_back(key);
            }
        }
        if (restriction.argument.empty()) {
            TRY(restriction.argument, argument(restriction.word, Needs::table, {}));
        }
        return {};
    }

    Result<Restriction> of_class(std::string_view name, const std::string& value)
    {
        if (std::ranges::find(open_, name) != open_.end())
            return Error{fmt::format("{}: restriction class {} contains itself", parameter_, name)};
        open_.emplace_back(name);
        TRY(auto members, compile(value));
        open_.pop_back();
        return Restriction{Kind::restriction_class, std::string(name), {}, std::make_shared<const RestrictionList>(std::move(members)), {}, {}, {}};
    }

    Stage stage_;
    std::string_view parameter_;
    const ClassValue& class_value_;
    std::vector<std::string> open_;
};

// Postfix's rule: a word that ends what is not ours, not made harmless by warn_if_reject, not behind an unconditional permit.
bool guards(const RestrictionList& list)
{
    for (std::size_t at = 0; at < list.size(); ++at) {
        switch (list[at].kind) {
        case Kind::warn_if_reject: ++at; break;
        case Kind::permit: return false;
        case Kind::reject:
        case Kind::defer:
        case Kind::defer_if_permit:
        case Kind::reject_unauth_destination:
        case Kind::defer_unauth_destination: return true;
        case Kind::restriction_class:
            if (guards(*list[at].members))
                return true;
            break;
        default: break;
        }
    }
    return false;
}

}  // namespace

std::string_view parameter_of(Stage stage)
{
    constexpr std::array<std::string_view, 8> names{"smtpd_client_restrictions",      "smtpd_helo_restrictions",      "smtpd_sender_restrictions",
                                                    "smtpd_relay_restrictions",       "smtpd_recipient_restrictions", "smtpd_data_restrictions",
                                                    "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"};
    return names[static_cast<std::size_t>(stage)];
}

bool Restriction::has_table() const
{
    switch (kind) {
    case Kind::check_client_access:
    case Kind::check_reverse_client_hostname_access:
    case Kind::check_helo_access:
    case Kind::check_sender_access:
    case Kind::check_recipient_access:
    case Kind::check_etrn_access:
    case Kind::check_ccert_access:
    case Kind::check_sasl_access:
    case Kind::check_server_access: return true;
    default: return false;
    }
}

Result<RestrictionList> compile(Stage stage, std::string_view parameter, std::string_view text, const ClassValue& class_value)
{
    return Compiler(stage, parameter, class_value).compile(text);
}

const RestrictionList& Lists::of(Stage stage) const
{
    switch (stage) {
    case Stage::client: return client;
    case Stage::helo: return helo;
    case Stage::sender: return sender;
    case Stage::relay: return relay;
    case Stage::recipient: return recipient;
    case Stage::data: return data;
    case Stage::end_of_data: return end_of_data;
    case Stage::etrn: break;
    }
    return etrn;
}

void Lists::each(const std::function<void(const Restriction&)>& seen) const
{
    const std::function<void(const RestrictionList&)> walk = [&](const RestrictionList& list) {
        for (const Restriction& restriction : list) {
            seen(restriction);
            if (restriction.members)
                walk(*restriction.members);
        }
    };
    for (const auto* list : {&client, &helo, &sender, &relay, &recipient, &data, &end_of_data, &etrn})
        walk(*list);
    for (const auto& [name, members] : classes)
        walk(*members);
}

std::optional<std::string> open_relay_problem(const Lists& lists)
{
    if (guards(lists.relay) || guards(lists.recipient))
        return std::nullopt;
    return "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
           "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains";
}

}  // namespace posthorn::receive::policy
