// What domains ask of TLS by MTA-STS, and what those that want reports are told: through the Agent, with real handshakes in memory.
#include "send/tls_example_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

class TestPolicies final : public sts::Policies {
public:
    std::map<std::string, sts::Known> known;
    bool away = false;
    std::vector<std::string> asked;
    std::string fault;  // of domains of which none is known
    awaitable<Result<sts::Finding>> find(std::string domain) override
    {
        asked.push_back(domain);
        if (away)
            co_return Error("memory does not answer", "4.3.0");
        const auto at = known.find(domain);
        co_return at != known.end() ? sts::Finding{at->second, {}} : sts::Finding{std::nullopt, fault};
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
        std::string unfetched{};                // why there is no policy
    };
    for (const Row& row : std::initializer_list<Row>{
             {"nobody vouches, nobody asks", TlsLevel::may, self_signed("mx.example.test"), Policy::none, std::nullopt},
             {"a policy that cannot be had",
              TlsLevel::may,
              own(),
              Policy::sts,
              TlsFault::sts_policy_fetch_error,
              "",
              {},
              "",
              "starttls",
              "sts-policy-fetch-error"},
             {"a web server of another name",
              TlsLevel::may,
              own(),
              Policy::sts,
              TlsFault::sts_webpki_invalid,
              "",
              {},
              "",
              "starttls",
              "sts-webpki-invalid"},
             {"a policy that cannot be read, and no TLS",
              TlsLevel::may,
              own(),
              Policy::none,
              TlsFault::starttls_not_supported,
              "",
              {},
              "",
              "data-only",
              "sts-policy-invalid"},
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
            world.policies.fault = row.unfetched;
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
            CHECK(told.strings.size() == (row.policy == Policy::tlsa ? 1 : row.mode ? 4 : 0));
            CHECK(lines_of(world, row.fault ? "TLSRPT: status=failure, domain=example.test, receiving_mx=mx.example.test[192.0.2.2]"
                                            : "TLSRPT: status=success, domain=example.test, receiving_mx=mx.example.test[192.0.2.2]")
                      .size() == 1);
        }
    }
    // DANE keeps mail from a host before it has shown anything.
    struct Kept {
        std::string_view what;
        TlsLevel level;
        bool fails;
        std::vector<dns::Record> records;
        TlsFault fault;
        bool has_sts = false;
    };
    for (const Kept& kept :
         std::initializer_list<Kept>{{"nobody can tell what its records are", TlsLevel::dane, true, {}, TlsFault::dnssec_invalid},
                                     {"the same, and a policy of MTA-STS", TlsLevel::dane, true, {}, TlsFault::dnssec_invalid, true},
                                     {"it has none, and must", TlsLevel::dane_only, false, {}, TlsFault::dane_required},
                                     {"none that is of use, and it must", TlsLevel::dane_only, false, {tlsa(1, own())}, TlsFault::tlsa_invalid}}) {
        CAPTURE(kept.what);
        AskedWorld world(own());
        TestReports reports;
        world.reports = &reports;
        world.options.tls_level = kept.level;
        world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
        if (!kept.records.empty())
            world.names.tlsa_of["_25._tcp.mx.example.test"] = kept.records;
        if (kept.fails)
            world.names.fails["_25._tcp.mx.example.test"] = dns::Status::temporary;
        if (kept.has_sts)
            world.policies.set("example.test", sts::Mode::enforce, {"mx.example.test"});
        world.names.txt_of["_smtp._tls.example.test"] = {std::string(record)};
        CHECK(world.deliver().outcome() == deferred);
        REQUIRE(reports.told.size() == 1);
        CHECK(reports.told.front().policy == Policy::tlsa);
        CHECK(reports.told.front().fault == kept.fault);
        CHECK(reports.told.front().policy_domain == "example.test");
        CHECK(reports.told.front().hosts.empty());
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
