#include "trials/group.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::trials;

TEST_CASE("group: a client is known by the domain of its name, without a name by its network")
{
    CHECK(client_group("mail-1.Example.com", "192.0.2.7") == "example.com");
    CHECK(client_group("a.b.example.com", "192.0.2.7") == "b.example.com");
    CHECK(client_group("example.com", "192.0.2.7") == "example.com");
    CHECK(client_group("example.co.uk", "192.0.2.7") == "example.co.uk");
    CHECK(client_group("mail.example.co.uk", "192.0.2.7") == "example.co.uk");
    CHECK(client_group("localhost", "127.0.0.1") == "localhost");
    CHECK(client_group("unknown", "192.0.2.77") == "192.0.2.0/24");
    CHECK(client_group("", "2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
    CHECK(client_group("unknown", "unix") == "unix");
}

TEST_CASE("group: a reply says the same of all mail")
{
    handoff::TrialSample sample;
    sample.set_peer("mx.stranger.test[192.0.2.7]");
    sample.set_sender("a@b.test");
    sample.set_recipient("user@example.test");
    const auto said = [&](std::string_view reply) { return general_reason(reply, sample); };
    CHECK(said("450 4.1.8 <a@b.test>: Sender address rejected: Domain not found") == "450 4.1.8 <*>: Sender address rejected: Domain not found");
    CHECK(said("554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.test; https://zen.test/query/ip/192.0.2.7") ==
          "554 5.7.1 Service unavailable; Client host [*] blocked using zen.test; https://zen.test/query/ip/*");
    CHECK(said("556 5.1.10 <a@b.test>: Sender address rejected: Domain b.test does not accept mail (nullMX)") ==
          "556 5.1.10 <*>: Sender address rejected: Domain * does not accept mail (nullMX)");
    CHECK(said("450 4.7.1 Greylisted, come back in 287 seconds") == "450 4.7.1 Greylisted, come back in * seconds");
    CHECK(said("550 5.7.1 See http://spf.test/Why?s=mfrom;id=a%40b.test, mx.stranger.test.") == "550 5.7.1 See http://spf.test/Why?* *.");
    CHECK(said("550 5.7.1 no bracket <here or [there") == "550 5.7.1 no bracket <here or [there");
    CHECK(said("550 5.7.1 why? 2001:db8::1: no") == "550 5.7.1 why? *: no");
    CHECK(said(std::string(1'000, 'x')).size() == reason_octets);
    CHECK(said("").empty());
}
