// send/wire_tls.hpp: TlsClient by wire/tls: contexts made once, sessions resumed, the log line by smtp_tls_loglevel.
// Resumed   are sessions of the same host and demand; never one that is held against trust anchors, of which a resumed one tells nothing.
#pragma once

#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "send/secure.hpp"
#include "tls/tls.hpp"

#include <map>
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
        bool several_labels = true;             // tls_wildcard_matches_multiple_labels
        std::vector<std::string> anchor_files;  // read at once; others when a policy names them, where the process may
    };
    static Settings settings(const config::Snapshot& snapshot, std::string_view as = "smtp");

    /// Errors name the file and OpenSSL's reason.
    static Result<std::unique_ptr<WireTls>> make(Settings settings, const Clock& clock, tls::ReadFile read = tls::read_file);

    awaitable<Result<Secured>> secure(std::unique_ptr<net::Stream> stream, TlsDemand demand, std::string relay) override;
    tls::SecondLook judge(const tls::Shown& shown, const TlsDemand& demand) override;
    std::vector<tls::TlsaRecord> usable(std::vector<tls::TlsaRecord> records) override;
    Result<std::vector<tls::TlsaRecord>> trust_anchors(const std::string& file) override;
    /// Files and folders of certificates that are looked into while it serves.
    std::vector<std::string> looked_into() const;

private:
    explicit WireTls(tls::ReadFile read) : read_(std::move(read)) {}
    Result<tls::ConnectOptions> options_for(const TlsDemand& demand, const std::string& relay) const;

    Settings settings_;
    tls::ReadFile read_;
    std::shared_ptr<tls::Context> opportunistic_, mandatory_;
    std::shared_ptr<tls::SessionStore> sessions_;
    std::map<std::string, Result<std::vector<tls::TlsaRecord>>> anchors_;     // of anchor_files
};

}  // namespace posthorn::send
