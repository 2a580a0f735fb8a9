#include "cleanup/params.hpp"
#include "cleanup/testing.hpp"
#include "tables/params.hpp"

#include <doctest/doctest.h>

#include <boost/asio/detached.hpp>

using namespace posthorn;
using namespace posthorn::cleanup;
using namespace posthorn::cleanup::testing;
using tables::TestSite;

namespace {

constexpr std::string_view whole =
    "Received: x\r\nFrom: a@b.test\r\nTo: c@d.test\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\nMessage-ID: <m@x>\r\n\r\n";

}  // namespace

TEST_CASE("cleanup: a whole message from elsewhere stays as it is, to the octet")
{
    const Got got = clean(options(), envelope({"r@else.test"}, "203.0.113.5"), std::string(whole));
    CHECK(got.head == whole);
    CHECK(got.envelope.message_id() == "<m@x>");
    CHECK(got.envelope.hops() == 1);
    CHECK(got.log == std::vector<std::string>{"postfix/cleanup: 4bXYZ1zQ: message-id=<m@x>"});
}

TEST_CASE("cleanup: local mail that lacks them gets Message-Id, Date and From; mail from elsewhere is not repaired unless that is asked for")
{
    const std::string head = "Subject: x\r\n\r\n";
    const Got local = clean(options(), envelope(), head);
    CHECK(local.head.starts_with("Subject: x\r\nMessage-Id: <20261121"));
    CHECK(has(local.head, ".4bXYZ1zQ@mx.here.test>\r\nDate: Sat, 21 Nov 2026 "));
    CHECK(local.head.ends_with("\r\nFrom: s@x.test\r\n\r\n"));
    handoff::Envelope named = envelope();
    named.set_full_name("Joe Smith");
    CHECK(clean(options(), named, head).head.ends_with("\r\nFrom: Joe Smith <s@x.test>\r\n\r\n"));
    named.set_full_name("Smith, Joe");
    CHECK(clean(options(), named, head).head.ends_with("\r\nFrom: \"Smith, Joe\" <s@x.test>\r\n\r\n"));
    Options old = options();
    old.name_in_comment = true;
    CHECK(clean(old, named, head).head.ends_with("\r\nFrom: s@x.test (Smith, Joe)\r\n\r\n"));
    named.set_full_name("Joe (the other) \\");
    CHECK(clean(old, named, head).head.ends_with("\r\nFrom: s@x.test (Joe \\(the other\\) \\\\)\r\n\r\n"));
    named.set_full_name("J\xf6rg");
    Options latin = options();
    latin.name_charset = "iso-8859-1";
    CHECK(clean(latin, named, head).head.ends_with("\r\nFrom: =?iso-8859-1?Q?J=F6rg?= <s@x.test>\r\n\r\n"));
    CHECK_FALSE(clean(latin, named, head).envelope.smtputf8());
    handoff::Envelope nobody = envelope();
    nobody.clear_sender();
    CHECK(has(clean(old, nobody, head).head, "From: MAILER-DAEMON@here.test (Mail Delivery System)\r\n"));
    named.set_purpose(handoff::PURPOSE_VERIFY_ADDRESS);
    CHECK(clean(options(), named, head).head.ends_with("\r\nFrom: s@x.test\r\n\r\n"));
    CHECK(has(local.log.at(0), "4bXYZ1zQ: message-id=<20261121"));
    CHECK(has(local.head, local.envelope.message_id()));
    CHECK(clean(options(), envelope({"r@else.test"}, "192.0.2.1"), head).head == local.head);      // permit_inet_interfaces
    const Got remote = clean(options(), envelope({"r@else.test"}, "10.1.1.1"), head);
    CHECK(remote.head == head);
    CHECK(remote.log == std::vector<std::string>{"postfix/cleanup: 4bXYZ1zQ: message-id=<>"});
    Options made = options();
    made.local_clients.mynetworks = true;
    CHECK(clean(made, envelope({"r@else.test"}, "10.1.1.1"), head).head == local.head);
    made = options();
    made.local_clients.tables = "cidr:{{203.0.113.0/24 ok}}";
    CHECK(clean(made, envelope({"r@else.test"}, "203.0.113.9"), head).head == local.head);
    CHECK(clean(made, envelope({"r@else.test"}, "203.0.114.9"), head).head == head);
    made = options();
    made.remote.origin = made.remote.domain = "remote.invalid";
    CHECK(has(clean(made, envelope({"r@else.test"}, "203.0.114.9"), head).head, "\r\nMessage-Id: <"));
    made = options();
    made.always_add_missing = true;
    made.undisclosed_recipients_header = "To: undisclosed-recipients:;";
    CHECK(has(clean(made, envelope({"r@else.test"}, "10.1.1.1"), head).head, "\r\nTo: undisclosed-recipients:;\r\n\r\n"));
    handoff::Envelope null = envelope();
    null.clear_sender();
    CHECK(has(clean(options(), null, head).head, "From: Mail Delivery System <MAILER-DAEMON@here.test>\r\n"));
}

TEST_CASE("cleanup: the header of who speaks QMQP is a local one, and UTF-8 is found by the class of its own")
{
    handoff::Envelope mail = envelope({"r@else.test"}, "203.0.113.9");
    const std::string head = "From: Joe <joe>\r\nSubject: \xc3\xbc\r\n\r\n";
    CHECK(clean(options(), mail, head).head == head);
    mail.mutable_client()->set_protocol(std::string(handoff::qmqp_protocol));
    Options made = options();
    const Got got = clean(made, mail, head);
    CHECK(has(got.head, "From: Joe <joe@here.test>\r\n"));
    CHECK(has(got.head, "\r\nMessage-Id: <"));
    CHECK_FALSE(got.envelope.smtputf8());
    made.smtputf8_autodetect = {"qmqpd"};
    CHECK(clean(made, mail, head).envelope.smtputf8());
    mail.mutable_client()->set_protocol("ESMTP");
    CHECK_FALSE(clean(made, mail, head).envelope.smtputf8());
}

TEST_CASE("cleanup: a resent message lacks Resent- fields, not the plain ones")
{
    const Got got = clean(options(), envelope(), "Resent-To: r@else.test\r\nFrom: a@b.test\r\n\r\n");
    CHECK(has(got.head, "\r\nResent-Message-Id: <"));
    CHECK(has(got.head, "\r\nResent-Date: "));
    CHECK(has(got.head, "\r\nResent-From: s@x.test\r\n"));
    CHECK_FALSE(has(got.head, "\r\nDate: "));
    CHECK(has(got.log.at(0), "resent-message-id=<"));
}

TEST_CASE("cleanup: Bcc and its kin leave the header, folded lines and all")
{
    const Got got =
        clean(options(), envelope({"r@else.test"}, "10.1.1.1"),
              "Received: x\r\nBCC: a@b.test,\r\n\tc@d.test\r\nReturn-Path: <x>\r\nSubject: y\r\nContent-Length: 5\r\nResent-Bcc: z\r\n\r\n");
    CHECK(got.head == "Received: x\r\nSubject: y\r\n\r\n");
    // One that is over header_size_limit is not cut as well: what is left of it would be an empty line, and the end of the header.
    std::string many = "Bcc: a@b.test";
    for (int count = 0; count < 12000; ++count)
        many += fmt::format(",\r\n a{}@b.test", count);
    CHECK(clean(options(), envelope({"r@else.test"}, "10.1.1.1"), "Received: x\r\n" + many + "\r\nSubject: y\r\n\r\n").head ==
          "Received: x\r\nSubject: y\r\n\r\n");
}

TEST_CASE("cleanup: incomplete addresses are completed, in every envelope, but only in the header of local clients")
{
    const std::string head =
        "From: Joe <joe>\r\nTo: a, \"B, c\" <b@host>,\r\n c@x.test, site!d, e%f.test, [\"g\"@[192.0.2.9]]\r\nSubject: joe@host\r\nDate: x\r\nMessage-ID: <joe>\r\n\r\n";
    const Got local = clean(options(), envelope({"joe", "k@host", "m@n.test.", "site!u"}), head);
    CHECK(has(local.head, "From: Joe <joe@here.test>\r\n"));
    CHECK(has(local.head, "To: a@here.test, \"B, c\" <b@host.net.test>,\r\n c@x.test, d@site.net.test, e@f.test"));
    CHECK(has(local.head, "Subject: joe@host\r\n"));
    CHECK(local.recipients == "joe@here.test<-joe k@host.net.test<-k@host m@n.test<-m@n.test. u@site.net.test<-site!u ");
    const Got remote = clean(options(), envelope({"joe"}, "10.1.1.1"), head);
    CHECK(remote.head == head);
    CHECK(remote.recipients == "joe@here.test<-joe ");
    Options made = options();
    made.remote.origin = made.remote.domain = "domain.invalid";
    CHECK(has(clean(made, envelope({"joe"}, "10.1.1.1"), head).head,
              "From: Joe <joe@domain.invalid>\r\nTo: a@domain.invalid, \"B, c\" <b@host.domain.invalid>"));
    made = options();
    made.local.at_origin = false;
    CHECK(clean(made, envelope({"joe"}), head).recipients == "joe ");
    handoff::Envelope sent = envelope();
    sent.set_sender("me");
    const Got sender = clean(options(), sent, head);
    CHECK(sender.envelope.sender() == "me@here.test");
    CHECK(sender.envelope.sender_original() == "me");
}

TEST_CASE("cleanup: aliases expand, recursively and with their extensions; what they were is kept; duplicates go")
{
    Options made = options();
    made.virtual_alias_maps =
        "inline:{ {list@v.test=a@v.test, b@else.test, a@v.test} {a@v.test=c@else.test} {self@v.test=self@v.test, copy@else.test} "
        "{@dom.test=@other.test} {user@v.test=u1, u2@host} {root=admin@else.test} {x@v.test=c@else.test} }";
    const auto to = [&](std::vector<std::string> recipients) { return clean(made, envelope(std::move(recipients)), std::string(whole)).recipients; };
    CHECK(to({"list@v.test"}) == "c@else.test<-list@v.test b@else.test<-list@v.test ");
    CHECK(to({"self@v.test"}) == "self@v.test copy@else.test<-self@v.test ");
    CHECK(to({"any+e@dom.test"}) == "any+e@other.test<-any+e@dom.test ");
    CHECK(to({"a+ext@v.test"}) == "c+ext@else.test<-a+ext@v.test ");
    CHECK(to({"user@v.test"}) == "u1@here.test<-user@v.test u2@host.net.test<-user@v.test ");
    CHECK(to({"root"}) == "admin@else.test<-root ");
    CHECK(to({"root@here.test"}) == "admin@else.test<-root@here.test ");
    CHECK(to({"none@else.test"}) == "none@else.test ");
    CHECK(to({"d@else.test", "D@Else.test"}) == "d@else.test ");
    CHECK(to({"a@v.test", "x@v.test"}) == "c@else.test<-a@v.test c@else.test<-x@v.test ");
    made.original_recipient = false;
    CHECK(to({"a@v.test", "x@v.test"}) == "c@else.test<-a@v.test ");      // once, and still with what it was
    made.propagate_extensions = false;
    CHECK(to({"a+ext@v.test"}) == "c@else.test<-a+ext@v.test ");
    made.address_mappings = false;
    CHECK(to({"a@v.test"}) == "a@v.test ");
    made = options();
    made.virtual_alias_maps = "inline:{ {l@v.test=a@e.test, b@e.test} }";
    handoff::Envelope dsn = envelope({"l@v.test"});
    dsn.mutable_recipients(0)->set_orcpt("rfc822;l@v.test");
    dsn.mutable_recipients(0)->set_notify(handoff::NOTIFY_SUCCESS);
    const Got got = clean(made, dsn, std::string(whole));
    REQUIRE(got.envelope.recipients_size() == 2);
    CHECK(got.envelope.recipients(1).orcpt() == "rfc822;l@v.test");
    CHECK(got.envelope.recipients(1).notify() == handoff::NOTIFY_SUCCESS);
    CHECK(got.envelope.recipients(1).index() == 1);
}

TEST_CASE("cleanup: a recipient without a message is completed and expanded alike")
{
    TestSite site;
    Options made = options();
    made.virtual_alias_maps = "inline:{ {sales@here.test=ann@here.test} {team@here.test=bob@else.test, carl@else.test} "
                              "{loop@here.test=loop2@here.test} {loop2@here.test=loop@here.test} }";
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    const auto expanded = [&](const char* address) { return run(loop, cleaner.expanded(address)); };
    CHECK(*expanded("user@else.test") == std::vector<std::string>{"user@else.test"});
    CHECK(*expanded("sales") == std::vector<std::string>{"ann@here.test"});
    CHECK(*expanded("team@here.test") == std::vector<std::string>{"bob@else.test", "carl@else.test"});
    CHECK(site.sink->lines.empty());
    CHECK_FALSE(expanded("loop@here.test"));
    CHECK(site.said("unreasonable virtual_alias_maps map nesting"));
    made.virtual_alias_maps = "texthash:/nonexistent";
    Cleaner broken(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    CHECK_FALSE(run(loop, broken.expanded("user@else.test")));
}

TEST_CASE("cleanup: loops, floods and oversize results of aliases are refused for now, with a warning that names them")
{
    Options made = options();
    made.virtual_alias_maps = "inline:{ {a@v.test=b@v.test} {b@v.test=A@v.test} }";
    Got got = clean(made, envelope({"a@v.test"}), std::string(whole));
    CHECK(got.refused == "451 4.6.0 Alias expansion error");
    CHECK(got.log.back() ==
          "postfix/cleanup: warning: 4bXYZ1zQ: unreasonable virtual_alias_maps map nesting for a@v.test -- message not accepted, try again later");
    made.recursion_limit = 2;                                    // looked up twice, and not a third time to see that there is no more
    made.virtual_alias_maps = "inline:{ {a@v.test=b@v.test} {b@v.test=c@v.test} }";
    CHECK(clean(made, envelope({"a@v.test"}), std::string(whole)).refused == "451 4.6.0 Alias expansion error");
    CHECK(clean(made, envelope({"b@v.test"}), std::string(whole)).recipients == "c@v.test<-b@v.test ");
    made.virtual_alias_maps = "inline:{ {two@v.test=c@v.test, b@v.test} {b@v.test=d@v.test} }";
    CHECK(clean(made, envelope({"two@v.test"}), std::string(whole)).recipients == "c@v.test<-two@v.test d@v.test<-two@v.test ");
    made.recursion_limit = options().recursion_limit;
    made.virtual_alias_maps = "regexp:{{/^(.*)@v\\.test$/ ${1}x@v.test}}";
    got = clean(made, envelope({"a@v.test"}), std::string(whole));
    CHECK(got.refused == "451 4.6.0 Alias expansion error");
    made.expansion_limit = 2;
    made.virtual_alias_maps = "inline:{ {a@v.test=b@e.test, c@e.test, d@e.test} }";
    got = clean(made, envelope({"a@v.test"}), std::string(whole));
    CHECK(got.refused == "451 4.6.0 Alias expansion error");
    CHECK(has(got.log.back(), "unreasonable virtual_alias_maps map expansion size for a@v.test -- message not accepted, try again later"));
    made.expansion_limit = 1000;
    made.address_length_limit = 20;
    made.virtual_alias_maps = "inline:{ {a@v.test=bbbbbbbbbbbbbbbbbbbbbbb@e.test} }";
    CHECK(clean(made, envelope({"a@v.test"}), std::string(whole)).refused == "451 4.6.0 Alias expansion error");
    made.virtual_alias_maps = "texthash:/nonexistent";
    got = clean(made, envelope({"a@v.test"}), std::string(whole));
    CHECK(got.refused == "451 4.3.0 Error: queue file write error");
    CHECK(has(got.log.back(), "virtual_alias_maps map lookup problem for a@v.test -- message not accepted, try again later"));
}

namespace {

/// A server that is asked over a network: "uN@v.test" is "nN@e.test" and "copyN@v.test", which is nobody else; "aN@v.test" and "bN@v.test" are
/// both of the next, up to 40.
class Distant final : public tables::Table {
public:
    using Table::Table;
    bool in_memory() const override { return false; }
    tables::Answer find(std::string_view) override { return Error{"ask lookup"}; }
    awaitable<tables::Answer> lookup(std::string key) override
    {
        rounds += under_way++ == 0 ? 1 : 0;
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
        --under_way;
        const std::string number = key.substr(1, key.find('@') - 1);
        if ((key.starts_with('a') || key.starts_with('b')) && key.ends_with("@v.test") && std::stoi(number) < 40)
            co_return fmt::format("a{0}@v.test, b{0}@v.test", std::stoi(number) + 1);
        if (!key.starts_with('u') || !key.ends_with("@v.test"))
            co_return std::nullopt;
        co_return fmt::format("n{}@e.test, copy{}@v.test", number, number);
    }
    int rounds = 0, under_way = 0;
};

}  // namespace

TEST_CASE("cleanup: the aliases of all recipients are asked for together where a server has them")
{
    TestSite site;
    const auto distant = std::make_shared<Distant>("distant:x");
    site.tables.add_kind("distant", [&](std::string, std::string, tables::Flags, tables::Tables&) { return distant; });
    Options made = options();
    made.virtual_alias_maps = "distant:x";
    std::vector<std::string> recipients;
    for (int i = 0; i < 200; ++i)
        recipients.push_back(fmt::format("u{}@v.test", i));
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    Got got;
    asio::co_spawn(loop, clean_into(&cleaner, envelope(recipients), std::string(whole), {}, 1, &got), asio::detached);
    loop.run();
    CHECK(got.refused.empty());
    REQUIRE(got.envelope.recipients_size() == 400);
    CHECK(got.envelope.recipients(399).address() == "copy199@v.test");
    CHECK(distant->rounds < 10);                                 // as many for 50 000 recipients: settle() grants 10 000
    // What is not answered yet counts as one address at least: lists of lists are no more work than the limit allows.
    loop.restart();
    asio::co_spawn(loop, clean_into(&cleaner, envelope({"a0@v.test"}), std::string(whole), {}, 1, &got), asio::detached);
    loop.run();
    CHECK(got.refused == "451 4.6.0 Alias expansion error");
}

TEST_CASE("cleanup: as many Received fields as hopcount_limit mean a loop")
{
    Options made = options();
    made.hopcount_limit = 3;
    CHECK(clean(made, envelope(), "Received: 1\r\nreceived: 2\r\n" + std::string("From: x\r\n\r\n")).refused.empty());
    CHECK(clean(made, envelope(), "Received: 1\r\nreceived: 2\r\nRECEIVED: 3\r\n\r\n").refused == "554 5.4.6 Error: too many hops");
}

TEST_CASE("cleanup: a field is cut at header_size_limit and stays a field; text that is no field is parted from the header")
{
    Options made = options();
    made.header_size_limit = 100;
    const Got got = clean(made, envelope({"r@else.test"}, "10.1.1.1"), "X: " + std::string(500, 'a') + "\r\nSubject: y\r\n\r\n");
    CHECK(got.head == "X: " + std::string(97, 'a') + "\r\nSubject: y\r\n\r\n");
    const Got mixed = clean(options(), envelope({"r@else.test"}, "10.1.1.1"), "Subject: y\r\nthis is text\r\n\r\n");
    CHECK(mixed.head == "Subject: y\r\n\r\nthis is text\r\n\r\n");
    made = options();
    made.bad_end = BadEnd::add_header;
    CHECK(clean(made, envelope({"r@else.test"}, "10.1.1.1"), "Subject: y\r\nthis is text\r\n\r\n").head ==
          "Subject: y\r\nMIME-Error: message header was not terminated by empty line\r\n\r\nthis is text\r\n\r\n");
    CHECK(clean(made, envelope({"r@else.test"}, "10.1.1.1"), "Subject: y\r\n\r\nthis is text\r\n").head == "Subject: y\r\n\r\nthis is text\r\n");
    CHECK(clean(made, envelope({"r@else.test"}, "10.1.1.1"), "Subject: y\r\n").head == "Subject: y\r\n");
}

TEST_CASE("cleanup: SMTPUTF8 is asked for only where something needs it, and the client asked or may leave it to us")
{
    const std::string utf8 = "Subject: gr\xc3\xbc\xc3\x9f\x65\r\nFrom: a\r\nDate: x\r\nMessage-ID: <x>\r\n\r\n";
    const auto needs = [&](bool requested, const std::string& client, const std::string& head, const std::string& recipient) {
        handoff::Envelope e = envelope({recipient}, client);
        e.set_smtputf8(requested);
        return clean(options(), e, head).envelope.smtputf8();
    };
    CHECK(needs(false, "", utf8, "r@else.test"));
    CHECK_FALSE(needs(false, "10.1.1.1", utf8, "r@else.test"));
    CHECK(needs(true, "10.1.1.1", utf8, "r@else.test"));
    CHECK_FALSE(needs(true, "10.1.1.1", std::string(whole), "r@else.test"));
    CHECK(needs(true, "10.1.1.1", std::string(whole), "j\xc3\xb6rg@else.test"));
    CHECK_FALSE(needs(false, "", "Subject: \xff\xfe\r\n\r\n", "r@else.test"));
}

TEST_CASE("cleanup: mail that requires TLS has a field that says so, once; mail with that field requires it, whoever brings it")
{
    const auto fields = [](const std::string& head) {
        std::size_t times = 0;
        for (auto at = head.find("Require-TLS-ESMTP: yes\r\n"); at != head.npos; at = head.find("Require-TLS-ESMTP: yes\r\n", at + 1))
            ++times;
        return times;
    };
    const std::string begin = "Subject: x\r\nFrom: a@x.test\r\nDate: x\r\nMessage-ID: <x>\r\n";
    for (const std::string client : {"", "10.1.1.1"})
        for (const bool asked : {true, false})
            for (const bool on : {true, false})
                for (const auto& [field, says] : {std::pair{"", false},
                                                  {"Require-TLS-ESMTP: yes\r\n", true},
                                                  {"require-tls-esmtp:\r\n YES \r\n", true},
                                                  {"Require-TLS-ESMTP: no\r\n", false},
                                                  {"Require-TLS-ESMTP: yes, please\r\n", false}}) {
                    CAPTURE(client);
                    CAPTURE(asked);
                    CAPTURE(on);
                    CAPTURE(field);
                    Options made = options();
                    made.requiretls_header = on;
                    handoff::Envelope e = envelope({"r@else.test"}, client);
                    e.set_requiretls(asked);
                    const Got got = clean(made, e, begin + field + "\r\n");
                    CHECK(got.envelope.requiretls() == (asked || (on && says)));
                    const bool as_it_came = std::string_view(field).starts_with("Require-TLS-ESMTP: yes\r");
                    CHECK(fields(got.head) == (as_it_came || (on && asked && !says) ? 1 : 0));
                    CHECK(got.head.ends_with("\r\n\r\n"));
                }
    // Behind text that is no field it is no field of the header.
    CHECK(!clean(options(), envelope(), begin + "this is text\r\nRequire-TLS-ESMTP: yes\r\n\r\n").envelope.requiretls());
}

TEST_CASE("cleanup: TLS-Required: no is kept in the envelope, unless that requires TLS or the field is not to count")
{
    const auto is_optional = [](std::string_view fields, bool required = false, bool counts = true, bool before = false) {
        Options made = options();
        made.tls_required = counts;
        handoff::Envelope e = envelope({"r@else.test"}, "10.1.1.1");
        e.set_requiretls(required);
        e.set_tls_optional(before);
        return clean(made, e, std::string(fields) + "Subject: x\r\n\r\n").envelope.tls_optional();
    };
    CHECK(is_optional("TLS-Required: No\r\n"));
    CHECK(is_optional("tls-required:\r\n no\r\n"));
    CHECK(!is_optional("TLS-Required: yes\r\n"));
    CHECK(!is_optional("TLS-Required: nope\r\n"));
    CHECK(!is_optional("X: TLS-Required: no\r\n"));
    CHECK(!is_optional("TLS-Required: no\r\n", true));
    CHECK(!is_optional("TLS-Required: no\r\nRequire-TLS-ESMTP: yes\r\n"));
    CHECK(!is_optional("TLS-Required: no\r\n", false, false));
    CHECK(!is_optional("", false, true, true));                    // the header is what counts
}

TEST_CASE("whose mail is signed: who is connected, or whom a trusted client names as the origin")
{
    tables::TestSite site;
    boost::asio::io_context loop;
    Options made = options();
    made.signed_clients = {.inet_interfaces = false, .mynetworks = true, .sasl_authenticated = true, .tables = "cidr:{{203.0.113.0/24 ok}}"};
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    const auto is_signed = [&](std::string address, std::string login = "", std::string origin = "", std::string source = "") {
        handoff::Client client;
        client.set_address(std::move(address));
        client.set_sasl_username(std::move(login));
        handoff::Origin from;
        from.set_address(std::move(origin));
        from.set_source(std::move(source));
        return run(loop, cleaner.signed_client(std::move(client), std::move(from))).value();
    };
    CHECK(is_signed("10.1.1.1"));
    CHECK(is_signed("203.0.113.9"));
    CHECK(is_signed("192.0.2.9", "ann"));
    CHECK_FALSE(is_signed("192.0.2.9"));
    CHECK_FALSE(is_signed("192.0.2.1"));
    // What a content filter brings back is whose it was.
    CHECK_FALSE(is_signed("10.1.1.1", "", "192.0.2.9"));
    CHECK_FALSE(is_signed("10.1.1.1", "filter", "192.0.2.9"));
    CHECK(is_signed("192.0.2.9", "", "10.1.1.1"));
    CHECK_FALSE(is_signed("10.1.1.1", "", "", "REMOTE"));
    CHECK(is_signed("192.0.2.9", "", "", "LOCAL"));
}

TEST_CASE("options: main.cf's words, and a word that means nothing is named")
{
    config::Site host{.host_name = "mail.example.test", .addresses = {*config::parse_host_address("192.0.2.7/24")}};
    const std::span<const config::ParamInfo> rooms[] = {cleanup::params, tables::params};
    tables::DirectOpener opener;
    const config::Assignment written[] = {{"compatibility_level", "3.6"},
                                          {"local_header_rewrite_clients", "permit_mynetworks, check_address_map inline:{192.0.2.9=x}"},
                                          {"header_checks", "regexp:/x"}};
    const Options made = Options::from(config::Snapshot(host, "/nonexistent", rooms).with(written, "-o"), host.addresses, opener,
                                       "no_header_body_checks, no_address_mappings");
    CHECK(made.drop_headers == std::vector<std::string>{"bcc", "content-length", "resent-bcc", "return-path"});
    CHECK(made.local_clients.mynetworks);
    CHECK_FALSE(made.local_clients.inet_interfaces);
    CHECK(made.local_clients.tables == "inline:{192.0.2.9=x} ");
    CHECK(made.signed_clients.mynetworks);
    CHECK(made.signed_clients.sasl_authenticated);
    CHECK_FALSE(made.address_mappings);
    CHECK(made.checks.header.empty());
    CHECK_FALSE(made.local.dot_domain);
    CHECK(made.local.origin == "mail.example.test");
    CHECK(made.hopcount_limit == 50);
    const config::Assignment wrong[] = {{"local_header_rewrite_clients", "permit_everyone"}};
    CHECK_THROWS_WITH_AS(Options::from(config::Snapshot(host, "/nonexistent", rooms).with(wrong, "-o"), host.addresses, opener,
                                       "no_header_body_checks, no_address_mappings"),
                         "parameter local_header_rewrite_clients: unknown name: permit_everyone", config::BadValue);
    const config::Assignment nobody[] = {{"dkim_sign_clients", "everybody"}};
    CHECK_THROWS_WITH_AS(Options::from(config::Snapshot(host, "/nonexistent", rooms).with(nobody, "-o"), host.addresses, opener, ""),
                         "parameter dkim_sign_clients: unknown name: everybody", config::BadValue);
    const config::Assignment form[] = {{"header_from_format", "Obsolete"}}, no_form[] = {{"header_from_format", "plain"}};
    CHECK(Options::from(config::Snapshot(host, "/nonexistent", rooms).with(form, "-o"), host.addresses, opener, "").name_in_comment);
    CHECK_THROWS_WITH_AS(Options::from(config::Snapshot(host, "/nonexistent", rooms).with(no_form, "-o"), host.addresses, opener, ""),
                         "parameter header_from_format: unknown name: plain", config::BadValue);
    const auto with = [&](std::string name, std::string value) {
        const config::Assignment one[] = {{std::move(name), std::move(value)}};
        return Options::from(config::Snapshot(host, "/nonexistent", rooms).with(one, "-o"), host.addresses, opener, "");
    };
    CHECK(with("full_name_encoding_charset", "ISO-8859-1").name_charset == "ISO-8859-1");
    CHECK_THROWS_WITH_AS(with("full_name_encoding_charset", "utf 8"), "parameter full_name_encoding_charset: no name of a character set: utf 8",
                         config::BadValue);
    CHECK(with("non_empty_end_of_header_action", "Add_Header").bad_end == BadEnd::add_header);
    CHECK(with("non_empty_end_of_header_action", "reject").bad_end == BadEnd::reject);
    CHECK_THROWS_WITH_AS(with("non_empty_end_of_header_action", "fix"), "parameter non_empty_end_of_header_action: unknown name: fix",
                         config::BadValue);
}

namespace {

using milter::EnvelopeChange;

/// sender; recipients; the log.
std::string changed(const Options& made, std::vector<EnvelopeChange> changes, handoff::Envelope e = envelope({"r@else.test", "a@alias.test"}))
{
    TestSite site;
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    const auto result = run(loop, cleaner.changed(std::move(e), std::move(changes)));
    std::string text;
    if (result) {
        text = result->sender() + ";";
        for (const handoff::Recipient& recipient : result->recipients())
            text += fmt::format(" {}:{}{}{}{}{}", recipient.index(), recipient.address(), recipient.original().empty() ? "" : "<-",
                                recipient.original(), recipient.notify() == 0 ? "" : fmt::format("/{}", recipient.notify()), recipient.orcpt());
        text += fmt::format("; {}{}", static_cast<int>(result->ret()), result->envid());
    } else {
        text = fmt::format("{} {}", result.error().code, result.error().status);
    }
    for (const std::string& line : site.sink->lines)
        text += "\n" + line;
    return text;
}

awaitable<void> check_into(Cleaner* cleaner, std::vector<std::string> fields, std::string* text)
{
    const auto result = co_await cleaner->check_made(envelope(), std::move(fields));
    if (!result) {
        *text = fmt::format("{} {} {} {}", result.error().code, result.error().status, result.error().text, result.error().logged);
        co_return;
    }
    for (const std::string& field : result->fields)
        *text += field + "|";
    *text += fmt::format("{}{}{}", result->envelope.hold() ? "hold " : "", result->discard ? "discard " : "", result->envelope.filter());
}

std::string checked(const std::string& table, std::vector<std::string> fields)
{
    TestSite site;
    Options made = options();
    made.checks.made = table;
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    std::string text;
    run(loop, check_into(&cleaner, std::move(fields), &text));
    for (const std::string& line : site.sink->lines)
        text += "\n" + line;
    return text;
}

}  // namespace

TEST_CASE("cleanup: what mail filters want of the envelope is rewritten and expanded like the rest; recipients are numbered anew")
{
    using Kind = EnvelopeChange::Kind;
    Options made = options();
    made.virtual_alias_maps = "inline:{{list@here.test = one@else.test, r@else.test}}";
    made.sender_canonical_maps = "inline:{{old@here.test = new@here.test}}";
    CHECK(changed(made, {{Kind::sender, "<old>", "RET=HDRS ENVID=a+2Bb"}}) == "new@here.test; 0:r@else.test 1:a@alias.test; 2a+b");
    CHECK(changed(made, {{Kind::sender, "<>", ""}}) == "; 0:r@else.test 1:a@alias.test; 0");
    CHECK(changed(made, {{Kind::add_recipient, "list@here.test", "NOTIFY=NEVER"}}) ==
          "s@x.test; 0:r@else.test 1:a@alias.test 2:one@else.test<-list@here.test/1 3:r@else.test<-list@here.test/1; 0");
    CHECK(changed(made, {{Kind::add_recipient, "<r@else.test>", ""}}) == "s@x.test; 0:r@else.test 1:a@alias.test; 0");      // it is there
    CHECK(changed(made, {{Kind::add_recipient, "<b@c.test>", "ORCPT=rfc822;x@y.test"}, {Kind::delete_recipient, "<r@else.test>", ""}}) ==
          "s@x.test; 0:a@alias.test 1:b@c.testrfc822;x@y.test; 0");
    // Whoever an address became goes with it, and only then.
    CHECK(changed(made, {{Kind::add_recipient, "<list@here.test>", ""}, {Kind::delete_recipient, "<list@here.test>", ""}}) ==
          "s@x.test; 0:r@else.test 1:a@alias.test; 0");
    handoff::Envelope dotted = envelope({"r@else.test", "a@alias.test"});
    dotted.mutable_recipients(0)->set_original("r@else.test.");          // as it was said; filters hear it without the dot
    CHECK(changed(made, {{Kind::delete_recipient, "<r@else.test>", ""}}, dotted) == "s@x.test; 0:a@alias.test; 0");
    CHECK(changed(made, {{Kind::delete_recipient, "<one@else.test>", ""}}) == "s@x.test; 0:r@else.test 1:a@alias.test; 0");
    CHECK(changed(made, {{Kind::add_recipient, "<b@c.test>", "COLOR=red"}}) ==
          "s@x.test; 0:r@else.test 1:a@alias.test 2:b@c.test; 0\n"
          "postfix/cleanup: warning: 4bXYZ1zQ: ignoring bad ESMTP arguments \"COLOR=red\" of a Milter's request for <b@c.test>");
    CHECK(changed(made, {{Kind::add_recipient, "<a b", ""}}).find("ignoring a Milter's request for a bad address: <a b") != std::string::npos);
    made.virtual_alias_maps = "fail:x";
    CHECK(changed(made, {{Kind::add_recipient, "<b@c.test>", ""}}).starts_with("451 4.3.0"));
}

TEST_CASE("cleanup: milter_header_checks over fields that mail filters made")
{
    const std::vector<std::string> fields{"X-A: 1\r\n", "X-B: two\r\n\tlines\r\n"};
    const std::string who = " from local; from=<s@x.test> to=<r@else.test>";
    CHECK(checked("", fields) == "X-A: 1\r\n|X-B: two\r\n\tlines\r\n|");
    CHECK(checked("regexp:{{/^X-A/ IGNORE}}", fields) == "|X-B: two\r\n\tlines\r\n|");
    CHECK(checked("regexp:{{/^X-B: two.*lines/ REPLACE X-C: c}}", fields) ==
          "X-A: 1\r\n|X-C: c\r\n|\npostfix/cleanup: 4bXYZ1zQ: milter-header-replace: header X-B: two??lines" + who + ": X-C: c");
    CHECK(checked("regexp:{{/^X-A/ REJECT no such field}}", fields) ==
          "550 5.7.1 no such field true\npostfix/cleanup: 4bXYZ1zQ: milter-header-reject: header X-A: 1" + who + ": 5.7.1 no such field");
    CHECK(checked("regexp:{{/^X-A/ HOLD}}", fields).starts_with("X-A: 1\r\n|X-B: two\r\n\tlines\r\n|hold "));
    CHECK(checked("regexp:{{/^X-A/ DISCARD}}", fields).starts_with("X-A: 1\r\n|X-B: two\r\n\tlines\r\n|discard "));
    CHECK(checked("regexp:{{/^X-A/ FILTER smtp:x}}", fields).starts_with("X-A: 1\r\n|X-B: two\r\n\tlines\r\n|smtp:x"));
    CHECK(checked("regexp:{{/^X-A/ PREPEND X-P: p}}", fields) ==
          "X-A: 1\r\n|X-B: two\r\n\tlines\r\n|\npostfix/cleanup: warning: 4bXYZ1zQ: PREPEND action is not available in milter_header_checks map");
    CHECK(checked("fail:x", fields).starts_with("451 4.3.0"));
}
