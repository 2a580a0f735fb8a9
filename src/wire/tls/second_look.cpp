#include "tls/second_look.hpp"

#include "base/strings.hpp"
#include "tls/core.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>

namespace posthorn::tls {

namespace {

using Verdict = SecondLook::Verdict;
using Verifying = std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX_free>>;

constexpr std::uint8_t chain_usage = 2;                               // DANE-TA: vouched for by a certificate above

std::uint64_t without_bit(int version)
{
    switch (version) {
    case TLS1_VERSION: return SSL_OP_NO_TLSv1;
    case TLS1_1_VERSION: return SSL_OP_NO_TLSv1_1;
    case TLS1_2_VERSION: return SSL_OP_NO_TLSv1_2;
    case TLS1_3_VERSION: return SSL_OP_NO_TLSv1_3;
    default: return 0;
    }
}

/// The same handshake might have come of it.
std::optional<SecondLook> other_handshake(SSL* ssl, const Shown& shown)
{
    const auto least = SSL_get_min_proto_version(ssl), most = SSL_get_max_proto_version(ssl);
    if (least != 0 && shown.version < least)                          // what came was the highest that both have
        return SecondLook(Verdict::less, fmt::format("{} is all it has in common with us", shown.protocol));
    if ((most != 0 && shown.version > most) || (SSL_get_options(ssl) & without_bit(shown.version)) != 0)
        return SecondLook(Verdict::unknown, fmt::format("{} would not be offered", shown.protocol));
    const STACK_OF(SSL_CIPHER)* ciphers = SSL_get_ciphers(ssl);
    for (int at = 0; at < sk_SSL_CIPHER_num(ciphers); ++at)
        if (shown.cipher == SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, at)))
            return std::nullopt;
    return SecondLook(Verdict::unknown, fmt::format("the cipher {} would not be offered", shown.cipher));
}

/// As the handshake of a client verifies a chain.
long verdict_of(SSL* ssl, X509* leaf, STACK_OF(X509) * chain, bool by_anchors)
{
    const Verifying verifying(X509_STORE_CTX_new());
    if (!verifying || X509_STORE_CTX_init(verifying.get(), SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), leaf, chain) != 1)
        return X509_V_ERR_UNSPECIFIED;
    X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(verifying.get());
    X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(ssl));
    if (by_anchors)
        X509_STORE_CTX_set0_dane(verifying.get(), SSL_get0_dane(ssl));
    X509_STORE_CTX_set_default(verifying.get(), "ssl_server");
    X509_VERIFY_PARAM_set1(param, SSL_get0_param(ssl));
    return X509_verify_cert(verifying.get()) == 1 ? long{X509_V_OK} : long{X509_STORE_CTX_get_error(verifying.get())};
}

}  // namespace

SecondLook look_again(Context& context, const Shown& shown, const ConnectOptions& options, bool certificate)
{
    ERR_clear_error();
    const Ssl trial(SSL_new(context.core().ctx.get()));
    if (!trial)
        return {Verdict::unknown, openssl_reasons()};
    SSL_set_connect_state(trial.get());
    if (const auto ready = set_up(trial.get(), options); !ready)
        return {Verdict::unknown, ready.error().text()};
    if (auto other = other_handshake(trial.get(), shown))
        return *std::move(other);
    if (!certificate)
        return Verdict::fits;
    const CertificateStack chain(sk_X509_new_null());
    for (const std::string& octets : shown.certificates) {
        const auto* at = reinterpret_cast<const unsigned char*>(octets.data());
        if (X509* const one = d2i_X509(nullptr, &at, static_cast<long>(octets.size())); one && sk_X509_push(chain.get(), one) <= 0)
            X509_free(one);
    }
    if (sk_X509_num(chain.get()) == 0)
        return {Verdict::unknown, "no certificate was shown"};
    X509* const leaf = sk_X509_value(chain.get(), 0);
    const bool by_anchors = !options.anchors.empty();
    const long verdict = shown.resumed && !by_anchors ? shown.verdict : verdict_of(trial.get(), leaf, chain.get(), by_anchors);
    SSL_set_verify_result(trial.get(), verdict);
    Facts facts;
    note_peer(trial.get(), leaf, context.core(), options, facts);
    ERR_clear_error();
    const auto refused = refusal(facts, options);
    if (!refused)
        return Verdict::fits;
    const auto of_chain = [](const TlsaRecord& record) { return record.usage == chain_usage; };
    if (shown.resumed && std::ranges::any_of(options.anchors, of_chain))
        return {Verdict::unknown, "a resumed session has no chain"};
    std::string why = refused->evidence().empty() ? refused->what() : fmt::format("{}: {}", refused->what(), refused->evidence());
    if (!options.sni.empty() && !iequals(options.sni, shown.sni))
        why += fmt::format(" (and was not asked for {})", options.sni);
    return {Verdict::less, std::move(why)};
}

}  // namespace posthorn::tls
