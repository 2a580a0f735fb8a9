#include "tls/second_look.hpp"

#include "tls/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tls;

namespace {

using SecondVerdict = SecondLook::Verdict;

/// What a server shows to a client that takes anything.
Shown shown_by(const Pem& certificate, Options theirs = {}, Options mine = {})
{
    asio::io_context loop;
    ConnectOptions options("mx.test");
    options.keep_shown = true;
    auto both = meet(loop, client_context(std::move(mine)), server_context(certificate, std::move(theirs)), options);
    REQUIRE(both.client);
    REQUIRE(both.client->facts.shown);
    return *both.client->facts.shown;
}

Options speaking(std::string protocols)
{
    Options made;
    made.protocols = std::move(protocols);
    return made;
}

ConnectOptions expecting(std::string name)
{
    ConnectOptions made("mx.test");
    made.names = {std::move(name)};
    return made;
}

std::string looked_at(const Shown& shown, const ConnectOptions& options, Options mine = {}, bool certificate = true)
{
    const auto context = client_context(std::move(mine), true);
    const SecondLook look = look_again(*context, shown, options, certificate);
    return (look.verdict == SecondVerdict::fits ? "fits" : look.verdict == SecondVerdict::less ? "less: " : "unknown: ") + look.why;
}

}  // namespace

TEST_CASE("second look: the certificate that was shown is held against names and authorities of the other handshake")
{
    const Shown good = shown_by(leaf("mx.test"));
    CHECK(good.certificates.size() == 1);
    CHECK(good.protocol == "TLSv1.3");
    CHECK(good.sni == "mx.test");
    CHECK_FALSE(good.resumed);
    CHECK(looked_at(good, expecting("mx.test")) == "fits");
    CHECK(looked_at(good, expecting("other.test")) ==
          "less: Server certificate not verified: certificate bears none of the names expected: other.test");
    const Shown own = shown_by(make_certificate(CertificateWish("mx.test")));
    CHECK(looked_at(own, expecting("mx.test")) == "less: Server certificate not trusted: self-signed certificate");
    CHECK(looked_at(own, expecting("mx.test"), {}, false) == "fits");
    ConnectOptions by_name = expecting("mx.test");
    by_name.sni = "other.test";
    CHECK(looked_at(own, by_name) == "less: Server certificate not trusted: self-signed certificate (and was not asked for other.test)");
    const Shown expired = shown_by(leaf("mx.test", KeyKind::p256, std::chrono::seconds(-60)));
    CHECK(looked_at(expired, expecting("mx.test")) == "less: Server certificate not trusted: certificate has expired");
}

TEST_CASE("second look: a protocol that is too old is less, another protocol or cipher another handshake")
{
    const Shown older = shown_by(leaf("mx.test"), speaking("TLSv1.2"));
    const Shown newer = shown_by(leaf("mx.test"));
    const ConnectOptions wanted = expecting("mx.test");
    CHECK(looked_at(older, wanted) == "fits");
    CHECK(looked_at(older, wanted, speaking(">=TLSv1.3")) == "less: TLSv1.2 is all it has in common with us");
    CHECK(looked_at(older, wanted, speaking(">=TLSv1.3"), false) == "less: TLSv1.2 is all it has in common with us");
    CHECK(looked_at(newer, wanted, speaking("<=TLSv1.2")) == "unknown: TLSv1.3 would not be offered");
    ConnectOptions ciphers = wanted;
    ciphers.cipher_list = "AES128-GCM-SHA256";
    CHECK(looked_at(older, ciphers) == "unknown: the cipher " + older.cipher + " would not be offered");
    CHECK(looked_at(newer, ciphers) == "fits");                       // the list is of the older protocols
    ConnectOptions of_policy = wanted;
    of_policy.protocols = ">=TLSv1.3";
    CHECK(looked_at(older, of_policy) == "less: TLSv1.2 is all it has in common with us");
    of_policy.protocols = "TLSv9";
    CHECK(looked_at(older, of_policy).starts_with("unknown: invalid TLS protocol list"));
}

TEST_CASE("second look: without a certificate it is not known")
{
    Shown none = shown_by(leaf("mx.test"));
    none.certificates.clear();
    CHECK(looked_at(none, expecting("mx.test")) == "unknown: no certificate was shown");
    none.certificates = {"no certificate"};
    CHECK(looked_at(none, expecting("mx.test")) == "unknown: no certificate was shown");
    CHECK(looked_at(none, expecting("mx.test"), {}, false) == "fits");
}
