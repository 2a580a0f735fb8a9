#include "heard/summary.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

const std::set<std::string> own_addresses{"192.0.2.1", "2001:db8::1"};

Row mail_row(std::string source, std::uint64_t count, bool good, std::string disposition = "none")
{
    Row row{.dmarc = {}, .tls = {}, .count = count, .good = good};
    row.dmarc.set_source(std::move(source));
    row.dmarc.set_dkim(good);
    row.dmarc.set_disposition(std::move(disposition));
    return row;
}

Row signed_row(std::string source, std::string domain, std::string result)
{
    Row row = mail_row(std::move(source), 1, false);
    handoff::DmarcRow::Dkim& dkim = *row.dmarc.add_signatures();
    dkim.set_domain(std::move(domain));
    dkim.set_selector("s1");
    dkim.set_result(std::move(result));
    row.dmarc.set_spf_domain("esp.test");
    row.dmarc.set_spf_result("pass");
    return row;
}

Row session_row(std::string type, std::string host, std::uint64_t count)
{
    Row row{.dmarc = {}, .tls = {}, .count = count, .good = type.empty()};
    row.tls.mutable_policy()->set_type("sts");
    if (!type.empty()) {
        row.tls.mutable_failure()->set_type(std::move(type));
        row.tls.mutable_failure()->set_host(std::move(host));
    }
    return row;
}

void add_report(Summary& summary, aggregate::Kind kind, std::string domain, std::string organization, int day, const std::vector<Row>& rows)
{
    Entry entry;
    entry.report.kind = kind;
    entry.report.domain = std::move(domain);
    entry.report.organization = std::move(organization);
    entry.report.policy = kind == aggregate::Kind::dmarc ? "p=reject" : "";
    entry.day = aggregate::Day(std::chrono::days{day});
    for (const Row& row : rows)
        entry.report.add(row);
    summary.add(entry);
    for (const Row& row : rows)
        summary.add(entry, row);
}

std::string line_of(const handoff::HeardSum::Finding& finding)
{
    return fmt::format("{}{} {}/{} good={} bad={} refused={} by {}: {}", finding.act() ? "! " : "", finding.ours() ? "ours" : "other", finding.what(),
                       finding.where(), finding.good(), finding.bad(), finding.refused(), finding.organizations(), finding.advice());
}

}  // namespace

TEST_CASE("summary: our own address that fails comes first, however little it is")
{
    Summary summary(own_addresses);
    add_report(summary, aggregate::Kind::dmarc, "example.com", "a.test", 10,
               {mail_row("198.51.100.9", 1'000, false, "reject"), mail_row("192.0.2.1", 1, false), mail_row("2001:db8::1", 50, true)});
    add_report(summary, aggregate::Kind::dmarc, "example.com", "b.test", 11,
               {mail_row("198.51.100.9", 5, false, "quarantine"), mail_row("203.0.113.7", 3, false)});
    const auto sums = summary.sums(3);
    REQUIRE(sums.size() == 1);
    CHECK(sums[0].good() == 50);
    CHECK(sums[0].bad() == 1'009);
    CHECK(sums[0].refused() == 1'005);
    CHECK(sums[0].reports() == 2);
    CHECK(sums[0].policy() == "p=reject");
    REQUIRE(sums[0].days_size() == 2);
    CHECK(sums[0].days(0).day() == 11);
    CHECK(sums[0].days(0).bad() == 8);
    REQUIRE(sums[0].findings_size() == 3);
    CHECK(line_of(sums[0].findings(0)) ==
          "! ours 192.0.2.1/ good=0 bad=1 refused=0 by 1: This is one of our own addresses: it is not signed (dkim_sign_maps).");
    CHECK(line_of(sums[0].findings(1)) ==
          "other 198.51.100.9/ good=0 bad=1005 refused=1005 by 2: Not yours by its looks, and refused everywhere: the policy does its work.");
    CHECK(line_of(sums[0].findings(2)) == "other 203.0.113.7/ good=0 bad=3 refused=0 by 1: Forgers, or a service of yours that has to sign as "
                                          "example.com: it is not signed (dkim_sign_maps).");
    CHECK(sums[0].more_findings() == 1);
}

TEST_CASE("summary: why a source fails is said: signed as another, a signature that does not verify, SPF of another")
{
    Summary summary(own_addresses);
    add_report(summary, aggregate::Kind::dmarc, "example.com", "a.test", 10,
               {signed_row("192.0.2.1", "esp.test", "pass"), signed_row("2001:db8::1", "example.com", "fail"), mail_row("198.51.100.1", 9, true),
                mail_row("198.51.100.1", 1, false)});
    const auto sums = summary.sums(10);
    REQUIRE(sums[0].findings_size() == 3);
    CHECK(sums[0].findings(0).advice() ==
          "This is one of our own addresses: it is signed as esp.test, which is not aligned with example.com; SPF passes for "
          "esp.test, which is not aligned.");
    CHECK(sums[0].findings(1).advice() ==
          "This is one of our own addresses: its signature of example.com does not verify (changed on the way, or another key in "
          "the DNS); SPF passes for esp.test, which is not aligned.");
    CHECK(sums[0].findings(2).advice() ==
          "Some of it is aligned: mail of yours that was changed or forwarded on the way, or a service that is set up in part (it "
          "is not signed (dkim_sign_maps)).");
    CHECK_FALSE(sums[0].findings(2).act());
}

TEST_CASE("summary: sessions that fail, by what failed and where; domains with something to do before those without")
{
    Summary summary(own_addresses);
    add_report(summary, aggregate::Kind::dmarc, "a.test", "a.test", 10, {mail_row("198.51.100.9", 1'000, false)});
    add_report(summary, aggregate::Kind::tls, "b.test", "a.test", 10,
               {session_row("", "", 100), session_row("certificate-expired", "mx1.b.test", 2), session_row("certificate-expired", "mx2.b.test", 3)});
    add_report(summary, aggregate::Kind::tls, "b.test", "c.test", 10,
               {session_row("certificate-expired", "mx1.b.test", 4), session_row("news", "", 1)});
    const auto sums = summary.sums(10);
    REQUIRE(sums.size() == 2);
    CHECK(sums[0].domain() == "b.test");
    CHECK(sums[0].kind() == "tls");
    CHECK(sums[0].good() == 100);
    CHECK(sums[0].bad() == 10);
    REQUIRE(sums[0].findings_size() == 3);
    CHECK(line_of(sums[0].findings(0)) ==
          "! other certificate-expired/mx1.b.test good=0 bad=6 refused=0 by 2: The certificate was past its date: renew it and reload.");
    CHECK(sums[0].findings(1).where() == "mx2.b.test");
    CHECK(sums[0].findings(2).advice() == "The sender does not say what failed.");
    for (const char* type :
         {"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure",
          "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"})
        CHECK(tls_meaning(type) != tls_meaning("news"));                     // RFC 8460 4.3
}

TEST_CASE("summary: a row in words")
{
    Row mail = signed_row("192.0.2.1", "esp.test", "pass");
    mail.dmarc.set_header_from("example.com");
    mail.dmarc.set_reason("forwarded");
    mail.dmarc.set_comment("list");
    CHECK(row_text(aggregate::Kind::dmarc, mail) ==
          "192.0.2.1 none: aligned by nothing, DKIM esp.test/s1 pass, SPF esp.test pass, From example.com, forwarded list");
    CHECK(row_text(aggregate::Kind::tls, session_row("", "", 1)) == "sts: as it asks");
    Row session = session_row("certificate-expired", "mx.b.test", 1);
    session.tls.mutable_failure()->set_to("192.0.2.1");
    session.tls.mutable_failure()->set_reason("expired");
    CHECK(row_text(aggregate::Kind::tls, session) == "sts: certificate-expired at mx.b.test with address 192.0.2.1 because expired");
}

TEST_CASE("summary: sources beyond the bound are counted together")
{
    Summary summary(own_addresses);
    std::vector<Row> rows;
    for (std::size_t at = 0; at < 10'000; ++at)
        rows.push_back(mail_row(fmt::format("198.18.{}.{}", at / 250, at % 250), 1, false));
    const std::size_t full = Summary::most_found / rows.size();
    for (std::size_t domain = 0; domain <= full; ++domain)
        add_report(summary, aggregate::Kind::dmarc, fmt::format("{}.test", domain), "a.test", 10, rows);
    for (const handoff::HeardSum& sum : summary.sums(1)) {
        const bool last = sum.domain() == fmt::format("{}.test", full);
        CHECK(sum.bad() == rows.size());
        CHECK(sum.more_findings() == (last ? 0 : rows.size() - 1));
        CHECK(sum.findings(0).bad() == (last ? rows.size() : 1));
    }
}
