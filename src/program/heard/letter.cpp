#include "heard/letter.hpp"

#include "base/strings.hpp"
#include "heard/dmarc_xml.hpp"
#include "heard/tls_json.hpp"
#include "heard/unpack.hpp"
#include "mailauth/results.hpp"
#include "message/encoded_word.hpp"
#include "message/header.hpp"
#include "message/mime.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::heard {

namespace {

constexpr std::size_t most_looked_at = 8, longest_field = 4'096;

/// Without what is no letter of it, as lenient readers take it (RFC 2045 6.8).
Result<std::string> from_base64(std::string_view body)
{
    std::string letters;
    letters.reserve(body.size());
    for (const char c : body) {
        if (c == '=')
            break;
        if (is_alnum(c) || c == '+' || c == '/')
            letters += c;
    }
    if (letters.size() % 4 == 1)
        return Error{"its base64 is cut off"};
    letters.append((4 - letters.size() % 4) % 4, '=');
    auto octets = base64_decode(letters);
    if (!octets)
        return Error{"its base64 is damaged"};
    return *std::move(octets);
}

/// RFC 2045 6.7; what is malformed stays as it is.
std::string from_quoted_printable(std::string_view body)
{
    std::string octets;
    for (std::size_t at = 0; at < body.size(); ++at) {
        if (body[at] != '=') {
            octets += body[at];
            continue;
        }
        std::size_t end = at + 1;
        while (end < body.size() && message::is_blank(body[end]))
            ++end;
        if (end < body.size() && body[end] == '\r')
            ++end;
        if (end >= body.size() || body[end] == '\n') {
            at = end;
            continue;
        }
        const int high = at + 2 < body.size() ? message::hex_digit(body[at + 1]) : -1, low = high >= 0 ? message::hex_digit(body[at + 2]) : -1;
        if (low < 0) {
            octets += '=';
            continue;
        }
        octets += static_cast<char>(high * 16 + low);
        at += 2;
    }
    return octets;
}

std::string field_in(std::string_view head, std::string_view name)
{
    const auto field = message::find_field(head, name);
    return field ? message::unfold(field->body, longest_field) : std::string();
}

bool names_report(std::string_view words)
{
    const std::string all = to_lower(words);
    return std::ranges::any_of(std::initializer_list<std::string_view>{".gz", ".zip", ".xml", ".json"},
                               [&all](std::string_view ending) { return all.find(ending) != all.npos; });
}

bool may_be_report(const message::Part& part, std::string_view head)
{
    constexpr std::string_view subtypes[] = {
        "gzip", "x-gzip", "gzip-compressed", "x-gzip-compressed", "zip", "x-zip", "x-zip-compressed", "tlsrpt+gzip", "xml", "tlsrpt+json", "json"};
    const message::ContentType& type = part.content_type;
    if (part.kind != message::PartKind::leaf)
        return false;
    if ((type.type == "application" || (type.type == "text" && type.subtype == "xml")) &&
        std::ranges::find(subtypes, type.subtype) != std::end(subtypes))
        return true;
    return names_report(field_in(head, "Content-Disposition")) || names_report(field_in(head, "Content-Type"));
}

Result<std::vector<Report>> reports_in(std::string octets)
{
    if (is_gzip(octets)) {
        TRY(octets, unpack_gzip(octets, most_unpacked));
    } else if (is_zip(octets)) {
        TRY(octets, unpack_zip(octets, most_unpacked));
    }
    const std::string_view text = octets;
    if (is_gzip(text) || is_zip(text))
        return Error{"it is packed twice"};
    const auto first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || (first != text.npos && text[first] == '<')) {
        TRY(Report report, read_dmarc(text.substr(text.starts_with("\xEF\xBB\xBF") || first == text.npos ? 0 : first)));
        std::vector<Report> reports;
        reports.push_back(std::move(report));
        return reports;
    }
    if (first != text.npos && text[first] == '{')
        return read_tls(text.substr(first));
    return Error{"it is neither XML nor JSON"};
}

/// Where a stranger's words end up in a line: without our own service id.
std::string proof_in(std::string_view head, std::string_view service_id)
{
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        if (service_id.empty() || !field->is("Authentication-Results") || !mailauth::may_be_result_of(service_id, field->body))
            continue;
        std::string found;
        for (const std::string_view word : split(message::unfold(field->body, longest_field), "; \t"))
            if ((word.starts_with("dkim=") || word.starts_with("spf=") || word.starts_with("dmarc=") || word.starts_with("header.d=") ||
                 word.starts_with("smtp.mailfrom=") || word.starts_with("header.from=")) &&
                found.size() + word.size() < longest_text)
                found += (found.empty() ? "" : " ") + text_of(word);
        return found;
    }
    return {};
}

bool is_automatic(std::string_view head, const message::ContentType& type)
{
    const std::string submitted = to_lower(trim(field_in(head, "Auto-Submitted"))), precedence = to_lower(trim(field_in(head, "Precedence")));
    return (!submitted.empty() && !submitted.starts_with("no")) || precedence == "bulk" || precedence == "junk" || precedence == "list" ||
           !field_in(head, "TLS-Report-Domain").empty() || (type.type == "multipart" && type.subtype == "report");
}

}  // namespace

Letter read_letter(std::string_view mail, std::string_view service_id)
{
    constexpr unsigned deepest_part = 16;
    constexpr std::size_t most_parts = 200;
    Letter letter;
    const message::Mime mime = message::parse_mime(mail, {.depth = deepest_part, .parts = most_parts});
    const std::string_view head = mail.substr(0, mime.parts.front().header_end);
    letter.author = text_of(message::decode_words(field_in(head, "From")));
    letter.proof = proof_in(head, service_id);
    letter.automatic = is_automatic(head, mime.parts.front().content_type);
    std::size_t looked_at = 0;
    for (const message::Part& part : mime.parts) {
        const std::string_view part_head = mail.substr(part.begin, part.header_end - part.begin), body = mail.substr(part.body, part.end - part.body);
        if (!may_be_report(part, part_head))
            continue;
        if (++looked_at > most_looked_at)
            break;
#ifndef POSTHORN_PLANT_BUG_heard_letter
        letter.automatic = true;
#endif
        Result<std::string> octets = part.encoding == message::Encoding::base64             ? from_base64(body)
                                     : part.encoding == message::Encoding::quoted_printable ? Result<std::string>(from_quoted_printable(body))
                                                                                            : Result<std::string>(std::string(body));
        auto reports = octets ? reports_in(*std::move(octets)) : Result<std::vector<Report>>(octets.error());
        if (reports) {
            letter.reports = *std::move(reports);
            letter.wrong.reset();
            return letter;
        }
        if (!letter.wrong)
            letter.wrong =
                Error{fmt::format("{}/{}: {}", text_of(part.content_type.type), text_of(part.content_type.subtype), reports.error().text())};
    }
    if (!letter.wrong)
        letter.wrong = Error{"nothing in it is a report"};
    return letter;
}

}  // namespace posthorn::heard
