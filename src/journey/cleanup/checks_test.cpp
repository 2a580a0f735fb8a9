#include "cleanup/params.hpp"
#include "cleanup/testing.hpp"
#include "config/site.hpp"
#include "tables/params.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::cleanup;
using namespace posthorn::cleanup::testing;

namespace {

/// One rule over headers: "/pattern/ ACTION".
Options header_rule(std::string rule)
{
    Options made = options();
    made.checks.header = "regexp:{{" + rule + "}}";
    made.checks.mime = made.checks.nested = made.checks.header;
    return made;
}

Options body_rule(std::string rule)
{
    Options made = options();
    made.checks.body = "regexp:{{" + rule + "}}";
    return made;
}

handoff::Envelope from_client()
{
    handoff::Envelope made = envelope({"r@else.test"}, "203.0.113.5");
    made.mutable_client()->set_name("c.test");
    made.mutable_client()->set_protocol("ESMTP");
    made.mutable_client()->set_helo("c.test");
    return made;
}

constexpr std::string_view head = "Subject: bad thing\r\nFrom: a@b.test\r\n\r\n";
constexpr std::string_view context =
    " header Subject: bad thing from c.test[203.0.113.5]; from=<s@x.test> to=<r@else.test> proto=ESMTP helo=<c.test>";

std::string first_line(const Got& got, std::string_view what)
{
    for (const std::string& line : got.log)
        if (has(line, what))
            return line.substr(line.find("1zQ: ") + 5);
    return {};
}

Got checked(const Options& made, std::string_view header = head, std::string body = {}, std::size_t step = 1 << 20)
{
    return clean(made, from_client(), std::string(header), std::move(body), step);
}

}  // namespace

TEST_CASE("checks: without rules nobody looks at the body, and a rule over headers does not either where there are no parts")
{
    CHECK(!checked(options(), head, "x\r\n").body_seen);
    CHECK(!checked(header_rule("/evil/ REJECT"), head, "x\r\n").body_seen);
    CHECK(checked(header_rule("/evil/ REJECT"), "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "y\r\n").body_seen);
}

TEST_CASE("checks: every action over a header does what header_checks(5) says, and is logged in Postfix's words")
{
    Got got = checked(header_rule("/^Subject: bad/ REJECT go away"));
    CHECK(got.refused == "550 5.7.1 go away");
    CHECK(first_line(got, "reject") == "reject:" + std::string(context) + ": 5.7.1 go away");
    CHECK(checked(header_rule("/^Subject: bad/ REJECT")).refused == "550 5.7.1 message content rejected");
    CHECK(checked(header_rule("/^Subject: bad/ REJECT 4.7.2 later")).refused == "451 4.7.2 later");
    got = checked(header_rule("/^Subject: (bad)/ WARN saw $1"));
    CHECK(first_line(got, "warning") == "warning:" + std::string(context) + ": saw bad");
    CHECK(got.head == head);
    CHECK(first_line(checked(header_rule("/^Subject/ INFO")), "info") == "info:" + std::string(context));
    got = checked(header_rule("/^Subject/ HOLD look"));
    CHECK(got.envelope.hold());
    CHECK(first_line(got, "hold") == "hold:" + std::string(context) + ": look");
    CHECK(checked(header_rule("/^Subject/ DISCARD")).discard);
    CHECK(checked(header_rule("/^Subject/ FILTER scan:[127.0.0.1]:10025")).envelope.filter() == "scan:[127.0.0.1]:10025");
    CHECK(checked(header_rule("/^Subject/ REDIRECT other@else.test")).envelope.redirect() == "other@else.test");
    got = checked(header_rule("/^Subject/ BCC copy@else.test"));
    CHECK(got.recipients == "r@else.test copy@else.test ");
    CHECK(got.envelope.recipients(1).notify() == handoff::NOTIFY_NEVER);
    CHECK(checked(header_rule("/^Subject/ PREPEND X-Mark: yes")).head == "X-Mark: yes\r\n" + std::string(head));
    CHECK(checked(header_rule("/^Subject: (.*)/ REPLACE Subject: [$1]")).head == "Subject: [bad thing]\r\nFrom: a@b.test\r\n\r\n");
    CHECK(checked(header_rule("/^Subject/ IGNORE")).head == "From: a@b.test\r\n\r\n");
    got = checked(header_rule("/^Subject/ STRIP gone"));
    CHECK(got.head == "From: a@b.test\r\n\r\n");
    CHECK(first_line(got, "strip") == "strip:" + std::string(context) + ": gone");
    for (const char* nothing : {"DUNNO", "OK", "dunno"})
        CHECK(checked(header_rule("/^Subject/ " + std::string(nothing))).head == head);
    // PASS: what would be refused behind it is not.
    Options made = header_rule("/^Subject/ PASS");
    made.checks.header = "regexp:{{/^Subject/ PASS}, {/^From/ REJECT}}";
    CHECK(checked(made).refused.empty());
}

TEST_CASE("checks: a text that takes up lines of a folded field is stored as lines of a field: CRLF between them, and none that is another field")
{
    constexpr std::string_view folded = "Subject: bad\r\n thing\r\nFrom: a@b.test\r\n\r\n";
    CHECK(checked(header_rule("/^Subject:(.*)/ REPLACE X-Was:$1"), folded).head == "X-Was: bad\r\n thing\r\nFrom: a@b.test\r\n\r\n");
    CHECK(checked(header_rule("/^Subject:(.*)/ PREPEND X-Was:$1"), folded).head == "X-Was: bad\r\n thing\r\n" + std::string(folded));
    CHECK(checked(header_rule("/^(Subject:) bad(.) (.*)/ REPLACE $1$2$3"), folded).head == "Subject:\r\n\tthing\r\nFrom: a@b.test\r\n\r\n");
    CHECK(checked(header_rule("/^(Subject:) bad(.) (.*)/ REPLACE $1 x$2$2$2$3"), folded).head == "Subject: x\r\n\tthing\r\nFrom: a@b.test\r\n\r\n");
    // A part's field likewise; lines of a body are no field, and stay as the table has them.
    const Got part = checked(header_rule("/^X-Part:(.*)/ REPLACE X-Was:$1"), "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                             "--b\r\nX-Part: a\r\n\tb\r\n\r\nx\r\n--b--\r\n");
    CHECK(part.body == "--b\r\nX-Was: a\r\n\tb\r\n\r\nx\r\n--b--\r\n");
    Options made = options();
    made.checks.body = "static:{REPLACE one\n\ntwo\r\nthree}";
    CHECK(checked(made, head, "x\r\n").body == "one\r\n\r\ntwo\r\nthree\r\n");
}

TEST_CASE("checks: a wrong action is a warning, and changes nothing")
{
    const auto warned = [](const std::string& action) {
        const Got got = checked(header_rule("/^Subject/ " + action));
        CHECK(got.head == head);
        CHECK(got.refused.empty());
        return got.log.at(0).substr(got.log.at(0).find("1zQ: ") + 5);
    };
    CHECK(warned("EXPLODE now") == "unknown command in header_checks map: EXPLODE");
    CHECK(warned("FILTER") == "missing FILTER command argument in header_checks map");
    CHECK(has(warned("FILTER scan"), "bad FILTER command scan in header_checks -- need transport:destination"));
    CHECK(has(warned("REDIRECT me"), "bad REDIRECT target \"me\" in header_checks map -- need user@domain"));
    CHECK(has(warned("BCC me"), "bad BCC address \"me\" in header_checks map"));
    CHECK(warned("REPLACE") == "REPLACE action without text in header_checks map");
    CHECK(has(warned("REPLACE no field"), "need \"headername: headervalue\""));
    CHECK(has(warned("PREPEND no field"), "need \"headername: headervalue\""));
}

TEST_CASE("checks: a folded field is one line with LF in it; a long one is looked at within header_size_limit")
{
    CHECK(checked(header_rule("/^Subject: a\r?\n b$/ REJECT"), "Subject: a\r\n b\r\n\r\n").refused == "550 5.7.1 message content rejected");
    Options made = header_rule("/tail/ REJECT");
    made.header_size_limit = 20;
    CHECK(checked(made, "Subject: 0123456789012345\r\n x tail\r\n\r\n").refused.empty());
    CHECK(!checked(header_rule("/tail/ REJECT"), "Subject: 0123456789012345 tail\r\n\r\n").refused.empty());
}

TEST_CASE("checks: a replaced field is cleaned like any other; what is prepended is not")
{
    Options made = header_rule("/^X-To: (.*)/ REPLACE To: $1");
    CHECK(clean(made, envelope(), "X-To: user\r\n\r\n").head.starts_with("To: user@here.test\r\n"));
    made = header_rule("/^Subject/ PREPEND Bcc: hidden");
    CHECK(has(clean(made, envelope(), "Subject: x\r\n\r\n").head, "Bcc: hidden\r\nSubject: x\r\n"));
    made = header_rule("/^Bcc/ REPLACE X-Was: bcc");
    CHECK(has(clean(made, envelope(), "Bcc: x\r\n\r\n").head, "X-Was: bcc\r\n"));
}

TEST_CASE("checks: MIME fields, fields of parts and of messages within have their own tables, whatever the pieces")
{
    Options made = options();
    made.checks.header = "regexp:{{/^X/ PREPEND Seen: header}}";
    made.checks.mime = "regexp:{{/name=evil/ REPLACE Content-Disposition: none}, {/^X/ PREPEND Seen: mime}, {/^MIME/ IGNORE}}";
    made.checks.nested = "regexp:{{/^X/ PREPEND Seen: nested}}";
    const std::string header = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nX: 0\r\n\r\n";
    const std::string body =
        "--b\r\nContent-Disposition: attachment;\r\n name=evil.exe\r\nX: 1\r\n\r\nX: 2\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "X: 3\r\nContent-Disposition: x; name=evil\r\n\r\nX: 4\r\n--b--\r\n";
    for (const std::size_t step : {1, 2, 3, 17, 1000}) {
        const Got got = checked(made, header, body, step);
        CHECK(got.head == "Content-Type: multipart/mixed; boundary=b\r\nSeen: header\r\nX: 0\r\n\r\n");
        CHECK(got.body == "--b\r\nContent-Disposition: none\r\nSeen: mime\r\nX: 1\r\n\r\nX: 2\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
                          "Seen: nested\r\nX: 3\r\nContent-Disposition: none\r\n\r\nX: 4\r\n--b--\r\n");
    }
    made.checks.mime_input = false;
    CHECK(checked(made, header, body).body == body);
}

TEST_CASE("checks: body lines, as far as body_checks_size_limit goes in each part")
{
    Got got = checked(body_rule("/^bad line$/ REJECT no such text"), head, "good\r\nbad line\r\n", 3);
    CHECK(got.refused == "550 5.7.1 no such text");
    CHECK(has(first_line(got, "reject"), "reject: body bad line from c.test[203.0.113.5]; from=<s@x.test>"));
    CHECK(checked(body_rule("/^(b)a/ REPLACE $1"), head, "bad\r\nbaz\r\nx\r\n").body == "b\r\nb\r\nx\r\n");
    CHECK(checked(body_rule("/^b/ PREPEND a"), head, "b\r\n\r\nb").body == "a\r\nb\r\n\r\na\r\nb");
    CHECK(checked(body_rule("/^b/ IGNORE"), head, "b\r\nc\r\nb\r\n").body == "c\r\n");
    got = checked(body_rule("/^b/ BCC copy"), head, "b\r\n");
    CHECK(!first_line(got, "bad BCC address \"copy\" in body_checks map -- need user@domain").empty());
    got = checked(body_rule("/^b/ BCC copy@here.test"), head, "b\r\nb\r\n");
    CHECK(got.recipients == "r@else.test copy@here.test ");
    CHECK(checked(body_rule("/^b/ HOLD"), head, "b\r\n").envelope.hold());
    CHECK(checked(body_rule("/^b/ DISCARD"), head, "b\r\n").discard);
    CHECK(checked(body_rule("/^b/ FILTER x:"), head, "b\r\n").envelope.filter() == "x:");
    CHECK(checked(body_rule("/^--b/ WARN"), "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n").log.size() == 2);
    Options made = body_rule("/bad/ IGNORE");
    made.checks.body_octets = 8;
    CHECK(checked(made, head, "123456\r\nbad\r\n").body == "123456\r\nbad\r\n");
    CHECK(checked(made, head, "12345\r\nbad\r\n").body == "12345\r\n");
    // A line between parts belongs to the part before it, the last one to what follows.
    const std::string parts = "Content-Type: multipart/mixed; boundary=bad\r\n\r\n";
    CHECK(checked(made, parts, "--bad\r\n\r\n1\r\n--bad\r\n\r\n123456\r\n--bad--\r\n").body == "\r\n1\r\n\r\n123456\r\n");
    CHECK(checked(made, parts, "--bad\r\n\r\n123456\r\n--bad\r\n\r\n1\r\n--bad--\r\n").body == "\r\n123456\r\n--bad\r\n\r\n1\r\n");
    made = body_rule("/^bb/ IGNORE");
    made.checks.line_octets = 4;                                 // long lines are looked at in pieces
    CHECK(checked(made, head, "aaaabbccc\r\nx\r\n").body == "aaaac\r\nx\r\n");
}

TEST_CASE("checks: what of the body came with the head is looked at like the rest, whole lines across both")
{
    const Options reject = body_rule("/^bad line/ REJECT no"), ignore = body_rule("/^bad/ IGNORE");
    // No empty line: the first line that is no field begins the body.
    CHECK(checked(reject, "Subject: x\r\nbad line\r\n\r\n", "more\r\n").refused == "550 5.7.1 no");
    CHECK(checked(reject, "Subject: x\r\n\r\nmore\r\nbad ", "line\r\n").refused == "550 5.7.1 no");
    CHECK(checked(reject, "bad line").refused == "550 5.7.1 no");
    const Got got = checked(ignore, "Subject: x\r\nok\r\nbad\r\n\r\n", "bad\r\nend\r\n");
    CHECK(got.head + got.body == "Subject: x\r\n\r\nok\r\n\r\nend\r\n");
    CHECK(checked(options(), "Subject: x\r\nbad line\r\n\r\n").head == "Subject: x\r\n\r\nbad line\r\n\r\n");
}

TEST_CASE("checks: MIME that breaks the rules is refused where that is asked for")
{
    Options made = options();
    made.checks.strict_headers = true;
    CHECK(checked(made, "Subject: \xc3\xa4\r\n\r\n").refused == "550 5.6.0 improper use of 8-bit data in message header");
    CHECK(checked(options(), "Subject: \xc3\xa4\r\n\r\n").refused.empty());
    made = options();
    made.checks.strict_body = true;
    CHECK(checked(made, head, "\xc3\xa4\r\n").refused == "550 5.6.0 improper use of 8-bit data in message body");
    CHECK(checked(made, "Content-Transfer-Encoding: 8bit\r\n\r\n", "\xc3\xa4\r\n").refused.empty());
    made = options();
    made.checks.strict_domain = true;
    CHECK(checked(made, "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n", "--b\r\n").refused ==
          "550 5.6.0 invalid message/* or multipart/* encoding domain");
    made = options();
    made.checks.count_nesting = true;
    made.checks.nesting = 1;                                     // of parts within the parts of the message
    const std::string part = "--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n";
    const std::string deep = part + "--c\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n";
    const Got got = checked(made, "Content-Type: multipart/mixed; boundary=b\r\n\r\n", deep);
    CHECK(got.refused == "550 5.6.0 MIME nesting exceeds safety limit");
    CHECK(has(got.log.back(), "reject: mime-error MIME nesting exceeds safety limit: Content-Type: multipart/mixed; boundary=d from "));
    made.checks.nesting = 2;
    CHECK(checked(made, "Content-Type: multipart/mixed; boundary=b\r\n\r\n", deep).refused.empty());
}

TEST_CASE("checks: force_mime_input_conversion makes what says 8bit quoted-printable, and checks see what it has become")
{
    Options made = options();
    made.checks.force_7bit = true;
    const std::string plain = "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    for (const std::size_t step : {std::size_t{1}, std::size_t{100}}) {
        const Got got = checked(made, plain, "\xc3\xa4=\r\n", step);
        CHECK(got.head + got.body == "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4=3D\r\n");
    }
    CHECK(checked(options(), plain, "\xc3\xa4=\r\n").body == "\xc3\xa4=\r\n");
    CHECK(checked(made, "Subject: x\r\n\r\n", "\xc3\xa4=\r\n").body == "\xc3\xa4=\r\n");          // it claims nothing
    const std::string parts = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    const Got got = checked(made, parts, "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4\r\n--b--\r\n");
    CHECK(got.head == "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n");
    CHECK(got.body == "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--b--\r\n");
    // What came with the head, of a header that text ends.
    const Got text = checked(made, "Content-Transfer-Encoding: 8bit\r\n\xc3\xa4 text\r\n", "\xc3\xb6\r\n");
    CHECK(text.head + text.body == "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4 text\r\n=C3=B6\r\n");
    // Header checks see the field as it is then, body checks the encoded line; what is discarded is looked at by nobody, and is whole all the same.
    Options rules = body_rule("/^=C3=A4/ REJECT no");
    rules.checks.force_7bit = true;
    CHECK(checked(rules, plain, "\xc3\xa4\r\n").refused == "550 5.7.1 no");
    rules = header_rule("/^Content-Transfer-Encoding: 8bit/ REJECT no");
    rules.checks.force_7bit = true;
    CHECK(checked(rules, plain, "\xc3\xa4\r\n").refused.empty());
    rules = header_rule("/^Subject/ REDIRECT else@here.test");
    rules.checks.force_7bit = true;
    CHECK(checked(rules, plain, "\xc3\xa4\r\n").body == "=C3=A4\r\n");
    rules.checks.body = "regexp:{{/./ REJECT no}}";
    CHECK(checked(rules, plain, "\xc3\xa4\r\n").refused.empty());
    rules.checks.body.clear();
    rules.checks.mime_input = false;
    CHECK(checked(rules, plain, "\xc3\xa4\r\n").body == "\xc3\xa4\r\n");
}

TEST_CASE("checks: a header that ends at text is refused where that is asked for, and the log has the text")
{
    Options made = options();
    made.bad_end = BadEnd::reject;
    const Got got = checked(made, "Subject: x\r\nbad line\r\nmore\r\n");
    CHECK(got.refused == "550 5.6.0 message header was terminated with non-empty line");
    CHECK(std::ranges::any_of(got.log, [](const std::string& line) {
        return has(line, "reject: mime-error message header was terminated with non-empty line: bad line from ");
    }));
    CHECK(checked(made, "Subject: x\r\n\r\nbad line\r\n").refused.empty());
    CHECK(checked(made, "Subject: x\r\n").refused.empty());
}

TEST_CASE("characters: what must not be in a message refuses it, with the line in the log; what is to go goes, and line ends stay")
{
    Options made = options();
    made.checks.rejected = std::string("\0", 1);
    made.checks.stripped = "\a\r\n#";
    const std::string nul("no\0t so", 7);
    for (std::size_t step = 1; step < 30; step += 4) {
        CAPTURE(step);
        const Got refused = checked(made, head, "fine\r\n" + nul + "\r\nx\r\n", step);
        CHECK(refused.refused == "550 5.7.1 disallowed character");
        const std::string line = first_line(refused, "reject: content");
        CHECK(line.starts_with("reject: content no?"));
        CHECK(line.ends_with("from c.test[203.0.113.5]; from=<s@x.test> to=<r@else.test> proto=ESMTP helo=<c.test>: 5.7.1 disallowed character"));
        const Got gone = checked(made, "Subject: a#b\r\n\r\n", "#\r\none\a#two\r\n", step);
        CHECK(gone.refused.empty());
        CHECK(gone.head.find("Subject: ab\r\n") != std::string::npos);
        CHECK(gone.body == "\r\nonetwo\r\n");
    }
    CHECK(first_line(checked(made, "X-A: " + nul + "\r\n\r\n"), "reject: content").starts_with("reject: content X-A: no?t so from"));
    CHECK_FALSE(checked(options(), head, nul).body_seen);
}

TEST_CASE("characters: as C writes them")
{
    const auto read = [](std::string text) {
        config::Site host{.host_name = "mail.example.test", .addresses = {*config::parse_host_address("192.0.2.7/24")}};
        const std::span<const config::ParamInfo> rooms[] = {cleanup::params, tables::params};
        tables::DirectOpener opener;
        const config::Assignment written[] = {{"compatibility_level", "3.6"}, {"message_reject_characters", text}};
        return Options::from(config::Snapshot(host, "/nonexistent", rooms).with(written, "-o"), host.addresses, opener, "").checks.rejected;
    };
    CHECK(read("\\0\\a\\b\\f\\n\\r\\t\\v") == std::string("\0\a\b\f\n\r\t\v", 8));
    CHECK(read("\\101\\1a\\\\\\z\\") == "A\1a\\z\\");
    CHECK(read("plain") == "plain");
}

TEST_CASE("checks: the log names the protocol as smtpd's lines do, without what TLS and SMTPUTF8 make of it in Received:")
{
    Options made = options();
    made.checks.header = "regexp:{{/^Subject/ WARN seen}}";
    for (const char* said : {"ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS"}) {
        handoff::Envelope mail = from_client();
        mail.mutable_client()->set_protocol(said);
        CHECK(has(first_line(clean(made, mail, std::string(head), {}, 1 << 20), "warning: header"), " proto=ESMTP helo="));
    }
}
