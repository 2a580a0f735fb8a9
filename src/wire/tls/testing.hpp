// tls/testing.hpp: for tests: an authority and certificates by it, contexts whose files are in memory, both ends of one connection.
#pragma once

#include "async/run.hpp"
#include "tls/make_certificate.hpp"
#include "tls/tls.hpp"

#include <chrono>
#include <map>
#include <optional>

namespace posthorn::tls {

inline const Pem& authority()
{
    static const Pem pem = [] {
        CertificateWish wish("Test CA");
        wish.dns_names.clear();
        wish.authority = true;
        return make_certificate(wish);
    }();
    return pem;
}

inline Pem leaf(std::string name, KeyKind kind = KeyKind::p256, std::chrono::seconds lifetime = std::chrono::hours(24))
{
    CertificateWish wish(std::move(name));
    wish.key = kind;
    wish.lifetime = lifetime;
    return make_certificate(wish, &authority());
}

/// Files in memory.
inline ReadFile files(std::map<std::string, std::string> texts)
{
    return [texts = std::move(texts)](const std::string& path) -> Result<std::string> {
        const auto found = texts.find(path);
        if (found == texts.end())
            return system_error("open " + path, ENOENT);
        return found->second;
    };
}

inline std::shared_ptr<Context> server_context(const Pem& pem, Options options = {})
{
    options.chain_files = {"chain"};
    return Context::server(std::move(options), files({{"chain", pem.chain()}, {"ca", authority().certificate}})).value();
}

inline std::shared_ptr<Context> client_context(Options options = {}, bool trusting = false)
{
    if (trusting)
        options.ca_file = "ca";
    return Context::client(std::move(options), files({{"ca", authority().certificate}})).value();
}

inline awaitable<void> accept_into(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, std::optional<Result<Secured>>& outcome)
{
    outcome.emplace(co_await accept(std::move(context), std::move(lower)));
}

struct Both {
    Result<Secured> client;
    Result<Secured> server;
    net::MemoryStream* client_end;
    net::MemoryStream* server_end;
};

inline Both meet(asio::io_context& loop, std::shared_ptr<Context> client, std::shared_ptr<Context> server, ConnectOptions options = {},
                 net::MemoryOptions memory = {})
{
    auto [a, b] = net::memory_pair(loop.get_executor(), std::move(memory));
    auto *first = a.get(), *second = b.get();
    a->expires_after(std::chrono::seconds(10));
    b->expires_after(std::chrono::seconds(10));
    TaskGroup group(loop.get_executor());
    std::optional<Result<Secured>> accepted;
    group.spawn(accept_into(std::move(server), std::move(b), accepted));
    auto connected = run(loop, connect(std::move(client), std::move(a), std::move(options)));
    run(loop, group.drained());
    return {std::move(connected), *std::move(accepted), first, second};
}

/// What comes next, or the error with its evidence.
inline std::string read_text(asio::io_context& loop, net::Stream& stream)
{
    char room[40000];
    const auto got = run(loop, stream.read_some(room));
    return got ? std::string(room, *got) : got.error().what() + '/' + got.error().evidence();
}

}  // namespace posthorn::tls
