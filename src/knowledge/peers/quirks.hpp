// peers/quirks.hpp: how a peer deviates, narrowly, and what a client then does.                 design: ARCHITECTURE.md
// Shape    a set of Quirk, plus the numbers of those that carry one. Names are those of the rule file ("quit-alone").
// Classes  speed: costs a round trip at most, learned freely. function: hides a feature; mail that needs it is deferred,
//          never bounced. security: never learned as a way down.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::peers {

enum class Quirk : std::uint8_t {
    quit_alone,              // answers 221 to a group that ends in QUIT and forgets the rest
    data_alone,              // hangs or answers wrongly when DATA travels behind RCPT
    one_command_per_flight,  // announces PIPELINING, reads one command per segment
    no_bdat,                 // announces CHUNKING, cannot do it
    no_bdat_over,            // BDAT stalls above a size
    no_rset_first,           // counts RSET on a fresh session as an error
    no_rset,                 // answers RSET with 503, or closes
    dot_alone,               // wants the final dot in a segment of its own (PIX, ASA)
    helo_only,               // fails at EHLO
    close_after,             // closes after n mails
    one_rcpt_null_sender,    // one recipient for MAIL FROM:<>
    no_param,                // refuses a MAIL parameter that it announced
    no_early,                // EHLO before the greeting is punished
    no_tls,                  // STARTTLS announced, does not work
    verify_useless,          // accepts every recipient
};
inline constexpr std::size_t quirk_count = 15;

enum class QuirkClass : std::uint8_t { speed, function, security };

struct QuirkName {
    Quirk quirk;
    std::string_view name;
    QuirkClass kind;
};
inline constexpr std::array<QuirkName, quirk_count> quirk_names{{
    {Quirk::quit_alone, "quit-alone", QuirkClass::speed},
    {Quirk::data_alone, "data-alone", QuirkClass::speed},
    {Quirk::one_command_per_flight, "one-command-per-flight", QuirkClass::speed},
    {Quirk::no_bdat, "no-bdat", QuirkClass::speed},
    {Quirk::no_bdat_over, "no-bdat-over", QuirkClass::speed},
    {Quirk::no_rset_first, "no-rset-first", QuirkClass::speed},
    {Quirk::no_rset, "no-rset", QuirkClass::speed},
    {Quirk::dot_alone, "dot-alone", QuirkClass::speed},
    {Quirk::helo_only, "helo-only", QuirkClass::function},
    {Quirk::close_after, "close-after", QuirkClass::speed},
    {Quirk::one_rcpt_null_sender, "one-rcpt-null-sender", QuirkClass::speed},
    {Quirk::no_param, "no-param", QuirkClass::function},
    {Quirk::no_early, "no-early", QuirkClass::security},
    {Quirk::no_tls, "no-tls", QuirkClass::security},
    {Quirk::verify_useless, "verify-useless", QuirkClass::security},
}};

std::string_view name_of(Quirk quirk);
QuirkClass class_of(Quirk quirk);

/// MAIL and RCPT parameters that may be hidden one by one.
enum class Parameter : std::uint8_t { size = 1, body = 2, smtputf8 = 4, dsn = 8 };

class Quirks {
public:
    constexpr Quirks() = default;
    constexpr Quirks(std::initializer_list<Quirk> quirks)
    {
        for (const Quirk quirk : quirks)
            add(quirk);
    }
    constexpr bool has(Quirk quirk) const { return (bits_ >> static_cast<unsigned>(quirk) & 1U) != 0; }
    constexpr Quirks& add(Quirk quirk)
    {
        bits_ |= 1U << static_cast<unsigned>(quirk);
        return *this;
    }
    constexpr Quirks& remove(Quirk quirk)
    {
        bits_ &= ~(1U << static_cast<unsigned>(quirk));
        return *this;
    }
    constexpr Quirks& add_no_bdat_over(std::uint64_t octets)
    {
        bdat_over_ = octets;
        return add(Quirk::no_bdat_over);
    }
    constexpr Quirks& add_close_after(std::uint32_t mails)
    {
        close_after_ = mails;
        return add(Quirk::close_after);
    }
    constexpr Quirks& add_no_param(Parameter parameter)
    {
        hidden_ |= static_cast<std::uint8_t>(parameter);
        return add(Quirk::no_param);
    }
    constexpr bool hides(Parameter parameter) const { return (hidden_ & static_cast<std::uint8_t>(parameter)) != 0; }
    /// Octets; meaningful with no_bdat_over.
    constexpr std::uint64_t bdat_over() const { return bdat_over_; }
    /// Mails; meaningful with close_after.
    constexpr std::uint32_t close_after() const { return close_after_; }
    constexpr bool empty() const { return bits_ == 0; }
    constexpr Quirks& merge(const Quirks& other)
    {
        bits_ |= other.bits_;
        hidden_ |= other.hidden_;
        if (other.has(Quirk::no_bdat_over))
            bdat_over_ = other.bdat_over_;
        if (other.has(Quirk::close_after))
            close_after_ = other.close_after_;
        return *this;
    }
    /// Those of `other` taken away, numbers and parameters with them.
    constexpr Quirks& subtract(const Quirks& other)
    {
        bits_ &= ~other.bits_;
        hidden_ &= static_cast<std::uint8_t>(~other.hidden_);
        if (hidden_ != 0)
            bits_ |= 1U << static_cast<unsigned>(Quirk::no_param);
        bdat_over_ = has(Quirk::no_bdat_over) ? bdat_over_ : 0;
        close_after_ = has(Quirk::close_after) ? close_after_ : 0;
        return *this;
    }
    constexpr bool contains(const Quirks& other) const { return (other.bits_ & ~bits_) == 0 && (other.hidden_ & ~hidden_) == 0; }
    /// Bits of Parameter.
    constexpr std::uint8_t hidden() const { return hidden_; }
    bool operator==(const Quirks&) const = default;
    /// "quit-alone no-bdat-over(65536)", in the order of quirk_names.
    std::string text() const;
    /// The reverse; none where a word is unknown or its number missing.
    static std::optional<Quirks> parse(std::string_view text);

private:
    std::uint32_t bits_ = 0;
    std::uint32_t close_after_ = 0;
    std::uint64_t bdat_over_ = 0;
    std::uint8_t hidden_ = 0;
};

}  // namespace posthorn::peers
