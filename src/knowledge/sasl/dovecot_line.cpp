#include "sasl/dovecot_line.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace posthorn::sasl {

namespace {

constexpr std::array<std::pair<char, char>, 5> escapes{{{'0', '\0'}, {'1', '\001'}, {'t', '\t'}, {'n', '\n'}, {'r', '\r'}}};

std::optional<std::uint32_t> number(std::string_view text)
{
    const auto parsed = parse_number(text);
    return parsed && *parsed <= std::numeric_limits<std::uint32_t>::max() ? std::optional(static_cast<std::uint32_t>(*parsed)) : std::nullopt;
}

DovecotLine wrong()
{
    DovecotLine made;
    made.kind = DovecotLine::Kind::wrong;
    return made;
}

/// MECH name flag...: what a flag says against a mechanism it lacks as a property.
DovecotLine mechanism(std::span<const std::string_view> fields)
{
    if (fields.size() < 2 || fields[1].empty() || fields[1].size() > 20 ||
        !std::ranges::all_of(fields[1], [](char c) { return is_alnum(c) || c == '-' || c == '_'; }))
        return wrong();
    DovecotLine made;
    made.kind = DovecotLine::Kind::mechanism;
    made.name = to_upper(fields[1]);
    const auto flagged = [&](std::string_view flag) { return std::ranges::find(fields.subspan(2), flag) != fields.end(); };
    if (!flagged("plaintext"))
        made.has.add(Property::no_plaintext);
    if (!flagged("active"))
        made.has.add(Property::no_active);
    if (!flagged("dictionary"))
        made.has.add(Property::no_dictionary);
    if (!flagged("anonymous"))
        made.has.add(Property::no_anonymous);
    if (flagged("mutual-auth"))
        made.has.add(Property::mutual_auth);
    if (flagged("forward-secrecy"))
        made.has.add(Property::forward_secrecy);
    made.is_private = flagged("private");
    return made;
}

/// OK, FAIL, CONT with their parameters; what is not known of these is passed over.
DovecotLine reply(std::span<const std::string_view> fields)
{
    const auto id = fields.size() < 2 ? std::nullopt : number(fields[1]);
    if (!id)
        return wrong();
    DovecotLine made;
    made.kind = DovecotLine::Kind::answer;
    made.id = *id;
    if (fields[0] == "CONT") {
        if (fields.size() < 3)
            return wrong();
        made.answer.kind = Answer::Kind::more;
        made.answer.text = fields[2];
        return made;
    }
    made.answer.kind = fields[0] == "OK" ? Answer::Kind::accepted : Answer::Kind::refused;
    for (const std::string_view field : fields.subspan(2)) {
        if (field == "temp" && made.answer.kind == Answer::Kind::refused)
            made.answer.kind = Answer::Kind::later;
        else if (field.starts_with("user="))
            made.answer.username = unescape_dovecot(field.substr(5));
        else if (field.starts_with("reason="))
            made.answer.text = unescape_dovecot(field.substr(7));
    }
    if (made.answer.kind == Answer::Kind::accepted && made.answer.username.empty())
        return wrong();                                             // somebody, but who?
    return made;
}

}  // namespace

std::string escape_dovecot(std::string_view field)
{
    std::string made;
    for (const char c : field) {
        const auto* const at = std::ranges::find(escapes, c, [](const auto& pair) { return pair.second; });
#ifdef POSTHORN_PLANT_BUG_sasl_dovecot
        if (at == escapes.end() || c == '\n')
#else
        if (at == escapes.end())
#endif
            made += c;
        else
            made.append({'\001', at->first});
    }
    return made;
}

std::string unescape_dovecot(std::string_view field)
{
    std::string made;
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field[i] == '\001' && i + 1 < field.size())
            if (const auto* const at = std::ranges::find(escapes, field[i + 1], [](const auto& pair) { return pair.first; }); at != escapes.end()) {
                made += at->second;
                ++i;
                continue;
            }
        made += field[i];
    }
    return made;
}

DovecotLine parse_dovecot_line(std::string_view line)
{
    const auto fields = split_exact(line, '\t');
    DovecotLine made;
    if (fields[0] == "VERSION") {
        const auto major = fields.size() < 3 ? std::nullopt : number(fields[1]), minor = fields.size() < 3 ? std::nullopt : number(fields[2]);
        if (!major || !minor)
            return wrong();
        made.kind = DovecotLine::Kind::version;
        made.major = *major;
        made.minor = *minor;
    } else if (fields[0] == "MECH")
        made = mechanism(fields);
    else if (fields[0] == "SPID")
        made.kind = DovecotLine::Kind::spid;
    else if (fields[0] == "DONE")
        made.kind = DovecotLine::Kind::done;
    else if (fields[0] == "OK" || fields[0] == "FAIL" || fields[0] == "CONT")
        made = reply(fields);
    return made;
}

std::string dovecot_greeting(std::uint64_t process) { return fmt::format("VERSION\t1\t1\nCPID\t{}\n", process); }

std::string dovecot_question(std::uint32_t id, const Question& question, std::string_view service)
{
    std::string text = fmt::format("AUTH\t{}\t{}\tservice={}\tnologin", id, escape_dovecot(question.mechanism), escape_dovecot(service));
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty())
            text += fmt::format("\t{}={}", name, escape_dovecot(value));
    };
    add("lip", question.server_address);
    add("rip", question.client_address);
    if (question.server_port != 0)
        add("lport", std::to_string(question.server_port));
    if (question.client_port != 0)
        add("rport", std::to_string(question.client_port));
    if (question.secured)
        text += "\tsecured";
    if (question.certificate)
        text += "\tvalid-client-cert";
    if (question.initial)                                           // the last: to its end it is base64
        text += "\tresp=" + escape_dovecot(*question.initial);
    return text + '\n';
}

std::string dovecot_response(std::uint32_t id, std::string_view response) { return fmt::format("CONT\t{}\t{}\n", id, escape_dovecot(response)); }
std::string dovecot_cancel(std::uint32_t id) { return fmt::format("CANCEL\t{}\n", id); }

}  // namespace posthorn::sasl
