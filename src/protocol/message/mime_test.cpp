#include <doctest/doctest.h>

#include "message/header.hpp"
#include "message/to_7bit.hpp"

using namespace posthorn::message;

namespace {

constexpr std::string_view nested = "MIME-Version: 1.0\r\n"
                                    "Content-Type: multipart/mixed; boundary=\"out er\"\r\n"
                                    "\r\n"
                                    "preamble\r\n"
                                    "--out er\r\n"
                                    "Content-Type: multipart/alternative; boundary=----=_in/ner (c)\r\n"
                                    "Content-Transfer-Encoding: 8bit\r\n"
                                    "\r\n"
                                    "------=_in/ner\r\n"
                                    "\r\n"
                                    "plain \xc3\xa9\r\n"
                                    "------=_in/ner\r\n"
                                    "Content-Type: TEXT/html; charset=\"utf-8\"\r\n"
                                    "Content-Transfer-Encoding: 8bit\r\n"
                                    "\r\n"
                                    "<p>\r\n"
                                    "------=_in/ner--\r\n"
                                    "epilogue\r\n"
                                    "--out er\r\n"
                                    "Content-Type: message/rfc822\r\n"
                                    "\r\n"
                                    "Subject: inside\r\n"
                                    "Content-Transfer-Encoding: binary\r\n"
                                    "\r\n"
                                    "x = \xc3\xa9 \r\n"
                                    "--out er--\r\n"
                                    "the end\r\n";

std::string convert(std::string_view content, Conversion* conversion = nullptr)
{
    std::string out;
    const Conversion result = to_7bit(content, [&](std::string_view piece) { out += piece; });
    if (conversion != nullptr)
        *conversion = result;
    return out;
}

std::string_view body_of(std::string_view content, const Part& part) { return content.substr(part.body, part.end - part.body); }

}  // namespace

TEST_CASE("mime: the tree of a nested message")
{
    const Mime mime = parse_mime(nested);
    REQUIRE(mime.parts.size() == 6);
    const auto& parts = mime.parts;
    CHECK(parts[0].kind == PartKind::multipart);
    CHECK(parts[0].content_type.boundary == "out er");
    CHECK(parts[1].content_type.boundary == "----=_in/ner");
    CHECK(parts[1].encoding == Encoding::eight_bit);
    CHECK(body_of(nested, parts[2]) == "plain \xc3\xa9");
    CHECK(parts[3].content_type.subtype == "html");
    CHECK(parts[3].content_type.charset == "utf-8");
    CHECK(body_of(nested, parts[3]) == "<p>");
    CHECK(parts[4].kind == PartKind::message);
    CHECK(parts[5].parent == 4);
    CHECK(parts[5].depth == 2);
    CHECK(body_of(nested, parts[5]) == "x = \xc3\xa9 ");
    CHECK_FALSE(mime.too_deep);
}

TEST_CASE("mime: content types as they are met")
{
    CHECK(parse_content_type("text/plain").charset.empty());
    CHECK(parse_content_type("nonsense").type == "text");
    CHECK(parse_content_type("").subtype == "plain");
    CHECK(parse_content_type(" Multipart / Mixed (c) ;\r\n charset=\"a\\\"b\" ; BOUNDARY = \"x y \"").boundary == "x y");
    CHECK(parse_content_type("multipart/mixed; boundary=a=b/c;charset=UTF-8").boundary == "a=b/c");
    CHECK(parse_content_type("multipart/mixed; boundary=a=b/c;charset=UTF-8").charset == "utf-8");
    CHECK(parse_encoding(" (c) BASE64") == Encoding::base64);
    CHECK(parse_encoding("x-uuencode") == Encoding::other);
}

TEST_CASE("mime: depth and parts are limited")
{
    std::string deep;
    for (int i = 0; i < 50; ++i)
        deep += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "x\r\n\r\n--b" + std::to_string(i) + "x\r\n";
    const Mime mime = parse_mime(deep + "\r\nleaf", {.depth = 10});
    CHECK(mime.too_deep);
    CHECK(mime.parts.size() == 11);
    std::string wide = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for (int i = 0; i < 100; ++i)
        wide += "--b\r\n\r\n\xc3\xa9\r\n";
    CHECK(parse_mime(wide, {.parts = 20}).too_many);
    CHECK(parse_mime(wide, {.parts = 20}).parts.size() == 20);
    std::string out;
    const Conversion passed = to_7bit(wide, [&](std::string_view piece) { out += piece; }, {.parts = 20});
    CHECK(out == wide);
    CHECK(passed.leftover_8bit);
    // message in message in message
    std::string messages;
    for (int i = 0; i < 50; ++i)
        messages += "Content-Type: message/rfc822\r\n\r\n";
    CHECK(parse_mime(messages, {.depth = 10}).parts.size() == 11);
}

TEST_CASE("mime: a boundary in a header or right after it ends the part")
{
    const std::string_view content = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n--b\r\n\r\nz\r\n--b--\r\n";
    const Mime mime = parse_mime(content);
    REQUIRE(mime.parts.size() == 3);
    CHECK(body_of(content, mime.parts[1]).empty());
    CHECK(body_of(content, mime.parts[2]) == "z");
}

TEST_CASE("to 7bit: leaves become quoted-printable, labels follow, structure and the rest stay")
{
    Conversion conversion;
    const std::string out = convert(nested, &conversion);
    CHECK(conversion.converted == 2);
    CHECK_FALSE(conversion.header_8bit);
    CHECK_FALSE(conversion.leftover_8bit);
    CHECK_FALSE(has_8bit(out));
    CHECK(out.find("plain =C3=A9\r\n------=_in/ner\r\n") != std::string::npos);
    CHECK(out.find("x =3D =C3=A9=20\r\n--out er--\r\nthe end\r\n") != std::string::npos);
    CHECK(out.find("Content-Transfer-Encoding: 8bit") == std::string::npos);
    CHECK(out.find("Content-Transfer-Encoding: binary") == std::string::npos);
    const Mime before = parse_mime(nested), after = parse_mime(out);
    REQUIRE(after.parts.size() == before.parts.size());
    for (std::size_t i = 0; i < after.parts.size(); ++i) {
        if (after.parts[i].encoding == Encoding::quoted_printable)
            CHECK(decode_quoted_printable(body_of(out, after.parts[i])) == body_of(nested, before.parts[i]));
    }
    CHECK(convert(out) == out);  // nothing left to do
}

TEST_CASE("to 7bit: a plain message gets the labels it lacks, and an empty line before what could look like a field")
{
    CHECK(convert("Subject: x\r\n\r\n\xc3\xa9\r\n") ==
          "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
          "\r\n=C3=A9\r\n");
    CHECK(walk_to_end(convert("Subject: x\r\n\xc3\xa9: y\r\n")).end() == HeaderEnd::empty_line);
    CHECK(convert("Subject: x\r\n\r\nascii\r\n") == "Subject: x\r\n\r\nascii\r\n");
}

TEST_CASE("to 7bit: what cannot be converted is told and passed on")
{
    Conversion conversion;
    const std::string_view base64 = "Content-Transfer-Encoding: base64\r\n\r\n\xc3\xa9\r\n";
    CHECK(convert(base64, &conversion) == base64);
    CHECK(conversion.leftover_8bit);
    const std::string_view no_parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\xc3\xa9\r\n";
    CHECK(convert(no_parts, &conversion) == no_parts);
    CHECK(conversion.leftover_8bit);
    convert("Subject: \xc3\xa9\r\n\r\nx", &conversion);
    CHECK(conversion.header_8bit);
    const std::string_view partial = "Content-Type: message/partial\r\n\r\n\xc3\xa9\r\n";
    CHECK(convert(partial, &conversion) == partial);
    CHECK(conversion.leftover_8bit);
    convert("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa9\r\n--b--\r\n", &conversion);
    CHECK(conversion.breaks_signature);
}

TEST_CASE("quoted-printable: lines of at most 76 octets, trailing white space kept, bare CR and LF encoded")
{
    std::string body;
    for (int i = 0; i < 300; ++i)
        body += static_cast<char>(i * 7 % 256);
    body += "end \t\r\n \r\n" + std::string(76, 'a') + "\r\n" + std::string(77, 'b') + "\r\n";
    std::string encoded;
    append_quoted_printable(body, encoded);
    CHECK_FALSE(has_8bit(encoded));
    for (std::size_t at = 0; at < encoded.size();) {
        const std::size_t end = std::min(encoded.find("\r\n", at), encoded.size());
        CHECK(end - at <= 76);
        CHECK((end == at || (encoded[end - 1] != ' ' && encoded[end - 1] != '\t')));
        at = end + 2;
    }
    CHECK(decode_quoted_printable(encoded) == body);
    CHECK(encoded.find(std::string(76, 'a') + "\r\n") != std::string::npos);
    CHECK(decode_quoted_printable("a=ZZ=\r\nb =3d\nc=") == "a=ZZb =\nc");
}
