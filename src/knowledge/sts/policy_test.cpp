#include "sts/policy.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::sts;

namespace {

using Texts = std::vector<std::string>;

std::string id(const Texts& texts) { return id_of(texts).value_or("none"); }

Policy good_policy(std::string_view text)
{
    auto made = parse_policy(text);
    REQUIRE_MESSAGE(made.has_value(), (made ? std::string() : made.error().what()));
    return *std::move(made);
}

std::string wrong_policy(std::string_view text)
{
    const auto made = parse_policy(text);
    return made ? "nothing" : made.error().what();
}

constexpr std::string_view example = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

}  // namespace

TEST_CASE("record: one that begins with its version counts, whatever stands beside it; two are none")
{
    CHECK(id({"v=STSv1; id=20160831085700Z;"}) == "20160831085700Z");
    CHECK(id({"v=STSv1;id=a"}) == "a");
    CHECK(id({"v=STSv1 ; id=a ;"}) == "a");
    CHECK(id({"v=STSv1; other.name=x:y; id=a; id=b"}) == "a");
    CHECK(id({"v=spf1 -all", "v=STSv1; id=a;", "v=STSv2; id=b;"}) == "a");
    CHECK(id({"v=STSv1; id=a;", "v=STSv1; id=b;"}) == "none");
    CHECK(id({}) == "none");
    CHECK(id({"v=STSv1;"}) == "none");
    CHECK(id({"v=STSv1"}) == "none");
    CHECK(id({"V=STSv1; id=a"}) == "none");
    CHECK(id({"id=a; v=STSv1"}) == "none");
    CHECK(id({"v=STSv10; id=a"}) == "none");
    CHECK(id({"v=STSv1; id=a-b"}) == "none");
    CHECK(id({"v=STSv1; id="}) == "none");
    CHECK(id({"v=STSv1; id=" + std::string(33, 'a')}) == "none");
    CHECK(id({"v=STSv1; id=a; ; x=y"}) == "none");
    CHECK(id({"v=STSv1; id=a; nonsense"}) == "none");
    CHECK(id({"v=STSv1; id=a; x=y=z"}) == "none");
}

TEST_CASE("policy: fields in any order, the first of each counts, unknown ones are left alone")
{
    const Policy policy = good_policy(example);
    CHECK(policy.mode == Mode::enforce);
    CHECK(policy.hosts == Texts{"mail.example.com", "*.example.net"});
    CHECK(policy.max_age == std::chrono::seconds(604800));
    CHECK(good_policy("max_age:\t1\nmx:A.test  \nmode: testing\nmode: enforce\nversion: STSv1\nfuture: \xc3\xa4 x\n\n") ==
          Policy{Mode::testing, {"a.test"}, std::chrono::seconds(1)});
    CHECK(good_policy("version: STSv1\nmode: none\nmax_age: 86400") == Policy{Mode::none, {}, std::chrono::seconds(86400)});
    CHECK(good_policy("version: STSv1\nmode: none\nmax_age: 9999999999").max_age == longest_age);
}

TEST_CASE("policy: what is none says why")
{
    CHECK(wrong_policy("") == "it has no \"version: STSv1\"");
    CHECK(wrong_policy("<html>") == "a line that is no field: \"<html>\"");
    CHECK(wrong_policy("version: STSv2\nmode: none\nmax_age: 1") == "it has no \"version: STSv1\"");
    CHECK(wrong_policy("version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1") == "it has no mode of enforce, testing or none");
    CHECK(wrong_policy("version: STSv1\nmode: enforce\nmx: a.test") == "it has no max_age");
    CHECK(wrong_policy("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1") == "it has no max_age");
    CHECK(wrong_policy("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 12345678901") == "it has no max_age");
    CHECK(wrong_policy("version: STSv1\nmode: enforce\nmax_age: 1") == "it has no mx");
    for (const std::string host : {"a..test", "*.*.test", "mx*.a.test", "", "\xc3\xa4.test", "a b.test"})
        CHECK(wrong_policy("version: STSv1\nmode: enforce\nmax_age: 1\nmx: " + host).ends_with("\" is no name of a host"));
    CHECK(wrong_policy("version: STSv1\nx: " + std::string(policy_octets, 'x')) == "it has more than 65536 octets");
    std::string many(example);
    for (std::size_t at = 0; at < hosts_at_most; ++at)
        many += "mx: a.test\n";
    CHECK(wrong_policy(many) == "it has more than 100 mx");
}

TEST_CASE("policy: a star stands for one label, and no more")
{
    const Policy policy = good_policy(example);
    CHECK(names(policy, "mail.example.com"));
    CHECK(names(policy, "MAIL.example.COM"));
    CHECK(names(policy, "mx.example.net"));
    CHECK(!names(policy, "example.net"));
    CHECK(!names(policy, "a.mx.example.net"));
    CHECK(!names(policy, "mail2.example.com"));
    CHECK(!names(policy, "a.mail.example.com"));
    CHECK(!names({}, "mail.example.com"));
}

TEST_CASE("known: what is stored is read back; what is none of it is nothing")
{
    const Known known{"20160831085700Z", WallTime(std::chrono::seconds(1'767'225'600)), good_policy(example)};
    const std::string octets = octets_of(known);
    CHECK(known_of(octets) == known);
    CHECK(known.until() == WallTime(std::chrono::seconds(1'767'225'600 + 604'800)));
    for (std::size_t cut = 0; cut < octets.find("mx:"); ++cut)
        CHECK(!known_of(octets.substr(0, cut)));
    CHECK(!known_of("2" + octets.substr(1)));
    CHECK(!known_of("1 a b\nversion: STSv1\nmode: none\nmax_age: 1\n"));
    CHECK(!known_of("1 a -1\nversion: STSv1\nmode: none\nmax_age: 1\n"));
    CHECK(!known_of("1 a 99999999999999999999\nversion: STSv1\nmode: none\nmax_age: 1\n"));
    CHECK(!known_of("1 a 9999999999999999999\nversion: STSv1\nmode: none\nmax_age: 1\n"));
}
