#include "sasl/client.hpp"

#include "base/strings.hpp"
#include "sasl/mechanisms.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::sasl;
using namespace std::string_literals;

namespace {

const Server server("imap", "elwood.innosoft.com", 143);

std::unique_ptr<Mechanism> with(std::string_view name, std::string user, std::string password, std::string nonce = {})
{
    auto made = begin(name, Credentials(std::move(user), std::move(password)), server, std::move(nonce));
    REQUIRE(made);
    return made;
}

}  // namespace

TEST_CASE("PLAIN says all in its first message, and again to a server that asks for it as if nothing was said; then no more")
{
    auto plain = with("PLAIN", "tim", "tanstaaftanstaaf");
    CHECK(plain->initial() == "\0tim\0tanstaaftanstaaf"s);                             // RFC 4616 4
    CHECK(plain->answer("").value() == "\0tim\0tanstaaftanstaaf"s);
    CHECK(!plain->answer(""));
    CHECK(plain->finished().has_value());
    Credentials named("tim", "x");
    named.say_authzid = true;
    CHECK(begin("PLAIN", named, server)->initial() == "tim\0tim\0x"s);
}

TEST_CASE("LOGIN answers two questions, whatever their words, and no third")
{
    auto login = with("LOGIN", "tim", "secret");
    CHECK(!login->initial());
    CHECK(login->answer("Username:").value() == "tim");
    CHECK(login->answer("Your password, please:").value() == "secret");
    CHECK(!login->answer("And your cat's name:"));
}

TEST_CASE("CRAM-MD5: the example of RFC 2195; an empty challenge and a second one are refused")
{
    auto cram = with("CRAM-MD5", "tim", "tanstaaftanstaaf");
    CHECK(!cram->initial());
    CHECK(cram->answer("<1896.697170952@postoffice.reston.mci.net>").value() == "tim b913a602c7eda7a495b4e6e7334d3890");
    CHECK(!cram->answer("<1896.697170952@postoffice.reston.mci.net>"));
    CHECK(!with("CRAM-MD5", "tim", "x")->answer(""));
}

TEST_CASE("SCRAM-SHA-1 and SCRAM-SHA-256: the examples of RFC 5802 and RFC 7677")
{
    struct Row {
        std::string_view name, nonce, first, challenge, proof, signature;
    };
    for (const Row& row : std::initializer_list<Row>{
             {"SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
              "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
              "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
             {"SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
              "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
              "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
              "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
         }) {
        CAPTURE(row.name);
        auto scram = with(row.name, "user", "pencil", std::string(row.nonce));
        CHECK(scram->initial() == std::string(row.first));
        CHECK(scram->costly());
        CHECK(scram->answer(row.challenge).value() == row.proof);
        CHECK(!scram->costly());
        CHECK(!scram->finished());                          // a success that comes too early is none
        CHECK(scram->answer(row.signature).value().empty());
        CHECK(scram->finished().has_value());
        CHECK(!scram->answer(row.signature));
    }
}

TEST_CASE("SCRAM: a server that does not know the password, or does not answer our nonce, is found out; rounds have a bound")
{
    const auto after = [](std::string_view challenge) {
        auto scram = with("SCRAM-SHA-1", "user", "pencil", "fyko");
        (void)scram->initial();
        return scram->answer(challenge);
    };
    for (const std::string_view challenge : {"r=fyko,s=QSXCR+Q6sek8bf92,i=4096", "r=other3rf,s=QSXCR+Q6sek8bf92,i=4096", "r=fykoX,s=,i=4096",
                                             "r=fykoX,s=?,i=4096", "r=fykoX,s=QSXCR+Q6sek8bf92,i=0", "r=fykoX,s=QSXCR+Q6sek8bf92,i=1000001",
                                             "r=fykoX,s=QSXCR+Q6sek8bf92,i=-1", "m=x,r=fykoX,s=QSXCR+Q6sek8bf92,i=1", "", "e=other-error"}) {
        CAPTURE(challenge);
        CHECK(!after(challenge));
    }
    CHECK(after("r=fykoX,s=QSXCR+Q6sek8bf92,i=1,x=more"));
    for (const std::string_view last : {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "v=", "", "e=invalid-proof", "v=?"}) {
        CAPTURE(last);
        auto scram = with("SCRAM-SHA-1", "user", "pencil", "fyko");
        (void)scram->initial();
        REQUIRE(scram->answer("r=fykoX,s=QSXCR+Q6sek8bf92,i=4096"));
        CHECK(!scram->answer(last));
        CHECK(!scram->finished());
    }
}

TEST_CASE("SCRAM: names are escaped, and passwords prepared as RFC 4013 says")
{
    CHECK(with("SCRAM-SHA-1", "a=b,c", "x", "N")->initial() == "n,,n=a=3Db=2Cc,r=N");
    CHECK(prepared("I\xC2\xADX") == "IX");                   // RFC 4013 3: a soft hyphen is nothing
    CHECK(prepared("\xC2\xAA") == "a");                      // compatibility form
    CHECK(prepared("plain") == "plain");
    CHECK(prepared("\xC2\xA0") == " ");
    CHECK(prepared("\xC2\x80") == "\xC2\x80");               // forbidden: as it is
    CHECK(prepared("\xFF") == "\xFF");                       // no UTF-8: as it is
}

TEST_CASE("DIGEST-MD5: the example of RFC 2831, and challenges that are none")
{
    auto made = with("DIGEST-MD5", "chris", "secret", "OA6MHXh6VqTrRk");
    CHECK(!made->initial());
    const auto answer = made->answer(R"(realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8)");
    REQUIRE(answer);
    CHECK(*answer == R"(charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="OA6MHXh6VqTrRk",)"
                     R"(digest-uri="imap/elwood.innosoft.com",response=d388dad90d4bbd760a152321f2143af7,qop=auth)");
    CHECK(!made->finished());
    CHECK(made->answer("rspauth=ea40f60335c427b5527b84dbabcdfffd").value().empty());
    CHECK(made->finished().has_value());
    for (const std::string_view challenge : {"", "nonce", "nonce=x", "algorithm=md5-sess", R"(nonce="x)",
                                             R"(nonce="x",algorithm=md5-sess,qop="auth-conf")", "=x,nonce=1,algorithm=md5-sess"}) {
        CAPTURE(challenge);
        CHECK(!with("DIGEST-MD5", "chris", "secret")->answer(challenge));
    }
    auto fooled = with("DIGEST-MD5", "chris", "secret");
    REQUIRE(fooled->answer(R"(nonce="a\"b" , algorithm=md5-sess)"));
    CHECK(!fooled->answer("rspauth=00000000000000000000000000000000"));
    CHECK(!fooled->finished());
}

TEST_CASE("XOAUTH2 and OAUTHBEARER say the token, and hear out a refusal")
{
    auto google = with("XOAUTH2", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
    CHECK(base64_encode(google->initial().value_or("")) ==
          "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==");
    CHECK(google->answer(R"({"status":"401"})").value().empty());
    CHECK(!google->answer("more"));
    auto bearer = with("OAUTHBEARER", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    CHECK(bearer->initial() == "n,a=user@example.com,\x01host=elwood.innosoft.com\x01port=143\x01"
                               "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01");
    CHECK(bearer->answer(R"({"status":"invalid_token"})").value() == "\x01");
}

TEST_CASE("the mechanism that shows least is chosen, among those that have what is wanted")
{
    const auto chosen = [](std::vector<std::string> offered, std::string_view words) { return choose(offered, parse_properties(words).value()); };
    CHECK(chosen({"LOGIN", "PLAIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}, "") == "SCRAM-SHA-256");
    CHECK(chosen({"LOGIN", "PLAIN", "CRAM-MD5", "DIGEST-MD5"}, "noanonymous") == "DIGEST-MD5");
    CHECK(chosen({"LOGIN", "PLAIN"}, "noanonymous") == "PLAIN");
    CHECK(chosen({"LOGIN", "PLAIN", "XOAUTH2"}, "noplaintext, noanonymous").empty());
    CHECK(chosen({"XOAUTH2"}, "noanonymous") == "XOAUTH2");
    CHECK(chosen({"PLAIN", "CRAM-MD5"}, "mutual_auth").empty());
    CHECK(chosen({"CRAM-MD5", "DIGEST-MD5"}, "mutual_auth") == "DIGEST-MD5");
    CHECK(chosen({"GSSAPI", "NTLM"}, "").empty());
    CHECK(chosen({"EXTERNAL", "LOGIN"}, "") == "LOGIN");
    CHECK(chosen({"EXTERNAL"}, "noplaintext") == "EXTERNAL");
    CHECK(parse_properties("noplaintext,nosuch").error().text() == "unknown security option \"nosuch\"");
}

TEST_CASE("a table's value is cut at the first delimiter")
{
    CHECK(Credentials::of("user:pa:ss").username == "user");
    CHECK(Credentials::of("user:pa:ss").password == "pa:ss");
    CHECK(Credentials::of("user").password.empty());
    CHECK(Credentials::of("a:b|c", '|').username == "a:b");
}
