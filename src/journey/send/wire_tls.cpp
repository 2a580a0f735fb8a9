#include "send/wire_tls.hpp"

#include "base/strings.hpp"
#include "send/params.hpp"
#include "sts/params.hpp"
#include "tls/params.hpp"

#include <fmt/format.h>

namespace posthorn::send {

namespace {

Result<std::vector<tls::TlsaRecord>> anchors_of(const std::string& file, const tls::ReadFile& read)
{
    TRY(const std::string pem, read(file));
    return tls::trust_anchors(pem, file);
}

TlsFault fault_in(const tls::Facts& facts)
{
    if (facts.trust == tls::Trust::trusted)
        return TlsFault::certificate_host_mismatch;
    return facts.why.find("expired") != std::string::npos ? TlsFault::certificate_expired : TlsFault::certificate_not_trusted;
}

std::string_view trust_text(tls::Trust trust)
{
    switch (trust) {
    case tls::Trust::absent: return "no certificate";
    case tls::Trust::untrusted: return "untrusted";
    case tls::Trust::trusted: return "trusted";
    case tls::Trust::verified: return "verified";
    }
    return {};
}

}  // namespace

WireTls::Settings WireTls::settings(const config::Snapshot& snapshot, std::string_view as)
{
    Settings made;
    made.opportunistic = tls::client_options(snapshot, false, as);
    made.mandatory = tls::client_options(snapshot, true, as);
    // A domain's policy asks for authorities that the world knows: without any no mail would go to who has one.
    if (as == "smtp" && snapshot.get(sts::smtp_mta_sts) != sts::Use::no && made.mandatory.ca_file.empty() && made.mandatory.ca_path.empty())
        made.opportunistic.default_ca = made.mandatory.default_ca = true;
    made.log_level = tls::log_level(snapshot.get(tls::smtp_tls_loglevel, as));
    made.resume = !snapshot.get(tls::smtp_tls_session_cache_database, as).empty();
    made.resume_for = snapshot.get(tls::smtp_tls_session_cache_timeout, as);
    made.several_labels = snapshot.get(tls::tls_wildcard_matches_multiple_labels);
    const std::string files = snapshot.get(smtp_tls_trust_anchor_file, as);
    for (const std::string_view file : split(files, ", \t\r\n"))
        made.anchor_files.emplace_back(file);
    return made;
}

Result<std::unique_ptr<WireTls>> WireTls::make(Settings settings, const Clock& clock, tls::ReadFile read)
{
    std::unique_ptr<WireTls> made(new WireTls(read));
    TRY(made->opportunistic_, tls::Context::client(settings.opportunistic, read));
    TRY(made->mandatory_, tls::Context::client(settings.mandatory, read));
    if (settings.resume && settings.resume_for.count() > 0)
        made->sessions_ = std::make_shared<tls::MemorySessionStore>(clock, 4096, settings.resume_for);
    // One that cannot be read holds up the mail that needs it, and no other.
    for (const std::string& file : settings.anchor_files)
        made->anchors_.insert_or_assign(file, anchors_of(file, read));
    made->settings_ = std::move(settings);
    return made;
}

std::vector<tls::TlsaRecord> WireTls::usable(std::vector<tls::TlsaRecord> records) { return mandatory_->usable(std::move(records)); }

Result<std::vector<tls::TlsaRecord>> WireTls::trust_anchors(const std::string& file)
{
    if (const auto known = anchors_.find(file); known != anchors_.end())
        return known->second;
    return anchors_of(file, read_);
}

std::vector<std::string> WireTls::looked_into() const
{
    std::vector<std::string> paths = settings_.anchor_files;
    if (!settings_.mandatory.ca_path.empty())
        paths.push_back(settings_.mandatory.ca_path);
    if (settings_.mandatory.default_ca)
        for (std::string& path : tls::default_authorities())
            paths.push_back(std::move(path));
    return paths;
}

Result<tls::ConnectOptions> WireTls::options_for(const TlsDemand& demand, const std::string& relay) const
{
    tls::ConnectOptions options(demand.server_name);
    options.names = demand.names;
    options.several_labels = settings_.several_labels;
    options.fingerprints = demand.fingerprints;
    options.anchors = demand.anchors;
    options.protocols = demand.protocols;
    options.keep_shown = demand.keep_shown;
    const bool mandatory = required(demand.level);
    if (demand.ciphers || demand.exclude || mandatory) {
        tls::Options words = mandatory ? settings_.mandatory : settings_.opportunistic;
        if (demand.ciphers)
            words.ciphers = *demand.ciphers;
        if (demand.exclude)
            words.exclude_ciphers = {*demand.exclude};
        // Who has to encrypt does; who has to show a certificate has one.
        if (mandatory)
            words.exclude_ciphers.emplace_back(authenticated(demand.level) ? "aNULL" : "eNULL");
        TRY(options.cipher_list, tls::cipher_list(words));
    }
    if (demand.anchors.empty()) {
        options.sessions = sessions_;
        // A session is resumed only with the same settings: what "may" accepted is not good enough for "encrypt".
        options.session_key = fmt::format("{}&{}&{}&{}&{}", relay, mandatory ? level_name(demand.level) : "may", options.sni,
                                          options.protocols.value_or(""), options.cipher_list.value_or(""));
    }
    return options;
}

tls::SecondLook WireTls::judge(const tls::Shown& shown, const TlsDemand& demand)
{
    const auto options = options_for(demand, "");
    if (!options)
        return {tls::SecondLook::Verdict::unknown, options.error().text()};
    return tls::look_again(*mandatory_, shown, *options, authenticated(demand.level));
}

awaitable<Result<Secured>> WireTls::secure(std::unique_ptr<net::Stream> stream, TlsDemand demand, std::string relay)
{
    CO_TRY(tls::ConnectOptions options, options_for(demand, relay));
    CO_TRY(auto secured, co_await tls::connect(required(demand.level) ? mandatory_ : opportunistic_, std::move(stream), options));
    const auto less = authenticated(demand.level) || !demand.names.empty() ? tls::refusal(secured.facts, options) : std::nullopt;
    const std::optional<TlsFault> fault = less ? std::optional(fault_in(secured.facts)) : std::nullopt;
    auto refused = authenticated(demand.level) ? tls::refusal(secured.facts, options) : std::nullopt;
    if (refused) {
        // Postfix's words, whatever is wrong with it: the log has the reason on a line of its own.
        refused = Error("Server certificate not verified", "4.7.5").after(refused->evidence());
        secured.facts.trust = tls::Trust::untrusted;
    }
    std::string unmet;
    if (!authenticated(demand.level) && !demand.names.empty()) {
        if (less)
            unmet = less->evidence().empty() ? less->what() : fmt::format("{}: {}", less->what(), less->evidence());
        if (secured.facts.trust == tls::Trust::verified)              // that is a word for levels that ask for it
            secured.facts.trust = tls::Trust::trusted;
    }
    std::string summary = tls::summary(secured.facts, relay);
    Secured made(std::move(secured.stream), settings_.log_level > 0 ? summary : std::string(), summary);
    made.protocol = secured.facts.protocol;
    made.cipher = secured.facts.cipher;
    made.peer_name = secured.facts.peer_cn;
    made.issuer = secured.facts.issuer_organization.empty() ? secured.facts.issuer_cn : secured.facts.issuer_organization;
    made.trust = trust_text(secured.facts.trust);
    made.issued = secured.facts.issued;
    made.expires = secured.facts.expires;
    if (refused)
        made.trouble = tls::trouble(secured.facts, relay);
    made.unmet = std::move(unmet);
    made.resumed = secured.facts.resumed;
    made.shown = std::move(secured.facts.shown);
    made.fault = fault;
    made.fault_reason = less ? less->evidence() : "";
    made.verified = authenticated(demand.level) && !refused;
    made.refused = std::move(refused);
    co_return made;
}

}  // namespace posthorn::send
