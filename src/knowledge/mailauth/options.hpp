// mailauth/options.hpp: what main.cf says of signatures and of checks, read once.
// Errors   config::BadValue with parameter and word.
#pragma once

#include "config/snapshot.hpp"
#include "mailauth/canonical.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

struct Options {
    std::string sign_maps, key_maps;
    Canonical header = Canonical::relaxed, body = Canonical::relaxed;
    std::vector<std::string> fields, oversigned;      // in lower case; From is one of the first
    std::chrono::seconds valid_for{0};
    std::string seal_domain, seal_selector;           // of the key that seals; empty: nothing is sealed

    static Options from(const config::Snapshot& snapshot);
};

/// May a key have this name (s=)?
bool is_selector(std::string_view word);

/// How the body is hashed, for who reads it: empty where nothing is signed.
std::optional<Canonical> signed_body(const config::Snapshot& snapshot, std::string_view overrides);

/// What is checked of received mail.
struct CheckOptions {
    bool dkim = false, spf = false, arc = false;
    bool dmarc = false;                                 // needs dkim and spf, and they are said with it
    bool reject = false, hold = false;                  // dmarc_reject, dmarc_quarantine
    std::string service_id;
    std::vector<std::string> trusted_sealers;           // a domain, or .domain for those below it
    std::chrono::milliseconds timeout{10'000};
    std::size_t dkim_limit = 10;
    std::optional<Canonical> sealed_body;               // how a body is hashed for the seal of what was checked; none: nothing is sealed

    bool any() const { return dkim || spf || arc; }
    /// `overrides`: receive_override_options.
    static CheckOptions from(const config::Snapshot& snapshot, std::string_view overrides);
};

}  // namespace posthorn::mailauth
