#include "mailauth/spf_record.hpp"

#include "base/strings.hpp"
#include "mailauth/spf_macro.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t longest_record = 8192;
constexpr std::string_view spf_version = "v=spf1";

enum class Argument : std::uint8_t { none, wanted, possible };

struct SpfWord {
    std::string_view name;
    SpfMechanism::Kind kind;
    Argument domain;
    bool prefixes;                                  // "/24//64" may follow
};
constexpr std::array spf_words{
    SpfWord{"all", SpfMechanism::Kind::all, Argument::none, false},     SpfWord{"include", SpfMechanism::Kind::include, Argument::wanted, false},
    SpfWord{"a", SpfMechanism::Kind::a, Argument::possible, true},      SpfWord{"mx", SpfMechanism::Kind::mx, Argument::possible, true},
    SpfWord{"ptr", SpfMechanism::Kind::ptr, Argument::possible, false}, SpfWord{"ip4", SpfMechanism::Kind::ip4, Argument::wanted, true},
    SpfWord{"ip6", SpfMechanism::Kind::ip6, Argument::wanted, true},    SpfWord{"exists", SpfMechanism::Kind::exists, Argument::wanted, false},
};

/// Takes "/digits" off the end of `text`, where it is there: `slash` is "/" or "//". False: not a length that may stand there.
bool take_prefix(std::string_view& text, std::string_view slash, unsigned& prefix)
{
    const unsigned most = prefix;
    const std::size_t digits = text.find_last_not_of("0123456789");
    if (digits == text.npos || digits + 1 == text.size() || text[digits] != '/' || text.substr(0, digits + 1).ends_with("//") != (slash == "//"))
        return true;
    const std::string_view number = text.substr(digits + 1);
    const auto value = parse_number(number);
    if (!value || *value > most || (number.size() > 1 && number.front() == '0'))
        return false;
    prefix = static_cast<unsigned>(*value);
    text.remove_suffix(number.size() + slash.size());
    return true;
}

bool parse_network(std::string_view text, SpfMechanism& made)
{
    const bool v6 = made.kind == SpfMechanism::Kind::ip6;
    if (!take_prefix(text, "/", v6 ? made.prefix6 : made.prefix4))
        return false;
    return ::inet_pton(v6 ? AF_INET6 : AF_INET, std::string(text).c_str(), made.network.data()) == 1;
}

/// `text`: what follows the name, ":" and "/" included.
bool parse_arguments(std::string_view text, const SpfWord& word, SpfMechanism& made)
{
    if (word.kind == SpfMechanism::Kind::ip4 || word.kind == SpfMechanism::Kind::ip6)
        return text.starts_with(':') && parse_network(text.substr(1), made);
    if (word.prefixes && (!take_prefix(text, "//", made.prefix6) || !take_prefix(text, "/", made.prefix4)))
        return false;
    if (text.empty())
        return word.domain != Argument::wanted;
    if (word.domain == Argument::none || text.front() != ':')
        return false;
    made.domain_spec = text.substr(1);
    return is_domain_spec(made.domain_spec);
}

bool parse_mechanism(std::string_view term, SpfRecord& record)
{
    SpfMechanism made;
    if (std::string_view("+-?~").find(term.front()) != std::string_view::npos) {
        made.qualifier = term.front();
        term.remove_prefix(1);
    }
    const std::size_t end = std::min(term.find_first_of(":/"), term.size());
    const auto* const word = std::ranges::find_if(spf_words, [&](const SpfWord& one) { return iequals(one.name, term.substr(0, end)); });
    if (word == spf_words.end())
        return false;
    made.kind = word->kind;
    if (!parse_arguments(term.substr(end), *word, made))
        return false;
    record.mechanisms.push_back(std::move(made));
    return true;
}

bool parse_modifier(std::string_view name, std::string_view value, SpfRecord& record)
{
    for (const auto& [known, place] : {std::pair("redirect", &record.redirect), std::pair("exp", &record.exp)})
        if (iequals(name, known)) {
            if (place->has_value() || !is_domain_spec(value))
                return false;
            *place = std::string(value);
            return true;
        }
    // Another: ignored, where it is one. c, r and t are letters of macros there too, since nobody expands them.
    return !name.empty() && is_alpha(name.front()) &&
           std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }) && is_macro_string(value, true);
}

}  // namespace

bool is_spf_record(std::string_view text)
{
    return istarts_with(text, spf_version) && (text.size() == spf_version.size() || text[spf_version.size()] == ' ');
}

Result<SpfRecord> parse_spf_record(std::string_view text)
{
    if (text.size() > longest_record)
        return Error("the SPF record is too long");
    if (!std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; }))
        return Error("the SPF record is not US-ASCII");
    SpfRecord record;
    for (const std::string_view term : split(text.substr(spf_version.size()), " ")) {
        const std::size_t end = term.find_first_of("=:/");
        const bool modifier = end != term.npos && term[end] == '=';
        if (!(modifier ? parse_modifier(term.substr(0, end), term.substr(end + 1), record) : parse_mechanism(term, record)))
            return Error("syntax error in the SPF record: " + printable(term.substr(0, 100)));
    }
    return record;
}

}  // namespace posthorn::mailauth
