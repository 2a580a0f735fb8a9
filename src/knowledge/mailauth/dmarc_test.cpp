#include "async/run.hpp"
#include "mailauth/dmarc.hpp"
#include "mailauth/scripted_dns.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

Finding dmarc_spf(std::string result, std::string sender)
{
    return {
        .method = "spf", .result = std::move(result), .reason = {}, .properties = {{.type = "smtp", .name = "mailfrom", .value = std::move(sender)}}};
}

Finding dmarc_dkim(std::string result, std::string domain)
{
    return {.method = "dkim", .result = std::move(result), .reason = {}, .properties = {{.type = "header", .name = "d", .value = std::move(domain)}}};
}

DmarcFinding dmarc_of(ScriptedDns& dns, std::string_view head, std::vector<Finding> found = {}, unsigned random = 0)
{
    asio::io_context loop;
    const PublicSuffixes suffixes;
    return run(loop, check_dmarc(DmarcRequest(authors_of(head), std::move(found), random), suffixes, dns.ask()));
}

/// "fail reject": with a record of example.com, for mail of `from`.
std::string dmarc_result(std::string_view record, std::vector<Finding> found, std::string_view from = "u@example.com", unsigned random = 0)
{
    ScriptedDns dns(fmt::format("_dmarc.example.com TXT {}", record));
    const DmarcFinding finding = dmarc_of(dns, fmt::format("From: {}\r\n\r\n", from), std::move(found), random);
    return finding.result == "fail" ? fmt::format("fail {}", dmarc_policy_name(finding.asked)) : finding.result;
}

}  // namespace

TEST_CASE("dmarc record: what is one")
{
    for (const std::string_view good : {"v=DMARC1", "v=DMARC1;", "v = DMARC1 ; p=none", "V=DMARC1; p=none"})
        CHECK_MESSAGE(is_dmarc_record(good), good);
    for (const std::string_view bad :
         {"", "v=dmarc1; p=none", "v=DMARC1 p=none", "v=DMARC10", " v=DMARC1", "p=none; v=DMARC1", "=DMARC1", "vv=DMARC1", "DMARC1", "x v=DMARC1"})
        CHECK_MESSAGE(!is_dmarc_record(bad), bad);
}

TEST_CASE("dmarc record: tags, and what is passed over")
{
    const auto whole = parse_dmarc_record(
        "v=DMARC1; p=reject; sp=quarantine; adkim=s; aspf=S; pct=20; ri=3600; rua=mailto:a@x.test,mailto:b@x.test!10m ; ruf=mailto:f@x.test; fo=1:d:s");
    REQUIRE(whole.has_value());
    CHECK(*whole == DmarcRecord{.policy = DmarcPolicy::reject,
                                .subdomain_policy = DmarcPolicy::quarantine,
                                .strict_dkim = true,
                                .strict_spf = true,
                                .percent = 20,
                                .report_interval = 3600,
                                .aggregate_reports = "mailto:a@x.test,mailto:b@x.test!10m",
                                .failure_reports = "mailto:f@x.test",
                                .failure_options = "1:d:s"});
    const auto odd = parse_dmarc_record("v=DMARC1;; P = Reject ; p=none; adkim=x; aspf=; pct=101; ri=4294967296; fo=7; what; x=y; =z");
    REQUIRE(odd.has_value());
    CHECK(*odd == DmarcRecord{.policy = DmarcPolicy::reject, .subdomain_policy = {}, .aggregate_reports = {}, .failure_reports = {}});
    CHECK(parse_dmarc_record("v=DMARC1; p=none; pct=0")->percent == 0);
    CHECK(parse_dmarc_record("v=DMARC1; p=none; pct=-1")->percent == 100);
}

TEST_CASE("dmarc record: without a valid policy it is p=none for who wants reports, and none otherwise")
{
    for (const std::string_view bad :
         {"v=DMARC1", "v=DMARC1; p=", "v=DMARC1; p=all", "v=DMARC1; p=reject; sp=all", "v=DMARC1; p=all; rua=x", "v=DMARC1; p=all; rua=1:a,:b,c:"})
        CHECK_MESSAGE(!parse_dmarc_record(bad).has_value(), bad);
    for (const std::string_view reported : {"v=DMARC1; rua=mailto:a@x.test", "v=DMARC1; p=reject; sp=all; rua=x, https://x.test/"})
        CHECK_MESSAGE(parse_dmarc_record(reported)->policy == DmarcPolicy::none, reported);
    CHECK(!parse_dmarc_record("v=DMARC1; p=reject; x=" + std::string(9000, 'x')).has_value());
}

TEST_CASE("dmarc: domains of one organization, by the public suffix list")
{
    const PublicSuffixes suffixes;
    CHECK(suffixes.organizational_domain("a.b.c.d.example.com") == "example.com");
    CHECK(suffixes.organizational_domain("Mail.Example.CO.UK.") == "example.co.uk");
    CHECK(suffixes.organizational_domain("example.co.uk") == "example.co.uk");
    CHECK(suffixes.organizational_domain("co.uk") == "co.uk");
    CHECK(suffixes.organizational_domain("mail.example.test") == "example.test");
    CHECK(suffixes.organizational_domain("mail.xn--85x722f.com.cn") == "xn--85x722f.com.cn");
    CHECK(suffixes.organizational_domain("") == "");
    CHECK(suffixes.organizational_domain("com") == "com");
    CHECK(suffixes.organizational_domain("..") == ".");
}

TEST_CASE("dmarc: authors of a header")
{
    CHECK(authors_of("From: U <u@Example.COM>\r\nTo: x@y.test\r\n\r\nFrom: no@body.test\r\n").domains == std::vector<std::string>{"example.com"});
    CHECK(authors_of("From: a@one.test, b@two.test, c@ONE.test\r\n").domains == std::vector<std::string>{"one.test", "two.test"});
    CHECK(authors_of("From: u@b\xc3\xbc"
                     "cher.test\r\n")
              .domains == std::vector<std::string>{"xn--bcher-kva.test"});
    CHECK(authors_of("From: undisclosed:;\r\n").domains.empty());
    CHECK(authors_of("From: undisclosed:;\r\n").problem.empty());
    CHECK(authors_of("From: a@one.test\r\nFROM: b@two.test\r\nFrom: c@one.test\r\n").domains == std::vector<std::string>{"one.test", "two.test"});
    CHECK(authors_of("To: a@one.test\r\n\r\n").problem == "no From field");
    CHECK(authors_of("From: a@one.test, b@\r\n").problem == "an author's address is malformed");
    std::string many = "From: a@0.test";
    for (int i = 1; i < 10; ++i)
        many += fmt::format(", a@{}.test", i);
    CHECK(authors_of(many + "\r\n").domains.size() == 10);
    CHECK(authors_of(many + ", a@x.test\r\n").problem == "too many authors");
}

TEST_CASE("dmarc: relaxed alignment is by organization, strict by name, of SPF and of DKIM")
{
    constexpr std::string_view relaxed = "v=DMARC1; p=reject", strict = "v=DMARC1; p=reject; adkim=s; aspf=s";
    CHECK(dmarc_result(relaxed, {dmarc_spf("pass", "bounce@mail.example.com")}) == "pass");
    CHECK(dmarc_result(strict, {dmarc_spf("pass", "bounce@mail.example.com")}) == "fail reject");
    CHECK(dmarc_result(strict, {dmarc_spf("pass", "bounce@EXAMPLE.com")}) == "pass");
    CHECK(dmarc_result(relaxed, {dmarc_dkim("pass", "mail.example.com")}) == "pass");
    CHECK(dmarc_result(strict, {dmarc_dkim("pass", "mail.example.com")}) == "fail reject");
    CHECK(dmarc_result(strict, {dmarc_dkim("pass", "mail.example.com"), dmarc_dkim("pass", "example.com")}) == "pass");
    CHECK(dmarc_result("v=DMARC1; p=reject; adkim=s", {dmarc_spf("pass", "u@mail.example.com")}) == "pass");
    CHECK(dmarc_result("v=DMARC1; p=reject; aspf=s", {dmarc_dkim("pass", "mail.example.com")}) == "pass");
    CHECK(dmarc_result(relaxed, {dmarc_spf("pass", "u@example.org"), dmarc_dkim("pass", "badexample.com")}) == "fail reject");
    CHECK(dmarc_result(relaxed, {dmarc_spf("fail", "u@example.com"), dmarc_dkim("fail", "example.com")}) == "fail reject");
    CHECK(dmarc_result(relaxed, {dmarc_spf("softfail", "u@example.com"), dmarc_dkim("neutral", "example.com")}) == "fail reject");
    CHECK(dmarc_result(relaxed, {}) == "fail reject");
    Finding helo = dmarc_spf("pass", "mail.example.com");
    helo.properties.front().name = "helo";
    CHECK(dmarc_result(relaxed, {helo}) == "pass");
    Finding arc = dmarc_dkim("pass", "example.com");
    arc.method = "arc";
    CHECK(dmarc_result(relaxed, {arc}) == "fail reject");
}

TEST_CASE("dmarc: a temporary error counts where the identifier would be aligned")
{
    CHECK(dmarc_result("v=DMARC1; p=reject", {dmarc_spf("temperror", "u@example.com")}) == "temperror");
    CHECK(dmarc_result("v=DMARC1; p=reject", {dmarc_spf("fail", "u@example.com"), dmarc_dkim("temperror", "m.example.com")}) == "temperror");
    CHECK(dmarc_result("v=DMARC1; p=reject", {dmarc_spf("temperror", "u@example.com"), dmarc_dkim("pass", "example.com")}) == "pass");
    CHECK(dmarc_result("v=DMARC1; p=reject", {dmarc_dkim("temperror", "forger.test")}) == "fail reject");
}

TEST_CASE("dmarc: the policy is that of the author's domain, else the organization's for its subdomains")
{
    CHECK(dmarc_result("v=DMARC1; p=reject", {}, "u@a.b.example.com") == "fail reject");
    CHECK(dmarc_result("v=DMARC1; p=reject; sp=quarantine", {}, "u@a.b.example.com") == "fail quarantine");
    CHECK(dmarc_result("v=DMARC1; p=reject; sp=none", {}) == "fail reject");
    ScriptedDns dns("_dmarc.example.com TXT v=DMARC1; p=reject\n_dmarc.own.example.com TXT v=DMARC1; p=none; sp=reject\n"
                    "_dmarc.two.example.com TXT v=DMARC1; p=none\n_dmarc.two.example.com TXT v=DMARC1; p=none\n_dmarc.fails.example.com FAIL\n"
                    "_dmarc.bad.example.com TXT v=DMARC1; p=bad\n_dmarc.other.example.com TXT v=DMARC2; p=none\n_dmarc.example.org FAIL");
    CHECK(dmarc_of(dns, "From: u@own.example.com\r\n").asked == DmarcPolicy::none);
    CHECK(dmarc_of(dns, "From: u@own.example.com\r\n").result == "fail");
    CHECK(dmarc_of(dns, "From: u@two.example.com\r\n").result == "permerror");
    CHECK(dmarc_of(dns, "From: u@bad.example.com\r\n").result == "permerror");
    CHECK(dmarc_of(dns, "From: u@fails.example.com\r\n").result == "temperror");
    CHECK(dmarc_of(dns, "From: u@x.example.org\r\n").result == "temperror");
    CHECK(dmarc_of(dns, "From: u@other.example.com\r\n").asked == DmarcPolicy::reject);
    CHECK(dmarc_of(dns, "From: u@x.example.net\r\n").result == "none");
    dns.asked.clear();
    CHECK(dmarc_of(dns, "From: u@example.net\r\n").result == "none");
    CHECK(dns.asked == std::vector<std::string>{"TXT _dmarc.example.net"});
}

TEST_CASE("dmarc: what is beyond the percentage is asked for one step milder")
{
    CHECK(dmarc_result("v=DMARC1; p=reject; pct=30", {}, "u@example.com", 29) == "fail reject");
    CHECK(dmarc_result("v=DMARC1; p=reject; pct=30", {}, "u@example.com", 30) == "fail quarantine");
    CHECK(dmarc_result("v=DMARC1; p=quarantine; pct=30", {}, "u@example.com", 30) == "fail none");
    CHECK(dmarc_result("v=DMARC1; p=none; pct=30", {}, "u@example.com", 30) == "fail none");
    CHECK(dmarc_result("v=DMARC1; p=reject; pct=0", {}, "u@example.com", 0) == "fail quarantine");
    CHECK(dmarc_result("v=DMARC1; p=reject", {}, "u@example.com", 99) == "fail reject");
}

TEST_CASE("dmarc: of several authors the strictest policy of those that fail")
{
    ScriptedDns dns("_dmarc.one.test TXT v=DMARC1; p=quarantine\n_dmarc.two.test TXT v=DMARC1; p=reject\n_dmarc.six.test TXT v=DMARC1; p=none");
    const DmarcFinding both = dmarc_of(dns, "From: a@one.test, b@two.test, c@six.test\r\n");
    CHECK(both.asked == DmarcPolicy::reject);
    CHECK(both.properties ==
          std::vector<Property>{{.type = "header", .name = "from", .value = "two.test"}, {.type = "policy", .name = "dmarc", .value = "reject"}});
    const DmarcFinding one = dmarc_of(dns, "From: a@one.test, b@two.test\r\n", {dmarc_spf("pass", "x@two.test")});
    CHECK(one.asked == DmarcPolicy::quarantine);
    CHECK(dmarc_of(dns, "From: a@gone.test, b@two.test\r\n", {dmarc_spf("pass", "x@two.test")}).result == "none");
    CHECK(dmarc_of(dns, "From: b@two.test, a@gone.test\r\n", {dmarc_spf("pass", "x@two.test")}).result == "none");
    CHECK(dmarc_of(dns, "From: b@two.test, a@www.two.test\r\n", {dmarc_spf("pass", "x@two.test")}).result == "pass");
}

TEST_CASE("dmarc: what its domain is told: which of the two passed, and where the record was")
{
    ScriptedDns dns("_dmarc.example.com TXT v=DMARC1; p=reject; pct=0; rua=mailto:r@example.com");
    const std::string head = "From: u@mail.example.com\r\n\r\n";
    const auto passed = dmarc_of(dns, head, {dmarc_spf("pass", "u@else.test"), dmarc_dkim("pass", "example.com")});
    REQUIRE(passed.published.has_value());
    CHECK(passed.published->author == "mail.example.com");
    CHECK(passed.published->domain == "example.com");
    CHECK(passed.published->record == "v=DMARC1; p=reject; pct=0; rua=mailto:r@example.com");
    CHECK(passed.published->dkim);
    CHECK_FALSE(passed.published->spf);
    CHECK_FALSE(passed.published->sampled_out);
    const auto by_sender = dmarc_of(dns, head, {dmarc_spf("pass", "u@example.com"), dmarc_dkim("fail", "example.com")});
    CHECK(by_sender.published->spf);
    CHECK_FALSE(by_sender.published->dkim);
    CHECK(dmarc_of(dns, head).published->sampled_out);
    CHECK_FALSE(dmarc_of(dns, "From: u@else.test\r\n\r\n").published.has_value());
}

TEST_CASE("dmarc: a header without an author has no result but that, and asks nothing")
{
    ScriptedDns dns("");
    const DmarcFinding none = dmarc_of(dns, "Subject: x\r\n\r\n");
    CHECK(none.result == "permerror");
    CHECK(none.reason == "no From field");
    CHECK(none.asked == DmarcPolicy::none);
    CHECK(dmarc_of(dns, "From: undisclosed:;\r\n").result == "none");
    CHECK(dmarc_of(dns, "From: u@[192.0.2.1]\r\n").result == "none");
    CHECK(dns.asked.empty());
}
