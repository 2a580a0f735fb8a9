// tls/params.hpp: what smtp_tls_*, smtpd_tls_* and tls_* mean, and Options made of them.            postconf(5), TLS_README
// Levels (smtp_tls_security_level and its like) belong to the stations; here are the files, protocols, ciphers and caches.
// A "smtp_..." parameter read as "lmtp" is its LMTP twin.
#pragma once

#include "config/param.hpp"
#include "config/snapshot.hpp"
#include "tls/options.hpp"

#include <array>

namespace posthorn::tls {

using config::Param;
using config::ParamInfo;
using Text = Param<std::string>;

inline constexpr Text smtp_tls_chain_files{
    .name = "smtp_tls_chain_files",
    .initial = "",
    .doc = "PEM files with the client's keys, certificates and issuers, in this order; several sets may follow each other."};
inline constexpr Text smtp_tls_cert_file{
    .name = "smtp_tls_cert_file", .initial = "", .doc = "PEM file with the client's RSA certificate and issuers."};
inline constexpr Text smtp_tls_key_file{.name = "smtp_tls_key_file", .initial = "$smtp_tls_cert_file", .doc = "PEM file with its private key."};
inline constexpr Text smtp_tls_eccert_file{
    .name = "smtp_tls_eccert_file", .initial = "", .doc = "PEM file with the client's ECDSA certificate and issuers."};
inline constexpr Text smtp_tls_eckey_file{.name = "smtp_tls_eckey_file", .initial = "$smtp_tls_eccert_file", .doc = "PEM file with its private key."};
inline constexpr Text smtp_tls_CAfile{.name = "smtp_tls_CAfile", .initial = "", .doc = "PEM file with the authorities that may vouch for servers."};
inline constexpr Text smtp_tls_CApath{.name = "smtp_tls_CApath", .initial = "", .doc = "Folder with such authorities, by hash (openssl rehash)."};
inline constexpr Text smtp_tls_protocols{.name = "smtp_tls_protocols", .initial = ">=TLSv1", .doc = "TLS versions of opportunistic sessions."};
inline constexpr Text smtp_tls_mandatory_protocols{
    .name = "smtp_tls_mandatory_protocols", .initial = ">=TLSv1", .doc = "TLS versions where TLS must be."};
inline constexpr Text smtp_tls_ciphers{
    .name = "smtp_tls_ciphers", .initial = "medium", .least = 1, .doc = "The least cipher grade of opportunistic sessions."};
inline constexpr Text smtp_tls_mandatory_ciphers{
    .name = "smtp_tls_mandatory_ciphers", .initial = "medium", .least = 1, .doc = "The least cipher grade where TLS must be."};
inline constexpr Text smtp_tls_exclude_ciphers{.name = "smtp_tls_exclude_ciphers", .initial = "", .doc = "Ciphers that are never used."};
inline constexpr Text smtp_tls_mandatory_exclude_ciphers{
    .name = "smtp_tls_mandatory_exclude_ciphers", .initial = "", .doc = "More such, where TLS must be."};
inline constexpr Param<int> smtp_tls_scert_verifydepth{
    .name = "smtp_tls_scert_verifydepth", .initial = "9", .doc = "How many issuers a server's certificate may have."};
inline constexpr Text smtp_tls_fingerprint_digest{.name = "smtp_tls_fingerprint_digest",
                                                  .initial = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
                                                  .least = 1,
                                                  .doc = "The digest that makes fingerprints of servers' certificates."};
inline constexpr Text smtp_tls_session_cache_database{
    .name = "smtp_tls_session_cache_database",
    .initial = "",
    .doc = "Sessions are kept for resumption where this is set; the table's type and file do not matter here."};
inline constexpr Param<std::chrono::seconds> smtp_tls_session_cache_timeout{
    .name = "smtp_tls_session_cache_timeout", .initial = "3600s", .doc = "How long a session may be resumed."};
inline constexpr Text smtp_tls_loglevel{.name = "smtp_tls_loglevel", .initial = "0", .doc = "1: a line per TLS handshake; 2: also its steps."};
inline constexpr Text smtp_tls_servername{
    .name = "smtp_tls_servername",
    .initial = "",
    .doc = "The name sent as SNI: a name, hostname, nexthop; empty: none. With DANE it is the name of the TLSA records."};

inline constexpr Text smtpd_tls_chain_files{
    .name = "smtpd_tls_chain_files",
    .initial = "",
    .doc = "PEM files with the server's keys, certificates and issuers, in this order; several sets may follow each other."};
inline constexpr Text smtpd_tls_cert_file{
    .name = "smtpd_tls_cert_file", .initial = "", .doc = "PEM file with the server's RSA certificate and issuers."};
inline constexpr Text smtpd_tls_key_file{.name = "smtpd_tls_key_file", .initial = "$smtpd_tls_cert_file", .doc = "PEM file with its private key."};
inline constexpr Text smtpd_tls_eccert_file{
    .name = "smtpd_tls_eccert_file", .initial = "", .doc = "PEM file with the server's ECDSA certificate and issuers."};
inline constexpr Text smtpd_tls_eckey_file{
    .name = "smtpd_tls_eckey_file", .initial = "$smtpd_tls_eccert_file", .doc = "PEM file with its private key."};
inline constexpr Text smtpd_tls_CAfile{.name = "smtpd_tls_CAfile", .initial = "", .doc = "PEM file with the authorities that may vouch for clients."};
inline constexpr Text smtpd_tls_CApath{.name = "smtpd_tls_CApath", .initial = "", .doc = "Folder with such authorities, by hash (openssl rehash)."};
inline constexpr Text smtpd_tls_protocols{.name = "smtpd_tls_protocols", .initial = ">=TLSv1", .doc = "TLS versions of opportunistic sessions."};
inline constexpr Text smtpd_tls_mandatory_protocols{
    .name = "smtpd_tls_mandatory_protocols", .initial = ">=TLSv1", .doc = "TLS versions where TLS must be."};
inline constexpr Text smtpd_tls_ciphers{
    .name = "smtpd_tls_ciphers", .initial = "medium", .least = 1, .doc = "The least cipher grade of opportunistic sessions."};
inline constexpr Text smtpd_tls_mandatory_ciphers{
    .name = "smtpd_tls_mandatory_ciphers", .initial = "medium", .least = 1, .doc = "The least cipher grade where TLS must be."};
inline constexpr Text smtpd_tls_exclude_ciphers{.name = "smtpd_tls_exclude_ciphers", .initial = "", .doc = "Ciphers that are never used."};
inline constexpr Text smtpd_tls_mandatory_exclude_ciphers{
    .name = "smtpd_tls_mandatory_exclude_ciphers", .initial = "", .doc = "More such, where TLS must be."};
inline constexpr Param<int> smtpd_tls_ccert_verifydepth{
    .name = "smtpd_tls_ccert_verifydepth", .initial = "9", .doc = "How many issuers a client's certificate may have."};
inline constexpr Text smtpd_tls_fingerprint_digest{.name = "smtpd_tls_fingerprint_digest",
                                                   .initial = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
                                                   .least = 1,
                                                   .doc = "The digest that makes fingerprints of clients' certificates."};
inline constexpr Param<bool> smtpd_tls_ask_ccert{.name = "smtpd_tls_ask_ccert", .initial = "no", .doc = "Ask clients for a certificate."};
inline constexpr Param<bool> tls_trust_server_ccerts{
    .name = "tls_trust_server_ccerts",
    .initial = "no",
    .doc = "Trust a client's certificate that is for servers alone, as public authorities give them, where its chain is right."};
inline constexpr Param<bool> smtpd_tls_req_ccert{
    .name = "smtpd_tls_req_ccert",
    .initial = "no",
    .doc = "Demand of clients, where TLS must be, a certificate that leads to an authority of smtpd_tls_CAfile or smtpd_tls_CApath."};
inline constexpr Param<std::chrono::seconds> smtpd_tls_session_cache_timeout{
    .name = "smtpd_tls_session_cache_timeout", .initial = "3600s", .doc = "How long a session may be resumed; zero: never."};
inline constexpr Text smtpd_tls_loglevel{.name = "smtpd_tls_loglevel", .initial = "0", .doc = "1: a line per TLS handshake; 2: also its steps."};

inline constexpr Text tls_config_file{
    .name = "tls_config_file",
    .initial = "default",
    .doc =
        "OpenSSL's own settings, before those of other parameters: default, the system's file (what is wrong in it is passed over); none; or a file, "
        "which must have settings for tls_config_name. Read when a service starts."};
inline constexpr Text tls_config_name{
    .name = "tls_config_name", .initial = "", .doc = "The application name whose settings of that file count; empty: openssl_conf."};
inline constexpr Param<bool> tls_append_default_CA{.name = "tls_append_default_CA", .initial = "no", .doc = "Add the system's authorities."};
inline constexpr Param<bool> tls_preempt_cipherlist{
    .name = "tls_preempt_cipherlist", .initial = "no", .doc = "The server's order of ciphers counts, not the client's."};
inline constexpr Text tls_ssl_options{
    .name = "tls_ssl_options", .initial = "", .doc = "OpenSSL options to turn on: names without SSL_OP_, or bits as a hexadecimal number."};
inline constexpr Text tls_disable_workarounds{
    .name = "tls_disable_workarounds",
    .initial = "",
    .doc = "OpenSSL's workarounds for the faults of others to turn off: names without SSL_OP_, or bits as a hexadecimal number."};
inline constexpr Text tls_dane_digests{
    .name = "tls_dane_digests",
    .initial = "sha512 sha256",
    .least = 1,
    .doc = "Digests of TLSA records that count, the preferred first; of several for the same thing only the first. name=N: matching type N.",
    .source = "RFC 7671 9"};
inline constexpr Param<bool> tls_wildcard_matches_multiple_labels{
    .name = "tls_wildcard_matches_multiple_labels",
    .initial = "yes",
    .doc = "The wildcard of a server's certificate, *.example.com, stands for several labels too."};
inline constexpr Text tls_high_cipherlist{.name = "tls_high_cipherlist",
                                          .initial = "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH",
                                          .least = 1,
                                          .doc = "What the grade high means to OpenSSL."};
inline constexpr Text tls_medium_cipherlist{.name = "tls_medium_cipherlist",
                                            .initial =
                                                "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH",
                                            .least = 1,
                                            .doc = "What the grade medium means to OpenSSL."};
inline constexpr Text tls_null_cipherlist{.name = "tls_null_cipherlist",
                                          .initial = "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL",
                                          .least = 1,
                                          .doc = "What the grade null means to OpenSSL: no encryption."};
inline constexpr Text tls_eecdh_auto_curves{.name = "tls_eecdh_auto_curves",
                                            .initial = "X25519 X448 prime256v1 secp384r1 secp521r1",
                                            .doc = "Curves for key exchange, the preferred first; those this OpenSSL does not know are left out."};
inline constexpr Text tls_ffdhe_auto_groups{
    .name = "tls_ffdhe_auto_groups", .initial = "ffdhe2048 ffdhe3072", .doc = "Finite-field groups for key exchange."};

inline constexpr std::array<ParamInfo, 52> params{tls_config_file,
                                                  tls_config_name,
                                                  smtp_tls_chain_files,
                                                  smtp_tls_cert_file,
                                                  smtp_tls_key_file,
                                                  smtp_tls_eccert_file,
                                                  smtp_tls_eckey_file,
                                                  smtp_tls_CAfile,
                                                  smtp_tls_CApath,
                                                  smtp_tls_protocols,
                                                  smtp_tls_mandatory_protocols,
                                                  smtp_tls_ciphers,
                                                  smtp_tls_mandatory_ciphers,
                                                  smtp_tls_exclude_ciphers,
                                                  smtp_tls_mandatory_exclude_ciphers,
                                                  smtp_tls_scert_verifydepth,
                                                  smtp_tls_fingerprint_digest,
                                                  smtp_tls_session_cache_database,
                                                  smtp_tls_session_cache_timeout,
                                                  smtp_tls_loglevel,
                                                  smtp_tls_servername,
                                                  smtpd_tls_chain_files,
                                                  smtpd_tls_cert_file,
                                                  smtpd_tls_key_file,
                                                  smtpd_tls_eccert_file,
                                                  smtpd_tls_eckey_file,
                                                  smtpd_tls_CAfile,
                                                  smtpd_tls_CApath,
                                                  smtpd_tls_protocols,
                                                  smtpd_tls_mandatory_protocols,
                                                  smtpd_tls_ciphers,
                                                  smtpd_tls_mandatory_ciphers,
                                                  smtpd_tls_exclude_ciphers,
                                                  smtpd_tls_mandatory_exclude_ciphers,
                                                  smtpd_tls_ccert_verifydepth,
                                                  smtpd_tls_fingerprint_digest,
                                                  smtpd_tls_ask_ccert,
                                                  smtpd_tls_req_ccert,
                                                  tls_trust_server_ccerts,
                                                  smtpd_tls_session_cache_timeout,
                                                  smtpd_tls_loglevel,
                                                  tls_append_default_CA,
                                                  tls_preempt_cipherlist,
                                                  tls_ssl_options,
                                                  tls_disable_workarounds,
                                                  tls_dane_digests,
                                                  tls_wildcard_matches_multiple_labels,
                                                  tls_high_cipherlist,
                                                  tls_medium_cipherlist,
                                                  tls_null_cipherlist,
                                                  tls_eecdh_auto_curves,
                                                  tls_ffdhe_auto_groups};

/// `mandatory`: the level is encrypt or above; `as` "smtp" or "lmtp". "none" as a file name means no file.
Options client_options(const config::Snapshot& config, bool mandatory, std::string_view as = "smtp");
Options server_options(const config::Snapshot& config, bool mandatory);
/// The level itself decides about the line; anything that is no number counts as 0.
int log_level(std::string_view text);

}  // namespace posthorn::tls
