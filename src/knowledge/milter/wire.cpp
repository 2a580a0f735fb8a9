#include "milter/wire.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::milter {

namespace {

struct NamedEvent {
    Event event;
    std::string_view name;
};
constexpr auto events = std::to_array<NamedEvent>({
    {Event::negotiate, "SMFIC_OPTNEG"},
    {Event::macros, "SMFIC_MACRO"},
    {Event::connect, "SMFIC_CONNECT"},
    {Event::helo, "SMFIC_HELO"},
    {Event::mail, "SMFIC_MAIL"},
    {Event::recipient, "SMFIC_RCPT"},
    {Event::data, "SMFIC_DATA"},
    {Event::header, "SMFIC_HEADER"},
    {Event::end_of_header, "SMFIC_EOH"},
    {Event::body, "SMFIC_BODY"},
    {Event::end_of_body, "SMFIC_BODYEOB"},
    {Event::unknown, "SMFIC_UNKNOWN"},
    {Event::abort, "SMFIC_ABORT"},
    {Event::quit, "SMFIC_QUIT"},
});

enum class Data : std::uint8_t { none, octets, text, text_and_more, two_texts, number_and_two_texts };
struct NamedAnswer {
    Answer answer;
    std::string_view name;
    Data data;
};
constexpr auto answers = std::to_array<NamedAnswer>({
    {Answer::add_recipient, "SMFIR_ADDRCPT", Data::text},
    {Answer::add_recipient_with, "SMFIR_ADDRCPT_PAR", Data::text_and_more},
    {Answer::delete_recipient, "SMFIR_DELRCPT", Data::text},
    {Answer::shutdown, "SMFIR_SHUTDOWN", Data::none},
    {Answer::accept, "SMFIR_ACCEPT", Data::none},
    {Answer::replace_body, "SMFIR_REPLBODY", Data::octets},
    {Answer::go_on, "SMFIR_CONTINUE", Data::none},
    {Answer::discard, "SMFIR_DISCARD", Data::none},
    {Answer::change_sender, "SMFIR_CHGFROM", Data::text_and_more},
    {Answer::connection_failed, "SMFIR_CONN_FAIL", Data::none},
    {Answer::add_header, "SMFIR_ADDHEADER", Data::two_texts},
    {Answer::insert_header, "SMFIR_INSHEADER", Data::number_and_two_texts},
    {Answer::change_header, "SMFIR_CHGHEADER", Data::number_and_two_texts},
    {Answer::progress, "SMFIR_PROGRESS", Data::none},
    {Answer::quarantine, "SMFIR_QUARANTINE", Data::octets},
    {Answer::reject, "SMFIR_REJECT", Data::none},
    {Answer::skip, "SMFIR_SKIP", Data::none},
    {Answer::tempfail, "SMFIR_TEMPFAIL", Data::none},
    {Answer::reply, "SMFIR_REPLYCODE", Data::octets},
});

std::optional<std::uint32_t> take_number(std::string_view& data)
{
    if (data.size() < 4)
        return std::nullopt;
    std::uint32_t number = 0;
    for (const char octet : data.substr(0, 4))
        number = number << 8 | static_cast<unsigned char>(octet);
    data.remove_prefix(4);
    return number;
}

std::optional<std::string> take_text(std::string_view& data)
{
    const auto end = data.find('\0');
    if (end == std::string_view::npos)
        return std::nullopt;
    std::string text(data.substr(0, end));
    data.remove_prefix(end + 1);
    return text;
}

bool is_field_name(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127 && c != ':'; });
}

bool has_controls(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
}

/// "550-5.7.1 one CRLF 550 5.7.1 two": every line of one code that refuses, "%%" for "%", nothing that could end a line of the reply.
Result<std::string> reply_of(std::string_view data)
{
    if (data.ends_with('\0'))
        data.remove_suffix(1);
    const auto malformed = [&] { return Error{fmt::format("malformed reply: {}", printable(data.substr(0, 100), true)), misuse}; };
    std::string text;
    for (std::size_t at = 0; at < data.size(); ++at) {
        if (data[at] == '%' && ++at == data.size())
            break;
        text += data[at];
    }
    while (text.ends_with('\n') || text.ends_with('\r'))
        text.pop_back();
    std::string made;
    const auto lines = split_exact(text, '\n');
    for (std::string_view line : lines) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        const bool last = line.data() + line.size() >= text.data() + text.size();
        if (line.size() < 3 || (line[0] != '4' && line[0] != '5') || !is_digit(line[1]) || !is_digit(line[2]) ||
            line.substr(0, 3) != std::string_view(text).substr(0, 3) || (line.size() > 3 && line[3] != ' ' && line[3] != '-') ||
            (line.size() > 5 && is_digit(line[4]) && line[5] == '.' && line[4] != line[0]))
            return malformed();
        if (!made.empty())
            made += "\r\n";
        made += line.substr(0, 3);
        made += last ? ' ' : '-';
        if (line.size() > 4)
            made += printable(line.substr(4), true);
    }
    if (made.empty())
        return malformed();
    return made;
}

Result<void> judge_words(Response& response)
{
    switch (response.answer) {
    case Answer::add_header:
    case Answer::insert_header:
    case Answer::change_header:
        if (!is_field_name(response.first))
            return Error{fmt::format("bad header name: \"{}\"", printable(response.first.substr(0, 100))), misuse};
        // "0" means the first as well; a negative one nothing at all.
        if (response.answer == Answer::change_header && response.index == 0)
            response.index = 1;
        if (response.index > 0x7fffffff)
            return Error{fmt::format("bad {} header index: {}", response.answer == Answer::change_header ? "change" : "insert",
                                     static_cast<std::int32_t>(response.index)),
                         misuse};
        break;
    case Answer::add_recipient:
    case Answer::add_recipient_with:
    case Answer::delete_recipient:
    case Answer::change_sender:
        if (has_controls(response.first) || has_controls(response.second))
            return Error{fmt::format("bad address: {}", printable(response.first.substr(0, 100))), misuse};
        break;
    case Answer::reply: {
        TRY(response.first, reply_of(response.first));
        break;
    }
    default: break;
    }
    return {};
}

}  // namespace

std::string_view name_of(Event event)
{
    const auto found = std::ranges::find(events, event, &NamedEvent::event);
    return found == events.end() ? "(unknown MTA event)" : found->name;
}

std::optional<std::string_view> name_of_answer(char code)
{
    const auto found = std::ranges::find(answers, static_cast<Answer>(code), &NamedAnswer::answer);
    return found == answers.end() ? std::nullopt : std::optional(found->name);
}

std::uint32_t steps_of(std::uint32_t version)
{
    using namespace step;
    std::uint32_t steps = no_connect | no_helo | no_mail | no_recipient | no_body | no_header | no_end_of_header;
    if (version >= 3)
        steps |= no_unknown;
    if (version >= 4)
        steps |= no_data;
    if (version >= 6)
        steps |= step::skip | rejected_recipients | mute_header | mute_connect | mute_helo | mute_mail | mute_recipient | mute_data | mute_unknown |
                 mute_end_of_header | mute_body | leading_space;
    return steps;
}

std::string packet(Event event, std::string_view data)
{
    std::string made;
    made.reserve(data.size() + 5);
    append_number(made, static_cast<std::uint32_t>(data.size() + 1));
    made += static_cast<char>(event);
    made += data;
    return made;
}

void append_text(std::string& data, std::string_view text)
{
    data += text.substr(0, text.find('\0'));
    data += '\0';
}

void append_number(std::string& data, std::uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        data += static_cast<char>(number >> shift & 0xff);
}

void append_port(std::string& data, std::uint16_t port)
{
    data += static_cast<char>(port >> 8);
    data += static_cast<char>(port & 0xff);
}

Result<std::optional<std::pair<char, std::string>>> Packets::next()
{
    std::string_view rest = std::string_view(held_).substr(taken_);
    const auto size = take_number(rest);
    if (!size)
        return std::nullopt;
    if (*size < 1)
        return Error{fmt::format("bad packet length: {}", *size)};
    if (*size > packet_limit)
        return Error{fmt::format("unreasonable packet length: {} > {}", *size, packet_limit)};
    if (rest.size() < *size)
        return std::nullopt;
    std::pair<char, std::string> made{rest.front(), rest.substr(1, *size - 1)};
    taken_ += 4 + *size;
    if (taken_ == held_.size() || taken_ > (64U << 10)) {
        held_.erase(0, taken_);
        taken_ = 0;
        if (held_.empty() && held_.capacity() > (64U << 10))       // a large packet is rare, and a session may be long
            held_.shrink_to_fit();
    }
    return made;
}

Result<Negotiated> parse_negotiation(std::string_view data)
{
    Negotiated made;
    for (std::uint32_t* into : {&made.version, &made.actions, &made.steps}) {
        const auto number = take_number(data);
        if (!number)
            return Error{"input packet too short for network long"};
        *into = *number;
    }
    while (!data.empty()) {
        const auto stage = take_number(data);
        if (!stage)
            return Error{"input packet too short for network long"};
        auto list = take_text(data);
        if (!list)
            return Error{"missing string null terminator"};
        made.macros.emplace_back(*stage, *std::move(list));
    }
    return made;
}

Result<Response> parse_response(char code, std::string_view data)
{
    const auto known = std::ranges::find(answers, static_cast<Answer>(code), &NamedAnswer::answer);
    if (known == answers.end())
        return Error{fmt::format("unexpected filter response \"{}\"", printable(std::string_view(&code, 1)))};
    Response made(known->answer);
    const auto text = [&](std::string& into) -> Result<void> {
        auto taken = take_text(data);
        if (!taken)
            return Error{data.empty() ? "packet too short for string" : "missing string null terminator"};
        into = *std::move(taken);
        return {};
    };
    switch (known->data) {
    case Data::none: break;
    case Data::octets:
        made.first = data;
        data = {};
        break;
    case Data::number_and_two_texts: {
        const auto number = take_number(data);
        if (!number)
            return Error{"input packet too short for network long"};
        made.index = *number;
        [[fallthrough]];
    }
    case Data::two_texts:
        TRY_VOID(text(made.first));
        TRY_VOID(text(made.second));
        break;
    case Data::text: TRY_VOID(text(made.first)); break;
    case Data::text_and_more:
        TRY_VOID(text(made.first));
        if (!data.empty())
            TRY_VOID(text(made.second));
        break;
    }
    if (!data.empty())
        return Error{fmt::format("reply {} was followed by {} data bytes", known->name, data.size())};
    TRY_VOID(judge_words(made));
    return made;
}

std::string field_text(std::string_view name, std::string_view value, bool space)
{
    std::string made = fmt::format("{}:{}", name, space ? " " : "");
    bool first = true;
    for (std::string_view line : split_exact(value, '\n')) {
        while (line.ends_with('\r'))
            line.remove_suffix(1);
        if (!first && trim(line).empty())
            continue;                                             // an empty line would end the header
        if (!first)
#ifdef POSTHORN_PLANT_BUG_milter_answers  // a line of a value begins a field of the filter's choosing (scripts/fuzz-planted)
            made += "\r\n";
#else
            made += line.front() == ' ' || line.front() == '\t' ? "\r\n" : "\r\n\t";
#endif
        first = false;
        for (const char c : line)
            made += c == '\r' ? ' ' : c;
    }
    return made + "\r\n";
}

}  // namespace posthorn::milter
