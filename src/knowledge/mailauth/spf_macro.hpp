// mailauth/spf_macro.hpp: text in which %{...} stands for what is known of a message.                                        RFC 7208 7
// Shape    names as they are asked: A-labels, without a final dot. What is expanded is one that is_macro_string() or is_domain_spec() took.
// Bounds   a value is as long as it was; what is made of a text stays within a few KiB, however often the text names it.
// Pure. Trust: none, of the texts nor of the values.
#pragma once

#include "net/address.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::mailauth {

struct SpfValues {
    std::string local_part, sender_domain;          // l, o; s is both
    std::string domain;                             // d: whose record it is
    std::string helo, receiver;                     // h, r
    std::string validated = "unknown";              // p: the name of the client, looked up where uses_macro(text, "p")
    net::IpAddress address;                         // i, c, v
    std::chrono::sys_seconds now;                   // t
};

/// A macro-string; an explain-string (spaces, and the letters c, r and t) for `explanation`.
bool is_macro_string(std::string_view text, bool explanation);
/// A macro-string with an end that makes it a name: ".toplabel" or a macro.
bool is_domain_spec(std::string_view text);
/// Does `text` have a macro of one of these letters (lower case), in either case?
bool uses_macro(std::string_view text, std::string_view letters);

/// A name to ask for: of what is too long for one, labels at the left are gone.
std::string expand_domain_spec(std::string_view text, const SpfValues& values);
/// At most 400 octets of printable ASCII; empty where it would hold others (RFC 7208 6.2).
std::string expand_explanation(std::string_view text, const SpfValues& values);

}  // namespace posthorn::mailauth
