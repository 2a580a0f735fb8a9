#include "smtp/command.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "base/timestamp.hpp"
#include "smtp/xtext.hpp"

namespace posthorn::smtp {
namespace {

std::unexpected<Reply> refuse(int code, std::string_view status, std::string_view text) { return std::unexpected{Reply{code, status, text}}; }

std::string_view next_word(std::string_view& rest)
{
    rest = trim(rest);
    std::size_t end = 0;
    while (end < rest.size() && !is_space(rest[end]))
        ++end;
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end);
    return word;
}

// The path token ends at white space that stands outside quotes and brackets; `\` guards the next octet.
std::string_view next_path(std::string_view& rest)
{
    rest = trim(rest);
    const bool bracketed = rest.starts_with('<');
    bool open = bracketed;
    bool quoted = false;
    std::size_t end = 0;
    for (; end < rest.size(); ++end) {
        const char c = rest[end];
        if (c == '\\' && end + 1 < rest.size())
            ++end;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '>' && !quoted)
            open = false;
        else if (is_space(c) && !quoted && !open)
            break;
    }
    const std::string_view path = rest.substr(0, end);
    rest.remove_prefix(end);
    return path;
}

/// "FROM:" or "TO:" before the path; case does not matter, nor does white space after the colon.
bool take_keyword(std::string_view& rest, std::string_view keyword)
{
    rest = trim(rest);
    if (!istarts_with(rest, keyword))
        return false;
    rest.remove_prefix(keyword.size());
    rest = trim(rest);
    return !rest.empty();
}

struct Parameter {
    std::string_view all, keyword, value;
    bool has_value = false;
    bool is(std::string_view name) const { return iequals(keyword, name); }
};

Parameter split_parameter(std::string_view word)
{
    const std::size_t equals = word.find('=');
    if (equals == word.npos)
        return {word, word, {}, false};
    return {word, word.substr(0, equals), word.substr(equals + 1), true};
}

std::unexpected<Reply> unsupported(const Parameter& parameter)
{
    return refuse(555, "5.5.4", fmt::format("Unsupported option: {}", printable(parameter.all)));
}

const auto dsn_disabled = [] { return refuse(501, "5.7.1", "DSN support is disabled"); };

std::optional<std::string> decode_printable(std::string_view xtext)
{
    auto decoded = xtext_decode(xtext);
    if (decoded && !is_printable_ascii(*decoded))
        decoded.reset();
    return decoded;
}

template <class Options>
std::optional<Reply> bad_address_encoding(const Mailbox& mailbox, bool declared, const Options& options)
{
    if (options.strict_smtputf8 && !declared && mailbox.internationalized())
        return Reply{553, "5.6.7", "Must declare SMTPUTF8 to send unicode address"};
    return std::nullopt;
}

}  // namespace

Command split_command(std::string_view line)
{
    std::string_view rest = line;
    const std::string_view word = next_word(rest);
    return {find_verb(word), word, trim(rest)};
}

bool looks_like_header(std::string_view line)
{
    std::size_t end = 0;
    while (end < line.size() && line[end] > ' ' && line[end] < 127 && line[end] != ':')
        ++end;
    return end > 0 && end < line.size() && line[end] == ':';
}

Parsed<MailCommand> parse_mail(std::string_view arguments, const CommandOptions& options)
{
    std::string_view rest = arguments;
    if (!take_keyword(rest, "FROM:"))
        return refuse(501, "5.5.4", "Syntax: MAIL FROM:<address>");
    auto path = parse_path(next_path(rest), options.path);
    if (!path)
        return refuse(501, "5.1.7", "Bad sender address syntax");
    MailCommand mail{.reverse_path = *std::move(path)};
    bool ret_seen = false;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
        const Parameter parameter = split_parameter(word);
        if (parameter.is("SIZE") && parameter.has_value) {
            if (parameter.value.empty() || !std::ranges::all_of(parameter.value, is_digit))
                return refuse(501, "5.5.4", "Bad message size syntax");
            mail.size = parse_number(parameter.value);
            if (!mail.size)
                return refuse(552, "5.3.4", "Message size exceeds file system imposed limit");
        } else if (parameter.is("BODY") && iequals(parameter.value, "8BITMIME")) {
            mail.body = Body::eight_bit_mime;
        } else if (parameter.is("BODY") && iequals(parameter.value, "7BIT")) {
            mail.body = Body::seven_bit;
        } else if (parameter.is("BODY") && iequals(parameter.value, "BINARYMIME") && options.binarymime) {
            mail.body = Body::binary_mime;
        } else if (parameter.is("SMTPUTF8") && !parameter.has_value && options.smtputf8) {
            mail.smtputf8 = true;
        } else if (parameter.is("REQUIRETLS") && !parameter.has_value && options.requiretls) {
            mail.requiretls = true;
        } else if ((parameter.is("HOLDFOR") || parameter.is("HOLDUNTIL")) && options.future_release) {
            const auto hold = parameter.is("HOLDFOR") ? parse_hold_for(parameter.value) : parse_hold_until(parameter.value);
            if (!hold)
                return refuse(501, "5.5.4", fmt::format("Bad {} parameter syntax", parameter.is("HOLDFOR") ? "HOLDFOR" : "HOLDUNTIL"));
            if (std::exchange(mail.hold, hold))
                return refuse(501, "5.5.4", "Error: more than one of HOLDFOR and HOLDUNTIL");
        } else if (parameter.is("XVERP") && options.verp) {
            mail.verp = parameter.value;
        } else if (parameter.is("AUTH") && parameter.has_value) {
            if (mail.auth)
                return refuse(503, "5.5.4", "Error: multiple AUTH= options");
            // Postfix accepts a value that is no xtext; it is not believed either way, so such a peer vouches for nobody.
            mail.auth = decode_printable(parameter.value).value_or("<>");
        } else if (parameter.is("RET") && parameter.has_value) {
            if (!options.dsn)
                return dsn_disabled();
            mail.ret = iequals(parameter.value, "FULL") ? Ret::full : iequals(parameter.value, "HDRS") ? Ret::hdrs : Ret::unspecified;
            if (std::exchange(ret_seen, true) || mail.ret == Ret::unspecified)
                return refuse(501, "5.5.4", "Bad RET parameter syntax");
        } else if (parameter.is("ENVID") && parameter.has_value) {
            if (!options.dsn)
                return dsn_disabled();
            auto envid = decode_printable(parameter.value);
            if (mail.envid || !envid || envid->empty())
                return refuse(501, "5.5.4", "Bad ENVID parameter syntax");
            mail.envid = std::move(envid);
        } else {
            return unsupported(parameter);
        }
    }
    if (auto reply = bad_address_encoding(mail.reverse_path, mail.smtputf8, options))
        return std::unexpected{*std::move(reply)};
    return mail;
}

std::optional<HoldRequest> parse_hold_for(std::string_view text)
{
    // future-release-integer: no zero in front, nine digits at most
    if (text.empty() || text.size() > 9 || text.front() == '0' || !std::ranges::all_of(text, is_digit))
        return std::nullopt;
    return HoldRequest{.interval = std::chrono::seconds{parse_number(text).value_or(0)}, .until = {}};
}

std::optional<HoldRequest> parse_hold_until(std::string_view text)
{
    const auto moment = parse_timestamp(text);
    if (!moment || !(iends_with(text, "Z") || text.ends_with("+00:00") || text.ends_with("-00:00")))
        return std::nullopt;
    HoldRequest hold{.interval = {}, .until = std::chrono::ceil<std::chrono::seconds>(*moment)};
    if (timestamp(*hold.until).size() > std::string_view("9999-12-31T23:59:59Z").size())
        return std::nullopt;
    return hold;
}

std::optional<Notify> parse_notify(std::string_view text)
{
    Notify notify;
    for (std::string_view word : split_exact(text, ',')) {
        if (iequals(word, "NEVER"))
            notify.never = true;
        else if (iequals(word, "SUCCESS"))
            notify.success = true;
        else if (iequals(word, "FAILURE"))
            notify.failure = true;
        else if (iequals(word, "DELAY"))
            notify.delay = true;
        else
            return std::nullopt;
    }
    if (notify.never && (notify.success || notify.failure || notify.delay))
        return std::nullopt;
    return notify;
}

std::optional<OriginalRecipient> parse_orcpt(std::string_view text)
{
    const std::size_t semicolon = text.find(';');
    if (semicolon == text.npos || semicolon == 0)
        return std::nullopt;
    OriginalRecipient orcpt{.type = to_lower(text.substr(0, semicolon))};
    if (!std::ranges::all_of(orcpt.type, [](char c) { return is_alnum(c) || c == '-'; }))
        return std::nullopt;
    const std::string_view encoded = text.substr(semicolon + 1);
    auto address = orcpt.type == "utf-8" ? utf8_addr_decode(encoded) : decode_printable(encoded);
    if (!address || std::ranges::any_of(*address, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }))
        return std::nullopt;
    orcpt.address = *std::move(address);
    return orcpt;
}

Parsed<RcptCommand> parse_rcpt(std::string_view arguments, const CommandOptions& options)
{
    std::string_view rest = arguments;
    if (!take_keyword(rest, "TO:"))
        return refuse(501, "5.5.4", "Syntax: RCPT TO:<address>");
    auto path = parse_path(next_path(rest), options.path);
    if (!path || path->null())
        return refuse(501, "5.1.3", "Bad recipient address syntax");
    RcptCommand rcpt{.forward_path = *std::move(path)};
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
        const Parameter parameter = split_parameter(word);
        if (parameter.is("NOTIFY") && parameter.has_value) {
            if (!options.dsn)
                return dsn_disabled();
            const auto notify = parse_notify(parameter.value);
            if (rcpt.notify.any() || !notify)
                return refuse(501, "5.5.4", "Error: Bad NOTIFY parameter syntax");
            rcpt.notify = *notify;
        } else if (parameter.is("ORCPT") && parameter.has_value) {
            if (!options.dsn)
                return dsn_disabled();
            auto orcpt = parse_orcpt(parameter.value);
            if (rcpt.orcpt || !orcpt)
                return refuse(501, "5.5.4", "Error: Bad ORCPT parameter syntax");
            rcpt.orcpt = std::move(orcpt);
        } else {
            return unsupported(parameter);
        }
    }
    return rcpt;
}

Parsed<Chunk> parse_bdat(std::string_view arguments)
{
    std::string_view rest = arguments;
    const std::string_view size = next_word(rest), last = next_word(rest);
    const auto octets = parse_number(size);
    // The octets of a chunk are counted in signed 64 bits elsewhere.
    if (!octets || *octets > INT64_MAX || (!last.empty() && !iequals(last, "LAST")) || !trim(rest).empty())
        return refuse(521, "5.5.4", "Syntax: BDAT count [LAST]");
    return Chunk{*octets, !last.empty()};
}

Parsed<std::string> parse_helo(VerbId verb, std::string_view arguments)
{
    std::string joined;
    for (std::string_view word = next_word(arguments); !word.empty(); word = next_word(arguments)) {
        if (!joined.empty())
            joined += ' ';
        joined += word;
    }
    if (joined.empty())
        return refuse(501, "", fmt::format("Syntax: {} hostname", name(verb)));
    return joined;
}

std::string_view text(Body body)
{
    switch (body) {
    case Body::unspecified: return "";
    case Body::seven_bit: return "7BIT";
    case Body::eight_bit_mime: return "8BITMIME";
    case Body::binary_mime: return "BINARYMIME";
    }
    return "";
}

std::string text(Notify notify)
{
    if (notify.never)
        return "NEVER";
    std::string out;
    for (const auto& [set, word] : {std::pair{notify.success, "SUCCESS"}, {notify.failure, "FAILURE"}, {notify.delay, "DELAY"}})
        if (set)
            out += fmt::format("{}{}", out.empty() ? "" : ",", word);
    return out;
}

std::string text(const OriginalRecipient& orcpt, bool smtputf8)
{
    const auto encode = orcpt.type != "utf-8" ? xtext_encode : smtputf8 ? utf8_addr_unitext_encode : utf8_addr_xtext_encode;
    return fmt::format("{};{}", orcpt.type, encode(orcpt.address));
}

std::string text(const HoldRequest& hold) { return hold.until ? "until;" + timestamp(*hold.until) : fmt::format("for;{}", hold.interval.count()); }

std::string write(const MailCommand& command, const WriteOptions&)
{
    std::string line = fmt::format("MAIL FROM:<{}>", command.reverse_path.quoted());
    const auto out = std::back_inserter(line);
    if (command.size)
        fmt::format_to(out, " SIZE={}", *command.size);
    if (command.body != Body::unspecified)
        fmt::format_to(out, " BODY={}", text(command.body));
    if (command.smtputf8)
        line += " SMTPUTF8";
    if (command.requiretls)
        line += " REQUIRETLS";
    if (command.hold && command.hold->until)
        fmt::format_to(out, " HOLDUNTIL={}", timestamp(*command.hold->until));
    else if (command.hold)
        fmt::format_to(out, " HOLDFOR={}", command.hold->interval.count());
    if (command.verp)
        fmt::format_to(out, " XVERP{}{}", command.verp->empty() ? "" : "=", *command.verp);
    if (command.ret != Ret::unspecified)
        line += command.ret == Ret::full ? " RET=FULL" : " RET=HDRS";
    if (command.envid)
        fmt::format_to(out, " ENVID={}", xtext_encode(*command.envid));
    if (command.auth)  // "<>" is written as it is (RFC 4954 5)
        fmt::format_to(out, " AUTH={}", *command.auth == "<>" ? "<>" : xtext_encode(*command.auth));
    return line;
}

std::string write(const RcptCommand& command, const WriteOptions& options)
{
    std::string line = fmt::format("RCPT TO:<{}>", command.forward_path.quoted());
    if (command.orcpt)
        line += " ORCPT=" + text(*command.orcpt, options.smtputf8);
    if (command.notify.any())
        line += " NOTIFY=" + text(command.notify);
    return line;
}

std::string write(const Chunk& chunk) { return fmt::format("BDAT {}{}", chunk.octets, chunk.last ? " LAST" : ""); }

}  // namespace posthorn::smtp
