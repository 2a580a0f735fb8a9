#include "milter/wire.hpp"

#include "milter/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::milter;
using namespace std::string_literals;
using milter::testing::answer;
using milter::testing::numbered;

namespace {

std::string error_of(char code, std::string_view data)
{
    const auto parsed = parse_response(code, data);
    return parsed ? "" : parsed.error().what() + (parsed.error().status().empty() ? "" : "/" + parsed.error().status());
}
std::string reply_of(std::string_view data)
{
    const auto parsed = parse_response('y', data);
    return parsed ? parsed->first : parsed.error().what();
}

}  // namespace

TEST_CASE("milter, packets: whatever pieces they come in, and a length that cannot be ends it")
{
    Packets packets;
    const std::string octets = answer('c') + answer('h', "X\0y\0"s);
    std::vector<std::pair<char, std::string>> found;
    for (const char octet : octets) {
        packets.feed(std::string_view(&octet, 1));
        auto next = packets.next();
        REQUIRE(next);
        if (const auto& one = *next)
            found.push_back(*one);
    }
    CHECK(found == std::vector<std::pair<char, std::string>>{{'c', ""}, {'h', "X\0y\0"s}});
    CHECK(packets.empty());
    packets.feed("\0\0\0\0x"s);
    CHECK(packets.next().error().what() == "bad packet length: 0");
    Packets large;
    large.feed("\xff\xff\xff\xffx"s);
    CHECK(large.next().error().what() == "unreasonable packet length: 4294967295 > 4194304");
}

TEST_CASE("milter, answers: each has the data it has to have, and no more")
{
    CHECK(parse_response('c', "")->answer == Answer::go_on);
    CHECK(error_of('c', "x") == "reply SMFIR_CONTINUE was followed by 1 data bytes");
    CHECK(error_of('!', "") == "unexpected filter response \"!\"");
    CHECK(error_of('+', "") == "packet too short for string");
    CHECK(error_of('+', "<a@b>") == "missing string null terminator");
    CHECK(error_of('+', "<a@b>\0x"s) == "reply SMFIR_ADDRCPT was followed by 1 data bytes");
    CHECK(parse_response('+', "<a@b>\0"s)->first == "<a@b>");
    CHECK(parse_response('2', "<a@b>\0"s)->second.empty());
    CHECK(parse_response('2', "<a@b>\0NOTIFY=NEVER\0"s)->second == "NOTIFY=NEVER");
    CHECK(error_of('m', "\0\0"s) == "input packet too short for network long");
    const auto changed = parse_response('m', numbered(0, "Subject\0new\0"s));
    REQUIRE(changed);
    CHECK((changed->index == 1 && changed->first == "Subject" && changed->second == "new"));
    CHECK(parse_response('i', numbered(0, "Subject\0new\0"s))->index == 0);
    CHECK(error_of('i', numbered(0xffffffff, "Subject\0new\0"s)) == "bad insert header index: -1/4.3.5");
    for (const std::string& name : {""s, "X Y"s, "X:"s, "X\r\nY"s})
        CHECK(error_of('h', name + "\0v\0"s).starts_with("bad header name: "));
    CHECK(error_of('e', "<a@b>\r\nDATA\0"s).starts_with("bad address: "));
    CHECK(parse_response('b', "a\0b"s)->first == "a\0b"s);
}

TEST_CASE("milter, replies: a refusal in one or several lines, and nothing that could be taken for more than that")
{
    CHECK(reply_of("550 5.7.1 no\0"s) == "550 5.7.1 no");
    CHECK(reply_of("451 4.7.1 100%% sure, 50% off") == "451 4.7.1 100% sure, 50 off");
    CHECK(reply_of("550-5.7.1 one\r\n550 5.7.1 two\r\n") == "550-5.7.1 one\r\n550 5.7.1 two");
    CHECK(reply_of("550 5.7.1 one\n550-5.7.1 two") == "550-5.7.1 one\r\n550 5.7.1 two");
    CHECK(reply_of("554") == "554 ");
    CHECK(reply_of("550 5.7.1 bell\a") == "550 5.7.1 bell?");
    for (const std::string_view bad : {"", "250 2.0.0 fine", "55x no", "5501 no", "550 4.7.1 no", "550-5.7.1 one\r\n551 5.7.1 two",
                                       "550-5.7.1 one\r\nRSET", "550 5.7.1 a\r\n\r\n550 b", "%"})
        CHECK(reply_of(bad).starts_with("malformed reply: "));
}

TEST_CASE("milter, fields: a value cannot begin a field of its own, nor end the header")
{
    CHECK(field_text("X", "a", true) == "X: a\r\n");
    CHECK(field_text("X", " a", false) == "X: a\r\n");
    CHECK(field_text("X", "a\n\tb\r\n c\n", true) == "X: a\r\n\tb\r\n c\r\n");
    CHECK(field_text("X", "a\nEvil: b", true) == "X: a\r\n\tEvil: b\r\n");
    CHECK(field_text("X", "a\n\nbody\n \nmore", true) == "X: a\r\n\tbody\r\n\tmore\r\n");
    CHECK(field_text("X", "a\rb", true) == "X: a b\r\n");
}

TEST_CASE("milter, negotiation: three numbers, then lists of macros")
{
    std::string data;
    for (const std::uint32_t number : {6U, 0x1U, 0x2U})
        append_number(data, number);
    CHECK(parse_negotiation(data)->steps == 2);
    append_number(data, 5);
    CHECK(parse_negotiation(data).error().what() == "missing string null terminator");
    append_text(data, "i {rcpt}");
    CHECK(parse_negotiation(data)->macros == std::vector<std::pair<std::uint32_t, std::string>>{{5, "i {rcpt}"}});
    CHECK(parse_negotiation("\0\0\0\6"s).error().what() == "input packet too short for network long");
    CHECK((steps_of(2) & step::no_unknown) == 0);
    CHECK((steps_of(3) & step::no_data) == 0);
    CHECK((steps_of(5) & (step::no_data | step::skip)) == step::no_data);
    CHECK((steps_of(6) & step::skip) == step::skip);
}
