// tls/second_look.hpp: what a server has shown in one handshake, held against more than it was then. Nobody is asked anything.
// Shown    of a session that was resumed: its own certificate alone, and what was found of the chain when the session was new.
// Verdict  less: a handshake with these options had failed, or the server been refused. Unknown: it had been another handshake, or too little was shown.
#pragma once

#include "tls/tls.hpp"

#include <string>
#include <vector>

namespace posthorn::tls {

struct Shown {
    Shown() = default;
    int version = 0;
    std::string protocol, cipher, sni;  // of the latter: what was asked for
    std::vector<std::string> certificates;  // DER; the leaf first; none: an anonymous cipher
    bool resumed = false;
    long verdict = 0;  // OpenSSL's, of the chain against the Context's authorities
};

struct SecondLook {
    enum class Verdict : std::uint8_t { fits, less, unknown };
    SecondLook(Verdict found, std::string reason = {}) : verdict(found), why(std::move(reason)) {}
    Verdict verdict;
    std::string why;  // of the others
};

/// `context`, `options`: of the handshake that was not made. `certificate`: it is held against the options, too.
SecondLook look_again(Context& context, const Shown& shown, const ConnectOptions& options, bool certificate);

}  // namespace posthorn::tls
