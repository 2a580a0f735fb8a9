// sasl/server.hpp: what a server asks of who knows the passwords.                                   RFC 4422 3, RFC 4954 4
// Shape    a client's AUTH is an Exchange: first what came with the command, then each response; every call gives one Answer. Texts are base64 as they
//          are said; the one who knows reads them.
// Ends     with an Answer that is not `more`. An Exchange that goes before is given up.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "sasl/security.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::sasl {

/// What is offered.
struct Offer {
    Offer(std::string what, Properties with) : name(std::move(what)), has(with) {}
    std::string name;  // upper case
    Properties has;
};

struct Question {
    std::string mechanism;
    std::optional<std::string> initial;  // as it came: base64, "=" where it is empty; none: nothing came
    std::string client_address, server_address;  // empty: not known
    std::uint16_t client_port = 0, server_port = 0;
    Properties wanted;  // of the mechanism
    bool secured = false;  // under TLS
    bool certificate = false;  // and our authorities vouch for the client
};

struct Answer {
    enum class Kind : std::uint8_t { more, accepted, refused, later };
    Answer() = default;
    Answer(Kind what, std::string said, std::string name = {}) : kind(what), text(std::move(said)), username(std::move(name)) {}
    Kind kind = Kind::later;
    std::string text;  // of more: the challenge; else why, may be empty
    std::string username;  // of accepted; of others where it is known
};

class Exchange {
public:
    virtual ~Exchange() = default;
    virtual awaitable<Answer> begin(Question question) = 0;
    virtual awaitable<Answer> respond(std::string response) = 0;
};

class Authenticator {
public:
    virtual ~Authenticator() = default;
    /// An Error: nothing is known now. Those of before, where it has gone away since.
    virtual awaitable<Result<std::vector<Offer>>> offers() = 0;
    virtual std::unique_ptr<Exchange> exchange() = 0;
    /// It refuses by itself what is not offered, or is less than what is wanted.
    virtual bool judges_mechanisms() const { return false; }
};

}  // namespace posthorn::sasl
