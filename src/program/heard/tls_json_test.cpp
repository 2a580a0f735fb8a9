#include "heard/heard_testing.hpp"
#include "heard/tls_json.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

std::string tls_trouble(std::string_view json)
{
    const auto reports = read_tls(json);
    return reports ? "nothing" : reports.error().text();
}

}  // namespace

TEST_CASE("tls: a report of RFC 8460: what went well, what did not, and what has no detail")
{
    const auto reports =
        read_tls(tls_text(R"({"result-type": "certificate-expired", "sending-mta-ip": "198.51.100.62", "receiving-mx-hostname": "MX.example.com",
 "receiving-ip": "192.0.2.1", "failed-session-count": 5, "failure-reason-code": "X509_V_ERR"}, {"result-type": "starttls-not-supported", "failed-session-count": "2"})",
                          100, 10));
    REQUIRE(reports);
    REQUIRE(reports->size() == 1);
    const Report& report = reports->front();
    CHECK(report.kind == aggregate::Kind::tls);
    CHECK(report.organization == "Receiver Inc.");
    CHECK(report.contact == "tls@receiver.test");
    CHECK(report.id == "tls-1");
    CHECK(report.domain == "example.com");
    CHECK(report.begin == WallTime(std::chrono::seconds(1'764'201'600)));
    CHECK(report.end == WallTime(std::chrono::seconds(1'764'287'999)));
    CHECK(report.good == 100);
    CHECK(report.bad == 10);
    REQUIRE(report.rows.size() == 4);
    CHECK(report.rows[0].tls.policy().type() == "sts");
    CHECK(report.rows[0].tls.policy().hosts_size() + report.rows[0].tls.policy().strings_size() == 0);
    CHECK_FALSE(report.rows[0].tls.has_failure());
    const handoff::TlsFailure& failure = report.rows[1].tls.failure();
    CHECK(failure.type() == "certificate-expired");
    CHECK(failure.host() == "mx.example.com");
    CHECK(failure.from() == "198.51.100.62");
    CHECK(failure.to() == "192.0.2.1");
    CHECK(failure.reason() == "X509_V_ERR");
    CHECK(report.rows[2].count == 2);
    CHECK(report.rows[3].count == 3);
    CHECK(report.rows[3].tls.failure().type() == "unspecified");
}

TEST_CASE("tls: one report for each domain, with what is missing left empty")
{
    const auto reports = read_tls(R"({"report-id": "x", "policies": [
 {"policy": {"policy-type": "no-policy-found", "policy-domain": "a.test"}, "summary": {"total-successful-session-count": 1}},
 {"policy": {"policy-type": "tlsa", "policy-domain": "b.test", "mx-host": "mx.b.test"}, "summary": {"total-failure-session-count": 2}},
 {"policy": {"policy-type": "sts", "policy-domain": "A.test."}, "failure-details": [{"result-type": "validation-failure"}]}]})");
    REQUIRE(reports);
    REQUIRE(reports->size() == 2);
    CHECK((*reports)[0].domain == "a.test");
    CHECK((*reports)[0].good == 1);
    CHECK((*reports)[0].bad == 1);
    CHECK((*reports)[1].bad == 2);
    CHECK((*reports)[1].begin == WallTime{});
}

TEST_CASE("tls: what is wrong is said")
{
    CHECK(tls_trouble("{") == "it is no JSON (incomplete JSON)");
    CHECK(tls_trouble("[]") == "it is no JSON object");
    CHECK(tls_trouble("{}") == "it has no report-id");
    CHECK(tls_trouble(R"({"report-id": "x"})") == "it has no policies");
    CHECK(tls_trouble(R"({"report-id": "x", "policies": [1]})") == "policies has something that is no object");
    CHECK(tls_trouble(R"({"report-id": "x", "policies": [{}]})") == "a policy is missing");
    CHECK(tls_trouble(R"({"report-id": "x", "policies": [{"policy": {}}]})") == "a policy has no policy-domain that is a domain");
    CHECK(
        tls_trouble(R"({"report-id": "x", "policies": [{"policy": {"policy-domain": "a.test"}, "summary": {"total-failure-session-count": -1}}]})") ==
        "total-failure-session-count is no number of sessions");
    CHECK(tls_trouble(
              R"({"report-id": "x", "policies": [{"policy": {"policy-domain": "a.test"}, "failure-details": [{"failed-session-count": 1.5}]}]})") ==
          "failed-session-count is no number of sessions");
    CHECK(tls_trouble(std::string(100, '[')) == "it is no JSON (too deep)");
    CHECK(tls_trouble(std::string(most_json + 1, ' ')) == "it has more than 8388608 octets of JSON");
    std::string many = R"({"report-id": "x", "policies": [)";
    for (int i = 0; i < 101; ++i)
        many += fmt::format(R"({}{{"policy": {{"policy-domain": "{}.test"}}}})", i == 0 ? "" : ",", i);
    CHECK(tls_trouble(many + "]}") == "it is about more than 100 domains");
}
