// PIPECONNECT as a client: only after three clean sightings, never content, and whatever comes of it no mail is lost, doubled or returned.
#include "base/strings.hpp"
#include "peers/book.hpp"
#include "send/wire_tls.hpp"
#include "send/world_test.hpp"
#include "sim/random_peer.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view usual = "PIPELINING PIPECONNECT CHUNKING 8BITMIME SIZE";

std::string offers(std::string_view keywords, std::string_view host = "peer.test", std::string_view more = "")
{
    std::string lines;
    for (const auto word : split(keywords))
        lines += fmt::format("  S 250-{}\n", word);
    return fmt::format("host {}\nlike bdat\n{}S 220 $host ESMTP\non EHLO *\n  S 250-$host\n{}  S 250 DSN\n  state ready\n", host, more, lines);
}

/// A learning world that notes of each session whether the client spoke first, and what of content had come before the answer to EHLO.
struct Early : World {
    explicit Early(std::string_view script, peers::Learning mode = peers::Learning::yes, std::shared_ptr<const peers::Rules> rules = nullptr)
        : World(script), book(hand, {.learning = mode}, std::move(rules))
    {
        turned = &hand;
        knowledge = &book;
        options.timeouts.helo = options.timeouts.mail = options.timeouts.rcpt = options.timeouts.quit = seconds(5);
        book.on_event = [this](const peers::Event& event) { told.push_back(peers::text_of(event)); };
        players["192.0.2.2"] = [this](std::unique_ptr<net::Stream> stream) { return play(std::move(stream)); };
    }

    awaitable<void> play(std::unique_ptr<net::Stream> stream)
    {
        stream->expires_after(50ms);
        const bool first = (co_await stream->wait_readable()).has_value();
        spoke_first.push_back(first);
        stream->expires_after(60s);
        if (first && !answer_to_early.empty()) {
            (void)co_await stream->write(std::string_view(answer_to_early));
            if (then_reset)
                stream->abort();
            else
                (void)co_await stream->shutdown();
            stream->close();
            co_return;
        }
        sim::Peer& now = first && early_peer ? *early_peer : this->peer();
        co_await now.play(std::move(stream));
    }

    /// Three sessions, by which it becomes known.
    void become_known(int times = 3)
    {
        for (int i = 0; i < times; ++i)
            CHECK(deliver().outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(std::ranges::count(spoke_first, true) == 0);
        spoke_first.clear();
        content_before = this->peer().contents().size();
    }
    handoff::Verdict deliver(std::string recipient = "user@example.test") { return run(request({std::move(recipient)})).verdicts(0); }
    /// From now on the address is served by this.
    void turns_into(std::string_view script) { add("192.0.2.2", script); }
    bool off() { return book.early("192.0.2.2") == peers::Early{}; }

    HandClock hand;
    peers::Book book;
    std::vector<bool> spoke_first;
    std::string answer_to_early;
    bool then_reset = false;
    std::unique_ptr<sim::Peer> early_peer;
    std::vector<std::string> told;
    std::size_t content_before = 0;
};

}  // namespace

TEST_CASE("early: after three clean sessions EHLO and the envelope are said before the greeting; content is not")
{
    for (const std::string_view keywords : {usual, std::string_view("PIPELINING PIPECONNECT SIZE")}) {
        CAPTURE(keywords);
        auto rules = std::make_shared<peers::Rules>();
        REQUIRE(rules->add("/^220 peer/ bdat-first\n", "rules"));
        Early world(offers(keywords), peers::Learning::yes, rules);
        world.become_known();
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.run(probe({"a@example.test", "unknown@example.test"})).verdicts(1).status() == "5.1.1");
        CHECK(world.spoke_first == std::vector<bool>{true, true});
        CHECK(world.peer().contents().size() == 4);
        CHECK(world.peer().faults().empty());
        const auto& transcript = world.peer().sessions()[3].transcript;
        const auto ehlo = std::ranges::find(transcript, "S: 250 DSN"), content = std::ranges::find_if(transcript, [](const std::string& line) {
                                                                           return line.starts_with("C: BDAT") || line.starts_with("C: DATA");
                                                                       });
        CHECK(ehlo < content);
        CHECK(!world.off());
    }
}

TEST_CASE("early: a peer that tests for early clients gets the mail within the attempt, once, and is not spoken to early for thirty days")
{
    struct Row {
        std::string_view answer;
        bool reset;
    };
    for (const Row& row : std::initializer_list<Row>{{"554 5.5.0 Error: SMTP protocol synchronization\r\n", false},
                                                     {"421 4.7.1 too early, come again later\r\n", false},
                                                     {"521 no\r\n", true},
                                                     {"", true},
                                                     {"220 x\r\n503 5.5.1 pipelining\r\n", false},
                                                     {"220 x\r\n554 5.5.0 Error: SMTP protocol synchronization\r\n", false},
                                                     {"220 x\r\n", true},
                                                     {"220-teergrube\r\n", true}}) {
        CAPTURE(row.answer);
        Early world(offers(usual));
        world.become_known();
        world.answer_to_early = row.answer.empty() ? std::string_view("\0", 1) : row.answer;
        world.then_reset = row.reset;
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.spoke_first == std::vector<bool>{true, false});
        CHECK(world.peer().contents().size() == world.content_before + 1);
        CHECK(world.off());
        CHECK(world.told.size() == 1);
        if (!world.told.empty())
            CHECK(world.told.front().find("learned no-early: ") != std::string::npos);
        world.hand.advance(29 * 24h);
        world.spoke_first.clear();
        for (int i = 0; i < 3; ++i)
            CHECK(world.deliver().outcome() == delivered);
        CHECK(std::ranges::count(world.spoke_first, true) == 0);
        world.answer_to_early.clear();
        world.hand.advance(24h);
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.spoke_first.back());
    }
}

TEST_CASE("early: recipients refused for haste are asked again in time; those refused for themselves are not")
{
    for (const std::string_view refusal : {"550 5.5.1 Protocol error", "550 5.7.1 Rejected", "554 no", "450 4.5.1 improper pipelining"}) {
        CAPTURE(refusal);
        for (const bool first_is_taken : {false, true}) {
            CAPTURE(first_is_taken);
            Early world(offers(usual));
            world.become_known();
            std::string script = offers(usual);
            script += fmt::format("on RCPT TO:<b@*\n  S {0}\n", refusal);
            if (!first_is_taken)
                script += fmt::format("on RCPT TO:*\n  S {0}\n", refusal);
            world.early_peer = std::make_unique<sim::Peer>(script);
            const auto all = world.run(request({"a@example.test", "b@example.test"}));
            CHECK(all.verdicts(0).outcome() == delivered);
            CHECK(all.verdicts(1).outcome() == delivered);
            CHECK(world.spoke_first == std::vector<bool>{true, false});
            CHECK(world.early_peer->contents().size() == (first_is_taken ? 1 : 0));
            CHECK(world.peer().contents().size() == world.content_before + 1);
            // Nobody got it twice.
            const auto said = world.peer().sessions().back().said();
            CHECK(std::ranges::count_if(said, [](const std::string& line) { return line.starts_with("RCPT"); }) == (first_is_taken ? 1 : 2));
            CHECK(world.off());
        }
    }
    Early world(offers(usual));
    world.become_known();
    CHECK(world.deliver("unknown@example.test").outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(world.spoke_first == std::vector<bool>{true});
    CHECK(!world.off());
}

TEST_CASE("early: a refusal that does not say what it is about is asked for again in time, and teaches nothing where it is the same then (exim4)")
{
    for (const std::string_view refused : {"RCPT TO:<u*", "MAIL FROM:*"}) {
        CAPTURE(refused);
        Early world(offers(usual));
        world.become_known();
        world.turns_into(offers(usual) + fmt::format("on {}\n  S 550 unknown user\n", refused));
        const auto all = world.run(request({"unknown@example.test", "b@example.test"}));
        CHECK(all.verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
        CHECK(all.verdicts(1).outcome() == (refused.starts_with("RCPT") ? delivered : handoff::OUTCOME_BOUNCED));
        CHECK(world.spoke_first == std::vector<bool>{true, false});
        CHECK(!world.off());
        CHECK(world.told.empty());
        CHECK(world.peer().contents().size() == (refused.starts_with("RCPT") ? 1 : 0));
    }
}

TEST_CASE("early: the limit of recipients that the peer showed is kept to before its greeting, too (exim4)")
{
    Early world(offers(usual) + "on RCPT* [in rcpt]\n  S 452 too many recipients\n");
    const std::vector<std::string> three{"a@example.test", "b@example.test", "c@example.test"};
    world.become_known(2);
    CHECK(world.run(request(three)).verdicts(1).outcome() == handoff::OUTCOME_DEFERRED);   // it names the limit: that is believed
    world.spoke_first.clear();
    const auto all = world.run(request(three));
    for (const auto& verdict : all.verdicts())
        CHECK(verdict.outcome() == delivered);
    CHECK(all.verdicts_size() == 3);
    CHECK(world.spoke_first.front());
}

TEST_CASE("early: a peer that greylists early clients is asked in time at the next attempts")
{
    Early world(offers(usual));
    world.become_known();
    world.early_peer = std::make_unique<sim::Peer>(offers(usual) + "on RCPT TO:*\n  S 450 4.2.0 Greylisted\n");
    CHECK(world.deliver().outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(world.off());
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first == std::vector<bool>{true, false});
    CHECK(world.told.empty());
}

TEST_CASE("early: a peer whose features changed loses nothing, and has to become known again")
{
    struct Row {
        std::string_view keywords;
        std::size_t sessions;
    };
    for (const Row& row : std::initializer_list<Row>{{"PIPELINING PIPECONNECT SIZE", 1},
                                                     {"PIPELINING CHUNKING SIZE", 1},
                                                     {"SIZE", 1},
                                                     {"PIPELINING PIPECONNECT CHUNKING 8BITMIME SIZE LIMITS", 1}}) {
        CAPTURE(row.keywords);
        Early world(offers(usual));
        world.become_known();
        world.turns_into(offers(row.keywords));
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.spoke_first.size() == row.sessions);
        CHECK(world.peer().contents().size() == 1);
        CHECK(world.off());
        CHECK(world.told.empty());              // nobody refused anything
    }
    // It refuses what it no longer has, and takes it as it is now.
    for (const std::string_view refused :
         {"on MAIL FROM:* SIZE=*\n  S 555 5.5.4 Unsupported option\n", "on EHLO *\n  S 502 5.5.1 not implemented\n"}) {
        CAPTURE(refused);
        Early world(offers(usual));
        world.become_known();
        world.turns_into(
            fmt::format("host peer.test\nlike bdat\nS 220 $host ESMTP\n{}on EHLO *\n  S 250-$host\n  S 250 DSN\n  state ready\n", refused));
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.peer().contents().size() == 1);
        CHECK(world.spoke_first == std::vector<bool>{true, false});
    }
}

TEST_CASE("early: several machines behind one address: each has to be known; a stranger among them costs nothing but the wait")
{
    Early world(offers(usual, "a.test"));
    world.become_known();
    world.turns_into(offers(usual, "b.test"));
    CHECK(world.deliver().outcome() == delivered);      // met early, and all is well
    CHECK(world.off());
    world.turns_into(offers(usual, "a.test"));
    CHECK(world.deliver().outcome() == delivered);
    world.turns_into(offers(usual, "b.test"));
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first == std::vector<bool>{true, false, false, false});
    CHECK(!world.off());
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first.back());
}

TEST_CASE("early: a greeting that is merely busy is no lesson, and is waited for once more")
{
    Early world(offers(usual));
    world.become_known();
    world.answer_to_early = "421 4.3.2 busy\r\n";
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first == std::vector<bool>{true, false});
    CHECK(!world.off());
    CHECK(world.told.empty());
}

TEST_CASE("early: what depends on more than is known waits for the answer to EHLO")
{
    Early world(offers(usual));
    world.become_known();
    auto utf8 = request({"user@example.test"});
    utf8.mutable_envelope()->set_smtputf8(true);
    CHECK(world.run(std::move(utf8)).verdicts(0).status() == "5.6.7");
    CHECK(world.spoke_first == std::vector<bool>{false});
    world.turns_into(offers(fmt::format("{} SMTPUTF8", usual)));
    auto again = request({"user@example.test"});
    again.mutable_envelope()->set_smtputf8(true);
    CHECK(world.run(std::move(again)).verdicts(0).outcome() == delivered);
}

TEST_CASE("early: the administrator's word counts, and so does learning that is off")
{
    const auto never = [](Early& world) {
        world.become_known(4);
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.spoke_first == std::vector<bool>{false});
    };
    for (const char* hidden : {"pipeconnect", "pipelining"}) {
        Early world(offers(usual));
        world.options.discard = smtp::parse_discard_list(std::string(hidden) + " silent-discard");
        never(world);
    }
    {
        Early world(offers(usual));
        world.options.pipe_connect = false;
        never(world);
    }
    for (const auto mode : {peers::Learning::no, peers::Learning::report}) {
        Early world(offers(usual), mode);
        never(world);
    }
    auto rules = std::make_shared<peers::Rules>();
    REQUIRE(rules->add("/^220 peer/ no-early\n", "rules"));
    Early world(offers(usual), peers::Learning::yes, rules);
    never(world);
}

namespace {

struct Tls {
    explicit Tls(Early& world) : made(WireTls::make({}, clock))
    {
        REQUIRE(made.has_value());
        world.settings.tls = sim::tls_server("peer.test");
        world.tls = made->get();
        world.options.tls_level = TlsLevel::may;
    }
    SystemClock clock;
    Result<std::unique_ptr<WireTls>> made;
};

std::string with_tls(std::string_view in_tls, std::string_view more = "")
{
    std::string lines;
    for (const auto word : split(in_tls))
        lines += fmt::format("  S 250-{}\n", word);
    return fmt::format("host peer.test\nlike bdat\nS 220 $host ESMTP\n{}on EHLO * [in secure]\n  S 250-$host\n{}  S 250 DSN\n  state ready\n"
                       "on EHLO *\n  S 250-$host\n  S 250-STARTTLS\n  S 250-PIPECONNECT\n  S 250-PIPELINING\n  S 250 DSN\n  state clear\n"
                       "on STARTTLS\n  starttls 220 2.0.0 Ready\n  state secure\n",
                       more, lines);
}

/// "EHLO STARTTLS EHLO MAIL ...": up to the envelope.
std::vector<std::string> verbs_of(const sim::Session& session)
{
    std::vector<std::string> verbs;
    for (const std::string& line : session.said())
        verbs.push_back(line.substr(0, line.find_first_of(" :")));
    return verbs;
}

}  // namespace

TEST_CASE("early, with TLS: EHLO and STARTTLS before the greeting, in TLS the envelope behind EHLO where its answer is known")
{
    for (const bool known_in_tls : {true, false}) {
        CAPTURE(known_in_tls);
        const std::string script = with_tls(known_in_tls ? usual : "PIPELINING SIZE");
        Early world(script);
        const Tls tls(world);
        world.turns_into(script);
        world.become_known();
        const unsigned turns_before = world.peer().sessions().back().turns;
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.spoke_first == std::vector<bool>{true});
        CHECK(world.peer().contents().size() == 4);
        const sim::Session& last = world.peer().sessions().back();
        CHECK(last.handshakes == 1);
        CHECK(verbs_of(last)[1] == "STARTTLS");
        CHECK(turns_before - last.turns == (known_in_tls ? 2 : 1));         // EHLO with STARTTLS; EHLO with the envelope
        CHECK(world.peer().faults().empty());
    }
}

TEST_CASE("early, with TLS: no envelope in clear where STARTTLS is offered, whatever was known")
{
    Early world(offers("PIPELINING PIPECONNECT"));
    const Tls tls(world);
    world.become_known();
    world.turns_into(with_tls(usual));          // now it offers STARTTLS
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first == std::vector<bool>{true, false});
    CHECK(world.peer().contents().size() == 1);
    CHECK(world.peer().sessions().back().handshakes == 1);
    // And the reverse: a known STARTTLS that is gone is not taken for a no.
    for (const TlsLevel level : {TlsLevel::may, TlsLevel::encrypt}) {
        Early other(with_tls(usual));
        const Tls with(other);
        other.options.tls_level = level;
        other.turns_into(with_tls(usual));
        other.become_known();
        other.turns_into(offers("PIPELINING PIPECONNECT"));
        const auto verdict = other.deliver();
        CHECK(verdict.outcome() == (level == TlsLevel::may ? delivered : handoff::OUTCOME_DEFERRED));
        CHECK(other.spoke_first == std::vector<bool>{true, false});
        for (const sim::Session& session : other.peer().sessions())
            if (level == TlsLevel::encrypt)
                CHECK(std::ranges::count(verbs_of(session), "MAIL") == 0);
    }
}

TEST_CASE("early, with TLS: a test for early clients before TLS is learned from there too")
{
    Early world(with_tls(usual));
    const Tls tls(world);
    world.turns_into(with_tls(usual));
    world.become_known();
    world.answer_to_early = "554 5.5.0 SMTP synchronization error\r\n";
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.spoke_first == std::vector<bool>{true, false});
    CHECK(world.off());
    CHECK(world.peer().sessions().back().handshakes == 1);
}

TEST_CASE("early: a server that does anything: one verdict per recipient, a bounce only by a whole 5yz it said")
{
    /// Everybody may always be spoken to early.
    struct Reckless final : peers::Peers {
        bool obeys() const override { return true; }
        peers::Known about(const peers::Meeting&) override { return {}; }
        peers::Early early(const std::string&) override
        {
            constexpr smtp::KeywordSet features{smtp::Keyword::pipelining, smtp::Keyword::pipe_connect, smtp::Keyword::size};
            return {features.bits(), features.bits(), {}};
        }
        bool saw(peers::Evidence) override { return false; }
        void connected(const std::string&, bool) override {}
        bool may_replay(const std::string&) override { return true; }
    };
    unsigned taken = 0, deferred = 0, bounced = 0;
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        World world;
        world.options.timeouts.helo = world.options.timeouts.mail = world.options.timeouts.rcpt = world.options.timeouts.data_init =
            world.options.timeouts.data_xfer = world.options.timeouts.data_done = world.options.timeouts.rset = world.options.timeouts.quit =
                seconds(1);
        world.memory.keep_segments = seed % 2 == 0;
        Reckless reckless;
        world.knowledge = &reckless;
        sim::RandomPeer peer(seed, seed % 4 == 0 ? 40 : 10);
        world.players["192.0.2.2"] = [&peer](std::unique_ptr<net::Stream> stream) { return peer.play(std::move(stream)); };
        std::vector<handoff::DeliveryRequest> requests;
        for (unsigned i = 0; i < 1 + seed % 4; ++i) {
            requests.push_back(seed % 5 == 4 ? probe({"a@example.test", "b@example.test"})
                                             : request({"a@example.test", "b@example.test", "c@example.test"}));
            requests.back().set_connections(1 + seed % 2);
        }
        for (const auto& verdicts : world.run(std::move(requests))) {
            REQUIRE(verdicts.verdicts_size() == (seed % 5 == 4 ? 2 : 3));
            for (const auto& verdict : verdicts.verdicts()) {
                CHECK(!verdict.text().empty());
                taken += verdict.outcome() == delivered;
                deferred += verdict.outcome() == handoff::OUTCOME_DEFERRED;
                if (verdict.outcome() == delivered || verdict.outcome() == handoff::OUTCOME_DEFERRED)
                    continue;
                ++bounced;
                CHECK_MESSAGE(std::ranges::find(peer.refusals(), verdict.diagnostic()) != peer.refusals().end(), verdict.text());
            }
        }
    }
    CHECK(taken > 0);
    CHECK(deferred > 0);
    CHECK(bounced > 0);
}
