// What a mail filter answers. Whatever octets come, in whatever pieces, they become answers with text that fits where it goes, or an error that says
// why; what is applied to a message leaves it a message: our own field stays, no value begins a field or ends the header, a body has its line ends.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "milter/mail.hpp"

namespace posthorn::fuzz {

using namespace posthorn::milter;

namespace {

constexpr std::string_view content = "Received: ours\r\nSubject: s\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody\r\n";
constexpr std::uint64_t body_limit = 200;

struct Packet {
    char code;
    std::string data;
    bool operator==(const Packet&) const = default;
};

struct Cut {
    std::vector<Packet> packets;
    std::string error;
    bool operator==(const Cut&) const = default;
};

void drain(Packets& packets, Cut& cut)
{
    while (cut.error.empty()) {
        auto next = packets.next();
        if (!next) {
            cut.error = next.error().what();
            FUZZ_CHECK(!cut.error.empty());
            return;
        }
        if (!*next)
            return;
        FUZZ_CHECK((*next)->second.size() < packet_limit);
        cut.packets.push_back({(*next)->first, std::move((*next)->second)});
    }
}

bool fits_a_line(std::string_view text)
{
    return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
}

void check_reply(std::string_view reply)
{
    FUZZ_CHECK(reply.starts_with('4') || reply.starts_with('5'));
    const std::string_view code = reply.substr(0, 3);
    for (std::string_view line : split_exact(reply, '\n')) {
        const bool last = line.data() + line.size() == reply.data() + reply.size();
        FUZZ_CHECK(last || line.ends_with('\r'));
        if (!last)
            line.remove_suffix(1);
        FUZZ_CHECK(line.starts_with(code) && line.size() >= 4 && line[3] == (last ? ' ' : '-'));
        FUZZ_CHECK(fits_a_line(line));
    }
}

void check_message(const Mail& mail)
{
    const std::string head = mail.head();
    std::size_t fields = 0, ours = 0;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        FUZZ_CHECK(fields < mail.header().size() && field->whole == mail.header()[fields].text);
        ours += mail.header()[fields++].ours;
    }
    FUZZ_CHECK(ours == 1);
    FUZZ_CHECK(walk.end() == message::HeaderEnd::empty_line && walk.body_offset() == head.size());
    FUZZ_CHECK(fields == mail.header().size());
    for (std::size_t at = 0; at < head.size(); ++at)
        FUZZ_CHECK(head[at] != '\n' || head[at - 1] == '\r');
    if (const auto& body = mail.new_body()) {
        FUZZ_CHECK(body->size() <= 2 * body_limit + 2);
        FUZZ_CHECK(body->empty() || body->ends_with("\r\n"));
        for (std::size_t at = 0; at < body->size(); ++at)
            FUZZ_CHECK((*body)[at] != '\n' || (at > 0 && (*body)[at - 1] == '\r'));
    }
    for (const EnvelopeChange& change : mail.envelope_changes())
        FUZZ_CHECK(fits_a_line(change.address) && fits_a_line(change.arguments));
}

/// What we write is read back as it was.
void check_own(char code, std::string_view said)
{
    std::string data;
    append_number(data, static_cast<std::uint32_t>(said.size() * 0x01010101U));
    append_port(data, static_cast<std::uint16_t>(said.size()));
    append_text(data, said);
    FUZZ_CHECK(data.size() == 4 + 2 + std::min(said.find('\0'), said.size()) + 1);
    Packets packets;
    packets.feed(packet(static_cast<Event>(code), data));
    const auto read = packets.next();
    FUZZ_CHECK(read && *read && (*read)->first == code && (*read)->second == data && packets.empty());
    FUZZ_CHECK(!name_of(static_cast<Event>(code)).empty());
    FUZZ_CHECK((steps_of(static_cast<unsigned char>(code)) & ~steps_of(6)) == 0);
}

void check_response(char code, const std::string& data, Mail& mail)
{
    if (const auto agreed = parse_negotiation(data); !agreed)
        FUZZ_CHECK(!agreed.error().what().empty());
    const auto response = parse_response(code, data);
    if (!response) {
        FUZZ_CHECK(!response.error().what().empty() && fits_a_line(response.error().what()));
        return;
    }
    FUZZ_CHECK(name_of_answer(code));
    if (response->answer == Answer::reply)
        check_reply(response->first);
    (void)mail.apply(*response, data.size() % 2 == 0);      // too large a body is refused
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    const std::uint32_t seed = choices.octet();
    Cut whole, pieces;
    Packets at_once, bit_by_bit;
    at_once.feed(input);
    drain(at_once, whole);
    in_pieces(input, seed, [&](std::string_view piece) {
        bit_by_bit.feed(piece);
        drain(bit_by_bit, pieces);
        return pieces.error.empty();
    });
    FUZZ_CHECK(whole == pieces);

    Mail mail(content, content.size(), nullptr, body_limit);
    for (const Packet& packet : whole.packets)
        check_response(packet.code, packet.data, mail);
    // Most inputs are no packets: as data of each answer they are of interest all the same.
    if (!input.empty())
        check_own(input.front(), input.substr(1));
    if (!input.empty())
        check_response(input.front(), std::string(input.substr(1)), mail);
    mail.end_of_changes();
    check_message(mail);
}

}  // namespace posthorn::fuzz
