// Levels of TLS on trial: what is found out beside mail that goes with less, and that nothing of its way changes.
#include "send/tls_example_test.hpp"
#include "send/tls_trial.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using handoff::TrialSeen;

namespace {

struct ToldTrials final : handoff::TrialListener {
    std::vector<TrialSeen> seen;
    void tell(TrialSeen one) override { seen.push_back(std::move(one)); }
};

std::string trial_text(const TrialSeen& one)
{
    const std::string_view outcome = one.outcome() == TrialSeen::PASSED    ? "passed"
                                     : one.outcome() == TrialSeen::UNHELD  ? "unheld"
                                     : one.outcome() == TrialSeen::REFUSED ? "refused"
                                                                           : "unknown";
    return fmt::format("{} {}{}{}", outcome, one.tried(), one.reason().empty() ? "" : ": ", one.reason());
}

/// Mail goes at level may while another is tried.
struct Tried : Example {
    explicit Tried(const tls::Pem& certificate, std::string_view peer_script = "starttls") : Example(certificate, peer_script)
    {
        options.tls_level = TlsLevel::may;
        trials = &told;
    }
    void sign(std::vector<dns::Record> records = {})
    {
        names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
        if (!records.empty())
            names.tlsa_of["_25._tcp.mx.example.test"] = std::move(records);
    }
    /// What was told of one mail, which was delivered.
    std::string come_of_it()
    {
        told.seen.clear();
        CHECK(deliver().outcome() == delivered);
        REQUIRE(told.seen.size() <= 1);
        return told.seen.empty() ? "nothing" : trial_text(told.seen[0]);
    }
    /// All that its host was told, and the log without trials.
    std::string way()
    {
        std::string all;
        for (const auto& [address, peer] : peers)
            for (const sim::Session& session : peer->sessions())
                for (const std::string& line : session.said())
                    all += line + "\n";
        for (const std::string& line : log->lines)
            if (line.find("TLS trial: ") == line.npos && line.find("status=") == line.npos)
                all += line + "\n";
        return all;
    }
    ToldTrials told;
};

std::string at_level(TlsLevel level, Tried& world)
{
    world.options.tls_trial_level = level;
    return world.come_of_it();
}

/// authority, issuer, mx.example.test: a server shows the issuer, or does not.
tls::Pem by_issuer(bool shown)
{
    tls::CertificateWish wish("Issuer");
    wish.dns_names.clear();
    wish.authority = true;
    const tls::Pem issuer = tls::make_certificate(wish, &tls::authority());
    tls::Pem made = tls::make_certificate(tls::CertificateWish("mx.example.test"), &issuer);
    if (shown)
        made.certificate += issuer.certificate;
    return made;
}

const tls::Pem& right()
{
    static const tls::Pem made = tls::leaf("mx.example.test");
    return made;
}

}  // namespace

TEST_CASE("trial: chain and names of the certificate that came are held against the level, and the mail goes")
{
    Tried good(right());
    CHECK(at_level(TlsLevel::none, good) == "nothing");
    CHECK(at_level(TlsLevel::encrypt, good) == "passed encrypt");
    CHECK(at_level(TlsLevel::verify, good) == "passed verify");
    CHECK(at_level(TlsLevel::secure, good) == "passed secure");
    const TrialSeen& seen = good.told.seen[0];
    CHECK(seen.out());
    CHECK(seen.whom() == "example.test");
    CHECK(seen.host() == "mx.example.test");
    CHECK(seen.sample().peer() == "mx.example.test[192.0.2.2]");
    CHECK(seen.sample().queue_id() == "4gDq8v1Yc0z3D");
    CHECK(seen.sample().sender() == "sender@client.test");
    CHECK(seen.sample().recipient() == "user@example.test");
    CHECK(lines_of(good, "TLS trial").empty());

    Tried unknown(self_signed("mx.example.test"));
    CHECK(at_level(TlsLevel::encrypt, unknown) == "passed encrypt");
    CHECK(at_level(TlsLevel::verify, unknown) == "refused verify: Server certificate not trusted: self-signed certificate");
    CHECK(lines_of(
              unknown,
              "postfix/smtp: TLS trial: at level verify no mail had gone to mx.example.test[192.0.2.2]:25 for example.test: Server certificate not "
              "trusted: self-signed certificate")
              .size() == 1);
    Tried other(tls::leaf("mx.elsewhere.test"));
    CHECK(at_level(TlsLevel::verify, other) ==
          "refused verify: Server certificate not verified: certificate bears none of the names expected: mx.example.test");
    other.options.tls.verify_names = {"mx.elsewhere.test"};
    CHECK(at_level(TlsLevel::verify, other) == "passed verify");
}

TEST_CASE("trial: a chain with an issuer in between is judged as a whole")
{
    Tried broken(by_issuer(false));
    CHECK(at_level(TlsLevel::verify, broken).starts_with("refused verify: Server certificate not trusted: unable to get local issuer certificate"));
    Tried whole(by_issuer(true));
    CHECK(at_level(TlsLevel::verify, whole) == "passed verify");
}

TEST_CASE("trial: a host without STARTTLS, one that refuses it, one whose handshake fails")
{
    Tried without(right(), "bdat");
    CHECK(at_level(TlsLevel::encrypt, without) == "refused encrypt: STARTTLS is not offered");
    CHECK(at_level(TlsLevel::secure, without) == "refused secure: STARTTLS is not offered");
    CHECK(at_level(TlsLevel::dane, without) == "unheld dane");
    Tried refuses(right(), "refuses-starttls");
    CHECK(at_level(TlsLevel::encrypt, refuses).starts_with("refused encrypt: STARTTLS is refused: 454 "));
    Tried fails(right(), "broken-starttls");
    CHECK(at_level(TlsLevel::encrypt, fails) == "refused encrypt: TLS handshake failed");
    Tried unused(right());
    unused.options.tls_level = TlsLevel::none;
    CHECK(at_level(TlsLevel::encrypt, unused) == "unknown encrypt: it offers STARTTLS, which is not used with it");
}

TEST_CASE("trial: TLSA records that match, that do not, that are not there, that cannot be had")
{
    const std::string name = "_25._tcp.mx.example.test";
    Tried matching(own());
    matching.sign({tlsa(3, own())});
    CHECK(at_level(TlsLevel::dane, matching) == "passed dane");
    CHECK(at_level(TlsLevel::dane_only, matching) == "passed dane-only");
    Tried other(own());
    other.sign({tlsa(3, right())});
    for (const TlsLevel level : {TlsLevel::dane, TlsLevel::dane_only})
        CHECK(at_level(level, other).starts_with(fmt::format("refused {}: Server certificate not trusted: ", level_name(level))));
    CHECK(other.told.seen[0].reason().ends_with("(and was not asked for mx.example.test)"));
    Tried none(own());
    none.sign();
    CHECK(at_level(TlsLevel::dane, none) == "unheld dane");
    CHECK(at_level(TlsLevel::dane_only, none) == "refused dane-only: no TLSA records found");
    CHECK(lines_of(none, "warning").empty());
    Tried silent(own());
    silent.sign();
    silent.names.fails[name] = dns::Status::temporary;
    for (const TlsLevel level : {TlsLevel::dane, TlsLevel::dane_only})
        CHECK(at_level(level, silent) == fmt::format("unknown {}: TLSA lookup error for mx.example.test:25", level_name(level)));
    CHECK(lines_of(silent, "TLS trial").empty());
    Tried unusable(own());
    unusable.sign({tlsa(1, own())});
    CHECK(at_level(TlsLevel::dane, unusable) == "passed dane");       // it asks for encryption alone then
    CHECK(at_level(TlsLevel::dane_only, unusable) == "refused dane-only: TLSA records unusable");
    CHECK(lines_of(unusable, "warning").empty());
    Tried unsigned_zone(own());
    CHECK(at_level(TlsLevel::dane_only, unsigned_zone).starts_with("refused dane-only: "));
    Tried impossible(own());
    impossible.options.tls.no_dane = "needs a resolver that validates";
    CHECK(at_level(TlsLevel::dane, impossible) == "unknown dane: DANE needs a resolver that validates");
    Tried clear(own(), "bdat");
    clear.sign({tlsa(3, own())});
    CHECK(at_level(TlsLevel::dane, clear) == "refused dane: STARTTLS is not offered");
}

TEST_CASE("trial: tables name levels for destinations; what they do not understand or cannot tell is not known")
{
    Tried world(self_signed("mx.example.test"));
    PolicyTable table;
    world.tls_trial = &table;
    CHECK(at_level(TlsLevel::none, world) == "nothing");
    table.values = {{"example.test", "verify match=nexthop"}};
    CHECK(world.come_of_it() == "refused verify: Server certificate not trusted: self-signed certificate");
    table.values = {{"example.test", "none"}};
    CHECK(at_level(TlsLevel::secure, world) == "nothing");
    table.values = {{".test", "encrypt"}};
    CHECK(world.come_of_it() == "passed encrypt");
    for (const char* const wrong : {"may", "fingerprint match=aa", "very", "encrypt match=x"}) {
        table.values = {{"example.test", wrong}};
        CHECK(world.come_of_it().starts_with("unknown smtp_tls_trial_maps: "));
    }
    table.broken = true;
    CHECK(world.come_of_it() == "unknown smtp_tls_trial_maps: table lookup error");
}

TEST_CASE("trial: a level that is not above what holds is not tried, nor is one with mail that no level keeps back")
{
    Tried world(right());
    for (const TlsLevel held : {TlsLevel::encrypt, TlsLevel::dane, TlsLevel::verify, TlsLevel::secure})
        for (const TlsLevel tried : {TlsLevel::encrypt, TlsLevel::dane, TlsLevel::dane_only, TlsLevel::verify, TlsLevel::secure}) {
            CAPTURE(level_name(held));
            CAPTURE(level_name(tried));
            world.sign({tlsa(3, right())});
            world.options.tls_level = held;
            CHECK((at_level(tried, world) != "nothing") == (tried > held));
        }
    world.sign();
    world.names.tlsa_of.clear();
    world.options.tls_level = TlsLevel::dane;                         // which is may with this host
    CHECK(at_level(TlsLevel::dane, world) == "nothing");
    CHECK(at_level(TlsLevel::encrypt, world) == "passed encrypt");
    CHECK(at_level(TlsLevel::dane_only, world) == "refused dane-only: no TLSA records found");
    world.options.tls_level = TlsLevel::may;
    world.told.seen.clear();
    auto optional = request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test");
    optional.mutable_envelope()->set_tls_optional(true);
    world.run(std::move(optional));
    CHECK(world.told.seen.empty());
}

TEST_CASE("trial: a session that was resumed is judged by its certificate and what was found of its chain; a record of the chain is not known then")
{
    for (const auto& [certificate, verify] :
         {std::pair<tls::Pem, std::string>{right(), "passed verify"},
          {by_issuer(true), "passed verify"},
          {self_signed("mx.example.test"), "refused verify: Server certificate not trusted: self-signed certificate"}}) {
        Tried world(certificate);
        world.options.keep_sessions = false;
        world.sign({tlsa(3, certificate)});
        CHECK(at_level(TlsLevel::verify, world) == verify);
        CHECK(at_level(TlsLevel::verify, world) == verify);
        CHECK(at_level(TlsLevel::dane, world) == "passed dane");
        world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(2, own())};
        CHECK(at_level(TlsLevel::dane, world) == "unknown dane: a resumed session has no chain");
    }
}

TEST_CASE("trial: it asks its questions when the session is open, and nothing that the host or the log says is another")
{
    for (const std::string_view script : {"starttls", "bdat", "refuses-starttls"})
        for (const TlsLevel level : {TlsLevel::encrypt, TlsLevel::dane, TlsLevel::dane_only, TlsLevel::verify, TlsLevel::secure}) {
            CAPTURE(script);
            CAPTURE(level_name(level));
            std::string ways[2];
            for (const bool tries : {false, true}) {
                Tried world(own(), script);
                world.sign({tlsa(3, right())});
                world.options.tls_trial_level = tries ? level : TlsLevel::none;
                CHECK(world.come_of_it().starts_with(tries ? script == "starttls" && level == TlsLevel::encrypt ? "passed" : "refused" : "nothing"));
                ways[tries ? 1 : 0] = world.way();
                CHECK(world.connects == 1);
            }
            CHECK(ways[0] == ways[1]);
        }
}

TEST_CASE("trial: a line for each destination, host and reason an hour, however many sessions there are")
{
    Tried world(self_signed("mx.example.test"));
    world.options.tls_trial_level = TlsLevel::verify;
    world.options.keep_sessions = false;
    world.in_turn = true;
    HandClock clock;
    world.turned = &clock;
    std::vector<handoff::DeliveryRequest> mails;
    for (int i = 0; i < 4; ++i)
        mails.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    world.run(std::move(mails));
    CHECK(world.told.seen.size() == world.connects);
    CHECK(lines_of(world, "TLS trial").size() == 1);
}
