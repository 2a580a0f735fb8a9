// tls/versions.hpp: which TLS library this is: postconf -T.
#pragma once

#include <string>
#include <vector>

namespace posthorn::tls {

/// "OpenSSL 3.0.11 19 Sep 2023": what the program was compiled with, and what it runs with.
std::string compile_version();
std::string run_version();
/// Of certificates, lower case, sorted: "dsa", "ecdsa", "rsa".
std::vector<std::string> public_key_algorithms();

}  // namespace posthorn::tls
