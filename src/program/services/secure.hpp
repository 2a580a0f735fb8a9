// services/secure.hpp: TLS for the stations, by wire/tls. Keys are read when these are made: before the process is confined.
#pragma once

#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "receive/outside.hpp"
#include "send/secure.hpp"
#include "tls/tls.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace posthorn::services {

/// The value, or an exception: for what must be right before a service starts.
template <class T>
T at_start(Result<T> result)
{
    if (!result)
        throw std::runtime_error(result.error().text());
    return *std::move(result);
}

class ClientTls final : public send::TlsClient {
public:
    ClientTls(const config::Snapshot& snapshot, std::string_view service);
    awaitable<Result<send::Secured>> secure(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, bool mandatory) override;

private:
    std::shared_ptr<tls::Context> opportunistic_, mandatory_;
    SystemClock clock_;
    std::shared_ptr<tls::MemorySessionStore> sessions_;
    std::string server_name_;                    // smtp_tls_servername
    int log_level_;
};

class ServerTls final : public receive::TlsAcceptor {
public:
    ServerTls(const config::Snapshot& snapshot, bool mandatory);
    bool has_certificate() const { return context_->has_certificate(); }
    void set_ticket_keys(tls::TicketKeys keys) { context_->set_ticket_keys(std::move(keys)); }
    awaitable<Result<receive::Secured>> accept(std::unique_ptr<net::Stream> stream) override;

private:
    std::shared_ptr<tls::Context> context_;
};

}  // namespace posthorn::services
