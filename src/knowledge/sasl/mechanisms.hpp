// sasl/mechanisms.hpp: the client's mechanisms that have a file of their own. Private to the room.
#pragma once

#include "sasl/client.hpp"
#include "tls/digest.hpp"

namespace posthorn::sasl {

std::unique_ptr<Mechanism> scram(tls::Digest kind, const Credentials& credentials, std::string nonce);
std::unique_ptr<Mechanism> digest_md5(const Credentials& credentials, const Server& server, std::string nonce);

/// "=" and "," mean something in a message of SCRAM or OAUTHBEARER (RFC 5801 4).
std::string escaped(const std::string& name);

/// RFC 4013: what two keyboards type for the same password is the same. What it forbids stays as it is.
std::string prepared(const std::string& text);

}  // namespace posthorn::sasl
