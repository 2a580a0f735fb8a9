// tls/options.hpp: what a side of TLS wants, in Postfix's words, and what those words mean.
// Protocols  "!SSLv3, !TLSv1", "TLSv1.2 TLSv1.3", ">=TLSv1.2, <=TLSv1.3": names alone mean only these, "!" excludes, ">=" and "<="
//            bound; separated by space, comma or colon; letter case does not matter.
// Ciphers    a grade (high, medium, null; the old low and export mean medium) and exclusions in OpenSSL's words.
// Files      PEM. Each chain file holds key, certificate, issuers (several sets may follow each other); a certificate file may go
//            with a key file of its own.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {

struct CertificateFiles {
    CertificateFiles(std::string certificate_file, std::string private_key_file)
        : certificate(std::move(certificate_file)), key(std::move(private_key_file))
    {
    }
    std::string certificate, key;
};

struct Options {
    std::string config_file = "default", config_name;  // OpenSSL's own configuration, of the whole process: default, none, or a path
    std::vector<std::string> chain_files;
    std::vector<CertificateFiles> certificates;  // only where there are no chain files
    std::string ca_file, ca_path;
    bool default_ca = false;  // tls_append_default_CA
    std::string protocols = ">=TLSv1";
    std::string ciphers = "medium";
    std::vector<std::string> exclude_ciphers;
    std::string high_cipherlist = "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH";
    std::string medium_cipherlist = "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH";
    std::string null_cipherlist = "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL";
    std::string groups = "X25519 X448 prime256v1 secp384r1 secp521r1";  // unknown ones are left out
    std::string ffdhe_groups = "ffdhe2048 ffdhe3072";
    bool server_chooses = false;  // tls_preempt_cipherlist
    std::string ssl_options, disable_workarounds;  // OpenSSL's words, or its bits as a hexadecimal number
    bool ask_certificate = false;  // of clients; what is thought of it stands in Facts
    bool trust_server_certificates = false;  // of clients: a certificate that is for servers alone will do
    int verify_depth = 9;
    std::string fingerprint_digest = "sha256";
    bool tickets = true;
    std::string dane_digests = "sha512 sha256";  // the preferred first; "name=N": of matching type N (RFC 6698 7.4)
    bool keep_chain = false;  // Facts carry the peer's certificates
    std::chrono::seconds session_lifetime{3600};
    int handshakes_per_turn = 4;  // steps of handshakes in one turn of the loop
};

/// How files are read: directly, or from descriptors that the master's broker passed.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;
Result<std::string> read_file(const std::string& path);

/// OpenSSL's version numbers; zero: no bound. `without` are SSL_OP_NO_... bits.
struct Protocols {
    int least = 0, most = 0;
    std::uint64_t without = 0;
};
/// Errors: `invalid TLS protocol list "..."`.
Result<Protocols> parse_protocols(std::string_view text);

/// OpenSSL's options and workarounds as bits: SSL_OP_ALL less `disable_workarounds`, and `ssl_options`. Words as OpenSSL has them, without SSL_OP_.
/// Errors: `tls_ssl_options: unknown name "..."`.
Result<std::uint64_t> option_bits(const Options& options);

/// OpenSSL's list for the grade with the exclusions. Errors: `invalid TLS cipher grade: "..."`.
Result<std::string> cipher_list(const Options& options);

/// RFC 9525: does a certificate's DNS-ID fit the host? Letter case does not matter; "*" stands for exactly one whole leftmost label,
/// never for a top level ("*.test") or an address. `several_labels`: the "*" may stand for more of them (Postfix's rule).
bool name_matches(std::string_view dns_id, std::string_view host, bool several_labels = false);
/// The same for what a policy asks for: ".example.test" is any name below that domain, "*.example.test" among them.
bool reference_fits(std::string_view dns_id, std::string_view reference, bool several_labels = false);
/// "AA:BB:01" and "aabb01" are the same.
bool same_fingerprint(std::string_view a, std::string_view b);

}  // namespace posthorn::tls
