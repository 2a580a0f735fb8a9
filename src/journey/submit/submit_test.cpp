#include "submit/drop_file.hpp"
#include "submit/framing.hpp"
#include "submit/header_recipients.hpp"
#include "submit/input_text.hpp"
#include "submit/pick_up.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

using namespace posthorn;
using namespace posthorn::submit;

namespace {

handoff::Envelope envelope_to(std::string recipient)
{
    handoff::Envelope envelope;
    envelope.set_sender("me@example.test");
    envelope.add_recipients()->set_address(std::move(recipient));
    return envelope;
}

struct Picked {
    std::string error, content;
    handoff::Envelope envelope;
};

/// Reads `record` in pieces of `step` octets.
Picked pick(const std::string& record, std::size_t step = 7, PickUpLimits limits = {})
{
    Picked picked;
    PickUp reader(limits, {1000, WallTime(std::chrono::seconds(1767225600))}, [&](std::string_view octets) {
        picked.content += octets;
        return Result<void>();
    });
    for (std::size_t at = 0; at < record.size(); at += step)
        if (auto fed = reader.feed(std::string_view(record).substr(at, step)); !fed) {
            picked.error = fed.error().text();
            return picked;
        }
    if (auto done = reader.finish(); done)
        picked.envelope = *done;
    else
        picked.error = done.error().text();
    return picked;
}

std::string record_of(const handoff::Envelope& envelope, std::string_view content)
{
    return encode_head(envelope.SerializeAsString()) + encode_content(content) + encode_end();
}

std::string typed(std::string_view input, FixLineEndings fix, bool dot = true, std::size_t step = 1)
{
    InputText text(fix, dot);
    std::string out;
    for (std::size_t at = 0; at < input.size(); at += step)
        out += text.feed(input.substr(at, step));
    return out + text.finish();
}

}  // namespace

TEST_CASE("maildrop: what sendmail wrote is what is picked up, whatever the pieces")
{
    auto envelope = envelope_to("you@example.test");
    envelope.set_full_name("Me Mysel\xf6");                      // ISO-8859-1
    envelope.set_purpose(handoff::PURPOSE_RECORD_DELIVERY);
    envelope.mutable_recipients(0)->set_notify(handoff::NOTIFY_SUCCESS | handoff::NOTIFY_DELAY);
    const std::string content = "Subject: x\r\n\r\n" + std::string(200'000, 'a') + "\r\n";
    const std::string record = record_of(envelope, content);
    for (const std::size_t step : {std::size_t{1}, std::size_t{4096}, record.size()}) {
        const Picked picked = pick(record, step);
        CHECK(picked.error == "");
        CHECK(picked.content == content);
        CHECK(picked.envelope.size() == content.size());
        CHECK(picked.envelope.full_name() == "Me Mysel\xf6");
        CHECK(picked.envelope.recipients(0).address() == "you@example.test");
        CHECK(picked.envelope.recipients(0).notify() == 10);
        CHECK(picked.envelope.purpose() == handoff::PURPOSE_RECORD_DELIVERY);
        CHECK(picked.envelope.submitter() == 1000);
        CHECK(picked.envelope.arrival() == 1767225600000000);
    }
}

TEST_CASE("maildrop: a user decides nothing that is not his to decide")
{
    auto envelope = envelope_to("you@example.test");
    envelope.set_queue_id("4ABCDEF");
    envelope.set_hold(true);
    envelope.set_filter("smtp:evil");
    envelope.set_redirect("evil@example.test");
    envelope.set_submitter(0);
    envelope.set_hops(7);
    envelope.mutable_client()->set_sasl_username("root");
    envelope.set_bounce_to("x");
    const Picked picked = pick(record_of(envelope, "x\r\n"));
    REQUIRE(picked.error == "");
    CHECK(picked.envelope.queue_id() == "");
    CHECK_FALSE(picked.envelope.hold());
    CHECK(picked.envelope.filter() == "");
    CHECK(picked.envelope.redirect() == "");
    CHECK(picked.envelope.submitter() == 1000);
    CHECK(picked.envelope.hops() == 0);
    CHECK_FALSE(picked.envelope.has_client());
    CHECK(picked.envelope.bounce_to() == "");
}

TEST_CASE("maildrop: mail may be held as long as the limit says, and no other wish of a release is a user's")
{
    const WallTime arrival(std::chrono::seconds(1767225600));
    handoff::Envelope envelope = envelope_to("you@example.test");
    const auto until = [&](std::chrono::seconds after) {
        envelope.mutable_release()->set_not_before((arrival + after).time_since_epoch().count());
        return pick(record_of(envelope, "x\r\n"), 7, {.hold = std::chrono::hours{1}});
    };
    envelope.mutable_release()->set_request("for;3600");
    envelope.mutable_release()->set_days(1);
    envelope.mutable_release()->set_expires(1);
    envelope.set_may_schedule(true);
    const Picked picked = until(std::chrono::hours{1});
    REQUIRE(picked.error == "");
    CHECK(picked.envelope.release().not_before() == (arrival + std::chrono::hours{1}).time_since_epoch().count());
    CHECK(picked.envelope.release().request() == "for;3600");
    CHECK(picked.envelope.release().days() == 0);
    CHECK(picked.envelope.release().expires() == 0);
    CHECK_FALSE(picked.envelope.may_schedule());
    CHECK(until(std::chrono::seconds{3601}).error == "bad time to be held until");
    CHECK(pick(record_of(envelope, "x\r\n")).error == "bad time to be held until");         // no limit, no holding
    envelope.mutable_release()->set_request("for;\n");
    CHECK(until(std::chrono::hours{1}).error == "bad time to be held until");
}

TEST_CASE("maildrop: each kind of bad record has its own error")
{
    const auto sound = envelope_to("you@example.test");
    const auto changed = [&](auto change) {
        auto envelope = sound;
        change(envelope);
        return pick(record_of(envelope, "x\r\n")).error;
    };
    const std::string record = record_of(sound, "x\r\n");
    CHECK(pick("PHdrop2\n....").error == "not a maildrop record");
    CHECK(pick(std::string(record_magic) + std::string(4, '\xff')).error == "envelope too large");
    CHECK(pick(encode_head("\xff\xff\xff") + encode_end()).error == "malformed envelope");
    CHECK(pick(encode_head(sound.SerializeAsString()) + std::string(4, '\x7f')).error == "chunk too large");
    CHECK(pick(record + "x").error == "data after the end");
    CHECK(pick(record, 3, {.content = 2}).error == "message file too big");
    CHECK(changed([](auto& e) { e.clear_recipients(); }) == "no recipients");
    CHECK(changed([](auto& e) { e.set_sender("a\r\nRCPT TO:<b@c>"); }) == "bad sender address");
    CHECK(changed([](auto& e) { e.set_sender(std::string(3000, 'a')); }) == "bad sender address");
    CHECK(changed([](auto& e) { e.add_recipients(); }) == "bad recipient address");
    CHECK(changed([](auto& e) { e.add_recipients()->set_address("a\nb"); }) == "bad recipient address");
    CHECK(changed([](auto& e) { e.mutable_recipients(0)->set_notify(3); }) == "bad notification request");
    CHECK(changed([](auto& e) { e.mutable_recipients(0)->set_notify(64); }) == "bad notification request");
    CHECK(changed([](auto& e) { e.set_envid(std::string(101, 'x')); }) == "bad envelope id");
    CHECK(changed([](auto& e) { e.set_verp("+"); }) == "bad delimiters of return paths");
    CHECK(changed([](auto& e) { e.set_verp("+\n"); }) == "bad delimiters of return paths");
    CHECK(changed([](auto& e) { e.set_sender(""), e.set_verp("+="); }) == "bad delimiters of return paths");
    CHECK(changed([](auto& e) { e.set_body(handoff::BODY_BINARY); }) == "bad body type");
    CHECK(changed([](auto& e) { e.set_full_name("a\nBcc: x"); }) == "bad full name");
    CHECK(changed([](auto& e) { e.set_purpose(handoff::PURPOSE_NOTIFICATION); }) == "bad purpose");
    // Cut anywhere: broken off (or, within the envelope, nothing at all), never a message.
    for (std::size_t length = 0; length < record.size(); ++length)
        CHECK(pick(record.substr(0, length)).error == "broken off");
}

TEST_CASE("maildrop: bare line feeds become line ends, also across pieces, and the last line gets its end")
{
    const std::string head = encode_head(envelope_to("a@b").SerializeAsString());
    const auto content = [&](std::string_view chunks) {
        std::string record = head;
        for (const char octet : chunks)
            record += encode_content(std::string_view(&octet, 1));
        return pick(record + encode_end(), 1000).content;
    };
    CHECK(content("a\nb\r\nc\n\nd") == "a\r\nb\r\nc\r\n\r\nd\r\n");
    CHECK(content("a\rb\r") == "a\rb\r\n");
    CHECK(content("") == "");
}

TEST_CASE("standard input: ends at a dot alone, only where that is asked for, and never inside a line")
{
    CHECK(typed("a\n.\nb\n", FixLineEndings::always) == "a\r\n");
    CHECK(typed("a\n.\nb\n", FixLineEndings::always, false) == "a\r\n.\r\nb\r\n");
    CHECK(typed("..\n.x\nx.\n. \n", FixLineEndings::always) == "..\r\n.x\r\nx.\r\n. \r\n");
    CHECK(typed(".\r\nrest\n", FixLineEndings::always) == "");
    CHECK(typed("no end", FixLineEndings::always) == "no end\r\n");
    CHECK(typed(".", FixLineEndings::always) == "");
    CHECK(typed("", FixLineEndings::always) == "");
    CHECK(typed("a\n\nb\n", FixLineEndings::always, true, 100) == "a\r\n\r\nb\r\n");
}

TEST_CASE("standard input: sendmail_fix_line_endings decides what a CR before LF is")
{
    CHECK(typed("a\r\nb\r\n", FixLineEndings::always) == "a\r\nb\r\n");
    CHECK(typed("a\nb\r\n", FixLineEndings::always) == "a\r\nb\r\n");
    CHECK(typed("a\r\nb\nc\r\n", FixLineEndings::strict) == "a\r\nb\r\nc\r\n");
    CHECK(typed("a\nb\r\n", FixLineEndings::strict) == "a\r\nb\r\r\n");
    CHECK(typed("a\r\n", FixLineEndings::never) == "a\r\r\n");
    CHECK(typed("a\rb\n", FixLineEndings::always) == "a\rb\r\n");
    CHECK(typed("a\r\r\n", FixLineEndings::always) == "a\r\r\n");
    CHECK(typed(".\r\nx\n", FixLineEndings::never) == ".\r\r\nx\r\n");
}

TEST_CASE("-t: recipients are those of To, Cc, Bcc; in a resent message those of the Resent fields alone")
{
    CHECK(header_recipients(
              "From: x@y\r\nTo: a@example.test, B <b@example.test>\r\nCc: \"c d\"@example.test\r\nBcc: e@example.test,\r\n f@example.test\r\n"
              "Reply-To: no@example.test\r\n") ==
          std::vector<std::string>{"a@example.test", "b@example.test", "c d@example.test", "e@example.test", "f@example.test"});
    CHECK(header_recipients("To: a@example.test\r\nResent-To: b@example.test\r\nResent-Bcc: c@example.test\r\n") ==
          std::vector<std::string>{"b@example.test", "c@example.test"});
    CHECK(header_recipients("To: a@b.test, a@b.test\r\nCc: undisclosed:;\r\n") == std::vector<std::string>{"a@b.test"});
    CHECK(header_recipients("Subject: none\r\n\r\nTo: not@a.header\r\n").empty());
}

TEST_CASE("command line: a word is an address list")
{
    CHECK(*command_line_recipients("a@b.test, C <c@d.test>") == std::vector<std::string>{"a@b.test", "c@d.test"});
    CHECK(*command_line_recipients("root") == std::vector<std::string>{"root"});
    CHECK_FALSE(command_line_recipients(""));
    for (const char* word : {",", "<>", "(comment)"})
        CHECK_MESSAGE(!command_line_recipients(word), word);
}

TEST_CASE("drop file: appears whole under its final name, or leaves nothing")
{
    char name[] = "/tmp/posthorn-drop-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    const auto names = [&] {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            found.push_back(entry.path().filename());
        return found;
    };
    {
        auto file = DropFile::create(folder);
        REQUIRE(file);
        REQUIRE(file->write("half"));
        REQUIRE(names().size() == 1);
        CHECK(is_unfinished_name(names()[0]));
        CHECK_FALSE(is_drop_name(names()[0]));
    }
    CHECK(names().empty());
    auto file = DropFile::create(folder);
    const std::string record = record_of(envelope_to("a@b"), "x\r\n");
    REQUIRE(file->write(record));
    const auto committed = file->commit();
    REQUIRE(committed);
    CHECK(names() == std::vector{*committed});
    CHECK(is_drop_name(*committed));
    Fd open(::open((folder + "/" + *committed).c_str(), O_RDONLY | O_CLOEXEC));
    const auto envelope = pick_up(open.get(), {}, [](std::string_view) { return Result<void>(); });
    REQUIRE(envelope);
    CHECK(envelope->submitter() == ::getuid());
    CHECK(envelope->arrival() > 1767225600000000);
    // Two names for one file: somebody could change it behind our back.
    REQUIRE(::link((folder + "/" + *committed).c_str(), (folder + "/other").c_str()) == 0);
    CHECK(pick_up(open.get(), {}, [](std::string_view) { return Result<void>(); }).error().text() == "the file has more than one name");
    std::filesystem::remove_all(folder);
    CHECK(DropFile::create(folder).error().text() == "create file in " + folder + ": No such file or directory");
}

TEST_CASE("drop names: what is not one is told apart")
{
    CHECK(is_drop_name("006956c1e0003e8.123.0123456789abcdef"));
    for (const char* name : {"", ".", "x", "006956c1e0003e8.123", "006956c1e0003e8.x.0123456789abcdef", "006956C1e0003e8.123.0123456789abcdef",
                             ".new.006956c1e0003e8.123.0123456789abcdef"})
        CHECK_FALSE_MESSAGE(is_drop_name(name), name);
}

TEST_CASE("input: lines that an mbox file has in front of a message are not of it, whatever the pieces")
{
    for (const std::size_t step : {1, 2, 3, 7, 1000}) {
        CAPTURE(step);
        const auto got = [&](std::string_view input) { return typed(input, FixLineEndings::always, true, step); };
        CHECK(got("From a@b.test Sat Nov 21\n>From c\n>>From d\r\nSubject: x\n\nFrom y\n") == "Subject: x\r\n\r\nFrom y\r\n");
        CHECK(got("From: a@b.test\n\nx\n") == "From: a@b.test\r\n\r\nx\r\n");
        CHECK(got("From a") == "");
        CHECK(got("Fro") == "Fro\r\n");
        CHECK(got(">") == ">\r\n");
        CHECK(got("") == "");
        CHECK(got(".\nx\n") == "");
        CHECK(got(std::string(1000, '>') + "From \n") == std::string(1000, '>') + "From \r\n");
    }
}
