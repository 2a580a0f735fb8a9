#include "receive/qmqp_packet.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn::receive;

namespace {

std::string netstring_of(std::string_view text) { return fmt::format("{}:{},", text.size(), text); }

/// "whole", "more", or what is wrong and where; and what was read.
std::string outcome(std::string_view octets, QmqpPacket::Limits limits = {.content = 20, .address = 10})
{
    QmqpPacket packet(limits);
    std::string_view rest = octets;
    const auto whole = packet.feed(rest);
    if (!whole)
        return fmt::format("{} in {}", whole.error() == QmqpPacket::Fault::size ? "too long" : "malformed", to_text(packet.part()));
    if (!*whole)
        return fmt::format("more of {}", to_text(packet.part()));
    std::string text = fmt::format("[{}] [{}]", packet.content(), packet.sender());
    for (const std::string& recipient : packet.recipients())
        text += fmt::format(" <{}>", recipient);
    return text + fmt::format(" and {}", rest.size());
}

}  // namespace

TEST_CASE("a QMQP packet: content, sender, recipients; what is behind it is left")
{
    CHECK(outcome("26:7:content,4:from,2:to,3:too,,") == "[content] [from] <to> <too> and 0");
    CHECK(outcome("26:7:content,4:from,2:to,3:too,,QUIT") == "[content] [from] <to> <too> and 4");
    CHECK(outcome("6:0:,0:,,") == "[] [] and 0");
    CHECK(outcome("9:0:,0:,0:,,") == "[] [] <> and 0");
}

TEST_CASE("a QMQP packet: the outer length is read and decides nothing, as in Postfix; leading zeros are digits, and no digits are 0")
{
    CHECK(outcome("1:1:a,1:b,1:c,,") == "[a] [b] <c> and 0");
    CHECK(outcome("99999:1:a,1:b,1:c,,") == "[a] [b] <c> and 0");
    CHECK(outcome(":001:a,:,1:c,,") == "[a] [] <c> and 0");
    CHECK(outcome("99999999999999999999:1:a,") == "too long in QMQP packet header");
}

TEST_CASE("a QMQP packet: what is no netstring, or too long, is found where it is")
{
    CHECK(outcome("EHLO") == "malformed in QMQP packet header");
    CHECK(outcome("5x:") == "malformed in QMQP packet header");
    CHECK(outcome(",") == "malformed in QMQP packet header");
    CHECK(outcome("9:-1:a") == "malformed in message content");
    CHECK(outcome("9:1:ab") == "malformed in message content");
    CHECK(outcome("9:1:a,1:bc") == "malformed in sender address");
    CHECK(outcome("9:1:a,,") == "malformed in sender address");
    CHECK(outcome("9:1:a,1:b,;") == "malformed in recipient address");
    CHECK(outcome("9:1:a,1:b,1,") == "malformed in recipient address");
    CHECK(outcome("9:21:") == "too long in message content");
    CHECK(outcome("9:20:") == "more of message content");
    CHECK(outcome("9:1:a,11:") == "too long in sender address");
    CHECK(outcome("9:1:a,1:b,11:") == "too long in recipient address");
    CHECK(outcome("9:999:", {.content = 0, .address = 10}) == "more of message content");
}

TEST_CASE("a QMQP packet: however it is cut, nothing is whole before its end, and the parts are named in their order")
{
    const std::string whole = netstring_of(netstring_of("content") + netstring_of("from") + netstring_of("to"));
    std::string seen;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const std::string said = outcome(whole.substr(0, size));
        REQUIRE(said.starts_with("more of "));
        if (!seen.ends_with(said))
            seen += said;
        QmqpPacket packet({.content = 20, .address = 10});
        std::string_view first = std::string_view(whole).substr(0, size), second = std::string_view(whole).substr(size);
        CHECK_FALSE(packet.feed(first).value());
        CHECK(packet.feed(second).value());
        CHECK(packet.content() == "content");
        CHECK(packet.recipients() == std::vector<std::string>{"to"});
    }
    CHECK(seen == "more of QMQP packet headermore of message contentmore of sender addressmore of recipient address");
}

TEST_CASE("a QMQP sender may ask for variable return paths; what only looks like it is an address")
{
    const auto path = [](std::string_view sender) {
        const QmqpReturnPath made = qmqp_return_path(sender);
        return fmt::format("{} {}", made.sender, made.verp);
    };
    CHECK(path("list-@h.test-@[]") == "list@h.test -=");
    CHECK(path("list+@h.test-@[]") == "list@h.test +=");
    CHECK(path("l-@h-@[]") == "l@h -=");
    CHECK(path("-@h.test-@[]") == "-@h.test-@[] ");
    CHECK(path("list-@-@[]") == "list-@-@[] ");
    CHECK(path("list-@h.test-@[x]") == "list-@h.test-@[x] ");
    CHECK(path("-@[]") == "-@[] ");
    CHECK(path("list-h.test-@[]") == "list-h.test-@[] ");
    CHECK(path("") == " ");
}
