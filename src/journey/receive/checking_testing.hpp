// receive/checking_testing.hpp: a server that checks what mail proves and seals it, for tests: signed mail, names, a sealer.
#pragma once

#include "mailauth/public_suffixes.hpp"
#include "mailauth/signature.hpp"
#include "receive/testing.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

namespace posthorn::receive::testing {

/// 192.0.2.100 is exempt; 192.0.2.99 cannot be told. The mail of 192.0.2.50 is signed.
struct ExemptingCleaner final : handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        co_return handoff::Cleaned{std::move(envelope), added + head};
    }
    awaitable<Result<bool>> signed_client(handoff::Client client, handoff::Origin) override { co_return client.address() == "192.0.2.50"; }
    awaitable<Result<bool>> exempt_client(handoff::Client client) override
    {
        if (client.address() == "192.0.2.99")
            co_return Error{"mynetworks: table lookup problem", "4.3.0"};
        co_return client.address() == "192.0.2.100";
    }
    std::string added;
};

struct FakeSealer final : handoff::Signer {
    awaitable<Result<std::string>> sign(std::string, std::string, std::string, bool) override
    {
        ++signatures;
        co_return std::string("DKIM-Signature: x\r\n");
    }
    awaitable<Result<std::string>> seal(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body,
                                        handoff::Proof proof) override
    {
        asked.push_back(std::move(queue_id));
        heads.push_back(std::move(head));
        hashes.push_back(std::move(body_hash));
        relaxed = relaxed_body;
        proofs.push_back(std::move(proof));
        co_return answer;
    }
    Result<std::string> answer = std::string("ARC-Seal: x\r\n");
    int signatures = 0;
    std::vector<std::string> asked, heads, hashes;
    std::vector<handoff::Proof> proofs;
    bool relaxed = false;
};

/// Answers about `silent` never come. `asked_for` hears of each question first.
struct SlowNames final : Names {
    awaitable<Result<std::vector<std::string>>> names_of(std::string) override { co_return std::vector<std::string>{}; }
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string) override { co_return std::vector<std::string>{}; }
    awaitable<Result<MailHost>> mail_host(std::string) override { co_return MailHost::found; }
    awaitable<dns::Answer> records(std::string name, dns::Type type) override
    {
        asked.push_back(name);
        if (asked_for)
            asked_for(name);
        dns::Answer answer;
        if (silent) {
            while (!co_await cancelled())
                co_await sleep_for(std::chrono::hours{1});
            co_return answer;
        }
        answer.status = dns::Status::nxdomain;
        if (const auto found = zone.find(name); found != zone.end() && type == dns::Type::txt) {
            answer.status = dns::Status::found;
            dns::Record record;
            record.type = dns::Type::txt;
            record.text = found->second;
            answer.records.push_back(record);
        }
        co_return answer;
    }
    std::map<std::string, std::string> zone;
    std::vector<std::string> asked;
    std::function<void(const std::string&)> asked_for;
    bool silent = false;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

struct CheckingHouse : House {
    explicit CheckingHouse(Settings with = {}) : settings(std::move(with)), key(tls::SigningKey::parse(ed25519).value())
    {
        settings.emplace(settings.begin(), "mailauth_checks", "dkim spf");      // what comes later in the list counts
        options = options_of(settings);
        dns.zone = {{"s._domainkey.b.test", "k=ed25519; p=" + base64_encode(key.public_key())}, {"b.test", "v=spf1 ip4:192.0.2.1 -all"}};
    }
    ~CheckingHouse()
    {
        server.reset();
        threads.join();
    }
    void open()
    {
        Outside outside(queue, exempting, classes, dns, tables, folder, clock, observe::Log(sink, "postfix/smtpd"));
        outside.threads = &threads;
        outside.suffixes = &suffixes;
        outside.signer = &sealer;
        outside.dmarc_reports = dmarc_reports;
        server = std::make_unique<Server>(loop.get_executor(), options, std::move(outside));
    }
    /// The last line of what comes; threads may have to be waited for.
    std::string say(Talk& talk, std::string_view octets, std::chrono::milliseconds patience = std::chrono::seconds{10})
    {
        std::string all = talk.send(octets);
        for (const auto end = std::chrono::steady_clock::now() + patience; all.empty() && !talk.ended() && std::chrono::steady_clock::now() < end;) {
            loop.restart();
            loop.run_for(std::chrono::milliseconds{5});
            all = talk.receive();
        }
        const auto lines = lines_of(all);
        return lines.empty() ? "" : lines.back();
    }
    std::string send(std::string_view message, std::string address = "192.0.2.1")
    {
        if (!server)
            open();
        Talk talk(*this, std::move(address));
        say(talk, "EHLO client.test\r\n");
        say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
        return say(talk, std::string(message) + ".\r\n");
    }
    std::string signed_field(std::string_view head, std::string_view canonical_body, std::string_view forms = "relaxed/relaxed") const
    {
        mailauth::Signature signature;
        signature.fields = {"from"};
        const std::string field = fmt::format("DKIM-Signature: v=1; a=ed25519-sha256; c={}; d=b.test; s=s; h=from; bh={}; b=", forms,
                                              base64_encode(tls::digest(tls::Digest::sha256, std::string(canonical_body))));
        return mailauth::signed_field(field, key.sign(mailauth::octets_to_sign(head, signature, field)).value());
    }
    std::string stored(std::size_t i = 0)
    {
        const handoff::Content& content = queue.stored.at(i).second;
        return content.file().empty() ? content.inline_octets() : folder.files[content.file()];
    }

    static constexpr std::string_view ed25519 = "-----BEGIN PRIVATE KEY-----\n"
                                                "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                                "-----END PRIVATE KEY-----\n";
    Settings settings;
    tls::SigningKey key;
    DmarcReports* dmarc_reports = nullptr;
    SlowNames dns;
    ExemptingCleaner exempting;
    FakeSealer sealer;
    mailauth::PublicSuffixes suffixes;
    Helpers threads{1};
};

constexpr std::string_view from = "From: a@b.test\r\n";

/// The first set of a chain, by `sealer`, in front of `head`, whose body is `body`; the key is that of s._domainkey.b.test.
inline std::string sealed(const CheckingHouse& house, std::string_view sealer, std::string_view found, const std::string& head,
                          const std::string& body)
{
    using mailauth::Canonical;
    const auto line = [](const std::string& field) { return mailauth::canonical_field(field, Canonical::relaxed) + "\r\n"; };
    const std::string results = fmt::format("ARC-Authentication-Results: i=1; {}; {}\r\n", sealer, found);
    mailauth::Signature what;
    what.fields = {"from"};
    std::string message = fmt::format("ARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed; d={}; s=s; h=from; bh={}; b=", sealer,
                                      base64_encode(tls::digest(tls::Digest::sha256, body)));
    message += base64_encode(house.key.sign(mailauth::octets_to_sign(head, what, message)).value()) + "\r\n";
    std::string seal = fmt::format("ARC-Seal: i=1; a=ed25519-sha256; cv=none; d={}; s=s; t=1; b=", sealer);
    seal += base64_encode(house.key.sign(line(results) + line(message) + mailauth::canonical_field(seal, Canonical::relaxed)).value()) + "\r\n";
    return seal + message + results + head;
}

}  // namespace posthorn::receive::testing
