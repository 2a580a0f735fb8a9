#include "cleanup/checks.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::cleanup {

namespace {

constexpr std::size_t shown_octets = 200;                 // of a line, in the log
constexpr tables::Flags check_flags{.fold = false, .utf8 = false};

/// "4.7.1 text": the status and the rest; without one, `status`.
std::pair<std::string, std::string> split_status(std::string_view text, std::string_view status)
{
    const std::string_view word = text.substr(0, text.find(' '));
    const auto digits = [](std::string_view part) {
        return !part.empty() && part.size() <= 3 && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    };
    const std::size_t first = word.find('.'), second = word.rfind('.');
    if (first == 1 && second > first && (word.front() == '2' || word.front() == '4' || word.front() == '5') && digits(word.substr(2, second - 2)) &&
        digits(word.substr(second + 1)))
        return {std::string(word), std::string(trim(text.substr(word.size())))};
    return {std::string(status), std::string(text)};
}

std::string origin(const handoff::Envelope& envelope)
{
    const handoff::Client& client = envelope.client();
    return client.address().empty() ? "local" : fmt::format("{}[{}]", client.name(), client.address());
}

std::string shown(std::string_view line) { return printable(line.substr(0, shown_octets), true); }

std::string recipient_of(const handoff::Envelope& envelope)
{
    return envelope.recipients_size() == 0 ? std::string{}
                                           : printable(smtp::external_address(envelope.recipients(envelope.recipients_size() - 1).address()), true);
}

bool is_field(std::string_view text) { return message::HeaderWalk(std::string(text) + "\r\n").next().has_value(); }

class Doing {
public:
    Doing(std::string_view kind, std::string_view line, const tables::Maps& maps, const handoff::Envelope& envelope, Findings& findings)
        : kind_(kind), line_(line), maps_(maps), envelope_(envelope), findings_(findings)
    {
    }

    LineEnd obey(std::string_view action)
    {
        const std::size_t end = std::min(action.find_first_of(" \t"), action.size());
        const std::string word = to_lower(action.substr(0, end));
        const std::string_view text = trim(action.substr(end));
        if (word == "reject") {
            const auto [status, reason] = split_status(text.empty() ? "message content rejected" : text, "5.7.1");
            log("reject", fmt::format("{} {}", status, reason));
            handoff::Refusal refusal{status.front() == '4' ? 451 : 550, status, reason};
            refusal.logged = true;
            findings_.refusal = std::move(refusal);
            findings_.off = true;
        } else if (word == "warn") {
            log("warning", text);
        } else if (word == "info") {
            log("info", text);
        } else if (word == "pass") {
            log("pass", text);
            findings_.off = true;
        } else if (word == "discard") {
            log("discard", text);
            findings_.discard = findings_.off = true;
        } else if (word == "hold") {
            if (!findings_.hold)
                log("hold", text);
            findings_.hold = true;
        } else if (word == "filter") {
            if (text.empty())
                warn("missing FILTER command argument in {} map", maps_.parameter());
            else if (text.find(':') == text.npos)
                warn("bad FILTER command {} in {} -- need transport:destination", text, maps_.parameter());
            else
                note("filter", text, findings_.filter);
        } else if (word == "redirect") {
            if (text.find('@') == text.npos)
                warn("bad REDIRECT target \"{}\" in {} map -- need user@domain", text, maps_.parameter());
            else {
                note("redirect", text, findings_.redirect);
                findings_.off = true;                    // as Postfix does, whatever its manual says
            }
        } else if (word == "bcc") {
            if (text.find('@') == text.npos) {
                warn("bad BCC address \"{}\" in {} map -- need user@domain", text, maps_.parameter());
            } else {
                log("bcc", text);
                if (std::ranges::find(findings_.bcc, text) == findings_.bcc.end())
                    findings_.bcc.emplace_back(text);
            }
        } else if (word == "prepend") {
            if (kind_ == made_kind) {
                warn("PREPEND action is not available in {} map", maps_.parameter());
            } else if (fits("PREPEND", text)) {
                log("prepend", text);
                return {true, as_lines(text, kind_ == "header")};
            }
        } else if (word == "replace") {
            if (fits("REPLACE", text)) {
                log("replace", text);
                return {false, as_lines(text, kind_ == "header" || kind_ == made_kind)};
            }
        } else if (word == "strip") {
            log("strip", text);
            return {false, {}};
        } else if (word == "ignore") {
            return {false, {}};
        } else if (word != "dunno" && word != "ok") {
            warn("unknown command in {} map: {}", maps_.parameter(), action.substr(0, end));
        }
        return {};
    }

private:
    void log(std::string_view what, std::string_view text)
    {
        // A filter's field: "milter-header-reject: field from ..."
        const bool made = kind_ == made_kind;
        findings_.log.push_back(fmt::format("{}{}: {} {} from {}; from=<{}> to=<{}>{}{}{}{}", made ? "milter-header-" : "", what,
                                            made ? "header" : kind_, shown(line_), origin(envelope_),
                                            printable(smtp::external_address(envelope_.sender()), true), recipient_of(envelope_), protocol(), helo(),
                                            text.empty() ? "" : ": ", text));
    }
    /// As smtpd's own lines name it: TLS and SMTPUTF8 are for the Received: field to tell, and readers of the log know SMTP and ESMTP.
    std::string protocol() const
    {
        std::string_view said = envelope_.client().protocol();
        if (said == "ESMTPS" || said.starts_with("UTF8SMTP"))
            said = "ESMTP";
        return said.empty() ? std::string{} : fmt::format(" proto={}", printable(said));
    }
    std::string helo() const
    {
        const auto& said = envelope_.client().helo();
        return said.empty() ? std::string{} : fmt::format(" helo=<{}>", printable(said));
    }
    void note(std::string_view what, std::string_view text, std::string& into)
    {
        log(what, text);
        into = text;
    }
    bool fits(std::string_view word, std::string_view text)
    {
        if (text.empty()) {
            warn("{} action without text in {} map", word, maps_.parameter());
            return false;
        }
        if ((kind_ == "header" || kind_ == made_kind) && !is_field(text)) {
            warn("bad {} header text \"{}\" in {} map -- need \"headername: headervalue\"", word, text, maps_.parameter());
            return false;
        }
        return true;
    }
    template <class... Values>
    void warn(fmt::format_string<Values...> format, Values&&... values)
    {
        findings_.warnings.push_back(fmt::format(format, std::forward<Values>(values)...));
    }

    std::string_view kind_, line_;
    const tables::Maps& maps_;
    const handoff::Envelope& envelope_;
    Findings& findings_;
};

}  // namespace

CheckMaps::CheckMaps(const CheckOptions& options, tables::Tables& tables)
    : header("header_checks", options.header, check_flags, tables), mime("mime_header_checks", options.mime, check_flags, tables),
      nested("nested_header_checks", options.nested, check_flags, tables), body("body_checks", options.body, check_flags, tables),
      made("milter_header_checks", options.made, check_flags, tables)
{
}

std::string as_lines(std::string_view text, bool header)
{
    std::string made;
    for (std::string_view line : split_exact(text, '\n')) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (header && !made.empty() && trim(line).empty())
            continue;                                     // an empty line would end the header
        if (!made.empty())
            made += header && line.front() != ' ' && line.front() != '\t' ? "\r\n\t" : "\r\n";
        for (const char c : line)
            made += c == '\r' ? ' ' : c;
    }
    return made;
}

LineEnd do_action(std::string_view kind, std::string_view line, std::string_view action, const tables::Maps& maps, const handoff::Envelope& envelope,
                  Findings& findings)
{
    return Doing(kind, line, maps, envelope, findings).obey(trim(action));
}

void refuse_mime(std::string_view error, std::string_view line, const handoff::Envelope& envelope, Findings& findings)
{
    findings.log.push_back(fmt::format("reject: mime-error {}: {} from {}; from=<{}> to=<{}>", error, printable(line.substr(0, 100), true),
                                       origin(envelope), printable(smtp::external_address(envelope.sender())), recipient_of(envelope)));
    findings.refusal = handoff::Refusal{550, "5.6.0", std::string(error)};
    findings.refusal->logged = true;
    findings.off = true;
}

void refuse_failed(const tables::Maps& maps, Findings& findings)
{
    findings.warnings.push_back(fmt::format("{} map lookup problem -- message not accepted, try again later", maps.parameter()));
    findings.refusal = handoff::Refusal{451, "4.3.0", "Error: queue file write error"};
    findings.off = true;
}

void refuse_characters(std::string_view before, std::string_view octets, const CheckOptions& options, const tables::Maps& maps,
                       const handoff::Envelope& envelope, Findings& findings)
{
    const std::size_t at = findings.off ? octets.npos : octets.find_first_of(options.rejected);
    if (at == octets.npos)
        return;
    const std::size_t end = std::min(octets.find_first_of("\r\n", at + 1), octets.size());
    const std::size_t newline = octets.substr(0, at).rfind('\n');
    std::string line(newline == octets.npos ? before : std::string_view{});
    line += octets.substr(newline == octets.npos ? 0 : newline + 1, end - (newline == octets.npos ? 0 : newline + 1));
    do_action("content", line, "REJECT disallowed character", maps, envelope, findings);
}

std::string stripped(std::string_view octets, std::string_view characters)
{
    std::string left;
    left.reserve(octets.size());
    for (std::size_t at = 0; at < octets.size(); ++at) {
        const char c = octets[at];
        const bool line_end = c == '\n' || (c == '\r' && at + 1 < octets.size() && octets[at + 1] == '\n');
        if (line_end || characters.find(c) == characters.npos)
            left += c;
    }
    return left;
}

bool is_mime_field(std::string_view name)
{
    constexpr auto names = std::to_array<std::string_view>(
        {"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-Description", "Content-ID", "MIME-Version"});
    return std::ranges::any_of(names, [&](std::string_view one) { return iequals(one, name); });
}

std::string check_text(std::string_view field, std::size_t limit)
{
    std::string text;
    for (std::string_view rest = field; !rest.empty() && (text.empty() || text.size() < limit);) {
        const std::size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
        if (end != rest.npos && line.ends_with('\r'))
            line.remove_suffix(1);
        if (!text.empty())
            text += '\n';
        text += line;
    }
    return text;
}

}  // namespace posthorn::cleanup
