#include "cleanup/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::cleanup;
using namespace posthorn::cleanup::testing;

namespace {

constexpr std::string_view own_head = "From: Me <a@in.net.test>\r\nTo: b@else.test, c@in.net.test (C)\r\n\r\n";

/// Of a local client, whose header is rewritten too.
Got rewritten(const Options& made, std::vector<std::string> recipients = {"b@else.test"}, std::string sender = "a@in.net.test")
{
    handoff::Envelope given = envelope(std::move(recipients));
    given.set_sender(std::move(sender));
    return clean(made, std::move(given), std::string(own_head));
}

Options with(std::string Options::* field, std::string value)
{
    Options made = options();
    made.*field = std::move(value);
    return made;
}

}  // namespace

TEST_CASE("rewrite: canonical maps change header and envelope, those of senders and recipients only theirs, and before the common ones")
{
    Got got = rewritten(with(&Options::canonical_maps, "inline:{{a@in.net.test=A.Name@net.test}, {b@else.test=bee@else.test}}"));
    CHECK(got.head.starts_with("From: Me <A.Name@net.test>\r\nTo: bee@else.test, c@in.net.test (C)\r\n"));
    CHECK(got.envelope.sender() == "A.Name@net.test");
    CHECK(got.envelope.sender_original() == "a@in.net.test");
    CHECK(got.recipients == "bee@else.test<-b@else.test ");
    got = rewritten(with(&Options::sender_canonical_maps, "inline:{{a@in.net.test=x@net.test}, {b@else.test=y@net.test}}"));
    CHECK(got.head.starts_with("From: Me <x@net.test>\r\nTo: b@else.test,"));
    CHECK(got.envelope.sender() == "x@net.test");
    got = rewritten(with(&Options::recipient_canonical_maps, "inline:{{a@in.net.test=x@net.test}, {b@else.test=y@net.test}}"));
    CHECK(got.head.starts_with("From: Me <a@in.net.test>\r\nTo: y@net.test,"));
    CHECK(got.envelope.sender() == "a@in.net.test");
    CHECK(got.recipients == "y@net.test<-b@else.test ");
    Options made = with(&Options::sender_canonical_maps, "inline:{{a@in.net.test=x@net.test}}");
    made.canonical_maps = "inline:{{x@net.test=z@net.test}}";
    CHECK(rewritten(made).envelope.sender() == "z@net.test");
    made.canonical_classes = {{false, false, true, false}};
    got = rewritten(made);
    CHECK(got.envelope.sender() == "x@net.test");
    CHECK(got.head.starts_with("From: Me <z@net.test>"));
    made.address_mappings = false;
    CHECK(rewritten(made).envelope.sender() == "a@in.net.test");
}

TEST_CASE("rewrite: a key without the extension keeps it in the result, a domain keeps the user, and what was found is looked up again")
{
    Options made = with(&Options::canonical_maps, "inline:{{a@in.net.test=x@net.test}}");
    CHECK(rewritten(made, {"b@else.test"}, "a+ext@in.net.test").envelope.sender() == "x+ext@net.test");
    made.propagate_canonical = false;
    CHECK(rewritten(made, {"b@else.test"}, "a+ext@in.net.test").envelope.sender() == "x@net.test");
    CHECK(rewritten(with(&Options::canonical_maps, "inline:{{@in.net.test=@out.test}}")).envelope.sender() == "a@out.test");
    CHECK(rewritten(with(&Options::canonical_maps, "inline:{{a@in.net.test=u}}")).envelope.sender() == "u@here.test");
    CHECK(rewritten(with(&Options::canonical_maps, "inline:{{a@in.net.test=b@x.test}, {b@x.test=c@x.test}}")).envelope.sender() == "c@x.test");
    CHECK(rewritten(with(&Options::canonical_maps, "inline:{{a@in.net.test=a@in.net.test}}")).envelope.sender() == "a@in.net.test");
    const Got turning = rewritten(with(&Options::canonical_maps, "inline:{{a@in.net.test=b@x.test}, {b@x.test=a@in.net.test}}"));
    CHECK(has(turning.log.front(), "unreasonable canonical_maps map nesting for a@in.net.test -- message not accepted, try again later"));
    CHECK(turning.refused == "");                           // as it says, but not as Postfix does
    CHECK(turning.envelope.sender() == "a@in.net.test");
    const Got growing = rewritten(with(&Options::sender_canonical_maps, "regexp:{{/^(.*)@in/ ${1}x@in.net.test}}"));
    CHECK(growing.refused == "");
    CHECK(growing.envelope.sender() == "axxxxxxxxxx@in.net.test");
    CHECK(growing.recipients == "b@else.test ");
}

TEST_CASE("rewrite: header addresses of other clients stay, unless remote_header_rewrite_domain is set")
{
    Options made = with(&Options::canonical_maps, "inline:{{a@in.net.test=x@net.test}}");
    handoff::Envelope given = envelope({"b@else.test"}, "203.0.113.5");
    given.set_sender("a@in.net.test");
    Got got = clean(made, given, std::string(own_head));
    CHECK(got.head == own_head);
    CHECK(got.envelope.sender() == "x@net.test");
    made.remote.origin = made.remote.domain = "remote.invalid";
    CHECK(clean(made, given, std::string(own_head)).head.starts_with("From: Me <x@net.test>\r\n"));
}

TEST_CASE("rewrite: what is on its way already has the header that was decided on when it came in, whoever its client was")
{
    Options made = with(&Options::canonical_maps, "inline:{{a@in.net.test=x@net.test}}");
    for (const bool judged : {false, true}) {
        made.judged = judged;
        handoff::Envelope stranger = envelope({"b@else.test"}, "203.0.113.5");
        stranger.set_local_header(true);
        CHECK(clean(made, stranger, std::string(own_head)).head.starts_with("From: Me <x@net.test>\r\n") == judged);
        handoff::Envelope filter = envelope({"b@else.test"}, "192.0.2.1");
        CHECK(clean(made, filter, std::string(own_head)).head.starts_with("From: Me <x@net.test>\r\n") != judged);
    }
}

TEST_CASE("rewrite: masquerading takes subdomains off, but not for exceptions, where ! says no, or in the recipient of the envelope")
{
    Options made = options();
    made.masquerade_domains = {"!keep.net.test", "net.test"};
    made.masquerade_exceptions = "root";
    const auto sender = [&](const std::string& address) { return rewritten(made, {"b@else.test"}, address).envelope.sender(); };
    CHECK(sender("a@in.net.test") == "a@net.test");
    CHECK(sender("a@very.deep.net.test") == "a@net.test");
    CHECK(sender("a@x.keep.net.test") == "a@x.keep.net.test");
    CHECK(sender("a@keep.net.test") == "a@keep.net.test");
    CHECK(sender("root@in.net.test") == "root@in.net.test");
    CHECK(sender("a@notnet.test") == "a@notnet.test");
    const Got got = rewritten(made, {"c@in.net.test"});
    CHECK(got.head.starts_with("From: Me <a@net.test>\r\nTo: b@else.test, c@net.test (C)\r\n"));
    CHECK(got.recipients == "c@in.net.test ");
    made.masquerade_domains = {"in.net.test", "net.test"};
    CHECK(sender("a@x.in.net.test") == "a@in.net.test");
    CHECK(sender("a@in.net.test") == "a@in.net.test");
}

TEST_CASE("rewrite: copies go to whom the maps name, unasked for in reports, expanded like any recipient")
{
    Options made = with(&Options::always_bcc, "log");
    made.sender_bcc_maps = "inline:{{@in.net.test=sent@else.test}}";
    made.recipient_bcc_maps = "inline:{{b@else.test=got@else.test}}";
    made.virtual_alias_maps = "inline:{{log@here.test=archive@else.test}}";
    const Got got = rewritten(made);
    CHECK(got.recipients == "b@else.test sent@else.test got@else.test archive@else.test<-log@here.test ");
    for (int i = 1; i < 4; ++i)
        CHECK(got.envelope.recipients(i).notify() == handoff::NOTIFY_NEVER);
    CHECK(rewritten(made, {"x@else.test"}, "").recipients == "x@else.test archive@else.test<-log@here.test ");
    made.address_mappings = false;
    CHECK(rewritten(made).recipients == "b@else.test ");
}

TEST_CASE("rewrite: a table that cannot answer refuses the message for now")
{
    for (const auto field : {&Options::canonical_maps, &Options::sender_bcc_maps, &Options::recipient_bcc_maps}) {
        const Got got = rewritten(with(field, "fail:x"));
        CHECK(got.refused == "451 4.3.0 Error: queue file write error");
        CHECK(has(got.log.back(), "map lookup problem for "));
    }
}

namespace {

/// A database in which somebody wrote line ends.
class TwoLines final : public tables::Table {
public:
    using Table::Table;
    tables::Answer find(std::string_view key) override
    {
        if (key == "a@one.test")
            return "@two.test\nEvil: 1";
        if (key == "b@one.test")
            return "\"b\\\n\"@two.test, b\\\nEvil@two.test, whole@two.test";
        return std::nullopt;
    }
};

}  // namespace

TEST_CASE("rewrite: what a table gives with control characters is no address, in header and envelope")
{
    tables::TestSite site;
    site.tables.add_kind("lines", [](std::string spec, std::string, tables::Flags, tables::Tables&) { return std::make_shared<TwoLines>(spec); });
    Options made = options();
    made.canonical_maps = "lines:x";
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    Got got;
    run(loop, clean_into(&cleaner, envelope({"a@one.test", "b@one.test"}), "From: a@one.test\r\nTo: b@one.test\r\n\r\n", {}, 1, &got));
    CHECK(got.refused.empty());
    CHECK(has(got.head, "From: a@one.test\r\n"));
    CHECK_FALSE(has(got.head, "Evil"));
    CHECK(got.envelope.recipients(0).address() == "a@one.test");
    for (const auto& recipient : got.envelope.recipients())
        CHECK(recipient.address().find('\n') == std::string::npos);
}
