// tester/finger_options.hpp: the command line of posttls-finger. Errors: Wrong, with Postfix's words.
#pragma once

#include "net/address.hpp"

#include <chrono>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::tester {

struct FingerOptions {
    enum class Level { none, may, encrypt, fingerprint, verify, secure };

    net::Families families = net::Families::both;
    bool chat = true, chain = false, lmtp = false, wrapper = false;
    bool say_summary = true, say_names = true;       // -L
    std::string digest = "sha256", ca_file, ca_path, grade = "medium", protocols = ">=TLSv1", host_lookup = "dns", certificate, key, sni;
    std::vector<std::string> chain_files;
    Level level = Level::secure;
    bool dane_asked = false;                         // -l dane, dane-only
    std::chrono::seconds connect_limit{30}, command_limit{30}, reconnect{0};
    int reconnects = 5;
    std::vector<std::pair<std::string, std::string>> overrides;
    std::string destination;
    std::vector<std::string> matches;
};

struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline constexpr std::string_view finger_usage = "usage: posttls-finger [-acCfSvw] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\\n"
                                                 "\t[-h host_lookup] [-l level] [-d mdalg] [-g grade] [-p protocols] \\\n"
                                                 "\t[-A tafile] [-F CAfile.pem] [-P CApath/] [-s servername] \\\n"
                                                 "\t[ [-H chainfiles] | [-k certfile [-K keyfile]] ] \\\n"
                                                 "\t[-m count] [-r delay] [-o name=value] destination [match ...]\n";

FingerOptions finger_options(std::span<char*> args);

/// "[host]:port", "host", "inet:host:port", "unix:/path".
struct Destination {
    std::string host, port, path;
    bool literal = false;                            // in brackets: no MX
};
Destination finger_destination(const FingerOptions& options);

}  // namespace posthorn::tester
