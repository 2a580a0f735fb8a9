// What becomes of mail by levels, policy tables and TLSA records: through the Agent, with real handshakes in memory.
#include "send/tls_example_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

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

TEST_CASE("smtp_cname_overrides_servername: a server that is an alias goes by the name that its CNAME leads to, in the log and in its certificate")
{
    for (const bool renames : {false, true}) {
        Example world(tls::leaf("real.test"));
        world.options.tls_level = TlsLevel::verify;
        world.options.cname_renames = renames;
        world.names.alias_of["mx.example.test"] = "real.test";
        CHECK((world.deliver().outcome() == delivered) == renames);
        CHECK(lines_of(world, "relay=real.test[192.0.2.2]").size() == (renames ? 1 : 0));
        CHECK(lines_of(world, "relay=mx.example.test[192.0.2.2]").size() == (renames ? 0 : 1));
    }
    Example world(tls::leaf("mx.example.test"));                     // no alias: nothing changes
    world.options.tls_level = TlsLevel::verify;
    world.options.cname_renames = true;
    CHECK(world.deliver().outcome() == delivered);
}
