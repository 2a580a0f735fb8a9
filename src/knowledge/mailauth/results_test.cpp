#include "mailauth/results.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

std::string field_of(std::vector<Finding> findings, bool utf8 = false) { return results_field("mx.example.test", findings, utf8); }

}  // namespace

TEST_CASE("results: the field, its words, its lines")
{
    CHECK(field_of({}) == "Authentication-Results: mx.example.test; none\r\n");
    CHECK(field_of({{"dkim", "none", "", {}}}) == "Authentication-Results: mx.example.test;\r\n\tdkim=none\r\n");
    CHECK(field_of({{"dkim",
                     "fail",
                     "body hash did not verify",
                     {{"header", "d", "example.com"}, {"header", "i", "joe@example.com"}, {"header", "b", "/gCr+npc"}}},
                    {"spf", "pass", "", {{"smtp", "mailfrom", "example.com"}}}}) ==
          "Authentication-Results: mx.example.test;\r\n"
          "\tdkim=fail reason=\"body hash did not verify\" header.d=example.com\r\n"
          "\theader.i=joe@example.com header.b=\"/gCr+npc\";\r\n"
          "\tspf=pass smtp.mailfrom=example.com\r\n");
    CHECK(results_for_log({{"dkim", "none", "", {}}, {"spf", "pass", "", {{"smtp", "mailfrom", "a@b.test"}}}}) ==
          "dkim=none spf=pass smtp.mailfrom=a@b.test");
    CHECK(results_for_log({}) == "none");
    CHECK(results_field("my host", {}, false) == "Authentication-Results: \"my host\"; none\r\n");
}

TEST_CASE("results: whatever a stranger wrote stays a value")
{
    const auto written = [](std::string value, bool utf8 = false) {
        const std::string field = field_of({{"spf", "pass", "", {{"smtp", "mailfrom", std::move(value)}}}}, utf8);
        const auto at = field.find("mailfrom=") + 9;
        return field.substr(at, field.size() - 2 - at);
    };
    CHECK(written("a=b/c@d.test") == "a=b/c@d.test");
    CHECK(written("@d.test") == "@d.test");
    CHECK(written("a b@d.test") == "\"a b@d.test\"");
    CHECK(written("a..b@d.test") == "\"a..b@d.test\"");
    CHECK(written("x\"; dkim=pass (\\") == "\"x\\\"; dkim=pass (\\\\\"");
    CHECK(written("x\r\nSubject: y") == "\"x??Subject: y\"");
    CHECK(written("") == "\"\"");
    CHECK(written("a@[192.0.2.1]") == "\"a@[192.0.2.1]\"");
    CHECK(written("b\xc3\xbc"
                  "cher.example") == "xn--bcher-kva.example");
    CHECK(written("a@b\xc3\xbc"
                  "cher.example") == "a@xn--bcher-kva.example");
    CHECK(written("j\xc3\xb6@b\xc3\xbc"
                  "cher.example") == "\"j??@b??cher.example\"");
    CHECK(written("j\xc3\xb6@b\xc3\xbc"
                  "cher.example",
                  true) == "j\xc3\xb6@b\xc3\xbc"
                           "cher.example");
    CHECK(written("\xff@x", true) == "?@x");
    CHECK(written(std::string(5000, 'a')).size() == 200);
}

TEST_CASE("results: fields of others that claim to be ours, or that nobody can tell")
{
    const auto ours = [](std::string_view body) { return may_be_result_of("mx.example.test", body); };
    for (const std::string_view body : {" mx.example.test; dkim=pass", "MX.Example.Test;none", " (comment (in it) \\) )mx.example.test 1; x=y",
                                        "\r\n\tmx.example.test ; a=b", " mx.example.test", " \"mx.example.test\"; a=b", " \"mx.\\example.test\"; a=b",
                                        " mx.example.test. ; a=b", " mx.example.test 1;", " mx.example.test(c)1 (d);a=b"})
        CHECK_MESSAGE(ours(body), body);
    for (const std::string_view body :
         {" mx.example.testa; dkim=pass", " other.test; mx.example.test", " (mx.example.test) other.test; a=b", " other.test 1; a=b"})
        CHECK_MESSAGE(!ours(body), body);
    for (const std::string_view body : {"", " ", "; dkim=pass", " (mx.example.test; a=b", " other.test mx.example.test; a=b", " \"other.test",
                                        " a\rb; c=d", " a=b", " other.test 1 2; a=b"})
        CHECK_MESSAGE(ours(body), body);
    CHECK(may_be_result_of("xn--bcher-kva.example", " b\xc3\xbc"
                                                    "cher.example; a=b"));
    CHECK(may_be_result_of("b\xc3\xbc"
                           "cher.example",
                           " \"xn--bcher-kva.example\"; a=b"));
}

TEST_CASE("results: those fields go, all else stays as it is")
{
    constexpr std::string_view head =
        "Received: x\r\nauthentication-results : mx.example.test;\r\n\tdkim=pass\r\nSubject: Authentication-Results: mx.example.test; a=b\r\n"
        "Authentication-Results: other.test; dkim=pass\r\nARC-Authentication-Results: i=1; mx.example.test; a=b\r\n"
        "Authentication-Results: junk junk junk\r\n\r\nAuthentication-Results: mx.example.test; dkim=pass\r\n";
    CHECK(without_results_of("mx.example.test", head) ==
          "Received: x\r\nSubject: Authentication-Results: mx.example.test; a=b\r\nAuthentication-Results: other.test; dkim=pass\r\n"
          "ARC-Authentication-Results: i=1; mx.example.test; a=b\r\n\r\nAuthentication-Results: mx.example.test; dkim=pass\r\n");
    CHECK(without_results_of("mx.example.test", "To: x\r\n\r\n") == "To: x\r\n\r\n");
    CHECK(without_results_of("mx.example.test", "").empty());
}
