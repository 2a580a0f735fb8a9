#include "tls/params.hpp"

#include "base/strings.hpp"

namespace posthorn::tls {

namespace {

std::string file(std::string name) { return iequals(name, "none") ? std::string{} : name; }

void add_pair(Options& options, std::string certificate, std::string key)
{
    if (certificate = file(std::move(certificate)); !certificate.empty())
        options.certificates.emplace_back(std::move(certificate), std::move(key));
}

void set_files(Options& options, std::string_view chain)
{
    for (const std::string_view word : split(chain, " ,\t\r\n"))
        if (std::string name = file(std::string(word)); !name.empty())
            options.chain_files.push_back(std::move(name));
}

Options common(const config::Snapshot& config)
{
    Options options;
    options.config_file = config.get(tls_config_file);
    options.config_name = config.get(tls_config_name);
    options.default_ca = config.get(tls_append_default_CA);
    options.high_cipherlist = config.get(tls_high_cipherlist);
    options.medium_cipherlist = config.get(tls_medium_cipherlist);
    options.null_cipherlist = config.get(tls_null_cipherlist);
    options.groups = config.get(tls_eecdh_auto_curves);
    options.ffdhe_groups = config.get(tls_ffdhe_auto_groups);
    options.server_chooses = config.get(tls_preempt_cipherlist);
    options.ssl_options = config.get(tls_ssl_options);
    options.disable_workarounds = config.get(tls_disable_workarounds);
    return options;
}

}  // namespace

Options client_options(const config::Snapshot& config, bool mandatory, std::string_view as)
{
    Options options = common(config);
    set_files(options, config.get(smtp_tls_chain_files, as));
    add_pair(options, config.get(smtp_tls_cert_file, as), config.get(smtp_tls_key_file, as));
    add_pair(options, config.get(smtp_tls_eccert_file, as), config.get(smtp_tls_eckey_file, as));
    options.ca_file = config.get(smtp_tls_CAfile, as);
    options.ca_path = config.get(smtp_tls_CApath, as);
    options.protocols = config.get(mandatory ? smtp_tls_mandatory_protocols : smtp_tls_protocols, as);
    options.ciphers = config.get(mandatory ? smtp_tls_mandatory_ciphers : smtp_tls_ciphers, as);
    options.exclude_ciphers = {config.get(smtp_tls_exclude_ciphers, as)};
    if (mandatory)
        options.exclude_ciphers.push_back(config.get(smtp_tls_mandatory_exclude_ciphers, as));
    options.dane_digests = config.get(tls_dane_digests);
    options.verify_depth = config.get(smtp_tls_scert_verifydepth, as);
    options.fingerprint_digest = config.get(smtp_tls_fingerprint_digest, as);
    options.session_lifetime = config.get(smtp_tls_session_cache_timeout, as);
    return options;
}

Options server_options(const config::Snapshot& config, bool mandatory)
{
    Options options = common(config);
    set_files(options, config.get(smtpd_tls_chain_files));
    add_pair(options, config.get(smtpd_tls_cert_file), config.get(smtpd_tls_key_file));
    add_pair(options, config.get(smtpd_tls_eccert_file), config.get(smtpd_tls_eckey_file));
    options.ca_file = config.get(smtpd_tls_CAfile);
    options.ca_path = config.get(smtpd_tls_CApath);
    options.protocols = config.get(mandatory ? smtpd_tls_mandatory_protocols : smtpd_tls_protocols);
    options.ciphers = config.get(mandatory ? smtpd_tls_mandatory_ciphers : smtpd_tls_ciphers);
    options.exclude_ciphers = {config.get(smtpd_tls_exclude_ciphers)};
    if (mandatory)
        options.exclude_ciphers.push_back(config.get(smtpd_tls_mandatory_exclude_ciphers));
    options.ask_certificate = config.get(smtpd_tls_ask_ccert) || (mandatory && config.get(smtpd_tls_req_ccert));
    options.trust_server_certificates = config.get(tls_trust_server_ccerts);
    options.verify_depth = config.get(smtpd_tls_ccert_verifydepth);
    options.fingerprint_digest = config.get(smtpd_tls_fingerprint_digest);
    options.session_lifetime = config.get(smtpd_tls_session_cache_timeout);
    options.tickets = options.session_lifetime.count() > 0;
    return options;
}

int log_level(std::string_view text)
{
    const auto number = parse_number(split(text, " ,\t").empty() ? std::string_view{} : split(text, " ,\t").front());
    return number ? static_cast<int>(std::min<std::uint64_t>(*number, 4)) : 0;
}

}  // namespace posthorn::tls
