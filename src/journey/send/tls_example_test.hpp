// send/tls_example_test.hpp: a domain whose host speaks TLS in memory, for tests of levels, policies and reports.
#pragma once

#include "base/strings.hpp"
#include "send/wire_tls.hpp"
#include "send/world_test.hpp"
#include "tls/testing.hpp"

namespace posthorn::send {

inline constexpr auto deferred = handoff::OUTCOME_DEFERRED;

class PolicyTable final : public Lookup {
public:
    std::map<std::string, std::string> values;
    bool broken = false;
    std::vector<std::string> asked;
    awaitable<Result<std::optional<std::string>>> find(std::string key) override
    {
        asked.push_back(key);
        if (broken)
            co_return Error("table unavailable", "4.3.0");
        const auto at = values.find(key);
        co_return at != values.end() ? std::optional(at->second) : std::nullopt;
    }
};

inline awaitable<Result<std::unique_ptr<net::Stream>>> shake_hands(std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> stream)
{
    CO_TRY(auto secured, co_await tls::accept(std::move(context), std::move(stream)));
    co_return std::move(secured.stream);
}

inline sim::TlsAccept server_with(const tls::Pem& certificate)
{
    return [context = tls::server_context(certificate)](std::unique_ptr<net::Stream> stream, std::string) {
        return shake_hands(context, std::move(stream));
    };
}

inline tls::Pem self_signed(const std::string& name) { return tls::make_certificate(tls::CertificateWish(name)); }

inline tls::Pem with_issuer(tls::Pem pem)
{
    pem.certificate += tls::authority().certificate;
    return pem;
}

/// example.test is mx.example.test, a server with this certificate.
struct Example : World {
    explicit Example(const tls::Pem& certificate, std::string_view peer_script = "starttls", std::vector<std::string> anchor_files = {})
    {
        WireTls::Settings how;
        how.log_level = 1;
        how.opportunistic.ca_file = how.mandatory.ca_file = "ca";
        how.resume = true;
        how.anchor_files = std::move(anchor_files);
        client =
            WireTls::make(how, clock, tls::files({{"ca", tls::authority().certificate}, {"other", self_signed("other.test").certificate}})).value();
        tls = client.get();
        settings.tls = server_with(certificate);
        add("192.0.2.2", peer_script);
        names.mx_of["example.test"] = {{10, "mx.example.test"}};
        names.addresses_of["mx.example.test"] = {"192.0.2.2"};
    }
    handoff::Verdict deliver(const std::string& next_hop = "example.test")
    {
        return run(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", next_hop)).verdicts(0);
    }
    std::size_t said(std::string_view verb) const
    {
        std::size_t times = 0;
        for (const auto& [address, peer] : peers)
            for (const sim::Session& session : peer->sessions())
                for (const std::string& line : session.said())
                    times += line.starts_with(verb) ? 1 : 0;
        return times;
    }
    std::unique_ptr<WireTls> client;
};

inline dns::Record tlsa(std::uint8_t usage, const tls::Pem& of)
{
    dns::Record record;
    record.type = dns::Type::tlsa;
    record.usage = usage;
    record.selector = record.matching = 1;
    const std::string hex = tls::public_key_digest(of.key).value();
    for (std::size_t at = 0; at < hex.size(); at += 2)
        record.text += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    return record;
}

inline const tls::Pem& own()
{
    static const tls::Pem made = self_signed("elsewhere.test");
    return made;
}

}  // namespace posthorn::send
