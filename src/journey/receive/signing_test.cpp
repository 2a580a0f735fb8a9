// Signatures: what is ours is signed as it is stored; what cannot be signed waits at the client.
#include "mailauth/canonical.hpp"
#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

struct FakeSigner final : handoff::Signer {
    awaitable<Result<std::string>> sign(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body) override
    {
        asked.push_back(queue_id);
        heads.push_back(std::move(head));
        hashes.push_back(std::move(body_hash));
        relaxed = relaxed_body;
        co_return answer;
    }
    awaitable<Result<std::string>> seal(std::string, std::string, std::string, bool, handoff::Proof) override
    {
        FAIL("nothing was checked");
        co_return answer;
    }
    Result<std::string> answer = std::string("DKIM-Signature: x\r\n");
    std::vector<std::string> asked, heads, hashes;
    bool relaxed = false;
};

/// 192.0.2.100 is ours; 192.0.2.99 cannot be told.
struct SortingCleaner final : handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        co_return handoff::Cleaned{std::move(envelope), std::move(head)};
    }
    awaitable<Result<bool>> signed_client(handoff::Client client, handoff::Origin) override
    {
        if (client.address() == "192.0.2.99")
            co_return Error{"mynetworks: table lookup problem", "4.3.0"};
        co_return client.address() == "192.0.2.100";
    }
};

struct SigningHouse : House {
    explicit SigningHouse(std::string maps = "static:s1") : House(options_of({{"dkim_sign_maps", std::move(maps)}, {"mynetworks", "192.0.2.0/24"}}))
    {
        Outside outside(queue, sorting, classes, names, tables, folder, clock, observe::Log(sink, "postfix/smtpd"));
        outside.signer = &signer;
        server = std::make_unique<Server>(loop.get_executor(), options, std::move(outside));
    }
    ~SigningHouse() { server.reset(); }
    std::string send(std::string_view body, std::string address = "192.0.2.100")
    {
        Talk talk(*this, std::move(address));
        talk("EHLO c.test");
        talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
        return talk.send(fmt::format("From: a@b.test\r\n\r\n{}.\r\n", body));
    }
    FakeSigner signer;
    SortingCleaner sorting;
};

std::string hash_of(std::string_view body)
{
    mailauth::BodyHash hash(mailauth::Canonical::relaxed);
    hash.add(body);
    return hash.finish();
}

}  // namespace

TEST_CASE("signatures: the fields go in front of what was stored; head and body are what the queue has")
{
    SigningHouse house;
    CHECK(house.send("text\r\n").starts_with("250 2.0.0 Ok: queued as Q1"));
    REQUIRE(house.queue.stored.size() == 1);
    const std::string& octets = house.queue.stored[0].second.inline_octets();
    CHECK(octets.starts_with("DKIM-Signature: x\r\nReceived: from c.test"));
    CHECK(octets.ends_with("\r\nFrom: a@b.test\r\n\r\ntext\r\n"));
    CHECK(house.queue.stored[0].first.size() == octets.size());
    CHECK(house.signer.asked == std::vector<std::string>{"Q1"});
    CHECK("DKIM-Signature: x\r\n" + house.signer.heads[0] + "text\r\n" == octets);
    CHECK(house.signer.hashes[0] == hash_of("text\r\n"));
    CHECK(house.signer.relaxed);
}

TEST_CASE("signatures: a content in a file")
{
    SigningHouse house;
    std::string body;
    for (int line = 0; line < 40'000; ++line)
        body += "0123456789 \r\n";
    CHECK(house.send(body).starts_with("250 "));
    REQUIRE(house.queue.stored.size() == 1);
    const std::string& octets = house.folder.files[house.queue.stored[0].second.file()];
    CHECK(octets == "DKIM-Signature: x\r\n" + house.signer.heads[0] + body);
    CHECK(house.signer.hashes[0] == hash_of(body));
    CHECK(house.folder.synced.contains(house.queue.stored[0].second.file()));
}

TEST_CASE("signatures: strangers' mail, and mail of nobody we answer for, goes as it is")
{
    SigningHouse house;
    CHECK(house.send("text\r\n", "192.0.2.1").starts_with("250 "));
    CHECK(house.signer.asked.empty());
    house.signer.answer = std::string();
    CHECK(house.send("text\r\n").starts_with("250 "));
    CHECK(house.signer.asked.size() == 1);
    for (const auto& [envelope, content] : house.queue.stored)
        CHECK(content.inline_octets().starts_with("Received: "));
    SigningHouse off("");
    CHECK(off.send("text\r\n").starts_with("250 "));
    CHECK(off.signer.asked.empty());
}

TEST_CASE("signatures: what cannot be signed now is not taken, and the session goes on")
{
    SigningHouse house;
    house.signer.answer = Error{"resolve cannot sign it", "4.3.5"};
    CHECK(house.send("text\r\n") == "451 4.3.0 Error: queue file write error\r\n");
    CHECK(house.logged("warning: Q1: not signed: resolve cannot sign it"));
    CHECK(house.send("text\r\n", "192.0.2.99").starts_with("451 4.3.0 "));
    CHECK(house.queue.stored.empty());
    CHECK(house.folder.files.empty());
    house.signer.answer = std::string("DKIM-Signature: y\r\n");
    CHECK(house.send("text\r\n").starts_with("250 "));
}
