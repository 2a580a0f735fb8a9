// sasl/client.hpp: how a client proves who it is, mechanism by mechanism.      RFC 4422 3, 4616, 2195, 2831, 5802, 7677, 7628
// Shape    octets in and out, without base64: what goes with AUTH, then an answer for each challenge, then whether the server's success counts.
// Trust    none in challenges: each is at most challenge_octets, SCRAM's rounds at most scram_rounds; what does not fit is an Error, without secrets
//          in its text, and the exchange is over.
#pragma once

#include "base/error.hpp"
#include "sasl/credentials.hpp"
#include "sasl/security.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::sasl {

inline constexpr std::size_t challenge_octets = 12288;      // RFC 4954 4
inline constexpr std::uint32_t scram_rounds = 1'000'000;

/// Who is spoken to.
struct Server {
    Server(std::string what, std::string name, std::uint16_t at = 25) : service(std::move(what)), host(std::move(name)), port(at) {}
    std::string service;            // "smtp" or "lmtp", as in digest-uri
    std::string host;
    std::uint16_t port;
};

class Mechanism {
public:
    virtual ~Mechanism() = default;
    /// What goes with the command; none: the server speaks first.
    virtual std::optional<std::string> initial() = 0;
    virtual Result<std::string> answer(std::string_view challenge) = 0;
    /// The server says yes. An Error where it has not proved what it should have.
    virtual Result<void> finished() { return {}; }
    /// The next answer takes long: not on the loop's thread.
    virtual bool costly() const { return false; }
};

/// Which of `offered` (upper case) is used: the first of ours, by preference, that has what is `wanted`. Empty: none fits.
/// EXTERNAL only where it is alone: its proof is not in the credentials.
std::string_view choose(std::span<const std::string> offered, Properties wanted);

/// `nonce` for tests with known answers; empty: random.
std::unique_ptr<Mechanism> begin(std::string_view name, const Credentials& credentials, const Server& server, std::string nonce = {});

}  // namespace posthorn::sasl
