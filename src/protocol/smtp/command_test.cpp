#include <doctest/doctest.h>

#include "smtp/command.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

using namespace posthorn::smtp;

namespace {
std::string mail(std::string_view arguments, const CommandOptions& options = {})
{
    const auto parsed = parse_mail(arguments, options);
    return parsed ? write(*parsed) : parsed.error().logged();
}
std::string rcpt(std::string_view arguments, const CommandOptions& options = {})
{
    const auto parsed = parse_rcpt(arguments, options);
    return parsed ? write(*parsed) : parsed.error().logged();
}
}  // namespace

TEST_CASE("command: verb and arguments are found, white space around them is not theirs")
{
    const Command command = split_command(" mail  FROM:<a@b> SIZE=1 ");
    CHECK(command.verb->id == VerbId::mail);
    CHECK(command.word == "mail");
    CHECK(command.arguments == "FROM:<a@b> SIZE=1");
    CHECK(split_command("FOO bar").verb == nullptr);
    CHECK(split_command("").verb == nullptr);
    CHECK(looks_like_header("Subject: x"));
    CHECK_FALSE(looks_like_header("MAIL FROM:<x>"));
}

TEST_CASE("MAIL: what is accepted, written again in our form")
{
    CHECK(mail("FROM:<a@b.test>") == "MAIL FROM:<a@b.test>");
    CHECK(mail("from: <>") == "MAIL FROM:<>");
    CHECK(mail("FROM:<\"a b\"@c.test> size=10 body=8bitmime ret=full envid=x+20y") ==
          "MAIL FROM:<\"a b\"@c.test> SIZE=10 BODY=8BITMIME RET=FULL ENVID=x+20y");
    CHECK(mail("FROM:<a@b.test> SIZE=1 SIZE=2 BODY=7BIT BODY=8BITMIME") == "MAIL FROM:<a@b.test> SIZE=2 BODY=8BITMIME");
    CHECK(mail("FROM:<j\u00e9@b.test> SMTPUTF8") == "MAIL FROM:<j\u00e9@b.test> SMTPUTF8");
    CHECK(mail("FROM:<a@b.test> AUTH=<>") == "MAIL FROM:<a@b.test> AUTH=<>");
    CHECK(mail("FROM:<a@b.test> AUTH=c+40d.test") == "MAIL FROM:<a@b.test> AUTH=c@d.test");
    CHECK(mail("FROM:<a@b.test> REQUIRETLS BODY=BINARYMIME XVERP=+=", {.binarymime = true, .requiretls = true, .verp = true}) ==
          "MAIL FROM:<a@b.test> BODY=BINARYMIME REQUIRETLS XVERP=+=");
    CHECK(mail("FROM:<a@b.test> XVERP", {.verp = true}) == "MAIL FROM:<a@b.test> XVERP");
}

TEST_CASE("MAIL: a later time by RFC 4865, where it was offered")
{
    const auto asked = [](std::string_view parameters) { return mail(fmt::format("FROM:<a@b.test> {}", parameters), {.future_release = true}); };
    CHECK(asked("HOLDFOR=1") == "MAIL FROM:<a@b.test> HOLDFOR=1");
    CHECK(asked("holdfor=999999999 RET=HDRS") == "MAIL FROM:<a@b.test> HOLDFOR=999999999 RET=HDRS");
    CHECK(asked("HOLDUNTIL=2026-11-30T08:00:00Z") == "MAIL FROM:<a@b.test> HOLDUNTIL=2026-11-30T08:00:00Z");
    CHECK(asked("HOLDUNTIL=2026-11-30T08:00:00.01+00:00") == "MAIL FROM:<a@b.test> HOLDUNTIL=2026-11-30T08:00:01Z");       // never too early
    for (const char* wrong : {"HOLDFOR", "HOLDFOR=", "HOLDFOR=0", "HOLDFOR=01", "HOLDFOR=1000000000", "HOLDFOR=-1", "HOLDFOR=1h"}) {
        CAPTURE(wrong);
        CHECK(asked(wrong) == "501 5.5.4 Bad HOLDFOR parameter syntax");
    }
    for (const char* wrong : {"HOLDUNTIL", "HOLDUNTIL=", "HOLDUNTIL=2026-11-30", "HOLDUNTIL=2026-11-30T09:00:00+01:00",
                              "HOLDUNTIL=2026-11-30T08:00:00", "HOLDUNTIL=9999-12-31T23:59:59.5Z"}) {
        CAPTURE(wrong);
        CHECK(asked(wrong) == "501 5.5.4 Bad HOLDUNTIL parameter syntax");
    }
    for (const char* both : {"HOLDFOR=1 HOLDFOR=1", "HOLDFOR=1 HOLDUNTIL=2026-11-30T08:00:00Z"}) {
        CAPTURE(both);
        CHECK(asked(both) == "501 5.5.4 Error: more than one of HOLDFOR and HOLDUNTIL");
    }
    CHECK(mail("FROM:<a@b.test> HOLDFOR=1") == "555 5.5.4 Unsupported option: HOLDFOR=1");
    CHECK(mail("FROM:<a@b.test> HOLDUNTIL=x") == "555 5.5.4 Unsupported option: HOLDUNTIL=x");
    CHECK(text(HoldRequest{std::chrono::seconds{60}, {}}) == "for;60");
    CHECK(text(*parse_hold_until("2026-11-30T08:00:00Z")) == "until;2026-11-30T08:00:00Z");
}

TEST_CASE("MAIL: every refusal has Postfix's code and text")
{
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"FROM", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"FROM : <a@b.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"TO:<a@b.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"<a@b.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"FROM:<a@b.test>SIZE=100", "501 5.1.7 Bad sender address syntax"},
        {"FROM:<a b@c.test>", "501 5.1.7 Bad sender address syntax"},
        {"FROM:<a@c.test", "501 5.1.7 Bad sender address syntax"},
        {"FROM:John <a@c.test>", "555 5.5.4 Unsupported option: <a@c.test>"},
        {"FROM:\"John Q\" <a@c.test>", "555 5.5.4 Unsupported option: <a@c.test>"},
        {"FROM:John Q <a@c.test> SIZE=10", "555 5.5.4 Unsupported option: Q"},
        {"FROM:<a@b.test> SIZE", "555 5.5.4 Unsupported option: SIZE"},
        {"FROM:<a@b.test> SIZE=", "501 5.5.4 Bad message size syntax"},
        {"FROM:<a@b.test> SIZE=-1", "501 5.5.4 Bad message size syntax"},
        {"FROM:<a@b.test> SIZE=99999999999999999999", "552 5.3.4 Message size exceeds file system imposed limit"},
        {"FROM:<a@b.test> BODY=BINARYMIME", "555 5.5.4 Unsupported option: BODY=BINARYMIME"},
        {"FROM:<a@b.test> BODY=", "555 5.5.4 Unsupported option: BODY="},
        {"FROM:<a@b.test> SMTPUTF8=1", "555 5.5.4 Unsupported option: SMTPUTF8=1"},
        {"FROM:<a@b.test> REQUIRETLS", "555 5.5.4 Unsupported option: REQUIRETLS"},
        {"FROM:<a@b.test> XVERP", "555 5.5.4 Unsupported option: XVERP"},
        {"FROM:<a@b.test> HOLDFOR=1", "555 5.5.4 Unsupported option: HOLDFOR=1"},
        {"FROM:<a@b.test> FOO=bar", "555 5.5.4 Unsupported option: FOO=bar"},
        {"FROM:<a@b.test> RET=x", "501 5.5.4 Bad RET parameter syntax"},
        {"FROM:<a@b.test> RET=FULL RET=HDRS", "501 5.5.4 Bad RET parameter syntax"},
        {"FROM:<a@b.test> ENVID=", "501 5.5.4 Bad ENVID parameter syntax"},
        {"FROM:<a@b.test> ENVID=abc+2g", "501 5.5.4 Bad ENVID parameter syntax"},
        {"FROM:<a@b.test> ENVID=+0a", "501 5.5.4 Bad ENVID parameter syntax"},
        {"FROM:<a@b.test> ENVID=+0D+0AX:", "501 5.5.4 Bad ENVID parameter syntax"},
        {"FROM:<a@b.test> ENVID=a ENVID=b", "501 5.5.4 Bad ENVID parameter syntax"},
        {"FROM:<a@b.test> AUTH=x AUTH=y", "503 5.5.4 Error: multiple AUTH= options"},
    };
    for (const auto& [arguments, answer] : rows) {
        CAPTURE(arguments);
        CHECK(mail(arguments) == answer);
    }
    CHECK(mail("FROM:<a@b.test> RET=FULL", {.dsn = false}) == "501 5.7.1 DSN support is disabled");
    CHECK(mail("FROM:<j\u00e9@b.test>", {.strict_smtputf8 = true}) == "553 5.6.7 Must declare SMTPUTF8 to send unicode address");
    CHECK(mail("FROM:<a@b.test> SMTPUTF8", {.smtputf8 = false}) == "555 5.5.4 Unsupported option: SMTPUTF8");
}

TEST_CASE("RCPT: what is accepted")
{
    CHECK(rcpt("to:a@mx.test") == "RCPT TO:<a@mx.test>");
    CHECK(rcpt("TO:<@x.test:a@mx.test> notify=success,delay orcpt=RFC822;a+40b.test") ==
          "RCPT TO:<a@mx.test> ORCPT=rfc822;a@b.test NOTIFY=SUCCESS,DELAY");
    CHECK(rcpt("TO:<a@mx.test> NOTIFY=SUCCESS,SUCCESS") == "RCPT TO:<a@mx.test> NOTIFY=SUCCESS");
    CHECK(rcpt("TO:<a@mx.test> NOTIFY=NEVER ORCPT=rfc822;") == "RCPT TO:<a@mx.test> ORCPT=rfc822; NOTIFY=NEVER");
    CHECK(rcpt("TO:<a@mx.test> ORCPT=utf-8;j\\x{E9}@b.test") == "RCPT TO:<a@mx.test> ORCPT=utf-8;j\\x{E9}@b.test");
    CHECK(parse_rcpt("TO:<a@mx.test> ORCPT=utf-8;j\\x{E9}@b.test")->orcpt->address == "j\u00e9@b.test");
    CHECK(write(*parse_rcpt("TO:<a@mx.test> ORCPT=utf-8;j\u00e9@b.test"), {.smtputf8 = true}) == "RCPT TO:<a@mx.test> ORCPT=utf-8;j\u00e9@b.test");
}

TEST_CASE("RCPT: every refusal has Postfix's code and text")
{
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "501 5.5.4 Syntax: RCPT TO:<address>"},
        {"TO:", "501 5.5.4 Syntax: RCPT TO:<address>"},
        {"FROM:<a@mx.test>", "501 5.5.4 Syntax: RCPT TO:<address>"},
        {"TO:<>", "501 5.1.3 Bad recipient address syntax"},
        {"TO:<\"\">", "501 5.1.3 Bad recipient address syntax"},
        {"TO:<a@mx.test>,<b@mx.test>", "501 5.1.3 Bad recipient address syntax"},
        {"TO:<a@[300.0.0.1]>", "501 5.1.3 Bad recipient address syntax"},
        {"TO:<a@mx.test> NOTIFY=NEVER,SUCCESS", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
        {"TO:<a@mx.test> NOTIFY=", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
        {"TO:<a@mx.test> NOTIFY=NEVER NOTIFY=DELAY", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
        {"TO:<a@mx.test> ORCPT=a@b.test", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> ORCPT=;a", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> ORCPT=rfc822;a+4", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> ORCPT=utf-8;a\\x{D800}", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> ORCPT=utf-8;a\\x{A}", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> ORCPT=rfc822;a ORCPT=rfc822;b", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"TO:<a@mx.test> FOO", "555 5.5.4 Unsupported option: FOO"},
    };
    for (const auto& [arguments, answer] : rows) {
        CAPTURE(arguments);
        CHECK(rcpt(arguments) == answer);
    }
    CHECK(rcpt("TO:<a@mx.test> NOTIFY=DELAY", {.dsn = false}) == "501 5.7.1 DSN support is disabled");
}

TEST_CASE("BDAT: a size that cannot be read ends the session, because what follows cannot be told from commands")
{
    CHECK(*parse_bdat("5") == Chunk{5, false});
    CHECK(*parse_bdat("0 last") == Chunk{0, true});
    CHECK(write(Chunk{12, true}) == "BDAT 12 LAST");
    for (std::string_view bad : {"", "x", "5 x", "-1", "99999999999999999999999", "9223372036854775808", "0 LAST x", "+5"}) {
        CAPTURE(bad);
        const auto chunk = parse_bdat(bad);
        REQUIRE_FALSE(chunk);
        CHECK(chunk.error().logged() == "521 5.5.4 Syntax: BDAT count [LAST]");
    }
}

TEST_CASE("EHLO: the name is required, further words belong to it")
{
    CHECK(*parse_helo(VerbId::ehlo, " a  b ") == "a b");
    CHECK(parse_helo(VerbId::helo, " ").error().wire() == "501 Syntax: HELO hostname\r\n");
}

TEST_CASE("xtext: encodes exactly what RFC 3461 asks for and reads it back")
{
    std::string all;
    for (int c = 1; c < 256; ++c)
        all += static_cast<char>(c);
    CHECK(*xtext_decode(xtext_encode(all)) == all);
    CHECK(xtext_encode("a+b=c d") == "a+2Bb+3Dc+20d");
    CHECK_FALSE(xtext_decode("+2"));
    CHECK_FALSE(xtext_decode("+2b"));
    CHECK_FALSE(xtext_decode("a b"));
    CHECK(*utf8_addr_decode("\\x{1F600}\\x{5C}") == "\U0001F600\\");
    CHECK(utf8_addr_xtext_encode("\U0001F600\\+") == "\\x{1F600}\\x{5C}\\x{2B}");
    CHECK(utf8_addr_unitext_encode("\U0001F600\\") == "\U0001F600\\x{5C}");
    for (std::string_view bad : {"\\x{}", "\\x{110000}", "\\x{DFFF}", "\\x{41", "\\y", "a b", "\xff", "\\x{0000041}"})
        CHECK_FALSE(utf8_addr_decode(bad));
}
