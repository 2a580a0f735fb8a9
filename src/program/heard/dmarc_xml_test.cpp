#include "heard/dmarc_xml.hpp"
#include "heard/heard_testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

std::string dmarc_trouble(std::string_view xml)
{
    const auto report = read_dmarc(xml);
    return report ? "nothing" : report.error().text();
}

std::string replaced(std::string text, std::string_view what, std::string_view with)
{
    const auto at = text.find(what);
    REQUIRE(at != text.npos);
    return text.replace(at, what.size(), with);
}

}  // namespace

TEST_CASE("dmarc: a report of appendix C, without version and namespace")
{
    const auto report =
        read_dmarc(dmarc_feedback(dmarc_record("192.0.2.1", 7, true, false) + dmarc_record("2001:db8::1", 3, false, false, "reject")));
    REQUIRE(report);
    CHECK(report->kind == aggregate::Kind::dmarc);
    CHECK(report->organization == "receiver.test");
    CHECK(report->contact == "noreply@receiver.test");
    CHECK(report->id == "1234567890");
    CHECK(report->domain == "example.com");
    CHECK(report->policy == "adkim=r aspf=r p=reject sp=none pct=100");
    CHECK(report->begin == WallTime(std::chrono::seconds(1'764'201'600)));
    CHECK(report->end == WallTime(std::chrono::seconds(1'764'287'999)));
    CHECK(report->good == 7);
    CHECK(report->bad == 3);
    REQUIRE(report->rows.size() == 2);
    const handoff::DmarcRow& first = report->rows[0].dmarc;
    CHECK(first.source() == "192.0.2.1");
    CHECK(first.dkim());
    CHECK_FALSE(first.spf());
    CHECK(first.header_from() == "example.com");
    REQUIRE(first.signatures_size() == 1);
    CHECK(first.signatures(0).selector() == "s1");
    CHECK(first.spf_domain() == "bounce.example.com");
    CHECK(first.spf_result() == "softfail");
    CHECK(report->rows[1].dmarc.disposition() == "reject");
    CHECK_FALSE(report->rows[1].good);
}

TEST_CASE("dmarc: with version, namespaces and prefixes, in another order, with what nobody knows, without what nobody needs")
{
    const auto report = read_dmarc(R"(<?xml version="1.0"?>
<r:feedback xmlns:r="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <r:version>1.0</r:version>
 <r:policy_published><r:domain> Example.COM. </r:domain><r:p>quarantine</r:p><r:discovery_method>treewalk</r:discovery_method><r:np/></r:policy_published>
 <r:record>
  <r:row><r:source_ip>::ffff:192.0.2.9</r:source_ip><r:count> 4 </r:count>
   <r:policy_evaluated><r:disposition>pass</r:disposition><r:dkim>Pass</r:dkim>
    <r:reason><r:type>local_policy</r:type><r:comment>arc=pass</r:comment></r:reason><r:reason><r:type>other</r:type></r:reason>
   </r:policy_evaluated></r:row>
  <r:auth_results>
   <r:dkim><r:domain>a.test</r:domain><r:result>fail</r:result><r:human_result>body hash</r:human_result></r:dkim>
   <r:dkim><r:domain>example.com</r:domain><r:result>pass</r:result></r:dkim>
   <r:spf><r:domain>a.test</r:domain><r:scope>mfrom</r:scope><r:result>pass</r:result></r:spf><r:spf><r:domain>b.test</r:domain><r:result>none</r:result></r:spf>
  </r:auth_results>
 </r:record>
 <r:extension><r:record><r:row><r:count>99</r:count></r:row></r:record></r:extension>
 <r:report_metadata><r:report_id>a&amp;b</r:report_id><r:date_range><r:begin>1764201600.5</r:begin><r:end>soon</r:end></r:date_range></r:report_metadata>
</r:feedback>)");
    REQUIRE(report);
    CHECK(report->domain == "example.com");
    CHECK(report->id == "a&b");
    CHECK(report->policy == "p=quarantine");
    CHECK(report->begin == WallTime(std::chrono::seconds(1'764'201'600)));
    CHECK(report->end == WallTime{});
    REQUIRE(report->rows.size() == 1);
    const handoff::DmarcRow& row = report->rows[0].dmarc;
    CHECK(row.source() == "192.0.2.9");
    CHECK(row.disposition() == "none");
    CHECK(row.reason() == "local_policy");
    CHECK(row.comment() == "arc=pass");
    CHECK(row.signatures_size() == 2);
    CHECK(row.spf_domain() == "a.test");
    CHECK(report->good == 4);
    CHECK(report->bad == 0);
}

TEST_CASE("dmarc: what is wrong is said, with its line")
{
    const std::string good = dmarc_feedback(dmarc_record("192.0.2.1", 7, true, false));
    CHECK(dmarc_trouble("<html></html>") == "line 1: it is no report: \"html\" in the place of \"feedback\"");
    CHECK(dmarc_trouble(good.substr(0, good.rfind("</feedback>"))) == "line 3, column 771: it is no XML (no element found)");
    CHECK(dmarc_trouble("<feedback><a></b></feedback>") == "line 1, column 16: it is no XML (mismatched tag)");
    CHECK(dmarc_trouble(replaced(good, "<count>7</count>", "<count>many</count>")) == "line 3: the count of a record is \"many\"");
    CHECK(dmarc_trouble(replaced(good, "<count>7</count>", "<count>99999999999999</count>")) ==
          "line 3: the count of a record is \"99999999999999\"");
    CHECK(dmarc_trouble(replaced(good, "<count>7</count>", "")) == "line 3: a record has no row/count");
    CHECK(dmarc_trouble(replaced(good, "<report_id>1234567890</report_id>", "")) == "it has no report_metadata/report_id");
    CHECK(dmarc_trouble(replaced(good, "<domain>example.com</domain>", "<domain>a b</domain>")) ==
          "it has no policy_published/domain that is a domain");
    CHECK(dmarc_trouble(replaced(good, "<domain>example.com</domain>", "<domain>example.com..</domain>")) ==
          "it has no policy_published/domain that is a domain");
    std::string deep = "<feedback>";
    for (int i = 0; i < 40; ++i)
        deep += "<a>";
    CHECK(dmarc_trouble(deep) == "line 1: elements are nested more than 32 deep");
}

TEST_CASE("dmarc: no entity is expanded and none is fetched, since there is no document type")
{
    const std::string laughs =
        "<?xml version=\"1.0\"?>\n<!DOCTYPE feedback [<!ENTITY a \"haha\"><!ENTITY b \"&a;&a;&a;\">]>\n<feedback>&b;</feedback>";
    CHECK(dmarc_trouble(laughs) == "line 2: it has a document type, which no report has");
    CHECK(dmarc_trouble("<!DOCTYPE feedback SYSTEM \"file:///etc/passwd\"><feedback/>") == "line 1: it has a document type, which no report has");
}

TEST_CASE("dmarc: what strangers write is text that a line can have, and as long as one")
{
    const auto report = read_dmarc(replaced(dmarc_feedback(dmarc_record("no address", 1, true, true)), ">receiver.test<",
                                            ">" + std::string(255, 'x') + "\xC3\xA4\xC3\xA4&#10;\xC3\xA4<"));
    REQUIRE(report);
    CHECK(report->organization == std::string(255, 'x'));
    CHECK(report->rows[0].dmarc.source().empty());
    const auto lines = read_dmarc(dmarc_feedback("", "a&#10;b\xC2\x9B[31m"));
    REQUIRE(lines);
    CHECK(lines->id == "a?b?[31m");
}

TEST_CASE("dmarc: rows beyond the bound are counted and not kept")
{
    std::string records;
    for (std::size_t i = 0; i < most_rows + 2; ++i)
        records += "<record><row><count>2</count></row></record>";
    const auto report = read_dmarc(dmarc_feedback(records));
    REQUIRE(report);
    CHECK(report->rows.size() == most_rows);
    CHECK(report->left_out == 4);
    CHECK(report->bad == 2 * (most_rows + 2));
}
