#include "deliver/command_end.hpp"
#include "deliver/message.hpp"
#include "deliver/pipe_line.hpp"
#include "deliver/written.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <sysexits.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::deliver;

namespace {

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : "|") + word;
    return text;
}

PipeLine line_of(std::vector<std::string> arguments)
{
    auto line = parse_pipe_line(arguments);
    REQUIRE_MESSAGE(line, line.error().text());
    return *std::move(line);
}

std::string error_of(std::vector<std::string> arguments)
{
    const auto line = parse_pipe_line(arguments);
    return line ? "" : line.error().text();
}

PipeMail mail(std::vector<PipeMail::Person> recipients = {{"User+Ext@Example.TEST", ""}})
{
    PipeMail made;
    made.sender = "send er@a.test";
    made.recipients = std::move(recipients);
    made.nexthop = "Next.Hop";
    made.queue_id = "4gDq8v1Yc0z3D";
    made.size = 1234;
    return made;
}

std::string words(std::vector<std::string> argv, std::string flags = "", const PipeMail& of = mail(), bool minus = false)
{
    argv.front().insert(0, "argv=");
    argv.insert(argv.begin(), {"user=nobody", "flags=" + flags});
    const PipeLine line = line_of(argv);
    const tables::Delimiter plus{.characters = "+"};
    const auto made = pipe_words(line, of, plus, minus);
    return made ? joined(*made) : made.error().status() + " " + made.error().what();
}

std::string written(const WrittenOptions& how, const WrittenNames& names, std::string_view message, std::size_t piece = 1000)
{
    Written text(how, names);
    std::string out;
    text.head(out);
    for (; !message.empty(); message.remove_prefix(std::min(piece, message.size())))
        text.feed(message.substr(0, piece), out);
    text.end(out);
    return out;
}

CommandEnd exited(int status, std::string output = {})
{
    CommandEnd end;
    end.status = status << 8;
    end.output = std::move(output);
    return end;
}

}  // namespace

TEST_CASE("pipe line: attributes, and argv with all that follows")
{
    const PipeLine line = line_of({"flags=DRhu", "user=vmail:mail", "null_sender=", "directory=/var/x", "chroot=/jail", "eol=\\r\\n\\055",
                                   "size=1000", "argv=/bin/lda", "-d", "${recipient}", "user=not an attribute"});
    CHECK(line.has('D'));
    CHECK_FALSE(line.has('F'));
    CHECK(line.user == "vmail");
    CHECK(line.group == "mail");
    CHECK(line.null_sender.empty());
    CHECK(line.directory == "/var/x");
    CHECK(line.root == "/jail");
    CHECK(line.eol == "\r\n-");
    CHECK(line.size_limit == 1000);
    CHECK(joined(line.words) == "/bin/lda|-d|${recipient}|user=not an attribute");
}

TEST_CASE("pipe line: what is wrong is said")
{
    CHECK(error_of({"user=a", "argv=/bin/x", "${nonsense}"}) == "argv: unknown macro name: nonsense");
    CHECK(error_of({"user=a", "flags=DZ", "argv=/bin/x"}) == "flags=DZ: unknown flag: Z");
    CHECK(error_of({"argv=/bin/x"}) == "missing user= attribute");
    CHECK(error_of({"user=a"}) == "missing argv= attribute");
    CHECK(error_of({"user=a", "argv="}) == "missing argv= attribute");
    CHECK(error_of({"user=a:", "argv=/bin/x"}) == "bad user= value: a:");
    CHECK(error_of({"user=", "argv=/bin/x"}) == "bad user= value: ");
    CHECK(error_of({"user=a", "/bin/x"}) == "unknown attribute: /bin/x");
    CHECK(error_of({"user=a", "colour=red", "argv=/bin/x"}) == "unknown attribute: colour=red");
    CHECK(error_of({"user=a", "size=-1", "argv=/bin/x"}) == "size=-1: not a number of octets");
    CHECK(error_of({"user=a", "eol=\\", "argv=/bin/x"}) == "eol=\\: nothing behind the last \\");
    CHECK(error_of({"user=a", "eol=\\q", "argv=/bin/x"}) == "eol=\\q: unknown escape");
    CHECK(error_of({"user=a", "directory=here", "argv=/bin/x"}) == "directory=here: an absolute path is needed");
    CHECK(error_of({"user=a", "chroot=jail", "argv=/bin/x"}) == "chroot=jail: an absolute path is needed");
    CHECK(error_of({"user=a", "chroot=", "argv=/bin/x"}) == "chroot=: an absolute path is needed");
    CHECK_FALSE(error_of({"user=a", "argv=/bin/x", "${recipient"}).empty());
}

TEST_CASE("pipe words: one for each recipient where the word depends on it, else one")
{
    const PipeMail two = mail({{"a+x@one.test", "orig@one.test"}, {"b@two.test", ""}});
    CHECK(words({"/bin/x", "-f", "${sender}", "--", "$recipient"}, "", two) == "/bin/x|-f|send er@a.test|--|a+x@one.test|b@two.test");
    CHECK(words({"/bin/x", "${user}:$(extension):${mailbox}@$domain"}, "", two) == "/bin/x|a:x:a+x@one.test|b::b@two.test");
    CHECK(words({"/bin/x", "${original_recipient}"}, "", two) == "/bin/x|orig@one.test|b@two.test");
    CHECK(words({"/bin/x", "$queue_id-$size", "$$5", "${extension?+}$nexthop"}, "", two) == "/bin/x|4gDq8v1Yc0z3D-1234|$5|+Next.Hop|Next.Hop");
}

TEST_CASE("pipe words: flags say how addresses are written")
{
    CHECK(words({"/bin/x", "$recipient", "$user", "$domain", "$nexthop"}, "h") == "/bin/x|User+Ext@example.test|User|example.test|next.hop");
    CHECK(words({"/bin/x", "$recipient", "$user", "$extension", "$mailbox"}, "u") == "/bin/x|user+ext@Example.TEST|user|ext|user+ext");
    CHECK(words({"/bin/x", "$sender"}, "q") == "/bin/x|\"send er\"@a.test");
    PipeMail bounce = mail();
    bounce.sender.clear();
    CHECK(words({"/bin/x", "$sender"}, "q", bounce) == "/bin/x|MAILER-DAEMON");
}

TEST_CASE("pipe words: what an address holds is not expanded, and makes no option")
{
    CHECK(words({"/bin/x", "$recipient"}, "", mail({{"${sender}$$@x.test", ""}})) == "/bin/x|${sender}$$@x.test");
    CHECK(words({"/bin/x", "$recipient"}, "", mail({{"-oops@x.test", ""}})) ==
          "5.1.3 bad address syntax: \"-oops@x.test\" would be an option of the command");
    CHECK(words({"/bin/x", "$recipient"}, "", mail({{"-oops@x.test", ""}}), true) == "/bin/x|-oops@x.test");
    CHECK(words({"/bin/x", "-d$recipient"}, "", mail({{"-oops@x.test", ""}})) == "/bin/x|-d-oops@x.test");
    CHECK(words({"/bin/x", "$user"}, "", mail({{std::string("a\0b@x.test", 10), ""}})) == "/bin/x|ab");
}

TEST_CASE("written: a mailbox file's form, whatever the pieces")
{
    WrittenOptions how{.from_line = true, .return_path = true, .original_to = true, .delivered_to = true, .quote_from = true, .blank_end = true};
    WrittenNames names{"a b@x.test", "o@x.test", "d@x.test", WallTime{std::chrono::seconds{1767225600}}};
    const std::string_view message = "Subject: x\r\n\r\nFrom here\r\nFro\r\n.\r\n\rFrom\r\nFrom there\r\n";
    const std::string whole = written(how, names, message);
    CHECK(whole.starts_with("From \"a b\"@x.test  "));
    CHECK(whole.substr(whole.find('\n') + 1) == "Return-Path: <\"a b\"@x.test>\nX-Original-To: o@x.test\nDelivered-To: d@x.test\n"
                                                "Subject: x\n\n>From here\nFro\n.\n\rFrom\n>From there\n\n");
    for (std::size_t piece = 1; piece < message.size(); ++piece)
        CHECK(written(how, names, message, piece) == whole);
    names.sender.clear();
    CHECK(written(how, names, message).starts_with("From MAILER-DAEMON  "));
    CHECK(written({.return_path = true}, names, "\r\n") == "Return-Path: <>\n\n");
}

TEST_CASE("written: dots, other line ends, a last line without its end, and an address that would be two lines")
{
    CHECK(written({.dots = true, .eol = "\r\n"}, {}, "a\r\n.b\r\n..\r\n") == "a\r\n..b\r\n...\r\n");
    CHECK(written({.quote_from = true}, {}, "a\r\nFrom") == "a\nFrom\n");
    CHECK(written({}, {}, "a\r") == "a\r\n");
    const std::string one = written({.delivered_to = true}, {.sender = {}, .original = {}, .delivered = "a\nX: y@z"}, "");
    CHECK(std::ranges::count(one, '\n') == 1);
    CHECK(one.starts_with("Delivered-To: \"a"));
}

TEST_CASE("message: a header that names the address as delivered to is a loop, whatever its case, and nothing behind the header is")
{
    const std::string_view head = "Received: x\r\nDelivered-To: User@X.test\r\nDelivered-To: \"a b\"@x.test\r\n\r\n";
    CHECK(was_delivered_to(head, "user@x.test"));
    CHECK(was_delivered_to(head, "a b@x.test"));
    CHECK_FALSE(was_delivered_to(head, "other@x.test"));
    const Message message("A: b\r\n\r\nDelivered-To: user@x.test\r\n");
    CHECK(*message.head() == "A: b\r\n\r\n");
    CHECK_FALSE(was_delivered_to(*message.head(), "user@x.test"));
}

TEST_CASE("command: its exit status decides, as sysexits.h has it")
{
    const auto fate = [](const CommandEnd& end) { return fate_of(end, "/bin/x", "delivered via x service", "relayed"); };
    CHECK(fate(exited(0)) == Fate::delivered("delivered via x service", "relayed"));
    CHECK(fate(exited(0, "ok\n")) == Fate::delivered("delivered via x service (ok)", "relayed"));
    CHECK(fate(exited(EX_NOUSER)) == Fate::bounced("5.1.1", "user unknown"));
    CHECK(fate(exited(EX_TEMPFAIL, "over\tquota\n")) == Fate::deferred("4.3.0", "temporary failure. Command output: over quota "));
    CHECK(fate(exited(EX_CANTCREAT)).status == "5.2.0");
    CHECK(fate(exited(1, "oops")) == Fate::bounced("5.3.0", "Command died with status 1: \"/bin/x\". Command output: oops"));
    CHECK(fate(exited(1, "4.2.2 mailbox full\n")) == Fate::deferred("4.2.2", "mailbox full "));
    CHECK(fate(exited(EX_TEMPFAIL, "5.2.2 mailbox full")) == Fate::bounced("5.2.2", "mailbox full"));
    CHECK(fate(exited(EX_NOUSER, "2.0.0 well done")) == Fate::bounced("5.0.0", "well done"));
}

TEST_CASE("command: a signal, a program that is not there and a message that cannot be read return no mail; the time limit does")
{
    const auto fate = [](const CommandEnd& end) { return fate_of(end, "/bin/x", "", ""); };
    CommandEnd killed;
    killed.status = 9;
    CHECK(fate(killed) == Fate::deferred("4.3.0", "Command died with signal 9: \"/bin/x\""));
    killed.late = true;
    CHECK(fate(killed) == Fate::bounced("5.3.0", "Command time limit exceeded: \"/bin/x\""));
    killed.not_fed = Error{"message file: Input/output error"};
    CHECK(fate(killed).end == Fate::End::deferred);
    CommandEnd missing = exited(127);
    missing.not_executed = Error{"execute /bin/x: No such file or directory"};
    CHECK(fate(missing) == Fate::deferred("4.3.0", "temporary failure. execute /bin/x: No such file or directory"));
}

TEST_CASE("fate: what comes back from a child is whole, or a deferral")
{
    const Fate fate = Fate::bounced("5.2.2", "full\n");
    const std::string packed = pack(fate);
    CHECK(unpack_fate(packed) == fate);
    for (std::size_t size = 0; size < packed.size(); ++size)
        CHECK(unpack_fate(std::string_view(packed).substr(0, size)).end == Fate::End::deferred);
    CHECK(unpack_fate("nonsense").end == Fate::End::deferred);
}
