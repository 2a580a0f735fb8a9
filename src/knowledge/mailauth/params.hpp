// mailauth/params.hpp: the parameters of DKIM signatures, and of what is checked of received mail; all our own.
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

inline constexpr Param<std::string> arc_sign_selector{
    .name = "arc_sign_selector",
    .initial = "",
    .doc =
        "The selector of the key that seals what strangers send, after mailauth_checks has looked at it: whoever gets it from here, by an alias or a list, can see what it "
        "had proved. arc is checked then as well. The key is SELECTOR._domainkey.DOMAIN of dkim_key_maps. Clients whose mail is signed (dkim_sign_clients, where "
        "dkim_sign_maps is not empty) are no strangers. Empty: nothing is sealed.",
    .source = "RFC 8617 5.1",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> arc_sign_domain{.name = "arc_sign_domain",
                                                    .initial = "$mydomain",
                                                    .doc = "The domain in whose name mail is sealed: d= of ARC-Seal and ARC-Message-Signature.",
                                                    .source = "RFC 8617 4.1",
                                                    .since = "posthorn 0.1",
                                                    .own = true};

inline constexpr Param<std::string> mailauth_checks{
    .name = "mailauth_checks",
    .initial = "",
    .doc =
        "What smtpd checks of the mail of strangers: dkim (signatures), spf (may the client send mail of this sender?), dmarc (both, and whether they speak for the author), arc (the seals of those who passed it on). What was found stands in an "
        "Authentication-Results field in front of the message, before Milters see it; fields that claim to be of mailauth_service_id and are not go. Empty: "
        "nothing is checked. In a session with smtpd_proxy_filter, and where receive_override_options has no_milters, nothing is checked either.",
    .source = "RFC 6376, 7208, 7489, 8601, 8617",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> mailauth_service_id{
    .name = "mailauth_service_id",
    .initial = "$myhostname",
    .least = 1,
    .doc =
        "The name that Authentication-Results fields of this host, or of all hosts of a site that trust each other, begin with. From strangers such fields go.",
    .source = "RFC 8601 2.5, 5",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> mailauth_exempt_clients{
    .name = "mailauth_exempt_clients",
    .initial = "permit_inet_interfaces, permit_mynetworks, permit_sasl_authenticated",
    .doc = "Whose mail is not checked, and keeps the Authentication-Results fields that it has, in the words of local_header_rewrite_clients.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::chrono::seconds> mailauth_timeout{
    .name = "mailauth_timeout",
    .initial = "10s",
    .least = std::chrono::seconds{1},
    .doc =
        "How long the DNS may take for all questions about one message together, from when its header is there; they are asked while the body comes in. What "
        "is not answered by then is temperror.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::int64_t> dkim_verify_limit{.name = "dkim_verify_limit",
                                                       .initial = "10",
                                                       .least = 1,
                                                       .most = 100,
                                                       .doc =
                                                           "How many DKIM signatures of a message are looked at, those of the author's domain first.",
                                                       .source = "RFC 6376 6.1",
                                                       .since = "posthorn 0.1",
                                                       .own = true};
inline constexpr Param<std::string> mailauth_trusted_sealers{
    .name = "mailauth_trusted_sealers",
    .initial = "",
    .doc =
        "Domains (.DOMAIN: those below it) whose word is taken for mail that they changed as they passed it on, mailing lists and forwarders: where DMARC fails, "
        "the chain of ARC seals holds, and one of these says in it that DMARC had passed, as has everybody behind them, nothing is asked for by the author's "
        "domain. With dmarc in mailauth_checks, arc is checked then.",
    .source = "RFC 8617 5.2, 7.2.1, RFC 7489 6.7",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<bool> dmarc_reject{
    .name = "dmarc_reject",
    .initial = "no",
    .doc = "Is mail refused (550 5.7.1) whose author's domain asks for that by DMARC (p=reject)? Never for what cannot be known now.",
    .source = "RFC 7489 6.3, 10.3",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<std::string> dmarc_quarantine{
    .name = "dmarc_quarantine",
    .initial = "none",
    .least = 1,
    .doc =
        "What happens to mail whose author's domain asks by DMARC that it be looked at with suspicion (p=quarantine, and p=reject where dmarc_reject is no): none, "
        "or hold: it goes to the hold queue.",
    .source = "RFC 7489 6.3",
    .since = "posthorn 0.1",
    .own = true};

inline constexpr ParamInfo params[] = {
    dkim_sign_maps,       dkim_key_maps,           dkim_sign_clients, dkim_canonicalization, dkim_sign_fields,
    dkim_oversign_fields, dkim_signature_lifetime, mailauth_checks,   mailauth_service_id,   mailauth_exempt_clients,
    mailauth_timeout,     dkim_verify_limit,       dmarc_reject,      dmarc_quarantine,      mailauth_trusted_sealers,
    arc_sign_selector,    arc_sign_domain,
};

}  // namespace posthorn::mailauth
