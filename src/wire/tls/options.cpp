#include "tls/options.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>

namespace posthorn::tls {

namespace {

struct Version {
    std::string_view name;
    int number;
    std::uint64_t off;
};
constexpr std::array versions{Version{"SSLv2", 0, 0},
                              Version{"SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3},
                              Version{"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
                              Version{"TLSv1.0", TLS1_VERSION, SSL_OP_NO_TLSv1},
                              Version{"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
                              Version{"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
                              Version{"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3}};

struct Bits {
    std::string_view name;
    std::uint64_t bits;
};
/// For what peers got wrong; those that OpenSSL knows no more are no bits.
constexpr Bits workarounds[] = {{"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG},
                                {"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
                                {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
                                {"SAFARI_ECDHE_ECDSA_BUG", SSL_OP_SAFARI_ECDHE_ECDSA_BUG},
                                {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
                                {"MICROSOFT_BIG_SSLV3_BUFFER", 0},
                                {"MICROSOFT_SESS_ID_BUG", 0},
                                {"MSIE_SSLV2_RSA_PADDING", 0},
                                {"NETSCAPE_CHALLENGE_BUG", 0},
                                {"NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0},
                                {"SSLEAY_080_CLIENT_DH_BUG", 0},
                                {"SSLREF2_REUSE_CERT_TYPE_BUG", 0},
                                {"TLS_BLOCK_PADDING_BUG", 0},
                                {"TLS_D5_BUG", 0},
                                {"TLS_ROLLBACK_BUG", SSL_OP_TLS_ROLLBACK_BUG}};
/// ENABLE_KTLS: our streams are none that the kernel could encrypt.
constexpr Bits ssl_options[] = {{"ENABLE_KTLS", 0},
                                {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
                                {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
                                {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
                                {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
                                {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
                                {"NO_TICKET", SSL_OP_NO_TICKET},
                                {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA}};

Result<std::uint64_t> bits_of(std::string_view parameter, std::string_view text, std::span<const Bits> known)
{
    std::uint64_t all = 0;
    for (const std::string_view word : split(text, " \t\r\n,:")) {
        const auto at = std::ranges::find_if(known, [&](const Bits& one) { return iequals(one.name, word); });
        if (at != known.end()) {
            all |= at->bits;
            continue;
        }
        std::uint64_t number = 0;
        const bool hexadecimal = istarts_with(word, "0x");
        const char* const last = word.data() + word.size();
        if (const auto end = std::from_chars(word.data() + (hexadecimal ? 2 : 0), last, number, 16);
            !hexadecimal || end.ec != std::errc{} || end.ptr != last)
            return Error{fmt::format("{}: unknown name \"{}\"", parameter, printable(word)), "4.3.5"};
        all |= number;
    }
    return all;
}

const Version* version_of(std::string_view name)
{
    for (const Version& version : versions)
        if (iequals(version.name, name))
            return &version;
    return nullptr;
}

}  // namespace

Result<std::string> read_file(const std::string& path)
{
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        return system_error("open " + path, errno ? errno : EIO);
    return std::move(text).str();
}

Result<Protocols> parse_protocols(std::string_view text)
{
    Protocols protocols;
    std::uint64_t only = 0;
    for (std::string_view word : split(text, " \t\r\n,:")) {
        const bool exclude = word.starts_with('!'), least = word.starts_with(">="), most = word.starts_with("<=");
        word.remove_prefix(exclude ? 1 : least || most ? 2 : 0);
        const Version* version = version_of(word);
        if (!version || ((least || most) && version->number == 0))
            return Error{fmt::format("invalid TLS protocol list \"{}\"", text)};
        if (exclude)
            protocols.without |= version->off;
        else if (least)
            protocols.least = version->number;
        else if (most)
            protocols.most = version->number;
        else
            only |= version->off;
    }
    if (only != 0)
        for (const Version& version : versions)
            if (!(only & version.off))
                protocols.without |= version.off;
    bool any = false;
    for (const Version& version : versions)
        any |= version.number != 0 && !(protocols.without & version.off) && version.number >= protocols.least &&
               (protocols.most == 0 || version.number <= protocols.most);
    if (!any)
        return Error{fmt::format("invalid TLS protocol list \"{}\"", text)};
    return protocols;
}

Result<std::uint64_t> option_bits(const Options& options)
{
    TRY(const std::uint64_t off, bits_of("tls_disable_workarounds", options.disable_workarounds, workarounds));
    TRY(const std::uint64_t on, bits_of("tls_ssl_options", options.ssl_options, ssl_options));
    return (SSL_OP_ALL & ~off) | on;
}

Result<std::string> cipher_list(const Options& options)
{
    std::string list;
    if (iequals(options.ciphers, "high"))
        list = options.high_cipherlist;
    else if (iequals(options.ciphers, "medium") || iequals(options.ciphers, "low") || iequals(options.ciphers, "export"))
        list = options.medium_cipherlist;
    else if (iequals(options.ciphers, "null"))
        list = options.null_cipherlist;
    else
        return Error{fmt::format("invalid TLS cipher grade: \"{}\"", options.ciphers)};
    for (const std::string& words : options.exclude_ciphers)
        for (const std::string_view word : split(words, " \t\r\n,:")) {
            if (word.find_first_of("!+-@") == 0)
                return Error{fmt::format("invalid TLS cipher exclusion: \"{}\"", word)};
            list += fmt::format(":!{}", word);
        }
    return list;
}

namespace {

std::string_view bare(std::string_view name)
{
    if (name.ends_with('.'))
        name.remove_suffix(1);
    return name;
}

}  // namespace

bool name_matches(std::string_view dns_id, std::string_view host, bool several_labels)
{
    dns_id = bare(dns_id);
    host = bare(host);
    if (dns_id.empty() || host.empty() || dns_id.find('\0') != dns_id.npos)
        return false;
    if (!dns_id.starts_with("*."))
        return dns_id.find('*') == dns_id.npos && iequals(dns_id, host);
    const std::string_view parent = dns_id.substr(2);
    if (parent.find('*') != parent.npos || parent.find('.') == parent.npos || host.size() <= parent.size() + 1)
        return false;
    const std::string_view labels = host.substr(0, host.size() - parent.size() - 1);
    return host[labels.size()] == '.' && iequals(host.substr(labels.size() + 1), parent) && labels.front() != '.' &&
           (several_labels || labels.find('.') == labels.npos);
}

bool reference_fits(std::string_view dns_id, std::string_view reference, bool several_labels)
{
    if (!reference.starts_with('.'))
        return name_matches(dns_id, reference, several_labels);
    dns_id = bare(dns_id);
    reference = bare(reference);
    if (reference.size() < 2 || dns_id.find('\0') != dns_id.npos || dns_id.size() <= reference.size())
        return false;
    // A "*" is a name of its own only as the whole first label.
    if (const auto star = dns_id.rfind('*'); star != dns_id.npos && (star != 0 || !dns_id.starts_with("*.")))
        return false;
    return iends_with(dns_id, reference) && dns_id.front() != '.';
}

bool same_fingerprint(std::string_view a, std::string_view b)
{
    const auto digits = [](std::string_view text) {
        std::string all;
        for (const char c : text)
            if (c != ':')
                all += ascii_lower(c);
        return all;
    };
    return !a.empty() && digits(a) == digits(b);
}

}  // namespace posthorn::tls
