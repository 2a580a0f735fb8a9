#include "exim/spool_writer.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

std::string base62(std::uint64_t number, int digits)
{
    constexpr std::string_view letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string text(static_cast<std::size_t>(digits), '0');
    for (auto at = text.rbegin(); at != text.rend(); ++at, number /= letters.size())
        *at = letters[number % letters.size()];
    return text;
}

bool has_line_end(std::string_view text) { return text.find_first_of("\r\n") != text.npos; }

std::string variable(std::string_view name, std::string_view value)
{
    return value.empty() || has_line_end(value) ? std::string{} : fmt::format("-{} {}\n", name, value);
}

char letter_of(const message::Field& field)
{
    constexpr std::pair<std::string_view, char> known[]{{"Received", 'P'},   {"Bcc", 'B'},      {"Cc", 'C'},     {"From", 'F'},
                                                        {"Message-Id", 'I'}, {"Reply-To", 'R'}, {"Sender", 'S'}, {"To", 'T'}};
    for (const auto& [name, letter] : known)
        if (field.is(name))
            return letter;
    return ' ';
}

Result<void> sayable(const handoff::Envelope& envelope)
{
    if (envelope.requiretls())
        return Error{"REQUIRETLS (RFC 8689) cannot be said in Exim's spool"};
    if (envelope.body() == handoff::BODY_BINARY)
        return Error{"BODY=BINARYMIME cannot be said in Exim's spool"};
    if (!envelope.filter().empty())
        return Error{fmt::format("content filter {} cannot be said in Exim's spool", printable(envelope.filter()))};
    if (!envelope.verp().empty())
        return Error{"VERP cannot be said in Exim's spool"};
    if (envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS)
        return Error{"an address verification cannot be said in Exim's spool"};
    if (has_line_end(envelope.sender()))
        return Error{"the sender has a line end"};
    return {};
}

std::string client_variables(const handoff::Client& client)
{
    const auto place = [](const std::string& address, std::uint32_t port) {
        return address.empty() ? std::string{} : fmt::format("[{}]:{}", address, port);
    };
    if (client.address().empty())
        return "-received_protocol local\n-local\n";
    std::string protocol = to_lower(client.protocol());
    if (protocol.starts_with("utf8smtp"))
        protocol.insert(4, 1, 'e');
    return variable("helo_name", client.helo()) + variable("host_address", place(client.address(), client.port())) +
           variable("host_name", client.name() == "unknown" ? "" : client.name()) + variable("host_auth", client.sasl_method()) +
           variable("interface_address", place(client.server_address(), client.server_port())) + variable("received_protocol", protocol) +
           variable("auth_id", client.sasl_username()) + variable("auth_sender", client.sasl_sender());
}

Result<std::string> recipient_line(const handoff::Recipient& one)
{
    if (has_line_end(one.address()) || has_line_end(one.orcpt()))
        return Error{"a recipient has a line end"};
    unsigned flags = 0;
    for (const auto& [notify, bit] : {std::pair{handoff::NOTIFY_NEVER, 2U}, std::pair{handoff::NOTIFY_SUCCESS, 4U},
                                      std::pair{handoff::NOTIFY_FAILURE, 8U}, std::pair{handoff::NOTIFY_DELAY, 16U}})
        if ((one.notify() & static_cast<std::uint32_t>(notify)) != 0)
            flags |= bit;
    if (flags == 0 && one.orcpt().empty())
        return fmt::format("{}\n", one.address());
    const std::string orcpt = smtp::xtext_encode(one.orcpt());
    return fmt::format("{} {} {},{}  0,-1#3\n", one.address(), orcpt, orcpt.size(), flags);
}

std::string with_lf(std::string_view field)
{
    std::string text;
    for (std::size_t i = 0; i < field.size(); ++i)
        if (field[i] != '\r' || i + 1 == field.size() || field[i + 1] != '\n')
            text += field[i];
    if (!text.ends_with('\n'))
        text += '\n';
    return text;
}

}  // namespace

std::string message_id(std::int64_t seconds, std::uint64_t sequence, unsigned choice)
{
    return fmt::format("{}-{}-{}", base62(static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 0)), 6), base62(sequence, 6), base62(choice, 2));
}

void BodyWriter::put(std::string& out, char c)
{
    out += c;
    if (c == '\n') {
        ++lines_;
        line_ = 0;
        return;
    }
    zeros_ += c == '\0' ? 1 : 0;
    longest_ = std::max(longest_, ++line_);
}

std::string BodyWriter::content(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size() + 1);
    for (const char c : octets) {
        if (std::exchange(pending_, false) && c != '\n')
            put(out, '\r');
        if (c == '\r')
            pending_ = true;
        else
            put(out, c);
    }
    return out;
}

std::string BodyWriter::end()
{
    std::string out;
    if (std::exchange(pending_, false))
        put(out, '\r');
    if (line_ > 0)
        put(out, '\n');
    return out;
}

Result<std::string> spool_head(std::string_view id, const Owner& owner, const handoff::Envelope& envelope, std::string_view header,
                               const BodyWriter& body, std::int64_t frozen)
{
    TRY_VOID(sayable(envelope));
    std::string out = fmt::format("{}-H\n{} {} {}\n<{}>\n{} 0\n-received_time_usec .{:06}\n", id, owner.name, owner.uid, owner.gid, envelope.sender(),
                                  envelope.arrival() / 1'000'000, envelope.arrival() % 1'000'000);
    out += client_variables(envelope.client());
    out += fmt::format("-body_linecount {}\n-max_received_linelength {}\n", body.lines(), body.longest());
    if (body.zeros() > 0)
        out += fmt::format("-body_zerocount {}\n", body.zeros());
    if (frozen != 0)
        out += fmt::format("-frozen {}\n", frozen);
    if (envelope.smtputf8())
        out += "-smtputf8\n";
    out += variable("dsn_envid", smtp::xtext_encode(envelope.envid()));
    if (envelope.ret() != handoff::RET_UNSPECIFIED)
        out += fmt::format("-dsn_ret {}\n", envelope.ret() == handoff::RET_FULL ? 1 : 2);
    out += fmt::format("XX\n{}\n", envelope.recipients_size());
    for (const handoff::Recipient& one : envelope.recipients()) {
        TRY(const std::string line, recipient_line(one));
        out += line;
    }
    out += '\n';
    message::HeaderWalk walk(header);
    while (const auto field = walk.next()) {
        const std::string text = with_lf(field->whole);
        out += fmt::format("{:03}{} {}", text.size(), letter_of(*field), text);
    }
    return out;
}

}  // namespace posthorn::exim
