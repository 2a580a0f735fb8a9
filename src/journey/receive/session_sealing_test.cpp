// What was found of a mail is sealed, where it is to be.
#include "receive/checking_testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("checks: what was found is sealed, over the message as it is stored")
{
    CheckingHouse house({{"arc_sign_selector", "s"}});
    CHECK(house.send(house.signed_field(from, "text\r\n") + std::string(from) + "\r\ntext\r\n").starts_with("250 2.0.0 Ok: queued as Q1"));
    REQUIRE(house.sealer.proofs.size() == 1);
    CHECK(house.sealer.asked[0] == "Q1");
    CHECK(house.stored() == "ARC-Seal: x\r\n" + house.sealer.heads[0] + "text\r\n");
    CHECK(house.queue.stored[0].first.size() == house.stored().size());
    CHECK(house.sealer.heads[0].starts_with("Authentication-Results: " + house.sealer.proofs[0].results + "\r\nReceived: "));
    CHECK(house.sealer.proofs[0].results.starts_with("mx.example.test;\r\n\tdkim=pass header.d=b.test"));
    CHECK(has(house.sealer.proofs[0].results, ";\r\n\tarc=none"));
    CHECK(house.sealer.proofs[0].chain == "none");
    mailauth::BodyHash hash(mailauth::Canonical::relaxed);
    hash.add("text\r\n");
    CHECK(house.sealer.hashes[0] == hash.finish());
    CHECK(house.sealer.relaxed);
    const std::string chained = sealed(house, "b.test", "dmarc=pass", std::string(from), "text\r\n");
    CHECK(house.send(chained + "\r\ntext\r\n").starts_with("250 "));
    CHECK(house.sealer.proofs[1].chain == "pass");
    CHECK(has(house.sealer.proofs[1].results, ";\r\n\tarc=pass header.oldest-pass=0"));
    CHECK(house.send(chained + "\r\nchanged\r\n").starts_with("250 "));
    CHECK(house.sealer.proofs[2].chain == "fail");
    // No set more is one that is not needed.
    house.sealer.answer = std::string();
    CHECK(house.send(chained + "\r\ntext\r\n").starts_with("250 "));
    CHECK(house.stored(3).starts_with("Authentication-Results: "));
    CHECK(house.sealer.signatures == 0);
}

TEST_CASE("checks: who is not checked is not sealed, and what is signed is our own")
{
    const std::string message = std::string(from) + "\r\ntext\r\n";
    CheckingHouse house({{"arc_sign_selector", "s"}, {"dkim_sign_maps", "static:s"}, {"dkim_canonicalization", "relaxed"}});
    CHECK(house.send(message, "192.0.2.50").starts_with("250 "));
    CHECK(house.stored().starts_with("DKIM-Signature: x\r\nAuthentication-Results: "));
    CHECK(house.sealer.proofs.empty());
    CHECK(house.send(message, "192.0.2.100").starts_with("250 "));
    CHECK(house.stored(1).starts_with("Received: "));
    CHECK(house.send(message).starts_with("250 "));
    CHECK(house.stored(2).starts_with("ARC-Seal: x\r\nAuthentication-Results: "));
    CHECK(house.sealer.signatures == 1);
    CHECK_FALSE(house.sealer.relaxed);
    CheckingHouse plain, unchecked({{"arc_sign_selector", "s"}, {"mailauth_checks", ""}}),
        overridden({{"arc_sign_selector", "s"}, {"receive_override_options", "no_milters"}});
    for (CheckingHouse* one : {&plain, &unchecked, &overridden}) {
        CHECK(one->send(message).starts_with("250 "));
        CHECK(one->sealer.proofs.empty());
        CHECK_FALSE(has(one->stored(), "arc="));
    }
}

TEST_CASE("checks: what should be sealed and cannot be now waits; what was not looked at, or is another chain by then, goes unsealed")
{
    const std::string message = std::string(from) + "\r\ntext\r\n";
    CheckingHouse house({{"arc_sign_selector", "s"}});
    house.sealer.answer = Error{"resolve cannot sign it", "4.3.5"};
    CHECK(house.send(message).starts_with("451 4.3.0 "));
    CHECK(house.logged("warning: Q1: not signed: resolve cannot sign it"));
    CHECK(house.queue.stored.empty());
    house.sealer.answer = std::string("ARC-Seal: x\r\n");
    house.exempting.added = "ARC-Seal: i=1; a=x\r\n";
    CHECK(house.send(message).starts_with("250 "));
    CHECK(house.logged("Q2: not sealed: its chain of seals was changed after it was checked"));
    CHECK(house.sealer.proofs.size() == 1);
    house.exempting.added.clear();
    std::string longer(from);
    while (longer.size() < 3 * Content::head_limit)
        longer += "X-Filler: " + std::string(500, 'x') + "\r\n";
    CHECK(house.send(longer + "\r\ntext\r\n").starts_with("250 "));
    CHECK(has(house.stored(1).substr(0, 400), "\tarc=fail reason=\"header is too long\""));
    CHECK(house.sealer.proofs.size() == 1);
}
