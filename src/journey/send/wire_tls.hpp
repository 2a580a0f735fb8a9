// send/wire_tls.hpp: TlsClient by wire/tls: contexts made once, sessions resumed, the log line by smtp_tls_loglevel.
#pragma once

#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "send/secure.hpp"
#include "tls/tls.hpp"

#include <memory>
#include <string>

namespace posthorn::send {

class WireTls final : public TlsClient {
public:
    struct Settings {
        tls::Options opportunistic, mandatory;
        int log_level = 0;
        bool resume = false;                    // smtp_tls_session_cache_database is set
        std::chrono::seconds resume_for{3600};
        std::string server_name;                // smtp_tls_servername: a name, "hostname", or empty
    };
    static Settings settings(const config::Snapshot& snapshot, std::string_view as = "smtp");

    /// Errors name the file and OpenSSL's reason.
    static Result<std::unique_ptr<WireTls>> make(Settings settings, const Clock& clock, tls::ReadFile read = tls::read_file);

    awaitable<Result<Secured>> secure(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, bool mandatory) override;

private:
    WireTls() = default;

    Settings settings_;
    std::shared_ptr<tls::Context> opportunistic_, mandatory_;
    std::shared_ptr<tls::SessionStore> sessions_;
};

}  // namespace posthorn::send
