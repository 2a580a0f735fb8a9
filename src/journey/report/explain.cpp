#include "report/explain.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"
#include "tables/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace posthorn::report {

using handoff::ReportRequest;
using handoff::Verdict;

namespace {

constexpr std::string_view shipped_text =
#include "report/shipped_explanations.inc"
    ;

// ---- Languages

constexpr std::size_t longest_tag = 35;          // RFC 5646 4.4.1
constexpr std::size_t most_of_sender = 3;        // each costs questions to tables, and a stranger may have written the field

void add_language(std::vector<std::string>& languages, std::string_view tag)
{
    for (std::string one = to_lower(tag);;) {
        if (std::ranges::find(languages, one) == languages.end())
            languages.push_back(one);
        std::size_t end = one.rfind('-');
        if (end == one.npos)
            return;
        if (end >= 2 && one[end - 2] == '-')             // "zh-x-a": a single letter says nothing without what follows it
            end -= 2;
        one.resize(end);
    }
}

/// "0.8" in thousandths. RFC 4021 2.1.44 has it from HTTP (RFC 9110 12.4.2); what cannot be read is as if it were not there.
int weight_of(std::string_view parameters)
{
    for (std::string_view one : split(parameters, ";")) {
        one = trim(one);
        if (!istarts_with(one, "q="))
            continue;
        const std::string_view number = one.substr(2);
        if (number.empty() || (number[0] != '0' && number[0] != '1') || number.size() > 5 || (number.size() > 1 && number[1] != '.'))
            return 1000;
        int weight = number[0] == '1' ? 1000 : 0, unit = 100;
        for (const char c : number.substr(std::min<std::size_t>(2, number.size()))) {
            if (!is_digit(c))
                return 1000;
            weight += (c - '0') * unit;
            unit /= 10;
        }
        return std::min(weight, 1000);
    }
    return 1000;
}

/// The tags of a field, what is wanted most first.
std::vector<std::string> tags_of(std::string_view body)
{
    std::vector<std::pair<int, std::string>> weighed;
    for (const std::string_view one : split(message::unfold(body, 1000), ",")) {
        const std::size_t end = std::min(one.find_first_of(";("), one.size());
        const std::string_view tag = trim(one.substr(0, end));
        const int weight = weight_of(one.substr(end));
        if (is_language_tag(tag) && weight > 0)
            weighed.emplace_back(weight, tag);
    }
    std::vector<std::string> tags;
    while (!weighed.empty() && tags.size() < most_of_sender) {
        const auto first = std::ranges::max_element(weighed, {}, &std::pair<int, std::string>::first);          // of equals the first
        tags.push_back(std::move(first->second));
        weighed.erase(first);
    }
    return tags;
}

// ---- What fills a text

constexpr std::size_t longest_value = 400;       // characters: the whole of a reply stands below
constexpr std::string_view names[] = {"recipient", "recipient_domain", "sender", "host", "reply", "status"}, delay_names[] = {"retry_until"};

/// Beside parameters of main.cf.
bool is_explanation_name(std::string_view name, bool delayed)
{
    return std::ranges::find(names, name) != std::end(names) || (delayed && std::ranges::find(delay_names, name) != std::end(delay_names));
}

/// Octets of the character at the front of valid UTF-8.
std::size_t character_size(std::string_view text)
{
    std::size_t size = 1;
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80)
        ++size;
    return size;
}
/// C1 controls, and what ends or turns a line: U+0080 to U+009F, U+2028 to U+202E, U+2066 to U+2069.
bool disturbs_line(std::string_view character)
{
    if (character.size() == 2)
        return character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0;
    if (character.size() != 3 || character[0] != '\xE2')
        return false;
    const auto last = static_cast<unsigned char>(character[2]);
    return (character[1] == '\x80' && last >= 0xA8 && last <= 0xAE) || (character[1] == '\x81' && last >= 0xA6 && last <= 0xA9);
}

/// Of somebody else: fit to stand amid a text.
std::string foreign(std::string_view value)
{
    const std::string clean = printable(value, true);
    std::string out;
    std::size_t characters = 0;
    for (std::string_view rest = clean; !rest.empty(); ++characters) {
        if (characters == longest_value)
            return out + "...";
        const std::size_t size = character_size(rest);
        out += disturbs_line(rest.substr(0, size)) ? std::string_view("?") : rest.substr(0, size);
        rest.remove_prefix(size);
    }
    return out;
}

/// "2026-12-03 23:01 +0100": read in every language.
std::string until(std::int64_t microseconds, const Options& options)
{
    const WallTime when{std::chrono::microseconds{microseconds}};
    const std::chrono::minutes zone = options.zone(when);
    const auto there = std::chrono::floor<std::chrono::minutes>(when) + zone;
    const auto day = std::chrono::floor<std::chrono::days>(there);
    const std::chrono::year_month_day date{day};
    const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(there - day).count();
    const auto offset = std::abs(zone.count());
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} {}{:02}{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()), minutes / 60, minutes % 60, zone.count() < 0 ? '-' : '+', offset / 60, offset % 60);
}

std::string address_of(const ReportRequest& request, const Verdict& verdict)
{
    for (const handoff::Recipient& recipient : request.envelope().recipients())
        if (recipient.index() == verdict.recipient())
            return recipient.address();
    return {};
}

std::string external_form(std::string_view address) { return smtp::mailbox_of(address).quoted(); }

std::optional<std::string> value_of(std::string_view name, const ReportRequest& request, std::size_t at, const Options& options)
{
    const Verdict& verdict = request.verdicts(static_cast<int>(at));
    if (name == "recipient")
        return foreign(external_form(address_of(request, verdict)));
    if (name == "recipient_domain")
        return foreign(domain_of_recipient(request, at));
    if (name == "sender")
        return foreign(external_form(request.envelope().sender()));
    if (name == "host")                                    // who says so: where nobody else did, we do
        return verdict.remote_mta().empty() ? options.myhostname : foreign(verdict.remote_mta());
    if (name == "reply")
        return foreign(verdict.diagnostic().empty() ? verdict.text() : verdict.diagnostic());
    if (name == "status")
        return foreign(verdict.status());
    if (name == "retry_until" && request.kind() == ReportRequest::DELAY && static_cast<int>(at) < request.gives_up_size())
        return until(request.gives_up(static_cast<int>(at)), options);
    return template_parameter(request, options, name);
}

}  // namespace

bool is_language_tag(std::string_view text)
{
    return !text.empty() && text.size() <= longest_tag && is_alpha(text.front()) && text.back() != '-' && text.find("--") == text.npos &&
           std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-'; });
}

std::vector<std::string> explanation_languages(std::string_view list, std::string_view header)
{
    std::vector<std::string> languages;
    bool named = false;
    for (const std::string_view word : config::split_grouped(list)) {
        if (!iequals(word, "sender")) {
            named = true;
            add_language(languages, word);
            continue;
        }
        for (const std::string_view name : {"Content-Language", "Accept-Language"}) {
            const auto field = message::find_field(header, name);
            const std::vector<std::string> tags = field ? tags_of(field->body) : std::vector<std::string>();
            for (const std::string& tag : tags)
                add_language(languages, tag);
            if (!tags.empty())
                break;
        }
    }
    if (!named)
        add_language(languages, "en");
    return languages;
}

std::vector<std::string> explanation_keys(const Cause& cause, std::string_view domain, const std::vector<std::string>& languages)
{
    std::vector<std::string> scopes, classes, keys;
    if (!domain.empty())
        scopes.push_back(to_lower(domain) + ":");
    scopes.emplace_back();
    if (cause.status.size() > 2)
        classes.push_back(fmt::format("{}/{}", cause.classification, cause.status.substr(2)));
    classes.push_back(cause.classification);
    classes.emplace_back("*");
    for (const std::string& scope : scopes)
        for (const std::string& one : classes) {
            const std::string key = fmt::format("{}{}{}", cause.delayed ? "delay:" : "", scope, one);
            for (const std::string& language : languages)
                keys.push_back(fmt::format("{}:{}", key, language));
            keys.push_back(key);
        }
    return keys;
}

std::optional<std::string_view> shipped_explanation(std::string_view key)
{
    static const std::map<std::string, std::string, std::less<>> texts = [] {
        std::map<std::string, std::string, std::less<>> made;
        tables::Warnings warnings;
        tables::LogicalLines lines(shipped_text, "bounce_explanations", warnings);
        for (tables::LogicalLine line; lines.next(line);) {
            const std::size_t end = std::min(line.text.find_first_of(" \t"), line.text.size());
            made.emplace(to_lower(line.text.substr(0, end)), trim(std::string_view(line.text).substr(end)));
        }
        return made;
    }();
    const auto found = texts.find(to_lower(key));
    if (found == texts.end())
        return std::nullopt;
    return found->second;
}

Result<std::string> expand_explanation(std::string_view text, const ReportRequest& request, std::size_t verdict, const Options& options)
{
    if (!is_valid_utf8(text))
        return Error{"the text is not UTF-8"};
    std::vector<std::string> unknown;
    std::string expanded = expand_template(text, [&](std::string_view name) { return value_of(name, request, verdict, options); }, &unknown);
    if (!unknown.empty())
        return Error{fmt::format("nothing is called \"{}\"", printable(unknown.front(), true))};
    if (!is_valid_utf8(expanded))
        return Error{"a parameter in it is not UTF-8"};
    return expanded;
}

std::optional<std::string> fault_of_explanation(std::string_view key, std::string_view text,
                                                const std::function<std::optional<std::string>(std::string_view)>& parameter)
{
    if (!is_valid_utf8(text))
        return "the text is not UTF-8";
    const bool delayed = istarts_with(key, "delay:");
    std::vector<std::string> unknown;
    (void)expand_template(
        text, [&](std::string_view name) { return is_explanation_name(name, delayed) ? std::optional<std::string>("") : parameter(name); }, &unknown);
    if (unknown.empty())
        return std::nullopt;
    return fmt::format("nothing is called \"{}\"", printable(unknown.front(), true));
}

std::string paragraph(std::string_view text)
{
    constexpr std::size_t columns = 79, line_octets = 900;         // RFC 5321 4.5.3.1.6 has 998
    std::string out;
    std::size_t column = 0;
    for (std::string_view word : split(text, " \t\r\n\v\f"))
        while (!word.empty()) {
            std::size_t size = 0, width = 0;
            while (size < word.size() && size < line_octets) {
                size += character_size(word.substr(size));
                ++width;
            }
            if (column > 0 && column + 1 + width > columns) {
                out += "\r\n";
                column = 0;
            } else if (column > 0) {
                out += ' ';
                ++column;
            }
#ifndef POSTHORN_PLANT_BUG_explanation  // a line begins as a boundary does (scripts/fuzz-planted)
            if (column == 0 && word.starts_with("--")) {
                out += ' ';
                ++column;
            }
#endif
            out += word.substr(0, size);
            column += width;
            word.remove_prefix(size);
        }
    return out + "\r\n";
}

}  // namespace posthorn::report
