// mailauth/params.hpp: the parameters of DKIM signatures, all our own.
#pragma once

#include "config/param.hpp"

namespace posthorn::mailauth {

using config::Param;
using config::ParamInfo;

inline constexpr Param<std::string> dkim_sign_maps{
    .name = "dkim_sign_maps",
    .initial = "",
    .doc =
        "Tables from the author of a message (user@domain, domain, .parent-domain; the first that is there) to the selectors of the keys that it is "
        "signed with: SELECTOR or DOMAIN:SELECTOR, several for several signatures, none for no signature.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dkim_key_maps{
    .name = "dkim_key_maps",
    .initial = "",
    .doc = "Tables from SELECTOR._domainkey.DOMAIN to the file of its private key, made by postmap -F. Only resolve is given what they hold.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dkim_sign_clients{
    .name = "dkim_sign_clients",
    .initial = "permit_inet_interfaces, permit_mynetworks, permit_sasl_authenticated",
    .doc = "Whose mail is signed, in the words of local_header_rewrite_clients; what the sendmail command submits always is. "
           "receive_override_options = no_milters leaves signatures out as well.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dkim_canonicalization{
    .name = "dkim_canonicalization",
    .initial = "relaxed/relaxed",
    .least = 1,
    .doc = "How header and body are made equal before they are hashed: relaxed or simple, for each.",
    .source = "RFC 6376 3.4",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dkim_sign_fields{
    .name = "dkim_sign_fields",
    .initial = "From, Sender, Reply-To, To, Cc, Subject, Date, Message-ID, In-Reply-To, References, MIME-Version, Content-Type, "
               "Content-Transfer-Encoding, Content-ID, Content-Description, Resent-From, Resent-Sender, Resent-To, Resent-Cc, Resent-Date, "
               "Resent-Message-ID, List-Id, List-Help, List-Unsubscribe, List-Unsubscribe-Post, List-Subscribe, List-Post, List-Owner, List-Archive",
    .least = 1,
    .doc = "The fields that a signature covers, each as often as it is there. From is always one of them.",
    .source = "RFC 6376 5.4.1",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dkim_oversign_fields{
    .name = "dkim_oversign_fields",
    .initial = "From",
    .doc = "Fields that a signature covers once more than they are there: one that is added on the way breaks it.",
    .source = "RFC 6376 8.15",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::chrono::seconds> dkim_signature_lifetime{.name = "dkim_signature_lifetime",
                                                                     .initial = "0s",
                                                                     .doc = "How long a signature is good (x=); 0: for ever.",
                                                                     .source = "RFC 6376 3.5",
                                                                     .since = "posthorn 0.1",
                                                                     .own = true};

inline constexpr ParamInfo params[] = {
    dkim_sign_maps, dkim_key_maps, dkim_sign_clients, dkim_canonicalization, dkim_sign_fields, dkim_oversign_fields, dkim_signature_lifetime,
};

}  // namespace posthorn::mailauth
