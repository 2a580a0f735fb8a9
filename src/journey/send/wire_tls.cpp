#include "send/wire_tls.hpp"

#include "tls/params.hpp"

namespace posthorn::send {

WireTls::Settings WireTls::settings(const config::Snapshot& snapshot, std::string_view as)
{
    Settings made;
    made.opportunistic = tls::client_options(snapshot, false, as);
    made.mandatory = tls::client_options(snapshot, true, as);
    made.log_level = tls::log_level(snapshot.get(tls::smtp_tls_loglevel, as));
    made.resume = !snapshot.get(tls::smtp_tls_session_cache_database, as).empty();
    made.resume_for = snapshot.get(tls::smtp_tls_session_cache_timeout, as);
    made.server_name = snapshot.get(tls::smtp_tls_servername, as);
    return made;
}

Result<std::unique_ptr<WireTls>> WireTls::make(Settings settings, const Clock& clock, tls::ReadFile read)
{
    std::unique_ptr<WireTls> made(new WireTls);
    TRY(made->opportunistic_, tls::Context::client(settings.opportunistic, read));
    TRY(made->mandatory_, tls::Context::client(settings.mandatory, read));
    if (settings.resume && settings.resume_for.count() > 0)
        made->sessions_ = std::make_shared<tls::MemorySessionStore>(clock, 4096, settings.resume_for);
    made->settings_ = std::move(settings);
    return made;
}

awaitable<Result<Secured>> WireTls::secure(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, bool mandatory)
{
    tls::ConnectOptions options(settings_.server_name == "hostname" ? host : settings_.server_name);
    options.sessions = sessions_;
    // A session is resumed only with the same settings: what "may" accepted is not good enough for "encrypt".
    options.session_key = fmt::format("{}&{}&{}", relay, mandatory ? "encrypt" : "may", options.sni);
    CO_TRY(auto secured, co_await tls::connect(mandatory ? mandatory_ : opportunistic_, std::move(stream), std::move(options)));
    std::string summary = tls::summary(secured.facts, relay);
    co_return Secured(std::move(secured.stream), settings_.log_level > 0 ? summary : std::string(), summary);
}

}  // namespace posthorn::send
