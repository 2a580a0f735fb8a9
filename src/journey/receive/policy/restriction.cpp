#include "receive/policy/restriction.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::receive::policy {

namespace {

struct Word {
    std::string_view text;
    Kind kind;
    bool has_table = false;
};

// Words in use, and the older spellings that Postfix still takes.
constexpr std::array words{
    Word{"permit", Kind::permit},
    Word{"reject", Kind::reject},
    Word{"defer", Kind::defer},
    Word{"warn_if_reject", Kind::warn_if_reject},
    Word{"defer_if_permit", Kind::defer_if_permit},
    Word{"defer_if_reject", Kind::defer_if_reject},
    Word{"permit_mynetworks", Kind::permit_mynetworks},
    Word{"permit_sasl_authenticated", Kind::permit_sasl_authenticated},
    Word{"permit_tls_clientcerts", Kind::permit_tls_clientcerts},
    Word{"permit_tls_all_clientcerts", Kind::permit_tls_clientcerts},
    Word{"permit_auth_destination", Kind::permit_auth_destination},
    Word{"permit_inet_interfaces", Kind::permit_inet_interfaces},
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
    Word{"check_client_access", Kind::check_client_access, true},
    Word{"check_reverse_client_hostname_access", Kind::check_reverse_client_hostname_access, true},
    Word{"check_helo_access", Kind::check_helo_access, true},
    Word{"check_sender_access", Kind::check_sender_access, true},
    Word{"check_recipient_access", Kind::check_recipient_access, true},
    Word{"check_etrn_access", Kind::check_etrn_access, true},
};

// Known to Postfix, not served yet: refused by name, never passed over.
constexpr std::array<std::string_view, 31> future_words{"check_policy_service",
                                                        "check_ccert_access",
                                                        "check_sasl_access",
                                                        "check_client_mx_access",
                                                        "check_client_ns_access",
                                                        "check_client_a_access",
                                                        "check_reverse_client_hostname_mx_access",
                                                        "check_reverse_client_hostname_ns_access",
                                                        "check_reverse_client_hostname_a_access",
                                                        "check_helo_mx_access",
                                                        "check_helo_ns_access",
                                                        "check_helo_a_access",
                                                        "check_sender_mx_access",
                                                        "check_sender_ns_access",
                                                        "check_sender_a_access",
                                                        "check_recipient_mx_access",
                                                        "check_recipient_ns_access",
                                                        "check_recipient_a_access",
                                                        "permit_mx_backup",
                                                        "permit_dnswl_client",
                                                        "permit_rhswl_client",
                                                        "reject_rbl_client",
                                                        "reject_rhsbl_client",
                                                        "reject_rhsbl_reverse_client",
                                                        "reject_rhsbl_helo",
                                                        "reject_rhsbl_sender",
                                                        "reject_rhsbl_recipient",
                                                        "reject_sender_login_mismatch",
                                                        "reject_authenticated_sender_login_mismatch",
                                                        "reject_unauthenticated_sender_login_mismatch",
                                                        "reject_known_sender_login_mismatch"};

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
            Restriction restriction{word->kind, std::string(piece), {}, nullptr};
            if (word->has_table) {
                if (at + 1 == pieces.size() || pieces[at + 1].find(':') == std::string_view::npos)
                    return Error{fmt::format("{}: restriction {} requires a lookup table (type:name) behind it", parameter_, piece)};
                restriction.table = pieces[++at];
            }
            return restriction;
        }
        if (is_future_word(lower))
            return Error{fmt::format("{}: restriction {} is not supported yet", parameter_, piece)};
        if (const auto value = class_value_(piece))
            return of_class(piece, *value);
        if (piece.find(':') != std::string_view::npos && !piece.starts_with(':'))
            return Restriction{own_table_of(stage_), std::string(piece), std::string(piece), nullptr};
        return Error{fmt::format("{}: unknown smtpd restriction: \"{}\"", parameter_, piece)};
    }

    Result<Restriction> of_class(std::string_view name, const std::string& value)
    {
        if (std::ranges::find(open_, name) != open_.end())
            return Error{fmt::format("{}: restriction class {} contains itself", parameter_, name)};
        open_.emplace_back(name);
        TRY(auto members, compile(value));
        open_.pop_back();
        return Restriction{Kind::restriction_class, std::string(name), {}, std::make_shared<const RestrictionList>(std::move(members))};
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

bool is_future_word(std::string_view word) { return std::ranges::find(future_words, word) != future_words.end(); }

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

std::optional<std::string> open_relay_problem(const Lists& lists)
{
    if (guards(lists.relay) || guards(lists.recipient))
        return std::nullopt;
    return "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
           "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains";
}

}  // namespace posthorn::receive::policy
