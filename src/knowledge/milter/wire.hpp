// milter/wire.hpp: packets between a mail server and a mail filter.             Sendmail 8 Milter protocol, versions 2, 3, 4, 6
// Shape    a packet is a length (four octets, network order), a code (one octet, counted) and data. Text in data ends with a zero octet.
// Units    octets. packet_limit: far above the 64 KiB that libmilter sends at a time.
// Errors   name what is wrong with the packet, in words that follow "milter NAME: ". Status 4.3.5: the packet is whole, what it asks for cannot be.
// Trust    none: whatever octets a filter sends, an answer is one of those below, with text fit for a header, a reply or a command.
// Pure.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::milter {

/// What the filter is told.
enum class Event : char {
    negotiate = 'O',
    macros = 'D',
    connect = 'C',
    helo = 'H',
    mail = 'M',
    recipient = 'R',
    data = 'T',
    header = 'L',
    end_of_header = 'N',
    body = 'B',
    end_of_body = 'E',
    unknown = 'U',
    abort = 'A',
    quit = 'Q',
};
/// "SMFIC_CONNECT": the names that logs are searched for.
std::string_view name_of(Event event);

/// What it answers.
enum class Answer : char {
    add_recipient = '+',
    add_recipient_with = '2',
    delete_recipient = '-',
    shutdown = '4',
    accept = 'a',
    replace_body = 'b',
    go_on = 'c',
    discard = 'd',
    change_sender = 'e',
    connection_failed = 'f',
    add_header = 'h',
    insert_header = 'i',
    change_header = 'm',
    progress = 'p',
    quarantine = 'q',
    reject = 'r',
    skip = 's',
    tempfail = 't',
    reply = 'y',
};
/// "SMFIR_ACCEPT"; none: there is no such answer.
std::optional<std::string_view> name_of_answer(char code);

/// SMFIF_: what a filter may ask for at the end of a message.
namespace action {
inline constexpr std::uint32_t add_headers = 0x1, change_body = 0x2, add_recipients = 0x4, delete_recipients = 0x8, change_headers = 0x10,
                               quarantine = 0x20, change_sender = 0x40, add_recipients_with = 0x80, set_macros = 0x100, all = 0x1ff;
}  // namespace action

/// SMFIP_: what it is not to be told (no_*), what it does not answer (mute_*), and how it is told.
namespace step {
inline constexpr std::uint32_t no_connect = 0x1, no_helo = 0x2, no_mail = 0x4, no_recipient = 0x8, no_body = 0x10, no_header = 0x20,
                               no_end_of_header = 0x40, mute_header = 0x80, no_unknown = 0x100, no_data = 0x200, skip = 0x400,
                               rejected_recipients = 0x800, mute_connect = 0x1000, mute_helo = 0x2000, mute_mail = 0x4000, mute_recipient = 0x8000,
                               mute_data = 0x10000, mute_unknown = 0x20000, mute_end_of_header = 0x40000, mute_body = 0x80000,
                               leading_space = 0x100000;
inline constexpr std::uint32_t not_sent =
    no_connect | no_helo | no_mail | no_recipient | no_body | no_header | no_end_of_header | no_unknown | no_data;
}  // namespace step

/// What a version of the protocol knows of steps; of one that we do not know, what the next lower one does.
std::uint32_t steps_of(std::uint32_t version);

inline constexpr const char* misuse = "4.3.5";
inline constexpr std::size_t packet_limit = 4U << 20;
inline constexpr std::size_t body_chunk = 65535;

std::string packet(Event event, std::string_view data = {});
void append_text(std::string& data, std::string_view text);       // and its zero octet; one within ends it
void append_number(std::string& data, std::uint32_t number);
void append_port(std::string& data, std::uint16_t port);

/// Cuts a stream into packets.
class Packets {
public:
    void feed(std::string_view octets) { held_ += octets; }
    /// Code and data; none: more octets are needed. After an Error nothing more comes out.
    Result<std::optional<std::pair<char, std::string>>> next();
    bool empty() const { return held_.size() == taken_; }

private:
    std::string held_;
    std::size_t taken_ = 0;
};

/// The filter's side of the negotiation.
struct Negotiated {
    std::uint32_t version = 0, actions = 0, steps = 0;
    /// Lists of macros that it wants instead of ours, by stage number: 0 connect, 1 helo, 2 mail, 3 rcpt, 4 data, 5 end of body, 6 end of header.
    std::vector<std::pair<std::uint32_t, std::string>> macros;
};
Result<Negotiated> parse_negotiation(std::string_view data);

struct Response {
    Response() = default;
    explicit Response(Answer what) : answer(what) {}
    Answer answer = Answer::go_on;
    std::uint32_t index = 0;  // insert_header: how many fields stay in front; change_header: which one of that name, from 1
    std::string first;  // name of the field, address, octets of the body, reason of a quarantine, or reply: "550 5.7.1 text",
        // CRLF between its lines
    std::string second;  // value of the field (LF within, empty: it goes), ESMTP arguments
};
Result<Response> parse_response(char code, std::string_view data);

/// "Name: value" as a field of a message, CRLF at the ends of its lines. Lines of the value that do not begin with white space get a tab.
std::string field_text(std::string_view name, std::string_view value, bool space);

}  // namespace posthorn::milter
