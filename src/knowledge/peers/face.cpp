#include "peers/face.hpp"

#include "base/strings.hpp"
#include "peers/known.hpp"

#include <algorithm>
#include <array>

namespace posthorn::peers {

namespace {

constexpr std::size_t greeting_words = 12, word_at_most = 24, plain_word_at_most = 20, id_octets = 8, hex_id_octets = 6;

bool all_of(std::string_view text, bool (*is)(char)) { return !text.empty() && std::ranges::all_of(text, is); }
bool has(std::string_view text, bool (*is)(char)) { return std::ranges::any_of(text, is); }
bool is_hex(char c) { return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f'); }
std::size_t count_of(std::string_view text, char what) { return static_cast<std::size_t>(std::ranges::count(text, what)); }

/// Of dates: days, months and zones, whatever else they mean: what is always left out does no harm.
bool is_word_of_dates(std::string_view word)
{
    static constexpr auto begins = std::to_array<std::string_view>(
        {"mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"});
    static constexpr auto whole = std::to_array<std::string_view>(
        {"monday", "tuesday",   "wednesday", "thursday", "friday",   "saturday", "sunday", "january", "february", "march", "april", "june", "july",
         "august", "september", "october",   "november", "december", "tues",     "thur",   "thurs",   "sept",     "am",    "pm",    "gmt",  "utc",
         "cet",    "cest",      "met",       "mest",     "est",      "edt",      "cst",    "cdt",     "mst",      "mdt",   "pst",   "pdt",  "bst",
         "ist",    "msk",       "jst",       "hkt",      "sast",     "eet",      "eest",   "wet",     "west",     "aest",  "aedt"});
    const std::string lower = to_lower(word);
    return std::ranges::find(begins, lower) != begins.end() || std::ranges::find(whole, lower) != whole.end();
}

/// "mx.example.com", "postmaster@example.com", and with a port.
bool is_name(std::string_view word)
{
    if (word.find('@') != word.npos)
        return true;
    word = word.substr(0, word.find(':'));
    const auto labels = split_exact(word, '.');
    return labels.size() >= 2 && labels.back().size() >= 2 && all_of(labels.back(), is_alpha) &&
           std::ranges::all_of(labels,
                               [](std::string_view label) { return all_of(label, [](char c) { return is_alnum(c) || c == '-' || c == '_'; }); });
}

/// "192.0.2.1"; a version of four small numbers is taken for one.
bool is_address(std::string_view word)
{
    const auto parts = split_exact(word, '.');
    return parts.size() == 4 &&
           std::ranges::all_of(parts, [](std::string_view part) { return part.size() <= 3 && parse_number(part).value_or(256) <= 255; });
}

/// "25.11.2026", "2026-11-25", "11/25/26", "10:00:00", "+0100", "123"
bool is_number_or_date(std::string_view word)
{
    if (has(word, is_alpha))
        return word.find(':') != word.npos && has(word, is_digit);      // "2026-11-25T10:00:00Z", an IPv6 address
    if (!has(word, is_digit))
        return false;
    const auto parts = split_exact(word, '.');
    const bool day = parts.size() == 3 && parts[2].size() == 4 && parts[0].size() <= 2 && parts[1].size() <= 2;
    return all_of(word, is_digit) || word.find(':') != word.npos || word.front() == '+' || word.front() == '-' || count_of(word, '-') >= 2 ||
           count_of(word, '/') >= 2 || day;
}

/// "4.96", "v3.2.1", "8.17.1/8.17.1/Debian-2"
bool is_version(std::string_view word)
{
    if (word.starts_with('v') || word.starts_with('V'))
        word.remove_prefix(1);
    const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
    return digits != 0 && digits <= 4 && digits + 1 < word.size() && word[digits] == '.' && is_digit(word[digits + 1]);
}

/// Of a session or a process: letters and figures mixed, "id=7", "#1234".
bool is_id(std::string_view word)
{
    if (!has(word, is_digit) || is_version(word))
        return word.size() > plain_word_at_most && !is_version(word);
    const auto digits = std::ranges::count_if(word, is_digit);
    return word.find_first_of("=#") != word.npos || (word.size() >= id_octets && digits >= 2) ||
           (word.size() >= hex_id_octets && all_of(word, is_hex));
}

std::string_view bare(std::string_view word)
{
    constexpr std::string_view marks = "()[]{}<>\"',;:.!?-_=|~";
    const std::size_t from = word.find_first_not_of(marks);
    return from == word.npos ? std::string_view() : word.substr(from, word.find_last_not_of(marks) - from + 1);
}

/// Less its code.
std::string_view text_of_line(std::string_view line) { return line.size() > 4 ? line.substr(4) : std::string_view(); }

void add_words(std::vector<std::string>& words, std::string_view text)
{
    for (const std::string_view word : split(text))
        if (std::string upper = to_upper(word); std::ranges::find(words, upper) == words.end())
            words.push_back(std::move(upper));
}

/// The lines behind the first, as features of this kind.
void add_features(std::vector<Face::Seen>& seen, Aspect aspect, std::string_view reply)
{
    const auto lines = split_exact(reply, '\n');
    std::vector<std::string> mechanisms;
    std::size_t count = 0;
    const auto knows = [&](std::string_view name) {
        return std::ranges::any_of(seen, [&](const Face::Seen& one) { return one.aspect == aspect && one.name == name; });
    };
    for (std::size_t at = 1; at < lines.size() && count < face_features; ++at) {
        const std::string_view line = trim(text_of_line(lines[at]));
        const std::size_t end = std::min(line.find_first_of(" \t="), line.size());
        const std::string name = to_upper(line.substr(0, end));
        const std::string_view arguments = end < line.size() ? line.substr(end + 1) : std::string_view();
        if (!is_feature_name(name))
            continue;
        if (name == "AUTH")
            add_words(mechanisms, arguments);
        if (knows(name))
            continue;
        const std::string value = value_of_face(arguments);
        seen.push_back({aspect, name, value.empty() ? "offered" : value});
        ++count;
    }
    if (mechanisms.empty())
        return;
    std::ranges::sort(mechanisms);
    std::string all;
    for (const std::string& word : mechanisms)
        all += (all.empty() ? "" : " ") + word;
    for (Face::Seen& one : seen)
        if (one.aspect == aspect && one.name == "AUTH")
            one.value = value_of_face(all);
}

bool offers_starttls(std::string_view reply)
{
    std::vector<Face::Seen> seen;
    add_features(seen, Aspect::feature, reply);
    return std::ranges::any_of(seen, [](const Face::Seen& one) { return one.name == "STARTTLS"; });
}

}  // namespace

bool is_feature_name(std::string_view name)
{
    return !name.empty() && name.size() <= name_octets &&
           std::ranges::all_of(name, [](char c) { return is_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; });
}

std::string value_of_face(std::string_view text, std::size_t octets)
{
    std::string value;
    for (const std::string_view word : split(text)) {
        if (!value.empty())
            value += ' ';
#ifdef POSTHORN_PLANT_BUG_peer_face             // what a stranger says as it came (scripts/fuzz-planted)
        value += word.substr(0, octets);
#else
        value += printable(word.substr(0, octets));
#endif
        if (value.size() >= octets)
            break;
    }
    value.resize(std::min(value.size(), octets));
    return std::string(trim(value));
}

std::string product_of(std::string_view greeting, std::string_view banner_host)
{
    const std::string line = printable(text_of_line(greeting.substr(0, greeting.find('\n'))));
    std::string product;
    std::size_t words = 0;
    bool first = true;
    for (const std::string_view word : split(line)) {
        if (std::exchange(first, false) && iequals(word, banner_host))
            continue;
        std::string_view one = bare(word);
        if (word.size() >= 3 && count_of(word, '*') == word.size())
            one = "***";                                                // a firewall wrote over it
        if (one.empty() || iequals(one, banner_host) || is_word_of_dates(one) || is_name(one) || is_address(one) || is_number_or_date(one) ||
            is_id(one))
            continue;
        if (++words > greeting_words)
            break;
        product += (product.empty() ? "" : " ") + std::string(one.substr(0, word_at_most));
    }
    return value_of_face(product);
}

Face face_of(const Shown& shown, std::string_view banner_host)
{
    Face face;
    face.port = shown.port;
    if (!shown.greeting.empty()) {
        face.seen.push_back({Aspect::greeting, {}, product_of(shown.greeting, banner_host)});
        face.seen.push_back({Aspect::host, {}, value_of_face(to_lower(banner_host))});
    }
    face.in_tls = !shown.ehlo_tls.empty();
    face.clear = !shown.ehlo_clear.empty() && shown.tls_protocol.empty();
    face.starttls_known = !shown.ehlo_clear.empty();
    if (face.clear)
        add_features(face.seen, Aspect::feature, shown.ehlo_clear);
    else if (face.starttls_known && offers_starttls(shown.ehlo_clear))
        face.seen.push_back({Aspect::feature, "STARTTLS", "offered"});
    if (face.in_tls)
        add_features(face.seen, Aspect::feature_in_tls, shown.ehlo_tls);
    if (!shown.tls_protocol.empty()) {
        face.seen.push_back({Aspect::tls_version, {}, value_of_face(shown.tls_protocol)});
        face.seen.push_back({Aspect::trust, value_of_face(shown.tls_level, name_octets), value_of_face(shown.tls_trust)});
        if (!shown.issuer.empty())
            face.seen.push_back({Aspect::issuer, {}, value_of_face(shown.issuer)});
        face.expires = shown.expires;
        face.authenticated = shown.authenticated;
        if (shown.expires > shown.issued && shown.issued != WallTime{})
            face.lifetime = std::chrono::duration_cast<std::chrono::seconds>(shown.expires - shown.issued);
    }
    face.mx_set = value_of_face(shown.mx_set, mx_octets);
    return face;
}

}  // namespace posthorn::peers
