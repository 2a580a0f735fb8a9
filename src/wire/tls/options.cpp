#include "tls/options.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
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

bool name_matches(std::string_view dns_id, std::string_view host)
{
    const auto bare = [](std::string_view& name) {
        if (name.ends_with('.'))
            name.remove_suffix(1);
    };
    bare(dns_id);
    bare(host);
    if (dns_id.empty() || host.empty() || dns_id.find('\0') != dns_id.npos)
        return false;
    if (!dns_id.starts_with("*."))
        return dns_id.find('*') == dns_id.npos && iequals(dns_id, host);
    const std::string_view parent = dns_id.substr(2);
    const auto dot = host.find('.');
    return parent.find('*') == parent.npos && parent.find('.') != parent.npos && dot != host.npos && dot > 0 && iequals(host.substr(dot + 1), parent);
}

}  // namespace posthorn::tls
