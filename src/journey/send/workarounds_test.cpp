// The workarounds that an administrator sets by hand, each against the peer it is for.
#include "handoff/status_filter.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

std::size_t count_of(const World& world, std::string_view what)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(world.log->lines, [&](const std::string& line) { return line.find(what) != std::string::npos; }));
}

/// A table of a test: exact keys, or a function.
struct TestTable final : Lookup {
    explicit TestTable(std::function<Result<std::optional<std::string>>(const std::string&)> what) : answer(std::move(what)) {}
    explicit TestTable(std::map<std::string, std::string> entries)
        : answer([entries = std::move(entries)](const std::string& key) -> Result<std::optional<std::string>> {
              const auto at = entries.find(key);
              return at == entries.end() ? std::optional<std::string>() : std::optional(at->second);
          })
    {
    }
    awaitable<Result<std::optional<std::string>>> find(std::string key) override
    {
        asked.push_back(key);
        co_return answer(key);
    }
    std::function<Result<std::optional<std::string>>(const std::string&)> answer;
    std::vector<std::string> asked;
};

constexpr std::string_view painted =
    "S 220 ****************\non EHLO *\n S 250-p\n S 250 PIPELINING\non HELO *\n S 250 p\non MAIL*\n S 250 ok\non RCPT*\n S 250 ok\n"
    "on DATA\n S 354 go\n content\n S 250 taken\non QUIT\n S 221 bye\n close";

}  // namespace

TEST_CASE("smtp_pix_workaround_maps: by the server's address, in place of the general list")
{
    TestTable table({{"192.0.2.2", "delay_dotcrlf"}});
    World world(painted);
    world.pix = &table;
    world.options.pix_delay = seconds(0);
    CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);     // arrived in 1970: old enough
    CHECK(table.asked == std::vector<std::string>{"192.0.2.2"});
    CHECK(world.peer().sessions().front().said().front() == "EHLO client.test");
    CHECK(count_of(world, "4gDq8v1Yc0z3D: enabling PIX workarounds: delay_dotcrlf for 192.0.2.2[192.0.2.2]:25") == 1);

    TestTable nothing({{"192.0.2.2", "magic"}});
    World unknown(painted);
    unknown.pix = &nothing;
    CHECK(unknown.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
    CHECK(unknown.peer().sessions().front().said().front() == "EHLO client.test");
    CHECK(count_of(unknown, "warning: smtp_pix_workaround_maps: unknown word in value for 192.0.2.2: magic") == 1);
    CHECK(count_of(unknown, "enabling PIX") == 0);

    TestTable broken([](const std::string&) -> Result<std::optional<std::string>> { return Error("no such file", "4.3.0"); });
    World cannot(painted);
    cannot.pix = &broken;
    const auto verdict = cannot.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdict.status() == "4.3.0");
}

TEST_CASE("smtp_pix_workaround_threshold_time: young mail has its dot at once")
{
    World world(painted);
    auto young = request({"user@example.test"});
    young.mutable_envelope()->set_arrival(world.clock.wall().time_since_epoch().count());
    CHECK(world.run(std::move(young)).verdicts(0).outcome() == delivered);
    CHECK(count_of(world, "enabling PIX workarounds: disable_esmtp for") == 1);
}

TEST_CASE("smtp_reply_filter: lines are replaced before anything is made of them")
{
    constexpr std::string_view script =
        "S 220 p\nC EHLO *\nS 250-p\nS 334 GSSAPI supported\nS 250 SIZE 0\nC MAIL*\nS 250 ok\nC RCPT*\nS what is this\nS 550 5.1.1 unknown\n"
        "C *\nS 250 ok\nC *\nS 221 x";
    // Without it: a 334 where EHLO's answer is read, and a refusal behind garbage, which is not believed.
    World plain(script);
    CHECK(plain.run(request({"user@example.test"})).verdicts(0).outcome() != handoff::OUTCOME_BOUNCED);
    // With the filter of the manual's example, each is one line of a longer reply, and the last line's code counts.
    TestTable filter([](const std::string& line) -> Result<std::optional<std::string>> {
        const bool reply = line.size() >= 3 && (line.starts_with("2") || line.starts_with("5"));
        return reply ? std::optional<std::string>() : std::optional<std::string>("250-filler for garbage");
    });
    World filtered(script);
    filtered.reply_filter = &filter;
    const auto verdict = filtered.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdict.status() == "5.1.1");
    CHECK(std::ranges::find(filter.asked, "334 GSSAPI supported") != filter.asked.end());
    CHECK(std::ranges::find(filter.asked, "250-p") != filter.asked.end());
    CHECK(count_of(filtered, "non-ESMTP response") == 0);

    // Fault injection, as the manual has it: the answer to DATA is turned into a refusal.
    TestTable injects([](const std::string& line) -> Result<std::optional<std::string>> {
        return line.starts_with("354") ? std::optional<std::string>("450 4.3.0 not today") : std::optional<std::string>();
    });
    World injected("data-only");
    injected.reply_filter = &injects;
    const auto refused = injected.run(request({"user@example.test"})).verdicts(0);
    CHECK(refused.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(refused.text().find("said: 450 4.3.0 not today (in reply to DATA command)") != std::string::npos);
}

TEST_CASE("smtp_reply_filter: replies cut anywhere are whole lines to it; a table that cannot be asked defers")
{
    TestTable sees(std::map<std::string, std::string>{});
    World cut("data-only");
    cut.reply_filter = &sees;
    cut.memory.capacity = 7;
    CHECK(cut.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
    for (const std::string& line : sees.asked)
        CHECK_MESSAGE((line.size() > 3 && line[0] >= '2' && line[0] <= '5'), line);

    for (const char* at : {"220", "250", "354"}) {
        TestTable broken([&](const std::string& line) -> Result<std::optional<std::string>> {
            if (line.starts_with(at))
                return Error("the table is away", "4.3.0");
            return std::optional<std::string>();
        });
        World world("data-only");
        world.reply_filter = &broken;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(verdict.status() == "4.3.0");
        CHECK(verdict.text() == "local data error while talking to 192.0.2.2[192.0.2.2]");
    }
}

TEST_CASE("garbage lines: tolerated, with Postfix's warning and its advice where commands are pipelined")
{
    constexpr std::string_view script =
        "S 220 p\nC EHLO *\nS 250-p\nS 250 PIPELINING\nC MAIL*\n> RCPT*\n> DATA\nS what is this\nS 250 ok\nS 250 ok\nS 354 go\ncontent\n"
        "S 250 taken\nC *\nS 250 ok\nC *\nS 221 x";
    World world(script);
    CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
    CHECK(count_of(world, "warning: 4gDq8v1Yc0z3D: non-ESMTP response from 192.0.2.2[192.0.2.2]:25: what is this") == 1);
    CHECK(count_of(world, "warning: to prevent loss of mail, turn off command pipelining for 192.0.2.2 with the "
                          "smtp_discard_ehlo_keyword_address_maps parameter") == 1);
    World alone("S 220 p\nS and more\nS 250 x");
    alone.run(request({"user@example.test"}));
    CHECK(count_of(alone, "turn off command pipelining") == 0);
}

TEST_CASE("smtp_quote_rfc821_envelope: local parts are quoted where RFC 5321 asks for it, or never")
{
    auto odd = request({"a b@example.test", "dot.@example.test", "plain@example.test"});
    odd.mutable_envelope()->set_sender("x,y@client.test");
    World quoted("data-only");
    quoted.run(odd);
    const auto& said = quoted.peer().sessions().front().said();
    CHECK(said[1].starts_with("MAIL FROM:<\"x,y\"@client.test>"));
    CHECK(said[2].starts_with("RCPT TO:<\"a b\"@example.test> ORCPT=rfc822;\"a+20b\"@example.test"));
    CHECK(said[3].starts_with("RCPT TO:<\"dot.\"@example.test>"));
    CHECK(said[4].starts_with("RCPT TO:<plain@example.test>"));
    World bare("data-only");
    bare.options.quote_envelope = false;
    bare.run(odd);
    CHECK(bare.peer().sessions().front().said()[1].starts_with("MAIL FROM:<x,y@client.test>"));
    CHECK(bare.peer().sessions().front().said()[2].starts_with("RCPT TO:<a b@example.test>"));
}

TEST_CASE("smtp_line_length_limit: said once per message, by DATA also where BDAT is offered; 0 leaves lines as they are")
{
    const std::string content = "Subject: x\r\n\r\n" + std::string(1200, 'y') + "\r\n" + std::string(2500, 'z') + "\r\n";
    World world("exchange-2007");
    CHECK(world.run(request({"user@example.test"}, content)).verdicts(0).outcome() == delivered);
    CHECK(count_of(world, "4gDq8v1Yc0z3D: breaking line > 998 bytes with <CR><LF>SPACE") == 1);
    CHECK(world.peer().contents().front().find(std::string(998, 'y') + "\r\n " + std::string(202, 'y') + "\r\n") != std::string::npos);
    World fits("exchange-2007");
    CHECK(fits.run(request({"user@example.test"}, "Subject: x\r\n\r\n" + std::string(998, 'y') + "\r\n")).verdicts(0).outcome() == delivered);
    CHECK(count_of(fits, "breaking line") == 0);
    CHECK(fits.peer().sessions().front().said()[3].starts_with("BDAT"));
    World none("exchange-2007");
    none.options.line_length = 0;
    CHECK(none.run(request({"user@example.test"}, content)).verdicts(0).outcome() == delivered);
    CHECK(none.peer().contents() == std::vector<std::string>{content});
}

TEST_CASE("EHLO or HELO: by the greeting, never, always")
{
    const auto first_word = [](bool always, bool never, std::string_view greeting) {
        World world(fmt::format("S 220 {}\nC *\nS 250 p\nC *\nS 221 x", greeting));
        world.options.always_ehlo = always;
        world.options.never_ehlo = never;
        world.run(request({"user@example.test"}));
        return world.peer().sessions().front().said().front().substr(0, 4);
    };
    CHECK(first_word(true, false, "p SMTP") == "EHLO");
    CHECK(first_word(false, false, "p SMTP") == "HELO");
    CHECK(first_word(false, false, "p ESMTP") == "EHLO");
    CHECK(first_word(true, true, "p ESMTP") == "HELO");
}

TEST_CASE("smtp_skip_5xx_greeting: a 5xx greeting defers, or with no returns the mail at once")
{
    World skips("refuses-greeting");
    CHECK(skips.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    World believes("refuses-greeting");
    believes.options.skip_5xx_greeting = false;
    const auto verdict = believes.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdict.text() == "host 192.0.2.2[192.0.2.2] refused to talk to me: 554 5.7.1 No SMTP service here");
}

TEST_CASE("smtp_skip_quit_response: a server that never answers QUIT costs five seconds that nobody waits for, or smtp_quit_timeout")
{
    // The dot's answer is the verdict in both; only the goodbye differs, and it is bounded by the shorter of the two.
    for (const bool skip : {true, false}) {
        World world("S 220 p\nC EHLO *\nS 250 p\nC MAIL*\nS 250 ok\nC RCPT*\nS 250 ok\nC DATA\nS 354 go\ncontent\nS 250 taken\nC QUIT\nwait 100s");
        HandClock hand;
        world.turned = world.leaps = &hand;
        world.options.skip_quit_response = skip;
        world.options.timeouts.quit = seconds(1);
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
        CHECK(world.peer().sessions().front().said().back() == "QUIT");
    }
}

TEST_CASE("smtp_address_verify_target = data: a server that refuses at DATA is understood, and no content reaches it")
{
    World rcpt("rejects-at-data");
    CHECK(rcpt.run(probe({"user@example.test"})).verdicts(0).outcome() == delivered);
    World data("rejects-at-data");
    data.options.probe_data = true;
    const auto verdict = data.run(probe({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK(verdict.text().ends_with("(in reply to DATA command)"));
    World good("exchange-2007");
    good.options.probe_data = true;
    CHECK(good.run(probe({"user@example.test"})).verdicts(0).outcome() == delivered);
    CHECK(good.peer().contents().empty());
    CHECK(good.peer().sessions().front().said().back() == "DATA");                  // then it hangs up
}

TEST_CASE("bounce classes: a failure is classified by its reply in one line, or by what the log says, where records are kept")
{
    TestTable classes({{"550 5.1.1 User unknown", "Nobody"}, {"554 5.7.1 No SMTP service here", std::string(100, 'x')}});
    World refused("refuses-recipients");
    refused.bounce_classes = &classes;
    refused.options.records = true;
    CHECK(refused.run(request({"user@example.test"})).verdicts(0).classification() == "Nobody");
    World unrecorded("refuses-recipients");
    unrecorded.bounce_classes = &classes;
    CHECK(unrecorded.run(request({"user@example.test"})).verdicts(0).classification().empty());
    World greeted("refuses-greeting");
    greeted.bounce_classes = &classes;
    greeted.options.records = true;
    CHECK(greeted.run(request({"user@example.test"})).verdicts(0).classification() == std::string(64, 'x'));
    // What cannot be asked is said, and the verdict is what it was.
    TestTable broken([](const std::string&) -> Result<std::optional<std::string>> { return Error("the table is away", "4.3.0"); });
    World doubtful("refuses-recipients");
    doubtful.bounce_classes = &broken;
    doubtful.options.records = true;
    const auto kept = doubtful.run(request({"user@example.test"})).verdicts(0);
    CHECK(kept.outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(kept.classification().empty());
    CHECK(count_of(doubtful, "bounce_classification_maps: the table is away") == 1);
    // What was delivered is no failure; without a reply the log's words are asked.
    std::vector<std::string> asked;
    TestTable listens([&](const std::string& key) -> Result<std::optional<std::string>> {
        asked.push_back(key);
        return std::optional<std::string>();
    });
    World taken("data-only");
    taken.bounce_classes = &listens;
    taken.options.records = true;
    CHECK(taken.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
    CHECK(asked.empty());
    World silent;
    silent.bounce_classes = &listens;
    silent.options.records = true;
    (void)silent.run(request({"user@example.test"}));
    REQUIRE(asked.size() == 1);
    CHECK(asked.front().starts_with("451 4.4.1 connect to "));
}

TEST_CASE("delivery status filter: status and text are replaced, success stays success")
{
    TestTable filter({{"5.1.1 host 192.0.2.2[192.0.2.2] said: 550 5.1.1 User unknown (in reply to RCPT TO command)", "4.1.1 perhaps later"},
                      {"4.7.1 host 192.0.2.2[192.0.2.2] refused to talk to me: 554 5.7.1 No SMTP service here", "5.7.1 never"}});
    World softer("refuses-recipients");
    softer.status_filter = &filter;
    const auto later = softer.run(request({"user@example.test"})).verdicts(0);
    CHECK(later.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(later.status() == "4.1.1");
    CHECK(later.text() == "perhaps later");
    CHECK(count_of(softer, "dsn=4.1.1, status=deferred (perhaps later)") == 1);
    World harder("refuses-greeting");
    harder.status_filter = &filter;
    CHECK(harder.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
    // soft_bounce is the last word.
    World soft("refuses-greeting");
    soft.status_filter = &filter;
    soft.options.soft_bounce = true;
    CHECK(soft.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);

    TestTable wrong([](const std::string&) -> Result<std::optional<std::string>> { return std::optional<std::string>("5.0.0 no"); });
    World stays("data-only");
    stays.status_filter = &wrong;
    CHECK(stays.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
    CHECK(count_of(stays, "warning: 4gDq8v1Yc0z3D: smtp_delivery_status_filter: \"5.0.0 no\" would turn success into failure") == 1);

    TestTable broken([](const std::string&) -> Result<std::optional<std::string>> { return Error("the table is away", "4.3.0"); });
    World doubtful("refuses-recipients");
    doubtful.status_filter = &broken;
    const auto kept = doubtful.run(request({"user@example.test"})).verdicts(0);
    CHECK(kept.outcome() == handoff::OUTCOME_DEFERRED);                             // what the table might have softened returns no mail
    CHECK(kept.status() == "4.1.1");
    World taken("data-only");
    taken.status_filter = &broken;
    CHECK(taken.run(request({"user@example.test"})).verdicts(0).outcome() == delivered);
}

TEST_CASE("delivery status filter: what its result may be")
{
    CHECK(handoff::replaced_by("5.1.1", "4.1.1 later")->status == "4.1.1");
    CHECK(handoff::replaced_by("5.1.1", "4.1.1 later")->text == "later");
    CHECK(handoff::replaced_by("2.0.0", "2.6.0  delivered")->text == "delivered");
    for (const auto& [status, result] : {std::pair{"2.0.0", "4.0.0 x"},
                                         {"2.0.0", "5.0.0 x"},
                                         {"4.0.0", "2.0.0 x"},
                                         {"5.0.0", "x"},
                                         {"5.0.0", ""},
                                         {"5.0.0", "5.0.0"},
                                         {"5.0.0", "5.0.0 "},
                                         {"5.0.0", "3.0.0 x"},
                                         {"5.0.0", "5.0.0.0 x"}})
        CHECK_MESSAGE(!handoff::replaced_by(status, result).has_value(), result);
}

TEST_CASE("smtp_dns_reply_filter: records that a table says to ignore are as not there; where nothing is left, mail waits")
{
    boost::asio::io_context loop{1};
    TableNames names;
    names.mx_of["example.test"] = {{10, "bad.test"}, {20, "good.test"}};
    names.addresses_of["good.test"] = {"192.0.2.2", "2001:db8::2"};
    const auto log = std::make_shared<observe::MemorySink>();
    const auto with = [&](const std::function<bool(const std::string&)>& drops, std::string action = "ignore") {
        TestTable filter([=](const std::string& line) -> Result<std::optional<std::string>> {
            return drops(line) ? std::optional<std::string>(action) : std::optional<std::string>();
        });
        FilteredNames filtered(names, filter, observe::Log(log, "postfix/smtp"));
        dns::Answer mx;
        dns::Addresses addresses;
        asio::co_spawn(
            loop,
            [](FilteredNames* of, dns::Answer* answer, dns::Addresses* list) -> awaitable<void> {
                *answer = co_await of->mx("example.test");
                *list = co_await of->addresses("good.test", dns::Families::both);
            }(&filtered, &mx, &addresses),
            asio::detached);
        loop.restart();
        loop.run();
        return std::pair(mx, addresses);
    };
    const auto [mx, addresses] =
        with([](const std::string& line) { return line == "example.test. 0 IN MX 10 bad.test." || line == "good.test. 0 IN AAAA 2001:db8::2"; });
    REQUIRE(mx.records.size() == 1);
    CHECK(mx.records.front().host == "good.test");
    REQUIRE(addresses.list.size() == 1);
    CHECK(addresses.list.front().text() == "192.0.2.2");
    CHECK(std::ranges::find(log->lines, "postfix/smtp: ignoring DNS RR: example.test. 0 IN MX 10 bad.test.") != log->lines.end());

    const auto [nothing, nowhere] = with([](const std::string&) { return true; });
    CHECK(nothing.transient());
    CHECK(nothing.reason == "DNS reply filter drops all results");
    CHECK(nowhere.status == dns::Status::temporary);

    const auto [wrong, also] = with([](const std::string&) { return true; }, "DROP");
    CHECK(wrong.transient());
    CHECK(wrong.reason == "Invalid DNS reply filter syntax");
}
