#include "inject/compose.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "message/mime.hpp"
#include "message/to_7bit.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::inject;

namespace {

/// The message of the first recipient of a request with this content, or "! " and the error.
std::string made(std::string_view content, std::string_view recipient = R"({"email": "u@c.test", "name": "Jürgen"})", std::string_view more = "")
{
    auto request = parse_request(R"({"envelope_sender": "a@b.test", "recipients": [)" + std::string(recipient) + R"(], "content": )" +
                                 std::string(content) + std::string(more) + "}");
    REQUIRE_MESSAGE(request, request.error().text());
    const auto composer = Composer::make(*request, {});
    if (!composer)
        return "! " + composer.error().text();
    const auto text = composer->compose(request->recipients.front());
    return text ? *text : "! " + text.error().text();
}

std::string field(std::string_view message, std::string_view name)
{
    const auto found = message::find_field(message, name);
    return found ? message::unfold(found->body) : "(none)";
}

/// "multipart/mixed(text/plain, ...)"
std::string shape(const message::Mime& mime, std::size_t of = 0)
{
    const message::Part& part = mime.parts[of];
    std::string text = part.content_type.type + "/" + part.content_type.subtype;
    std::string inner;
    for (std::size_t at = 0; at < mime.parts.size(); ++at)
        if (mime.parts[at].parent == of)
            inner += (inner.empty() ? "" : ", ") + shape(mime, at);
    return inner.empty() ? text : text + "(" + inner + ")";
}

std::string shape_of(const std::string& message) { return shape(message::parse_mime(message)); }

/// The decoded body of the first part of this type.
std::string body_of(const std::string& message, std::string_view subtype)
{
    for (const message::Part& part : message::parse_mime(message).parts)
        if (part.content_type.subtype == subtype) {
            const std::string_view body = std::string_view(message).substr(part.body, part.end - part.body);
            if (part.encoding == message::Encoding::quoted_printable)
                return message::decode_quoted_printable(body);
            if (part.encoding != message::Encoding::base64)
                return std::string(body);
            std::string packed(body);
            std::erase_if(packed, is_space);
            return base64_decode(packed).value_or("(none)");
        }
    return "(none)";
}

}  // namespace

TEST_CASE("compose: a message as text gets line ends, and all else stays")
{
    CHECK(made(R"("Subject: hi\nTo: {{ to_header }}\r\n\n.Hello {{ name }} <{{ email }}>{{ x }}")", R"({"email": "u@c.test", "name": "Ann"})",
               R"(, "substitutions": {"x": "!"})") == "Subject: hi\r\nTo: Ann <u@c.test>\r\n\r\n.Hello Ann <u@c.test>!\r\n");
    // Their own word counts before all others.
    CHECK(made(R"("\n\n{{ email }}{{ x }}")", R"({"email": "u@c.test", "substitutions": {"x": 1, "email": "other"}})",
               R"(, "substitutions": {"x": 2})") == "\r\n\r\nother1\r\n");
}

TEST_CASE("compose: text beyond ASCII: the header says it in ASCII, and a body that says nothing is said to be UTF-8")
{
    const std::string message = made(R"("Subject: Grüße\nTo: {{ name }} <{{ email }}>\nX-Plain: a\n\nGrüße")");
    CHECK(field(message, "Subject") == "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
    CHECK(field(message, "To") == "=?utf-8?Q?J=C3=BCrgen?= <u@c.test>");
    CHECK(field(message, "MIME-Version") == "1.0");
    CHECK(field(message, "Content-Type") == "text/plain; charset=utf-8");
    CHECK(message.ends_with("8bit\r\n\r\nGrüße\r\n"));
    const std::string typed = made(R"("Content-Type: text/html\n\nGrüße")");
    CHECK(field(typed, "MIME-Version") == "(none)");
    CHECK(typed.ends_with("text/html\r\n\r\nGrüße\r\n"));
    CHECK(made(R"("To: Grüße: a@c.test;\n\nGrüße")").starts_with("! To: text beyond ASCII"));
}

TEST_CASE("compose: who gets the same as all others is known")
{
    const auto same = [](std::string_view content, std::string_view more = "") {
        auto request =
            parse_request(R"({"envelope_sender": "a@b.test", "recipients": [], "content": )" + std::string(content) + std::string(more) + "}");
        REQUIRE(request);
        return Composer::make(*request, {})->same_for_all();
    };
    CHECK(same(R"("\n\nHello")"));
    CHECK_FALSE(same(R"("\n\nHello {{ name }}")"));
    CHECK(same(R"("\n\nHello {{ name }}")", R"(, "template_dialect": "Static")"));
    CHECK_FALSE(same(R"({"text_body": "x"})"));                        // its To is its own
    CHECK_FALSE(same(R"("\n\nHello")", R"(, "trace_headers": {"supplemental_header": true})"));
}

TEST_CASE("compose: a text alone, as plain as it can be")
{
    const std::string plain =
        made(R"({"text_body": "Hello {{ name }}\nthere", "subject": "Hi {{ email }}", "from": {"email": "f@b.test", "name": "F, {{ email }}"}})",
             R"({"email": "u@c.test", "name": "Ann"})");
    CHECK(plain == "From: \"F, u@c.test\" <f@b.test>\r\nTo: Ann <u@c.test>\r\nSubject: Hi u@c.test\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello Ann\r\nthere\r\n");
    const std::string some = made(R"({"text_body": "Grüße an alle, die das hier lesen = können"})");
    CHECK(some.find("Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe an alle") != some.npos);
    CHECK(body_of(some, "plain").starts_with("Grüße an alle, die das hier lesen = können"));
    const std::string most = made(R"({"text_body": "Привет\nмир"})");
    CHECK(most.find("Content-Transfer-Encoding: base64\r\n") != most.npos);
    CHECK(body_of(most, "plain") == "Привет\r\nмир");
    const std::string long_line = made(R"({"text_body": ")" + std::string(2000, 'x') + R"("})");
    CHECK(long_line.find("quoted-printable") != long_line.npos);
    for (const std::string_view line : split_exact(long_line, '\n'))
        CHECK(line.size() <= 78);
}

TEST_CASE("compose: text, AMP and HTML are alternatives; what has a content id is within, all else beside")
{
    const std::string bodies = R"("text_body": "T {{ name }}", "html_body": "<p>{{ name }}</p>", "amp_html_body": "<amp>{{ name }}")";
    const std::string alternatives = made("{" + bodies + "}", R"({"email": "u@c.test", "name": "<Bo>"})");
    CHECK(shape_of(alternatives) == "multipart/alternative(text/plain, text/x-amp-html, text/html)");
    CHECK(body_of(alternatives, "plain") == "T <Bo>");
    CHECK(body_of(alternatives, "html") == "<p>&lt;Bo&gt;</p>");
    CHECK(body_of(alternatives, "x-amp-html") == "<amp>&lt;Bo&gt;");
    CHECK(shape_of(made(R"({"html_body": "<p>"})")) == "text/html");
    const std::string image = R"({"data": "AAEC", "base64": true, "content_type": "image/gif", "content_id": "pic", "file_name": "p.gif"})";
    const std::string file =
        R"({"data": "Grüße", "content_type": "text/csv", "file_name": "Übersicht der Preise für das ganze nächste Jahr und länger.csv"})";
    const std::string all = made("{" + bodies + R"(, "attachments": [)" + file + "," + image + "]}");
    CHECK(shape_of(all) == "multipart/mixed(multipart/related(multipart/alternative(text/plain, text/x-amp-html, text/html), image/gif), text/csv)");
    CHECK(body_of(all, "gif") == std::string_view("\0\1\2", 3));
    CHECK(body_of(all, "csv") == "Grüße");
    CHECK(all.find("Content-Disposition: inline;\r\n filename=\"p.gif\"\r\nContent-ID: <pic>\r\n") != all.npos);
    CHECK(all.find("Content-Type: multipart/related;\r\n type=\"multipart/alternative\";\r\n boundary=") != all.npos);
    CHECK(all.find("Content-Type: text/csv; charset=utf-8\r\n") != all.npos);
    CHECK(all.find(";\r\n filename*0*=utf-8''%C3%9Cbersicht%20der%20Preise%20f%C3%BCr%20das%20ganze") != all.npos);
    for (const std::string_view line : split_exact(all, '\n'))
        CHECK(line.size() <= 79);
    CHECK(shape_of(made("{" + bodies + R"(, "attachments": [)" + image + "]}")) ==
          "multipart/related(multipart/alternative(text/plain, text/x-amp-html, text/html), image/gif)");
    const std::string within = R"({"data": "Subject: x\n\nhi", "content_type": "message/rfc822"})";
    CHECK(made(R"({"text_body": "x", "attachments": [)" + within + "]}")
              .find("7bit\r\nContent-Disposition: attachment\r\n\r\nSubject: x\r\n\r\nhi\r\n--") != std::string::npos);
    CHECK(made(R"({"text_body": "x", "attachments": [{"content_type": "message/rfc822", "data": ")" + std::string(1000, 'x') + R"("}]})")
              .starts_with("! content.attachments[0]: "));
}

TEST_CASE("compose: header fields are encoded, and nothing that is put into them begins another")
{
    const std::string message = made(R"({"text_body": "x", "subject": "Grüße {{ name }}", "reply_to": {"email": "r@b.test", "name": "Ü"},
        "headers": {"Cc": "Ölaf <o@b.test>, p@b.test", "Subject": "not this one", "Reply-To": "nor@this.test", "X-Id": "{{ id }}"}})",
                                     R"({"email": "u@c.test", "name": "Jürgen"})");
    CHECK(message.starts_with("! ") == false);
    CHECK(field(message, "Subject") == "=?utf-8?Q?Gr=C3=BC=C3=9Fe_J=C3=BCrgen?=");
    CHECK(field(message, "Reply-To") == "=?utf-8?Q?=C3=9C?= <r@b.test>");
    CHECK(field(message, "To") == "=?utf-8?Q?J=C3=BCrgen?= <u@c.test>");
    CHECK(field(message, "Cc") == "=?utf-8?Q?=C3=96laf?= <o@b.test>, p@b.test");
    CHECK(message.find("not this one") == message.npos);
    CHECK(message.find("nor@this") == message.npos);
    const char* const content =
        R"({"text_body": "x", "headers": {"X-Id": "{{ id }}", "To": "List <l@b.test>"}, "from": {"email": "f@b.test", "name": "{{ who }}"}})";
    const std::string own_to = made(content);
    CHECK(field(own_to, "To") == "List <l@b.test>");
    CHECK(made(content, R"({"email": "u@c.test", "substitutions": {"id": "1\r\nBcc: all@b.test"}})") ==
          "! content.headers[X-Id]: has control characters, which would end the line");
    CHECK(made(content, R"({"email": "u@c.test", "substitutions": {"who": "1\nBcc: all@b.test"}})") ==
          "! content.from.name: has control characters, which would end the line");
}

TEST_CASE("compose: a template that is wrong is named with its place, before anything is composed")
{
    CHECK(made(R"("\n{{ x")") == "! content: line 2, column 1: this tag has no }}");
    CHECK(made(R"({"text_body": "a", "html_body": "{% foo %}"})") ==
          "! content.html_body: line 1, column 4: the statement \"foo\" is not known here");
    CHECK(made(R"({"text_body": "a", "subject": "{{ }}"})") == "! content.subject: line 1, column 4: a value is needed here");
    CHECK(made(R"({"text_body": "a", "headers": {"X-A": "{{ }}"}})") == "! content.headers[X-A]: line 1, column 4: a value is needed here");
    CHECK(made(R"({"text_body": "{{ a.b }}"})") == "! content.text_body: line 1, column 6: what is undefined has no member \"b\"");
}

TEST_CASE("compose: the reference for feedback reports is what KumoMTA writes")
{
    const std::string message =
        made(R"("Subject: x\n\nHello")", R"({"email": "test@example.com"})", R"(, "trace_headers": {"supplemental_header": true})");
    CHECK(message.starts_with("X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoidGVzdEBleGFtcGxlLmNvbSJ9\r\nSubject: x\r\n"));
}

TEST_CASE("compose: names of files in header fields")
{
    CHECK(file_name_parameter("") == "");
    CHECK(file_name_parameter("a \"b\".txt") == ";\r\n filename=\"a \\\"b\\\".txt\"");
    CHECK(file_name_parameter("ü.txt") == ";\r\n filename*=utf-8''%C3%BC.txt");
    CHECK(file_name_parameter(std::string(100, 'a')) ==
          fmt::format(";\r\n filename*0*=utf-8''{};\r\n filename*1*={}", std::string(54, 'a'), std::string(46, 'a')));
}
