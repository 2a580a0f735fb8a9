#include "inject/request.hpp"

#include <boost/json/value.hpp>
#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inject;

namespace {

/// Why it is refused; empty: it is not.
std::string wrong(std::string_view json)
{
    const auto request = parse_request(json);
    return request ? "" : request.error().text();
}

/// A request with this in the place of its content.
std::string with_content(std::string_view content)
{
    return R"({"envelope_sender": "a@b.test", "recipients": [], "content": )" + std::string(content) + "}";
}

std::string with(std::string_view more) { return R"({"envelope_sender": "a@b.test", "recipients": [], "content": "x", )" + std::string(more) + "}"; }

}  // namespace

TEST_CASE("request: a message as text, with all that may stand beside it")
{
    const auto request = parse_request(R"({
        "envelope_sender": "bounce@b.test",
        "recipients": [{"email": "u@c.test", "name": "Ü. Ser", "substitutions": {"age": 42}, "metadata": {"x": 1}}, {"email": "v@c.test", "name": null}],
        "content": "Subject: {{ x }}\n\nHello",
        "substitutions": {"x": [1, 2]},
        "template_dialect": "Handlebars",
        "trace_headers": {"supplemental_header": true, "header_name": "X-Mine", "include_meta_names": ["a"], "received_header": false},
        "deferred_spool": true, "deferred_generation": false})");
    REQUIRE_MESSAGE(request, request.error().text());
    CHECK(request->sender.text() == "bounce@b.test");
    REQUIRE(request->recipients.size() == 2);
    CHECK(request->recipients[0].email == "u@c.test");
    CHECK(request->recipients[0].name == "Ü. Ser");
    CHECK(request->recipients[0].substitutions.at("age").as_int64() == 42);
    CHECK_FALSE(request->recipients[1].name);
    CHECK(std::get<std::string>(request->content) == "Subject: {{ x }}\n\nHello");
    CHECK(request->dialect == Dialect::handlebars);
    CHECK(request->reference_field == "X-Mine");
    const auto plain = parse_request(with(R"("substitutions": null)"));
    REQUIRE(plain);
    CHECK(plain->dialect == Dialect::jinja);
    CHECK(plain->reference_field.empty());
    // A reference is added where it was asked for.
    CHECK(parse_request(with(R"("trace_headers": {"supplemental_header": true})"))->reference_field == "X-KumoRef");
    const auto null_sender = parse_request(R"({"envelope_sender": "", "recipients": [], "content": "x"})");
    REQUIRE(null_sender);
    CHECK(null_sender->sender.null());
}

TEST_CASE("request: a message to be built")
{
    const auto request = parse_request(with_content(R"({
        "text_body": "t", "html_body": "<p>", "amp_html_body": "<amp>", "subject": "Über",
        "from": {"email": "f@b.test", "name": "F"}, "reply_to": {"email": "r@b.test"},
        "headers": {"X-One": "1", "X-Two": "2"},
        "attachments": [{"data": "aGVsbG8=", "base64": true, "content_type": "image/gif; a=b", "content_id": "id", "file_name": "a.gif"},
                        {"data": "plain ü", "content_type": "text/plain"}]})"));
    REQUIRE_MESSAGE(request, request.error().text());
    const Built& built = std::get<Built>(request->content);
    CHECK(built.text == "t");
    CHECK(built.subject == "Über");
    REQUIRE(built.from);
    CHECK(built.from->mailbox.text() == "f@b.test");
    CHECK(built.from->name == "F");
    CHECK(built.headers == std::vector<std::pair<std::string, std::string>>{{"X-One", "1"}, {"X-Two", "2"}});
    REQUIRE(built.attachments.size() == 2);
    CHECK(built.attachments[0].octets == "hello");
    CHECK(built.attachments[0].content_id == "id");
    CHECK(built.attachments[1].octets == "plain ü");
}

TEST_CASE("request: what is no JSON is told with its place")
{
    CHECK(wrong("{\"a\": 1,\n  nope}").starts_with("line 2, column 3: this is no JSON text ("));
    CHECK(wrong("").starts_with("line 1, column 1: the JSON text ends too early"));
    CHECK(wrong("{\"a\": ").starts_with("line 1, column 7: the JSON text ends too early"));
    CHECK(wrong(with("\"substitutions\": {}") + " x").find("this is no JSON text") +
              wrong(with("\"substitutions\": {}") + " x").find("something follows") !=
          2 * std::string::npos);
    CHECK(wrong("[1]") == "the request is no JSON object");
    CHECK(wrong(with("\"substitutions\": {\"a\": " + std::string(100, '[') + std::string(100, ']') + "}")).find("this is no JSON text") !=
          std::string::npos);
    CHECK(wrong(with("\"substitutions\": {\"a\": \"\xff\"}")).find("this is no JSON text") != std::string::npos);
}

TEST_CASE("request: a member that is wrong, missing or unknown is named")
{
    CHECK(wrong("{}") == "envelope_sender: is missing");
    CHECK(wrong(R"({"envelope_sender": 1})") == "envelope_sender: a string is needed");
    for (const char* sender : {"a", "a b@c.test", "a@b.test\\r\\nRCPT TO:<x@y.test>", "<a@b.test>", "a@b.test> SIZE=1", "@b.test"}) {
        CAPTURE(sender);
        CHECK(wrong(R"({"envelope_sender": ")" + std::string(sender) + R"(", "recipients": [], "content": "x"})") ==
              "envelope_sender: is no address");
    }
    CHECK(wrong(R"({"envelope_sender": "a@b.test"})") == "recipients: an array is needed");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": {}})") == "recipients: an array is needed");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": ["x@y.test"]})") == "recipients[0]: an object with email is needed");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": [{"email": "x@y.test"}, {"name": "n"}]})") == "recipients[1].email: is missing");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": [{"email": "x@y.test", "nmae": "n"}]})") ==
          "recipients[0].nmae: there is no such member");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": [{"email": "x@y.test", "name": "a\nb"}]})") ==
          "recipients[0].name: has control characters, which would end a header line");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": [{"email": "x@y.test", "substitutions": []}]})") ==
          "recipients[0].substitutions: an object is needed");
    CHECK(wrong(R"({"envelope_sender": "a@b.test", "recipients": []})") == "content: a string or an object is needed");
    CHECK(wrong(with(R"("substitution": {})")) == "substitution: there is no such member");
    CHECK(wrong(with(R"("template_dialect": "jinja")")) == "template_dialect: is none of Jinja, Static, Handlebars");
    CHECK(wrong(with(R"("deferred_spool": 1)")) == "deferred_spool: true or false is needed");
    CHECK(wrong(with(R"("trace_headers": {"supplemental_header": true, "header_name": "Received"})")) ==
          "trace_headers.header_name: a name that begins with X- is needed");
}

TEST_CASE("request: an address that is none refuses its recipient alone")
{
    const auto request = parse_request(
        R"({"envelope_sender": "a@b.test", "content": "x", "recipients": [{"email": "no address"}, {"email": ""}, {"email": "x@y.test\r\nDATA"}, {"email": "x@y.test"}]})");
    REQUIRE(request);
    CHECK_FALSE(request->recipients[0].mailbox);
    CHECK_FALSE(request->recipients[1].mailbox);
    CHECK_FALSE(request->recipients[2].mailbox);
    CHECK(request->recipients[3].mailbox);
}

TEST_CASE("request: of what is to be built, too")
{
    CHECK(wrong(with_content("{}")) == "content: text_body or html_body is needed");
    CHECK(wrong(with_content(R"({"amp_html_body": "x"})")) == "content: text_body or html_body is needed");
    CHECK(wrong(with_content(R"({"text_body": "x", "body": "y"})")) == "content.body: there is no such member");
    CHECK(wrong(with_content(R"({"text_body": "x", "from": {"email": "nobody"}})")) == "content.from.email: is no address");
    CHECK(wrong(with_content(R"({"text_body": "x", "from": {"email": "a@b.test", "name": "x\r\nBcc: y@z.test"}})")) ==
          "content.from.name: has control characters, which would end a header line");
    CHECK(wrong(with_content(R"({"text_body": "x", "subject": "x\nBcc: y@z.test"})")) ==
          "content.subject: has control characters, which would end a header line");
    CHECK(wrong(with_content(R"({"text_body": "x", "headers": {"X-A": "x\ny"}})")) ==
          "content.headers[X-A]: has control characters, which would end the line");
    CHECK(wrong(with_content(R"({"text_body": "x", "headers": {"X A": "x"}})")) == "content.headers[X A]: is no name of a header field");
    CHECK(wrong(with_content(R"({"text_body": "x", "headers": {"X-A: b\r\nX": "x"}})")) ==
          "content.headers[X-A: b??X]: is no name of a header field");
    CHECK(wrong(with_content(R"({"text_body": "x", "headers": {"Content-type": "x"}})")) ==
          "content.headers[Content-type]: is written by who builds the message");
    CHECK(wrong(with_content(R"({"text_body": "x", "headers": {"X-A": "x", "x-a": "y"}})")) == "content.headers[x-a]: stands there twice");
    const auto attached = [](const char* attachment) {
        return wrong(with_content(R"({"text_body": "x", "attachments": [)" + std::string(attachment) + "]}"));
    };
    CHECK(attached(R"({"data": "%", "base64": true, "content_type": "a/b"})") == "content.attachments[0].data: is no base64");
    CHECK(attached(R"({"data": "x"})") == "content.attachments[0].content_type: is missing");
    for (const char* type : {"text", "text/", "a b/c", "text/plain\\r\\nX: y"})
        CHECK(attached((R"({"data": "x", "content_type": ")" + std::string(type) + "\"}").c_str()) ==
              "content.attachments[0].content_type: is no content type");
    CHECK(attached(R"({"data": "x", "content_type": "multipart/mixed"})") ==
          "content.attachments[0].content_type: an attachment has no parts of its own");
    CHECK(attached(R"({"data": "x", "content_type": "a/b", "content_id": "a>b"})") ==
          "content.attachments[0].content_id: printable ASCII without blanks and <> is needed");
    CHECK(attached(R"({"data": "x", "content_type": "a/b", "file_name": "a\nb"})") == "content.attachments[0].file_name: has control characters");
}
