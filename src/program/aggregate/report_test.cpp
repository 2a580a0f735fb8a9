#include "aggregate/destination.hpp"
#include "aggregate/report.hpp"
#include "base/strings.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <boost/json.hpp>

#include <zlib.h>

using namespace posthorn;
using namespace posthorn::aggregate;

namespace {

constexpr Day report_day = std::chrono::year(2026) / 11 / 27;

About about_of(Kind kind)
{
    return {.kind = kind, .domain = "example.com", .day = report_day, .organization = "Ours & Co", .address = "reports@ours.test"};
}

TlsRow tls_row(std::uint64_t count, std::string_view failure = {}, std::string_view type = "no-policy-found")
{
    TlsRow row;
    row.policy.set_type(std::string(type));
    row.policy.set_domain("example.com");
    row.count = count;
    if (!failure.empty()) {
        row.failure.set_type(std::string(failure));
        row.failure.set_host("mx.example.com");
        row.failure.set_to("192.0.2.1");
    }
    return row;
}

DmarcRow dmarc_row(std::uint64_t count, std::string_view source, bool dkim, bool spf, std::string_view disposition = "none")
{
    DmarcRow row;
    row.count = count;
    row.row.set_source(std::string(source));
    row.row.set_header_from("example.com");
    row.row.set_envelope_from("bounce.example.com");
    row.row.set_dkim(dkim);
    row.row.set_spf(spf);
    row.row.set_disposition(std::string(disposition));
    row.row.set_spf_domain("bounce.example.com");
    row.row.set_spf_scope("mfrom");
    row.row.set_spf_result(spf ? "pass" : "fail");
    return row;
}

std::string unzipped(std::string_view octets)
{
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
    std::string out(1 << 20, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
    stream.avail_in = static_cast<uInt>(octets.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return out;
}

}  // namespace

TEST_CASE("destinations: mail and HTTPS, in their order; what is neither is passed over")
{
    const auto places = destinations_of("mailto:a@example.com, https://r.example.com/v1 ,ftp://x,mailto:nobody,mailto:b%2Bc@example.com?subject=x,"
                                        "mailto:a@example.com,http://r.example.com/plain,mailto:x%0d%0aBcc:y@example.com,mailto:d%3@example.com",
                                        false);
    REQUIRE(places.size() == 3);
    CHECK(places[0] == Destination{.text = "mailto:a@example.com", .address = "a@example.com"});
    CHECK(places[1].way == Destination::Way::https);
    CHECK(places[1].text == "https://r.example.com/v1");
    CHECK(places[2].address == "b+c@example.com");
    CHECK(domain_of(destinations_of("MAILTO:u@Example.COM", false).at(0)) == "example.com");
    std::string many;
    for (int at = 0; at < 12; ++at)
        many += fmt::format("mailto:u{}@example.com,", at);
    CHECK(destinations_of(many, false).size() == 10);
}

TEST_CASE("destinations: of DMARC with a limit behind them")
{
    const auto places =
        destinations_of("mailto:a@x.test!10m,mailto:b@x.test!7,mailto:c@x.test!K,mailto:d@x.test!2k,mailto:e@x.test!99999999999999t", true);
    REQUIRE(places.size() == 3);
    CHECK(places[0].most == 10U << 20);
    CHECK(places[0].text == "mailto:a@x.test");
    CHECK(places[1].most == 7);
    CHECK(places[2].most == 2048);
    CHECK(destinations_of("mailto:a@x.test!10m", false).empty());       // of TLS a "!" is encoded: RFC 8460 3
}

TEST_CASE("destinations: the tag of a record")
{
    CHECK(tag_of("v=TLSRPTv1; rua=mailto:a@x.test,https://x.test/r ;ext=1", "rua") == "mailto:a@x.test,https://x.test/r");
    CHECK(tag_of("v=DMARC1;p=none", "rua").empty());
}

TEST_CASE("TLS report: a policy at a time, with what was wrong (RFC 8460 4.4)")
{
    std::vector<TlsRow> rows{tls_row(5), tls_row(2, "starttls-not-supported"), tls_row(40, {}, "sts"), tls_row(1, "certificate-expired", "sts")};
    for (std::size_t at : {2, 3}) {
        rows[at].policy.add_strings("version: STSv1");
        rows[at].policy.add_strings("mode: enforce");
        rows[at].policy.add_hosts("*.example.com");
    }
    rows[3].failure.set_from("198.51.100.7");
    rows[3].failure.set_hello("mx \"one\"\x01");
    rows[3].failure.set_reason("certificate has expired");
    const auto report = boost::json::parse(tls_report(about_of(Kind::tls), rows)).as_object();
    CHECK(report.at("organization-name").as_string() == "Ours & Co");
    CHECK(report.at("contact-info").as_string() == "reports@ours.test");
    CHECK(report.at("report-id").as_string() == "2026-11-27.1.tls.example.com@ours.test");
    CHECK(report.at("date-range").at("start-datetime").as_string() == "2026-11-27T00:00:00Z");
    CHECK(report.at("date-range").at("end-datetime").as_string() == "2026-11-27T23:59:59Z");
    const auto& policies = report.at("policies").as_array();
    REQUIRE(policies.size() == 2);
    const auto& sts = policies[policies[0].at("policy").at("policy-type").as_string() == "sts" ? 0 : 1];
    const auto& none = policies[policies[0].at("policy").at("policy-type").as_string() == "sts" ? 1 : 0];
    CHECK(sts.at("policy").at("mx-host").as_array().at(0).as_string() == "*.example.com");
    CHECK(sts.at("policy").at("policy-string").as_array().size() == 2);
    CHECK(sts.at("policy").at("policy-domain").as_string() == "example.com");
    CHECK(sts.at("summary").at("total-successful-session-count") == 40);
    CHECK(sts.at("summary").at("total-failure-session-count") == 1);
    const auto& failure = sts.at("failure-details").as_array().at(0).as_object();
    CHECK(failure.at("result-type").as_string() == "certificate-expired");
    CHECK(failure.at("sending-mta-ip").as_string() == "198.51.100.7");
    CHECK(failure.at("receiving-mx-hostname").as_string() == "mx.example.com");
    CHECK(failure.at("receiving-mx-helo").as_string() == "mx \"one\"?");
    CHECK(failure.at("receiving-ip").as_string() == "192.0.2.1");
    CHECK(failure.at("failed-session-count") == 1);
    CHECK(failure.at("failure-reason-code").as_string() == "certificate has expired");
    CHECK_FALSE(none.at("policy").as_object().contains("mx-host"));
    CHECK(none.at("summary").at("total-successful-session-count") == 5);
    CHECK(none.at("summary").at("total-failure-session-count") == 2);
    CHECK(tls_summary(about_of(Kind::tls), rows).find("45  were as its policy asks\n       3  were not\n") != std::string::npos);
    CHECK(tls_summary(about_of(Kind::tls), rows)
              .find("       2  mx.example.com[192.0.2.1]: starttls-not-supported\n       1  mx.example.com[192.0.2.1]: "
                    "certificate-expired: certificate has expired\n") != std::string::npos);
}

TEST_CASE("DMARC report: what is published, and a record for each kind of message (RFC 7489 C)")
{
    auto refused = dmarc_row(3, "2001:db8::1", false, false, "reject");
    refused.row.set_reason("sampled_out");
    refused.row.set_comment("a <b> & \"c\"");
    auto& signature = *refused.row.add_signatures();
    signature.set_domain("else.test");
    signature.set_selector("s1");
    signature.set_result("pass");
    const std::string xml = dmarc_report(about_of(Kind::dmarc), "v=DMARC1; p=reject; adkim=s; pct=50; rua=mailto:a@example.com",
                                         {dmarc_row(7, "192.0.2.1", true, false), refused}, 12);
    const auto has = [&xml](std::string_view text) { return xml.find(text) != std::string::npos; };
    CHECK(xml.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback>\n  <version>1.0</version>\n  <report_metadata>\n    <org_name>Ours &amp; Co</org_name>"));
    CHECK(has("<report_id>2026-11-27.1.dmarc.example.com@ours.test</report_id>"));
    CHECK(has("<begin>1795737600</begin>\n      <end>1795823999</end>"));
    CHECK(has("<error>12 messages are not listed: too many different ones</error>"));
    CHECK(
        has("<policy_published>\n    <domain>example.com</domain>\n    <adkim>s</adkim>\n    <aspf>r</aspf>\n    <p>reject</p>\n    <sp>reject</sp>\n"
            "    <pct>50</pct>\n    <fo>0</fo>\n  </policy_published>"));
    CHECK(has("<source_ip>192.0.2.1</source_ip>\n      <count>7</count>\n      <policy_evaluated>\n        <disposition>none</disposition>\n"
              "        <dkim>pass</dkim>\n        <spf>fail</spf>\n      </policy_evaluated>"));
    CHECK(has("<type>sampled_out</type>\n          <comment>a &lt;b&gt; &amp; &quot;c&quot;</comment>"));
    CHECK(has("<dkim>\n        <domain>else.test</domain>\n        <selector>s1</selector>\n        <result>pass</result>\n      </dkim>"));
    CHECK(has("<spf>\n        <domain>bounce.example.com</domain>\n        <scope>mfrom</scope>\n        <result>fail</result>\n      </spf>"));
    CHECK(has("<envelope_from>bounce.example.com</envelope_from>\n      <header_from>example.com</header_from>"));
    CHECK(xml.ends_with("</feedback>\n"));
    const std::string words = dmarc_summary(about_of(Kind::dmarc), {dmarc_row(7, "192.0.2.1", true, false), refused}, 12);
    CHECK(words.find("       7  passed\n       3  did not; 3 of them were refused or put aside\n      12  more are not listed\n") !=
          std::string::npos);
    CHECK(words.find("       3  2001:db8::1\n") != std::string::npos);
}

TEST_CASE("report letter: what RFC 8460 5.3 and RFC 7489 7.2.1.1 ask of it")
{
    const WallTime now = report_day + std::chrono::hours(26);
    const std::string packed = gzip("{\"policies\": []}");
    CHECK(unzipped(packed) == "{\"policies\": []}");
    for (const Kind kind : {Kind::tls, Kind::dmarc}) {
        const About about = about_of(kind);
        const std::string text = letter_text(about, {.to = "tls@example.com", .summary = "One.\nTwo\xff.\n", .attachment = packed}, now);
        const auto has = [&text](std::string_view part) { return text.find(part) != std::string::npos; };
        const bool tls = kind == Kind::tls;
        CHECK(text.starts_with("Date: Sat, 28 Nov 2026 02:00:00 +0000\r\nFrom: Ours & Co <reports@ours.test>\r\nTo: tls@example.com\r\n"));
        CHECK(has(fmt::format("Subject: Report Domain: example.com Submitter: ours.test Report-ID:\r\n <{}>\r\n", about.id())));
        CHECK(has("TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: ours.test\r\nTLS-Required: No\r\n") == tls);
        CHECK(has(tls ? "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=" : "Content-Type: multipart/mixed; boundary="));
        CHECK(has(tls ? "Content-Type: application/tlsrpt+gzip\r\n" : "Content-Type: application/gzip\r\n"));
        CHECK(has(fmt::format(" filename=\"ours.test!example.com!1795737600!1795823999.{}.gz\"\r\n", tls ? "json" : "xml")));
        CHECK(has("\r\n\r\nOne.\r\nTwo?.\r\n\r\n--"));
        CHECK(has("Auto-Submitted: auto-generated\r\n"));
        const std::size_t at = text.find("json.gz\"\r\n\r\n") != text.npos ? text.find("json.gz\"\r\n\r\n") + 12 : text.find("xml.gz\"\r\n\r\n") + 11;
        std::string encoded = text.substr(at, text.find("\r\n\r\n--", at) - at);
        std::erase_if(encoded, [](char c) { return c == '\r' || c == '\n'; });
        CHECK(base64_decode(encoded) == packed);
    }
    About second = about_of(Kind::tls);
    second.part = 2;
    CHECK(second.file_name() == "ours.test!example.com!1795737600!1795823999!2.json.gz");
    CHECK(second.id() == "2026-11-27.2.tls.example.com@ours.test");
}
