// peers/face.hpp: what one session saw of its peer, in words that stay the same as long as the peer does. Pure.
// Greeting  without what differs between two sessions of one server: its host name and other names, addresses, dates and times, numbers, ids. What is
//           left is most often the product: "220 mx.test ESMTP Exim 4.96 Wed, 25 Nov 2026 10:00:00 +0000" is "ESMTP Exim 4.96".
// Features  of the last answer to EHLO, by name, with their arguments: "offered" without any; mechanisms of AUTH in the order of the alphabet.
//           A session in TLS says of the answer before only whether STARTTLS was in it.
// Trust     none: all of it is chosen by strangers. Printable ASCII, at most face_features features, names of name_octets, values of value_octets.
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

struct Shown;

/// Stored by number: only added to.
enum class Aspect : std::uint8_t {
    greeting,
    host,  // of its greeting
    feature,  // outside TLS
    feature_in_tls,
    tls_version,
    issuer,  // of its certificate
    trust,  // in the certificate, by the level that asked
    mx_set,  // of a site
    limit,  // learned from refusals
};
inline constexpr std::size_t aspect_count = 9;

inline constexpr std::size_t face_features = 32, name_octets = 24, value_octets = 100, mx_octets = 255;

struct Face {
    struct Seen {
        Aspect aspect{};
        std::string name;  // of a feature, upper case; of trust, the level; else empty
        std::string value;
        bool operator==(const Seen&) const = default;
    };
    std::vector<Seen> seen;
    std::uint16_t port = 0;  // services of one address differ; 0: none
    std::string mx_set;  // of the site that it was met for; empty: none
    bool clear = false, in_tls = false;  // the list of features is whole: what is not in it was not offered
    bool starttls_known = false;
    WallTime expires{};  // its certificate; never: it showed none
    std::chrono::seconds lifetime{0};
    bool authenticated = false;  // mail waits where the certificate is not as it should be
    bool operator==(const Face&) const = default;
};

Face face_of(const Shown& shown, std::string_view banner_host);

/// The greeting's first line, code and all, less what is not the same in each session.
std::string product_of(std::string_view greeting, std::string_view banner_host);

/// Names and values as a Face has them; what another process says is held against it.
bool is_feature_name(std::string_view name);
std::string value_of_face(std::string_view text, std::size_t octets = value_octets);

}  // namespace posthorn::peers
