// What becomes of mail by levels, policy tables and TLSA records: through the Agent, with real handshakes in memory.
#include "base/strings.hpp"
#include "send/wire_tls.hpp"
#include "send/world_test.hpp"
#include "tls/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

const auto deferred = handoff::OUTCOME_DEFERRED;

class PolicyTable final : public Lookup {
public:
    std::map<std::string, std::string> values;
    bool broken = false;
    std::vector<std::string> asked;
    awaitable<Result<std::optional<std::string>>> find(std::string key) override
    {
        asked.push_back(key);
        if (broken)
            co_return Error("table unavailable", "4.3.0");
        const auto at = values.find(key);
        co_return at != values.end() ? std::optional(at->second) : std::nullopt;
    }
};

awaitable<Result<std::unique_ptr<net::Stream>>> shake_hands(std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> stream)
{
    CO_TRY(auto secured, co_await tls::accept(std::move(context), std::move(stream)));
    co_return std::move(secured.stream);
}

sim::TlsAccept server_with(const tls::Pem& certificate)
{
    return [context = tls::server_context(certificate)](std::unique_ptr<net::Stream> stream, std::string) {
        return shake_hands(context, std::move(stream));
    };
}

tls::Pem self_signed(const std::string& name) { return tls::make_certificate(tls::CertificateWish(name)); }

tls::Pem with_issuer(tls::Pem pem)
{
    pem.certificate += tls::authority().certificate;
    return pem;
}

/// example.test is mx.example.test, a server with this certificate.
struct Example : World {
    explicit Example(const tls::Pem& certificate, std::string_view peer_script = "starttls", std::vector<std::string> anchor_files = {})
    {
        WireTls::Settings how;
        how.log_level = 1;
        how.opportunistic.ca_file = how.mandatory.ca_file = "ca";
        how.resume = true;
        how.anchor_files = std::move(anchor_files);
        client =
            WireTls::make(how, clock, tls::files({{"ca", tls::authority().certificate}, {"other", self_signed("other.test").certificate}})).value();
        tls = client.get();
        settings.tls = server_with(certificate);
        add("192.0.2.2", peer_script);
        names.mx_of["example.test"] = {{10, "mx.example.test"}};
        names.addresses_of["mx.example.test"] = {"192.0.2.2"};
    }
    handoff::Verdict deliver(const std::string& next_hop = "example.test")
    {
        return run(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", next_hop)).verdicts(0);
    }
    std::size_t said(std::string_view verb) const
    {
        std::size_t times = 0;
        for (const auto& [address, peer] : peers)
            for (const sim::Session& session : peer->sessions())
                for (const std::string& line : session.said())
                    times += line.starts_with(verb) ? 1 : 0;
        return times;
    }
    std::unique_ptr<WireTls> client;
};

struct Row {
    TlsLevel level;
    tls::Pem certificate;
    std::string_view word, refused;         // of the log; of the verdict, where it is deferred
    std::vector<std::string> names{};
};

}  // namespace

TEST_CASE("levels: what the server shows is held against what the level asks, and nothing is said to who is not the one")
{
    const tls::Pem host = tls::leaf("mx.example.test"), domain = tls::leaf("example.test"), other = tls::leaf("mx.elsewhere.test"),
                   unknown = self_signed("mx.example.test"), wild = tls::leaf("*.example.test");
    const std::string_view unverified = "Server certificate not verified";
    for (const Row& row : std::initializer_list<Row>{{TlsLevel::may, unknown, "Untrusted", ""},
                                                     {TlsLevel::encrypt, unknown, "Untrusted", ""},
                                                     {TlsLevel::encrypt, other, "Trusted", ""},
                                                     {TlsLevel::verify, host, "Verified", ""},
                                                     {TlsLevel::verify, wild, "Verified", ""},
                                                     {TlsLevel::verify, domain, "Untrusted", unverified},
                                                     {TlsLevel::verify, domain, "Verified", "", {"nexthop"}},
                                                     {TlsLevel::verify, other, "Untrusted", unverified},
                                                     {TlsLevel::verify, other, "Verified", "", {"hostname", "mx.Elsewhere.test"}},
                                                     {TlsLevel::verify, other, "Verified", "", {".elsewhere.test"}},
                                                     {TlsLevel::verify, unknown, "Untrusted", unverified},
                                                     {TlsLevel::secure, domain, "Verified", ""},
                                                     {TlsLevel::secure, host, "Verified", ""},                // dot-nexthop
                                                     {TlsLevel::secure, host, "Untrusted", unverified, {"nexthop"}},
                                                     {TlsLevel::secure, other, "Untrusted", unverified},
                                                     {TlsLevel::secure, unknown, "Untrusted", unverified}}) {
        CAPTURE(level_name(row.level));
        CAPTURE(row.word);
        CAPTURE(row.refused);
        Example world(row.certificate);
        world.options.tls_level = row.level;
        if (!row.names.empty())
            (row.level == TlsLevel::verify ? world.options.tls.verify_names : world.options.tls.secure_names) = row.names;
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (row.refused.empty() ? delivered : deferred));
        if (!row.refused.empty()) {
            CHECK(verdict.text() == row.refused);
            CHECK(verdict.status() == "4.7.5");
            CHECK(lines_of(world, "certificate verification failed for mx.example.test[192.0.2.2]:25: ").size() == 1);
        }
        CHECK(world.said("MAIL") == (row.refused.empty() ? 1 : 0));
        CHECK(world.said("EHLO") == (row.refused.empty() ? 2 : 1));
        CHECK(lines_of(world, fmt::format("{} TLS connection established to mx.example.test[192.0.2.2]:25: TLSv1.3", row.word)).size() == 1);
    }
}

TEST_CASE("levels: fingerprints of the certificate or its key, without any nothing is sent")
{
    const tls::Pem certificate = self_signed("any.test");
    const std::string key = tls::public_key_digest(certificate.key).value();
    for (const auto& [wanted, arrives] : {std::pair{key, true}, {to_upper(key), true}, {"AA:BB:" + key, false}, {std::string(), false}}) {
        CAPTURE(wanted);
        Example world(certificate);
        world.options.tls_level = TlsLevel::fingerprint;
        if (!wanted.empty())
            world.options.tls.fingerprints = {"00:11", wanted};
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (arrives ? delivered : deferred));
        if (!arrives)
            CHECK(verdict.text() == (wanted.empty() ? "client TLS configuration problem" : "Server certificate not verified"));
        if (wanted.empty()) {
            CHECK(world.connects == 0);
            CHECK(
                lines_of(world, "nexthop domain example.test: configured at fingerprint security level, but with no fingerprints to match.").size() ==
                1);
            CHECK(lines_of(world, "TLS policy lookup for example.test/mx.example.test: client TLS configuration problem").size() == 1);
        }
    }
}

TEST_CASE("levels: without a name to ask for nothing is sent, though an authority vouches for the server")
{
    for (const TlsLevel level : {TlsLevel::verify, TlsLevel::secure}) {
        Example world(tls::leaf("mx.example.test"));
        world.options.tls_level = level;
        world.options.tls.verify_names.clear();
        world.options.tls.secure_names.clear();
        CHECK(world.deliver().text() == "client TLS configuration problem");
        CHECK(world.connects == 0);
        CHECK(lines_of(world,
                       fmt::format("nexthop domain example.test: configured at {} security level, but with no names to match.", level_name(level)))
                  .size() == 1);
    }
}

TEST_CASE("levels: trust anchors of a file stand for the authorities; a file that is not there holds up the mail that needs it, and no other")
{
    const tls::Pem host = with_issuer(tls::leaf("mx.example.test"));
    for (const auto& [file, text] :
         {std::pair{"ca", ""}, {"other", "Server certificate not verified"}, {"missing", "client TLS configuration problem"}}) {
        CAPTURE(file);
        Example world(host, "starttls", {file});
        world.options.tls.anchor_files = {file};
        world.options.tls_level = TlsLevel::verify;
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (*text == 0 ? delivered : deferred));
        if (*text != 0)
            CHECK(verdict.text() == text);
        world.options.tls_level = TlsLevel::encrypt;
        CHECK(world.deliver().outcome() == delivered);
    }
}

TEST_CASE("levels: without TLS where it is asked for the next host is tried, and no host in clear")
{
    for (const TlsLevel level : {TlsLevel::encrypt, TlsLevel::verify, TlsLevel::secure}) {
        Example world(tls::leaf("mx.example.test"));
        world.options.tls_level = level;
        world.add("192.0.2.3", "data-only");
        world.names.mx_of["example.test"].emplace_back(5, "first.example.test");
        world.names.addresses_of["first.example.test"] = {"192.0.2.3"};
        CHECK(world.deliver().outcome() == delivered);
        CHECK(world.peer("192.0.2.3").contents().empty());
        CHECK(lines_of(world, "TLS is required, but was not offered by host first.example.test[192.0.2.3]").size() == 1);
    }
}

TEST_CASE("policy table: it outvotes main.cf up and down, for the next hop as written, for parents, for every host of a list")
{
    const tls::Pem unknown = self_signed("mx.example.test");
    struct Case {
        std::string next_hop, key, value;
        bool arrives;
        std::string_view word;
    };
    for (const Case& one : std::initializer_list<Case>{
             {"example.test", "example.test", "verify", false, "Untrusted TLS"},
             {"example.test", "example.test", "none", true, ""},
             {"example.test", "example.test", "encrypt servername=nexthop", true, "Untrusted TLS"},
             {"sub.example.test", ".example.test", "secure", false, "Untrusted TLS"},
             {"sub.example.test", ".test", "secure", false, "Untrusted TLS"},
             {"sub.example.test", "example.test", "secure", true, "Untrusted TLS"},         // not its parent's: "may" of main.cf
             {"[mx.example.test]", "[mx.example.test]", "verify", false, "Untrusted TLS"},
             {"[mx.example.test]", "mx.example.test", "verify", true, "Untrusted TLS"},
             {"[mx.example.test]:25", "[mx.example.test]:25", "verify", false, "Untrusted TLS"},
             {"[nowhere.test], [mx.example.test]", "[mx.example.test]", "verify", false, "Untrusted TLS"},
             {"example.test", "example.test", "fingerprint match=" + tls::public_key_digest(unknown.key).value(), true, "Verified TLS"},
             {"example.test", "example.test", "secure match=mx.example.test tafile=ca", false, "Untrusted TLS"}}) {
        CAPTURE(one.next_hop);
        CAPTURE(one.value);
        Example world(unknown);
        world.names.mx_of["sub.example.test"] = world.names.mx_of["example.test"];
        PolicyTable table;
        table.values[one.key] = one.value;
        world.tls_policy = &table;
        world.options.tls_level = TlsLevel::may;
        CHECK(world.deliver(one.next_hop).outcome() == (one.arrives ? delivered : deferred));
        CHECK(world.said("MAIL") == (one.arrives ? 1 : 0));
        CHECK(lines_of(world, " TLS connection established").size() == (one.word.empty() ? 0 : 1));
        if (!one.word.empty())
            CHECK(lines_of(world, one.word).size() == 1);
    }
}

TEST_CASE("policy table: a policy of MTA-STS leaves hosts out that it does not name, and asks each other for a certificate of its own name")
{
    const std::string_view unnamed = "the MTA-STS policy of example.test names no host mx.example.test",
                           unverified = "Server certificate not verified";
    const std::string sts = " policy_type=sts policy_domain=example.test ";
    struct Case {
        std::string value;
        std::string_view refused;
        bool patterns = true;
        std::string certificate = "mx.example.test";
    };
    for (const Case& one : std::initializer_list<Case>{
             {"secure match=mx.example.test" + sts + "mx_host_pattern=other.test mx_host_pattern=MX.example.test", ""},
             {"secure match=other.test servername=other.test" + sts + "mx_host_pattern=mx.example.test", ""},  // the host's own name counts
             {"secure match=other.test" + sts + "mx_host_pattern=mx.example.test", unverified, false},
             {"secure match=mx.example.test" + sts + "mx_host_pattern=mx.example.test", unverified, true, "other.example.test"},
             {"secure match=.example.test" + sts + "mx_host_pattern=mx.example.test", unverified, true, "other.example.test"},
             {"secure match=.example.test" + sts + "mx_host_pattern=mx.example.test", "", false, "other.example.test"},
             {"secure match=mx.example.test" + sts + "mx_host_pattern=*.example.test", ""},
             {"verify match=mx.example.test" + sts + "mx_host_pattern=*.test", unnamed},  // one label, and no more
             {"secure match=mx.example.test" + sts + "mx_host_pattern=mx2.example.test", unnamed},
             {"secure match=mx.example.test" + sts + "mx_host_pattern=example.test", unnamed},
             {"secure match=mx.example.test" + sts + "mx_host_pattern=.example.test", unnamed},
             {"secure match=mx.example.test" + sts + "mx_host_pattern=mx2.example.test", "", false},
             {"secure match=mx.example.test" + sts, ""},
             {"secure match=mx.example.test" + sts + "policy_failure=sts-webpki-invalid",
              "the MTA-STS policy of example.test cannot be met: sts-webpki-invalid"},
             {"may" + sts + "mx_host_pattern=mx2.example.test policy_failure=sts-policy-invalid", ""}}) {  // in testing: the mail goes
        CAPTURE(one.value);
        CAPTURE(one.patterns);
        Example world(tls::leaf(one.certificate));
        PolicyTable table;
        table.values["example.test"] = one.value;
        world.tls_policy = &table;
        world.options.tls.sts_patterns = one.patterns;
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (one.refused.empty() ? delivered : deferred));
        if (!one.refused.empty()) {
            CHECK(verdict.text() == one.refused);
            CHECK(verdict.status() == "4.7.5");
        }
        CHECK(world.connects == (one.refused.empty() || one.refused == unverified ? 1 : 0));
        CHECK(world.said("MAIL") == (one.refused.empty() ? 1 : 0));
    }
}

TEST_CASE("policy table: the next host is tried behind one that a policy of MTA-STS leaves out")
{
    Example world(tls::leaf("mx.example.test"));
    PolicyTable table;
    table.values["example.test"] = "secure match=mx.example.test policy_type=sts mx_host_pattern=mx.example.test";
    world.tls_policy = &table;
    world.add("192.0.2.3", "starttls");
    world.names.mx_of["example.test"].emplace_back(5, "first.elsewhere.test");
    world.names.addresses_of["first.elsewhere.test"] = {"192.0.2.3"};
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.peer("192.0.2.3").sessions().empty());
    CHECK(lines_of(world,
                   "TLS policy lookup for example.test/first.elsewhere.test: the MTA-STS policy of example.test names no host first.elsewhere.test")
              .size() == 1);
}

TEST_CASE("policy table: one that cannot be asked, or says what cannot be understood, holds up the mail: nothing is sent, and the log says where")
{
    for (const auto& [value, warning] :
         {std::pair{"", "smtp_tls_policy_maps, next-hop destination \"example.test\": policy table lookup error"},
          {"secur", "smtp_tls_policy_maps, next-hop destination \"example.test\": invalid security level \"secur\""},
          {"may match=x", "smtp_tls_policy_maps, next-hop destination \"example.test\": attribute \"match\" invalid at security level \"may\""}}) {
        CAPTURE(warning);
        Example world(tls::leaf("mx.example.test"));
        PolicyTable table;
        table.broken = *value == 0;
        table.values["example.test"] = value;
        world.tls_policy = &table;
        world.options.tls_level = TlsLevel::may;
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == deferred);
        CHECK(verdict.status() == "4.7.5");
        CHECK(verdict.text() == "client TLS configuration problem");
        CHECK(world.connects == 0);
        CHECK(lines_of(world, warning).size() == 1);
        CHECK(lines_of(world, "TLS policy lookup for example.test/mx.example.test: client TLS configuration problem").size() == 1);
        table.broken = false;
        table.values.clear();
        CHECK(world.deliver().outcome() == delivered);
    }
}

TEST_CASE("policy table: the policy of the next hop is not that of the relay that mail falls back to")
{
    Example world(self_signed("mx.example.test"));
    PolicyTable table;
    table.values["[relay.test]"] = "verify";
    world.tls_policy = &table;
    world.options.tls_level = TlsLevel::may;
    world.options.fallback_relays = {"[relay.test]"};
    world.names.addresses_of["relay.test"] = {"192.0.2.2"};
    world.names.addresses_of["mx.example.test"] = {"192.0.2.9"};  // nobody there
    const auto verdict = world.deliver();
    CHECK(verdict.outcome() == deferred);
    CHECK(verdict.text() == "Server certificate not verified");
    world.names.addresses_of["mx.example.test"] = {"192.0.2.2"};
    CHECK(world.deliver().outcome() == delivered);
}

namespace {

/// One after the other, by the same agent.
void two_are_delivered(Example& world)
{
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    for (const char* user : {"a@example.test", "b@example.test"})
        requests.push_back(request({user}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK(verdicts.verdicts(0).outcome() == delivered);
}

/// Asks for more from the second question on.
class Hardening final : public Lookup {
public:
    int questions = 0;
    awaitable<Result<std::optional<std::string>>> find(std::string) override { co_return ++questions == 1 ? "none" : "encrypt"; }
};

}  // namespace

TEST_CASE("policy table: a session that is there serves no mail that asks for more; mail that asks for the same rides on it")
{
    for (const bool hardens : {true, false}) {
        CAPTURE(hardens);
        Example world(self_signed("mx.example.test"));
        Hardening hardening;
        PolicyTable table;
        table.values["example.test"] = "none";
        world.tls_policy = hardens ? static_cast<Lookup*>(&hardening) : &table;
        two_are_delivered(world);
        REQUIRE(world.peer().sessions().size() == (hardens ? 2 : 1));
        CHECK(world.peer().sessions().front().handshakes == 0);
        CHECK(world.peer().sessions().back().handshakes == (hardens ? 1 : 0));
    }
}

TEST_CASE("policy table: connection_reuse=no keeps no session")
{
    Example world(self_signed("mx.example.test"));
    PolicyTable table;
    table.values["example.test"] = "encrypt connection_reuse=no";
    world.tls_policy = &table;
    two_are_delivered(world);
    CHECK(world.peer().sessions().size() == 2);
}

namespace {

dns::Record tlsa(std::uint8_t usage, const tls::Pem& of)
{
    dns::Record record;
    record.type = dns::Type::tlsa;
    record.usage = usage;
    record.selector = record.matching = 1;
    const std::string hex = tls::public_key_digest(of.key).value();
    for (std::size_t at = 0; at < hex.size(); at += 2)
        record.text += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    return record;
}

const tls::Pem& own()
{
    static const tls::Pem made = self_signed("elsewhere.test");
    return made;
}

/// What the DNS says.
struct Zone {
    bool mx = true, host = true;  // signed
    std::vector<dns::Record> records{tlsa(3, own())};
    bool tlsa_signed = true;
    std::optional<dns::Status> tlsa_fails{};
};

struct Dane {
    std::string_view what;
    Zone zone;
    std::string_view dane, only;  // the log's word; "clear"; or why it is deferred
    TlsLevel insecure_mx = TlsLevel::dane;
    bool insecure_hosts = false;
};

std::string outcome(TlsLevel level, const Dane& row, bool offers_tls)
{
    Example world(own(), offers_tls ? "starttls" : "data-only");
    world.options.tls_level = level;
    world.options.tls.insecure_mx = row.insecure_mx;
    world.options.tls.insecure_host_tlsa = row.insecure_hosts;
    if (row.zone.mx)
        world.names.is_signed.insert("MX example.test");
    if (row.zone.host)
        world.names.is_signed.insert("mx.example.test");
    if (row.zone.tlsa_signed)
        world.names.is_signed.insert("_25._tcp.mx.example.test");
    if (!row.zone.records.empty())
        world.names.tlsa_of["_25._tcp.mx.example.test"] = row.zone.records;
    if (row.zone.tlsa_fails)
        world.names.fails["_25._tcp.mx.example.test"] = *row.zone.tlsa_fails;
    const auto verdict = world.deliver();
    if (verdict.outcome() != delivered) {
        CHECK(world.said("MAIL") == 0);
        CHECK(verdict.status().starts_with("4.7."));
        return verdict.text();
    }
    for (const std::string_view word : {"Verified", "Trusted", "Untrusted"})
        if (!lines_of(world, fmt::format(": {} TLS connection established", word)).empty())
            return std::string(word);
    return "clear";
}

}  // namespace

TEST_CASE("DANE: who the server has to be, by what the DNS says and how sure it is of it")
{
    const std::string_view unverified = "Server certificate not verified", none = "no TLSA records found", insecure = "non DNSSEC destination",
                           unusable = "TLSA records unusable", failed = "TLSA lookup error for mx.example.test:25";
    const tls::Pem another = self_signed("mx.example.test");
    for (const Dane& row : std::initializer_list<Dane>{
             {"all signed, the right key", {}, "Verified", "Verified"},
             {"all signed, another key", {.records = {tlsa(3, another)}}, unverified, unverified},
             {"two records, one of them right", {.records = {tlsa(3, another), tlsa(3, own())}}, "Verified", "Verified"},
             {"the records are not signed", {.tlsa_signed = false}, "Untrusted", none},
             {"no records", {.records = {}}, "Untrusted", none},
             {"records for other uses alone", {.records = {tlsa(1, another), tlsa(0, another)}}, "Untrusted", unusable},
             {"one of them can be used", {.records = {tlsa(1, another), tlsa(3, another)}}, unverified, unverified},
             {"the lookup fails", {.tlsa_fails = dns::Status::temporary}, failed, failed},
             {"the lookup is forged", {.tlsa_fails = dns::Status::bogus}, failed, failed},
             {"the host is not signed", {.host = false, .records = {tlsa(3, another)}}, "Untrusted", none},
             {"the host is not signed, but asked for", {.host = false, .records = {tlsa(3, another)}}, unverified, unverified, TlsLevel::dane, true},
             {"MX not signed", {.mx = false}, "Verified", insecure},
             {"MX not signed, another key", {.mx = false, .records = {tlsa(3, another)}}, unverified, insecure},
             {"MX not signed: encrypt", {.mx = false, .records = {tlsa(3, another)}}, "Untrusted", insecure, TlsLevel::encrypt},
             {"MX not signed: may", {.mx = false, .records = {tlsa(3, another)}}, "Untrusted", insecure, TlsLevel::may}}) {
        CAPTURE(row.what);
        CHECK(outcome(TlsLevel::dane, row, true) == row.dane);
        CHECK(outcome(TlsLevel::dane_only, row, true) == row.only);
        // A server that offers no TLS: in clear only where the level came down to may.
        const bool may = row.dane == "Untrusted" && row.what.find("other uses") == row.what.npos && row.insecure_mx != TlsLevel::encrypt;
        const std::string in_clear = outcome(TlsLevel::dane, row, false);
        CAPTURE(in_clear);
        if (may)
            CHECK(in_clear == "clear");
        else
            CHECK((in_clear == failed || in_clear.starts_with("TLS is required, but was not offered by host")));
    }
}

namespace {

awaitable<Result<std::unique_ptr<net::Stream>>> hang_up(std::unique_ptr<net::Stream> stream)
{
    stream->close();
    co_return Error("no handshake");
}

}  // namespace

TEST_CASE("DANE: records that come between a handshake that failed and the attempt in clear keep the mail from going in clear")
{
    for (const bool come : {true, false}) {
        CAPTURE(come);
        Example world(own());
        world.options.tls_level = TlsLevel::dane;
        world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
        world.settings.tls = [&](std::unique_ptr<net::Stream> stream, std::string) {
            if (come)
                world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(3, own())};
            return hang_up(std::move(stream));
        };
        world.add("192.0.2.2", "starttls");
        CHECK(world.deliver().outcome() == (come ? deferred : delivered));
        CHECK(world.said("MAIL") == (come ? 0 : 1));
        CHECK(world.connects == 2);
    }
}

TEST_CASE("DANE: an issuer vouches for the names of RFC 7672 3.2.2 alone: the records', the next hop's, and where a signed CNAME of it leads")
{
    struct Names {
        std::string certificate;
        bool mx_signed, arrives;
    };
    for (const Names& one : std::initializer_list<Names>{{"mx.example.test", true, true},
                                                         {"example.test", true, true},
                                                         {"led.test", true, true},
                                                         {"led.test", false, false},
                                                         {"example.test", false, true},
                                                         {"www.example.test", true, false}}) {
        CAPTURE(one.certificate);
        CAPTURE(one.mx_signed);
        Example world(with_issuer(tls::leaf(one.certificate)));
        world.options.tls_level = TlsLevel::dane;
        world.names.alias_of["example.test"] = "led.test";
        world.names.is_signed = {"mx.example.test", "_25._tcp.mx.example.test"};
        if (one.mx_signed)
            world.names.is_signed.insert("MX example.test");
        world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(2, tls::authority())};
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (one.arrives ? delivered : deferred));
        if (!one.arrives)
            CHECK(verdict.text() == "Server certificate not verified");
    }
}

TEST_CASE("DANE: records stand where the CNAMEs of the host lead, else at its own name; a chain that leaves signed zones has its first link's say")
{
    struct Alias {
        std::string_view what;
        std::set<std::string> is_signed;
        std::vector<std::string> with_records;
        std::string_view word;
    };
    const std::string led = "_25._tcp.led.test", own_name = "_25._tcp.mx.example.test";
    for (const Alias& one :
         std::initializer_list<Alias>{{"at the end of the chain", {"mx.example.test", led, own_name}, {led}, "Verified"},
                                      {"at its own name", {"mx.example.test", led, own_name}, {own_name}, "Verified"},
                                      {"the chain is not signed at its end", {"CNAME mx.example.test", led, own_name}, {own_name}, "Verified"},
                                      {"not at the end, then", {"CNAME mx.example.test", led, own_name}, {led}, "Untrusted"},
                                      {"the first link is not signed", {led, own_name}, {own_name, led}, "Untrusted"}}) {
        CAPTURE(one.what);
        Example world(own());
        world.options.tls_level = TlsLevel::dane;
        world.names.alias_of["mx.example.test"] = "led.test";
        world.names.is_signed = one.is_signed;
        for (const std::string& name : one.with_records)
            world.names.tlsa_of[name] = {tlsa(3, own())};
        CHECK(world.deliver().outcome() == delivered);
        CHECK(lines_of(world, fmt::format(": {} TLS connection established", one.word)).size() == 1);
    }
    Example world(own());
    world.options.tls_level = TlsLevel::dane;
    world.names.alias_of["mx.example.test"] = "led.test";
    world.names.is_signed = {"mx.example.test"};
    world.names.fails[led] = dns::Status::bogus;  // not asked any further: its word would come first
    world.names.tlsa_of[own_name] = {tlsa(3, own())};
    CHECK(world.deliver().text() == "TLSA lookup error for mx.example.test:25");
}

TEST_CASE("DANE: where it cannot be done the log says so each time, and dane-only sends nothing; a policy may ask for it for one next hop")
{
    Example world(own());
    world.options.tls.no_dane = "configured with dnssec lookups disabled";
    PolicyTable table;
    table.values["example.test"] = "dane";
    world.tls_policy = &table;
    world.options.tls_level = TlsLevel::may;
    CHECK(world.deliver().outcome() == delivered);  // as Postfix does: opportunistic TLS, and a warning each time
    CHECK(lines_of(world, "example.test: dane configured with dnssec lookups disabled").size() == 1);
    CHECK(lines_of(world, ": Untrusted TLS connection established").size() == 1);
    const unsigned connects = world.connects;
    table.values["example.test"] = "dane-only";
    CHECK(world.deliver().text() == "client TLS configuration problem");
    CHECK(lines_of(world, "example.test: dane-only configured with dnssec lookups disabled").size() == 1);
    CHECK(world.connects == connects);
    world.names.mx_of["other.test"] = world.names.mx_of["example.test"];
    CHECK(world.deliver("other.test").outcome() == delivered);
    world.options.tls.no_dane.clear();
    CHECK(world.deliver().text() == "non DNSSEC destination");
}

namespace {

class TestPolicies final : public sts::Policies {
public:
    std::map<std::string, sts::Known> known;
    bool away = false;
    std::vector<std::string> asked;
    awaitable<Result<std::optional<sts::Known>>> find(std::string domain) override
    {
        asked.push_back(domain);
        if (away)
            co_return Error("memory does not answer", "4.3.0");
        const auto at = known.find(domain);
        co_return at != known.end() ? std::optional(at->second) : std::nullopt;
    }
    void set(const std::string& domain, sts::Mode mode, std::vector<std::string> hosts, std::string id = "1")
    {
        known[domain] = {std::move(id), WallTime{}, {mode, std::move(hosts), std::chrono::hours(24)}};
    }
};

struct AskedWorld : Example {
    explicit AskedWorld(const tls::Pem& certificate, std::string_view peer_script = "starttls") : Example(certificate, peer_script)
    {
        sts = &policies;
        options.tls_level = TlsLevel::may;
        options.sts = sts::Use::enforce;
    }
    std::vector<std::string> told() const { return lines_of(*this, "MTA-STS: the policy of "); }
    TestPolicies policies;
};

}  // namespace

TEST_CASE(
    "MTA-STS: mail goes to hosts that the policy names, with TLS and a certificate of their own; in testing it goes, and a line says what was wrong")
{
    const std::string unnamed = "the MTA-STS policy of example.test names no host mx.example.test", unverified = "Server certificate not verified",
                      in_clear = "TLS is required, but was not offered by host mx.example.test[192.0.2.2]", refused = "TLS is required, but host ";
    struct Row {
        std::string_view what;
        tls::Pem certificate;
        std::string host;  // that the policy names
        std::string kept_back;  // the beginning of the verdict
        std::string told;  // in testing
        std::string_view script = "starttls";
    };
    for (const Row& row : std::initializer_list<Row>{
             {"all is well", tls::leaf("mx.example.test"), "mx.example.test", "", ""},
             {"by a star", tls::leaf("mx.example.test"), "*.example.test", "", ""},
             {"another host", tls::leaf("mx.example.test"), "mx2.example.test", unnamed, unnamed},
             {"a parent", tls::leaf("mx.example.test"), "*.test", unnamed, unnamed},
             {"another's certificate", tls::leaf("example.test"), "mx.example.test", unverified, "Server certificate not verified"},
             {"nobody vouches", self_signed("mx.example.test"), "mx.example.test", unverified, "Server certificate not trusted"},
             {"no TLS", tls::leaf("mx.example.test"), "mx.example.test", in_clear, "TLS is not used", "data-only"}}) {
        CAPTURE(row.what);
        for (const auto& [theirs, ours] : {std::pair{sts::Mode::enforce, sts::Use::enforce},
                                           {sts::Mode::testing, sts::Use::enforce},
                                           {sts::Mode::enforce, sts::Use::testing},
                                           {sts::Mode::none, sts::Use::enforce},
                                           {sts::Mode::enforce, sts::Use::no}}) {
            CAPTURE(sts::mode_name(theirs));
            CAPTURE(static_cast<int>(ours));
            AskedWorld world(row.certificate, row.script);
            world.options.sts = ours;
            world.policies.set("example.test", theirs, {row.host});
            const bool in_force = theirs == sts::Mode::enforce && ours == sts::Use::enforce;
            const bool tested = !in_force && theirs != sts::Mode::none && ours != sts::Use::no;
            const auto verdict = world.deliver();
            CHECK(verdict.outcome() == (in_force && !row.kept_back.empty() ? deferred : delivered));
            if (in_force && !row.kept_back.empty()) {
                CHECK(verdict.text().starts_with(row.kept_back));
                CHECK(verdict.status().starts_with("4.7."));
                CHECK(world.said("MAIL") == 0);
            }
            REQUIRE(world.told().size() == (tested && !row.told.empty() ? 1 : 0));
            if (tested && !row.told.empty())
                CHECK(world.told().front().find("the policy of example.test is in testing, else no mail had gone to mx.example.test[192.0.2.2]:25: " +
                                                row.told) != std::string::npos);
            CHECK(lines_of(world, "Verified TLS connection established").size() == (in_force && row.kept_back.empty() ? 1 : 0));
        }
    }
}

TEST_CASE("MTA-STS: the next host is tried behind one that the policy leaves out, and behind one that fails it")
{
    AskedWorld world(tls::leaf("mx.example.test"));
    world.policies.set("example.test", sts::Mode::enforce, {"*.example.test"});
    for (const auto& [address, host] : {std::pair{"192.0.2.3", "mx.elsewhere.test"}, {"192.0.2.4", "first.example.test"}}) {
        world.add(address, "starttls");
        world.names.mx_of["example.test"].emplace_back(5, host);
        world.names.addresses_of[host] = {address};
    }
    CHECK(world.deliver().outcome() == delivered);
    CHECK(world.peer("192.0.2.3").sessions().empty());
    CHECK(world.peer("192.0.2.4").contents().empty());
    CHECK(world.peer("192.0.2.2").contents().size() == 1);
}

TEST_CASE("MTA-STS: the administrator outvotes it, and domains are asked only where their MX hosts take the mail")
{
    struct Case {
        std::string_view what, next_hop;
        bool asked;
        TlsLevel level = TlsLevel::may;
        std::string key{}, entry{};
    };
    for (const Case& one : std::initializer_list<Case>{{"may", "example.test", true},
                                                       {"encrypt", "example.test", true, TlsLevel::encrypt},
                                                       {"letter case", "Example.TEST", true},
                                                       {"a port", "example.test:25", true},
                                                       {"none", "example.test", false, TlsLevel::none},
                                                       {"verify", "example.test", false, TlsLevel::verify},
                                                       {"secure", "example.test", false, TlsLevel::secure},
                                                       {"a host", "[mx.example.test]", false},
                                                       {"an address", "[192.0.2.2]", false},
                                                       {"an entry", "example.test", false, TlsLevel::may, "example.test", "may"},
                                                       {"a parent's entry", "example.test", false, TlsLevel::may, ".test", "may"},
                                                       {"another's entry", "example.test", true, TlsLevel::may, "other.test", "may"}}) {
        CAPTURE(one.what);
        AskedWorld world(tls::leaf("mx.example.test"));
        world.names.mx_of["Example.TEST"] = world.names.mx_of["example.test"];
        world.policies.set("example.test", sts::Mode::enforce, {"mx2.example.test"});
        world.options.tls_level = one.level;
        PolicyTable table;
        table.values[one.key] = one.entry;
        if (!one.key.empty())
            world.tls_policy = &table;
        CHECK(world.deliver(std::string(one.next_hop)).outcome() == (one.asked ? deferred : delivered));
        CHECK(world.policies.asked == (one.asked ? std::vector<std::string>{"example.test"} : std::vector<std::string>{}));
    }
    AskedWorld by_srv(tls::leaf("mx.example.test"));
    by_srv.options.srv_services = {"smtp"};
    by_srv.options.allow_srv_fallback = true;
    CHECK(by_srv.deliver().outcome() == delivered);
    CHECK(by_srv.policies.asked.empty());
}

TEST_CASE("MTA-STS: while nobody can tell what a domain asks its mail waits, unless all is in testing")
{
    AskedWorld world(tls::leaf("mx.example.test"));
    world.policies.away = true;
    const auto verdict = world.deliver();
    CHECK(verdict.outcome() == deferred);
    CHECK(verdict.text() == "the MTA-STS policy of example.test cannot be met: nobody can tell whether it has one: memory does not answer");
    CHECK(world.connects == 0);
    world.options.sts = sts::Use::testing;
    AskedWorld lenient(tls::leaf("mx.example.test"));
    lenient.policies.away = true;
    lenient.options.sts = sts::Use::testing;
    CHECK(lenient.deliver().outcome() == delivered);
}

TEST_CASE("MTA-STS: a policy is of its domain, though another has the same hosts")
{
    AskedWorld world(tls::leaf("mx.example.test"));
    world.names.mx_of["lenient.test"] = world.names.mx_of["example.test"];
    world.policies.set("example.test", sts::Mode::enforce, {"mx2.example.test"});
    world.policies.set("lenient.test", sts::Mode::testing, {"mx.example.test"});
    auto first = request({"user@lenient.test"}, "Subject: x\r\n\r\nhello\r\n", "lenient.test");
    auto second = request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test");
    second.set_attempt(8);
    for (auto* const one : {&first, &second}) {
        one->mutable_route()->set_site("mx.example.test");
        one->set_connections(1);
    }
    const auto verdicts = world.run({first, second});
    CHECK(verdicts.at(0).verdicts(0).outcome() == delivered);
    CHECK(verdicts.at(1).verdicts(0).text() == "the MTA-STS policy of example.test names no host mx.example.test");
}

TEST_CASE("MTA-STS: behind DANE: records that can be used are what counts, a failing lookup keeps the mail, else the policy has its say")
{
    struct Case {
        std::string_view what;
        std::vector<dns::Record> records;
        std::string host, text;  // that the policy names; of the verdict, empty: it arrives
        bool fails = false;
    };
    const tls::Pem another = self_signed("mx.example.test");
    for (const Case& one : std::initializer_list<Case>{
             {"the right key, and a host that the policy does not name", {tlsa(3, own())}, "mx2.example.test", ""},
             {"another key, and all that the policy asks", {tlsa(3, another)}, "mx.example.test", "Server certificate not verified"},
             {"no records", {}, "mx2.example.test", "the MTA-STS policy of example.test names no host mx.example.test"},
             {"records for other uses", {tlsa(1, another)}, "mx2.example.test", "the MTA-STS policy of example.test names no host mx.example.test"},
             {"no records, and all that the policy asks", {}, "mx.example.test", "Server certificate not verified"},  // nobody vouches for own()
             {"a failing lookup", {}, "mx.example.test", "TLSA lookup error for mx.example.test:25", true}}) {
        CAPTURE(one.what);
        AskedWorld world(own());
        world.options.tls_level = TlsLevel::dane;
        world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
        if (!one.records.empty())
            world.names.tlsa_of["_25._tcp.mx.example.test"] = one.records;
        if (one.fails)
            world.names.fails["_25._tcp.mx.example.test"] = dns::Status::temporary;
        world.policies.set("example.test", sts::Mode::enforce, {one.host});
        const auto verdict = world.deliver();
        CHECK(verdict.outcome() == (one.text.empty() ? delivered : deferred));
        if (!one.text.empty())
            CHECK(verdict.text() == one.text);
    }
}

namespace {

class TestReports final : public TlsReports {
public:
    std::vector<TlsReport> told;
    void tell(const TlsReport& report) override { told.push_back(report); }
};

}  // namespace

TEST_CASE("tls report: one for each handshake and each host that a policy leaves out, of domains that want them alone")
{
    const std::string_view record = "v=TLSRPTv1; rua=mailto:r@example.test";
    using Policy = TlsReport::Policy;
    struct Row {
        std::string_view what;
        TlsLevel level;
        tls::Pem certificate;
        Policy policy;
        std::optional<TlsFault> fault;
        std::string reason{};
        std::optional<sts::Mode> mode{};
        std::string host = "mx.example.test";   // that the policy names
        std::string_view script = "starttls";
    };
    for (const Row& row : std::initializer_list<Row>{
             {"nobody vouches, nobody asks", TlsLevel::may, self_signed("mx.example.test"), Policy::none, std::nullopt},
             {"no TLS", TlsLevel::may, own(), Policy::none, TlsFault::starttls_not_supported, "", {}, "", "data-only"},
             {"no TLS, and it is required", TlsLevel::encrypt, own(), Policy::none, TlsFault::starttls_not_supported, "", {}, "", "data-only"},
             {"another's certificate", TlsLevel::verify, tls::leaf("other.test"), Policy::none, TlsFault::certificate_host_mismatch},
             {"nobody vouches", TlsLevel::verify, self_signed("mx.example.test"), Policy::none, TlsFault::certificate_not_trusted},
             {"DANE", TlsLevel::dane, own(), Policy::tlsa, std::nullopt},
             {"DANE, another key", TlsLevel::dane, self_signed("mx.example.test"), Policy::tlsa, TlsFault::certificate_not_trusted},
             {"a policy that is met", TlsLevel::may, tls::leaf("mx.example.test"), Policy::sts, std::nullopt, "", sts::Mode::enforce},
             {"a policy that is not", TlsLevel::may, tls::leaf("other.test"), Policy::sts, TlsFault::certificate_host_mismatch, "",
              sts::Mode::enforce},
             {"in testing", TlsLevel::may, tls::leaf("other.test"), Policy::sts, TlsFault::certificate_host_mismatch, "", sts::Mode::testing},
             {"no such host", TlsLevel::may, tls::leaf("mx.example.test"), Policy::sts, TlsFault::validation_failure, "mx-mismatch",
              sts::Mode::enforce, "a.test"},
             {"no such host, in testing", TlsLevel::may, tls::leaf("mx.example.test"), Policy::sts, TlsFault::validation_failure, "mx-mismatch",
              sts::Mode::testing, "a.test"}}) {
        CAPTURE(row.what);
        for (const bool wanted : {true, false}) {
            AskedWorld world(row.certificate, row.script);
            TestReports reports;
            world.reports = &reports;
            world.options.tls_level = row.level;
            if (row.level == TlsLevel::dane) {
                world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
                world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(3, own())};
            }
            if (row.mode)
                world.policies.set("example.test", *row.mode, {row.host});
            if (wanted)
                world.names.txt_of["_smtp._tls.example.test"] = {std::string(record)};
            world.deliver();
            REQUIRE(reports.told.size() == (wanted ? 1 : 0));
            if (!wanted)
                continue;
            const TlsReport& told = reports.told.front();
            CHECK(told.domain == "example.test");
            CHECK(told.record == record);
            CHECK(told.policy == row.policy);
            CHECK(told.policy_domain == "example.test");
            CHECK(told.fault == row.fault);
            CHECK(told.host == "mx.example.test");
            CHECK(told.to == "192.0.2.2");
            if (!row.reason.empty())
                CHECK(told.reason == row.reason);
            CHECK(told.hosts == (row.mode ? std::vector<std::string>{row.host} : std::vector<std::string>{}));
            CHECK(told.strings.size() == (row.policy == Policy::tlsa ? 1 : row.policy == Policy::sts ? 4 : 0));
            CHECK(lines_of(world, row.fault ? "TLSRPT: status=failure, domain=example.test, receiving_mx=mx.example.test[192.0.2.2]"
                                            : "TLSRPT: status=success, domain=example.test, receiving_mx=mx.example.test[192.0.2.2]")
                      .size() == 1);
        }
    }
    AskedWorld by_name(tls::leaf("mx.example.test"));
    TestReports reports;
    by_name.reports = &reports;
    by_name.names.txt_of["_smtp._tls.mx.example.test"] = {std::string(record)};
    CHECK(by_name.deliver("[mx.example.test]").outcome() == delivered);
    CHECK(reports.told.empty());
}

TEST_CASE("tls report: a handshake that goes on with a session of before is told of, unless it is not to be")
{
    for (const bool told : {true, false}) {
        AskedWorld world(tls::leaf("mx.example.test"));
        TestReports reports;
        world.reports = &reports;
        world.options.report_resumed = told;
        world.options.keep_sessions = false;
        world.names.txt_of["_smtp._tls.example.test"] = {"v=TLSRPTv1; rua=mailto:r@example.test"};
        for (int at = 0; at < 3; ++at)
            CHECK(world.deliver().outcome() == delivered);
        CHECK(reports.told.size() == (told ? 3 : 1));
    }
}
