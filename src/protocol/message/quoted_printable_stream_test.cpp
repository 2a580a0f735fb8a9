#include "message/quoted_printable_stream.hpp"

#include "message/to_7bit.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn::message;

namespace {

std::string made_7bit(const ContentType& type, Encoding encoding, std::string_view body, std::size_t step, std::size_t line = 2048)
{
    MimeStreamLimits limits;
    limits.line = line;
    QuotedPrintableStream stream(type, encoding, limits);
    std::string out;
    for (std::size_t at = 0; at < body.size(); at += step)
        out += stream.convert(body.substr(at, step), false);
    return out + stream.convert("", true);
}

std::size_t longest_line(std::string_view text)
{
    std::size_t longest = 0;
    for (std::size_t at = 0, end = 0; at <= text.size() && end != text.npos; at = end + 2) {
        end = text.find("\r\n", at);
        longest = std::max(longest, std::min(end, text.size()) - at);
    }
    return longest;
}

const ContentType in_parts{.type = "multipart", .subtype = "mixed", .boundary = "b"};

}  // namespace

TEST_CASE(
    "quoted-printable stream: a body that claims to be 8-bit is encoded, whatever the pieces and the length of its lines, and what claims nothing stays")
{
    std::string body = "gr\xc3\xbc\xc3\x9f\x65 = \r\n\r\n.dot\r\n";
    for (int i = 0; i < 300; ++i)
        body += "long \xc3\xa4 ";
    body += "\r\n" + std::string(500, 'a') + "\r\nend without a line end";
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, body.size()})
        for (const std::size_t line : {std::size_t{20}, std::size_t{75}, std::size_t{76}, std::size_t{2048}}) {
            const std::string encoded = made_7bit({}, Encoding::eight_bit, body, step, line);
            CHECK(std::ranges::all_of(encoded, [](char c) { return static_cast<unsigned char>(c) < 128; }));
            CHECK(decode_quoted_printable(encoded) == body);
            CHECK(longest_line(encoded) <= 76);                   // RFC 2045 6.7 (5)
            CHECK(made_7bit({}, Encoding::seven_bit, body, step, line) == body);
            CHECK(made_7bit({}, Encoding::quoted_printable, body, step, line) == body);
        }
    CHECK(made_7bit({}, Encoding::binary, "\xc3\xa4=\r\n", 1) == "=C3=A4=3D\r\n");
}

TEST_CASE("quoted-printable stream: no line that it begins looks like a boundary")
{
    for (std::size_t before = 60; before < 80; ++before)
        for (const std::size_t line : {std::size_t{64}, std::size_t{72}, std::size_t{76}, std::size_t{2048}}) {
            const std::string body = "\xc3\xa4" + std::string(before, 'a') + "----b\r\nend\r\n";
            const std::string encoded =
                made_7bit(in_parts, Encoding::eight_bit, "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body + "--b--\r\n", 1000, line);
            CHECK(encoded.find("\r\n-") == encoded.find("\r\n--b--"));
            const std::size_t start = encoded.find("\r\n\r\n") + 4;
            CHECK(decode_quoted_printable(encoded.substr(start, encoded.find("--b--\r\n", start) - start)) == body);
        }
}

TEST_CASE("quoted-printable stream: each part says what has become of it, containers that they are 7bit, and nothing else of a header changes")
{
    const std::string body =
        "pre\xc3\xa4mble\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n\xc3\xa4\r\n--b\r\nX: z\r\n\r\n\xc3\xb6\r\n"
        "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding:\r\n 8BIT\r\n\r\nSubject: \xc3\xbc\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"
        "--b\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\xc3\xa4 text\r\n--b--\r\n"
        "\xc3\xa4\r\n";
    const std::string expected =
        "pre\xc3\xa4mble\r\n--b\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--b\r\nX: z\r\n\r\n\xc3\xb6\r\n"
        "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: \xc3\xbc\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
        "--b\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4 text\r\n"
        "--b--\r\n\xc3\xa4\r\n";
    for (const std::size_t step : {std::size_t{1}, std::size_t{5}, body.size()})
        CHECK(made_7bit(in_parts, Encoding::eight_bit, body, step) == expected);
    CHECK(made_7bit(in_parts, Encoding::seven_bit, body, body.size()) == expected);
}

TEST_CASE("quoted-printable stream: a header that ends with the message has its field back")
{
    CHECK(made_7bit(in_parts, Encoding::seven_bit, "--b\r\nContent-Transfer-Encoding: 8bit\r\n", 1) == "--b\r\nContent-Transfer-Encoding: 8bit\r\n");
    CHECK(QuotedPrintableStream::label(in_parts, Encoding::eight_bit) == "7bit");
    CHECK(QuotedPrintableStream::label({}, Encoding::binary) == "quoted-printable");
    CHECK(QuotedPrintableStream::label({}, Encoding::base64).empty());
}
