#include "submit/sendmail_options.hpp"

#include "base/strings.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::submit;

namespace {
Result<SendmailOptions> parsed(std::string_view line, std::string_view command = "sendmail")
{
    const auto words = split(line);
    return parse_sendmail_options(command, words);
}
std::string error_of(std::string_view line)
{
    const auto options = parsed(line);
    return options ? "none" : options.error().text();
}
using Mode = SendmailOptions::Mode;
}  // namespace

TEST_CASE("sendmail: the options that programs use")
{
    const auto cron = parsed("-FCronDaemon -i -B8BITMIME -oem root");
    REQUIRE(cron);
    CHECK(*cron->full_name == "CronDaemon");
    CHECK_FALSE(cron->dot_ends);
    CHECK(*cron->body == handoff::BODY_8BIT);
    CHECK(cron->recipients == std::vector<std::string>{"root"});

    const auto php = parsed("-t -i -f bounce@example.test");
    REQUIRE(php);
    CHECK(php->recipients_from_header);
    CHECK(*php->sender == "bounce@example.test");

    CHECK(parsed("-t a@b")->recipients == std::vector<std::string>{"a@b"});

    const auto grouped = parsed("-itfme@example.test -oi -N success,delay -R hdrs -V a+2Bb -- ");
    REQUIRE(grouped);
    CHECK(grouped->recipients_from_header);
    CHECK(*grouped->sender == "me@example.test");
    CHECK(grouped->notify == (handoff::NOTIFY_SUCCESS | handoff::NOTIFY_DELAY));
    CHECK(grouped->ret == handoff::RET_HDRS);
    CHECK(grouped->envid == "a+b");
    CHECK(parsed("-XV a@b")->verp == "");
    CHECK(parsed("-XV+= a@b")->verp == "+=");
    CHECK_FALSE(parsed("-X /dev/null a@b")->verp);

    const auto null = parsed("-f <> a@b");
    REQUIRE(null);
    CHECK(*null->sender == "");
    CHECK(parsed("-r <> -- -dash@b")->recipients == std::vector<std::string>{"-dash@b"});
}

TEST_CASE("sendmail: modes, by option or by name")
{
    CHECK(parsed("-bp")->mode == Mode::list_queue);
    CHECK(parsed("", "mailq")->mode == Mode::list_queue);
    CHECK(parsed("", "newaliases")->mode == Mode::new_aliases);
    CHECK(parsed("-bi -oA/etc/aliases")->alias_databases == std::vector<std::string>{"/etc/aliases"});
    CHECK(parsed("-I")->mode == Mode::new_aliases);
    CHECK(parsed("-bd -q30m")->mode == Mode::daemon);
    CHECK(parsed("-bs")->mode == Mode::smtp_dialogue);
    CHECK(parsed("-q")->mode == Mode::flush);
    CHECK(parsed("-qRexample.test")->mode == Mode::flush_site);
    CHECK(parsed("-qRexample.test")->site_or_id == "example.test");
    CHECK(parsed("-qI4ABCDEF")->mode == Mode::flush_id);
    CHECK(parsed("-bv a@b")->purpose == handoff::PURPOSE_VERIFY_ADDRESS);
    CHECK(parsed("-v a@b")->purpose == handoff::PURPOSE_RECORD_DELIVERY);
    CHECK(parsed("-v -v a@b")->purpose == handoff::PURPOSE_MAIL);
    CHECK(parsed("-O smtputf8=yes -O requiretls=no a@b")->smtputf8);
    CHECK(parsed("-O holdfor=60 a@b")->hold->interval == std::chrono::seconds{60});
    CHECK(text(*parsed("-O holdfor=60 -OHoldUntil=2026-11-30T08:00:00Z a@b")->hold) == "until;2026-11-30T08:00:00Z");
    CHECK_FALSE(parsed("a@b")->hold);
    CHECK(error_of("-O holdfor=1h a@b") == "bad -O option value: holdfor=1h");
    CHECK(error_of("-O holduntil=tomorrow a@b") == "bad -O option value: holduntil=tomorrow");
}

TEST_CASE("sendmail: what Postfix takes and does nothing with is taken")
{
    const auto options = parsed("-Am -c -G -h 17 -L label -m -n -o7 -o8 -om -oem -p smtp -U -X /dev/null -x -bh -O QueueDirectory=/x a@b");
    REQUIRE_MESSAGE(options, error_of("-Am -c -h 17 a@b"));
    CHECK(options->ignored.size() == 17);
    CHECK(options->recipients.size() == 1);
}

TEST_CASE("sendmail: what is wrong is EX_USAGE with a reason")
{
    CHECK(error_of("") == "Recipient addresses must be specified on the command line or via the -t option");
    CHECK(error_of("-bp -t") == "-t can be used only in delivery mode");
    CHECK(error_of("-bs a@b") == "stand-alone mode requires no recipient");
    CHECK(error_of("-qSsite") == "-qS is not implemented");
    CHECK(error_of("-Z a@b") == "unknown option: -Z");
    CHECK(error_of("-: a@b") == "unknown option: -:");
    CHECK(error_of("-f") == "option -f needs a value");
    CHECK(error_of("-N never,success a@b") == "bad -N option value: never,success");
    CHECK(error_of("-N sometimes a@b") == "bad -N option value: sometimes");
    CHECK(error_of("-R some a@b") == "bad -R option value: some");
    CHECK(error_of("-V a+zz a@b") == "bad -V option value: a+zz");
    CHECK(error_of("-B 9BIT a@b") == "-B needs 7BIT or 8BITMIME, not \"9BIT\"");
    CHECK(error_of("-bt a@b") == "unsupported: -bt");
    CHECK(error_of("-qX a@b") == "-qX is not offered");
    CHECK(error_of("-qR") == "specify: -qRsitename");
    CHECK(error_of("-bv -t") == "-bv cannot be used with -t, -N, -R or -v");
    CHECK(error_of("-O smtputf8=maybe a@b") == "bad -O option value: smtputf8=maybe");
}

TEST_CASE("sendmail: the full name of an account, and names of any character set without what would end a line")
{
    CHECK(name_of_account("Joe Smith,Room 5,555", "joe") == "Joe Smith");
    CHECK(name_of_account("& the Builder", "bob") == "Bob the Builder");
    CHECK(name_of_account("&", "") == "");
    CHECK(name_of_account("", "bob") == "");
    CHECK(without_controls("J\xf6rg\r\nBcc: x\x7f") == "J\xf6rg??Bcc: x?");
}
