#include "services/secure.hpp"

#include "tls/params.hpp"

namespace posthorn::services {

ClientTls::ClientTls(const config::Snapshot& snapshot, std::string_view service)
    : opportunistic_(at_start(tls::Context::client(tls::client_options(snapshot, false, service)))),
      mandatory_(at_start(tls::Context::client(tls::client_options(snapshot, true, service)))),
      sessions_(std::make_shared<tls::MemorySessionStore>(clock_, 4096, snapshot.get(tls::smtp_tls_session_cache_timeout, service))),
      server_name_(snapshot.get(tls::smtp_tls_servername, service)), log_level_(tls::log_level(snapshot.get(tls::smtp_tls_loglevel, service)))
{
}

awaitable<Result<send::Secured>> ClientTls::secure(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, bool mandatory)
{
    tls::ConnectOptions options(server_name_ == "hostname" ? host : server_name_ == "nexthop" ? std::string{} : server_name_);
    options.names = {host};
    options.sessions = sessions_;
    options.session_key = (mandatory ? "mandatory " : "may ") + relay;
    CO_TRY(auto secured, co_await tls::connect(mandatory ? mandatory_ : opportunistic_, std::move(stream), std::move(options)));
    co_return send::Secured(std::move(secured.stream), log_level_ > 0 ? tls::summary(secured.facts, relay) : std::string{});
}

ServerTls::ServerTls(const config::Snapshot& snapshot, bool mandatory)
    : context_(at_start(tls::Context::server(tls::server_options(snapshot, mandatory))))
{
}

awaitable<Result<receive::Secured>> ServerTls::accept(std::unique_ptr<net::Stream> stream)
{
    CO_TRY(auto secured, co_await tls::accept(context_, std::move(stream)));
    // "Anonymous TLS connection established from PEER: TLSv1.3 with cipher C (256/256 bits) key-exchange ..."
    const std::string line = tls::summary(secured.facts, "");
    const std::size_t colon = line.find(": ");
    std::string facts = colon == line.npos ? line : line.substr(colon + 2);
    std::string received = facts;
    if (const std::size_t exchange = received.find(" key-exchange"); exchange != received.npos)
        received.insert(exchange, "\r\n\t");
    receive::Secured made(std::move(secured.stream), std::move(facts), std::move(received));
    made.trust = line.substr(0, line.find(' '));
    co_return made;
}

}  // namespace posthorn::services
