// Every peer of sim/, with an empty memory and warm: the verdict that its script's head promises, by a row for each. What was taken is read off
// the peer's own transcript: nothing twice, nothing lost, nothing refused that was not refused by a whole 5yz in its place.
#include "send/shelf_test.hpp"

#include "send/variant_test.hpp"
#include "send/wire_tls.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view dead = "B5.1.1";

/// "D": delivered (a probe: deliverable). "T": deferred, for ever. "B5.1.1": refused, with that status.
struct ShelfRow {
    std::string_view name;
    std::string_view user = "D", unknown = dead;                    // the end of mail to user@ and other@, and to unknown@
    std::string_view probe_user = "D", probe_unknown = dead;
    std::string_view quirk = {};                                    // told while mail is sent
    std::string_view probe_quirk = {};                              // told while addresses are probed
    int attempts = 1;                                               // at most, for the first mail to one, with an empty memory
    int attempts_of_three = 1;                                      // for the first mail, or probe, of three with unknown@ among them
    int mails = 3;                                                  // until the quirk is told
    std::string_view bounce_quirk = {};                             // told while addresses are probed from <>, where it is another
    std::string_view or_quirk = {};                                 // of a variant that does not say why: what it shows is less
};

const std::string_view groups = "one-command-per-flight";

// clang-format off
const ShelfRow rows[] = {
    {"accepts-everybody", "B5.1.1", dead, "D", "D"},
    {"bdat"},
    {"bdat-stalls"},                                                // small mail only; broken_peers_test.cpp has the large
    {"black-hole", "T"},
    {"broken-starttls"},
    {.name = "calls-groups-improper", .quirk = groups, .or_quirk = "data-alone"},
    {.name = "closes-after-bad-recipient", .attempts_of_three = 1},
    {"closes-at-data", "T"},
    {"closes-at-dot", "T"},
    {.name = "closes-at-ehlo", .quirk = "helo-only", .probe_quirk = "helo-only"},
    {"closes-at-greeting", "T", "T", "T", "T"},
    {.name = "closes-at-grouped-data", .quirk = "data-alone", .or_quirk = groups},
    {"closes-at-mail", "T", "T", "T", "T"},
    {"closes-at-quit-group"},                                       // we never say one that counts
    {"closes-at-rcpt", "T", "T", "T", "T"},
    {"closes-at-rset"},                                             // nor RSET where mail depends on it
    {.name = "counts-rset", .quirk = "no-rset", .probe_quirk = "no-rset", .mails = 6},
    {"data-only"},
    {"defers-at-data", "T"},
    {"defers-at-dot", "T"},
    {"defers-at-mail", "T", "T", "T", "T"},
    {"defers-at-rcpt", "T", "T", "T", "T"},
    {"exchange-2007"},
    {.name = "exchange-2010-sp1", .quirk = "quit-alone", .probe_quirk = "quit-alone"},
    {"exchange-engineering"},
    {"executes-refused-bdat"},
    {.name = "frontbridge", .quirk = "quit-alone", .probe_quirk = "quit-alone"},
    {.name = "frontbridge-db3-003", .quirk = "quit-alone", .probe_quirk = "quit-alone"},
    {.name = "frontbridge-db3-006", .quirk = "quit-alone", .probe_quirk = "quit-alone"},
    {"greylists", "T", "T", "T", "T"},
    {.name = "hangs-at-grouped-data", .quirk = "data-alone", .or_quirk = groups},
    {"helo-only"},
    {"invites-in-vain", "B5.1.1", dead, "B5.1.1"},
    {"lies-about-size", "B5.3.4", "B5.3.4"},
    {"lmtp"},
    {"masked-chunking"},
    {.name = "merges-replies", .quirk = groups, .probe_quirk = groups},
    {"no-221"},
    {"no-pipelining"},
    {"null-mx", "T", "T", "T", "T"},                                // smtp_skip_5xx_greeting
    {"odd-keywords"},
    {"one-ehlo-only"},
    {.name = "one-mail-per-session", .mails = 6},
    {.name = "one-recipient-per-bounce", .bounce_quirk = "one-rcpt-null-sender"},
    {"permanent-for-now", "B5.7.1", "B5.7.1", "B5.7.1", "B5.7.1"},
    {"pix"},
    {.name = "reads-one-line", .quirk = groups, .probe_quirk = groups},
    {.name = "refuses-bdat", .quirk = "no-bdat", .attempts = 2, .attempts_of_three = 2},    // after content: the next attempt as scheduled
    {"refuses-content-early", "B5.3.4"},
    {"refuses-greeting", "T", "T", "T", "T"},
    {.name = "refuses-groups", .quirk = groups, .probe_quirk = groups},
    {.name = "refuses-parameters", .quirk = "no-param(SIZE)"},
    {"refuses-lines", "B5.6.11"},
    {"refuses-recipients", "B5.1.1", dead, "B5.1.1"},
    {.name = "refuses-rset", .quirk = "no-rset", .probe_quirk = "no-rset"},
    {.name = "refuses-size", .quirk = "no-param(SIZE)"},
    {"refuses-starttls"},
    {"rejects-at-data", "B5.7.1"},
    {"rejects-at-dot", "B5.6.0"},
    {"rejects-at-mail", "B5.7.1", "B5.7.1", "B5.7.1", "B5.7.1"},
    {"rejects-at-rcpt", "B5.7.1", "B5.7.1", "B5.7.1", "B5.7.1"},
    {"resets-at-content", "T"},
    {"says-421-at-rcpt", "T", "T", "T", "T"},
    {"seven-bit"},
    {"silent-greeting", "T", "T", "T", "T"},
    {"silent-starttls"},
    {"slow"},
    {"slow-after-errors"},
    {"slow-down", "T", "T", "T", "T"},
    {"starttls"},
    {"tarpits"},
    {"three-mails-then-421"},
    {"three-mails-then-closes"},
    {"too-many-connections", "T", "T", "T", "T"},
    {"too-many-errors"},
};
// clang-format on

std::string word_of(const handoff::Verdict& verdict)
{
    switch (verdict.outcome()) {
    case handoff::OUTCOME_DELIVERED: return "D";
    case handoff::OUTCOME_DEFERRED: return "T";
    default: return "B" + verdict.status();
    }
}

enum class What : std::uint8_t { one, three, probe, probe_from_nobody };

handoff::DeliveryRequest made(What what, const std::vector<std::string>& recipients, const std::string& subject)
{
    auto wish = what == What::one || what == What::three ? request(recipients, subject + "\r\n\r\nx\r\n") : probe(recipients);
    if (what == What::probe_from_nobody)
        wish.mutable_envelope()->clear_sender();
    return wish;
}

bool works_with_tls(const std::vector<sim::Action>& actions)
{
    return std::ranges::any_of(actions, [](const sim::Action& action) { return action.op == sim::Op::starttls || works_with_tls(action.body); });
}
bool works_with_tls(const sim::Script& script)
{
    // The first block for STARTTLS is the one that answers.
    const auto at = std::ranges::find_if(script.blocks, [](const sim::Block& block) { return sim::matches(block.pattern, "STARTTLS"); });
    return at != script.blocks.end() && works_with_tls(at->actions);
}

/// What came of messages and probes, tried as the queue tries them: again with those that were deferred, a minute later.
struct Trial {
    Trial(const ShelfRow& what, sim::Script script, TlsClient* tls_client = nullptr, std::uint32_t seed = 0) : row(what), variant(seed), world("")
    {
        world.settings.pieces = seed;
        world.tls = tls_client;
        if (tls_client) {
            world.options.tls_level = TlsLevel::may;
            world.settings.tls = sim::tls_server("peer.test");
        }
        world.options.lmtp = row.name == "lmtp";
        world.add("192.0.2.2", std::move(script));
    }

    /// Up to `attempts` attempts; the verdict of each recipient.
    std::map<std::string, std::string> send(What what, const std::string& subject, int attempts)
    {
        std::vector<std::string> left = what == What::one
                                            ? std::vector<std::string>{"user@example.test"}
                                            : std::vector<std::string>{"user@example.test", "unknown@example.test", "other@example.test"};
        std::map<std::string, std::string> verdicts;
        for (tried = 0; tried < attempts && !left.empty(); ++tried) {
            world.hand.advance(61s);
            const auto got = world.run(made(what, left, subject));
            REQUIRE(got.verdicts_size() == static_cast<int>(left.size()));
            std::vector<std::string> deferred;
            for (std::size_t i = 0; i < left.size(); ++i) {
                const auto& verdict = got.verdicts(static_cast<int>(i));
                last_text = verdict.text();
                verdicts[left[i]] = word_of(verdict);
                if (verdict.outcome() == handoff::OUTCOME_DEFERRED)
                    deferred.push_back(left[i]);
                else if (verdict.outcome() != handoff::OUTCOME_DELIVERED)
                    CHECK_MESSAGE(verdict.diagnostic().starts_with('5'), verdict.text());
            }
            left = deferred;
        }
        return verdicts;
    }

    void check(What what, int messages = 4)
    {
        const bool is_probe = what == What::probe || what == What::probe_from_nobody;
        for (int i = 0; i < messages; ++i) {
            const std::string subject = "Subject: " + std::to_string(++sent);
            CAPTURE(i);
            CAPTURE(static_cast<int>(what));
            const int cold = what == What::one ? row.attempts : row.attempts_of_three;
            // Of a variant: where a refused recipient and a lost session look alike, the first attempt clears up only one of them.
            const int more = variant && what == What::three && !row.quirk.empty() && world.told.empty() ? 1 : 0;
            const int limit = (i == 0 ? cold : 1) + more;
            const auto verdicts = send(what, subject, limit);
            CAPTURE(last_text);
            for (const auto& [recipient, word] : verdicts) {
                CAPTURE(recipient);
                const bool unknown = recipient.starts_with("unknown");
                const std::string_view right = unknown ? is_probe ? row.probe_unknown : row.unknown : is_probe ? row.probe_user : row.user;
                CHECK((variant ? word.substr(0, 1) : word) == (variant ? right.substr(0, 1) : right));
                if (!is_probe)
                    expected[{subject, recipient}] = word == "D" ? 1 : 0;
            }
        }
    }

    void check_taken()
    {
        Taken taken;
        for (const sim::Session& session : world.peer().sessions()) {
            taken.add(session);
            const bool offered = std::ranges::any_of(
                session.transcript, [](const std::string& line) { return istarts_with(line, "S: 250") && iequals(line.substr(7), "STARTTLS"); });
            if (world.tls && offered && works_with_tls(world.peer().script()))
                for (const std::string& line : session.said())
                    if (istarts_with(line, "MAIL"))
                        CHECK(session.handshakes == 1);
        }
        for (const auto& [mail, times] : taken.times) {
            CAPTURE(mail.first);
            CAPTURE(mail.second);
            CHECK(times == expected[mail]);
        }
        for (const auto& [mail, times] : expected) {
            CAPTURE(mail.first);
            CAPTURE(mail.second);
            CHECK(taken.times[mail] == times);
        }
        for (const std::string& fault : world.peer().faults())
            CHECK_MESSAGE(false, fault);
    }

    void check_learned(std::string_view quirk)
    {
        std::string said;
        for (const std::string& line : world.told)
            said += line + "\n";
        CAPTURE(said);
        CHECK(world.told.size() == (quirk.empty() ? 0 : 1));
        if (!quirk.empty() && !world.told.empty())
            CHECK((world.told.front().find(fmt::format(" learned {}: ", quirk)) != std::string::npos ||
                   (variant && !row.or_quirk.empty() && world.told.front().find(fmt::format(" learned {}: ", row.or_quirk)) != std::string::npos)));
    }

    const ShelfRow& row;
    std::uint32_t variant;                                          // its seed; 0: the script as it is
    Shelf world;
    std::map<std::pair<std::string, std::string>, unsigned> expected;
    std::string last_text;
    int sent = 0, tried = 0;
};

const ShelfRow& row_of(std::string_view name)
{
    const auto at = std::ranges::find(rows, name, &ShelfRow::name);
    REQUIRE_MESSAGE(at != std::end(rows), "sim/peers has a peer that shelf_test.cpp has no row for: ", std::string(name));
    return *at;
}

void play(const ShelfRow& row, const sim::Script& script, TlsClient* tls, std::uint32_t seed = 0)
{
    for (const What what : {What::one, What::three, What::probe, What::probe_from_nobody}) {
        CAPTURE(static_cast<int>(what));
        Trial trial(row, script, tls, seed);
        trial.check(what, std::max(4, row.mails + 1) + (seed ? 4 : 0));
        trial.check_taken();
        const bool is_probe = what == What::probe || what == What::probe_from_nobody;
        trial.check_learned(what == What::probe_from_nobody && !row.bounce_quirk.empty() ? row.bounce_quirk : is_probe ? row.probe_quirk : row.quirk);
        // Warm, of everything.
        if (row.user != "T") {
            for (const What next : {What::three, What::probe, What::one})
                trial.check(next, 2);
            trial.check_taken();
        }
    }
}

sim::Script script_of(const sim::PeerFile& file)
{
    auto script = sim::Script::parse(file.text, file.name);
    REQUIRE_MESSAGE(script.has_value(), script.error().text());
    return *std::move(script);
}

/// Where only the words say what is meant, servers have many of them.
const Variant::Phrases phrases{
    {"Improper use of SMTP command pipelining",
     {"503 5.5.0 Pipelining is not for you", "554 5.5.1 Error: you may not pipeline", "503 Improper pipelining",
      "503 5.5.1 Bad sequence of commands"}},
    {"500 5.5.1 Command unrecognized", {"500 What?", "502 5.5.2 Not here", "500 5.5.2 Error: bad syntax", "503 5.5.1 Wait your turn"}},
    {"Only one recipient is allowed for a bounce",
     {"550 5.5.3 Too many recipients", "550 5.5.3 Nix da", "554 One recipient at a time for <>", "550 bounces have a single recipient",
      "452 4.5.3 One recipient only"}},
    {"MAIL FROM parameters not recognized",
     {"555 5.5.4 Unsupported option: SIZE=0", "501 5.5.4 Syntax error in parameters scanning SIZE", "555 What?", "501 5.5.4 Invalid arguments"}},
    {"555 5.5.4 Unsupported option", {"555 Nein", "501 5.5.4 Syntax error in parameters or arguments", "504 Command parameter not implemented"}},
};

}  // namespace

TEST_CASE("shelf: a row for every peer, and a peer for every row")
{
    CHECK(sim::peer_files().size() == std::size(rows));
    for (const sim::PeerFile& file : sim::peer_files())
        row_of(file.name);
}

TEST_CASE("shelf: every peer, empty memory then warm, mail and probes: its verdict, once, and no quirk but its own")
{
    for (const sim::PeerFile& file : sim::peer_files()) {
        CAPTURE(file.name);
        play(row_of(file.name), script_of(file), nullptr);
    }
}

TEST_CASE("shelf: the same where TLS may be used: what works with TLS never goes without")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    for (const sim::PeerFile& file : sim::peer_files()) {
        if (file.text.find("STARTTLS") == file.text.npos && file.text.find("like starttls") == file.text.npos)
            continue;
        CAPTURE(file.name);
        play(row_of(file.name), script_of(file), tls->get());
    }
}

// As many of each as POSTHORN_VARIANTS says (nightly); half of them speak TLS.
TEST_CASE("shelf: another server with each fault, made by a seed: the same verdicts, the same quirk")
{
    const char* const wish = std::getenv("POSTHORN_VARIANTS");
    const std::uint32_t from = 1, to = wish ? static_cast<std::uint32_t>(std::atoi(wish)) : 1;
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    for (std::uint32_t seed = from; seed <= to; ++seed)
        for (std::uint32_t number = 0; const sim::PeerFile& file : sim::peer_files()) {
            CAPTURE(file.name);
            CAPTURE(seed);
            const bool secure = (seed + number++) % 2 != 0 && file.name != "lmtp";
            play(row_of(file.name), Variant(script_of(file), seed, phrases).made(), secure ? tls->get() : nullptr, seed);
        }
}

TEST_CASE("LMTP: a recipient whose answer does not come behind the others' is deferred for that reason")
{
    Shelf world(R"(
        S 220 mailbox.test LMTP
        C LHLO client.test
        S 250-mailbox.test
        S 250 PIPELINING
        C MAIL FROM:*
        > RCPT TO:*
        > RCPT TO:*
        > DATA
        S 250 OK
        S 250 OK
        S 250 OK
        S 354 go
        content
        S 250 2.0.0 saved
        flush
        silence)");
    world.options.lmtp = true;
    const auto verdicts = world.run(request({"a@example.test", "b@example.test"}));
    CHECK(word_of(verdicts.verdicts(0)) == "D");
    CHECK(verdicts.verdicts(1).status() == "4.4.2");
    CHECK(verdicts.verdicts(1).text() ==
          "conversation with 192.0.2.2[192.0.2.2] timed out while sending end of data -- message may be sent more than once");
}

TEST_CASE("HELO refused by 503 is about the greeting: mail waits")
{
    Shelf world("S 220 peer.test\non EHLO*\n  S 502 no\non HELO*\n  S 503 5.5.1 Duplicate HELO\non QUIT\n  S 221 bye\n  close");
    CHECK(word_of(world.run(request({"a@example.test"})).verdicts(0)) == "T");
}

TEST_CASE("a refusal in a flight whose answers are too few, or too many, may have been another's: nobody bounces for it")
{
    // The first RCPT has no answer; the 550 is the second's.
    Shelf few("S 220 x\nC EHLO*\nS 250-x\nS 250 PIPELINING\nC MAIL*\n> RCPT*\n> RCPT*\n> DATA\nS 250 ok\nS 550 5.1.1 no b\nflush\nsilence");
    for (const auto& verdict : few.run(request({"a@example.test", "b@example.test"})).verdicts())
        CHECK_MESSAGE(word_of(verdict) == "T", verdict.text());
    // The 550 belongs to nobody, and each answer behind it stands one place too late.
    Shelf many(
        "S 220 x\nC EHLO*\nS 250-x\nS 250 PIPELINING\nC MAIL*\n> RCPT*\n> RCPT*\n> DATA\nS 250 ok\nS 550 5.0.0 hm\nS 250 a\nS 250 b\nS 354 go\ncontent\nS 250 taken");
    for (const auto& verdict : many.run(request({"a@example.test", "b@example.test"})).verdicts())
        CHECK_MESSAGE(word_of(verdict) == "T", verdict.text());
    // A peer that says so and leaves has answered.
    Shelf leaves("S 220 x\nC EHLO*\nS 250-x\nS 250 PIPELINING\nC MAIL*\n> RCPT*\n> DATA\nS 250 ok\nS 550 5.1.1 no a\nclose");
    CHECK(word_of(leaves.run(request({"a@example.test"})).verdicts(0)) == "B5.1.1");
    // Two greetings at once: what follows may answer nothing of ours.
    Shelf twice("S 220 x\nS 550 5.7.1 go away\nC EHLO*\nS 250 x\nC QUIT");
    CHECK(word_of(twice.run(request({"a@example.test"})).verdicts(0)) == "T");
}

TEST_CASE("a recipient in doubt is asked apart: the others get their mail, and it its verdict, in the same attempt")
{
    // Silent behind a refusal in a group: it may have been any later one's.
    const std::string script = "reads group\nlike data-only\non RCPT TO:<unknown@* [grouped]\n  S 550 5.1.1 Unknown\n  flush\n  silence";
    for (const peers::Learning mode : {peers::Learning::yes, peers::Learning::no}) {
        Shelf world(script, mode);
        const auto verdicts = world.run(request({"user@example.test", "unknown@example.test", "other@example.test"}));
        CHECK(word_of(verdicts.verdicts(0)) == "D");
        CHECK(word_of(verdicts.verdicts(1)) == "B5.1.1");
        CHECK(word_of(verdicts.verdicts(2)) == "D");
        CHECK(world.peer().contents().size() == 1);
        CHECK(world.peer().sessions().size() == 3);
    }
    // DATA alone has no answer: the refusal before an accepted recipient is nobody else's, and waits for nothing.
    Shelf certain("hangs-at-grouped-data");
    CHECK(word_of(certain.run(request({"unknown@example.test", "user@example.test"})).verdicts(0)) == "B5.1.1");
}

TEST_CASE("a probe from <> with a MAIL for each: one that is refused speaks for its own recipient, and DATA for none but the last")
{
    auto rules = std::make_shared<peers::Rules>();
    REQUIRE(rules->add("/./ one-rcpt-null-sender", "rules"));
    for (const bool pipelining : {true, false}) {
        Shelf world(std::string("like ") + (pipelining ? "data-only" : "no-pipelining") + "\non MAIL* [nth 2]\n  S 550 5.7.1 not now",
                    peers::Learning::no, rules);
        auto wish = probe({"user@example.test", "other@example.test", "third@example.test"});
        wish.mutable_envelope()->clear_sender();
        const auto verdicts = world.run(std::move(wish));
        CHECK(word_of(verdicts.verdicts(0)) == "D");
        CHECK(word_of(verdicts.verdicts(1)) == "B5.7.1");
        CHECK(word_of(verdicts.verdicts(2)) == "D");
    }
    Shelf world("data-only", peers::Learning::no, rules);
    world.options.probe_data = true;
    auto wish = probe({"user@example.test", "other@example.test"});
    wish.mutable_envelope()->clear_sender();
    for (const auto& verdict : world.run(std::move(wish)).verdicts())
        CHECK(word_of(verdict) == "D");
    CHECK(world.peer().sessions().size() == 2);
    // RFC 9422: three MAILs and no more.
    Shelf limited("like data-only\non EHLO *\n  S 250-peer.test\n  S 250-PIPELINING\n  S 250 LIMITS MAILMAX=3\n  state ready", peers::Learning::no,
                  rules);
    wish = probe({"a@example.test", "b@example.test", "c@example.test", "d@example.test"});
    wish.mutable_envelope()->clear_sender();
    for (const auto& verdict : limited.run(std::move(wish)).verdicts())
        CHECK(word_of(verdict) == "D");
    for (const sim::Session& session : limited.peer().sessions()) {
        const auto said = session.said();
        CHECK(std::ranges::count_if(said, [](const std::string& line) { return line.starts_with("MAIL"); }) <= 3);
    }
}

TEST_CASE("probes that have no answer at all are deferred with the reason, also where they are as many as may be refused")
{
    Shelf world("S 220 x\nC EHLO*\nS 250-x\nS 250 PIPELINING\nflush\nsilence", peers::Learning::no);
    world.options.probe_errors = 2;
    for (const auto& verdict : world.run(probe({"a@example.test", "b@example.test"})).verdicts()) {
        CHECK(word_of(verdict) == "T");
        CHECK(verdict.status() == "4.4.2");
        CHECK(!verdict.text().empty());
    }
}
