// mailauth/verifier.hpp: the DKIM signatures of a message that came in: which there are, and what each is worth.          RFC 6376 6, 8301, 8463
//   DkimVerifier verifier(head, options, now);         // when the head is whole
//   co_await verifier.ask_for_keys(ask);               // all at once, while
//   verifier.add(octets);                              // the body comes in
//   co_await verifier.findings(threads);               // after both
// Shape    head: the fields as they were received, to the empty line or without it; body: what follows it. Stored form.
// Results  pass; fail: body or fields are not what was signed; neutral: the field says what cannot be understood, or the key is one for tests;
//          policy: too weak (RSA under 1024 bits), or too old (x=); temperror: the key cannot be asked for now; permerror: there is no such key, or
//          the signature is not one that the rules know (From: unsigned, rsa-sha1, a domain that is not its own). Each with a reason.
// Limit    options.limit signatures are looked at, those of the author's domain first, then as they stand; the others are not spoken of.
// Trust    none. Memory: the head, and for each signature its field and a piece of body.
#pragma once

#include "mailauth/body_hashes.hpp"
#include "mailauth/finding.hpp"
#include "mailauth/signature.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

/// What a DKIM-Signature field says, where it says what it must.
struct SignatureField {
    std::string domain, selector, identity;         // d= and s=, as A-labels in lower case; i= as it stands, empty: @domain
    tls::SigningKey::Kind kind = tls::SigningKey::Kind::rsa;
    bool sha1 = false;
    Canonical header = Canonical::simple, body = Canonical::simple;
    std::optional<std::uint64_t> body_length;       // l=
    std::optional<std::uint64_t> expires;           // x=, seconds since 1970
    std::string body_hash, octets;                  // bh= and b=, decoded
    std::vector<std::string> fields;                // h=, in lower case
};

/// What one is worth, in a word, and why; a pass mostly has no reason.
struct DkimResult {
    std::string result, reason;
};

/// `body`: of the field, folded. What is wrong regardless of the key and of the rest of the message.
std::expected<SignatureField, DkimResult> parse_signature(std::string_view body);

/// The field with the value of b= taken out, and all that is around it.                                     RFC 6376 3.7
std::string without_signature(std::string_view whole);

class DkimVerifier {
public:
    struct Options {
        std::size_t limit = 10;
    };
    DkimVerifier(std::string head, Options options, std::chrono::sys_seconds now);
    DkimVerifier(DkimVerifier&&) = delete;
    ~DkimVerifier();

    bool any() const { return !signatures_.empty(); }
    void add(std::string_view body);
    /// `ask` may be called for all of them before it has answered for one.
    awaitable<void> ask_for_keys(Ask ask);
    /// Once. None: there is no signature. Where keys were not asked for, temperror. `threads` compute.
    awaitable<std::vector<Finding>> findings(Helpers& threads);
    /// Octets that it holds, for who counts them.
    std::size_t held() const;

private:
    struct One;
    awaitable<void> ask_for_key(const Ask& ask, One& one);
    void judge(One& one) const;

    std::string head_;
    std::chrono::sys_seconds now_;
    std::vector<std::unique_ptr<One>> signatures_;
    BodyHashes hashes_;
};

}  // namespace posthorn::mailauth
