// config/param.hpp: a parameter, declared once, in the room that uses it (`ROOM/params.hpp`).
// Default, limits, manual page, `postconf -d` and the check at start come from the declaration:
//
//     inline constexpr Param<std::chrono::seconds> smtp_rcpt_timeout{
//         .name = "smtp_rcpt_timeout", .initial = "300s", .least = 1s,
//         .doc = "How long the client waits for the reply to RCPT TO; then the delivery is deferred.", .since = "1.0"};
//     inline constexpr ParamInfo params[] = {smtp_rcpt_timeout, ...};          // the room's list
//
// T        bool, int, long, std::chrono::seconds, Octets, std::string (expanded), Raw (not expanded: $ is for the reader of
//          the value), List, or an enum E with words: template <> inline constexpr auto words<E> = std::to_array<Word<E>>({...});
// Limits   numbers: least <= value <= most (most absent: none). Text and lists: octets, so least = 1 means "not empty".
// Names    "transport_..." is a family: `get(param, "relay")` reads "relay_...", whose default is the family's unless
//          Postfix has one of its own. A "smtp_..." parameter read as "lmtp" is its LMTP twin by the same rule.
// Errors   of a value: Error whose text is Postfix's ("bad numerical configuration: x = y").
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.hpp"
#include "config/list.hpp"
#include "config/units.hpp"

namespace posthorn::config {

struct Raw {
    std::string text;
    friend bool operator==(const Raw&, const Raw&) = default;
};

template <class E>
struct Word {
    std::string_view text;
    E value;
};
/// The words of an enum parameter; specialise it beside the enum.
template <class E>
inline constexpr int words = 0;

enum class Kind : std::uint8_t { boolean, integer, time, size, text, raw, list, words };

namespace detail {
template <class T>
constexpr Kind kind_of()
{
    if constexpr (std::is_same_v<T, bool>)
        return Kind::boolean;
    else if constexpr (std::is_same_v<T, int> || std::is_same_v<T, long>)
        return Kind::integer;
    else if constexpr (std::is_same_v<T, std::chrono::seconds>)
        return Kind::time;
    else if constexpr (std::is_same_v<T, Octets>)
        return Kind::size;
    else if constexpr (std::is_same_v<T, std::string>)
        return Kind::text;
    else if constexpr (std::is_same_v<T, Raw>)
        return Kind::raw;
    else if constexpr (std::is_same_v<T, List>)
        return Kind::list;
    else {
        static_assert(std::is_enum_v<T>, "Param<T>: bool, int, long, seconds, Octets, std::string, Raw, List, or an enum with words");
        return Kind::words;
    }
}

/// The type of a limit: the value's own for numbers, a length for text.
template <class T>
using LimitOf = std::conditional_t<kind_of<T>() == Kind::integer || kind_of<T>() == Kind::time || kind_of<T>() == Kind::size, T, int>;

constexpr std::int64_t count(std::int64_t value) { return value; }
constexpr std::int64_t count(std::chrono::seconds value) { return value.count(); }
constexpr std::int64_t count(Octets value) { return value.count; }
}  // namespace detail

template <class T>
struct Param {
    using Limit = detail::LimitOf<T>;
    std::string_view name;
    std::string_view initial;                     // as text; may contain $expansions
    Unit unit = Unit::of_default;                 // of a time written without one
    Limit least{};
    Limit most{};                                 // zero: no upper limit
    std::string_view doc;
    std::string_view source{};                    // the RFC or document it comes from
    std::string_view since = "1.0";
    std::string_view obsolete{};                  // what to use instead; empty: in use
    bool own = false;                             // Posthorn's, not Postfix's
};

/// A Param of any type: what a room's list consists of.
struct ParamInfo {
    std::string_view name, initial;
    Kind kind;
    Unit unit;
    std::int64_t least, most;
    std::string_view doc, source, since, obsolete;
    bool own;
    std::string_view (*word)(std::size_t index) = nullptr;      // of Kind::words: its words, then empty

    template <class T>
    constexpr ParamInfo(const Param<T>& p)
        : name(p.name), initial(p.initial), kind(detail::kind_of<T>()), unit(p.unit), least(detail::count(p.least)), most(detail::count(p.most)),
          doc(p.doc), source(p.source), since(p.since), obsolete(p.obsolete), own(p.own)
    {
        if constexpr (detail::kind_of<T>() == Kind::words)
            word = [](std::size_t index) { return index < words<T>.size() ? words<T>[index].text : std::string_view{}; };
        if constexpr (std::is_same_v<T, int>) {
            if (most == 0)
                most = std::numeric_limits<int>::max();
        }
    }
    /// "transport_destination_rate_delay" and its like, but not Postfix's two parameters that really begin so.
    constexpr bool is_family() const { return name.starts_with("transport_") && name != "transport_maps" && name != "transport_retry_time"; }
};

/// Lists of several rooms.
using ParamLists = std::span<const std::span<const ParamInfo>>;

/// "smtp_rcpt_timeout" read as "lmtp" is "lmtp_rcpt_timeout": the first word is replaced,
/// and for LMTP the verb as well: "smtp_helo_name" is "lmtp_lhlo_name".
std::string name_as(std::string_view name, std::string_view as);

/// One value of any kind; which member counts is told by the parameter's kind.
struct Value {
    std::int64_t number = 0;                      // boolean 0 or 1, integer, seconds, octets, index of the word
    std::string text;
};
/// `text` (expanded) as a value of `info` under the name `name`, checked against the limits. `unit` is that of a bare time.
Result<Value> parse_value(const ParamInfo& info, std::string_view name, std::string_view text, Unit unit);

template <class T>
T from_value(Value value)
{
    constexpr auto kind = detail::kind_of<T>();
    if constexpr (kind == Kind::boolean)
        return value.number != 0;
    else if constexpr (kind == Kind::integer)
        return static_cast<T>(value.number);
    else if constexpr (kind == Kind::time || kind == Kind::size)
        return T{value.number};
    else if constexpr (kind == Kind::text)
        return std::move(value.text);
    else if constexpr (kind == Kind::raw)
        return Raw{std::move(value.text)};
    else if constexpr (kind == Kind::list)
        return parse_list(value.text);
    else
        return words<T>[static_cast<std::size_t>(value.number)].value;
}

}  // namespace posthorn::config
