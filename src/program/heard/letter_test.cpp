#include "aggregate/report.hpp"
#include "heard/heard_testing.hpp"
#include "heard/letter.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

std::string some_feedback() { return dmarc_feedback(dmarc_record("192.0.2.1", 7, true, false)); }

std::string letter_trouble(std::string_view mail)
{
    const Letter letter = read_letter(mail, "");
    CHECK(letter.reports.empty() == letter.wrong.has_value());
    return letter.wrong ? letter.wrong->text() : "nothing";
}

}  // namespace

TEST_CASE("letter: a report is found whatever its type is called, as long as type or name says what it may be")
{
    const std::string gzip = aggregate::gzip(some_feedback()), zip = zipped(some_feedback(), "r.xml", {.sizes_behind = true});
    for (const auto& [type, name, octets] :
         std::initializer_list<std::tuple<const char*, const char*, std::string>>{{"application/gzip", "a!b!1!2.xml.gz", gzip},
                                                                                  {"application/zip", "a!b!1!2.zip", zip},
                                                                                  {"application/x-zip-compressed", "", gzip},
                                                                                  {"application/octet-stream", "a!b!1!2.xml.gz", gzip},
                                                                                  {"text/xml", "", some_feedback()},
                                                                                  {"application/xml", "r", "\xEF\xBB\xBF" + some_feedback()},
                                                                                  {"text/plain", "report.XML", "\r\n" + some_feedback()}}) {
        CAPTURE(type);
        const Letter letter = read_letter(letter_with(type, name, octets), "");
        REQUIRE(letter.reports.size() == 1);
        CHECK(letter.reports[0].good == 7);
        CHECK(letter.author == "Receiver <noreply@receiver.test>");
        CHECK(letter.automatic);
    }
    CHECK(read_letter(letter_with("application/tlsrpt+gzip", "t.json.gz", aggregate::gzip(tls_text("", 3, 0))), "").reports.size() == 1);
    CHECK(read_letter(letter_with("application/tlsrpt+json", "", tls_text("", 3, 0)), "").reports.size() == 1);
    CHECK(letter_trouble(letter_with("text/plain", "note.txt", some_feedback())) == "nothing in it is a report");
}

TEST_CASE("letter: a mail that is the report itself, and one in quoted-printable")
{
    const std::string zip = base64_encode(zipped(some_feedback(), "r.xml"));
    CHECK(letter_trouble("From: a@b.test\nContent-Type: application/zip; name=\"x.zip\"\nContent-Transfer-Encoding: base64\n\n" + zip.substr(0, 60) +
                         "\n" + zip.substr(60) + "\n") == "nothing");
    CHECK(letter_trouble(
              "Content-Type: text/xml\nContent-Transfer-Encoding: quoted-printable\n\n<feedback><policy_published><dom=\nain>example.com=3C/domain>"
              "</policy_published><report_metadata><report_id>1=C3=A4</report_id></report_metadata></feedback>\n") == "nothing");
}

TEST_CASE("letter: what is wrong is said of the first part that might be a report; a later one that can be read is taken")
{
    CHECK(letter_trouble(letter_with("application/zip", "a.zip", "PK\x03\x04zip")) == "application/zip: it is cut off");
    CHECK(letter_trouble(letter_with("application/gzip", "a.gz", aggregate::gzip(aggregate::gzip("x")))) == "application/gzip: it is packed twice");
    CHECK(letter_trouble(letter_with("application/gzip", "a.gz", aggregate::gzip(std::string(most_unpacked + 1, ' ')))) ==
          "application/gzip: it unpacks to more than 33554432 octets");
    CHECK(letter_trouble(letter_with("application/gzip", "a.gz", "hello")) == "application/gzip: it is neither XML nor JSON");
    CHECK(letter_trouble(letter_with("text/xml", "a.xml", "<html/>")) == "text/xml: line 1: it is no report: \"html\" in the place of \"feedback\"");
    std::string two = letter_with("text/xml", "a.xml", "<html/>");
    two.insert(two.find("\r\n--b--"), "\r\n--b\r\nContent-Type: text/xml\r\n\r\n" + some_feedback());
    CHECK(letter_trouble(two) == "nothing");
}

TEST_CASE("letter: who is told that nothing could be read is a person")
{
    const auto automatic = [](std::string_view head) { return read_letter(std::string(head) + "\r\nText.\r\n", "").automatic; };
    CHECK_FALSE(automatic("From: a@b.test\r\nSubject: Question\r\n"));
    CHECK_FALSE(automatic("From: a@b.test\r\nAuto-Submitted: no\r\n"));
    CHECK(automatic("From: a@b.test\r\nAuto-Submitted: auto-replied\r\n"));
    CHECK(automatic("From: a@b.test\r\nPrecedence: bulk\r\n"));
    CHECK(automatic("From: a@b.test\r\nTLS-Report-Domain: example.com\r\n"));
    CHECK(automatic("From: a@b.test\r\nContent-Type: multipart/report; boundary=x\r\n"));
}

TEST_CASE("letter: what smtpd found of the mail is told where it is of ourselves, and of nobody else")
{
    const std::string ours =
        "Authentication-Results: mx.ours.test;\r\n\tdkim=pass header.d=receiver.test header.s=s1;\r\n\tspf=pass smtp.mailfrom=receiver.test;"
        "\r\n\tdmarc=pass header.from=receiver.test\r\n";
    const std::string theirs = "Authentication-Results: mx.theirs.test; dkim=pass\r\n";
    const auto proof = [](const std::string& head, std::string_view id) {
        return read_letter(letter_with("application/gzip", "a.xml.gz", aggregate::gzip(some_feedback()), head), id).proof;
    };
    CHECK(proof(theirs + ours, "mx.ours.test") ==
          "dkim=pass header.d=receiver.test spf=pass smtp.mailfrom=receiver.test dmarc=pass header.from=receiver.test");
    CHECK(proof(theirs, "mx.ours.test").empty());
    CHECK(proof(ours, "").empty());
    CHECK(proof("Authentication-Results: (whose; dkim=pass\r\n", "").empty());
}
