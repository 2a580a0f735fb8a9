// AUTH: which credentials, which mechanism, what a refusal does to the mail, and that sessions are not shared between credentials.
#include "send/world_test.hpp"

#include "base/strings.hpp"
#include "send/wire_tls.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::send;

namespace {

class PasswordTable final : public Passwords {
public:
    std::map<std::string, std::string> entries;
    std::set<std::string> hidden;                        // mechanisms
    std::vector<std::string> asked;
    bool broken = false;

    awaitable<Result<std::optional<std::string>>> by_sender(std::string sender) override { co_return find("sender " + sender); }
    awaitable<Result<std::optional<std::string>>> by_server(std::string host, std::string next_hop) override
    {
        auto found = find(host);
        if (found && !*found)
            found = find(next_hop);
        co_return found;
    }
    awaitable<Result<bool>> allows(std::string mechanism) override { co_return !hidden.contains(mechanism); }

private:
    Result<std::optional<std::string>> find(const std::string& key)
    {
        asked.push_back(key);
        if (broken)
            return Error("smtp_sasl_password_maps: table error");
        const auto at = entries.find(key);
        return at == entries.end() ? std::optional<std::string>{} : at->second;
    }
};

struct Keep final : Transcripts {
    void take(handoff::Transcript transcript) override
    {
        for (const handoff::TranscriptLine& line : transcript.lines())
            text += line.text() + "\n";
    }
    bool wants_good() override { return true; }
    std::string text;
};

struct Everybody final : DebugPeers {
    awaitable<bool> listed(std::string, std::string) override { co_return true; }
};

std::string server(std::string_view mechanisms, std::string_view auth)
{
    return fmt::format("S 220 peer.test ESMTP\non EHLO *\n S 250-peer.test\n S 250-PIPELINING\n S 250 AUTH {}\n{}\n"
                       "on MAIL*\n S 250 2.1.0 ok\non RCPT*\n S 250 2.1.5 ok\non DATA\n S 354 go\n content\n S 250 2.0.0 taken\n"
                       "on RSET\n S 250 2.0.0 ok\non QUIT\n S 221 2.0.0 bye\n close\non *\n S 500 5.5.2 what",
                       mechanisms, auth);
}

constexpr std::string_view takes_plain = "on AUTH PLAIN AHVzZXIAc2VjcmV0\n S 235 2.7.0 welcome\non AUTH*\n S 535 5.7.8 who are you";

struct Login : World {
    explicit Login(std::string_view script) : World(script)
    {
        table.entries["192.0.2.2"] = "user:secret";
        passwords = &table;
        options.sasl.enable = true;
        options.sasl.clear = options.sasl.tls = options.sasl.verified = {sasl::Property::no_anonymous};
    }
    std::vector<std::string> said(std::size_t session = 0) { return peer().sessions().at(session).said(); }
    PasswordTable table;
};

}  // namespace

TEST_CASE("AUTH: PLAIN says all in one command, before the envelope, and costs one turn; no log line and no transcript has the password")
{
    Login world(server("PLAIN LOGIN", takes_plain));
    world.options.chunking = false;
    Keep keep;
    world.transcripts = &keep;
    Everybody everybody;
    world.debug = &everybody;
    const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
    CHECK_MESSAGE(verdict.outcome() == handoff::OUTCOME_DELIVERED, verdict.text());
    CHECK(world.said() == std::vector<std::string>{"EHLO client.test", "AUTH PLAIN AHVzZXIAc2VjcmV0", "MAIL FROM:<sender@client.test>",
                                                   "RCPT TO:<user@example.test>", "DATA", "RSET", "QUIT"});
    CHECK(world.peer().sessions().front().turn_of_content.front() == 4);          // greeting, EHLO, AUTH, envelope
    CHECK(world.table.asked == std::vector<std::string>{"192.0.2.2"});
    CHECK(lines_of(world, "> 192.0.2.2[192.0.2.2]:25: AUTH (arguments are not logged)").size() == 1);
    CHECK(lines_of(world, "AHVzZXIAc2VjcmV0").empty());
    CHECK(lines_of(world, "secret").empty());
    CHECK(keep.text.find("AUTH PLAIN [not recorded]") != std::string::npos);
    CHECK(keep.text.find("AHVzZXIAc2VjcmV0") == std::string::npos);
}

TEST_CASE("AUTH: LOGIN, CRAM-MD5 and a mechanism that the filter leaves answer their challenges")
{
    struct Row {
        std::string_view mechanisms, hidden, auth;
    };
    for (const Row& row : std::initializer_list<Row>{
             {"LOGIN", "", "on AUTH LOGIN\n S 334 VXNlcm5hbWU6\n C dXNlcg==\n S 334 UGFzc3dvcmQ6\n C c2VjcmV0\n S 235 2.7.0 welcome"},
             {"PLAIN CRAM-MD5", "", "on AUTH CRAM-MD5\n S 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n C *\n S 235 2.7.0 welcome"},
             {"PLAIN CRAM-MD5", "CRAM-MD5", takes_plain},
             {"NTLM GSSAPI PLAIN", "", takes_plain},
             {"XOAUTH2", "", "on AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIHNlY3JldAEB\n S 235 2.7.0 welcome"},
             {"EXTERNAL", "", "on AUTH EXTERNAL =\n S 235 2.7.0 welcome"},
         }) {
        CAPTURE(row.mechanisms);
        Login world(server(row.mechanisms, row.auth));
        world.table.hidden = {std::string(row.hidden)};
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK_MESSAGE(verdict.outcome() == handoff::OUTCOME_DELIVERED, verdict.text());
        CHECK(world.peer().faults().empty());
    }
}

TEST_CASE("AUTH: failures defer the mail with Postfix's words; only without soft bounce does a 5xx return it")
{
    struct Row {
        std::string_view mechanisms, auth, status, text;
        bool soft = true;
        handoff::Outcome outcome = handoff::OUTCOME_DEFERRED;
    };
    const std::string_view at = "192.0.2.2[192.0.2.2]";
    for (const Row& row : std::initializer_list<Row>{
             {"PLAIN", "on AUTH*\n S 535 5.7.8 Error: no", "4.7.8", "SASL authentication failed; server {} said: 535 5.7.8 Error: no"},
             {"PLAIN", "on AUTH*\n S 535 no", "4.0.0", "SASL authentication failed; server {} said: 535 no"},
             {"PLAIN", "on AUTH*\n S 535 5.7.8 Error: no", "5.7.8", "SASL authentication failed; server {} said: 535 5.7.8 Error: no", false,
              handoff::OUTCOME_BOUNCED},
             {"PLAIN", "on AUTH*\n S 454 4.7.0 later", "4.7.0", "SASL authentication failed; server {} said: 454 4.7.0 later", false},
             {"PLAIN", "on AUTH*\n S 250 2.0.0 ok\n s 535 5.7.8 no\\r\\n", "4.5.0", "", false},
             {"PLAIN", "on AUTH*\n S 354 go on", "4.7.0", "SASL authentication failed; server {} said: 354 go on", false},
             {"NTLM", "", "4.7.0", "SASL authentication failed; cannot authenticate to server {}: no mechanism available"},
             {"GARBLED", "", "4.7.0",
              "SASL authentication failed: server {} offered no compatible authentication mechanisms for this type of connection security"},
             {"LOGIN", "on AUTH*\n S 334 VXNlcm5hbWU6\n C *\n S 334 UGFzc3dvcmQ6\n C *\n S 334 UGFzc3dvcmQ6", "4.7.0",
              "SASL authentication failed; cannot authenticate to server {}: the server asks for more than name and password"},
             {"CRAM-MD5", "on AUTH*\n S 334 ???", "4.7.0",
              "SASL authentication failed; cannot authenticate to server {}: a challenge that is no base64"},
             {"PLAIN", "on AUTH*\n close", "4.4.2", "lost connection with {} while performing the EHLO handshake"},
             {"SCRAM-SHA-256", "on AUTH*\n S 235 2.7.0 welcome", "4.7.0",
              "SASL authentication failed; cannot authenticate to server {}: the server accepted without proving that it knows the password"},
         }) {
        CAPTURE(row.auth);
        CAPTURE(row.mechanisms);
        Login world(server(row.mechanisms, row.auth));
        world.table.hidden = {"GARBLED"};
        world.options.sasl.soft_bounce = row.soft;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.outcome() == row.outcome);
        CHECK(verdict.status() == row.status);
        if (!row.text.empty())
            CHECK(verdict.text() == fmt::format(fmt::runtime(row.text), at));
        CHECK(world.peer().contents().empty());
    }
}

TEST_CASE("AUTH: a server that repeats what it does not like does not get the password into verdict, log and transcript")
{
    for (const std::string_view echo : {"AHVzZXIAc2VjcmV0", "AHVzZXIAc2VjcmV", "AHVzZXIAc2VjcmV0AHVzZXIAc2VjcmV0"}) {
        CAPTURE(echo);
        Login world(server("PLAIN", fmt::format("on AUTH*\n S 500-5.5.1 Command unrecognized:\n S 500 5.5.1 AUTH PLAIN {}", echo)));
        world.options.sasl.soft_bounce = false;
        Keep keep;
        world.transcripts = &keep;
        Everybody everybody;
        world.debug = &everybody;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.outcome() == handoff::OUTCOME_BOUNCED);
        CHECK(verdict.text().find("unrecognized: 500 5.5.1 AUTH PLAIN [not recorded]") != std::string::npos);
        for (const std::string& text : {verdict.SerializeAsString(), keep.text, fmt::format("{}", fmt::join(world.log->lines, "\n"))})
            CHECK(text.find("c2Vjcm") == std::string::npos);
    }
}

TEST_CASE("AUTH: a fallback relay is not shown the credentials of the next hop that failed")
{
    Login world(server("PLAIN", takes_plain));
    world.add("192.0.2.3", server("PLAIN", takes_plain));
    world.peers.erase("192.0.2.2");
    world.options.fallback_relays = {"[192.0.2.3]:26"};
    SUBCASE("it has none")
    {
        world.table.entries = {{"[192.0.2.2]", "user:secret"}};
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.peer("192.0.2.3").sessions().at(0).said()[1].starts_with("MAIL"));
        CHECK(world.table.asked == std::vector<std::string>{"192.0.2.3", "[192.0.2.3]:26"});
    }
    SUBCASE("it has its own")
    {
        world.table.entries = {{"[192.0.2.2]", "other:password"}, {"[192.0.2.3]:26", "user:secret"}};
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.peer("192.0.2.3").sessions().at(0).said()[1] == "AUTH PLAIN AHVzZXIAc2VjcmV0");
    }
}

TEST_CASE("AUTH: a response too long for the command, as tokens are, is said when it is asked for")
{
    for (const std::size_t octets : {348, 349}) {
        CAPTURE(octets);
        const std::string token(octets, 't');
        const std::string said = base64_encode(fmt::format("user=user\x01"
                                                           "auth=Bearer {}\x01\x01",
                                                           token));
        const bool at_once = std::string_view("AUTH XOAUTH2 ").size() + said.size() + 2 <= 512;
        CHECK(at_once == (octets == 348));
        Login world(server("XOAUTH2", at_once ? fmt::format("on AUTH XOAUTH2 {}\n S 235 2.7.0 welcome", said)
                                              : fmt::format("on AUTH XOAUTH2\n S 334 \n C {}\n S 235 2.7.0 welcome", said)));
        world.table.entries["192.0.2.2"] = "user:" + token;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK_MESSAGE(verdict.outcome() == handoff::OUTCOME_DELIVERED, verdict.text());
        CHECK(world.peer().faults().empty());
    }
}

TEST_CASE("AUTH: a challenge of SCRAM is answered off the loop's thread")
{
    // The peer's part is played with a fixed nonce behind ours: what it says it proves to nobody, so the client finds it out.
    Login world(server("SCRAM-SHA-1", "on AUTH SCRAM-SHA-1 *\n S 334 cj14LHM9UVNYQ1IrUTZzZWs4YmY5MixpPTQwOTY=\n C *\n S 235 2.7.0 welcome"));
    const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.text() == "SASL authentication failed; cannot authenticate to server 192.0.2.2[192.0.2.2]: the server's first SCRAM message has a "
                            "nonce that does not go on from ours");
}

TEST_CASE("AUTH: without credentials, or where AUTH is not offered, mail goes to strangers as ever; a table that cannot be asked defers")
{
    SUBCASE("no entry")
    {
        Login world(server("PLAIN", takes_plain));
        world.table.entries.clear();
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.said()[1].starts_with("MAIL"));
        CHECK(world.table.asked == std::vector<std::string>{"192.0.2.2", "[192.0.2.2]"});
    }
    SUBCASE("by the next hop as it is written")
    {
        Login world(server("PLAIN", takes_plain));
        world.table.entries = {{"[192.0.2.2]:587", "user:secret"}};
        CHECK(world.run(request({"user@example.test"}, "x\r\n", "[192.0.2.2]:587")).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.said()[1].starts_with("AUTH PLAIN"));
    }
    SUBCASE("not enabled")
    {
        Login world(server("PLAIN", takes_plain));
        world.options.sasl.enable = false;
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.said()[1].starts_with("MAIL"));
        CHECK(world.table.asked.empty());
    }
    SUBCASE("not offered")
    {
        Login world("data-only");
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    }
    SUBCASE("not by the table")
    {
        Login world(server("PLAIN", takes_plain));
        world.table.broken = true;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(verdict.status() == "4.3.0");
        CHECK(world.said() == std::vector<std::string>{"EHLO client.test"});
    }
    SUBCASE("in the manner of old servers")
    {
        Login world("S 220 p\non EHLO *\n S 250-p\n S 250 AUTH=PLAIN LOGIN\n" + std::string(takes_plain) +
                    "\non MAIL*\n S 250 ok\non RCPT*\n S 250 ok\non DATA\n S 354 go\n content\n S 250 2.0.0 taken\non *\n S 221 bye\n close");
        CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.said()[1] == "AUTH PLAIN AHVzZXIAc2VjcmV0");
    }
}

TEST_CASE("AUTH: in clear no password is shown unless main.cf says so; under TLS other options count, and TLS that failed is not done without")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    const sasl::Properties careful{sasl::Property::no_plaintext, sasl::Property::no_anonymous};
    SUBCASE("in clear")
    {
        Login world(server("PLAIN LOGIN", takes_plain));
        world.options.sasl.clear = careful;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.status() == "4.7.0");
        CHECK(verdict.text().ends_with("no mechanism available"));
        CHECK(lines_of(world, "warning: SASL authentication failure: No worthy mechs found").size() == 1);
    }
    SUBCASE("under TLS")
    {
        Login world("S 220 p ESMTP\non EHLO * [in tls]\n S 250-p\n S 250 AUTH PLAIN\non EHLO *\n S 250-p\n S 250-AUTH PLAIN\n S 250 STARTTLS\n"
                    "on STARTTLS\n starttls 220 go\n state tls\n" +
                    std::string(takes_plain) +
                    "\non MAIL*\n S 250 ok\non RCPT*\n S 250 ok\non DATA\n S 354 go\n content\n S 250 2.0.0 taken\non *\n S 221 bye\n close");
        world.settings.tls = sim::tls_server("peer.test");
        world.peers["192.0.2.2"] = std::make_unique<sim::Peer>(sim::Script(world.peer().script()), world.settings);
        world.tls = tls->get();
        world.options.tls_level = TlsLevel::may;
        world.options.sasl.clear = careful;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK_MESSAGE(verdict.outcome() == handoff::OUTCOME_DELIVERED, verdict.text());
        CHECK(world.said()[3].starts_with("AUTH PLAIN"));
    }
    SUBCASE("TLS fails")
    {
        Login world(
            "S 220 p ESMTP\non EHLO *\n S 250-p\n S 250-AUTH PLAIN\n S 250 STARTTLS\non STARTTLS\n S 220 go\n flush\n s nonsense\\r\\n\n flush\n"
            " close\n" +
            std::string(takes_plain) + "\non *\n S 250 ok");
        world.tls = tls->get();
        world.options.tls_level = TlsLevel::may;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.text() == "Cannot start TLS: handshake failure");
        CHECK(world.peer().sessions().size() == 1);
    }
    SUBCASE("TLS fails, and whether there are credentials is not known")
    {
        Login world(
            "S 220 p ESMTP\non EHLO *\n S 250-p\n S 250-AUTH PLAIN\n S 250 STARTTLS\non STARTTLS\n S 220 go\n flush\n s nonsense\\r\\n\n flush\n"
            " close\non *\n S 250 ok");
        world.tls = tls->get();
        world.options.tls_level = TlsLevel::may;
        world.table.broken = true;
        CHECK(world.run(request({"user@example.test"})).verdicts(0).text() == "Cannot start TLS: handshake failure");
        CHECK(world.peer().sessions().size() == 1);
    }
}

TEST_CASE("AUTH: smtp_send_dummy_mail_auth says AUTH=<> in authenticated sessions alone")
{
    Login world(server("PLAIN", takes_plain));
    world.options.sasl.dummy_mail_auth = true;
    (void)world.run(request({"user@example.test"}));
    CHECK(world.said()[2] == "MAIL FROM:<sender@client.test> AUTH=<>");
    Login stranger(server("PLAIN", takes_plain));
    stranger.options.sasl.dummy_mail_auth = true;
    stranger.table.entries.clear();
    (void)stranger.run(request({"user@example.test"}));
    CHECK(stranger.said()[1] == "MAIL FROM:<sender@client.test>");
}

TEST_CASE("AUTH: by sender, a session serves one sender's credentials, and the site's sessions are shared between them")
{
    Login world(server("PLAIN", "on AUTH PLAIN *\n S 235 2.7.0 welcome"));
    world.options.sasl.by_sender = true;
    world.table.entries = {{"sender a@client.test", "a:pa"}, {"sender b@client.test", "b:pb"}, {"192.0.2.2", "user:secret"}};
    const auto from = [](std::string sender, std::string to) {
        auto made = request({std::move(to)});
        made.mutable_envelope()->set_sender(std::move(sender));
        made.set_connections(1);
        return made;
    };
    std::vector<handoff::DeliveryRequest> requests;
    for (int i = 0; i < 2; ++i)
        for (const char* sender : {"a@client.test", "b@client.test", "c@client.test", ""}) {
            requests.push_back(from(sender, fmt::format("r{}@example.test", requests.size())));
            requests.back().set_attempt(requests.size());
        }
    SUBCASE("at once, one session at a time") {}
    SUBCASE("one after the other") { world.in_turn = true; }
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK_MESSAGE(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, verdicts.verdicts(0).text());
    // Each MAIL stands behind the AUTH of its sender's credentials.
    const std::map<std::string, std::string> whose{{"a", base64_encode(std::string("\0a\0pa", 5))},
                                                   {"b", base64_encode(std::string("\0b\0pb", 5))},
                                                   {"c", "AHVzZXIAc2VjcmV0"},
                                                   {"", "AHVzZXIAc2VjcmV0"}};
    std::size_t mails = 0;
    for (std::size_t i = 0; i < world.peer().sessions().size(); ++i) {
        std::string login;
        for (const std::string& line : world.said(i)) {
            if (line.starts_with("AUTH PLAIN "))
                login = line.substr(11);
            if (line.starts_with("MAIL FROM:<")) {
                ++mails;
                CHECK(whose.at(line.substr(11, line[11] == '>' ? 0 : 1)) == login);
            }
        }
    }
    CHECK(mails == 8);
}

TEST_CASE("AUTH: smtp_sasl_auth_cache_name: a refused login is not tried again with the same password, for as long as it says")
{
    HandClock clock;
    Login world(server("PLAIN", "on AUTH*\n S 535 5.7.8 no"));
    world.turned = &clock;
    world.options.sasl.remember_failures = true;
    world.options.sasl.remember_for = seconds(3600);
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    requests.push_back(request({"a@example.test"}));
    requests.push_back(request({"b@example.test"}));
    const auto verdicts = world.run(std::move(requests));
    CHECK(verdicts[0].verdicts(0).text() == "SASL authentication failed; server 192.0.2.2[192.0.2.2] said: 535 5.7.8 no");
    CHECK(verdicts[1].verdicts(0).text() == "SASL [CACHED] authentication failed; server 192.0.2.2[192.0.2.2] said: 535 5.7.8 no");
    CHECK(world.said(1) == std::vector<std::string>{"EHLO client.test"});

    AuthFailures failures(clock);
    const sasl::Credentials mine("user", "secret");
    failures.keep("H.test", mine, {"5.7.8", "535 no"});
    CHECK(failures.find("h.test", mine, seconds(60)));
    CHECK(!failures.find("h.test", {"user", "changed"}, seconds(60)));
    CHECK(!failures.find("other.test", mine, seconds(60)));
    clock.advance(std::chrono::seconds(61));
    CHECK(!failures.find("h.test", mine, seconds(60)));
}
