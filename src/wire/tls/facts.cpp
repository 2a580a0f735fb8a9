#include "tls/facts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::tls {

namespace {

std::string_view word(Trust trust)
{
    switch (trust) {
    case Trust::absent: return "Anonymous";
    case Trust::untrusted: return "Untrusted";
    case Trust::trusted: return "Trusted";
    case Trust::verified: return "Verified";
    }
    return "";
}

void add(std::string& line, std::string_view what, const std::string& name, const std::string& curve, int bits)
{
    if (name.empty())
        return;
    line += fmt::format(" {} {}", what, name);
    if (!curve.empty())
        line += fmt::format(" ({})", curve);
    else if (bits > 0)
        line += fmt::format(" ({} bits)", bits);
}

void add(std::string& line, std::string_view who, const Signature& signature)
{
    add(line, fmt::format("{}-signature", who), signature.name, signature.curve, signature.bits);
    if (!signature.name.empty() && !signature.digest.empty())
        line += fmt::format(" {}-digest {}", who, signature.digest);
}

}  // namespace

std::string summary(const Facts& facts, std::string_view peer, bool reused)
{
    const bool server = facts.role == Role::server;
    std::string line = fmt::format("{} TLS connection {} {} {}{}{}: {} with cipher {} ({}/{} bits)", word(facts.trust),
                                   reused ? "reused" : "established", server ? "from" : "to", peer, server && !facts.sni.empty() ? " to " : "",
                                   server ? facts.sni : "", facts.protocol, facts.cipher, facts.bits_used, facts.bits_of_algorithm);
    add(line, "key-exchange", facts.key_exchange, facts.key_exchange_curve, facts.key_exchange_bits);
    add(line, "server", facts.server_signature);
    add(line, "client", facts.client_signature);
    return line;
}

std::string trouble(const Facts& facts, std::string_view peer)
{
    return facts.why.empty() ? std::string{} : fmt::format("certificate verification failed for {}: {}", peer, facts.why);
}

HandshakeLines handshake_failed(Role role, std::string_view peer, const Error& error)
{
    const std::string_view why = error.what() == "conversation timed out" ? "Connection timed out"
                                 : error.what() == "lost connection"      ? "lost connection"
                                                                          : "-1";
    HandshakeLines lines;
    lines.info = fmt::format("{} {}: {}", role == Role::server ? "SSL_accept error from" : "SSL_connect error to", peer, why);
    if (why == "-1")
        for (std::size_t at = 0; at < error.evidence().size();) {
            const std::size_t end = std::min(error.evidence().find("; error:", at), error.evidence().size());
            lines.warnings.push_back("TLS library problem: " + error.evidence().substr(at, end - at));
            at = end + 2;
        }
    return lines;
}

}  // namespace posthorn::tls
