#include "exim/spool_message.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

using namespace posthorn;

namespace {

const std::string spool_id = "1tGhmS-000GtA-2Q";

struct OnDisk {
    std::string variables = "-received_time_usec .730674\n", tree = "XX\n", recipients = "1\na@x.test\n";
    std::string header = "019  Subject: something\n", body = "hello\n", journal, log;

    std::string head() const
    {
        return fmt::format("{}-H\nDebian-exim 900 901\n<s@y.test>\n1795662802 0\n{}{}{}\n{}", spool_id, variables, tree, recipients, header);
    }
};

struct ReadBack {
    Result<exim::SpoolMessage> message = Error{"not read"};
    std::string content;
};
ReadBack read_back(const OnDisk& files, std::string head = {})
{
    if (head.empty())
        head = files.head();
    const std::string data = spool_id + "-D\n" + files.body;
    ReadBack result;
    result.message =
        exim::read_spool_message(spool_id, {.head = head, .data = data, .journal = files.journal, .log = files.log}, [&](std::string_view piece) {
            result.content += piece;
            return Result<void>{};
        });
    return result;
}
std::string error_of(const OnDisk& files, const std::string& head = {})
{
    const ReadBack result = read_back(files, head);
    return result.message ? "none" : result.message.error().text();
}
std::string who(const ReadBack& read)
{
    std::string all;
    for (const handoff::Recipient& one : read.message->envelope.recipients())
        all += (all.empty() ? "" : " ") + one.address();
    return all;
}

}  // namespace

TEST_CASE("exim message: envelope, client and content, whatever variables stand beside what is kept")
{
    OnDisk files;
    files.variables =
        "-aclm _note 9\nline one\n\n--aclc 0 3\n-fr\n-received_time_usec .730674\n--helo_name client.test\n-(mysql)host_name c.test\n"
        "-host_address [2001:db8::1]:4711\n-interface_address 192.0.2.9.25\n-received_protocol esmtpsa\n-body_linecount 2\n-auth_id me\n-auth_sender me@y.test\n"
        "-host_auth plain\n-dsn_envid id+2B1\n-dsn_ret 2\n-smtputf8\n-tls_cipher TLS1.3\n-not_known_yet some thing\n";
    const auto field = [](char kind, std::string_view text) { return fmt::format("{:03}{} {}", text.size(), kind, text); };
    files.header = field('P', "Received: from it\n\tby there\n") + field('*', "To: what was taken out\n") + field('T', "To: a@x.test\n") +
                   field(' ', "X-Gr: gr\xc3\xbc\n");
    files.body = ".dot\n\nlone \r in a line\nno end";
    const ReadBack result = read_back(files);
    REQUIRE_MESSAGE(result.message, result.message.error().text());
    const handoff::Envelope& envelope = result.message->envelope;
    CHECK(result.content == "Received: from it\r\n\tby there\r\nTo: a@x.test\r\nX-Gr: gr\xc3\xbc\r\n\r\n.dot\r\n\r\nlone \r in a line\r\nno end\r\n");
    CHECK(envelope.size() == result.content.size());
    CHECK(envelope.body() == handoff::BODY_8BIT);
    CHECK(envelope.sender() == "s@y.test");
    CHECK(envelope.submitter() == 900);
    CHECK(envelope.arrival() == 1795662802'730674);
    CHECK(envelope.envid() == "id+1");
    CHECK(envelope.ret() == handoff::RET_HDRS);
    CHECK(envelope.smtputf8());
    CHECK(envelope.client().name() == "c.test");
    CHECK(envelope.client().helo() == "client.test");
    CHECK(envelope.client().protocol() == "ESMTPSA");
    CHECK(envelope.client().address() == "2001:db8::1");
    CHECK(envelope.client().port() == 4711);
    CHECK(envelope.client().server_address() == "192.0.2.9");
    CHECK(envelope.client().server_port() == 25);
    CHECK(envelope.client().sasl_username() == "me");
    CHECK(envelope.client().sasl_sender() == "me@y.test");
    CHECK(envelope.client().sasl_method() == "plain");
    CHECK_FALSE(result.message->frozen);
    CHECK(result.message->done == 0);
}

TEST_CASE("exim message: recipients with what was asked for each; who is in the tree or the journal is done with")
{
    OnDisk files;
    files.variables += "-frozen 1795662900\n-received_protocol local\n";
    files.tree = "YN c@x.test\nNY b@x.test\nNN \"a b\"@x.test\n";
    files.journal = "e@x.test\n";
    files.recipients =
        "8\na@x.test rfc822;o+2B@x.test 18,24  0,-1#3\nb@x.test\n\"a b\"@x.test\nc@x.test\nd@x.test rfc822;has space 16,2 s@y.test 8,0#3\ne@x.test\n"
        "one@x.test s@y.test 8,4#1\n\"d e\"@x.test  0,29#2\n";
    const ReadBack result = read_back(files);
    REQUIRE_MESSAGE(result.message, result.message.error().text());
    const handoff::Envelope& envelope = result.message->envelope;
    CHECK(who(result) == "a@x.test d@x.test one@x.test \"d e\"@x.test");
    CHECK(result.message->done == 4);
    CHECK(result.message->frozen);
    CHECK(envelope.client().protocol().empty());
    CHECK(envelope.recipients(0).orcpt() == "rfc822;o+@x.test");
    CHECK(envelope.recipients(0).notify() == (handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY));
    CHECK(envelope.recipients(1).notify() == handoff::NOTIFY_NEVER);
    CHECK(envelope.recipients(1).orcpt().empty());
    CHECK(envelope.recipients(2).notify() == 0);
    CHECK(envelope.recipients(2).index() == 2);
    CHECK(envelope.recipients(3).notify() == (handoff::NOTIFY_SUCCESS | handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY));
    files.journal = "a@x.test\nd@x.test\ne@x.test\none@x.test\n\"d e\"@x.test\n";
    const ReadBack done = read_back(files);
    REQUIRE(done.message);
    CHECK(done.message->envelope.recipients_size() == 0);
    CHECK(done.message->done == 8);
}

TEST_CASE("exim message: a recipient that led to several, of whom some have it, is not taken; one who is done with troubles nobody")
{
    OnDisk files;
    files.recipients = "2\nlist@x.test\nplain@x.test\n";
    files.tree = "YN plain@x.test\nNN member@z.test\n";
    const std::string several =
        spool_id + "-H: list@x.test led to several, some of whom have it: let Exim bring it to the others (exim -M " + spool_id + ")";
    const std::string unknown =
        spool_id + "-H: whether list@x.test led to those who have it is not in the message log: let Exim bring it to the others (exim -M " +
        spool_id + ")";
    const std::string time = "2026-11-27 23:30:11 ",
                      other = time + "other@z.test (list-1@x.test) <list@x.test> R=r T=t defer (-44) H=h [192.0.2.1]: <plain@x.test>: 451\n";
    CHECK(error_of(files) == unknown);
    files.log = time + "Received from s@y.test H=(c) P=esmtp S=1\n" + time + "member@z.test <list@x.test>: t transport succeeded\n";
    CHECK(error_of(files) == several);
    // The same with who failed, and is known as refused to the sender; with a zone; and where others are left.
    files.log = "2026-11-27 23:30:11 +0100 ** member@z.test <LIST@x.test> R=r T=t: 550\n";
    CHECK(error_of(files) == several);
    files.log = other + time + "third@z.test <list@x.test> R=r T=t defer (-44)\n";
    CHECK(error_of(files) == several);
    // An alias of one, who waits; a recipient that waits itself, whatever its host said.
    files.log = other + other;
    CHECK(error_of(files) == "none");
    files.log = time + "list@x.test R=r T=t defer (-44) H=h [192.0.2.1]: <list@x.test>: 451\n";
    CHECK(error_of(files) == "none");
    files.log = time + "list@x.test <plain@x.test> R=r T=t defer (-44)\n";
    CHECK(error_of(files) == unknown);
    // Who is done with troubles nobody.
    files.log.clear();
    files.tree = "YY list@x.test\nNN member@z.test\nNN plain@x.test\n";
    CHECK(error_of(files) == "none");
    files.tree = "NN PLAIN@X.test\n";
    CHECK(error_of(files) == "none");
}

TEST_CASE("exim message: what is not as the format says is an error that names file and line")
{
    OnDisk files;
    const std::string good = files.head();
    CHECK(error_of(files, "x\n") == spool_id + "-H, line 1: it names another message");
    CHECK(error_of(files, good.substr(0, 30)) == spool_id + "-H, line 2: cut short");
    const auto bad = [&](const std::string& old, const std::string& text) {
        std::string head = good;
        const std::size_t at = head.find(old);
        REQUIRE(at != head.npos);
        return error_of(files, head.replace(at, old.size(), text)).substr(spool_id.size());
    };
    CHECK(bad(" 901", "") == "-H, line 2: no \"login uid gid\"");
    CHECK(bad("<s@y", "s@y") == "-H, line 3: a bad sender");
    CHECK(bad("<s@y", "<s\r@y") == "-H, line 3: a bad sender");
    CHECK(bad("1795662802", "never") == "-H, line 4: a bad arrival time");
    CHECK(bad("-received", "-aclm 0 99\n-received") == "-H, line 5: an ACL variable that is not as long as it says");
    CHECK(bad("-received", "-aclm 0\n-received") == "-H, line 5: an ACL variable that is not as long as it says");
    CHECK(bad("-received", "-host_address 1\n-received") == "-H, line 5: a bad host address");
    CHECK(bad("-received", "-host_address [::1]:99999\n-received") == "-H, line 5: a bad host address");
    CHECK(bad("XX", "YX b@x.test") == "-H, line 6: a bad list of those who have it");
    CHECK(bad("XX", "YN b@x.test") == "-H, line 7: a bad list of those who have it");
    CHECK(bad("1\na", "many\na") == "-H, line 7: a bad number of recipients");
    CHECK(bad("1\na", "2000000\na") == "-H, line 7: a bad number of recipients");
    CHECK(bad("1\na", "2\na") == "-H, line 9: a bad recipient");
    CHECK(bad("a@x.test", "a@x.test 7,9#3") == "-H, line 8: a bad recipient");
    CHECK(bad("a@x.test", "a@x.test  0,-1#4") == "-H, line 8: a recipient in a form that is not known");
    CHECK(bad("a@x.test", "a@x.test 4") == "-H, line 8: a recipient in a form that is not known");
    CHECK(bad("a@x.test", "a@x\x01.test") == "-H, line 8: a bad recipient");
    CHECK(bad("a@x.test", "a@x.test o@x.test 8,-1#1") == "-H, line 8: a@x.test has a sender of its own, o@x.test");
    CHECK(bad("\n\n019", "\n019") == "-H, line 9: no empty line before the header");
    CHECK(bad("019  S", "020  S") == "-H, line 10: a header field that is not as long as it says");
    CHECK(bad("019  S", "018  S") == "-H, line 10: a header field that is not as long as it says");
    CHECK(bad("019  S", "  S") == "-H, line 10: a header field that is not as long as it says");
    files.body = "";
    const ReadBack nothing = read_back(files);
    REQUIRE(nothing.message);
    CHECK(nothing.content == "Subject: something\r\n\r\n");
    CHECK(exim::read_spool_message(spool_id, {.head = good, .data = "other-D\n", .journal = {}, .log = {}},
                                   [](std::string_view) { return Result<void>{}; })
              .error()
              .text() == spool_id + "-D: it names another message");
}

TEST_CASE("exim message: names of both lengths are known, others are not")
{
    CHECK(exim::is_message_id("1tGhmS-000GtA-2Q"));
    CHECK(exim::is_message_id("1tGhmS-00000000GtA-2Qab"));
    for (const char* other :
         {"", "1tGhmS-000GtA-2Qab", "1tGhmS-000GtA", "1tGhmS-000GtA-2", "1tGhm/-000GtA-2Q", "1tGhmS_000GtA-2Q", "1tGhmS-00000000GtA-2Q"})
        CHECK_FALSE(exim::is_message_id(other));
}
