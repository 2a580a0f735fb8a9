#include "peers/face.hpp"

#include "peers/known.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::peers;

namespace {

std::string value(const Face& face, Aspect aspect, std::string_view name = {})
{
    const auto at = std::ranges::find_if(face.seen, [&](const Face::Seen& one) { return one.aspect == aspect && one.name == name; });
    return at == face.seen.end() ? "(none)" : at->value;
}

}  // namespace

TEST_CASE("face: of a greeting stays what two sessions of one server have in common")
{
    struct Row {
        std::string_view host, greeting, product;
    };
    for (
        const Row& row : {
            Row{"mx.test", "220 mx.test ESMTP Postfix (Debian/GNU)", "ESMTP Postfix Debian/GNU"},
            Row{"mx.test", "220 mx.test ESMTP Exim 4.96 Wed, 25 Nov 2026 10:00:00 +0000", "ESMTP Exim 4.96"},
            Row{"mx.test", "220 MX.TEST ESMTP Sendmail 8.17.1/8.17.1/Debian-2; Wed, 25 Nov 2026 10:00:00 GMT",
                "ESMTP Sendmail 8.17.1/8.17.1/Debian-2"},
            Row{"DB5EUR03FT013.mail.protection.outlook.com",
                "220 DB5EUR03FT013.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready at Wed, 25 Nov 2026 10:00:00 +0000 [08DC0A1B2C3D4E5F]",
                "Microsoft ESMTP MAIL Service ready at"},
            Row{"mx.google.com", "220 mx.google.com ESMTP d2e1a72fcca58-76e5a1a9d36si1234567b3a.5 - gsmtp", "ESMTP gsmtp"},
            Row{"a.test", "220 a.test Microsoft ESMTP MAIL Service, Version: 6.0.3790.4675 ready at  Mon, 23 Nov 2026 10:00:00 +0100",
                "Microsoft ESMTP MAIL Service Version 6.0.3790.4675 ready at"},
            Row{"a.test", "220-a.test says hello\n220 this line counts not", "says hello"},
            Row{"a.test", "220 a.test [192.0.2.1] 192.0.2.1 2001:db8::1 postmaster@a.test other.b.test:25 ESMTP", "ESMTP"},
            Row{"a.test", "220 a.test ESMTP 2026-11-25T10:00:00Z 25.11.2026 11/25/26 2026-11-25 10:00 PM CEST May Friday", "ESMTP"},
            Row{"a.test", "220 a.test ESMTP id=17 #4711 a1b2c3 1764064800 (kQwErTyUiOpAsDfGhJkLz)", "ESMTP"},
            Row{"a.test", "220 **********************2****200***", ""},
            Row{"****", "220 **** ******* ****", "*** ***"},
            Row{"", "220", ""},
            Row{"", "", ""},
        }) {
        CAPTURE(row.greeting);
        CHECK(product_of(row.greeting, row.host) == row.product);
    }
}

TEST_CASE("face: what a stranger chose is printable, and as long as it may be")
{
    const std::string product = product_of("220 a.test \x1b[31m\xff\xfe " + std::string(5000, 'y') +
                                               " one two three four five six seven eight nine ten eleven twelve thirteen",
                                           "a.test");
    CHECK(product.size() <= value_octets);
    CHECK(std::ranges::all_of(product, [](char c) { return c >= ' ' && c < 127; }));
    CHECK(product.find("eleven") != product.npos);
    CHECK(product.find("thirteen") == product.npos);
    CHECK(value_of_face("  a \t b\r\n\x01") == "a b ?");
    CHECK(value_of_face(std::string(1000, 'x')).size() == value_octets);
    Shown shown{.greeting = {}, .ehlo_clear = "250-a.test\n250-bad*name\n250-" + std::string(60, 'X') + "\n250-\n"};
    for (int i = 0; i < 200; ++i)
        shown.ehlo_clear += "250-X" + std::to_string(i) + " " + std::string(300, 'v') + "\n";
    const Face face = face_of(shown, {});
    CHECK(face.seen.size() == face_features);
    CHECK(face.seen.front().name == "X0");
    CHECK(face.seen.front().value.size() == value_octets);
}

TEST_CASE("face: features with their arguments, mechanisms in order; in TLS the answer outside it says of STARTTLS alone")
{
    Shown shown;
    shown.greeting = "220 MX.test ESMTP";
    shown.ehlo_clear =
        "250-mx.test hello\n250-SIZE 10240000\n250-pipelining\n250-STARTTLS\n250-AUTH PLAIN LOGIN\n250-AUTH=LOGIN NTLM\n250 LIMITS RCPTMAX=20";
    Face face = face_of(shown, "MX.test");
    CHECK(face.clear);
    CHECK(!face.in_tls);
    CHECK(value(face, Aspect::greeting) == "ESMTP");
    CHECK(value(face, Aspect::host) == "mx.test");
    CHECK(value(face, Aspect::feature, "SIZE") == "10240000");
    CHECK(value(face, Aspect::feature, "PIPELINING") == "offered");
    CHECK(value(face, Aspect::feature, "AUTH") == "LOGIN NTLM PLAIN");
    CHECK(value(face, Aspect::feature, "LIMITS") == "RCPTMAX=20");
    CHECK(value(face, Aspect::tls_version) == "(none)");
    shown.ehlo_tls = "250-mx.test hello\n250 SIZE 5";
    shown.tls_protocol = "TLSv1.3";
    shown.tls_level = "may";
    shown.tls_trust = "untrusted";
    shown.issuer = "Example Authority";
    shown.issued = WallTime{std::chrono::hours{24}};
    shown.expires = WallTime{std::chrono::hours{24 * 91}};
    shown.mx_set = "a.test,b.test";
    face = face_of(shown, "MX.test");
    CHECK(!face.clear);
    CHECK(face.in_tls);
    CHECK(face.starttls_known);
    CHECK(value(face, Aspect::feature, "STARTTLS") == "offered");
    CHECK(value(face, Aspect::feature, "SIZE") == "(none)");
    CHECK(value(face, Aspect::feature_in_tls, "SIZE") == "5");
    CHECK(value(face, Aspect::tls_version) == "TLSv1.3");
    CHECK(value(face, Aspect::trust, "may") == "untrusted");
    CHECK(value(face, Aspect::issuer) == "Example Authority");
    CHECK(face.lifetime == std::chrono::hours{24 * 90});
    CHECK(face.mx_set == "a.test,b.test");
}
