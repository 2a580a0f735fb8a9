// mailauth/arc.hpp: the chain of those who passed a message on and sealed what they had found.                                RFC 8617
//   ArcValidator validator(head, now);                  // used as a DkimVerifier is: verifier.hpp
// Results  none; pass; fail with a reason: any fault is for good, a key that cannot be asked for now too (RFC 8617 5.2.1). header.oldest-pass of a
//          pass: which set's signature of the message still holds, and all behind it; 0: all do.
// Limits   fifty sets; a chain whose shape is wrong asks for no key. Bodies are hashed in four forms at most: an older set that has a fifth
//          is not looked at for oldest-pass, which is all that older signatures of the message decide.
// Trust    none. Memory: the head, and what its signatures say again.
#pragma once

#include "mailauth/finding.hpp"
#include "mailauth/verifier.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

struct ArcFinding : Finding {
    /// Of a pass, the newest first: who sealed (d= of the seal), and what they say they had found: ARC-Authentication-Results behind the instance.
    struct Sealed {
        std::string domain, results;
    };
    std::vector<Sealed> chain;
    std::string digest;  // arc_digest() of the head: a seal that says what was found here goes on top of this chain and no other
};

class ArcValidator {
public:
    ArcValidator(std::string head, std::chrono::sys_seconds now);
    ArcValidator(ArcValidator&&) = delete;
    ~ArcValidator();

    /// Is there a chain that may pass? Otherwise neither body nor keys are wanted.
    bool any() const;
    void add(std::string_view body);
    awaitable<void> ask_for_keys(Ask ask);
    /// Octets that it holds at most, for who counts them.
    std::size_t held() const;
    /// Once. `threads` compute.
    awaitable<ArcFinding> finding(Helpers& threads);

private:
    struct Signed;
    struct Set;
    struct Key;

    std::string parse_sets();
    void want_hashes();
    static awaitable<void> ask_for_key(const Ask& ask, Key& wanted);
    bool is_signed(const Signed& part, std::string_view octets) const;
    bool message_holds(const Set& set) const;
    void judge();
    std::string seal_problem() const;

    std::string head_;
    std::chrono::sys_seconds now_;
    std::vector<std::unique_ptr<Set>> sets_;  // by instance, from 1
    BodyHashes hashes_;
    std::vector<std::unique_ptr<Key>> keys_;  // each once
    ArcFinding found_;
};

/// Local policy (RFC 7489 6.7): of a chain that passes, a sealer who, as all behind them, is trusted, and who says that the message came to them with
/// dmarc=pass for `author`, the author's domain. Empty: nobody.
std::string trusted_sealer(const ArcFinding& arc, std::string_view author, const std::function<bool(const std::string& domain)>& trusted);

}  // namespace posthorn::mailauth
