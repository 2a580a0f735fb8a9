#include "mailauth/results.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "message/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t most_of_value = 200;            // a reason, a property: others' text does not grow the head at will
constexpr std::size_t results_line = 78;
constexpr std::string_view tspecials = "()<>@,;:\\\"/[]?=";

bool is_octet_of_token(char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && tspecials.find(c) == tspecials.npos; }
bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_octet_of_token); }

/// Local-part, if any, "@" and domain: they stand without quotes.                                           RFC 8601 2.2, pvalue
bool is_plain_address(std::string_view text)
{
    const auto at = text.find('@');
    const std::string_view local = text.substr(0, std::min(at, text.size()));
    const auto is_atom_text = [](char c) { return is_octet_of_token(c) || c == '/' || c == '?' || c == '='; };
    return at != text.npos && is_token(text.substr(at + 1)) && std::ranges::all_of(local, is_atom_text) && !local.starts_with('.') &&
           !local.ends_with('.') && local.find("..") == local.npos;
}

std::string shown(std::string_view text, bool utf8)
{
    std::string made;
    const auto at = text.rfind('@');
    const std::string_view domain = text.substr(at == text.npos ? 0 : at + 1);
    if (!utf8 && !is_ascii(domain) && is_ascii(text.substr(0, text.size() - domain.size())) && is_valid_utf8(domain))
        if (auto ascii = dns::to_a_labels(domain))
            made = std::string(text.substr(0, text.size() - domain.size())) + *ascii;
    if (made.empty())
        made = text;
    made = printable(made, utf8);
    if (made.size() > most_of_value) {
        made.resize(most_of_value);
        while (!is_valid_utf8(made))
            made.pop_back();
    }
    return made;
}

std::string quoted(std::string_view text)
{
    std::string made = "\"";
    for (const char c : text) {
#ifndef POSTHORN_PLANT_BUG_auth_results  // quotes in a value end it (scripts/fuzz-planted)
        if (c == '"' || c == '\\')
            made += '\\';
#endif
        made += c;
    }
    return made += '"';
}

std::string value(std::string_view text, bool utf8)
{
    const std::string made = shown(text, utf8);
    return is_token(made) ? made : quoted(made);
}

std::string property_value(std::string_view text, bool utf8)
{
    const std::string made = shown(text, utf8);
    return is_token(made) || is_plain_address(made) ? made : quoted(made);
}

std::vector<std::string> words_of(const Finding& finding, bool utf8)
{
    std::vector<std::string> words{fmt::format("{}={}", finding.method, finding.result)};
    if (!finding.reason.empty())
        words.push_back("reason=" + value(finding.reason, utf8));
    for (const Property& property : finding.properties)
        words.push_back(fmt::format("{}.{}={}", property.type, property.name, property_value(property.value, utf8)));
    return words;
}

/// What stands in front of the results of a field that others made.
class Claim {
public:
    explicit Claim(std::string_view text) : text_(text) {}

    /// authserv-id, where all up to the first result is as it has to be.
    std::optional<std::string> service_id()
    {
        if (!skip_space())
            return std::nullopt;
        auto id = read_value();
        if (!id || !skip_space())
            return std::nullopt;
        if (at_ == text_.size() || text_[at_] == ';')
            return id;
        while (at_ < text_.size() && is_digit(text_[at_]))                  // authres-version
            ++at_;
        if (!skip_space() || (at_ < text_.size() && text_[at_] != ';'))
            return std::nullopt;
        return id;
    }

private:
    static bool is_space_of_field(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

    /// Folding and comments; false: a comment has no end.
    bool skip_space()
    {
        std::size_t depth = 0;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '(')
                ++depth;
            else if (depth > 0 && c == '\\')
                ++at_;
            else if (depth > 0 && c == ')')
                --depth;
            else if (depth == 0 && !is_space_of_field(c))
                break;
        }
        at_ = std::min(at_, text_.size());
        return depth == 0;
    }

    std::optional<std::string> read_value()
    {
        std::string made;
        if (at_ < text_.size() && text_[at_] == '"') {
            for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
                if (text_[at_] == '\\' && at_ + 1 < text_.size())
                    ++at_;
                made += text_[at_];
            }
            if (at_ == text_.size())
                return std::nullopt;
            ++at_;
            return made;
        }
        while (at_ < text_.size() && is_octet_of_token(text_[at_]))
            made += text_[at_++];
        return made.empty() ? std::nullopt : std::optional(made);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

/// As names are compared: without case, A-labels, no dot at the end.
std::string comparable(std::string_view id)
{
    id = trim(id);
    while (id.ends_with('.'))
        id.remove_suffix(1);
    if (!is_ascii(id) && is_valid_utf8(id))
        if (auto ascii = dns::to_a_labels(id))
            return to_lower(*ascii);
    return to_lower(id);
}

}  // namespace

std::string results_text(std::string_view service_id, const std::vector<Finding>& findings, bool utf8)
{
    std::string text = value(service_id, utf8) + ";";
    if (findings.empty())
        return text + " none";
    for (std::size_t i = 0; i < findings.size(); ++i) {
        std::size_t line = 0;
        for (const std::string& word : words_of(findings[i], utf8)) {
            const bool fits = line > 0 && line + 1 + word.size() < results_line;
            text += fits ? " " : "\r\n\t";
            line = (fits ? line + 1 : 8) + word.size();
            text += word;
        }
        if (i + 1 < findings.size())
            text += ';';
    }
    return text;
}

std::string results_field(std::string_view service_id, const std::vector<Finding>& findings, bool utf8)
{
    return "Authentication-Results: " + results_text(service_id, findings, utf8) + "\r\n";
}

std::string results_for_log(const std::vector<Finding>& findings)
{
    std::string text;
    for (const Finding& finding : findings)
        for (const std::string& word : words_of(finding, true))
            text += (text.empty() ? "" : " ") + word;
    return text.empty() ? "none" : text;
}

bool may_be_result_of(std::string_view service_id, std::string_view body)
{
    const auto claimed = Claim(body).service_id();
    return !claimed || comparable(*claimed) == comparable(service_id);
}

std::string without_results_of(std::string_view service_id, std::string_view head)
{
    std::string made;
    message::HeaderWalk walk(head);
    std::size_t kept = 0;
    while (const auto field = walk.next())
        if (field->is("Authentication-Results") && may_be_result_of(service_id, field->body)) {
            made += head.substr(kept, field->offset - kept);
            kept = field->offset + field->whole.size();
        }
    return made += head.substr(kept);
}

}  // namespace posthorn::mailauth
