#include "async/run.hpp"
#include "sim/engine.hpp"
#include "sim/peers.hpp"
#include "sim/tls_server.hpp"
#include "tester/report.hpp"
#include "tls/tls.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace posthorn;
using namespace posthorn::tester;

namespace {

struct Checked {
    std::map<std::string, Outcome> outcomes;
    Examination examination;
    Question question;
    std::string everything_said;
};

/// Examines a peer of sim/ in memory.
Checked check_peer(std::string_view name, std::string_view script = {}, bool starttls = false)
{
    asio::io_context loop(1);
    sim::Settings settings;
    settings.tls = sim::tls_server("peer.test");
    sim::Peer peer(script.empty() ? sim::peer_text(name) : script, std::move(settings));
    Checked checked;
    checked.question.host = std::string(name);
    checked.question.from = "probe@client.test";
    checked.question.to = "user@peer.test";
    checked.question.starttls = starttls;
    checked.question.patience = std::chrono::milliseconds{1500};
    checked.question.glance = std::chrono::milliseconds{60};
    const auto dial = [&]() -> awaitable<Result<std::unique_ptr<net::Stream>>> {
        auto [client, server] = net::memory_pair(loop.get_executor());
        asio::co_spawn(loop, peer.play(std::move(server)), asio::detached);
        co_return std::unique_ptr<net::Stream>(std::move(client));
    };
    const auto context = tls::Context::client(tls::Options{});
    REQUIRE(context);
    const auto secure = [&](std::unique_ptr<net::Stream> stream) -> awaitable<Result<std::unique_ptr<net::Stream>>> {
        auto secured = co_await tls::connect(*context, std::move(stream));
        if (!secured)
            co_return secured.error();
        co_return std::move(secured->stream);
    };
    auto found = run(loop, examine(checked.question, dial, secure), std::chrono::seconds{120});
    REQUIRE(found);
    checked.examination = *std::move(found);
    for (const Finding& finding : checked.examination.findings)
        checked.outcomes.emplace(finding.rule->id, finding.outcome);
    for (const sim::Session& session : peer.sessions())
        for (const std::string& line : session.transcript)
            checked.everything_said += line + "\n";
    return checked;
}

std::vector<std::string> broken_rules(const Checked& checked)
{
    std::vector<std::string> ids;
    for (const auto& [id, outcome] : checked.outcomes)
        if (outcome.kind == Outcome::Kind::broken)
            ids.push_back(id);
    return ids;
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("check: the Exchange of the seed keeps the rules of pipelining, and no mail reaches it")
{
    const Checked checked = check_peer("exchange-2007");
    for (const char* rule :
         {"greeting", "ehlo", "order", "quit", "data", "bdat", "starttls", "injection", "bye", "rset", "case", "stream", "unknown"}) {
        CAPTURE(rule);
        CAPTURE(checked.outcomes.at(rule).seen);
        CHECK(checked.outcomes.at(rule).kind == Outcome::Kind::kept);
    }
    CHECK(has(checked.everything_said, "C: DATA"));
    CHECK_FALSE(has(checked.everything_said, "Queued mail"));
    CHECK(has(checked.examination.greeting, "220 exchange.example.com Microsoft ESMTP"));
    CHECK(std::ranges::find(checked.examination.keywords, "XEXCH50") != checked.examination.keywords.end());
}

TEST_CASE("check: FrontBridge breaks RFC 2920 with a group that ends in QUIT, and the report shows it as the seed does")
{
    const Checked checked = check_peer("frontbridge");
    CHECK(broken_rules(checked) == std::vector<std::string>{"quit"});
    CHECK(checked.outcomes.at("quit").seen == "1 of 4 replies came (221) and closed");
    const std::string text = as_text(checked.examination, checked.question, false);
    CHECK(has(text, "broken    RFC 2920 3.2"));
    CHECK(has(text,
              "   (the next 4 lines in one segment)\n   C: MAIL FROM:<probe@client.test>\n   C: RCPT TO:<user@peer.test>\n   C: RSET\n   C: QUIT\n"
              "   S: 221 2.0.0 Service closing transmission channel\n      <the server closes>\n      <3 more replies were due>\n"));
    CHECK(has(text, "workaround: smtp_discard_ehlo_keyword_address_maps: ADDRESS silent-discard, pipelining"));
    const std::string report = bug_report(checked.examination, checked.question);
    CHECK(has(report, "does not follow RFC 2920 3.2"));
    CHECK(has(report, "in 1 place. "));
    const std::string json = as_json(checked.examination, checked.question);
    CHECK(has(json, R"("kept":false)"));
    CHECK(has(json, R"("rule":"quit","section":"RFC 2920 3.2")"));
    CHECK(bug_report(check_peer("exchange-2007").examination, checked.question).empty() == check_peer("exchange-2007").examination.kept());
}

TEST_CASE("check: a server that executes the octets of a refused BDAT is found out, and so is one that drops them")
{
    const std::string head = "S 220 bdat.test ESMTP\non EHLO *\n  S 250-bdat.test\n  S 250 CHUNKING\n";
    const std::string tail = "on RSET\n  S 250 ok\non NOOP*\n  S 250 ok\non QUIT\n  S 221 bye\n  close\non *\n  S 500 what\n";
    const Checked executes = check_peer("executes", head + "on BDAT *\n  S 503 no recipients\n" + tail);
    CHECK(has(executes.outcomes.at("bdat").seen, "the octets were executed"));
    const Checked discards = check_peer("discards", head + "on BDAT *\n  chunk\n  S 503 no recipients\n" + tail);
    CHECK(discards.outcomes.at("bdat").kind == Outcome::Kind::kept);
}

TEST_CASE("check: what a server does not offer is untested, with the reason")
{
    const Checked checked = check_peer("no-pipelining");
    for (const char* rule : {"order", "quit", "data"})
        CHECK(checked.outcomes.at(rule).seen == "PIPELINING is not announced");
    CHECK(checked.outcomes.at("starttls").kind == Outcome::Kind::untested);
    CHECK(checked.outcomes.at("bdat").seen == "CHUNKING is not announced");
}

TEST_CASE("check: within TLS the same rules are asked, and STARTTLS that is refused is broken")
{
    const Checked secured = check_peer("frontbridge", {}, true);
    CHECK(broken_rules(secured) == std::vector<std::string>{"quit"});
    const Checked refuses = check_peer("refuses-starttls");
    CHECK(has(refuses.outcomes.at("starttls").seen, "announced, and refused"));
}

TEST_CASE("check: a server without a word, or that wants nobody, is an error and no examination")
{
    asio::io_context loop(1);
    const auto refused = [] { return []() -> awaitable<Result<std::unique_ptr<net::Stream>>> { co_return Error{"Connection refused", "4.4.1"}; }(); };
    const auto found = run(loop, examine(Question{}, refused, {}));
    REQUIRE_FALSE(found);
    CHECK(found.error().text() == "Connection refused");
}
