// What becomes of mail that requires TLS, and of mail that does not insist on it: through the Agent, with real handshakes in memory.   RFC 8689
#include "send/requiretls.hpp"
#include "send/tls_example_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

constexpr auto bounced = handoff::OUTCOME_BOUNCED;

/// Inside TLS it offers REQUIRETLS.
const std::string with_requiretls =
    "product a server with REQUIRETLS\nexpect mail\nlike starttls\non EHLO * [from 2]\n  S 250-$host\n  S 250-PIPELINING\n"
    "  S 250-REQUIRETLS\n  S 250 8BITMIME\n  state ready\n";

handoff::DeliveryRequest requiring(const std::string& next_hop = "example.test")
{
    auto made = request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", next_hop);
    made.mutable_envelope()->set_requiretls(true);
    return made;
}

class OnePolicy final : public sts::Policies {
public:
    std::optional<sts::Known> known;
    awaitable<Result<sts::Finding>> find(std::string domain) override { co_return sts::Finding{domain == "example.test" ? known : std::nullopt, {}}; }
    void set(sts::Mode mode, std::string host) { known = {"1", WallTime{}, {mode, {std::move(host)}, std::chrono::hours(24)}}; }
};

/// Its MX record is signed, and its host has REQUIRETLS.
struct Required : Example {
    explicit Required(const tls::Pem& certificate = tls::leaf("mx.example.test"), std::string_view peer_script = with_requiretls)
        : Example(certificate, peer_script)
    {
        options.tls_level = TlsLevel::may;
        names.is_signed = {"MX example.test"};
        requiretls_policy = &policy;
        policy.values["example.test"] = "enforce";
        sts = &domains;
    }
    void add_host(const std::string& address, std::string_view script, int preference = 5)
    {
        const std::string name = fmt::format("mx{}.example.test", address.substr(address.rfind('.') + 1));
        add(address, script);
        names.mx_of["example.test"].emplace_back(preference, name);
        names.addresses_of[name] = {address};
    }
    /// "MAIL FROM:<sender@client.test> ..." that were said.
    std::vector<std::string> mails() const
    {
        std::vector<std::string> all;
        for (const auto& [address, peer] : peers)
            for (const sim::Session& session : peer->sessions())
                for (const std::string& line : session.said())
                    if (line.starts_with("MAIL"))
                        all.push_back(line);
        return all;
    }
    PolicyTable policy;
    OnePolicy domains;
};

bool says_requiretls(const Required& world) { return world.mails().size() == 1 && world.mails().front().ends_with(" REQUIRETLS"); }

struct Situation {
    std::string_view what;
    std::string_view returned;  // the status that it is returned with; empty: it arrives
    std::string_view why;  // the end of the text
    tls::Pem certificate = tls::leaf("mx.example.test");
    std::string script = with_requiretls;
    std::function<void(Required&)> change = [](Required&) {};
    std::string next_hop = "example.test";
};

void all_unsigned(Required& world) { world.names.is_signed.clear(); }

void with_tlsa(Required& world, const tls::Pem& of)
{
    world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
    world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(3, of)};
}

}  // namespace

TEST_CASE(
    "requiretls: enforced, mail goes to who is vouched for, shows a certificate and offers REQUIRETLS; else it is returned, and MAIL is not said")
{
    const std::string_view nobody = "neither DNSSEC nor MTA-STS vouches for mx.example.test as a host of example.test",
                           unverified = "host mx.example.test[192.0.2.2] has not shown who it is: Server certificate not verified",
                           in_clear = "host mx.example.test[192.0.2.2] does not offer STARTTLS", unused = "TLS is not used with example.test";
    for (const Situation& row : std::initializer_list<Situation>{
             {.what = "signed MX, an authority vouches for the host"},
             {.what = "signed MX, another's certificate", .returned = "5.7.10", .why = unverified, .certificate = tls::leaf("example.test")},
             {.what = "signed MX, nobody vouches", .returned = "5.7.10", .why = unverified, .certificate = self_signed("mx.example.test")},
             {.what = "DANE", .certificate = own(), .change = [](Required& world) { with_tlsa(world, own()); }},
             {.what = "DANE, another's key", .returned = "5.7.10", .why = unverified, .change = [](Required& world) { with_tlsa(world, own()); }},
             {.what = "DANE cannot be done, an authority vouches",
              .change =
                  [](Required& world) {
                      with_tlsa(world, own());
                      world.options.tls.no_dane = "configured with dnssec lookups disabled";
                  }},
             {.what = "MX not signed", .returned = "5.7.10", .why = nobody, .change = all_unsigned},
             {.what = "MX not signed, and the level verify has its name",
              .returned = "5.7.10",
              .why = nobody,
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.options.tls_level = TlsLevel::verify;
                  }},
             {.what = "MX not signed, and the level dane has its key",
              .returned = "5.7.10",
              .why = nobody,
              .certificate = own(),
              .change =
                  [](Required& world) {
                      with_tlsa(world, own());
                      world.names.is_signed.erase("MX example.test");
                      world.options.tls_level = TlsLevel::dane;
                  }},
             {.what = "MX not signed, and the level secure has the domain's name",
              .certificate = tls::leaf("example.test"),
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.options.tls_level = TlsLevel::secure;
                  }},
             {.what = "MX not signed, MTA-STS names the host",
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.options.sts = sts::Use::enforce;
                      world.domains.set(sts::Mode::enforce, "*.example.test");
                  }},
             {.what = "MX not signed, MTA-STS in testing names the host",
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.options.sts = sts::Use::enforce;
                      world.domains.set(sts::Mode::testing, "mx.example.test");
                  }},
             {.what = "MX not signed, MTA-STS in testing names another",
              .returned = "5.7.10",
              .why = nobody,
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.options.sts = sts::Use::enforce;
                      world.domains.set(sts::Mode::testing, "mx2.example.test");
                  }},
             {.what = "a host that the configuration names", .change = all_unsigned, .next_hop = "[mx.example.test]"},
             {.what = "no MX record: the domain is the host",
              .certificate = tls::leaf("example.test"),
              .change =
                  [](Required& world) {
                      all_unsigned(world);
                      world.names.mx_of.clear();
                      world.names.addresses_of["example.test"] = {"192.0.2.2"};
                  }},
             {.what = "no STARTTLS", .returned = "5.7.10", .why = in_clear, .script = "data-only"},
             {.what = "no REQUIRETLS",
              .returned = "5.7.30",
              .why = "host mx.example.test[192.0.2.2] does not offer REQUIRETLS",
              .script = "starttls"},
             {.what = "REQUIRETLS is hidden by the administrator",
              .returned = "5.7.30",
              .why = "does not offer REQUIRETLS",
              .change = [](Required& world) { world.options.discard = smtp::parse_discard_list("requiretls"); }},
             {.what = "no TLS by the configuration",
              .returned = "5.7.10",
              .why = unused,
              .change = [](Required& world) { world.options.tls_level = TlsLevel::none; }},
             {.what = "no policy says anything of it",
              .returned = "5.7.30",
              .why = "does not offer REQUIRETLS",
              .script = "starttls",
              .change = [](Required& world) { world.policy.values.clear(); }},
             {.what = "there is no policy",
              .returned = "5.7.30",
              .why = "does not offer REQUIRETLS",
              .script = "starttls",
              .change = [](Required& world) { world.requiretls_policy = nullptr; }}}) {
        CAPTURE(row.what);
        Required world(row.certificate, row.script);
        row.change(world);
        if (row.next_hop != "example.test")
            world.policy.values["mx.example.test"] = "enforce";
        const auto verdicts = world.run(requiring(row.next_hop));
        const auto& verdict = verdicts.verdicts(0);
        CAPTURE(verdict.text());
        CHECK(!verdicts.site_failed());
        if (row.returned.empty()) {
            CHECK(verdict.outcome() == delivered);
            CHECK(says_requiretls(world));
            CHECK(lines_of(world, ": Verified TLS connection established").size() == 1);
            continue;
        }
        CHECK(verdict.outcome() == bounced);
        CHECK(verdict.status() == row.returned);
        CHECK(verdict.text().starts_with("the message requires TLS (REQUIRETLS), and "));
        CHECK(verdict.text().ends_with(row.why));
        CHECK(world.mails().empty());
        if (row.why.ends_with("STARTTLS") || row.why.ends_with("REQUIRETLS"))
            CHECK(world.said("QUIT") == 1);                       // RFC 8689 4.2.1
    }
}

TEST_CASE("requiretls: what may be otherwise the next time returns no mail")
{
    struct Passing {
        std::string_view what, text;
        std::string script = with_requiretls;
        std::function<void(Required&)> change = [](Required&) {};
    };
    for (const Passing& row : std::initializer_list<Passing>{
             {"STARTTLS is refused for now", "TLS is required, but host mx.example.test[192.0.2.2] refused to start TLS", "refuses-starttls"},
             {"the handshake fails", "Cannot start TLS: handshake failure", with_requiretls,
              [](Required& world) {
                  world.settings.tls = [](std::unique_ptr<net::Stream> stream, std::string) -> awaitable<Result<std::unique_ptr<net::Stream>>> {
                      stream->close();
                      co_return Error("no handshake");
                  };
                  world.add("192.0.2.2", with_requiretls);
              }},
             {"no second EHLO", "the message requires TLS (REQUIRETLS), and host mx.example.test[192.0.2.2] does not offer REQUIRETLS",
              "one-ehlo-only"},
             {"TLSA records cannot be asked for", "TLSA lookup error for mx.example.test:25", with_requiretls,
              [](Required& world) {
                  world.names.is_signed.insert("mx.example.test");
                  world.names.fails["_25._tcp.mx.example.test"] = dns::Status::temporary;
              }},
             {"the policy cannot be asked", "what mail that requires TLS asks of it cannot be told now", with_requiretls,
              [](Required& world) { world.policy.broken = true; }},
             {"the policy says nonsense", "what mail that requires TLS asks of it cannot be told now", with_requiretls,
              [](Required& world) { world.policy.values["example.test"] = "enforced"; }}}) {
        CAPTURE(row.what);
        Required world(tls::leaf("mx.example.test"), row.script);
        row.change(world);
        const auto verdict = world.run(requiring()).verdicts(0);
        CHECK(verdict.outcome() == deferred);
        CHECK(verdict.status().starts_with("4."));
        CHECK(verdict.text().starts_with(row.text));
        CHECK(world.mails().empty());
        if (row.what.ends_with("nonsense"))
            CHECK(lines_of(world, "smtp_requiretls_policy, next-hop destination \"example.test\": unknown action \"enforced\"").size() == 1);
    }
}

TEST_CASE("requiretls: a server that refuses STARTTLS for good is one without it")
{
    Required world(tls::leaf("mx.example.test"), "product x\nexpect x\nlike starttls\non STARTTLS\n  S 502 5.5.1 not here\n");
    const auto verdict = world.run(requiring()).verdicts(0);
    CHECK(verdict.outcome() == bounced);
    CHECK(verdict.status() == "5.7.10");
    CHECK(verdict.text().ends_with("host mx.example.test[192.0.2.2] refused to start TLS: 502 5.5.1 not here"));
}

TEST_CASE(
    "requiretls: every host is tried, beyond smtp_mx_session_limit too; mail is returned where none has it, and waits where one could not be asked")
{
    Required world;
    world.add_host("192.0.2.3", "starttls", 1);
    world.add_host("192.0.2.4", "data-only", 2);
    world.add_host("192.0.2.5", "starttls", 3);
    world.options.session_limit = 1;
    CHECK(world.run(requiring()).verdicts(0).outcome() == delivered);
    for (const char* address : {"192.0.2.3", "192.0.2.4", "192.0.2.5"})
        CHECK(world.peer(address).sessions().size() == 1);
    CHECK(world.peer("192.0.2.2").contents().size() == 1);
}

TEST_CASE("requiretls: a host that could not be asked may have it: the mail waits")
{
    for (const auto& [away, first] : {std::pair{"192.0.2.3", true}, {"192.0.2.3", false}}) {
        CAPTURE(first);
        Required world(tls::leaf("mx.example.test"), "starttls");
        world.add_host(away, "starttls", first ? 1 : 20);
        world.peers.erase(away);
        const auto verdicts = world.run(requiring());
        CHECK(verdicts.verdicts(0).outcome() == deferred);
        CHECK(verdicts.verdicts(0).status().starts_with("4."));
        CHECK(!verdicts.site_failed());
        CHECK(world.mails().empty());
    }
}

TEST_CASE("requiretls: a refusal for now by a host that has it is not made a return by the next one that has not")
{
    Required world(tls::leaf("mx.example.test"),
                   "product x\nexpect x\nlike starttls\non EHLO * [from 2]\n  S 250-$host\n  S 250 REQUIRETLS\n  state ready\n"
                   "on RCPT TO:* [in mail]\n  S 451 4.7.1 later\n");
    world.add_host("192.0.2.3", "starttls", 20);
    const auto verdict = world.run(requiring()).verdicts(0);
    CHECK(verdict.outcome() == deferred);
    CHECK(world.mails().size() == 1);
}

TEST_CASE("requiretls: by smtp_requiretls_policy a next hop is asked for less")
{
    struct Less {
        std::string_view word, script;
        bool arrives, says;
        TlsLevel level = TlsLevel::may;
    };
    for (const Less& row : std::initializer_list<Less>{{"opportunistic", with_requiretls, true, true},
                                                       {"opportunistic", "starttls", true, false},
                                                       {"opportunistic", "data-only", true, false},
                                                       {"opportunistic", with_requiretls, true, false, TlsLevel::none},
                                                       {"Opportunistic+StartTLS", with_requiretls, true, true},
                                                       {"opportunistic+starttls", "starttls", true, false},
                                                       {"opportunistic+starttls", "data-only", false, false},
                                                       {"opportunistic+starttls", "data-only", false, false, TlsLevel::dane},
                                                       {"opportunistic+starttls", with_requiretls, false, false, TlsLevel::none},
                                                       {"disable", with_requiretls, true, false},
                                                       {"disable", "data-only", true, false}}) {
        CAPTURE(row.word);
        CAPTURE(row.script.substr(0, 20));
        Required world(self_signed("mx.example.test"), row.script);
        world.names.is_signed.clear();
        world.options.tls_level = row.level;
        world.policy.values["example.test"] = row.word;
        const auto verdict = world.run(requiring()).verdicts(0);
        CHECK(verdict.outcome() == (row.arrives ? delivered : bounced));
        CHECK(says_requiretls(world) == row.says);
        if (!row.arrives)
            CHECK(verdict.status() == "5.7.10");
    }
    Required off(self_signed("mx.example.test"), "data-only");
    off.options.requiretls = false;
    CHECK(off.run(requiring()).verdicts(0).outcome() == delivered);
}

TEST_CASE("requiretls: the policy is asked by the next hop without brackets and port, in A-labels; by our own name where that is a socket")
{
    const std::vector<std::pair<std::string, std::string>> hops{{"Example.TEST:25", "example.test"},
                                                                {"[mx.example.test]:587", "mx.example.test"},
                                                                {"[192.0.2.2]:25", "192.0.2.2"},
                                                                {"[IPv6:2001:db8::1]", "2001:db8::1"},
                                                                {"b\xc3\xbc"
                                                                 "cher.test",
                                                                 "xn--bcher-kva.test"},
                                                                {"unix:private/lmtp", "client.test"}};
    for (const auto& [next_hop, key] : hops) {
        CAPTURE(next_hop);
        Required world;
        world.options.lmtp = next_hop.starts_with("unix:");
        (void)world.run(requiring(next_hop));
        CHECK(world.policy.asked == std::vector<std::string>{key});
    }
    Required plain;
    (void)plain.deliver();
    CHECK(plain.policy.asked.empty());
}

TEST_CASE("requiretls: a report goes all the same, and says REQUIRETLS where it can; where reports have the content with them, it is as other mail")
{
    for (const std::string_view script : {std::string_view(with_requiretls), std::string_view("data-only")})
        for (const bool with_content : {false, true}) {
            CAPTURE(with_content);
            Required world(tls::leaf("mx.example.test"), script);
            world.options.requiretls_in_reports = with_content;
            auto report = requiring();
            report.mutable_envelope()->set_sender("");
            const bool offers = script != "data-only";
            CHECK(world.run(std::move(report)).verdicts(0).outcome() == (offers || !with_content ? delivered : bounced));
            CHECK(says_requiretls(world) == offers);
        }
}

TEST_CASE("requiretls: a session of other mail is no way around, and other mail does not wait for what this one asks")
{
    Required world(self_signed("mx.example.test"));                // good enough for may
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    requests.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    requests.push_back(requiring());
    requests.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    const auto verdicts = world.run(std::move(requests));
    CHECK(verdicts[0].verdicts(0).outcome() == delivered);
    CHECK(verdicts[1].verdicts(0).outcome() == bounced);
    CHECK(verdicts[2].verdicts(0).outcome() == delivered);
    CHECK(world.mails().size() == 2);
    CHECK(!world.mails().front().ends_with(" REQUIRETLS"));
    CHECK(world.peer().sessions().size() == 2);                    // the third rode with the first
}

TEST_CASE("requiretls: mail that requires it rides with its like, and all of a site together have no more sessions than it may have")
{
    Required world;
    std::vector<handoff::DeliveryRequest> requests;
    for (int at = 0; at < 6; ++at) {
        auto one = at % 2 == 0 ? requiring() : request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test");
        one.set_connections(1);
        requests.push_back(std::move(one));
    }
    std::vector<std::size_t> arrived;                              // contents, when a session was begun
    world.wrap = [&](std::unique_ptr<net::Stream> stream) {
        arrived.push_back(world.peer().contents().size());
        return stream;
    };
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK(verdicts.verdicts(0).outcome() == delivered);
    std::size_t required = 0;
    for (const std::string& line : world.mails())
        required += line.ends_with(" REQUIRETLS") ? 1 : 0;
    CHECK(required == 3);
    CHECK(world.mails().size() == 6);
    REQUIRE(arrived.size() >= 2);
    CHECK(arrived.size() < 6);
    CHECK(arrived[1] != 0);
}

TEST_CASE("TLS-Required: no: mail goes whatever TLS its level, DANE or MTA-STS ask for, and the log says so; where it can be had it is used")
{
    struct Optional {
        std::string_view what, script;
        TlsLevel level;
        std::string told;
        bool sts = false;
    };
    for (const Optional& row : std::initializer_list<Optional>{
             {"encrypt, no TLS", "data-only", TlsLevel::encrypt, "TLS with mx.example.test is may, not encrypt"},
             {"verify, another's certificate", "starttls", TlsLevel::verify, "TLS with mx.example.test is may, not verify"},
             {"DANE, another's key", "starttls", TlsLevel::dane, "TLS with mx.example.test is may, not dane"},
             {"MTA-STS names another", "starttls", TlsLevel::may, "TLS with mx.example.test is may, not as MTA-STS asks", true},
             {"may", "starttls", TlsLevel::may, ""},
             {"none", "starttls", TlsLevel::none, ""}}) {
        CAPTURE(row.what);
        Required world(self_signed("mx.example.test"), row.script);
        world.options.tls_level = row.level;
        with_tlsa(world, own());
        if (row.sts) {
            world.options.sts = sts::Use::enforce;
            world.domains.set(sts::Mode::enforce, "mx2.example.test");
        }
        auto made = request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test");
        made.mutable_envelope()->set_tls_optional(true);
        const bool encrypts = row.script == "starttls" && row.level != TlsLevel::none;
        CHECK(world.run(made).verdicts(0).outcome() == delivered);
        CHECK(lines_of(world, "TLS connection established").size() == (encrypts ? 1 : 0));
        CHECK(lines_of(world, "4gDq8v1Yc0z3D: TLS-Required: no: " + row.told).size() == (row.told.empty() ? 0 : 1));
        if (row.told.empty())
            continue;
        // Without the word it waits; who requires TLS is not asked.
        made.mutable_envelope()->set_tls_optional(false);
        CHECK(world.run(made).verdicts(0).outcome() == deferred);
        made.mutable_envelope()->set_tls_optional(true);
        made.mutable_envelope()->set_requiretls(true);
        world.policy.values["example.test"] = "opportunistic";     // how far it is kept is another matter
        CHECK(world.run(made).verdicts(0).outcome() == deferred);
    }
}

TEST_CASE("TLS-Required: no: other mail does not ride on its session")
{
    Required world(self_signed("mx.example.test"), "starttls");
    world.options.tls_level = TlsLevel::verify;
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests(2, request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    requests.front().mutable_envelope()->set_tls_optional(true);
    const auto verdicts = world.run(std::move(requests));
    CHECK(verdicts[0].verdicts(0).outcome() == delivered);
    CHECK(verdicts[1].verdicts(0).outcome() == deferred);
}
