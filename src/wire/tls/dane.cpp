#include "tls/core.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

namespace posthorn::tls {

namespace {

constexpr std::uint8_t trust_anchor = 2, domain_issued = 3;
constexpr std::uint8_t whole_certificate = 0, public_key = 1, all_octets = 0;

bool add(SSL* ssl, const TlsaRecord& record)
{
    return SSL_dane_tlsa_add(ssl, record.usage, record.selector, record.matching, reinterpret_cast<const unsigned char*>(record.data.data()),
                             record.data.size()) == 1;
}

}  // namespace

Result<std::vector<DaneDigest>> parse_dane_digests(std::string_view text)
{
    std::vector<DaneDigest> digests;
    for (const std::string_view word : split(text, " ,:\t\r\n")) {
        DaneDigest& one = digests.emplace_back();
        const auto equals = word.find('=');
        one.name = word.substr(0, equals);
        const auto number = equals == word.npos        ? std::nullopt
                            : equals + 1 < word.size() ? parse_number(word.substr(equals + 1))
                                                       : std::optional<std::uint64_t>(0);
        if (number && *number > 0 && *number < 256)
            one.matching = static_cast<std::uint8_t>(*number);
        else if (equals == word.npos && iequals(one.name, "sha256"))
            one.matching = 1;
        else if (equals == word.npos && iequals(one.name, "sha512"))
            one.matching = 2;
        if (one.name.empty() || one.matching == 0)
            return Error{fmt::format("invalid tls_dane_digests: \"{}\"", word), "4.3.5"};
    }
    return digests;
}

Result<void> enable_dane(SSL_CTX* ctx, const std::string& text)
{
    TRY(const auto digests, parse_dane_digests(text));
    if (SSL_CTX_dane_enable(ctx) != 1)
        return Error{fmt::format("cannot enable DANE: {}", openssl_reasons()), "4.3.5"};
    SSL_CTX_dane_set_flags(ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    for (const std::uint8_t known : {std::uint8_t{1}, std::uint8_t{2}})
        SSL_CTX_dane_mtype_set(ctx, nullptr, known, 0);               // only what the administrator names
    auto order = static_cast<std::uint8_t>(digests.size());
    for (const DaneDigest& digest : digests) {
        const EVP_MD* md = EVP_get_digestbyname(digest.name.c_str());
        if (!md || SSL_CTX_dane_mtype_set(ctx, md, digest.matching, order--) != 1) {
            ERR_clear_error();
            return Error{fmt::format("invalid tls_dane_digests: \"{}\"", digest.name), "4.3.5"};
        }
    }
    return {};
}

bool hold_against(SSL* ssl, const std::vector<TlsaRecord>& anchors)
{
    bool any = false;
    if (SSL_dane_enable(ssl, nullptr) > 0)
        for (const TlsaRecord& record : anchors)
            any |= add(ssl, record);
    ERR_clear_error();
    return any;
}

std::optional<int> matched_usage(SSL* ssl)
{
    std::uint8_t usage = 0;
    if (SSL_get0_dane_authority(ssl, nullptr, nullptr) < 0 || SSL_get0_dane_tlsa(ssl, &usage, nullptr, nullptr, nullptr, nullptr) < 0)
        return std::nullopt;
    return usage;
}

std::vector<TlsaRecord> Context::usable(std::vector<TlsaRecord> records) const
{
    const Ssl trial(SSL_new(core_->ctx.get()));
    const bool ready = trial && SSL_dane_enable(trial.get(), nullptr) > 0;
    std::erase_if(records, [&](const TlsaRecord& record) {
        return !ready || (record.usage != trust_anchor && record.usage != domain_issued) || !add(trial.get(), record);
    });
    ERR_clear_error();
    return records;
}

Result<std::vector<TlsaRecord>> trust_anchors(const std::string& pem, const std::string& path)
{
    std::vector<TlsaRecord> anchors;
    const std::string what = fmt::format("cannot load trust anchors from {}", path);
    TRY(const auto blocks, pem_blocks(pem, what));
    for (const auto& [kind, header, octets] : blocks) {
        const auto length = static_cast<long>(octets.size());
        const auto* at = reinterpret_cast<const unsigned char*>(octets.data());
        bool good = true;
        if (kind == "CERTIFICATE" || kind == "X509 CERTIFICATE") {
            good = X509Ptr(d2i_X509(nullptr, &at, length)) != nullptr;
            anchors.emplace_back(trust_anchor, whole_certificate, all_octets, octets);
        } else if (kind == "PUBLIC KEY") {
            good = Key(d2i_PUBKEY(nullptr, &at, length)) != nullptr;
            anchors.emplace_back(trust_anchor, public_key, all_octets, octets);
        }
        if (!good)
            return Error{fmt::format("{}: {}", what, openssl_reasons()), "4.3.5"};
    }
    if (anchors.empty())
        return Error{what + ": neither a certificate nor a public key", "4.3.5"};
    return anchors;
}

}  // namespace posthorn::tls
