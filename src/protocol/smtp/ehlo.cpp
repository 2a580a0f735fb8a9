#include "smtp/ehlo.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/strings.hpp"

namespace posthorn::smtp {
namespace {

struct KeywordName {
    Keyword keyword;
    std::string_view announced;  ///< in an EHLO reply
    std::string_view listed;     ///< in a discard list; empty: not discardable by name
};

constexpr std::array names{
    KeywordName{Keyword::pipelining, "PIPELINING", "PIPELINING"},
    KeywordName{Keyword::size, "SIZE", "SIZE"},
    KeywordName{Keyword::eight_bit_mime, "8BITMIME", "8BITMIME"},
    KeywordName{Keyword::starttls, "STARTTLS", "STARTTLS"},
    KeywordName{Keyword::auth, "AUTH", "AUTH"},
    KeywordName{Keyword::dsn, "DSN", "DSN"},
    KeywordName{Keyword::smtputf8, "SMTPUTF8", "SMTPUTF8"},
    KeywordName{Keyword::chunking, "CHUNKING", "CHUNKING"},
    KeywordName{Keyword::binarymime, "BINARYMIME", ""},
    KeywordName{Keyword::enhanced_status_codes, "ENHANCEDSTATUSCODES", "ENHANCEDSTATUSCODES"},
    KeywordName{Keyword::requiretls, "REQUIRETLS", "REQUIRETLS"},
    KeywordName{Keyword::xforward, "XFORWARD", "XFORWARD"},
    KeywordName{Keyword::xclient, "XCLIENT", "XCLIENT"},
    KeywordName{Keyword::vrfy, "VRFY", "VRFY"},
    KeywordName{Keyword::etrn, "ETRN", "ETRN"},
    KeywordName{Keyword::verp, "XVERP", "VERP"},
    KeywordName{Keyword::expn, "EXPN", ""},
    KeywordName{Keyword::help, "HELP", ""},
    KeywordName{Keyword::limits, "LIMITS", ""},
    KeywordName{Keyword::pipe_connect, "PIPECONNECT", ""},
    KeywordName{Keyword::deliverby, "DELIVERBY", ""},
    KeywordName{Keyword::future_release, "FUTURERELEASE", "FUTURERELEASE"},
    KeywordName{Keyword::mt_priority, "MT-PRIORITY", ""},
    KeywordName{Keyword::silent_discard, "", "SILENT-DISCARD"},
};
static_assert(
    [] {
        for (std::size_t i = 0; i < names.size(); ++i)
            if (static_cast<std::size_t>(names[i].keyword) != i)
                return false;
        return names.size() <= 32;
    }(),
    "name(keyword) indexes the table, and a set is 32 bits");

constexpr std::size_t most_kept = 64;  // mechanisms, attributes, unknown lines

void keep_upper(std::vector<std::string>& words, std::string_view word)
{
    std::string upper = to_upper(word);
    if (words.size() < most_kept && std::ranges::find(words, upper) == words.end())
        words.push_back(std::move(upper));
}

// XXXXXXXA and XXXX: at least four X in front, and nothing but X and one closing letter.
bool is_masked(std::string_view word)
{
    const std::size_t marks = std::min(word.find_first_not_of('X'), word.size());
    return marks >= 3 && word.size() >= 4 && marks + 1 >= word.size();
}

void read_limits(Limits& limits, std::span<const std::string_view> words)
{
    for (std::string_view word : words) {
        const std::size_t equals = word.find('=');
        if (equals == word.npos)
            continue;
        const std::uint64_t value = parse_number(word.substr(equals + 1)).value_or(0);
        const std::string_view key = word.substr(0, equals);
        if (iequals(key, "MAILMAX"))
            limits.mail_max = value;
        else if (iequals(key, "RCPTMAX"))
            limits.rcpt_max = value;
        else if (iequals(key, "RCPTDOMAINMAX"))
            limits.rcpt_domain_max = value;
    }
}

}  // namespace

std::string_view name(Keyword keyword)
{
    return keyword == Keyword::silent_discard ? "silent-discard" : names[static_cast<std::size_t>(keyword)].announced;
}

std::optional<Keyword> find_keyword(std::string_view word)
{
    if (iequals(word, "X_PIPE_CONNECT") || iequals(word, "X_PIPECONNECT"))
        return Keyword::pipe_connect;
    for (const KeywordName& entry : names)
        if (!entry.announced.empty() && iequals(entry.announced, word))
            return entry.keyword;
    return std::nullopt;
}

std::string text(KeywordSet keywords)
{
    std::string out;
    for (const KeywordName& entry : names) {
        if (!keywords.has(entry.keyword) || entry.keyword == Keyword::silent_discard)
            continue;
        if (!out.empty())
            out += ' ';
        out += entry.listed.empty() ? entry.announced : entry.listed;
    }
    return out;
}

DiscardList parse_discard_list(std::string_view list)
{
    DiscardList discard;
    for (std::string_view word : split(list, ", \t\r\n")) {
        const auto entry = std::ranges::find_if(names, [&](const KeywordName& known) {
            return (!known.listed.empty() && iequals(known.listed, word)) || (!known.announced.empty() && iequals(known.announced, word));
        });
        if (entry != names.end())
            discard.keywords.insert(entry->keyword);
        else
            discard.unknown.emplace_back(word);
    }
    return discard;
}

Features Features::without(KeywordSet discard) const
{
    Features rest = *this;
    rest.keywords = keywords - discard;
    if (discard.has(Keyword::size))
        rest.size = 0;
    if (discard.has(Keyword::auth))
        rest.auth.clear();
    if (discard.has(Keyword::xforward))
        rest.xforward.clear();
    if (discard.has(Keyword::xclient))
        rest.xclient.clear();
    if (discard.has(Keyword::limits))
        rest.limits = {};
    return rest;
}

Features parse_ehlo(const Reply& reply)
{
    Features features;
    if (reply.lines.empty())
        return features;
    if (const auto words = split(reply.lines.front()); !words.empty())
        features.host = words.front();
    for (std::size_t i = 1; i < reply.lines.size(); ++i) {
        auto words = split(reply.lines[i]);
        if (words.empty())
            continue;
        // "AUTH=LOGIN PLAIN": what Outlook Express wanted, and some servers say only that.
        std::string_view keyword = words.front();
        std::span<const std::string_view> arguments(words.begin() + 1, words.end());
        if (istarts_with(keyword, "AUTH=")) {
            words.front() = keyword.substr(5);
            keyword = "AUTH";
            arguments = words.front().empty() ? arguments : std::span<const std::string_view>(words);
        }
        const auto found = find_keyword(keyword);
        if (!found) {
            if (is_masked(keyword))
                ++features.masked;
            else if (features.unknown.size() < most_kept)
                features.unknown.push_back(reply.lines[i]);
            continue;
        }
        features.keywords.insert(*found);
        switch (*found) {
        case Keyword::size:
            if (!arguments.empty())
                features.size = parse_number(arguments.front()).value_or(0);
            break;
        case Keyword::auth: std::ranges::for_each(arguments, [&](std::string_view word) { keep_upper(features.auth, word); }); break;
        case Keyword::xforward: std::ranges::for_each(arguments, [&](std::string_view word) { keep_upper(features.xforward, word); }); break;
        case Keyword::xclient: std::ranges::for_each(arguments, [&](std::string_view word) { keep_upper(features.xclient, word); }); break;
        case Keyword::limits: read_limits(features.limits, arguments); break;
        default: break;
        }
    }
    return features;
}

Greeting parse_greeting(const Reply& reply)
{
    Greeting greeting;
    bool first = true;
    for (const std::string& line : reply.lines) {
        for (std::string_view word : split(line)) {
            if (std::exchange(first, false))
                greeting.host = word;
            greeting.esmtp = greeting.esmtp || iequals(word, "ESMTP");
        }
    }
    const std::string whole = reply.wire();
    greeting.masked = whole.find('*') != whole.npos && whole.find_first_not_of("20 *\t\r\n") == whole.npos;
    return greeting;
}

}  // namespace posthorn::smtp
