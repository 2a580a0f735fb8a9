#include "inquiry/heard_listing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inquiry;

namespace {

handoff::HeardSum some_sum(bool act)
{
    handoff::HeardSum sum;
    sum.set_kind("dmarc");
    sum.set_domain("example.com");
    sum.set_policy("p=reject");
    sum.set_good(50);
    sum.set_bad(12);
    sum.set_refused(10);
    sum.set_reports(2);
    handoff::HeardSum::Day& day = *sum.add_days();
    day.set_day(20'785);
    day.set_good(50);
    day.set_bad(12);
    handoff::HeardSum::Finding& finding = *sum.add_findings();
    finding.set_act(act);
    finding.set_ours(act);
    finding.set_what("192.0.2.1");
    finding.set_bad(1);
    finding.set_organizations(1);
    finding.set_advice("Mend it.");
    sum.set_more_findings(3);
    return sum;
}

handoff::HeardSum tls_sum()
{
    handoff::HeardSum sum;
    sum.set_kind("tls");
    sum.set_domain("example.com");
    sum.set_good(9);
    sum.set_bad(2);
    sum.set_reports(1);
    handoff::HeardSum::Finding& finding = *sum.add_findings();
    finding.set_act(true);
    finding.set_what("certificate-expired");
    finding.set_where("mx.example.com");
    finding.set_bad(2);
    finding.set_organizations(2);
    finding.set_advice("Renew it.");
    return sum;
}

handoff::HeardReport some_report()
{
    handoff::HeardReport report;
    report.set_id(7);
    report.set_kind("dmarc");
    report.set_domain("example.com");
    report.set_organization("a\x1b[31m\"b");
    report.set_author("r@receiver.test");
    report.set_good(3);
    report.set_bad(2);
    report.set_left_out(1);
    report.set_arrived(20'785 * 86'400LL);
    handoff::HeardReport::Row& row = *report.add_rows();
    row.set_count(2);
    row.set_text("192.0.2.1 none: aligned by nothing");
    return report;
}

}  // namespace

TEST_CASE("heard listing: a line for each domain says first whether something is to be done here")
{
    CHECK(heard_line(some_sum(true)) ==
          "! dmarc  example.com: 50 aligned, 12 not (10 quarantined or rejected); 2 reports; 192.0.2.1 (ours): 1 fails");
    CHECK(heard_line(some_sum(false)) == "  dmarc  example.com: 50 aligned, 12 not (10 quarantined or rejected); 2 reports");
    CHECK(heard_line(tls_sum()) ==
          "! tls    example.com: 9 sessions as the policy asks, 2 not; 1 report; certificate-expired at mx.example.com: 2 fail");
}

TEST_CASE("heard listing: of one domain days, sources and failures, with advice")
{
    CHECK(heard_text(some_sum(true)) == "dmarc example.com: 50 aligned, 12 not (10 quarantined or rejected); 2 reports; policy p=reject\n"
                                        "    2026-11-28  50 aligned, 12 not\n"
                                        "  ! 192.0.2.1 (ours): 0 aligned, 1 not; from 1 organization\n"
                                        "      Mend it.\n"
                                        "    and 3 more\n");
    CHECK(heard_text(tls_sum()) == "tls example.com: 9 sessions as the policy asks, 2 not; 1 report\n"
                                   "  ! certificate-expired at mx.example.com: 2 sessions; from 2 organizations\n"
                                   "      Renew it.\n");
    CHECK(
        heard_json(some_sum(true)) ==
        R"({"kind": "dmarc", "domain": "example.com", "policy": "p=reject", "good": 50, "bad": 12, "refused": 10, "reports": 2, "days": [{"day": "2026-11-28", "good": 50, "bad": 12}], "findings": [{"act": true, "what": "192.0.2.1", "ours": true, "where": "", "good": 0, "bad": 1, "refused": 0, "organizations": 1, "advice": "Mend it."}], "more_findings": 3})");
}

TEST_CASE("heard listing: a report says who sent it, what that proved, and what it holds; what strangers wrote is printable")
{
    CHECK(heard_line(some_report()) == "    7  2026-11-28  dmarc  example.com: a?[31m\"b: 3 aligned, 2 not; From r@receiver.test (not checked)");
    const std::string text = heard_text(some_report());
    CHECK(text.starts_with("dmarc example.com: 3 aligned, 2 not\n  says      a?[31m\"b\n  of        ? to ?\n"));
    CHECK(text.find("  proved    not checked\n") != text.npos);
    CHECK(text.ends_with("  -       2  192.0.2.1 none: aligned by nothing\n          1  without a row of their own\n          2  more\n"));
    CHECK(heard_json(some_report()).find(R"("organization": "a?[31m\"b", "contact": "")") != std::string::npos);
    CHECK(heard_json(some_report()).ends_with(R"("rows": [{"good": false, "count": 2, "text": "192.0.2.1 none: aligned by nothing"}]})"));
}
