// smtp/ehlo.hpp: what a peer says of itself: greeting and EHLO keywords.       RFC 5321 4.1.1.1, 4.2; the RFC of each keyword
// Shape    the first line of the EHLO reply is host name and greeting, each further line "KEYWORD arguments".
// Trust    a claim, not a proof. A line that is no keyword is kept for evidence and otherwise ignored; at most 64 of them.
// Masked   firewalls overwrite a keyword with X of the same length (`XXXXXXXA`): counted, treated as absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/reply.hpp"

namespace posthorn::smtp {

enum class Keyword : std::uint8_t {
    pipelining,
    size,
    eight_bit_mime,
    starttls,
    auth,
    dsn,
    smtputf8,
    chunking,
    binarymime,
    enhanced_status_codes,
    requiretls,
    xforward,
    xclient,
    vrfy,
    etrn,
    verp,
    expn,
    help,
    limits,
    pipe_connect,
    deliverby,
    future_release,
    mt_priority,
    silent_discard,
};

/// The name as it is announced; "silent-discard" for the pseudo keyword of the discard lists.
std::string_view name(Keyword keyword);
/// By announced name, without case ("XVERP" and "X_PIPE_CONNECT" and "PIPECONNECT" included). silent_discard is never found here.
std::optional<Keyword> find_keyword(std::string_view name);

class KeywordSet {
public:
    constexpr KeywordSet() = default;
    constexpr KeywordSet(std::initializer_list<Keyword> keywords)
    {
        for (Keyword keyword : keywords)
            insert(keyword);
    }
    constexpr bool has(Keyword keyword) const { return (bits_ & bit(keyword)) != 0; }
    constexpr void insert(Keyword keyword) { bits_ |= bit(keyword); }
    constexpr void erase(Keyword keyword) { bits_ &= ~bit(keyword); }
    constexpr bool empty() const { return bits_ == 0; }
    constexpr KeywordSet operator&(KeywordSet other) const { return KeywordSet{bits_ & other.bits_}; }
    constexpr KeywordSet operator|(KeywordSet other) const { return KeywordSet{bits_ | other.bits_}; }
    constexpr KeywordSet operator-(KeywordSet other) const { return KeywordSet{bits_ & ~other.bits_}; }
    constexpr bool operator==(const KeywordSet&) const = default;
    /// For frames and caches: stable as long as the enumerators keep their order.
    constexpr std::uint32_t bits() const { return bits_; }
    static constexpr KeywordSet of_bits(std::uint32_t bits) { return KeywordSet{bits}; }

private:
    explicit constexpr KeywordSet(std::uint32_t bits) : bits_(bits) {}
    static constexpr std::uint32_t bit(Keyword keyword) { return std::uint32_t{1} << static_cast<unsigned>(keyword); }
    std::uint32_t bits_ = 0;
};

/// "PIPELINING SIZE", in the order of the enumeration: the text after `discarding EHLO keywords: `.
std::string text(KeywordSet keywords);

/// smtp_discard_ehlo_keywords and its kin: names separated by comma or white space; unknown ones are given back, not errors.
struct DiscardList {
    KeywordSet keywords;  ///< with silent_discard where the list has it
    std::vector<std::string> unknown;
    bool silent() const { return keywords.has(Keyword::silent_discard); }
};
DiscardList parse_discard_list(std::string_view list);

/// RFC 9422: what the server counts. Absent or 0: not said.
struct Limits {
    std::uint64_t mail_max = 0, rcpt_max = 0, rcpt_domain_max = 0;
    bool operator==(const Limits&) const = default;
};

struct Features {
    std::string host;                    ///< first word of the first line, as Postfix uses it for loop detection
    KeywordSet keywords;
    std::uint64_t size = 0;              ///< SIZE n; 0: no fixed limit, or none said
    std::vector<std::string> auth;       ///< mechanisms, upper case, without repetition
    std::vector<std::string> xforward;   ///< attributes, upper case
    std::vector<std::string> xclient;
    Limits limits;
    std::size_t masked = 0;              ///< keywords that a firewall painted over
    std::vector<std::string> unknown;    ///< lines of no keyword we know

    bool has(Keyword keyword) const { return keywords.has(keyword); }
    bool operator==(const Features&) const = default;

    /// Less what the administrator, or a quirk, hides; arguments go with their keyword.
    Features without(KeywordSet discard) const;
};

/// From the reply to EHLO or LHLO. The caller has seen that the reply is positive.
Features parse_ehlo(const Reply& reply);

struct Greeting {
    std::string host;     ///< first word
    bool esmtp = false;   ///< the word ESMTP is somewhere in it
    bool masked = false;  ///< made only of 2, 0, space and *: a firewall of the PIX family
};
Greeting parse_greeting(const Reply& reply);

}  // namespace posthorn::smtp
